"""What a pilot sees that misjudges its height: a handicap that leaves a flight stable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from snn_controller.state import Reference

from sim.drones import Drones
from training.collector import Collector

HEIGHT = 2  # of the position error in an observation


class Misjudging:
    """Drones of a collector as pilots see them who take a higher point for the target."""

    def __init__(self, collector: Collector, lean: NDArray[np.float32]) -> None:
        """Take how much higher (count,) in m each pilot's point is."""
        self._collector, self._lean = collector, lean

    @property
    def drones(self) -> Drones:
        """The drones, as they are."""
        return self._collector.drones

    @property
    def reference(self) -> Reference:
        """Where the pilots think that the drones are to be."""
        true = self._collector.reference
        rise = np.stack([0.0 * self._lean, 0.0 * self._lean, self._lean], axis=-1)
        return Reference(true.position + rise, true.velocity)

    @property
    def inputs(self) -> NDArray[np.float32]:
        """What the pilots see (count, 146)."""
        inputs = self._collector.inputs.copy()
        inputs[:, HEIGHT] -= self._lean
        return inputs
