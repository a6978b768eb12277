"""Fault campaigns: many flights, each with one fault, and what must hold of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from typing import Any

from snn_controller.paths import policy_path
from snn_controller.policy import Policy
from snn_controller.safety import RULES
from snn_controller.vehicle import load_quadrotor
from snn_sim.bullet import Drone
from snn_sim.faults.catalogue.estimate import ESTIMATE_FAULTS, FRAME_FAULTS
from snn_sim.faults.catalogue.flight import FLIGHT_FAULTS, VEHICLE_FAULTS
from snn_sim.faults.link_scene import LinkedVehicle, fly_link_fault
from snn_sim.faults.scene import Fault, FaultyPolicy, Outcome, fly_fault

FAULTS = (*VEHICLE_FAULTS, *FLIGHT_FAULTS, *ESTIMATE_FAULTS, *FRAME_FAULTS)
_CATALOGUE = "snn_sim.faults.catalogue"
# By link: module, faults and vehicle. Imported only when they are asked for: their links' clients
# may be missing.
_LINKED = {
    "mavlink": ("mavlink", "MAVLINK_FAULTS", "MavlinkVehicle"),
    "px4": ("px4", "PX4_FAULTS", "BusVehicle"),
    "crazyflie": ("crazyflie", "CRAZYFLIE_FAULTS", "CrazyflieVehicle"),
}
LINKS = ("sim", *_LINKED)


def link_faults(link: str) -> tuple[Fault, ...]:
    """Return the faults that a link can have."""
    if link == "sim":
        return FAULTS
    module, name, _ = _LINKED[link]
    return getattr(import_module(f"{_CATALOGUE}.{module}"), name)


def faults_by_verdict(link: str) -> dict[str, list[str]]:
    """Return the names of the faults behind a link that must reach each verdict."""
    reached: dict[str, list[str]] = {name: [] for name in RULES}
    for fault in link_faults(link):
        for verdict in (fault.verdict, fault.then):
            if verdict in reached:
                reached[verdict].append(fault.name)
    return reached


def verdict_table() -> str:
    """Return a Markdown table of all verdicts: one fault that reaches it, and how many others."""
    by_link = {link: faults_by_verdict(link) for link in LINKS}
    lines = [f"| verdict | {' | '.join(LINKS)} |", "|---" * (1 + len(LINKS)) + "|"]
    for verdict in RULES:
        cells = [_describe(by_link[link][verdict]) for link in LINKS]
        lines.append(f"| `{verdict}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _describe(names: list[str]) -> str:
    if not names:
        return "-"
    return names[0] + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


AIRFRAME = "crazyflie21"
MAX_REACTION = 3  # ticks
RATES_POLICY = "hover_rates"  # flown behind links to firmware


@dataclass(frozen=True)
class Rig:
    """A link with all that is behind it, in this process and in lockstep."""

    faults: tuple[Fault, ...]  # that this link can have
    fly: Callable[[Fault, int], Outcome]  # one flight with one fault and one seed


def sim_rig() -> Rig:
    """Return the rig of the link `sim`: flight and drone."""
    policy = FaultyPolicy(Policy.load(policy_path("")))
    quadrotor = load_quadrotor(AIRFRAME)
    drone = Drone(quadrotor)

    return Rig(FAULTS, lambda fault, seed: fly_fault(fault, policy, quadrotor, drone, seed))


def linked_rig(link: str) -> Rig:
    """Return the rig of a link to firmware's double, with a new vehicle for each flight."""
    module, _, name = _LINKED[link]
    make: Callable[..., LinkedVehicle] = getattr(import_module(f"{_CATALOGUE}.{module}"), name)
    policy = FaultyPolicy(Policy.load(policy_path(RATES_POLICY)))
    quadrotor = load_quadrotor(AIRFRAME)

    def fly(fault: Fault, seed: int) -> Outcome:
        vehicle = make(**fault.behind)
        try:
            return fly_link_fault(fault, policy, quadrotor, vehicle, seed)
        finally:
            vehicle.close()

    return Rig(link_faults(link), fly)


RIGS: dict[str, Callable[[], Rig]] = {
    "sim": sim_rig,
    **{link: partial(linked_rig, link) for link in _LINKED},
}


