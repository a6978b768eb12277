"""Faults on the way to the real Betaflight firmware, in real time, and what followed.

    python benchmarks/betaflight_faults.py --policy hover_rates.onnx --flights 24 --json out.json

Each flight takes about 20 s: a fresh firmware in a network namespace of its own. Faults take turns.
Exit code 0 when every flight ended in the state that its fault demands, no motor turned
uncommanded and every verdict came within 3 ticks, else 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snn_controller.errors import UserError
from snn_sim.betaflight.sitl import isolated, obtain_firmware
from snn_sim.faults.betaflight.faults import NAMES, fly_fault
from snn_sim.faults.betaflight.flight import Trial

MAX_REACTION = 3  # ticks
FLIGHT_TIME = 240.0  # s


def main() -> None:
    """Fly and print one line a flight, then the table."""
    args = parse()
    try:
        if args.inside:
            outcome = fly_fault(args.fault, args.seed, args.inside, Trial(args.policy))
            print(json.dumps(asdict(outcome)))
            return
        firmware = obtain_firmware()
        outcomes = [fly_outside(args, firmware, number) for number in range(args.flights)]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    report = summarise(outcomes)
    print(format_table(report["table"]))
    if args.json:
        args.json.write_text(json.dumps({"seed": args.seed, **report}, indent=2) + "\n")
    slow = report["worst_reaction_ticks"] > MAX_REACTION
    sys.exit(1 if report["wrong_state"] or report["uncommanded_motion"] or slow else 0)


def parse() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description="Faults with the real Betaflight firmware.")
    parser.add_argument("--policy", type=Path, required=True, help="thrust_rates policy to fly")
    parser.add_argument("--flights", type=int, default=24, help="number of flights (default 24)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first flight")
    parser.add_argument("--fault", choices=NAMES, help="only this fault (default: each in turn)")
    parser.add_argument("--json", type=Path, help="file for the result")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the firmware to fly
    return parser.parse_args()


def fly_outside(args: argparse.Namespace, firmware: Path, number: int) -> dict[str, Any]:
    """Fly once in a network namespace of its own and return the outcome."""
    fault = args.fault or NAMES[number % len(NAMES)]
    words = ["--policy", str(args.policy), "--fault", fault, "--seed", str(args.seed + number)]
    command = [sys.executable, str(Path(__file__).resolve()), *words, "--inside", str(firmware)]
    process = subprocess.run(
        isolated(command) or command,
        capture_output=True,
        text=True,
        timeout=FLIGHT_TIME,
        check=False,
    )
    lines = process.stdout.splitlines()
    if process.returncode != 0 or not lines:
        reason = (process.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"{fault}: {reason.removeprefix('error: ')}")
    outcome = json.loads(lines[-1])
    shown = {name: value for name, value in outcome.items() if value not in ("", None)}
    print(f"flight {number + 1}: {shown}", flush=True)
    return outcome


def summarise(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the totals, and one row for each fault."""
    table = [summarise_fault(name, [o for o in outcomes if o["fault"] == name]) for name in NAMES]
    table = [row for row in table if row["flights"]]
    return {
        "flights": len(outcomes),
        "uncommanded_motion": sum(outcome["uncommanded"] for outcome in outcomes),
        "wrong_state": sum(not outcome["right"] for outcome in outcomes),
        "worst_reaction_ticks": max((row["worst_ticks"] or 0 for row in table), default=0),
        "table": table,
    }


def summarise_fault(name: str, outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of one fault."""

    def worst(key: str) -> Any:
        return max((o[key] for o in outcomes if o[key] is not None), default=None)

    return {
        "fault": name,
        "flights": len(outcomes),
        "right": sum(outcome["right"] for outcome in outcomes),
        "modes": sorted({outcome["mode"] for outcome in outcomes}),
        "verdicts": sorted({outcome["verdict"] for outcome in outcomes} - {""}),
        "worst_ticks": worst("reaction_ticks"),
        "worst_idle": worst("idle_after"),
        "worst_off": worst("off_after"),
        "worst_deviation": worst("deviation"),
        "uncommanded": sum(outcome["uncommanded"] for outcome in outcomes),
    }


def format_table(rows: list[dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| fault | flights | as demanded | state | verdict | worst reaction, ticks | no lift"
        " after, s | motors off after, s | deviation, m | uncommanded |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = ("-" if row[k] is None else f"{row[k]:.2f}" for k in ("worst_idle", "worst_off"))
        ticks = "-" if row["worst_ticks"] is None else row["worst_ticks"]
        words = (", ".join(row["modes"]), ", ".join(row["verdicts"]) or "-")
        cells = (row["fault"], row["flights"], row["right"], *words, ticks, *times)
        last = (f"{row['worst_deviation'] or 0.0:.2f}", row["uncommanded"])
        lines.append(f"| {' | '.join(map(str, (*cells, *last)))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
