"""Drives a managed node through lifecycle transitions, as a launch file would, then ends."""

from __future__ import annotations

import argparse
import os
import sys
from time import monotonic

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.utilities import remove_ros_args, try_shutdown

from snn_controller.nodes.node_main import make_executor

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
}


def change_state(node: Node, target: str, transition: str, timeout: float) -> bool:
    """Ask a managed node for one transition; return whether it was made within `timeout` s."""
    client = node.create_client(ChangeState, f"{target}/change_state")
    executor = make_executor()
    executor.add_node(node)
    deadline, parent = monotonic() + timeout, os.getppid()
    request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
    try:
        future = None
        while monotonic() < deadline and os.getppid() == parent:
            if future is None and client.service_is_ready():
                future = client.call_async(request)
            executor.spin_once(timeout_sec=0.05)
            if future is not None and future.done():
                response = future.result()
                return response is not None and response.success
        return False
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_client(client)


def main() -> None:
    """Make the transitions given on the command line, stopping at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="fully qualified name of the managed node")
    parser.add_argument("transitions", nargs="+", choices=TRANSITIONS)
    parser.add_argument("--timeout", type=float, default=30.0, help="s per transition")
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    rclpy.init()
    node = Node("transitions")
    made = all(change_state(node, args.target, t, args.timeout) for t in args.transitions)
    node.destroy_node()
    try_shutdown()
    sys.exit(0 if made else 1)


if __name__ == "__main__":
    main()
