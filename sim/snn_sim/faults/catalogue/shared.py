"""Faults of what a vehicle with firmware of its own tells of itself, behind whatever link."""

from __future__ import annotations

from dataclasses import replace

from snn_controller.safety import Limits, Mode
from snn_sim.faults.edits import (
    Edit,
    between,
    empty_battery,
    freeze,
    is_arming,
    is_told_empty,
    let_estimator,
    once,
    recover,
    set_firmware,
    spoil,
)
from snn_sim.faults.link_scene import DOWN
from snn_sim.faults.scene import REFUSED, Demand, Fault

LIMITS = Limits()
LANDED = Demand(Mode.LAND, Mode.DISARMED, vehicle=DOWN)
BLIND = Demand(Mode.DESCENT, Mode.KILLED, vehicle=DOWN)
BACK = Demand(Mode.DESCENT, Mode.DISARMED, vehicle=DOWN)
NO_ARMING = replace(REFUSED, vehicle=DOWN)

TELEMETRY_FAULTS = (
    Fault(
        "battery low",
        empty_battery,
        "battery",
        LANDED,
        limits={"min_battery_voltage": 3.3},
        window=LIMITS.battery_window,
        exceeded=is_told_empty,
        plan={"duration": 10.0},
    ),
    Fault("odometry NaN for good", once(let_estimator(spoil)), "finite", BLIND),
    Fault("odometry NaN for 0.3 s", between(let_estimator(spoil), 0.3, recover), "finite", BACK),
    Fault(
        "estimator freezes", once(let_estimator(freeze)), "frozen", BLIND, window=LIMITS.frozen_time
    ),
    Fault(
        "estimator freezes for 0.4 s",
        between(let_estimator(freeze), 0.4, recover),
        "frozen",
        BACK,
        window=LIMITS.frozen_time,
    ),
)


def clock_back(shift: Edit, demand: Demand) -> Fault:
    """Return the fault that the vehicle's clock jumps back by half a second."""
    name, window = "vehicle's clock 0.5 s back", LIMITS.odometry_timeout
    return Fault(name, once(shift), "silence", demand, window=window)


def arming_denied(reason: str, *, words: str) -> Fault:
    """Return the fault that PX4 does not arm.

    Args:
        reason: What its checks complain of.
        words: What the operator must read.
    """
    return Fault(
        "arming denied",
        once(set_firmware("prearm_failure", reason)),
        "vehicle",
        NO_ARMING,
        from_start=True,
        window=10.0,
        words=words,
        exceeded=is_arming,
        seconds=20.0,
    )
