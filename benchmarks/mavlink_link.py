"""The `mavlink` link against the PX4 double: hover, kicks, cuts and timing, in lockstep.

python benchmarks/mavlink_link.py --cuts 20
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.vehicle.action import stop_command
from snn_controller.vehicle.frames import Array
from snn_sim.doubles.px4.firmware import Px4Mode
from snn_sim.doubles.px4.lockstep import Lockstep

POINT = np.array([0.0, 0.0, 1.0])  # m from the start
KICKS = np.diag([3e-3, 3e-3, 1e-3])  # N m for 20 ms, on a Crazyflie
NEAR = 0.05  # m that count as recovered


def flying() -> tuple[Lockstep, Array]:
    """Return a pair that hovers, and where it should be (3,) in the world."""
    pair = Lockstep()
    pair.run(2.0)
    place = pair.double.body.state.position + POINT
    pair.arm()
    pair.fly(8.0, POINT)
    return pair, place


def hover(seconds: float) -> dict[str, Any]:
    """Hover undisturbed, then kick about every axis."""
    pair, place = flying()
    start = time.process_time()
    error = pair.fly(seconds, POINT) - place
    spent = time.process_time() - start
    kicks = []
    for kick in KICKS:
        pair.double.push = kick
        pair.fly(0.02, POINT)
        pair.double.push = None
        rates = float(np.abs(pair.double.body.state.body_rates).max())
        path = np.abs(pair.fly(3.0, POINT) - place).max(axis=1)
        after = np.flatnonzero(path > NEAR)
        recovered = 0.0 if after.size == 0 else float((after[-1] + 1) * 0.01)
        kicks.append({"rates": rates, "largest": float(path.max()), "recovered": recovered})
    pair.close()
    return {
        "seconds": seconds,
        "rms": float(np.sqrt((error**2).sum(axis=1).mean())),
        "largest": float(np.abs(error).max()),
        "times_real_time": seconds / spent,
        "kicks": kicks,
    }


def cut(seconds: float) -> dict[str, float]:
    """Hover for some seconds, cut the wire, and see what the firmware does."""
    pair, place = flying()
    pair.fly(seconds, POINT)
    pair.wire.cut = True
    start = pair.double.body.time
    while pair.double.firmware.mode is Px4Mode.OFFBOARD:
        pair.tick(stop_command("thrust_rates"))
    left = pair.double.body.time - start
    pair.advance(3.0)
    moved = float(np.linalg.norm(pair.double.body.state.position - place))
    pair.close()
    return {"left_offboard": left, "moved": moved}


def arming() -> float:
    """Return the s from `arm` to armed and in control."""
    pair = Lockstep()
    pair.run(2.0)
    start = pair.double.body.time
    pair.arm()
    spent = pair.double.body.time - start
    pair.close()
    return spent


def poll_time() -> dict[str, float]:
    """Return the processor time in ms of a poll and of a command, in flight."""
    pair, _ = flying()
    polls, sends = [], []
    for _ in range(500):
        pair.advance(0.01)
        start = time.process_time()
        status = pair.link.poll(pair.now)
        middle = time.process_time()
        pair.odometry = status.odometry or pair.odometry
        pair.link.send(pair.guide(POINT), pair.now)
        polls.append(middle - start)
        sends.append(time.process_time() - middle)
    pair.close()
    return {"poll_ms": 1e3 * float(np.median(polls)), "send_ms": 1e3 * float(np.median(sends))}


def main() -> None:
    """Print and store the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hover", type=float, default=30.0, help="seconds")
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--json", type=Path, help="where to write the results")
    arguments = parser.parse_args()
    cuts = [cut(0.05 * number) for number in range(arguments.cuts)]
    left = [each["left_offboard"] for each in cuts]
    results = {
        "arming": arming(),
        "hover": hover(arguments.hover),
        "cut": {
            "flights": len(cuts),
            "left_offboard": [min(left), max(left)],
            "moved": max(each["moved"] for each in cuts),
        },
        **poll_time(),
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
