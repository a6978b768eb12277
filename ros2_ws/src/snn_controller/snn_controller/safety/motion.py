"""Whether odometry fits the motion: units and frames, found by what the drone itself does.

Consecutive samples are compared: a change of position with the velocity, a turn with the body
rates, a change of the vertical velocity with the thrust. Each comparison is a slope that is 1 where
all is well, 1/57.3 for a gyro in deg/s, -1 for an axis that points the other way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from snn_controller.safety.verdicts import Verdict
from snn_controller.vehicle import Odometry

MEMORY = 0.5  # s after which evidence has faded to 1/e
MAX_PERIOD = 0.1  # s between two samples that are compared
TOLERANCE = 0.6  # how far a slope may be from 1: noise, delays and filters change it by less
CERTAINTY = 0.15  # standard error of a slope that is believed
MIN_SAMPLES = 5
SPREAD = 3.0  # times the largest sample: one spike is no evidence
WAY_EVIDENCE = 1e-4  # m^2, sum of squares
TURN_EVIDENCE = 3e-4  # rad^2
STILL_EVIDENCE = 1e-2  # rad^2 of turning that body rates of zero must not miss
THRUST_EVIDENCE = 1e-3  # (m/s)^2
AXES = "xyz"


@dataclass
class SlopeFit:
    """Slope of what was observed over what was expected, with a memory that fades."""

    count: float = 0.0
    expected: float = 0.0  # sum of squares
    observed: float = 0.0  # sum of squares
    product: float = 0.0
    peak: float = 0.0  # largest square of one expectation

    def add(self, expected: float, observed: float, keep: float) -> None:
        """Take in one comparison; `keep` is the share of the old evidence that is left."""
        self.count = keep * self.count + 1.0
        self.expected = keep * self.expected + expected * expected
        self.observed = keep * self.observed + observed * observed
        self.product = keep * self.product + expected * observed
        self.peak = max(keep * self.peak, expected * expected)

    def slope(self, evidence: float) -> float | None:
        """Return the slope, or None while the evidence is thin, one-sided or noisy."""
        if self.count < MIN_SAMPLES or max(self.expected, self.observed) < evidence:
            return None
        if self.expected <= SPREAD * self.peak:
            return None
        slope = self.product / self.expected
        residual = max(self.observed - slope * self.product, 0.0) / self.count
        return slope if residual < CERTAINTY**2 * self.expected else None


class MotionGuard:
    """Compares samples that are valid by themselves; feed it every pair, in the hand too."""

    def __init__(self) -> None:
        """Begin without evidence."""
        self._ways = [SlopeFit() for _ in AXES]
        self._turns = [SlopeFit() for _ in AXES]
        self._lift = SlopeFit()

    def compare(self, before: Odometry, sample: Odometry, lift: float | None) -> None:
        """Take in two consecutive samples.

        Args:
            before: The sample before.
            sample: The newest.
            lift: Vertical acceleration in m/s^2 that the rotors must give, None where unknown.
        """
        seconds = (sample.stamp - before.stamp) * 1e-9
        if not 0.0 < seconds <= MAX_PERIOD:
            return
        keep = math.exp(-seconds / MEMORY)
        old, new = before.state, sample.state
        for axis in range(3):
            mean = 0.5 * (old.velocity[axis].item() + new.velocity[axis].item())
            way = new.position[axis].item() - old.position[axis].item()
            self._ways[axis].add(mean * seconds, way, keep)
        turn = _turn(before, sample)
        for axis in range(3):
            mean = 0.5 * (old.body_rates[axis].item() + new.body_rates[axis].item())
            self._turns[axis].add(mean * seconds, turn[axis], keep)
        if lift is not None:
            gained = new.velocity[2].item() - old.velocity[2].item()
            self._lift.add(lift * seconds, gained, keep)

    def check(self) -> Verdict | None:
        """Say what does not fit, or None."""
        for axis, ways, turns in zip(AXES, self._ways, self._turns, strict=True):
            slope = turns.slope(TURN_EVIDENCE)
            if slope is None and turns.observed > STILL_EVIDENCE > 4.0 * turns.expected:
                slope = 0.0
            if slope is not None and abs(slope - 1.0) > TOLERANCE:
                return Verdict("units", f"body rates about {axis} {_rates_reason(slope)}")
            slope = ways.slope(WAY_EVIDENCE)
            if slope is not None and abs(slope - 1.0) > TOLERANCE:
                return Verdict(
                    "units",
                    f"the position moves {slope:.2g} times as fast along {axis} as the velocity"
                    " says; check the velocity's unit, its sign and its frame (the child frame)",
                )
        slope = self._lift.slope(THRUST_EVIDENCE)
        if slope is not None and slope < -TOLERANCE:  # wind and another mass change it too
            return Verdict(
                "gravity",
                "the drone sinks in its odometry where its rotors lift it: z points down (NED);"
                " convert the odometry to ENU and FLU",
            )
        return None


def _turn(before: Odometry, sample: Odometry) -> tuple[float, float, float]:
    """Return the rotation vector (3,) in rad between two attitudes, in the body."""
    x, y, z, w = before.state.quaternion.tolist()
    p, q, r, s = sample.state.quaternion.tolist()
    scale = 2.0 if w * s + x * p + y * q + z * r >= 0.0 else -2.0  # small: twice the vector part
    return (
        scale * (w * p - x * s - y * r + z * q),
        scale * (w * q - y * s - z * p + x * r),
        scale * (w * r - z * s - x * q + y * p),
    )


def _rates_reason(slope: float) -> str:
    if 0.01 < slope < 0.03:
        return "are 57 times what the attitude says: they are in deg/s; send rad/s"
    if slope < -0.5:
        return "turn against the attitude: the axis points the other way (FRD?); send FLU"
    return f"do not fit the attitude, which turns {slope:.2g} times as fast; check the gyro"
