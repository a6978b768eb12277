"""What only one node of a domain may have: claimed at the start, or refused in a sentence.

Discovery may take seconds, and sees nothing of a node that starts at the same instant. So nodes of
one machine hold a name of the kernel too.
"""

from __future__ import annotations

from rclpy.node import Node

from snn_controller.errors import UserError
from snn_controller.system import hold_name

_UNKNOWN = "UNKNOWN"  # part of the names of nodes that are not fully discovered yet


class NodeClaim:
    """The right to be the one node of a name, held until `release` or the end of the process.

    A request to one of two nodes with the same name may reach the other, or both.
    """

    def __init__(self, node: Node) -> None:
        """Claim the node's own name.

        Raises:
            UserError: Another node of this machine has it.
        """
        name, domain = node.get_fully_qualified_name(), node.context.get_domain_id()
        self._socket = hold_name(f"node/{domain}{name}")
        if self._socket is None:
            raise UserError(
                f"another node {name} is up in ROS_DOMAIN_ID {domain}; stop it or choose another"
                " ROS_DOMAIN_ID"
            )

    def release(self) -> None:
        """Leave the name to others."""
        if self._socket is not None:
            self._socket.close()


class TopicClaim:
    """The right to publish a topic, held until `release` or the end of the process."""

    def __init__(self, node: Node, topic: str, what: str) -> None:
        """Claim a topic for a node that does not publish it yet.

        Args:
            node: The node that wants the topic.
            topic: Name of the topic.
            what: What is published on it, for the sentence.

        Raises:
            UserError: Another node publishes it.
        """
        name = node.resolve_topic_name(topic)
        domain = node.context.get_domain_id()
        self._socket = hold_name(f"{domain}{name}")
        others = node.get_publishers_info_by_topic(name)
        if self._socket is None or others:
            self.release()
            owners = [f"{x.node_namespace.rstrip('/')}/{x.node_name}" for x in others]
            owner = next((f"node {o}" for o in owners if _UNKNOWN not in o), "another node")
            raise UserError(
                f"{owner} already publishes {what} on {name} in ROS_DOMAIN_ID {domain}; stop it or"
                " choose another ROS_DOMAIN_ID"
            )

    def release(self) -> None:
        """Leave the topic to others."""
        if self._socket is not None:
            self._socket.close()
