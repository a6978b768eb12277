from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np

from snn_controller.vehicle.state import State
from snn_sim.betaflight.plant import Snapshot
from snn_sim.faults.betaflight.faults import DamagedStream, MotorWatch
from support.betaflight_double import BetaflightDouble


def watch(throttles: Iterable[float]) -> MotorWatch:
    """Watch four equal motors, one look every 0.1 s."""
    motors, state = MotorWatch(), State.at_rest(np.zeros(3))
    for number, throttle in enumerate(throttles):
        shown = Snapshot(0.0, state, np.zeros(4), np.full(4, throttle), 0, 0.0)
        motors.look(shown, round(0.1 * number, 1))
    return motors


def test_motors_that_idle_for_a_while_no_longer_lift() -> None:
    motors = watch([0.6, 0.05, 0.6, 0.05, 0.05, 0.05, 0.3, 0.0, 0.0])
    assert motors.idle == 0.3  # not the dip at 0.1 s; the twitch at 0.6 s comes too late to count
    assert motors.off == 0.7


def test_motors_that_go_on_have_not_stopped() -> None:
    motors = watch([0.6] * 10)
    assert motors.idle is None and motors.off is None
    assert watch([0.0, 0.6]).off is None


def test_a_bad_stream_is_clean_until_it_is_to_be_bad() -> None:
    vehicle = BetaflightDouble()
    stream = DamagedStream(vehicle, random.Random(1))
    stream.write(b"$M<\x00\x02\x02")
    clean = stream.read(0.01)
    assert clean[5:9] == b"BTFL"
    stream.damaging = True
    seen = set()
    for _ in range(300):
        stream.write(b"$M<\x00\x02\x02")
        seen.add(stream.read(0.001))
    assert clean in seen and len(seen) > 3
    stream.close()
    assert vehicle.closed
