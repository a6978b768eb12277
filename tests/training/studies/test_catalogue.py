"""Every setting of every study is a command line that its script takes."""

from __future__ import annotations

import re
import runpy
import sys
from collections import Counter
from types import ModuleType

import pytest
import tyro

from snn_controller.errors import UserError
from snn_training.algorithms import bc
from snn_training.common.command import Budget, with_budget
from snn_training.studies.catalogue import (
    STUDIES,
    Setting,
    choose_settings,
    find_study,
)
from snn_training.studies.run import QUIET
from support.places import ROOT

SETTINGS = [(name, setting) for name, study in STUDIES.items() for setting in study.settings]


def behind_the_door(name: str) -> ModuleType:
    """Return the module that a script of training/ opens."""
    door = runpy.run_path(str(ROOT / "training" / f"{name}.py"), run_name="door")
    return sys.modules[door["Args"].__module__]


@pytest.mark.parametrize(("study", "setting"), SETTINGS, ids=lambda x: getattr(x, "label", x))
def test_its_script_takes_it(study: str, setting: Setting) -> None:
    script = behind_the_door(setting.script)
    for budget in ("study", "full"):
        options = setting.options_of(budget)
        args = tyro.cli(script.Args, args=["--budget", budget, *QUIET, *options])
        script.check(with_budget(args, script.STUDY))


def test_cloning_without_rounds_is_as_long_as_cloning_with_them() -> None:
    def cost(label: str, budget: Budget) -> tuple[int, int]:
        (setting,) = choose_settings(find_study("learners"), (label,))
        args = tyro.cli(bc.Args, args=["--budget", budget, *setting.options_of(budget)])
        args = with_budget(args, bc.STUDY)
        return args.rounds * args.flights, args.rounds * args.updates

    for budget in ("study", "full"):
        assert cost("BC", budget) == cost("DAgger", budget)


@pytest.mark.parametrize("name", STUDIES)
def test_settings_differ_and_are_named_so_that_files_can_be(name: str) -> None:
    settings = STUDIES[name].settings
    assert max(Counter(setting.label for setting in settings).values()) == 1
    assert len({(setting.script, setting.options) for setting in settings}) == len(settings)
    assert all(re.fullmatch(r"[A-Za-z0-9+-]+", setting.label) for setting in settings)


def test_what_there_is_not_is_one_sentence() -> None:
    with pytest.raises(UserError, match="unknown study 'nothing'; choose from: learners"):
        find_study("nothing")
    with pytest.raises(UserError, match="unknown setting 'Adam'; choose from: BC, DAgger"):
        choose_settings(find_study("learners"), ("BC", "Adam"))
    chosen = choose_settings(find_study("learners"), ("TD3", "BC"))
    assert [setting.label for setting in chosen] == ["TD3", "BC"]
