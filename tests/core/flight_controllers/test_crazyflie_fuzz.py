"""Damaged frames from a Crazyflie, through cflib: nothing may move, and nothing may die."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest

from snn_sim.doubles.crazyflie.firmware import ground_firmware
from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble

pytest.importorskip("cflib")
from cflib.crtp.crtpstack import CRTPPacket

from support.crazyflie_loop import connect, serve, stop, wait_for


def test_damaged_frames_from_the_vehicle_command_nothing() -> None:
    """Damaged copies of every frame a vehicle sends, through cflib's own receiving side."""
    double = CrazyflieDouble(ground_firmware())
    double.start()
    link = connect(double)
    serve(link, stop, 0.3)
    cf = link.client
    rng = np.random.default_rng(7)
    true = [
        bytes([0x5E, 0, 1, 0, 0]) + struct.pack("<13e", *np.ones(13)),
        bytes([0x5E, 1, 1, 0, 0]) + struct.pack("<Hf", 14, 3.9),
        bytes([0x5D, 3, 1, 0]),
        bytes([0x2D, 0, 0, 0, 1]),
        bytes([0x2E, 0, 0, 1]),
        bytes([0xFC]) + bytes(9),
        bytes([0xDC, 1, 1, 1]),
        b"\x00console",
    ]
    for i in range(4_000):
        data = bytearray(true[i % len(true)]) if i % 3 else bytearray(rng.bytes(20))
        for _ in range(2):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        data = data[: 1 + int(rng.integers(len(data)))]
        assert cf.link is not None
        cf.link.in_queue.put(CRTPPacket(header=data[0], data=bytes(data[1:])))
        if i % 100 == 0:
            link.poll(time.time_ns())
    wait_for(lambda: cf.link is not None and cf.link.in_queue.empty(), 20.0)
    assert cf.incoming.is_alive()
    status = serve(link, stop, 0.3)
    assert not status.armed
    assert not double.firmware.motors_turn
    link.release()
    assert link.wait_released()
    double.stop()
