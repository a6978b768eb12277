"""A byte stream that is bad on purpose: bytes changed both ways, garbage sent to the vehicle."""

from __future__ import annotations

import random

from snn_controller.flight_controllers.byte_stream import ByteStream

DAMAGE = 0.005  # share of damaged bytes
BURST, BURST_EVERY = 64, 10  # bytes of garbage, before one in so many messages


class DamagedStream:
    """A `ByteStream` that changes bytes and sends bursts of garbage between messages."""

    def __init__(self, stream: ByteStream, chance: random.Random) -> None:
        """Pass everything on unchanged until `damaging` is set."""
        self._stream = stream
        self._chance = chance
        self.damaging = False

    def read(self, timeout: float) -> bytes:
        """Return what has come, damaged."""
        return self._damage(self._stream.read(timeout))

    def write(self, data: bytes) -> None:
        """Send bytes damaged, now and then behind garbage."""
        if self.damaging and self._chance.randrange(BURST_EVERY) == 0:
            # what opens the command line is left out: it works on a disarmed vehicle only
            garbage = self._chance.randbytes(BURST).translate(None, b"#\x02R$")
            self._stream.write(garbage)
        self._stream.write(self._damage(data))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def _damage(self, data: bytes) -> bytes:
        if not self.damaging:
            return data
        chance = self._chance
        return bytes(
            b ^ (1 << chance.randrange(8) if chance.random() < DAMAGE else 0) for b in data
        )
