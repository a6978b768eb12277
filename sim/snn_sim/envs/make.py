"""The function that makes drones in either simulator, so that the code around them is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snn_controller.control import RateGains, autopilot_gains
from snn_controller.errors import UserError
from snn_controller.vehicle import ACTION_KINDS, ActionKind, Quadrotor
from snn_sim.envs.drones import SIMULATORS, Drones, Simulator
from snn_sim.envs.rate_control import RateControlledDrones, RateVariation
from snn_sim.task import (
    CONTROL_RATE,
    CRASH_DISTANCE,
    EPISODE_STEPS,
    NOMINAL,
    START_COEFFICIENTS,
    Disturbances,
    RewardCoefficients,
)


def make_drones(
    sim: Simulator,
    quadrotor: Quadrotor,
    count: int,
    *,
    action_kind: ActionKind = "motors",
    rate_gains: RateGains | None = None,
    rate_variation: RateVariation | None = None,
    starts: Sequence[str] = ("standard",),
    disturbances: Disturbances = NOMINAL,
    coefficients: RewardCoefficients = START_COEFFICIENTS,
    control_rate: float = CONTROL_RATE,
    crash_distance: float = CRASH_DISTANCE,
    episode_steps: int = EPISODE_STEPS,
    history_steps: int = 0,
    seed: int = 0,
) -> Drones:
    """Return drones in a simulator: `batched`, the compiled one, or `pybullet`, slower and few.

    Actions of the kind `thrust_rates` go through a rate loop, with the gains of the airframe's
    autopilot unless others are given, or by `rate_variation` with others in every episode. The
    rest is what `DroneBatch` takes.

    Raises:
        UserError: A name is unknown, a number impossible, or the simulator's package missing.
    """
    if sim not in SIMULATORS or action_kind not in ACTION_KINDS:
        raise UserError(
            f"there are no drones in '{sim}' flown by '{action_kind}'; choose from the simulators "
            f"{', '.join(SIMULATORS)} and the actions {', '.join(ACTION_KINDS)}"
        )
    rate_loop = action_kind == "thrust_rates"
    drones = _batch_type(sim)(
        quadrotor,
        count,
        starts=starts,
        disturbances=disturbances,
        coefficients=coefficients,
        control_rate=control_rate,
        crash_distance=crash_distance,
        episode_steps=episode_steps,
        history_steps=0 if rate_loop else history_steps,
        seed=seed,
    )
    if not rate_loop:
        return drones
    gains = autopilot_gains(quadrotor) if rate_gains is None else rate_gains
    return RateControlledDrones(
        drones, gains, variation=rate_variation, history_steps=history_steps, seed=seed
    )


def _batch_type(sim: Simulator) -> Callable[..., Drones]:
    # imported here, so that either simulator works where the other one's package is missing
    if sim == "batched":
        from snn_sim.batched import DroneBatch

        return DroneBatch
    from snn_sim.bullet import BulletBatch

    return BulletBatch
