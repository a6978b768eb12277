"""What Dockerfile, Compose files and scenarios say, held against each other."""

from __future__ import annotations

import re

import pytest
import yaml
from harness import engine as engines
from harness.scenarios import ALL, FAULTS, MAIN, PROFILES, SAFE_END
from harness.stack import SERVICES
from requirements import requirements
from sim_in_the_loop import REALTIME, compose_files

from snn_sim.betaflight.sitl import PACKAGE, PACKAGE_VERSION
from support.places import ROOT

COMPOSE = (ROOT / "docker" / "compose.yaml").read_text()
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def test_profiles_name_scenarios_and_faults_want_a_safe_end() -> None:
    assert all(name in ALL for names in PROFILES.values() for name in names)
    for scenario in FAULTS:
        assert scenario.fault is not None and scenario.fault.target in SERVICES
        assert scenario.settings["SNN_EXPECT"] == SAFE_END
        assert scenario.settings["SNN_LOCKSTEP"] == "false"  # a fault takes time of its own
    assert PROFILES["ci"][0] == MAIN.name and len(PROFILES["ci"]) == 2


def test_scenarios_set_only_what_the_compose_file_reads() -> None:
    read = set(re.findall(r"\$\{(\w+):-", COMPOSE))
    given = {name for scenario in ALL.values() for name in scenario.settings}
    assert given <= read and {"SNN_POLICY", "SNN_POLICY_FOLDER"} <= read


def test_firmware_has_files_of_its_own_and_its_container_is_locked_in_too() -> None:
    scenarios = [scenario for scenario in ALL.values() if scenario.firmware]
    assert {scenario.firmware for scenario in scenarios} == {"betaflight"}
    base, over = compose_files("betaflight")
    services = yaml.safe_load(over.read_text())["services"]
    assert base == compose_files()[0] and set(services) == set(SERVICES)
    realtime = compose_files("", "realtime")[1].read_text()
    assert set(re.findall(r"\$\{(\w+)\}", realtime)) == set(REALTIME)
    for name in ("sim", "controller"):
        assert set(services[name]["cap_add"]) == {"SYS_NICE", "SETUID", "SETGID"}
        assert "setpriv --reuid snn" in "".join(services[name]["entrypoint"])
        assert "ports" not in services[name]


@pytest.mark.parametrize(
    ("version", "written"), [("1.29.2\n", "550ms"), ("2.40.3", "550000"), ("v2.5.0", "550000")]
)
def test_each_compose_gets_real_time_in_its_own_unit(version: str, written: str) -> None:
    assert f"550{engines.realtime_unit(version)}" == written


def test_firmware_is_in_its_own_image_only_and_of_the_version_that_is_tested() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    holders = [stage.partition("\n")[0] for stage in stages if "/opt/betaflight/sitl" in stage]
    assert holders == ["base AS build-betaflight", "flight AS betaflight"]
    assert f"{PACKAGE}=={PACKAGE_VERSION} " in DOCKERFILE


def test_containers_are_locked_in() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    assert set(SERVICES) <= set(services)
    for name in SERVICES:
        service = services[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "ports" not in service
        assert service["mem_limit"] and service["cpus"] and service["pids_limit"]
    assert yaml.safe_load(COMPOSE)["networks"]["flight"]["internal"]


def test_peers_are_up_before_they_are_named() -> None:
    """Fast DDS refuses to start where the name of a peer cannot be resolved."""
    services = yaml.safe_load(COMPOSE)["services"]
    started: list[str] = []
    for name in SERVICES:  # in the order of `depends_on`
        peers = services[name]["environment"].get("ROS_STATIC_PEERS", "")
        assert set(filter(None, peers.split(";"))) <= set(started)
        assert set(services[name].get("depends_on", {})) <= set(started)
        started.append(name)


def test_images_are_pinned_and_the_flight_image_has_no_torch() -> None:
    lines = (ROOT / "docker" / "constraints.txt").read_text().splitlines()
    pins = {line.partition("==")[0].lower() for line in lines if "==" in line}
    wanted = requirements(ROOT / "pyproject.toml", ["flight"])
    names = {re.split(r"[=<>!\[;]", line)[0].strip().lower() for line in wanted}
    assert names <= pins
    assert "torch" not in pins
    assert "\nUSER snn\n" in DOCKERFILE and "HEALTHCHECK" in DOCKERFILE
    assert not DOCKERFILE.startswith("# syntax")
