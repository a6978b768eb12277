"""Fly a fault campaign and print its table.

Each flight has one fault. Motion is uncommanded where a command turns motors while the flight is
disarmed, in its checks, arming, armed, killed or left to its pilot; before any valid odometry has
come; with numbers that are not finite; or where the policy answers a sample that was not valid.
Ticks to react count from the tick in which the limit is broken, less the time that the guard waits
by its own parameters. The exit code is 1 where something moved uncommanded, reacted late or ended
in another state than the tables of docs/safety.md demand.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from snn_sim.faults.campaign import RIGS, fly_campaign, format_table, summarise_campaign, tabulate


def main() -> None:
    """Fly the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flights", type=int, default=1000, help="flights behind each link")
    parser.add_argument("--seed", type=int, default=0, help="seed of the campaign")
    parser.add_argument("--links", nargs="+", default=["sim"], choices=tuple(RIGS))
    parser.add_argument("--json", type=Path, help="file for the result")
    args = parser.parse_args()
    total = args.flights * len(args.links)
    campaign = fly_campaign(args.flights, args.seed, links=args.links)
    rows = tabulate(list(tqdm(campaign, total=total, unit="flight", file=sys.stderr)))
    result = summarise_campaign(rows)
    print(format_table(rows))
    print({name: value for name, value in result.items() if name != "table"})
    if args.json is not None:
        args.json.write_text(json.dumps({"seed": args.seed, **result}, indent=2) + "\n")
    sys.exit(0 if all(row.ok for row in rows) else 1)


if __name__ == "__main__":
    main()
