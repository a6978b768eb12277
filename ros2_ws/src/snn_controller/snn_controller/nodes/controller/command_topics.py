"""The `sim` link: commands as standard messages on topics that only one node may own."""

from __future__ import annotations

from time import perf_counter, sleep

from geometry_msgs.msg import TwistStamped
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState

from snn_controller.flight_controllers import LinkOptions
from snn_controller.nodes.ros.conversions import motors_to_message, thrust_rates_to_message
from snn_controller.nodes.ros.main import TopicClaim
from snn_controller.nodes.ros.qos import Audience, publishing_commands
from snn_controller.vehicle import ACTION_KINDS, ActionKind, Command, LinkStatus, stop_command

MOTORS_TOPIC = "motors"
THRUST_RATES_TOPIC = "thrust_rates"
ARRIVAL_TIME = Duration(seconds=0.5)  # patience with a receiver that does not acknowledge


class CommandTopics:
    """A `FlightController` that publishes each command, stamped with the odometry it answers."""

    name = "sim"
    action_kinds = frozenset(ACTION_KINDS)  # the simulator has a rate loop of its own
    has_pilot = False

    def __init__(self, node: Node, options: LinkOptions, kind: ActionKind) -> None:
        """Take the topic for one kind of command, until `release`.

        Args:
            node: The node that commands.
            options: Whether time waits for each command, so that none may get lost; how many
                listeners there must be, which are waited for; the frame of rates.
            kind: What it commands.

        Raises:
            UserError: Another node already commands motors on it.
        """
        self._node = node
        self._kind: ActionKind = kind
        self._frame = options.body_frame
        self._stamp = 0
        self._armed = True  # at first: a simulated flight may begin in the air
        self._heard: float | None = None  # s, when somebody last listened
        topic = MOTORS_TOPIC if kind == "motors" else THRUST_RATES_TOPIC
        self._claim = TopicClaim(node, topic, "commands")
        message_type = JointState if kind == "motors" else TwistStamped
        quality = publishing_commands(lockstep=options.lockstep)
        self._publisher = node.create_publisher(message_type, topic, quality)
        audience = Audience(self._publisher, options.listeners)
        while not audience.is_complete():
            sleep(0.01)

    @property
    def description(self) -> str:
        """What is flown and by what, for people."""
        return f"{self._kind} by topic"

    def poll(self, now: int) -> LinkStatus:
        """Tell for how long nobody has listened any more, by the wall clock: time may stand still.

        Before the first listener is discovered nothing is wrong yet.
        """
        if self._publisher.get_subscription_count() > 0:
            self._heard = perf_counter()
        age = 0.0 if self._heard is None else perf_counter() - self._heard
        return LinkStatus(age=age, armed=self._armed)

    def arm(self) -> None:
        """Arm at once: a simulated vehicle has no objections."""
        self._armed = True

    def disarm(self) -> None:
        """Disarm at once; the stop command that follows says it to the simulator."""
        self._armed = False

    def kill(self) -> None:
        """Disarm at once; the stop command that follows says it to the simulator."""
        self._armed = False

    def hand_back(self) -> None:
        """Do nothing: a simulation has no pilot."""

    def send(self, command: Command, stamp: int) -> None:
        """Publish a command that answers the odometry stamped `stamp` (ns)."""
        self._stamp = stamp
        if command.kind == "motors":
            self._publisher.publish(motors_to_message(command, stamp))
        else:
            self._publisher.publish(thrust_rates_to_message(command, stamp, self._frame))

    def close(self) -> None:
        """Publish the command that stops the motors, and wait until it has arrived."""
        self.send(stop_command(self._kind), self._stamp)
        self._publisher.wait_for_all_acked(ARRIVAL_TIME)

    def release(self) -> None:
        """Leave the topic to others."""
        self._node.destroy_publisher(self._publisher)
        self._claim.release()
