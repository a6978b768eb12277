"""Which share of the flights that a policy learns from is flown under which disturbances."""

from __future__ import annotations

from sim.disturbances import NOISY, NOMINAL, ROBUST, Disturbances


def split_flights(
    count: int, *, robust_share: float, noisy_share: float
) -> list[tuple[int, Disturbances]]:
    """Return how many of the flights are flown under which disturbances; none of zero.

    Args:
        count: Flights.
        robust_share: Share that is disturbed as in the cell `robust` of the fixed test.
        noisy_share: Share whose sensors are as noisy as in its cell `noisy`; the rest is nominal.
    """
    robust, noisy = round(robust_share * count), round(noisy_share * count)
    groups = ((count - robust - noisy, NOMINAL), (robust, ROBUST), (noisy, NOISY))
    return [(size, disturbances) for size, disturbances in groups if size > 0]
