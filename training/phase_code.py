"""The phase-shifted positional spike code: where a token stands, said by spikes.

Head h has a code s_h(t) = 1 where sin(omega_h t + phi) > 0, and the same a quarter of a period
later; t is the number of the token (not of a micro-step). Omegas are spread by their logarithms
from well below the Nyquist frequency to a few windows a period. Phases are whole numbers of
1 / 65536 of a turn, so the code is as exact after a billion ticks as after ten, and t is kept
modulo 65536: nothing grows in a long flight and there is no table of absolute times.
"""

from __future__ import annotations

import torch
from torch import Tensor

TURN = 65536
SHORTEST_PERIOD = 4.0  # ticks; Nyquist is 2
CODES_PER_HEAD = 2


def phase_steps(heads: int, longest_period: float) -> Tensor:
    """Return how far the phase of each code (2 heads,) goes in a tick, in 1 / 65536 of a turn."""
    share = torch.arange(heads) / max(heads - 1, 1)
    periods = SHORTEST_PERIOD * (longest_period / SHORTEST_PERIOD) ** share
    return torch.round(TURN / periods).long().repeat_interleave(CODES_PER_HEAD)


def phase_code(position: Tensor, steps: Tensor) -> Tensor:
    """Return the code (..., 2 heads) in {0, 1} of tokens with numbers (..., 1), integers."""
    quarter = TURN // 4 * torch.remainder(torch.arange(len(steps)), CODES_PER_HEAD)
    return (torch.remainder(position * steps + quarter, TURN) < TURN // 2).float()


def advance(position: Tensor, ticks: int) -> Tensor:
    """Return the wrapped numbers of tokens some ticks later."""
    return torch.remainder(position + ticks, TURN)
