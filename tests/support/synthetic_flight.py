"""Flights made up for tests: smooth motion about a reference, with spikes that follow it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_controller.control.trajectories import find_task
from snn_controller.flight_log.log import FlightLog, Tick
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from snn_controller.vehicle.state import Reference, State

RATE = 100.0  # Hz
LAYERS = {"hidden1": 64, "hidden2": 32}
HOVER_POINT = np.array([0.0, 0.0, 1.0])


def make_flight(
    task: str = "hover", seconds: float = 4.0, *, spiking: bool = True, seed: int = 0
) -> FlightLog:
    """Return a flight in which the policy is in control from the first tick to the last."""
    generator = np.random.default_rng(seed)
    log = FlightLog()
    traits = {layer: generator.uniform(0.0, 1.0, (2, size)) for layer, size in LAYERS.items()}
    membranes = {layer: np.zeros(size, np.float32) for layer, size in LAYERS.items()}
    for index in range(round(seconds * RATE) + 1):
        tick = _tick(index / RATE, task, generator)
        if spiking:
            spikes = _fire(tick, traits, membranes, generator)
            copies = {layer: values.copy() for layer, values in membranes.items()}
            count = 8 * sum(int(fired.sum()) for fired in spikes.values())
            tick = replace(tick, spikes=spikes, membranes=copies, synaptic_ops=count)
        log.append(tick)
        log.append_timing(
            period=generator.normal(0.01, 2e-4) if index else None,
            latency=generator.gamma(4.0, 5e-5),
        )
    return log


def edit(log: FlightLog, row: int, **changes: object) -> None:
    """Change fields of one tick, or of its state."""
    tick = log.ticks[row]
    of_state = {k: v for k, v in changes.items() if hasattr(tick.state, k)}
    of_tick = {k: v for k, v in changes.items() if k not in of_state}
    log.ticks[row] = replace(tick, state=replace(tick.state, **of_state), **of_tick)  # type: ignore[arg-type]


def _tick(time: float, name: str, generator: np.random.Generator) -> Tick:
    task = find_task(name)
    reference = task.reference(time, HOVER_POINT)
    late = task.reference(max(time - 0.12, 0.0), HOVER_POINT)
    sway = 0.02 * np.array([np.sin(3 * time), np.cos(2 * time), 0.4 * np.sin(time)])
    start = np.exp(-2.0 * time) * np.array([0.15, -0.1, 0.12])
    error = sway + start + generator.normal(0.0, 0.001, 3)
    tilt = axis_angle_to_quaternion([0.0, 1.0, 0.0], 0.1 * np.sin(2 * time))
    state = State(late.position + error, tilt, late.velocity, generator.normal(0.0, 0.2, 3))
    command = np.clip(0.66 + generator.normal(0.0, 0.04, 4), 0.0, 1.0)
    return Tick(
        time, "policy", "", state, Reference(reference.position, reference.velocity), command
    )


def _fire(
    tick: Tick,
    traits: dict[str, np.ndarray],
    membranes: dict[str, np.ndarray],
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Leak, integrate a drive that follows the motion and fire at 1, in place."""
    spikes = {}
    for layer, (gain, phase) in traits.items():
        drive = 0.5 * gain**2 * (1.0 + np.sin(2.0 * tick.time + 6.3 * phase))
        membrane = membranes[layer]
        membrane *= 0.7
        membrane += drive + generator.normal(0.0, 0.1, gain.size)
        spikes[layer] = membrane >= 1.0
        membrane -= spikes[layer]
    return spikes
