"""Flies the stack in containers and judges it: `make docker-test`, or `--help`.

Builds the flight image, starts simulator, controller and judge as three machines, lets a fault
come where the scenario has one, collects logs and reports, takes everything down. Exit code 0 when
every scenario has passed, 1 when one has not, 2 when something is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from types import FrameType

from harness.engine import CannotRunError, Engine, engine
from harness.images import build, host_wheels, require_images
from harness.scenarios import ALL, FAULT_TIME, PROFILES, Scenario
from harness.shell import DockerError
from harness.stack import TRAINER, Stack, stack

ROOT = Path(__file__).resolve().parents[1]
COMPOSE_FOLDER = ROOT / "docker"
JUDGING_TIME = 120.0  # s that a controller may outlive the judge: a busy machine draws slowly
TRAINING_TIME = 1800.0  # s; a minute or two on a core of its own
EXIT_MISSING = 2
REALTIME = {"SNN_SIM_REALTIME": 550, "SNN_CONTROLLER_REALTIME": 350}  # ms of each second
NOT_BEGUN = "the policy did not fly until the fault was due; see controller.log"


@dataclass(frozen=True)
class Outcome:
    """What became of a scenario."""

    scenario: str
    passed: bool
    failure: str | None
    judge_exit: int | None
    controller_exit: int | None
    seconds: float


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    options = parse(sys.argv[1:])
    try:
        sys.exit(fly_all(options))
    except CannotRunError as error:
        print(f"docker: {'skipped' if options.optional else 'error'}: {error}", file=sys.stderr)
        sys.exit(0 if options.optional else EXIT_MISSING)
    except DockerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_MISSING)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--profile", choices=PROFILES, default="main", help="which scenarios to fly")
    add("--scenario", choices=ALL, action="append", help="fly these instead; may be repeated")
    add("--policy", help="policy.onnx to fly; default: the shipped one")
    add("--results", type=Path, help="folder of logs and reports; default: flights/docker-<time>")
    add("--state", type=Path, default=ROOT / ".ci-docker", help="data of a private engine")
    add("--no-build", action="store_true", help="take the image as it is")
    add("--install", action="store_true", help="install an engine by apt-get where there is none")
    add("--optional", action="store_true", help="where no engine can run, say why and exit with 0")
    add("--list", action="store_true", help="list scenarios and end")
    options = parser.parse_args(words)
    options.install |= bool(os.environ.get("CI"))
    options.scenarios = [ALL[name] for name in options.scenario or PROFILES[options.profile]]
    return options


def fly_all(options: argparse.Namespace) -> int:
    """Fly all scenarios that were asked for; return the exit code."""
    if options.list:
        print(*(f"{s.name:24} {s.description}" for s in ALL.values()), sep="\n")
        return 0
    results = options.results or ROOT / "flights" / f"docker-{datetime.now():%Y%m%d-%H%M%S}"
    policy = prepare_policy(options.policy, results)
    with engine(options.state.resolve(), install=options.install) as running:
        kind = "a private engine" if running.private else "the running engine"
        print(f"docker: {kind}, {running.version}, {' '.join(running.compose)}", flush=True)
        if options.no_build:
            require_images(stages(options.scenarios))
        else:
            build_images(running, options.scenarios)
        outcomes = [fly(running, each, policy, results / each.name) for each in options.scenarios]
    (results / "summary.json").write_text(json.dumps([asdict(x) for x in outcomes], indent=2))
    passed = sum(outcome.passed for outcome in outcomes)
    print(f"docker: {passed} of {len(outcomes)} scenarios passed; logs and reports: {results}")
    return 0 if passed == len(outcomes) else 1


def stages(scenarios: Sequence[Scenario]) -> list[str]:
    """Return the images that scenarios need, by their stages of the Dockerfile."""
    firmware = dict.fromkeys(scenario.firmware for scenario in scenarios if scenario.firmware)
    training = ["training"] if any(scenario.trains for scenario in scenarios) else []
    return ["flight", *firmware, *training]


def build_images(running: Engine, scenarios: Sequence[Scenario]) -> None:
    """Build what scenarios need."""
    for stage in stages(scenarios):
        with host_wheels(ROOT) if stage == "training" else nullcontext():
            build(running, ROOT, stage)


def prepare_policy(policy: str | None, results: Path) -> dict[str, str]:
    """Put the policy where containers can read it; return the variables that say so.

    Raises:
        DockerError: There is no such file.
    """
    if not policy:
        return {}
    source = Path(policy).expanduser()
    if not source.is_file():
        raise DockerError(f"policy file {source.absolute()} does not exist; give --policy FILE")
    folder = results.resolve() / "policy"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    shutil.copy(source, folder / source.name)
    (folder / source.name).chmod(0o644)  # another user reads it in there
    return {"SNN_POLICY": f"/policies/{source.name}", "SNN_POLICY_FOLDER": str(folder)}


def fly(running: Engine, scenario: Scenario, policy: dict[str, str], folder: Path) -> Outcome:
    """Fly one scenario, again where the machine was too busy for its flight to begin."""
    print(f"docker: {scenario.name}: {scenario.description}", flush=True)
    if scenario.trains:
        begin = monotonic()
        try:
            policy = train(running, folder)
        except DockerError as error:
            seconds = round(monotonic() - begin, 1)
            print(f"docker: {scenario.name}: FAILED ({error})", flush=True)
            return Outcome(scenario.name, False, str(error), None, None, seconds)
    attempt, outcome = 1, _attempt(running, scenario, policy, folder)
    while outcome.failure == NOT_BEGUN and attempt < scenario.attempts:
        attempt += 1
        print(f"docker: {scenario.name}: {NOT_BEGUN}; attempt {attempt}", flush=True)
        outcome = _attempt(running, scenario, policy, folder)
    print(f"docker: {scenario.name}: {_verdict(outcome)} in {outcome.seconds:.0f} s", flush=True)
    return outcome


def compose_files(*layers: str) -> tuple[Path, ...]:
    """Return the files that describe the containers, each over those before it."""
    names = ["compose.yaml", *(f"compose.{layer}.yaml" for layer in layers if layer)]
    return tuple(COMPOSE_FOLDER / name for name in names)


def train(running: Engine, folder: Path) -> dict[str, str]:
    """Train a policy in its container; return the variables that let it be flown.

    Raises:
        DockerError: The training does not end well.
    """
    left = folder.with_name(f"{folder.name}-training")  # each attempt empties `folder`
    with stack(running, compose_files(), _project(running), {}) as containers:
        containers.start(TRAINER)
        code = containers.wait(TRAINER, TRAINING_TIME)
        containers.collect(left)
    if code != 0:
        raise DockerError(f"the training ended with exit code {code}; see {left}/{TRAINER}.log")
    return prepare_policy(str(left / "runs" / "trained" / "policy.onnx"), folder.parent)


def _attempt(running: Engine, scenario: Scenario, policy: dict[str, str], folder: Path) -> Outcome:
    """Fly one scenario once and collect what it leaves."""
    begin = monotonic()
    unit = running.realtime_unit if scenario.firmware else ""
    files = compose_files(scenario.firmware, "realtime" if unit else "")
    realtime = {name: f"{time}{unit}" for name, time in REALTIME.items() if unit}
    settings = {**scenario.settings, **policy, **realtime}
    with stack(running, files, _project(running), settings) as containers:
        try:
            failure = _fly(containers, scenario)
        except DockerError as error:
            failure = str(error)
        codes = containers.exit_code("judge"), containers.exit_code("controller")
        failure = failure or why_failed(scenario, *codes, containers.log("judge"))
        shutil.rmtree(folder, ignore_errors=True)
        containers.collect(folder)
    seconds = round(monotonic() - begin, 1)
    return Outcome(scenario.name, failure is None, failure, *codes, seconds)


def _fly(containers: Stack, scenario: Scenario) -> str | None:
    """Let the scenario happen; return what kept it from happening."""
    containers.start()
    if scenario.fault is not None:
        if not containers.wait_for_flight(FAULT_TIME, scenario.time_limit):
            return NOT_BEGUN
        containers.inflict(scenario.fault)
    if containers.wait("judge", scenario.time_limit) is None:
        return f"the judge has not come to an end within {scenario.time_limit:g} s"
    containers.wait("controller", JUDGING_TIME)
    return None


def why_failed(
    scenario: Scenario, judge: int | None, controller: int | None, log: str
) -> str | None:
    """Return why a scenario has not passed, or None."""
    if judge != 0:
        failed = [line.strip() for line in log.splitlines() if line.startswith("  FAIL ")]
        return "; ".join(failed) or f"the judge ended with exit code {judge}; see judge.log"
    exits = scenario.controller_exits
    if exits is not None and controller not in exits:
        if controller is None:
            return f"the controller has not ended within {JUDGING_TIME:g} s of the judge"
        wanted = " or ".join(str(code) for code in exits)
        return f"the controller ended with exit code {controller} instead of {wanted}"
    return None


def _project(running: Engine) -> str:
    """Return a name for the containers: in our own engine always the same, to be found again.

    Elsewhere others may run the same beside us.
    """
    return "snn" if running.private else f"snn{os.getpid()}"


def _verdict(outcome: Outcome) -> str:
    return "passed" if outcome.passed else f"FAILED ({outcome.failure})"


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that everything is taken down."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
