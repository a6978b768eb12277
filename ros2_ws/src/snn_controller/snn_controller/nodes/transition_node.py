"""Drives a managed node through lifecycle transitions, as a launch file would, then ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from time import monotonic
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from snn_controller.nodes.ros.main import run_node, steady_clock

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
}
STARTS = {
    "configure": State.PRIMARY_STATE_UNCONFIGURED,
    "activate": State.PRIMARY_STATE_INACTIVE,
}
GOALS = {
    "configure": State.PRIMARY_STATE_INACTIVE,
    "activate": State.PRIMARY_STATE_ACTIVE,
}
POLL_PERIOD = 0.05  # s
TIMEOUT = 90.0  # s; waiting for other nodes takes 25 s, a Crazyflie on a poor radio link 45 s
LATE = 2.0  # s after which an answer is late: what is sent before both ends are matched is lost


class TransitionNode(Node):
    """Asks for one transition after the other; ends with 0 when all were made, else with 1."""

    def __init__(self, target: str, transitions: Sequence[str], timeout: float) -> None:
        """Drive the node `target` through transitions, each within `timeout` s."""
        super().__init__("transitions")
        self.exit_code: int | None = None
        self.launcher_pid = os.getppid()  # must not drive the nodes of another launch
        self._target, self._timeout = target, timeout
        self._left = list(transitions)
        self._asked = 0.0  # s, when the target was asked for anything last
        self._answers: list[Any] = []  # futures, for the present transition
        self._state: Any = None  # future, where an answer is late
        self._deadline = monotonic() + timeout
        self._client: Any = self.create_client(ChangeState, f"{target}/change_state")
        self._states: Any = self.create_client(GetState, f"{target}/get_state")
        self.create_timer(POLL_PERIOD, self._poll, clock=steady_clock())

    def close(self, reason: str) -> None:
        """Nothing is held."""

    def _poll(self) -> None:
        if self.exit_code is not None:
            return
        done = [answer for answer in self._answers if answer.done()]
        if any(answer.result().success for answer in done):
            self._advance()
        elif done and len(done) == len(self._answers):
            self.exit_code = 1  # the managed node has said why
        elif monotonic() > self._deadline:
            self.get_logger().error(
                f"{self._target} did not {self._left[0]} within {self._timeout:g} s; is it running?"
            )
            self.exit_code = 1
        elif not self._answers:
            self._ask()
        else:
            self._look()

    def _ask(self) -> None:
        """Ask for the transition, if the target can be seen."""
        if self._client.service_is_ready():
            transition = Transition(id=TRANSITIONS[self._left[0]])
            self._answers.append(
                self._client.call_async(ChangeState.Request(transition=transition))
            )
            self._state, self._asked = None, monotonic()

    def _look(self) -> None:
        """See by the target's state whether a request, or the answer to it, was lost."""
        if self._state is not None and self._state.done():
            state = self._state.result().current_state.id
            self._state = None
            if state == GOALS[self._left[0]]:
                self._advance()
            elif state == STARTS[self._left[0]]:
                self.get_logger().warning(f"asking {self._target} to {self._left[0]} again")
                self._ask()
        elif monotonic() - self._asked > LATE and self._states.service_is_ready():
            self._asked = monotonic()
            self._state = self._states.call_async(GetState.Request())

    def _advance(self) -> None:
        self._left.pop(0)
        self._answers, self._state = [], None
        self._deadline = monotonic() + self._timeout
        if not self._left:
            self.exit_code = 0


def main() -> None:
    """Make the transitions given on the command line, stopping at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="fully qualified name of the managed node")
    parser.add_argument("transitions", nargs="+", choices=TRANSITIONS)
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="s per transition")
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    sys.exit(run_node(lambda: TransitionNode(args.target, args.transitions, args.timeout)))


if __name__ == "__main__":
    main()
