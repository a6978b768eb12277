"""Drives a managed node through lifecycle transitions, as a launch file would, then ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from time import monotonic

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.task import Future
from rclpy.utilities import remove_ros_args

from snn_controller.nodes.node_main import run_node, steady_clock

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
}
POLL_PERIOD = 0.05  # s


class TransitionNode(Node):
    """Asks for one transition after the other; ends with 0 when all were made, else with 1."""

    def __init__(self, target: str, transitions: Sequence[str], timeout: float) -> None:
        """Drive the node `target` through transitions, each within `timeout` s."""
        super().__init__("transitions")
        self.exit_code: int | None = None
        self.launcher_pid = os.getppid()  # must not drive the nodes of another launch
        self._target, self._timeout = target, timeout
        self._left = list(transitions)
        self._future: Future | None = None
        self._deadline = monotonic() + timeout
        self._client = self.create_client(ChangeState, f"{target}/change_state")
        self.create_timer(POLL_PERIOD, self._poll, clock=steady_clock())

    def close(self, reason: str) -> None:
        """Nothing is held."""

    def _poll(self) -> None:
        if self.exit_code is not None:
            return
        if self._future is None and self._client.service_is_ready():
            transition = Transition(id=TRANSITIONS[self._left[0]])
            self._future = self._client.call_async(ChangeState.Request(transition=transition))
        elif self._future is not None and self._future.done():
            self._finish(self._future)
        elif monotonic() > self._deadline:
            self.get_logger().error(
                f"{self._target} did not {self._left[0]} within {self._timeout:g} s; is it running?"
            )
            self.exit_code = 1

    def _finish(self, future: Future) -> None:
        response = future.result()
        self._left.pop(0)
        self._future, self._deadline = None, monotonic() + self._timeout
        if response is None or not response.success:
            self.exit_code = 1  # the managed node has said why
        elif not self._left:
            self.exit_code = 0


def main() -> None:
    """Make the transitions given on the command line, stopping at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="fully qualified name of the managed node")
    parser.add_argument("transitions", nargs="+", choices=TRANSITIONS)
    parser.add_argument("--timeout", type=float, default=30.0, help="s per transition")
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    sys.exit(run_node(lambda: TransitionNode(args.target, args.transitions, args.timeout)))


if __name__ == "__main__":
    main()
