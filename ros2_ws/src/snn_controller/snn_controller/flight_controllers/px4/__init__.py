"""PX4 by its uXRCE-DDS topics."""

from snn_controller.flight_controllers.px4.link import Px4Link
from snn_controller.flight_controllers.px4.messages import (
    FROM_VEHICLE,
    MEND,
    TO_VEHICLE,
    await_px4,
    message_hash,
    missing_definition,
    topic_name,
)

__all__ = [
    "FROM_VEHICLE",
    "MEND",
    "TO_VEHICLE",
    "Px4Link",
    "await_px4",
    "message_hash",
    "missing_definition",
    "topic_name",
]
