"""Domain numbers of ROS that nobody else on this machine uses."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from snn_controller.system import hold_name

DOMAINS = range(1, 100)  # beyond, their ports are those that the kernel gives to anybody
FIRST_PORT, PORTS_A_DOMAIN = 7400, 250  # UDP, by the DDS standard
PARTICIPANTS = 20  # whose ports are looked at; each has two, from the tenth on


@contextmanager
def own_domain() -> Iterator[int]:
    """Claim a domain until the end: from other test runs by a name, from others by its ports."""
    # Not seeded on purpose: test runs side by side on one machine must not meet.
    for domain in random.SystemRandom().sample(DOMAINS, len(DOMAINS)):
        holder = hold_name(f"test domain {domain}")
        if holder is None:
            continue
        with holder:
            if is_unused(domain):
                yield domain
                return
    raise RuntimeError("every ROS domain of this machine is in use")


def is_unused(domain: int) -> bool:
    """Whether no program of this machine listens on a port of a domain."""
    first = FIRST_PORT + PORTS_A_DOMAIN * domain
    return all(_is_free(first + offset) for offset in (0, 1, *range(10, 10 + 2 * PARTICIPANTS)))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
