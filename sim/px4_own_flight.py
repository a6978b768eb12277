"""How the PX4 double flies by itself: it holds the place where it was left, or lands."""

from __future__ import annotations

import numpy as np

from sim.px4_body import Px4Body
from sim.px4_firmware import Mode, Px4Firmware

SINK_SPEED = 0.5  # m/s


class OwnFlight:
    """The half of the firmware that nobody has to command."""

    def __init__(self, body: Px4Body, firmware: Px4Firmware) -> None:
        """Watch the modes of a firmware, and fly its body."""
        self._body, self._firmware = body, firmware
        self._mode = firmware.mode
        self._target = np.zeros(3)  # m, where the firmware holds its position

    @property
    def is_down(self) -> bool:
        """Whether the firmware itself lands and has reached the ground."""
        return self._firmware.mode is Mode.LAND and self._body.on_ground

    def step(self) -> bool:
        """Advance the body if no setpoint flies it, and say so."""
        firmware, body = self._firmware, self._body
        if firmware.mode is not self._mode:
            self._mode = firmware.mode
            self._target = np.array(body.state.position)
        if not firmware.armed or self.is_down:
            body.stop()
        elif firmware.mode is Mode.OFFBOARD:
            return False
        elif firmware.landed or firmware.mode is Mode.MANUAL:
            body.step(0.0, np.zeros(3))
        else:
            sinking = SINK_SPEED if firmware.mode is Mode.LAND else 0.0
            self._target = self._target - [0.0, 0.0, sinking * body.period]
            body.hold(self._target, np.array([0.0, 0.0, -sinking]))
        return True
