"""Ways to damage the bytes of a policy file, from accidents to what somebody would do on purpose.

Every damage takes bytes and a generator of random numbers. `seal_again` makes the digest right
again, as an attacker would.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable

import numpy as np

Generator = np.random.Generator
Damage = Callable[[bytes, Generator], bytes]
DIGEST = re.compile(rb'digest\x12\x49"sha256:([0-9a-f]{64})"')


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
