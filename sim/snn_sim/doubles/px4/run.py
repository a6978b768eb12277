"""The PX4 double in real time, as a process that MAVLink clients connect to.

python -m snn_sim.doubles.px4.run                       # then: snn-fly link:=mavlink
python -m snn_sim.doubles.px4.run --endpoint udpout:127.0.0.1:14550
"""

from __future__ import annotations

import argparse
import sys
import time

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink import Wire, open_wire, read_signing_key
from snn_controller.vehicle import load_quadrotor
from snn_sim.doubles.px4.mavlink_vehicle import Px4Double

ENDPOINT = "udpout:127.0.0.1:14540"  # where PX4 looks for a companion computer
MAX_LAG = 0.1  # s that a busy machine may fall behind before time is let go


def run(double: Px4Double, wires: list[Wire], seconds: float) -> None:
    """Let a double live in real time for some seconds, and print what its commander does."""
    period, told = double.body.period, ""
    start = time.monotonic()
    due = start
    while (now := time.monotonic()) < start + seconds:
        due = max(due, now - MAX_LAG)
        for wire in wires:
            for chunk in wire.read():
                double.receive(chunk.data)
        while due <= now:
            double.step()
            due += period
        if (doing := _describe(double)) != told:
            told = doing
            print(f"{double.body.time:8.2f} s  {told}", flush=True)
        for data in double.transmit():
            for wire in wires:
                wire.write(data)
        time.sleep(period)


def _describe(double: Px4Double) -> str:
    firmware = double.firmware
    armed = "armed" if firmware.armed else "disarmed"
    failsafe = ", failsafe" if firmware.failsafe else ""
    return (
        f"{firmware.mode.name}, {armed}{failsafe}, {'landed' if firmware.landed else 'in the air'}"
    )


def main() -> None:
    """Run the double until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--endpoint", action="append", help=f"repeatable; {ENDPOINT} if not given")
    parser.add_argument("--airframe", default="crazyflie21", help="airframe in airframes.yaml")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to run")
    parser.add_argument("--signing-key", default="", help="file of the key that signs messages")
    parser.add_argument("--prearm-failure", default="", help="text with which arming is denied")
    arguments = parser.parse_args()
    try:
        quadrotor = load_quadrotor(arguments.airframe)
        key = read_signing_key(arguments.signing_key)
        wires = [open_wire(endpoint) for endpoint in arguments.endpoint or [ENDPOINT]]
        whole = all(wire.datagrams for wire in wires)
        double = Px4Double(quadrotor, key=key, datagrams=whole)
    except UserError as error:
        sys.exit(f"error: {error}")
    double.firmware.prearm_failure = arguments.prearm_failure
    print(f"hover throttle of {quadrotor.name}: {quadrotor.hover_throttle:.3f}", flush=True)
    try:
        run(double, wires, arguments.seconds)
    except KeyboardInterrupt:
        pass
    finally:
        double.close()


if __name__ == "__main__":
    main()
