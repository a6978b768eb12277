"""Flights of a policy with the real Betaflight firmware: hover, kick, loss of the link.

    python benchmarks/betaflight_flights.py --policy hover_rates.onnx --flights 10 --json out.json

Each flight takes about 50 s: a fresh firmware in a network namespace of its own flies our PyBullet
drone in real time. The firmware is found, or built once from its registry package (gcc, make).
Exit code 0 when every flight armed, hovered, recovered from the kick and was disarmed by the
firmware's failsafe, else 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.errors import UserError
from snn_sim.betaflight.sitl import isolated, obtain_firmware
from snn_sim.faults.betaflight.flight import Trial, fly_betaflight

COLUMNS = ("hover_error", "kick_error", "recovered_after", "command_rate", "motor_rate")
FLIGHT_TIME = 240.0  # s that a flight may take beyond its hover


def main() -> None:
    """Fly and print one line a flight, then the worst of all."""
    args = parse()
    try:
        if args.inside:
            fly_inside(args)
            return
        firmware = obtain_firmware()
        results = [fly_outside(args, firmware, number) for number in range(args.flights)]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    passed = sum(result["passed"] for result in results)
    print(f"{passed} of {len(results)} passed; worst: {worst(results)}")
    if args.json:
        report = {"flights": len(results), "passed": passed, "results": results}
        args.json.write_text(json.dumps(report, indent=2))
    sys.exit(0 if passed == len(results) else 1)


def parse() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description="Flights with the real Betaflight firmware.")
    parser.add_argument("--policy", type=Path, required=True, help="thrust_rates policy to fly")
    parser.add_argument("--flights", type=int, default=10, help="number of flights (default 10)")
    parser.add_argument("--hover", type=float, default=20.0, help="s to hover (default 20)")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the firmware to fly
    return parser.parse_args()


def fly_inside(args: argparse.Namespace) -> None:
    """Fly once in this network namespace and print the result as JSON."""
    result = fly_betaflight(args.inside, Trial(args.policy, hover_time=args.hover))
    print(json.dumps({"passed": result.passed, **asdict(result)}))


def fly_outside(args: argparse.Namespace, firmware: Path, number: int) -> dict[str, Any]:
    """Fly once in a network namespace of its own and return the result."""
    words = ["--policy", str(args.policy), "--hover", str(args.hover), "--inside", str(firmware)]
    command = [sys.executable, str(Path(__file__).resolve()), *words]
    process = subprocess.run(
        isolated(command) or command,
        capture_output=True,
        text=True,
        timeout=FLIGHT_TIME + args.hover,
        check=False,
    )
    lines = process.stdout.splitlines()
    if process.returncode != 0 or not lines:
        reason = (process.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(reason.removeprefix("error: "))
    result = json.loads(lines[-1])
    print(f"flight {number + 1}: {describe(result)}", flush=True)
    return result


def describe(result: dict[str, Any]) -> str:
    """Return one line about a flight."""
    if result["trouble"]:
        return f"FAILED: {result['trouble']}"
    numbers = [f"{name} {result[name]:.3g}" for name in COLUMNS if result[name] is not None]
    stages = [f"{stage} {time:.2f} s" for stage, time in result["failsafe"].items()]
    return f"{'ok' if result['passed'] else 'FAILED'}: {', '.join(numbers + stages)}"


def worst(results: list[dict[str, Any]]) -> str:
    """Return the largest of each number, the smallest of the rates."""
    parts = []
    for name in COLUMNS:
        values = [result[name] for result in results if result[name] is not None]
        if values:
            value = np.min(values) if name.endswith("_rate") else np.max(values)
            parts.append(f"{name} {value:.3g}")
    for stage in sorted({stage for result in results for stage in result["failsafe"]}):
        times = [r["failsafe"][stage] for r in results if stage in r["failsafe"]]
        parts.append(f"{stage} {min(times):.2f} to {max(times):.2f} s")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
