"""Named studies: which settings are compared, each a training script with options.

A study of your own is one more entry in STUDIES.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snn_controller.errors import UserError
from snn_training.common import Budget

FAST = ("--network.kernel", "auto")  # jsrl.py and td3bc.py choose so by themselves
FIXED_SLOPES = (1, 2, 10, 25, 50, 100)
Axis = Literal["transitions", "updates", "minutes"]  # the last of processor time


@dataclass(frozen=True)
class Setting:
    """One row of a study."""

    label: str  # also in file names
    script: str  # in training/, without .py
    options: tuple[str, ...] = ()
    full: tuple[str, ...] | None = None  # options with the full budget, where they differ

    def options_of(self, budget: Budget) -> tuple[str, ...]:
        """Return the options with a budget."""
        return self.options if budget == "study" or self.full is None else self.full


@dataclass(frozen=True)
class Study:
    """Settings that are compared over the same seeds, budget and test."""

    question: str
    settings: tuple[Setting, ...]
    axis: Axis = "transitions"  # what learning is measured against


def _slopes(
    script: str, *, always: tuple[str, ...] = (), study: tuple[str, ...] = ()
) -> tuple[Setting, ...]:
    """Return the paper's schedules, and more fixed slopes, for a script.

    `always` are options that it gets beside, `study` those with the study's budget only.
    """
    schedules = {
        **{f"fixed-{slope}": ("fixed", "--slope.start", f"{slope}") for slope in FIXED_SLOPES},
        "interval": ("interval", "--slope.start", "1", "--slope.intervals", "5"),
        "adaptive": ("adaptive", "--slope.start", "2"),
    }
    options = {label: (*always, "--slope.schedule", *x) for label, x in schedules.items()}
    return tuple(Setting(label, script, (*x, *study), full=x) for label, x in options.items())


def _one_round(flights: int, updates: int) -> tuple[str, ...]:
    """Return options of bc.py for as many flights and updates as it has, all of the guide."""
    return (*FAST, "--rounds", "1", "--flights", str(flights), "--updates", str(updates))


OFTEN = ("--intervals", "12", "--updates", "75")  # schedules move with the validations
# Only the value pulls: beside it the price on change, meant for what the guide leaves, would win.
NO_CLONING = ("--learner.bc-weight", "0", "--learner.smoothness", "0")
SPIKE_READOUT = ("--network.readout", "spikes", "--network.readout-gain", "1")  # the published one
NO_JUMP_START = ("--jump-start.schedule", "none")
# The published slope study's network, which has four steps for an answer.
WITHOUT_MEMORY = ("--learner.actor", "spiking", "--learner.actor-hidden", "128", "128")
OFFLINE = "decision_transformer"  # needs the datasets of docs/decision_transformer.md
STUDIES: dict[str, Study] = {
    "learners": Study(
        "Which learner gets furthest on the same budget?",
        (
            Setting("BC", "bc", _one_round(48, 1500), full=_one_round(96, 6000)),
            Setting("DAgger", "bc", FAST),
            Setting("TD3", "td3"),
            Setting("TD3BC", "td3bc"),
            Setting("TD3BC+JSRL", "jsrl"),
            Setting("APG", "apg"),
        ),
        axis="minutes",
    ),
    "jump_start": Study(
        "What do cloning and the jump start bring?",
        (
            Setting("both", "jsrl"),
            Setting("both-cloning-fades", "jsrl", ("--learner.bc-decay", "0.99")),  # as published
            Setting("jump-start-only", "jsrl", NO_CLONING),
            Setting("cloning-only", "jsrl", NO_JUMP_START),
            Setting("neither", "jsrl", (*NO_CLONING, *NO_JUMP_START)),
        ),
    ),
    "slopes": Study(
        "Which surrogate slope learns fastest in flight?", _slopes("jsrl", study=OFTEN)
    ),
    "slopes_bc": Study(
        "Which surrogate slope learns fastest from a teacher?",
        _slopes("bc", always=FAST, study=("--flights", "2")),
        axis="updates",
    ),
    "slopes_td3": Study(
        "Which surrogate slope learns fastest from rewards alone?",
        _slopes("td3", always=WITHOUT_MEMORY, study=("--updates", "10")),
    ),
    "memory": Study(
        "What is the network's memory worth, and in what form?",
        (
            Setting("LIF", "jsrl"),
            Setting("LIF-without-feedback", "jsrl", ("--network.no-action-feedback",)),
            Setting("LIF-without-memory", "jsrl", ("--network.no-memory",)),
            Setting("LIF-spike-readout", "jsrl", SPIKE_READOUT),
            Setting("LIF-recurrent", "jsrl", ("--network.recurrent",)),
            Setting("CuBa-LIF", "jsrl", ("--network.synapse", "current")),
            Setting("GRU", "jsrl", ("--network.kind", "gru")),
            Setting("MLP", "jsrl", ("--network.kind", "mlp")),
            Setting("MLP-history", "jsrl", ("--network.kind", "mlp_history")),
        ),
    ),
    "sparsity": Study(
        "What does it cost to spike less?",
        tuple(
            Setting(f"weight-{weight}", "jsrl", ("--learner.sparsity", weight))
            for weight in ("3", "30", "300")
        ),
    ),
    "transformer": Study(
        "What do the parts of the spiking decision transformer bring?",
        (
            Setting("spiking", OFFLINE),
            Setting("without-phase", OFFLINE, ("--network.no-phase",)),
            Setting("without-routing", OFFLINE, ("--network.no-routing",)),
            Setting("without-both", OFFLINE, ("--network.no-phase", "--network.no-routing")),
            Setting("with-plasticity", OFFLINE, ("--plasticity.enabled",)),
            Setting("dense", OFFLINE, ("--network.kind", "dense")),
            Setting("cloning", OFFLINE, ("--network.no-conditioned",)),
        ),
        axis="updates",
    ),
}


def find_study(name: str) -> Study:
    """Return a study by its name.

    Raises:
        UserError: There is none of that name.
    """
    if name not in STUDIES:
        raise UserError(f"unknown study '{name}'; choose from: {', '.join(STUDIES)}")
    return STUDIES[name]


def choose_settings(study: Study, labels: tuple[str, ...]) -> tuple[Setting, ...]:
    """Return the settings with these labels, all without any.

    Raises:
        UserError: The study has no setting of that label.
    """
    known = {setting.label: setting for setting in study.settings}
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise UserError(f"unknown setting '{unknown[0]}'; choose from: {', '.join(known)}")
    return tuple(known[label] for label in labels) or study.settings
