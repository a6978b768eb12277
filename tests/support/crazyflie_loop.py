"""A Crazyflie link run as the node runs it, for tests: connect, serve, fly."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from snn_controller.control.geometric import GuideGains, geometric_thrust_rates
from snn_controller.flight_controllers.crazyflie.link import CrazyflieLink
from snn_controller.flight_controllers.registry import LinkOptions, open_link
from snn_controller.vehicle.action import Command, limit_thrust_rates, stop_command
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.state import Reference, State
from snn_sim.doubles.crazyflie.firmware import HOVER_THRUST
from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble

HOVER_POINT = np.array([0.0, 0.0, 0.6])
STOP = stop_command("thrust_rates")


def connect(double: CrazyflieDouble, **options: object) -> CrazyflieLink:
    given = LinkOptions(
        endpoint=double.endpoint,
        hover_thrust=HOVER_THRUST / 65535,
        **options,  # type: ignore[arg-type]
    )
    connected = open_link("crazyflie", given)
    assert isinstance(connected, CrazyflieLink)
    return connected


def serve(
    link: CrazyflieLink,
    command: Callable[[State], Command],
    seconds: float,
    until: Callable[[LinkStatus], bool] = lambda status: False,
) -> LinkStatus:
    """Answer each state with a command, as the node does, for some time or until something."""
    deadline = time.perf_counter() + seconds
    while True:
        status = link.poll(time.time_ns())
        if status.odometry is not None:
            link.send(command(status.odometry.state), status.odometry.stamp)
        if until(status) or time.perf_counter() > deadline:
            return status
        time.sleep(0.002)


def hover(state: State) -> Command:
    values = geometric_thrust_rates(state, Reference(HOVER_POINT), gravity=9.81, gains=GuideGains())
    return Command("thrust_rates", limit_thrust_rates(values))


def stop(state: State) -> Command:
    return STOP


def armed(status: LinkStatus) -> bool:
    return status.armed and status.in_control


def fly(link: CrazyflieLink, seconds: float) -> LinkStatus:
    link.arm()
    assert armed(serve(link, stop, 3.0, armed))
    return serve(link, hover, seconds)


def wait_for(what: Callable[[], bool], seconds: float) -> float:
    """Return after how long something was true."""
    start = time.perf_counter()
    while not what():
        assert time.perf_counter() - start < seconds
        time.sleep(0.001)
    return time.perf_counter() - start
