"""The shipped policies of thrust and body rates hover, also behind other rate loops."""

from __future__ import annotations

import numpy as np
import pytest

from snn_controller.paths import policy_path
from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.airframe import load_quadrotor
from snn_sim.envs.make import make_drones
from snn_sim.envs.rate_control import RateVariation
from snn_training.rollouts.batched_policy import BatchedPolicy

COUNT = 40


@pytest.mark.parametrize("variation", [None, RateVariation()], ids=["our loop", "other loops"])
@pytest.mark.parametrize(
    ("name", "airframe"), [("hover_rates", "crazyflie21"), ("hover_x500", "x500")]
)
def test_the_shipped_policy_hovers(
    name: str, airframe: str, variation: RateVariation | None
) -> None:
    policy = Policy.load(policy_path(name), airframe=airframe)
    assert policy.metadata.action_kind == "thrust_rates"
    drones = make_drones(
        "batched",
        load_quadrotor(policy.metadata.airframe),
        COUNT,
        action_kind="thrust_rates",
        rate_variation=variation,
        starts=("hover",),
        seed=2,
    )
    pilot = BatchedPolicy(policy, COUNT)
    for _ in range(300):
        drones.step(pilot.step(drones.observations), auto_reset=False)
        assert not drones.terminated.any()
    assert np.linalg.norm(drones.state.position, axis=1).max() < 0.15
