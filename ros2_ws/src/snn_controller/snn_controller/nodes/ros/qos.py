"""Quality of service of the topics that make time advance in lockstep.

Each message there answers the one before, so none may get lost, not even to a recorder that falls
behind: who publishes keeps messages until everybody has them. In real time only the newest counts.
"""

from __future__ import annotations

from time import monotonic

from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_profile_sensor_data

LOCKSTEP_HISTORY = 1000  # messages that a slow listener may be behind
PATIENCE = 10.0  # s, with listeners that do not come


def publishing_odometry(*, lockstep: bool) -> QoSProfile:
    """Return the QoS with which odometry is published."""
    return QoSProfile(depth=LOCKSTEP_HISTORY) if lockstep else qos_profile_sensor_data


def taking_odometry(*, lockstep: bool) -> QoSProfile:
    """Return the QoS with which the controller takes odometry."""
    return QoSProfile(depth=1) if lockstep else qos_profile_sensor_data


def publishing_commands(*, lockstep: bool) -> QoSProfile:
    """Return the QoS with which commands and the time are published."""
    return QoSProfile(depth=LOCKSTEP_HISTORY if lockstep else 1)


class Audience:
    """The listeners that a topic must have before time begins: discovery takes them a while."""

    def __init__(self, publisher: Publisher, count: int) -> None:
        """Wait for a number of subscriptions, from now on."""
        self._publisher, self._missing = publisher, count
        self._deadline = monotonic() + PATIENCE

    def is_complete(self) -> bool:
        """Whether all have come once, or have been waited for in vain."""
        if self._missing and (
            self._publisher.get_subscription_count() >= self._missing
            or monotonic() > self._deadline
        ):
            self._missing = 0
        return not self._missing
