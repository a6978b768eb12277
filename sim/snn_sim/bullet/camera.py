"""What people see of a physics world: the drone's shape, and pictures without a display."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import Array, Quadrotor
from snn_sim.bullet.client import import_pybullet

WIDTH, HEIGHT = 320, 240  # pixels
DISTANCE = 0.9  # m from the camera to what it looks at
YAW, PITCH = 40.0, -20.0  # deg
FIELD_OF_VIEW = 60.0  # deg
NEAR, FAR = 0.05, 20.0  # m
FRONT_COLOUR, REAR_COLOUR, FRAME_COLOUR = (
    (0.85, 0.2, 0.1, 1),
    (0.2, 0.2, 0.25, 1),
    (0.1, 0.1, 0.1, 1),
)
ROTOR_HALF_SIZE = (0.018, 0.018, 0.002)  # m
FRAME_HALF_SIZE = (0.016, 0.012, 0.008)  # m


def create_shape(client: int, quadrotor: Quadrotor) -> int:
    """Create the visual shape of a quadrotor, front rotors red, and return its id."""
    bullet = import_pybullet()
    rotors = [(x, y, FRAME_HALF_SIZE[2]) for x, y in quadrotor.rotor_positions.tolist()]
    colours = [FRONT_COLOUR if x > 0.0 else REAR_COLOUR for x, _, _ in rotors]
    return bullet.createVisualShapeArray(
        shapeTypes=[bullet.GEOM_BOX] * 5,
        halfExtents=[ROTOR_HALF_SIZE] * 4 + [FRAME_HALF_SIZE],
        visualFramePositions=[*rotors, (0.0, 0.0, 0.0)],
        rgbaColors=[*colours, FRAME_COLOUR],
        physicsClientId=client,
    )


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
