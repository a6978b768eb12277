"""PX4 and ArduPilot by MAVLink: UDP, TCP or a serial port."""

from snn_controller.flight_controllers.mavlink.codec import Codec, read_signing_key
from snn_controller.flight_controllers.mavlink.link import MavlinkLink
from snn_controller.flight_controllers.mavlink.transport import Chunk, Wire, open_wire

__all__ = [
    "Chunk",
    "Codec",
    "MavlinkLink",
    "Wire",
    "open_wire",
    "read_signing_key",
]
