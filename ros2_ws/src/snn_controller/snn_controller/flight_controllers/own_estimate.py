"""What a link makes of its vehicle's estimate: frame of the start, and the lift that it shows."""

from __future__ import annotations

from snn_controller.flight_controllers.lift_estimate import LiftEstimate
from snn_controller.flight_controllers.links import LinkOptions
from snn_controller.flight_controllers.start_frame import StartFrame
from snn_controller.flight_controllers.throttle import throttle_from_thrust
from snn_controller.state import Odometry


class OwnEstimate:
    """Odometry on its way to the node, and throttle on its way to the vehicle."""

    def __init__(self, options: LinkOptions) -> None:
        """Take from the options what is to be done."""
        self._options = options
        self._frame = StartFrame()
        self._lift = LiftEstimate()
        self._has_started = False

    def start(self) -> None:
        """Keep the frame from now on, and trust the parameters anew."""
        self._has_started = True
        self._lift = LiftEstimate()

    def tell(self, odometry: Odometry, *, flying: bool, armed: bool) -> Odometry:
        """Return odometry for the node.

        Args:
            odometry: As the vehicle tells it, in ENU and FLU.
            flying: Whether the vehicle obeys our commands.
            armed: Whether its motors may turn; before, it stands where the flight will start.
        """
        if self._options.start_frame:
            on_start = not self._has_started and not armed
            odometry = self._frame.tell(odometry, on_start=on_start)
        if self._options.lift_estimation and odometry.state.is_finite():
            self._lift.learn(odometry, flying=flying)
        return odometry

    def throttle(self, thrust: float) -> float:
        """Return the throttle in [0, 1] for a mass-normalised thrust in m/s^2."""
        self._lift.note_command(thrust)
        options = self._options
        corrected = thrust * self._lift.factor
        return throttle_from_thrust(corrected, options.hover_thrust, options.thrust_curve)
