"""The rate loops that the flights of a pool fly with, another one in every flight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from snn_controller.quadrotor import Quadrotor
from snn_controller.rate_control import autopilot_gains

from sim.rate_variation import RateLoops, RateVariation, draw_loops, same_loops


class FlightLoops:
    """One loop a flight; `present` are those of now."""

    def __init__(self, quadrotor: Quadrotor, count: int) -> None:
        """Begin with the same loop in so many flights; `redraw` varies them."""
        self.quadrotor, self.variation = quadrotor, RateVariation()
        self.present = same_loops(autopilot_gains(quadrotor), count)

    def redraw(self, over: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Draw new loops for the flights of a mask (n,) that begin."""
        fresh = draw_loops(self.variation, self.quadrotor, int(over.sum()), rng)
        for values, new in zip(self.present, fresh, strict=True):
            values[over] = new

    def snapshot(self) -> dict[str, Any]:
        """Return the loops."""
        return self.present._asdict()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on with the loops of a snapshot."""
        self.present = RateLoops(**{k: np.array(x) for k, x in snapshot.items()})
