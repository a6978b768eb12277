"""Pictures of a physics world by PyBullet's software renderer; needs no display."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from snn_controller.frames import Array

from sim.bullet import import_pybullet

WIDTH, HEIGHT = 320, 240  # pixels
DISTANCE = 1.2  # m from the camera to what it looks at
YAW, PITCH = 40.0, -20.0  # deg
FIELD_OF_VIEW = 60.0  # deg
NEAR, FAR = 0.05, 20.0  # m


def camera_image(client: int, target: Array) -> NDArray[np.uint8]:
    """Return an RGB image (height, width, 3) of a physics world around a target (3,) in m."""
    bullet = import_pybullet()
    view = bullet.computeViewMatrixFromYawPitchRoll(
        target.tolist(), DISTANCE, YAW, PITCH, 0.0, upAxisIndex=2
    )
    projection = bullet.computeProjectionMatrixFOV(FIELD_OF_VIEW, WIDTH / HEIGHT, NEAR, FAR)
    *_, pixels, _, _ = bullet.getCameraImage(
        WIDTH,
        HEIGHT,
        view,
        projection,
        renderer=bullet.ER_TINY_RENDERER,
        physicsClientId=client,
    )
    return np.array(pixels, dtype=np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3]
