"""Real-time tests on a machine that may be busy: where it was, a failure says nothing."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any

import pytest

from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble

LATEST = 0.01  # s that a step of a vehicle may be late


def in_real_time(test: Callable[..., None]) -> Callable[..., None]:
    """Skip a test that fails where this machine did not keep up with a vehicle.

    The collector of garbage is off meanwhile, as it is in flight: it stops for 0.8 s, in which
    the odometry of a vehicle that is already there would grow stale.
    """

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        gc.disable()
        CrazyflieDouble.latest = 0.0
        try:
            test(*args, **kwargs)
        except AssertionError:
            if CrazyflieDouble.latest > LATEST:
                pytest.skip(f"this machine is too busy: {CrazyflieDouble.latest:.2f} s late")
            raise
        finally:
            gc.enable()

    return run
