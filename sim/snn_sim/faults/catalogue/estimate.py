"""Faults of odometry and clock, of units and frames: what estimators and bridges may do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_controller.safety import SURE_LIFT, TURN_EVIDENCE, Event, Limits, Mode
from snn_controller.vehicle import (
    State,
    axis_angle_to_quaternion,
    multiply_quaternions,
    swap_enu_ned,
    swap_flu_frd,
)
from snn_sim.faults.edits import Edit, StateEdit, edit_sample, edit_state, for_ticks, gusts
from snn_sim.faults.scene import ANY, FLOWN, REFUSED, TICK_NS, Demand, Fault, Scene

LOST = Demand(Mode.DESCENT, Mode.KILLED, invalid=True)
BACK = Demand(Mode.DESCENT, Mode.DISARMED, invalid=True)  # valid again: guide lands
SHORT = 30  # ticks
HOUR = 3600 * 10**9  # ns
TIMEOUT, FREEZE = Limits().odometry_timeout, Limits().frozen_time
BAD_FIELDS = ("position", "quaternion", "velocity", "body_rates")


def _drop(scene: Scene) -> None:
    scene.sample = None


def _drop_in_gusts(scene: Scene) -> None:
    gusts(scene)
    scene.sample = None


def _freeze_in_gusts(scene: Scene) -> None:
    gusts(scene)
    edit_state(_frozen)(scene)


def _drop_heavier(scene: Scene) -> None:
    """Lose the odometry of a drone that weighs 10 % more than the airframe says."""
    if scene.since == 0:
        known = scene.drone.quadrotor
        scene.drone.become(replace(known, mass=1.1 * known.mass, inertia=1.1 * known.inertia))
    scene.sample = None


def _not_finite(scene: Scene, state: State) -> State:
    field = BAD_FIELDS[scene.rng.integers(len(BAD_FIELDS))]
    values = getattr(state, field).copy()
    values[scene.rng.integers(values.size)] = scene.rng.choice([np.nan, np.inf, -np.inf])
    return replace(state, **{field: values})


def _half_quaternion(_: Scene, state: State) -> State:
    return replace(state, quaternion=0.5 * state.quaternion)


def _shifted(scene: Scene, state: State) -> State:
    if "shift" not in scene.memory:
        angle = scene.rng.uniform(0.0, 2.0 * np.pi)
        scene.memory["shift"] = np.array([np.cos(angle), np.sin(angle), 0.0])
    return replace(state, position=state.position + scene.memory["shift"])


def _spun(_: Scene, state: State) -> State:
    turn = axis_angle_to_quaternion([0.0, 0.0, 1.0], 1.0)
    return replace(state, quaternion=multiply_quaternions(turn, state.quaternion))


def _flung(scene: Scene, state: State) -> State:
    return replace(state, velocity=state.velocity + np.array([0.0, 3.0, 0.0]))


def _frozen(scene: Scene, state: State) -> State:
    """Return the state at which the estimator froze."""
    return scene.memory.setdefault("frozen", state)


def _lost_tracker(scene: Scene, state: State) -> State:
    """Return the pose at which a tracker lost the drone, with the rates of a gyro that goes on."""
    roll, pitch, _ = np.abs(state.body_rates).tolist()
    scene.memory["turned"] = scene.memory.get("turned", 0.0) + (roll + pitch) * TICK_NS * 1e-9
    return replace(_frozen(scene, state), body_rates=state.body_rates)


def _has_turned(scene: Scene) -> bool:
    """Whether the body rates speak against a pose that has stood still for long enough."""
    waited = scene.since * TICK_NS * 1e-9 >= FREEZE
    return waited and scene.memory["turned"] >= TURN_EVIDENCE


def _lifting(scene: Scene) -> bool:
    """Whether the rotors give so much that a drone on the ground must rise."""
    quadrotor = scene.drone.quadrotor
    lift = float(quadrotor.thrust(scene.drone.rotors).sum()) / quadrotor.mass
    return lift > quadrotor.gravity + SURE_LIFT


def _old(scene: Scene) -> None:
    scene.now += 20 * TICK_NS


def _ahead(scene: Scene) -> None:
    scene.now -= HOUR


def _clock_jump(scene: Scene) -> None:
    scene.now += HOUR


def _garbage(scene: Scene) -> None:
    """Send what a broken bridge may: anything, at any time, twice or not at all."""
    assert scene.sample is not None
    rng, sample = scene.rng, scene.sample
    values = rng.normal(0.0, 10.0 ** rng.uniform(-3.0, 12.0), 13)
    values[rng.integers(13)] = rng.choice([np.nan, np.inf, 0.0, 1e300])
    junk = State(values[:3], values[3:7], values[7:10], values[10:])
    scene.sample = rng.choice(
        np.array(
            [
                None,
                replace(sample, state=junk),
                replace(sample, frame="\0", child_frame=""),
                replace(sample, stamp=int(rng.integers(-(2**62), 2**62))),
                replace(sample, position_deviation=float("nan")),
            ],
            dtype=object,
        )
    )


ESTIMATE_FAULTS = (
    Fault("frame names change", edit_sample(frame="map_ned"), "frame", LOST),
    Fault("NaN or infinity for good", edit_state(_not_finite), "finite", LOST, then="descent"),
    Fault("NaN or infinity for 0.3 s", for_ticks(SHORT, edit_state(_not_finite)), "finite", BACK),
    Fault("quaternion of half length", edit_state(_half_quaternion), "attitude", LOST),
    Fault("odometry 0.2 s old", _old, "stale", LOST),
    Fault("clock 1 h behind the odometry", _ahead, "stale", LOST),
    Fault("clock jumps 1 h ahead for 0.3 s", for_ticks(SHORT, _clock_jump), "stale", BACK),
    Fault("odometry stops for good", _drop, "silence", LOST, window=TIMEOUT),
    Fault("odometry stops in gusts", _drop_in_gusts, "silence", LOST, window=TIMEOUT),
    Fault("odometry of a heavier drone stops", _drop_heavier, "silence", LOST, window=TIMEOUT),
    Fault("odometry stops for 0.3 s", for_ticks(SHORT, _drop), "silence", BACK, window=TIMEOUT),
    Fault("position jumps 1 m", edit_state(_shifted), "jump", Demand(Mode.DESCENT, Mode.DISARMED)),
    Fault(
        "velocity jumps 3 m/s",
        edit_state(_flung),
        "jump",
        Demand(Mode.DESCENT, Mode.KILLED, other_end=Mode.DISARMED),
    ),
    Fault("attitude jumps 1 rad", edit_state(_spun), "jump", Demand(Mode.DESCENT, Mode.DISARMED)),
    Fault(
        "estimator freezes for good",
        edit_state(_frozen),
        "frozen",
        Demand(Mode.DESCENT, Mode.KILLED),
        window=FREEZE,
    ),
    Fault(
        "estimator freezes for 0.4 s",
        for_ticks(40, edit_state(_frozen)),
        "frozen",
        Demand(Mode.DESCENT, Mode.DISARMED),
        window=FREEZE,
    ),
    Fault(
        "estimator freezes in gusts",
        _freeze_in_gusts,
        "frozen",
        Demand(Mode.DESCENT, Mode.KILLED),
        window=FREEZE,
    ),
    Fault(
        "pose freezes, the gyro goes on",
        edit_state(_lost_tracker),
        "frozen",
        Demand(Mode.DESCENT, Mode.KILLED),
        exceeded=_has_turned,
    ),
    Fault(
        "estimator freezes before the take-off",
        edit_state(_frozen),
        "frozen",
        Demand(Mode.KILLED, Mode.KILLED),
        window=FREEZE,
        exceeded=_lifting,
        from_start=True,
        task="takeoff_land",
    ),
    Fault("position doubtful", edit_sample(position_deviation=0.5), "deviation", LOST),
    Fault("attitude doubtful", edit_sample(attitude_deviation=0.5), "deviation", LOST),
    Fault("velocity unknown", edit_sample(velocity_deviation=float("nan")), "deviation", LOST),
    Fault("garbage for good", _garbage, ANY, LOST, window=TIMEOUT),
    Fault("one bad sample", for_ticks(1, edit_state(_not_finite)), None, FLOWN),
    Fault("one jump and back", for_ticks(1, edit_state(_shifted)), None, FLOWN),
)


EVIDENCE = 0.5  # s, the memory of the motion guard
CARRY_TICKS = 150


def _degrees(_: Scene, state: State) -> State:
    return replace(state, body_rates=np.rad2deg(state.body_rates))


def _ned(_: Scene, state: State) -> State:
    """Return a state as a NED and FRD stack would send it, unconverted."""
    x, y, z, w = state.quaternion
    return State(
        swap_enu_ned(state.position),
        np.array([y, x, -z, w]),
        swap_enu_ned(state.velocity),
        swap_flu_frd(state.body_rates),
    )


def _frd_body(_: Scene, state: State) -> State:
    """Return a state whose body is FRD in an ENU world."""
    turned = multiply_quaternions(state.quaternion, np.array([1.0, 0.0, 0.0, 0.0]))
    return replace(state, quaternion=turned, body_rates=swap_flu_frd(state.body_rates))


def _wxyz(_: Scene, state: State) -> State:
    return replace(state, quaternion=np.roll(state.quaternion, 1))


def _backwards(_: Scene, state: State) -> State:
    return replace(state, velocity=-state.velocity)


def _in_a_hand(scene: Scene, state: State) -> State:
    """Return the state of a drone that a hand carries and turns about, then puts down."""
    if scene.number >= CARRY_TICKS:
        return state
    time = scene.number * TICK_NS * 1e-9
    swing, rate = 0.3 * (1.0 - np.cos(4.0 * time)), 1.2 * np.sin(4.0 * time)
    axis = np.array([0.6, 0.0, 0.8])
    return State(
        scene.drone.state.position + np.array([swing, 0.0, 0.5 * swing]),
        axis_angle_to_quaternion(axis, swing),
        np.array([rate, 0.0, 0.5 * rate]),
        rate * axis,
    )


def _carried(change: StateEdit) -> Edit:
    """Carry the drone before arming, with odometry that is wrong throughout."""
    return edit_state(lambda scene, state: change(scene, _in_a_hand(scene, state)))


def _asked(scene: Scene) -> bool:
    """Whether the operator has asked for something by now."""
    return scene.number >= min(scene.fault.requests)


def _turning(scene: Scene) -> bool:
    """Whether the drone has begun to turn, so that body rates can be judged."""
    return float(np.abs(scene.drone.state.body_rates).max()) > 0.05


def _moving(scene: Scene) -> bool:
    return float(np.linalg.norm(scene.drone.state.velocity)) > 0.3


def _rising(scene: Scene) -> bool:
    return float(scene.drone.state.velocity[2]) > 0.01


FRAME_FAULTS = (
    Fault(
        "gyro turns to deg/s in flight",
        edit_state(_degrees),
        "units",
        Demand(Mode.DESCENT, Mode.KILLED, other_end=Mode.DISARMED),
        window=EVIDENCE,
        exceeded=_turning,
    ),
    Fault(
        "velocity turns its sign in flight",
        edit_state(_backwards),
        "units",
        Demand(Mode.DESCENT, Mode.KILLED, other_end=Mode.DISARMED),
        window=EVIDENCE,
        exceeded=_moving,
    ),
    Fault(
        "gyro in deg/s, found in the hand",
        _carried(_degrees),
        "units",
        REFUSED,
        from_start=True,
        exceeded=_asked,
        task="takeoff_land",
        plan={"auto_start": False},
        requests={300: Event.ARM},
    ),
    Fault(
        "gyro in deg/s, found at take-off",
        edit_state(_degrees),
        "units",
        Demand(Mode.KILLED, Mode.KILLED),
        window=EVIDENCE,
        exceeded=_turning,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "odometry in NED, found at take-off",
        edit_state(_ned),
        "gravity",
        Demand(Mode.KILLED, Mode.KILLED),
        window=EVIDENCE,
        exceeded=_rising,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "odometry in NED, found by the accelerometer",
        edit_sample(specific_force=np.array([0.0, 0.0, -9.81])),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "body in FRD",
        edit_state(_frd_body),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "quaternion in order wxyz",
        edit_state(_wxyz),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
)
