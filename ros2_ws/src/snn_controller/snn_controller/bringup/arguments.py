"""Arguments of the flight graph: names, defaults, choices, and what their values mean. No ROS."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from snn_controller.control import TASKS
from snn_controller.errors import UserError
from snn_controller.flight import AUTO_STARTS, DEFAULT_HOST, DEFAULT_PORT, LINKS

PARTS = ("all", "simulator", "controller")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Argument:
    """One launch argument, given as `name:=value`."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()

    @property
    def is_boolean(self) -> bool:
        """Whether the value says yes or no."""
        return self.choices == _BOOLEAN


_BOOLEAN = ("true", "false")
ARGUMENTS = (
    Argument("policy", "", "policy.onnx to fly; empty for the shipped hover policy"),
    Argument("policy_sha256", "", "refuse any policy file but the one with this hash, if set"),
    Argument(
        "target_return",
        "0",
        "return to ask of a policy that takes one, 500 for perfect hover; 0 for its own",
    ),
    Argument("link", "sim", "flight controller to command", LINKS),
    Argument(
        "endpoint",
        "",
        "where the flight controller is, as udpin:HOST:PORT, tcp:HOST:PORT or"
        " /dev/ttyACM0:921600; empty for its default; sitl: simulated with its real firmware,"
        " sitl:HOST where that runs on another host",
    ),
    Argument(
        "auto_start",
        "simulated",
        "where to arm and fly at once instead of waiting for the services arm and takeoff",
        AUTO_STARTS,
    ),
    Argument("task", "hover", "what to fly", tuple(TASKS)),
    Argument("duration", "20.0", "time in s that the policy flies"),
    Argument("seed", "1", "seed of the simulated start; the same seed flies the same flight"),
    Argument(
        "lockstep",
        "true",
        "true: time advances one step per command, as fast as it goes; false: real time, as always"
        " with a flight controller",
        _BOOLEAN,
    ),
    Argument(
        "part",
        "all",
        "which part of the graph to start here, where the other runs on another machine; flight"
        " controllers have no simulator but their firmware's",
        PARTS,
    ),
    Argument(
        "observers",
        "",
        "nodes elsewhere that must hear the flight from its first step, split by commas",
    ),
    Argument("gui", "false", "show PyBullet's window", _BOOLEAN),
    Argument(
        "record", "false", "record the flight into an MCAP bag in the report folder", _BOOLEAN
    ),
    Argument("report", "", "folder of the flight report; empty for flights/<time>-<task>"),
    Argument("rviz", "false", "show the flight in RViz (needs a ROS 2 installation)", _BOOLEAN),
    Argument(
        "foxglove",
        "false",
        "serve the flight by WebSocket to Foxglove (needs the extra viz)",
        _BOOLEAN,
    ),
    Argument(
        "foxglove_host",
        DEFAULT_HOST,
        "address to serve at; 0.0.0.0 lets everybody on the network watch",
    ),
    Argument("foxglove_port", str(DEFAULT_PORT), "port to serve at; 0 for any that is free"),
    Argument("params_file", "", "YAML file of node parameters; empty for config/fly.yaml"),
)


def parse_arguments(words: Iterable[str]) -> dict[str, str]:
    """Turn `name:=value` words into a dictionary.

    Raises:
        UserError: A word is not of that form or names no argument.
    """
    values = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not separator:
            raise UserError(f"'{word}' is not of the form name:=value; see snn-fly --show-args")
        values[name] = value
    refuse_unknown(values)
    return values


def refuse_unknown(names: Iterable[str]) -> None:
    """Refuse names that are no arguments, suggesting the nearest.

    Raises:
        UserError: There is one.
    """
    known = [argument.name for argument in ARGUMENTS]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
            raise UserError(f"unknown argument '{name}'; {hint}")


def check_choices(values: Mapping[str, str]) -> None:
    """Refuse a value that is none of its argument's choices.

    Raises:
        UserError: There is one.
    """
    for argument in ARGUMENTS:
        value = values[argument.name]
        if argument.is_boolean:
            boolean(values, argument.name)
        elif argument.choices and value not in argument.choices:
            raise UserError(
                f"unknown {argument.name} '{value}'; choose one of: {', '.join(argument.choices)}"
            )


def boolean(values: Mapping[str, str], name: str) -> bool:
    """Return whether an argument says yes.

    Raises:
        UserError: It says neither yes nor no.
    """
    value = BOOLEANS.get(values[name].lower())
    if value is None:
        raise UserError(f"argument {name}:={values[name]} must be true or false")
    return value


def number(values: Mapping[str, str], name: str, kind: type) -> Any:
    """Return the number of type `kind` that an argument gives.

    Raises:
        UserError: It gives none.
    """
    try:
        return kind(values[name])
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise UserError(f"argument {name}:={values[name]} must be {what}") from error


def duration(values: Mapping[str, str]) -> float:
    """Return the s that the policy is to fly.

    Raises:
        UserError: It is not a number within its range.
    """
    seconds = number(values, "duration", float)
    if not 0.1 <= seconds <= 1e6:
        raise UserError(f"argument duration:={values['duration']} must be 0.1 to 1000000 s")
    return seconds
