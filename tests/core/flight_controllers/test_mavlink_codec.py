from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pymavlink")

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink.codec import Codec, read_signing_key
from support.mavlink_samples import heartbeat


def test_messages_come_back_from_a_stream_in_pieces() -> None:
    sender, receiver = Codec(system=3), Codec(datagrams=False)
    data = b"".join(sender.pack(heartbeat(custom_mode=mode)) for mode in range(20))
    modes = []
    for at in range(0, len(data), 7):
        modes += [message.custom_mode for message in receiver.unpack(data[at : at + 7])]
    assert modes == list(range(20))


def test_a_datagram_that_is_cut_off_does_not_eat_the_next() -> None:
    sender, receiver = Codec(), Codec()
    assert receiver.unpack(sender.pack(heartbeat())[:9]) == []
    assert len(receiver.unpack(sender.pack(heartbeat()))) == 1


def test_signatures_are_checked_and_forgeries_do_not_block_the_true_stream() -> None:
    key = bytes(range(32))
    vehicle, ours = Codec(system=1, component=1, key=key), Codec(key=key)
    assert len(ours.unpack(vehicle.pack(heartbeat()))) == 1
    assert ours.unpack(Codec(system=1, component=1).pack(heartbeat())) == []  # unsigned
    forger = Codec(system=1, component=1, key=bytes(32))
    forger._mav.signing.timestamp = 2**47  # far ahead, so that true ones would look old
    assert ours.unpack(forger.pack(heartbeat())) == []
    frame = vehicle.pack(heartbeat())
    assert len(ours.unpack(frame)) == 1
    assert ours.unpack(frame) == []  # sent again by somebody who has listened
    assert ours.damaged == 3


def test_signing_keys_are_read_from_files_that_nobody_else_can_read(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("correct horse\n")
    file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_signing_key(str(file))
    file.chmod(0o600)
    key = read_signing_key(str(file))
    assert key is not None and len(key) == 32
    file.write_text("00" * 31 + "ff")
    assert read_signing_key(str(file)) == bytes(31) + b"\xff"
    file.write_text(" ")
    with pytest.raises(UserError, match="empty"):
        read_signing_key(str(file))
    with pytest.raises(UserError, match="cannot be read"):
        read_signing_key(str(tmp_path / "none"))
    file.write_text("x" * 5000)
    for name in (file, tmp_path, "/dev/zero", "a\0b", "x" * 5000, "~nobody/key"):
        with pytest.raises(UserError, match="cannot be read"):
            read_signing_key(str(name))
    assert read_signing_key("") is None
