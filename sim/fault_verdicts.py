"""Which faults there are behind each link, and which verdicts of the guards they reach."""

from __future__ import annotations

from importlib import import_module

from snn_controller.guards.verdicts import RULES

from sim.fault_scene import Fault
from sim.faults_estimate import ESTIMATE_FAULTS
from sim.faults_flight import FLIGHT_FAULTS
from sim.faults_frames import FRAME_FAULTS
from sim.faults_vehicle import VEHICLE_FAULTS

FAULTS = (*VEHICLE_FAULTS, *FLIGHT_FAULTS, *ESTIMATE_FAULTS, *FRAME_FAULTS)
# Imported only when they are asked for: their links' clients may be missing.
_LINKED = {
    "mavlink": ("faults_datagram", "MAVLINK_FAULTS"),
    "px4": ("faults_autopilot", "PX4_FAULTS"),
    "crazyflie": ("faults_crazyflie", "CRAZYFLIE_FAULTS"),
}
LINKS = ("sim", *_LINKED)


def link_faults(link: str) -> tuple[Fault, ...]:
    """Return the faults that a link can have."""
    if link == "sim":
        return FAULTS
    module, name = _LINKED[link]
    return getattr(import_module(f"sim.{module}"), name)


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