@dataclass(frozen=True)
class CampaignRow:
    """What all flights with one fault behind one link came to."""

    link: str
    fault: str
    verdict: str
    reaction: str
    end: str
    flights: int
    right: int
    worst_ticks: int | None
    worst_deviation: float  # m
    uncommanded: int
    vehicle: str  # what it did at last, "-" where the link has none
    worst_own_after: float | None  # s until it flew by itself or stopped, where it must

    @property
    def ok(self) -> bool:
        """Whether nothing moved uncommanded and every flight reacted as it must."""
        in_time = self.worst_ticks is None or self.worst_ticks <= MAX_REACTION
        return self.right == self.flights and in_time and not self.uncommanded


def fly_campaign(
    flights: int,
    seed: int,
    *,
    links: Sequence[str] = ("sim",),
    faults: Sequence[Fault] | None = None,
) -> Iterator[tuple[str, Outcome]]:
    """Fly each fault in turn behind each link, with seeds of their own, and yield what came of it.

    Args:
        flights: Flights behind each link.
        seed: Seed of the campaign; the same seed flies the same flights.
        links: Names in `RIGS`.
        faults: What goes wrong, None for all that each link can have.
    """
    for link in links:
        rig = RIGS[link]()
        chosen = rig.faults if faults is None else faults
        for number in range(flights):
            yield link, rig.fly(chosen[number % len(chosen)], seed * 1_000_003 + number)


def tabulate(flown: Sequence[tuple[str, Outcome]]) -> list[CampaignRow]:
    """Return one row for each fault and link, in the order flown."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for link, outcome in flown:
        groups.setdefault((link, outcome.fault), []).append(outcome)
    return [_row(link, fault, outcomes) for (link, fault), outcomes in groups.items()]


def _row(link: str, fault: str, outcomes: Sequence[Outcome]) -> CampaignRow:
    ticks = [outcome.ticks for outcome in outcomes if outcome.ticks is not None]
    own = [outcome.own_after for outcome in outcomes if outcome.own_after is not None]
    return CampaignRow(
        link=link,
        fault=fault,
        verdict="/".join(sorted({outcome.verdict or "-" for outcome in outcomes})),
        reaction="/".join(sorted({outcome.reaction.value for outcome in outcomes})),
        end="/".join(sorted({outcome.end.value for outcome in outcomes})),
        flights=len(outcomes),
        right=sum(outcome.right for outcome in outcomes),
        worst_ticks=max(ticks, default=None),
        worst_deviation=round(max(outcome.deviation for outcome in outcomes), 3),
        uncommanded=sum(outcome.uncommanded for outcome in outcomes),
        vehicle="/".join(sorted({outcome.vehicle or "-" for outcome in outcomes})),
        worst_own_after=round(max(own), 2) if own else None,
    )


def summarise_campaign(rows: Sequence[CampaignRow]) -> dict[str, Any]:
    """Return the result of a campaign, JSON types only."""
    ticks = [row.worst_ticks for row in rows if row.worst_ticks is not None]
    return {
        "flights": sum(row.flights for row in rows),
        "uncommanded_motion": sum(row.uncommanded for row in rows),
        "wrong_state": sum(row.flights - row.right for row in rows),
        "worst_reaction_ticks": max(ticks, default=None),
        "table": [asdict(row) for row in rows],
    }


def format_table(rows: Sequence[CampaignRow]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| link | fault | verdict | first state | last state | vehicle at last | by itself after, s"
        " | flights | as demanded | worst ticks | worst deviation, m | uncommanded |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ticks = "-" if row.worst_ticks is None else str(row.worst_ticks)
        own = "-" if row.worst_own_after is None else f"{row.worst_own_after:.2f}"
        verdict = "none" if row.verdict == "-" else f"`{row.verdict}`"
        cells = (row.link, row.fault, verdict, row.reaction, row.end, row.vehicle, own, row.flights)
        lines.append(
            "| "
            + " | ".join(map(str, cells))
            + f" | {row.right} | {ticks} | {row.worst_deviation:.2f} | {row.uncommanded} |"
        )
    return "\n".join(lines)
