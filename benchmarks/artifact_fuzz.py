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
import pickle
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from artifact_forgery import BOMBS, GRAPH, METADATA, TENSORS, WEIGHTS_FILE
from sandbox import Result, Sandbox

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
PROBE_TICKS = 200
MOST_SECONDS, MOST_MIB = 20.0, 1024.0  # that one file may cost; refused ones take milliseconds
Generator = np.random.Generator
Damage = Callable[[bytes, Generator], bytes]
DIGEST = re.compile(rb'digest\x12\x49"sha256:([0-9a-f]{64})"')


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
    with Sandbox(load, work) as sandbox:
        true = {name: try_file(sandbox, work, x, x)[0] for name, x in sources.items()}
        for number, (kind, name, content) in enumerate(files(sources, count, seed)):
            alone, pinned = try_file(sandbox, work, content, sources[name])
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


def try_file(sandbox: Sandbox, work: Path, content: bytes, source: bytes) -> tuple[Result, Result]:
    """Return what came of a file alone and under the hash of the true one."""
    path = _put(work, content, source)
    return sandbox(str(path), ""), sandbox(str(path), hashlib.sha256(source).hexdigest())


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


def load(path: str, pin: str) -> Result:
    """Load a policy file as the controller does, pinned to a hash unless that is empty."""
    from snn_controller.flight.parameters import ControllerSettings
    from snn_controller.flight.setup import prepare_flight

    settings = ControllerSettings(policy=path, policy_sha256=pin)
    flight = prepare_flight(settings)
    return Result("loaded", fingerprint(flight.policy))


def fingerprint(policy: Any) -> str:
    """Return a hash over what a policy says and does with made-up observations."""
    rng, metadata = np.random.default_rng(5), policy.metadata
    facts = (metadata.control_rate, metadata.action_kind, metadata.airframe, metadata.layers)
    digest = hashlib.sha256(repr(facts).encode())
    for observation in rng.normal(0.0, 0.5, (PROBE_TICKS, 18)).astype(np.float32):
        digest.update(policy.step(observation).tobytes())
    return digest.hexdigest()


def judge(kind: str, alone: Result, pinned: Result, true: Result) -> str:
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


def seal_again(content: bytes) -> bytes:
    """Return the content with a right digest, unchanged where it has lost the place of one."""
    entries = list(DIGEST.finditer(content))
    if len(entries) != 1:
        return content
    start, end = entries[0].span(1)
    blank = content[:start] + b"0" * 64 + content[end:]
    return content[:start] + hashlib.sha256(blank).hexdigest().encode() + content[end:]


def _place(content: bytes, rng: Generator) -> int:
    return int(rng.integers(len(content)))


def _length(rng: Generator) -> int:
    return int(2.0 ** rng.uniform(0.0, 14.0))


def flip(content: bytes, rng: Generator) -> bytes:
    """Turn some bits, anywhere."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        data[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(data)


def flip_structure(content: bytes, rng: Generator) -> bytes:
    """Turn bits where the file is no tensor: its ends, which hold nodes, names and metadata."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(4096)) % len(data)
        data[place if rng.random() < 0.5 else -place - 1] ^= 1 << int(rng.integers(8))
    return bytes(data)


def flip_lengths(content: bytes, rng: Generator) -> bytes:
    """Turn bits in front of words, where protobuf keeps tags and lengths."""
    data = bytearray(content)
    words = [word.start() for word in re.finditer(rb"[a-z_]{4,}", content)]
    for _ in range(int(rng.integers(1, 5))):
        place = max(words[int(rng.integers(len(words)))] - int(rng.integers(1, 5)), 0)
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def truncate(content: bytes, rng: Generator) -> bytes:
    """Cut the end off."""
    return content[: _place(content, rng)]


def insert(content: bytes, rng: Generator) -> bytes:
    """Push random bytes in."""
    place = _place(content, rng)
    return content[:place] + rng.bytes(_length(rng)) + content[place:]


def delete(content: bytes, rng: Generator) -> bytes:
    """Leave bytes out."""
    place = _place(content, rng)
    return content[:place] + content[place + _length(rng) :]


def overwrite(content: bytes, rng: Generator) -> bytes:
    """Write random bytes, zeros or ones over it."""
    place, length = _place(content, rng), _length(rng)
    patch = (rng.bytes(length), b"\0" * length, b"\xff" * length)[int(rng.integers(3))]
    return content[:place] + patch + content[place + length :]


def repeat(content: bytes, rng: Generator) -> bytes:
    """Copy a piece to another place."""
    start, place = _place(content, rng), _place(content, rng)
    return content[:place] + content[start : start + _length(rng)] + content[place:]


def exchange(content: bytes, rng: Generator) -> bytes:
    """Exchange two pieces."""
    a, b, c, d = np.sort(rng.integers(0, len(content) + 1, 4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def no_policy(content: bytes, rng: Generator) -> bytes:
    """Give a file of another kind altogether."""
    bomb = pickle.dumps(_Touch())
    return (b"", bomb, rng.bytes(5000), b"PK\x03\x04" + content, b"[]", content * 2)[
        int(rng.integers(6))
    ]


def wrong_digest(content: bytes, rng: Generator) -> bytes:
    """Give it a digest that is not its own."""
    digest = DIGEST.search(content)
    assert digest is not None
    other = rng.bytes(32).hex().encode()
    return content[: digest.start(1)] + other + content[digest.end(1) :]


class _Touch:
    """Unpickled, it would leave the file `unpickled` behind."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("unpickled", "w")


ACCIDENTS: tuple[Damage, ...] = (
    flip,
    flip_structure,
    truncate,
    insert,
    delete,
    overwrite,
    repeat,
    exchange,
    no_policy,
    wrong_digest,
)
FORGED_BYTES: tuple[Damage, ...] = (flip, flip_structure, flip_lengths, insert, delete, overwrite)
DAMAGES: dict[str, Sequence[Any]] = {
    "accident": ACCIDENTS,
    "bytes": FORGED_BYTES,
    "metadata": METADATA,
    "tensors": TENSORS,
    "graph": GRAPH,
    "bombs": BOMBS,
}


if __name__ == "__main__":
    main()
