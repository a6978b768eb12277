"""Every verdict there is, and the one table that says what follows from it in the air.

On the ground every verdict disarms, or refuses to arm. During a take-off that has not left the
ground yet, a lost state kills: motors off is a safe state there.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_controller.safety.state_machine import Event


@dataclass(frozen=True)
class Rule:
    """What one verdict means, and the event that it raises in the air."""

    meaning: str
    reaction: Event


RULES: dict[str, Rule] = {
    # the state cannot be trusted
    "frame": Rule("pose or twist in other frames than the parameters name", Event.LOSE_STATE),
    "finite": Rule("NaN or infinity in the odometry", Event.LOSE_STATE),
    "attitude": Rule("quaternion length off 1 by more than 0.05", Event.LOSE_STATE),
    "stale": Rule(
        "sample older than `odometry_timeout`, or as far ahead of the clock", Event.LOSE_STATE
    ),
    "silence": Rule("no sample for `odometry_timeout`", Event.LOSE_STATE),
    "frozen": Rule(
        "one state repeated with fresh stamps for `frozen_time` while the drone flies",
        Event.LOSE_STATE,
    ),
    "jump": Rule(
        "`max_position_jump`, `max_velocity_jump` or `max_attitude_jump_deg` between two samples",
        Event.LOSE_STATE,
    ),
    "deviation": Rule("stated deviation above `max_..._deviation`", Event.LOSE_STATE),
    "units": Rule(
        "velocity or body rates do not fit the motion: deg/s, a wrong sign, another frame",
        Event.LOSE_STATE,
    ),
    "gravity": Rule(
        "thrust or gravity point the wrong way: NED, FRD, or a quaternion in another order",
        Event.LOSE_STATE,
    ),
    # the flight leaves its envelope
    "geofence": Rule("outside the x, y bounds of `geofence`", Event.FALL_BACK),
    "altitude": Rule("outside the z bounds of `geofence`", Event.FALL_BACK),
    "tilt": Rule("more than `max_tilt_deg`", Event.FALL_BACK),
    "speed": Rule("more than `max_speed`", Event.FALL_BACK),
    "body_rate": Rule("more than `max_body_rate` about one axis", Event.FALL_BACK),
    # the policy cannot be trusted
    "policy": Rule("an action that is not finite", Event.FALL_BACK),
    "neurons": Rule("a neuron state that is not finite", Event.FALL_BACK),
    "silent": Rule("no neuron of a layer has fired for `layer_window`", Event.FALL_BACK),
    "firing": Rule("all neurons of a layer have fired for `layer_window`", Event.FALL_BACK),
    "saturation": Rule(
        "more than `max_saturation` of the actions in `action_window` at a limit", Event.FALL_BACK
    ),
    "jitter": Rule("mean step of the actions above `max_action_step`", Event.FALL_BACK),
    "rate": Rule("more than `max_missed_share` of the last second's ticks missed", Event.FALL_BACK),
    "late": Rule(
        "more than `max_missed_share` of the last second's ticks on odometry older than"
        " `max_tick_age`",
        Event.FALL_BACK,
    ),
    "takeoff": Rule("hover point not reached 15 s after it should have been", Event.FALL_BACK),
    # the vehicle
    "battery": Rule("below `min_battery_voltage` for `battery_window`", Event.LAND),
    "link": Rule("flight controller not heard for `link_timeout`", Event.LAND),
    "mode": Rule("the vehicle has disarmed, or left the mode that obeys us", Event.HAND_OVER),
    # nothing better is left
    "ground": Rule("centre of mass below 5 cm while the policy flies", Event.KILL),
    "descent": Rule("no valid state for `descent_time`", Event.KILL),
    "landing": Rule("ground not reached 15 s after it should have been", Event.KILL),
    "overturned": Rule(
        "beyond `max_tilt_deg` for `overturned_time` while the guide flies", Event.KILL
    ),
    "ended": Rule(
        "signal, launcher gone, deactivation; where the link has a pilot: hand over", Event.KILL
    ),
    # only asked on the ground, before arming
    "rest": Rule("moving, turning or tilted by more than 15 degrees before arming", Event.DISARM),
    "start": Rule("the task cannot begin here", Event.DISARM),
    "vehicle": Rule("the vehicle does not arm", Event.DISARM),
    "idle": Rule("armed for 30 s without a take-off", Event.DISARM),
}


@dataclass(frozen=True)
class Verdict:
    """A limit that was broken: which one, one of `RULES`, and a sentence for people."""

    limit: str
    reason: str

    @property
    def reaction(self) -> Event:
        """The event that follows in the air."""
        return RULES[self.limit].reaction

    @property
    def doubts_the_past(self) -> bool:
        """Whether it speaks against all odometry so far: units do not mend themselves."""
        return self.limit in ("units", "gravity")


def reaction_table() -> str:
    """Return the rules as a Markdown table, for the docs."""
    lines = ["| verdict | limit | in the air |", "|---|---|---|"]
    lines += [f"| `{n}` | {rule.meaning} | {rule.reaction.value} |" for n, rule in RULES.items()]
    return "\n".join(lines)
