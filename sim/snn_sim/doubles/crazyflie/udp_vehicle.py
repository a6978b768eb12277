"""A simulated Crazyflie on UDP, in real time, for cflib and everything that is built on it.

    python -m snn_sim.doubles.crazyflie.udp_vehicle --port 19850

Then fly it with endpoint udp://127.0.0.1:19850.
"""

from __future__ import annotations

import argparse
import random
import select
import socket
import sys
import threading
from time import perf_counter

from snn_controller.errors import UserError
from snn_sim.doubles.crazyflie.firmware import STEP, CrazyflieFirmware, ground_firmware

PERIOD = STEP * 1e-3  # s
LATEST = 0.1  # s; a machine that is later than this loses time instead of catching up


class CrazyflieDouble:
    """Firmware and drone behind a UDP port; the last client to send gets the answers."""

    latest = 0.0  # s, the most that a step of any has been late: a busy machine is no vehicle

    def __init__(
        self, firmware: CrazyflieFirmware, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Take a port, 0 for any that is free.

        Raises:
            UserError: The port is taken.
        """
        self.firmware = firmware
        self.cut = False  # nothing gets through in either direction, as with a broken radio link
        self.loss = 0.0  # share of frames lost in either direction
        self.received = 0  # frames
        self._chance = random.Random(1)
        self._client: tuple[str, int] | None = None
        self._running = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise UserError(
                f"UDP port {port} cannot be taken ({error}); choose another --port"
            ) from error
        self.endpoint = "udp://{}:{}".format(*self._socket.getsockname())

    def run(self) -> None:
        """Serve in real time until `stop`."""
        due = perf_counter()
        while self._running:
            wait = due - perf_counter()
            if select.select([self._socket], [], [], max(wait, 0.0))[0]:
                self._receive()
            now = perf_counter()
            if now >= due:
                CrazyflieDouble.latest = max(CrazyflieDouble.latest, now - due)
                due = max(due + PERIOD, now - LATEST)
                self._send(self.firmware.step())

    def start(self) -> None:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self.run, name="crazyflie_double", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and leave the port."""
        self._running = False
        self._thread.join()
        self._socket.close()

    def _receive(self) -> None:
        try:
            data, client = self._socket.recvfrom(1024)
        except OSError:  # an earlier answer could not be delivered
            return
        if self._lost():
            return
        self._client = client
        self.received += 1
        self._send(self.firmware.receive(data))

    def _send(self, frames: list[bytes]) -> None:
        for data in frames:
            if self._client is None or self._lost():
                continue
            try:
                self._socket.sendto(data, self._client)
            except OSError:
                return

    def _lost(self) -> bool:
        return self.cut or (self.loss > 0.0 and self._chance.random() < self.loss)


def main() -> None:
    """Serve one vehicle until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=19850, help="UDP port")
    parser.add_argument("--airframe", default="crazyflie21", help="airframe in airframes.yaml")
    arguments = parser.parse_args()
    try:
        double = CrazyflieDouble(ground_firmware(arguments.airframe), port=arguments.port)
    except UserError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{double.endpoint}\n")
    sys.stdout.flush()
    try:
        double.run()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
