"""Questions and answers over MSP, one at a time: the firmware serves one request every 10 ms.

Requests sent without waiting would queue up in the firmware and make every command old.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from snn_controller.errors import UserError
from snn_controller.flight_controllers.byte_stream import ByteStream
from snn_controller.flight_controllers.msp import Decoder, Frame, encode

ANSWER_TIME = 0.5  # s, patience with one answer while setting up
ATTEMPTS = 6  # of a question while setting up
# A damaged length makes the firmware wait for up to 255 bytes more, and swallow requests as such.
# Zeros end that wait; between frames they mean nothing.
FLUSH = bytes(256)


class MspClient:
    """Asks one flight controller; used by one thread at a time."""

    def __init__(self, stream: ByteStream, endpoint: str) -> None:
        """Talk over an open stream, named by its endpoint in messages."""
        self.endpoint = endpoint
        self._stream = stream
        self._decoder = Decoder()
        self._unanswered = 0  # requests in a row

    def exchange(self, command: int, payload: bytes = b"", *, timeout: float) -> Iterator[Frame]:
        """Send a request and yield what comes, until its answer or for `timeout` s.

        Raises:
            OSError: The connection is lost.
        """
        if self._unanswered:
            self._decoder.restart()
        flush = FLUSH if self._unanswered > 1 else b""
        self._unanswered += 1
        self._stream.write(flush + encode(command, payload))
        deadline = monotonic() + timeout
        while (left := deadline - monotonic()) > 0.0:
            for frame in self._decoder.feed(self._stream.read(left)):
                self._unanswered = 0
                yield frame
                if frame.command == command:
                    return

    def ask(self, command: int, payload: bytes = b"") -> bytes:
        """Return the answer's payload, asking again where one gets lost.

        Raises:
            UserError: Nobody answers, or the flight controller does not know the command.
        """
        for _ in range(ATTEMPTS):
            frame = self._answer(command, payload)
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

    def _answer(self, command: int, payload: bytes) -> Frame | None:
        try:
            frames = list(self.exchange(command, payload, timeout=ANSWER_TIME))
        except OSError as error:
            raise UserError(
                f"the connection to {self.endpoint} is lost ({error}); check the cable or start"
                " the flight controller again"
            ) from error
        return frames[-1] if frames and frames[-1].command == command else None

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
