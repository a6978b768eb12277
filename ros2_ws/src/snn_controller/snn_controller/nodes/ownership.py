"""Topics that only one node of a domain may publish: claimed at the start, or refused."""

from __future__ import annotations

import socket
import sys

from rclpy.node import Node

from snn_controller.errors import UserError

MAX_NAME = 100  # bytes, a little less than the name of a socket may have
_UNKNOWN = "UNKNOWN"  # part of the names of nodes that are not fully discovered yet


class TopicClaim:
    """The right to publish a topic, held until `release` or the end of the process."""

    def __init__(self, node: Node, topic: str, what: str) -> None:
        """Claim a topic for a node that does not publish it yet.

        Discovery may take seconds, and sees nothing of a node that starts at the same instant. So
        nodes of one machine also hold a socket of the kernel, named by domain and topic.

        Args:
            node: The node that wants the topic.
            topic: Name of the topic.
            what: What is published on it, for the sentence.

        Raises:
            UserError: Another node publishes it.
        """
        name = node.resolve_topic_name(topic)
        domain = node.context.get_domain_id()
        self._socket = _hold(f"snn_controller/{domain}{name}")
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


def _hold(name: str) -> socket.socket | None:
    """Return a socket with a name of the network namespace, None where another holds the name."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform != "linux":
        return holder  # names without a file exist on Linux only
    try:
        holder.bind("\0" + name[:MAX_NAME])
    except OSError:
        holder.close()
        return None
    return holder
