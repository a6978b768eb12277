"""A short fault campaign: every fault once in lockstep; benchmarks has the long one.

About 10 s for `sim`, 20 s for `mavlink`, 15 s each for `px4` and `crazyflie`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snn_controller.safety.guards import RULES
from snn_sim.faults.campaign import (
    FAULTS,
    MAX_REACTION,
    RIGS,
    Rig,
    faults_by_verdict,
    fly_campaign,
    sim_rig,
    tabulate,
    verdict_table,
)
from snn_sim.faults.scene import Fault
from support.places import ROOT

SEED = 7


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    yield sim_rig()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_ends_in_the_state_that_the_tables_demand(rig: Rig, fault: Fault) -> None:
    outcome = rig.fly(fault, SEED)
    assert outcome.right, outcome
    assert outcome.uncommanded == 0
    assert outcome.ticks is None or outcome.ticks <= MAX_REACTION


CLIENTS = {"mavlink": "pymavlink", "px4": "pymavlink", "crazyflie": "cflib"}


@pytest.fixture(scope="module", params=list(CLIENTS))
def linked(request: pytest.FixtureRequest) -> Rig:
    pytest.importorskip(CLIENTS[request.param])
    return RIGS[request.param]()


@pytest.mark.slow
def test_every_fault_of_a_link_ends_with_vehicle_and_flight_as_demanded(linked: Rig) -> None:
    wrong = {}
    for fault in linked.faults:
        outcome = linked.fly(fault, SEED)
        late = outcome.ticks is not None and outcome.ticks > MAX_REACTION
        if not outcome.right or outcome.uncommanded or late:
            wrong[fault.name] = outcome
    assert not wrong


def test_every_verdict_of_the_guards_is_reached_by_a_fault() -> None:
    """The faults themselves are flown above: each must give the verdict that it names."""
    reached = faults_by_verdict("sim")
    assert set(reached) == set(RULES)
    assert [verdict for verdict, faults in reached.items() if not faults] == []


def test_the_safety_page_shows_which_fault_reaches_which_verdict() -> None:
    for client in CLIENTS.values():
        pytest.importorskip(client)
    assert verdict_table() in (ROOT / "docs" / "safety.md").read_text()


def test_the_same_seed_flies_the_same_campaign() -> None:
    first, second = (list(fly_campaign(3, 5, faults=FAULTS[:3])) for _ in range(2))
    assert first == second
    other = list(fly_campaign(3, 6, faults=FAULTS[:3]))
    assert [x.deviation for _, x in first] != [x.deviation for _, x in other]


def test_the_table_counts_what_went_wrong(rig: Rig) -> None:
    fault = next(fault for fault in FAULTS if fault.name == "link lost")
    outcome = rig.fly(fault, SEED)
    bad = replace(outcome, right=False, uncommanded=2, ticks=9)
    row = tabulate([("sim", outcome), ("sim", bad)])[0]
    assert (row.flights, row.right, row.worst_ticks, row.uncommanded) == (2, 1, 9, 2)
    assert not row.ok
    assert tabulate([("sim", outcome)])[0].ok


def test_the_script_writes_its_result(tmp_path: Path) -> None:
    file = tmp_path / "campaign.json"
    command = [sys.executable, ROOT / "benchmarks" / "fault_campaign.py"]
    done = subprocess.run(
        [*command, "--flights", "8", "--seed", "1", "--json", file],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    assert result["flights"] == 8
    assert result["uncommanded_motion"] == result["wrong_state"] == 0
    assert result["worst_reaction_ticks"] <= MAX_REACTION
    assert [row["fault"] for row in result["table"]] == [fault.name for fault in FAULTS[:8]]
    assert result["table"][7]["fault"] in done.stdout
