"""Training scripts that take no time, for tests of what runs them."""

from __future__ import annotations

from pathlib import Path

TRAIN = """
import argparse, csv, json, pathlib, sys, time
parser = argparse.ArgumentParser()
for name in ("folder", "name", "budget", "fail", "sleep"):
    parser.add_argument(f"--{name}")
parser.add_argument("--seed", type=int)
parser.add_argument("--resume", action="store_true")
args, _ = parser.parse_known_args()
place = pathlib.Path(args.folder) / args.name
if args.fail:
    sys.exit(f"error: {place} {args.fail}")
checkpoint = place / "checkpoint.pt"
if checkpoint.exists() != args.resume:
    sys.exit("error: there is a checkpoint or not, against the options")
checkpoint.write_text("")
if args.sleep and not args.resume:
    time.sleep(float(args.sleep))
config = {"name": args.name, "folder": args.folder, "seed": args.seed}
(place / "config.json").write_text(json.dumps({"git": "abc", "torch": "0", "config": config}))
with (place / "progress.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["transitions", "updates", "return_end", "survival"])
    writer.writerows((100 * i, i, 40.0 * i + args.seed, i / 10) for i in range(10))
(place / "policy.onnx").write_text(str(args.seed))
"""
EVALUATE = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
for name in ("policy", "sim", "episodes", "seed", "json", "split"):
    parser.add_argument(f"--{name}")
parser.add_argument("--cells", nargs="*")
args = parser.parse_args()
value = float(pathlib.Path(args.policy).read_text())
names = ("return_end", "survival", "action_step", "steady_xy_m")
scores = {name: {"mean": value, "low": value, "high": value} for name in names}
pathlib.Path(args.json).write_text(json.dumps({"cells": dict.fromkeys(args.cells, scores)}))
"""


def write_scripts(folder: Path, *names: str) -> Path:
    """Write training scripts of these names and `evaluate.py` into a folder, return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(TRAIN)
    (folder / "evaluate.py").write_text(EVALUATE)
    return folder
