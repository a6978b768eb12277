from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.flight_controllers.shared.estimate import throttle_from_thrust
from snn_controller.vehicle.frames import GRAVITY

shares = st.floats(0.05, 0.95)


@given(hover=shares, curve=st.floats(0.0, 1.0))
def test_one_g_is_the_hover_thrust_and_none_is_none(hover: float, curve: float) -> None:
    assert throttle_from_thrust(GRAVITY, hover, curve) == pytest.approx(hover)
    assert throttle_from_thrust(0.0, hover, curve) == pytest.approx(0.0, abs=1e-12)


@given(hover=shares, curve=st.floats(0.0, 1.0), thrust=st.floats(-50.0, 50.0))
def test_throttle_follows_the_curve_within_its_range(
    hover: float, curve: float, thrust: float
) -> None:
    u = throttle_from_thrust(thrust, hover, curve)
    assert 0.0 <= u <= 1.0
    if thrust > 0.0 and u < 1.0:
        curved = (curve * u**2 + (1 - curve) * u) / (curve * hover**2 + (1 - curve) * hover)
        assert curved == pytest.approx(thrust / GRAVITY, rel=1e-6, abs=1e-6)
