"""BSON by its own rules, and against documents that were written by hand from the specification."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.bson import Malformed, check


def document(*elements: bytes) -> bytes:
    body = b"".join(elements) + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def text(value: bytes) -> bytes:
    return struct.pack("<i", len(value) + 1) + value + b"\0"


def element(kind: int, value: bytes, name: bytes = b"a") -> bytes:
    return bytes([kind]) + name + b"\0" + value


SCOPE = document(element(0x10, b"\1\0\0\0"))
WITH_SCOPE = text(b"code") + SCOPE
GOOD = {
    "double": element(0x01, struct.pack("<d", 1.5)),
    "text": element(0x02, text("ünïcode".encode())),
    "document": element(0x03, SCOPE),
    "array": element(0x04, document(element(0x10, b"\1\0\0\0", b"0"))),
    "binary": element(0x05, b"\3\0\0\0\x00abc"),
    "undefined": element(0x06, b""),
    "id": element(0x07, bytes(12)),
    "true": element(0x08, b"\1"),
    "date": element(0x09, bytes(8)),
    "null": element(0x0A, b""),
    "regex": element(0x0B, b"^a\0im\0"),
    "pointer": element(0x0C, text(b"db.c") + bytes(12)),
    "code": element(0x0D, text(b"x()")),
    "symbol": element(0x0E, text(b"s")),
    "scoped": element(0x0F, struct.pack("<i", 4 + len(WITH_SCOPE)) + WITH_SCOPE),
    "int": element(0x10, bytes(4)),
    "timestamp": element(0x11, bytes(8)),
    "long": element(0x12, bytes(8)),
    "decimal": element(0x13, bytes(16)),
    "lowest": element(0xFF, b""),
    "highest": element(0x7F, b""),
    "unnamed": element(0x10, bytes(4), b""),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_field_is_known(name: str) -> None:
    check(document(GOOD[name]))
    check(document(GOOD[name], *GOOD.values()))


def test_an_empty_document_is_one() -> None:
    check(document())


@pytest.mark.parametrize(
    "bad",
    [
        document(element(0x14, b"")),
        document(element(0x08, b"\2")),
        document(element(0x02, text(b"\xff\xfe"))),
        document(element(0x02, struct.pack("<i", 3) + b"abc")),
        document(element(0x02, struct.pack("<i", 99) + b"abc\0")),
        document(element(0x02, struct.pack("<i", 0))),
        document(element(0x03, struct.pack("<i", 4))),
        document(element(0x03, SCOPE[:-1] + b"x")),
        document(element(0x05, struct.pack("<i", -1) + b"\0")),
        document(element(0x0B, b"a\0z\0")),
        document(element(0x0B, b"a")),
        document(element(0x10, bytes(4), b"\xff")),
        document(element(0x0F, struct.pack("<i", 14) + bytes(10))),
        document(b"\x10name"),
        document(element(0x10, b"\0\0")),
        document()[:-1] + b"x",
        document() + b"\0",
    ],
)
def test_what_breaks_the_rules_is_refused(bad: bytes) -> None:
    with pytest.raises((Malformed, IndexError, struct.error)):
        check(bad)


def test_what_is_nested_too_deep_is_refused_and_takes_no_stack() -> None:
    deep = document()
    for _level in range(5000):
        deep = document(element(0x03, deep))
    with pytest.raises(Malformed, match="deep"):
        check(deep)


@given(st.binary(min_size=5, max_size=200))
def test_whatever_comes_there_is_an_answer(data: bytes) -> None:
    try:
        check(data)
    except (Malformed, IndexError, struct.error):
        return


@given(place=st.integers(4, 400), bit=st.integers(0, 7))
def test_a_flip_is_refused_or_leaves_a_document(place: int, bit: int) -> None:
    bad = bytearray(document(*GOOD.values()))
    bad[place % len(bad)] ^= 1 << bit
    try:
        check(bytes(bad))
    except (Malformed, IndexError, struct.error):
        return
    assert struct.unpack("<i", bad[:4])[0] == len(bad)
