"""Console script `snn-replay`: feed a recorded flight to a policy and say where its actions differ.

Exit code 0 when the policy that flew gives the same actions again, or another policy was compared;
1 when the same policy gives other actions; 2 for a wrong argument or a bag that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from snn_controller.errors import UserError
from snn_controller.flight_log import read_flight
from snn_controller.replay.plot import draw_replay
from snn_controller.replay.replay import (
    find_policy,
    format_replay,
    replay,
    replays_exactly,
    summarise_replay,
)
from snn_controller.system import write_atomically

EXIT_DIFFERENT = 1
EXIT_USER_ERROR = 2


def main() -> None:
    """Run `snn-replay`."""
    try:
        sys.exit(run(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def run(words: Sequence[str]) -> int:
    """Replay as the words of a command line ask for; print the outcome, return the exit code.

    Raises:
        UserError: The bag or the policy cannot be used.
    """
    given = _parser().parse_args(words)
    flight = read_flight(given.bag, given.flight)
    outcome = replay(flight, find_policy(flight, given.policy))
    summary = summarise_replay(outcome)
    print(format_replay(summary))
    if given.json:
        text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
        write_atomically(Path(given.json), text.encode())
    if given.plot:
        draw_replay(outcome, summary, Path(given.plot))
    differs = summary["same_artifact"] and not replays_exactly(summary)
    return EXIT_DIFFERENT if differs else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="snn-replay", description=__doc__)
    parser.add_argument("bag", help="bag or report folder of a flight flown with record:=true")
    parser.add_argument(
        "--policy", default="", help="policy file or shipped policy; by default the one that flew"
    )
    parser.add_argument("--flight", type=int, help="number of the flight, if the bag holds several")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--plot", help="file for a picture of the actions (PNG)")
    return parser


if __name__ == "__main__":
    main()
