"""What is flown between the containers, which fault comes, and what must follow. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SAFE_END = "safe_end"
CLEAN_EXIT = (0,)
FAULT_TIME = 2.0  # s of flight after which a fault comes
PAUSE = 1.5  # s
ATTEMPTS = 4
# The controller gives a simulator that stands still 10 s, then sinks for 2 s and stops.
LONG_PATIENCE = 16.0  # s


@dataclass(frozen=True)
class Fault:
    """One thing that is done to a container in flight."""

    target: str  # service of the compose file
    action: str  # subcommand of docker, or `disconnect`
    recovery: str = ""  # what undoes it
    after: float = 0.0  # s until then


@dataclass(frozen=True)
class Scenario:
    """One run of the three containers."""

    name: str
    description: str
    settings: Mapping[str, str] = field(default_factory=dict)  # variables of the compose file
    fault: Fault | None = None
    controller_exits: tuple[int, ...] | None = CLEAN_EXIT  # None: it is not there to be asked
    trains: bool = False  # the service `train` makes the policy first
    firmware: str = ""  # the real one that flies: a stage of the Dockerfile and a Compose file
    time_limit: float = 240.0  # s of wall time
    attempts: int = 1  # a flight by the clock may fail on a busy machine before its fault comes


def _faulty(
    name: str,
    description: str,
    fault: Fault,
    exits: tuple[int, ...] | None,
    patience: float = 6.0,
    firmware: str = "",
) -> Scenario:
    settings = {
        "SNN_TASK": "hover",
        "SNN_DURATION": "60.0",
        "SNN_LOCKSTEP": "false",
        "SNN_EXPECT": SAFE_END,
        "SNN_PATIENCE": f"{patience:.1f}",
    }
    return Scenario(name, description, settings, fault, exits, attempts=ATTEMPTS, firmware=firmware)


MAIN = Scenario("main", "figure-eight in lockstep, judged to its end")
REAL_TIME = Scenario(
    "real_time",
    "hover by the clock, each container on its own",
    {
        "SNN_TASK": "hover",
        "SNN_DURATION": "10.0",
        "SNN_LOCKSTEP": "false",
        "SNN_MAX_UNANSWERED": "0.1",
    },
)
LANDING = Scenario(
    "landing",
    "take-off, hover and landing in lockstep",
    {"SNN_TASK": "takeoff_land", "SNN_DURATION": "5.0"},
)
TRAINED = Scenario(
    "trained",
    "a short training, and a hover of the policy that it gives",
    {"SNN_TASK": "hover", "SNN_DURATION": "10.0", "SNN_MAX_RMSE": "0.3"},
    trains=True,
)
FIRMWARE = "betaflight"
BETAFLIGHT = (
    Scenario(
        FIRMWARE,
        "the real Betaflight firmware takes off, hovers and lands by a policy of thrust and rates",
        {"SNN_TASK": "hover", "SNN_DURATION": "10.0"},
        firmware=FIRMWARE,
    ),
    _faulty(
        f"{FIRMWARE}_controller_killed",
        "SIGKILL to the controller: Betaflight's own failsafe disarms",
        Fault("controller", "kill"),
        (137,),
        firmware=FIRMWARE,
    ),
)
FAULTS = (
    _faulty(
        "controller_killed",
        "SIGKILL to the controller: the vehicle's own time-out stops the motors",
        Fault("controller", "kill"),
        (137,),
    ),
    _faulty(
        "controller_stopped",
        "SIGTERM to the controller: it switches the motors off and reports",
        Fault("controller", "stop"),
        (143, 1),
    ),
    _faulty(
        "controller_paused",
        f"the controller is frozen for {PAUSE} s, then goes on",
        Fault("controller", "pause", "unpause", PAUSE),
        (1,),
    ),
    _faulty(
        "controller_cut_off",
        "the controller's network is cut for good",
        Fault("controller", "disconnect"),
        (1,),
        LONG_PATIENCE,
    ),
    _faulty(
        "controller_cut_shortly",
        f"the controller's network is cut for {PAUSE} s",
        Fault("controller", "disconnect", "connect", PAUSE),
        (1,),
        LONG_PATIENCE,
    ),
    _faulty(
        "simulator_killed",
        "SIGKILL to the simulator: no odometry and no time any more",
        Fault("sim", "kill"),
        (1,),
        LONG_PATIENCE,
    ),
    _faulty(
        "simulator_cut_off",
        "the simulator's network is cut for good",
        Fault("sim", "disconnect"),
        (1,),
        LONG_PATIENCE,
    ),
)
ALL = {
    scenario.name: scenario
    for scenario in (MAIN, REAL_TIME, LANDING, TRAINED, *FAULTS, *BETAFLIGHT)
}
PROFILES = {
    "main": ("main",),
    "ci": ("main", "controller_killed"),
    "flights": ("main", "real_time", "landing"),
    "faults": tuple(scenario.name for scenario in FAULTS),
    "train": ("trained",),
    "betaflight": tuple(scenario.name for scenario in BETAFLIGHT),
    "all": tuple(ALL),
}
