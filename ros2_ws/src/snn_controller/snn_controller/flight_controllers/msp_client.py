"""Questions and answers over MSP, one at a time: the firmware serves one request every 10 ms.

Requests sent without waiting would queue up in the firmware and make every command old.
"""

from __future__ import annotations

from time import monotonic

from snn_controller.errors import UserError
from snn_controller.flight_controllers.byte_stream import ByteStream
from snn_controller.flight_controllers.msp import Decoder, Frame, encode

ANSWER_TIME = 0.5  # s, patience with one answer while setting up
ATTEMPTS = 6  # of a question while setting up


class MspClient:
    """Asks one flight controller; used by one thread at a time."""

    def __init__(self, stream: ByteStream, endpoint: str) -> None:
        """Talk over an open stream, named by its endpoint in messages."""
        self.endpoint = endpoint
        self._stream = stream
        self._decoder = Decoder()

    def exchange(self, command: int, payload: bytes = b"", *, timeout: float) -> Frame | None:
        """Send a request and return its answer, or None where none came in `timeout` s.

        Raises:
            OSError: The connection is lost.
        """
        self._stream.write(encode(command, payload))
        deadline = monotonic() + timeout
        while (left := deadline - monotonic()) > 0.0:
            for frame in self._decoder.feed(self._stream.read(left)):
                if frame.command == command:
                    return frame
        return None

    def ask(self, command: int, payload: bytes = b"") -> bytes:
        """Return the answer's payload, asking again where one gets lost.

        Raises:
            UserError: Nobody answers, or the flight controller does not know the command.
        """
        for _ in range(ATTEMPTS):
            try:
                frame = self.exchange(command, payload, timeout=ANSWER_TIME)
            except OSError as error:
                raise UserError(
                    f"the connection to {self.endpoint} is lost ({error}); check the cable or start"
                    " the flight controller again"
                ) from error
            if frame is not None and frame.refused:
                raise UserError(
                    f"the flight controller at {self.endpoint} refuses MSP command {command};"
                    " update its firmware to Betaflight 4.3 or newer"
                )
            if frame is not None:
                return frame.payload
        raise UserError(
            f"nobody answers MSP at {self.endpoint}; check the port and its baud rate, that MSP is"
            " on for it in the Configurator's Ports tab, and that no Configurator is connected"
        )

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
