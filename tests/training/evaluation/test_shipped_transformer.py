"""The decision transformer that ships: where it comes from, how it flies, what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.paths import policy_path
from snn_controller.policy.energy import CMOS_ADDITION, CMOS_MAC
from snn_controller.policy.runtime import Policy
from snn_training.evaluation.evaluate import Args, evaluate
from snn_training.networks.config import transformer_config
from snn_training.networks.transformer.model import DecisionTransformer


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(policy_path("transformer"))


@pytest.fixture(scope="module")
def cells() -> dict:
    args = Args(str(policy_path("transformer")), cells=("easy", "standard"), episodes=60)
    return evaluate(args)["cells"]


def test_it_learnt_from_datasets_alone_and_from_a_clean_tree(policy: Policy) -> None:
    provenance = policy.metadata.provenance
    assert "decision_transformer.py" in provenance["command"]
    assert len(provenance["git"]) == 40  # without +changes
    assert set(provenance["data"]) >= {"dense", "lean", "random"}
    assert "/tmp" not in str(provenance) + str(policy.metadata.evaluation)


def test_it_flies_the_fixed_test(cells: dict) -> None:
    assert cells["easy"]["survival"]["mean"] == 1.0
    assert cells["standard"]["survival"]["mean"] >= 0.9
    assert cells["standard"]["return_end"]["mean"] > 420.0


def test_it_costs_less_than_a_fifth_of_the_dense_one(policy: Policy, cells: dict) -> None:
    config = transformer_config(policy.metadata.provenance["config"]["network"])
    dense = DecisionTransformer(replace(config, kind="dense")).multiply_accumulates * CMOS_MAC
    spikes = cells["standard"]["synaptic_ops"]["mean"] * CMOS_ADDITION
    assert policy.metadata.input_macs == DecisionTransformer(config).multiply_accumulates
    assert spikes + policy.metadata.input_macs * CMOS_MAC < dense / 5.0


def test_no_layer_is_dead_or_loud(cells: dict) -> None:
    rates = {name: rate["mean"] for name, rate in cells["standard"]["spike_rate"].items()}
    assert len(rates) == 10
    assert all(0.001 < rate < 0.2 for rate in rates.values()), rates


def test_what_is_asked_changes_what_it_does(policy: Policy) -> None:
    actions = []
    for target in (250.0, 450.0):
        policy.reset()
        actions.append(
            policy.step(np.r_[np.zeros(3), np.eye(3).ravel(), np.zeros(6)], target_return=target)
        )
    assert np.abs(actions[0] - actions[1]).max() > 1e-3
