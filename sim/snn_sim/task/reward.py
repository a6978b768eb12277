"""The paper's hover reward in throttle units, so that perfect hover earns `survival` every step.

r = C_rs - C_rp |p|^2 - C_rv |v|^2 - C_rq |(roll, pitch, yaw)|^2 - C_ra |u - u_hover|^2

The published baseline 0.667 is a hover throttle read off a file; here u_hover comes from the
airframe, and u is the throttle command of each rotor in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from snn_controller.vehicle import Array, Reference, State, roll_pitch_yaw


@dataclass(frozen=True)
class RewardCoefficients:
    """Weights of the reward's terms."""

    position: float  # C_rp, 1/m^2
    velocity: float  # C_rv, s^2/m^2
    throttle: float  # C_ra
    attitude: float = 0.25  # C_rq, 1/rad^2
    survival: float = 1.0  # C_rs

    def as_array(self) -> Array:
        """Return the weights (5,) in order."""
        return np.array([self.position, self.velocity, self.throttle, self.attitude, self.survival])

    def towards(self, end: RewardCoefficients, share: float) -> RewardCoefficients:
        """Return the coefficients a share in [0, 1] of the way to others, for curricula."""
        return RewardCoefficients(
            **{
                field.name: getattr(self, field.name) * (1.0 - share)
                + getattr(end, field.name) * share
                for field in fields(self)
            }
        )


REWARD_PARTS = len(fields(RewardCoefficients))
START_COEFFICIENTS = RewardCoefficients(position=1.0, velocity=0.01, throttle=0.14)
END_COEFFICIENTS = RewardCoefficients(position=3.5, velocity=0.10, throttle=0.50)


def hover_reward(
    state: State,
    reference: Reference,
    throttle: Array,
    *,
    hover_throttle: float,
    coefficients: RewardCoefficients,
) -> Array:
    """Return the reward (...) of the state that a throttle command led to.

    Args:
        state: State after the step, (...) drones.
        reference: Position and velocity to hold.
        throttle: Command (..., 4) in [0, 1] of the step.
        hover_throttle: Throttle that carries the weight, `Quadrotor.hover_throttle`.
        coefficients: Weights of the terms.
    """
    parts = reward_parts(state, reference, throttle, hover_throttle=hover_throttle)
    return parts @ coefficients.as_array()


def reward_parts(
    state: State, reference: Reference, throttle: Array, *, hover_throttle: float
) -> Array:
    """Return what each coefficient multiplies (..., 5), in the order of `RewardCoefficients`.

    Rewards are linear in the coefficients, so who keeps the parts can weigh them anew. The
    arguments are those of `hover_reward`.
    """
    position = -_squared_norm(state.position - reference.position)
    velocity = -_squared_norm(state.velocity - reference.velocity)
    command = -_squared_norm(throttle - hover_throttle)
    attitude = -_squared_norm(roll_pitch_yaw(state.rotation))
    if position.ndim == 0:  # one drone; stacking would take longer than all the rest
        return np.array([position, velocity, command, attitude, 1.0])
    return np.stack([position, velocity, command, attitude, np.ones_like(position)], axis=-1)


def _squared_norm(vectors: Array) -> Array:
    # np.dot is the quickest for a single drone
    return np.dot(vectors, vectors) if vectors.ndim == 1 else np.sum(np.square(vectors), axis=-1)
