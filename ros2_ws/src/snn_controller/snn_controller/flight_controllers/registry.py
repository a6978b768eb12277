"""The links by name: what each needs, and how it is opened. ROS-free; nodes add `sim` and `px4`.

Each link's module is imported only when it is asked for: its client library may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from snn_controller.errors import UserError
from snn_controller.vehicle import FlightController


@dataclass(frozen=True)
class LinkOptions:
    """What a link is told at its start; each takes what it needs."""

    endpoint: str = ""  # where the vehicle is; empty for the link's default
    hover_thrust: float = 0.5  # the autopilot's throttle in [0, 1] that carries the weight
    thrust_curve: float = 0.0  # thrust over throttle at the autopilot: 0 linear ... 1 square
    lift_estimation: bool = True  # correct hover_thrust in flight, where the link tells odometry
    start_frame: bool = True  # tell odometry from where the vehicle stood and headed
    odometry_rate: float = 100.0  # Hz
    world_frame: str = "odom"
    body_frame: str = "base_link"
    external_pose: bool = False  # poses from outside go to the vehicle's estimator
    signing_key: str = ""  # file of the key that signs MAVLink 2 messages; empty for none


@dataclass(frozen=True)
class _Entry:
    module: str
    factory: str
    needs: str  # what pip installs when the module's import fails
    has_pilot: bool = False  # somebody is there to whom the vehicle can be left
    why_no_motors: str = ""  # why `motors` policies cannot fly by this link


_LINKS = {
    "crazyflie": _Entry(
        "crazyflie.link",
        "open_crazyflie",
        "cflib",
        why_no_motors="stock Crazyflie firmware takes no setpoint for single motors by radio, and"
        " motors set by parameters come 60 ms late and go round its stabilisation",
    ),
    "betaflight": _Entry("betaflight.link", "open_betaflight", "pyserial"),
    "mavlink": _Entry("mavlink.link", "open_mavlink", "pymavlink", has_pilot=True),
}


def link_names() -> tuple[str, ...]:
    """Return the names of the links that `open_link` knows."""
    return tuple(_LINKS)


def link_has_pilot(name: str) -> bool:
    """Whether a link has a pilot, as its `FlightController.has_pilot` says."""
    return _LINKS[name].has_pilot


def why_no_motors(name: str) -> str:
    """Return why a link takes no `motors` commands, "" where there is nothing to explain."""
    return _LINKS[name].why_no_motors if name in _LINKS else ""


def open_link(name: str, options: LinkOptions) -> FlightController:
    """Open a link and wait until its vehicle has answered.

    Raises:
        UserError: The name, the endpoint, the vehicle or its firmware is not fit, nobody answers,
            or the client library is missing.
    """
    entry = _LINKS.get(name)
    if entry is None:
        raise UserError(f"unknown link '{name}'; there are: {', '.join(_LINKS)}")
    try:
        module = import_module(f"{__package__}.{entry.module}")
    except ImportError as error:
        raise UserError(
            f"link '{name}' needs {entry.needs} ({error}): pip install {entry.needs}"
        ) from error
    factory: Callable[[LinkOptions], Any] = getattr(module, entry.factory)
    return factory(options)
