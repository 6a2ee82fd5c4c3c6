"""Snapshots of Redis, written by the description of their format."""

from __future__ import annotations

import struct

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crc import JONES, Crc
from tests.unit.plugins.module_utils._backup.samples import codes, codes_of, cuts, look


def length(number: int) -> bytes:
    if number < 64:
        return bytes([number])
    return struct.pack(">H", number | 0x4000) if number < 1 << 14 else b"\x80" + struct.pack(">I", number)


def text(value: bytes) -> bytes:
    return length(len(value)) + value


LZF = b"\xc3" + length(5) + length(40) + b"abcde"
MODULE = b"\x02" + length(5) + b"\x05" + text(b"x") + b"\x04" + bytes(8) + b"\x00"
CONSUMER = text(b"c") + bytes(8) + length(1) + bytes(16)
GROUP = text(b"group") + length(1) * 3 + length(1) + bytes(24) + length(1) + length(1) + CONSUMER
VALUES = {
    "string": b"\x00" + text(b"k") + text(b"v" * 70),
    "integer": b"\x00" + text(b"k") + b"\xc1\x39\x30",
    "compressed": b"\x00" + text(b"k") + LZF,
    "list": b"\x01" + text(b"k") + length(2) + text(b"a") + text(b"b"),
    "set": b"\x02" + text(b"k") + length(1) + text(b"a"),
    "sorted set of old": b"\x03" + text(b"k") + length(2) + text(b"a") + b"\x031.5" + text(b"b") + b"\xfe",
    "hash": b"\x04" + text(b"k") + length(1) + text(b"f") + text(b"v"),
    "sorted set": b"\x05" + text(b"k") + length(1) + text(b"a") + bytes(8),
    "ziplist": b"\x0a" + text(b"k") + text(b"z" * 20000),
    "quicklist": b"\x0e" + text(b"k") + length(2) + text(b"a") + text(b"b"),
    "quicklist 2": b"\x12" + text(b"k") + length(1) + length(2) + text(b"a"),
    "listpack": b"\x14" + text(b"k") + text(b"l"),
    "module": b"\x07" + text(b"k") + b"\x81" + bytes(8) + MODULE,
    "stream": b"\x13" + text(b"k") + length(1) + text(bytes(16)) + text(b"lp") + length(9) * 8 + length(1) + GROUP,
    "expiring": b"\xfc" + bytes(8) + b"\x00" + text(b"k") + text(b"v"),
    "evicted": b"\xf9\x05\x00" + text(b"k") + text(b"v"),
    "function": b"\xf5" + text(b"#!lua"),
}  # fmt: skip


def snapshot(*values: bytes, version: bytes = b"0011", checked: bool = True) -> bytes:
    body = b"REDIS" + version + b"\xfa" + text(b"redis-ver") + text(b"7.2.4") + b"\xfe\x00\xfb\x05\x01"
    body += b"".join(values) + b"\xff"
    crc = Crc(JONES, inverted=False)
    crc.update(body)
    return body + struct.pack("<Q", crc.value if checked else 0)


@pytest.mark.parametrize("step", [1, 7, 1 << 18])
@pytest.mark.parametrize("name", VALUES)
def test_every_type_is_walked(name: str, step: int) -> None:
    seen = look("dump.rdb", snapshot(VALUES[name], *VALUES.values()), step)
    assert seen.problems == ()
    assert seen.unproven == ()
    assert seen.dump is not None
    assert seen.dump.server_version == "7.2.4"
    assert seen.dump.rows == {"keys": len(VALUES) - (name == "function")}


def test_no_beginning_is_whole_and_every_flip_is_told() -> None:
    whole = snapshot(*VALUES.values())
    assert {(*codes_of("dump.rdb", whole[:size]),) for size in cuts(whole, 331) if size > 5} == {("truncated",)}
    for place in range(9, len(whole), 251):
        bad = bytearray(whole)
        bad[place] ^= 4
        assert codes_of("dump.rdb", bytes(bad)), place


def test_a_server_may_write_no_check_value() -> None:
    seen = look("dump.rdb", snapshot(VALUES["string"], checked=False))
    assert (seen.problems, seen.unproven) == ((), ("values",))
    assert look("dump.rdb", snapshot(version=b"0004")[:-8]).problems == ()  # before there were any


def test_what_follows_or_is_not_known_is_told() -> None:
    for step in (1, 1 << 18):
        assert codes(look("dump.rdb", snapshot() + b"x", step)) == ["trailing_garbage"]
        assert codes(look("dump.rdb", snapshot() + snapshot(), step)) == ["trailing_garbage"]
    assert codes_of("dump.rdb", snapshot(b"\x63" + text(b"k"))) == ["corrupt"]
    assert codes_of("dump.rdb", snapshot(b"\x00" + text(b"k") + b"\xc3" + length(1) + length(9999) + b"x")) == [
        "corrupt"
    ]
