"""A managed (lifecycle) node that says why a transition fails and survives impossible ones."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial, wraps
from time import monotonic, sleep
from typing import Any, TypeVar, cast

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from snn_controller.errors import UserError
from snn_controller.nodes.ros.main import EXIT_INTERNAL, EXIT_USER_ERROR, NodeClaim, steady_clock

LAUNCHER_PATIENCE = 60.0  # s that a launcher may take to activate the node
LOOK_PERIOD = 1.0  # s
AWAIT_TIMEOUT = 25.0  # s

Transition = TypeVar("Transition", bound=Callable[..., TransitionCallbackReturn])


def explained(transition: Transition) -> Transition:
    """Say why a transition failed (rclpy would not) and let a launcher see the end of it."""

    @wraps(transition)
    def explain(node: ManagedNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except UserError as error:
            node.get_logger().error(str(error))
            code, outcome = EXIT_USER_ERROR, TransitionCallbackReturn.FAILURE
        except Exception:
            node.get_logger().fatal(traceback.format_exc())
            code, outcome = EXIT_INTERNAL, TransitionCallbackReturn.ERROR
        if node.launched:
            node.exit_code = code
        return outcome

    return cast(Transition, explain)


class ManagedNode(LifecycleNode):
    """A lifecycle node for `run_node`; with a launcher it ends with its one activation."""

    def __init__(self, name: str) -> None:
        """Offer the lifecycle services; `expect_launcher` is called once parameters are known.

        Raises:
            UserError: Another node has this name; a launcher's requests might go there.
        """
        super().__init__(name)
        try:
            self._claim = NodeClaim(self)
        except UserError:
            super().destroy_node()
            raise
        self.exit_code: int | None = None
        self.launched = False
        self._waiting_since = monotonic()
        services: list[Any] = list(self.services)
        for service in services:
            if service.srv_type is ChangeState:
                service.callback = partial(self._change_state, service.callback)

    def destroy_node(self) -> None:
        """Leave the graph, and the name to others."""
        super().destroy_node()
        self._claim.release()

    def expect_launcher(self) -> None:
        """End the process with the flight, or when nobody activates the node in time."""
        self.launched = True
        self._look = self.create_timer(LOOK_PERIOD, self._look_for_launcher, clock=steady_clock())

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the launcher its time anew: configuring may have taken long."""
        self._waiting_since = monotonic()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop waiting for a launcher."""
        if self.launched:
            self._look.cancel()
        return super().on_activate(state)

    def await_nodes(self, names: str) -> None:
        """Wait until nodes have been discovered, so that they miss nothing of the flight.

        Args:
            names: Their names, separated by commas.

        Raises:
            UserError: One has not come up in time.
        """
        deadline = monotonic() + AWAIT_TIMEOUT
        wanted = {name.strip() for name in names.split(",")} - {""}
        while missing := wanted - set(self.get_node_names()):
            if monotonic() > deadline:
                raise UserError(
                    f"node '{min(missing)}' is not up after {AWAIT_TIMEOUT:.0f} s; see its log"
                )
            sleep(0.05)

    def _look_for_launcher(self) -> None:
        if monotonic() - self._waiting_since > LAUNCHER_PATIENCE:
            self._look.cancel()
            self.get_logger().error(
                f"nobody has activated this node within {LAUNCHER_PATIENCE:.0f} s; check that"
                " ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE let nodes find each other"
            )
            self.exit_code = EXIT_USER_ERROR

    def _change_state(
        self,
        change: Callable[[ChangeState.Request, ChangeState.Response], ChangeState.Response],
        request: ChangeState.Request,
        response: ChangeState.Response,
    ) -> ChangeState.Response:
        """Refuse what is impossible in the present state; rclpy would let it end the process."""
        try:
            return change(request, response)
        except RuntimeError:  # rcl's error for a transition that the present state does not have
            name = request.transition.label or request.transition.id
            self.get_logger().warning(f"transition {name} is impossible in this state; ignored")
            response.success = False
            return response
