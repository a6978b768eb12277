"""Damaged and forged policy files against the loader, each in a process that may die of it.

    python benchmarks/artifact_fuzz.py --count 10000 --seed 1 --json artifacts.json

Accidents keep their digest; forgeries have a right one again, as an attacker would make it. Each
file is loaded as a node does in `configure`: once alone, once with the true file's hash as
`policy_sha256`. Every refusal must be a `UserError` of one line. Exit code 1 where the loader died,
hung, raised anything else, took too much memory or time, loaded an accident, or loaded anything
but the true file under its hash. What a forgery that loads would fly is compared with the true one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from artifact_bombs import BOMBS
from artifact_damage import ACCIDENTS, FORGED_BYTES, seal_again
from artifact_forgery import GRAPH, METADATA, TENSORS, WEIGHTS_FILE
from trial import Trial, Verdict

from snn_controller.paths import policy_path

POLICIES = ("hover", "hover_rates", "hover_mlp")
SHARES = {
    "accident": 0.4,
    "bytes": 0.15,
    "metadata": 0.15,
    "tensors": 0.1,
    "graph": 0.15,
    "bombs": 0.05,
}
DAMAGES: dict[str, Sequence[Any]] = {
    "accident": ACCIDENTS,
    "bytes": FORGED_BYTES,
    "metadata": METADATA,
    "tensors": TENSORS,
    "graph": GRAPH,
    "bombs": BOMBS,
}
PROBE_TICKS = 200
MOST_SECONDS, MOST_MIB = 20.0, 1024.0  # that one file may cost; refused ones take milliseconds


def main() -> None:
    """Fuzz and print the result."""
    parser = argparse.ArgumentParser(description="Damaged policy files against the loader.")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file to write the result to")
    parser.add_argument("--keep", type=Path, help="folder for the files that broke the contract")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="artifact-fuzz-") as folder:
        result = fuzz(args.count, args.seed, Path(folder), args.keep)
    text = json.dumps(result, indent=2)
    sys.stdout.write(f"{text}\n")
    if args.json:
        args.json.write_text(text + "\n")
    sys.exit(0 if result["broken"] == 0 else 1)


def fuzz(count: int, seed: int, folder: Path, keep: Path | None) -> dict[str, Any]:
    """Try that many files and return the counts; `keep` takes those that broke the contract."""
    sources = {name: policy_path(name).read_bytes() for name in POLICIES}
    work = folder / "work"
    work.mkdir()
    os.mkfifo(work / "pipe")
    table: dict[str, Counter[str]] = defaultdict(Counter)
    costs, broken = [(0.0, 0.0)], []
    with Trial(load, work) as trial:
        true = {name: try_file(trial, work, x, x)[0] for name, x in sources.items()}
        for number, (kind, name, content) in enumerate(files(sources, count, seed)):
            alone, pinned = try_file(trial, work, content, sources[name])
            outcome = judge(kind, alone, pinned, true[name])
            table[kind][outcome] += 1
            costs += [(each.seconds, each.mib) for each in (alone, pinned)]
            if outcome.startswith("broken"):
                broken.append(f"{number} {name} {kind}: {outcome}: {alone.text} | {pinned.text}")
                _keep(keep, f"{number}-{kind.replace(' ', '-')}.onnx", content)
    if (work / "unpickled").exists():
        broken.append("code of a file has run")
    seconds, mib = (max(each) for each in zip(*costs, strict=True))
    return {
        "artifacts": count,
        "seed": seed,
        "broken": len(broken),
        "outcomes": dict(sum(table.values(), Counter())),
        "worst_seconds": round(seconds, 3),
        "worst_mib": round(mib, 1),
        "table": {kind: dict(table[kind]) for kind in sorted(table)},
        "what_broke": broken[:100],
    }


def try_file(trial: Trial, work: Path, content: bytes, source: bytes) -> tuple[Verdict, Verdict]:
    """Return what came of a file alone and under the hash of the true one."""
    path = _put(work, content, source)
    return trial(str(path), ""), trial(str(path), hashlib.sha256(source).hexdigest())


def files(sources: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield damaged files: the kind of damage, the policy that was damaged, the bytes."""
    rng = np.random.default_rng(seed)
    while count > 0:
        group = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        name = str(rng.choice(list(sources)))
        options = DAMAGES[group]
        damage = options[int(rng.integers(len(options)))]
        own = np.random.default_rng(rng.integers(2**63))  # what one draws changes no other file
        source = sources[name]
        content = make(group, damage, source, own)
        kind = f"{'accident' if group == 'accident' else 'forged'} {damage.__name__}"
        if content != source:  # two flips of one bit are no damage
            count -= 1
            yield kind, name, content


def make(group: str, damage: Any, source: bytes, rng: np.random.Generator) -> bytes:
    """Return a policy file's bytes after one kind of damage."""
    if group == "accident":
        return damage(source, rng)
    if group == "bytes":
        return seal_again(damage(source, rng))
    model = onnx.load_from_string(source)
    damage(model, rng)
    return seal_again(model.SerializeToString(deterministic=True))


def load(path: str, pin: str) -> Verdict:
    """Load a policy file as the controller does, pinned to a hash unless that is empty."""
    from snn_controller.flight.parameters import ControllerSettings
    from snn_controller.flight.setup import prepare_flight
    from snn_controller.vehicle.action import ACTION_KINDS

    settings = ControllerSettings(policy=path, policy_sha256=pin)
    flight = prepare_flight(settings, frozenset(ACTION_KINDS), has_pilot=False)
    return Verdict("loaded", fingerprint(flight.policy))


def fingerprint(policy: Any) -> str:
    """Return a hash over what a policy says and does with made-up observations."""
    rng, metadata = np.random.default_rng(5), policy.metadata
    facts = (metadata.control_rate, metadata.action_kind, metadata.airframe, metadata.layers)
    digest = hashlib.sha256(repr(facts).encode())
    for observation in rng.normal(0.0, 0.5, (PROBE_TICKS, 18)).astype(np.float32):
        digest.update(policy.step(observation).tobytes())
    return digest.hexdigest()


def judge(kind: str, alone: Verdict, pinned: Verdict, true: Verdict) -> str:
    """Return the outcome of a file in words; what begins with `broken` breaks the contract."""
    for each in (alone, pinned):
        if each.outcome not in ("refused", "loaded"):
            return f"broken: {each.outcome}"
        if each.seconds > MOST_SECONDS or each.mib > MOST_MIB:
            return "broken: too much time or memory"
    if pinned.outcome == "loaded":
        return "broken: loaded under the hash of another file"
    if alone.outcome == "refused":
        return "refused"
    if kind.startswith("accident"):
        return "broken: loaded"
    return "loaded, flies the same" if alone.text == true.text else "loaded, flies otherwise"


def _keep(folder: Path | None, name: str, content: bytes) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _put(folder: Path, content: bytes, source: bytes) -> Path:
    """Write a file to try, and beside it the tensors that it may claim to lie there."""
    path = folder / "policy.onnx"
    path.write_bytes(content)
    tensors = b"".join(x.raw_data for x in onnx.load_from_string(source).graph.initializer)
    for place in (folder, folder.parent):
        (place / WEIGHTS_FILE).write_bytes(tensors)
    return path


if __name__ == "__main__":
    main()
