"""Names of files in an archive, and positions in WAL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import (
    BACKUP,
    HISTORY,
    PARTIAL,
    SEGMENT,
    SIZES,
    WalName,
    lsn_text,
    parse_lsn,
    parse_name,
    segment_name,
    sizes_that_fit,
)

SUFFIXES = (".gz", ".zst", ".gz.gpg")
MIB16 = 1 << 24


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000000010000000000000042", WalName(SEGMENT, 1, 0, 0x42)),
        ("0000000A0000000B000000FF", WalName(SEGMENT, 10, 11, 255)),
        ("000000010000000000000042.partial", WalName(PARTIAL, 1, 0, 0x42)),
        ("000000010000000000000042.00000028.backup", WalName(BACKUP, 1, 0, 0x42, offset=0x28)),
        ("00000002.history", WalName(HISTORY, 2)),
        ("000000010000000000000042.gz", WalName(SEGMENT, 1, 0, 0x42, ".gz")),
        ("000000010000000000000042.partial.zst", WalName(PARTIAL, 1, 0, 0x42, ".zst")),
        ("00000002.history.gz", WalName(HISTORY, 2, suffix=".gz")),
        ("000000010000000000000042.gz.gpg", WalName(SEGMENT, 1, 0, 0x42, ".gz.gpg")),
    ],
)
def test_what_a_name_says(name, expected):
    assert parse_name(name, SUFFIXES) == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".gz",
        "00000001000000000000004",
        "0000000100000000000000420",
        "00000001000000000000004g",
        "0000000a0000000b000000ff",  # lower case is nobody's
        "000000010000000000000042.bz2",
        "000000010000000000000042.tmp",
        ".000000010000000000000042",
        "000000010000000000000042\n",
        "000000010000000000000042.28.backup",
        "000000010000000000000042.backup",
        "000000010000000000000042.gz.partial",
        "00000002.history.partial",
        "archive_status",
    ],
)
def test_what_is_none_of_ours(name):
    assert parse_name(name, SUFFIXES) is None


@given(st.integers(1, 1 << 31), st.integers(0, (1 << 64) - 1), st.sampled_from(SIZES))
def test_a_segment_has_one_name_and_comes_back(timeline, position, size):
    number = position // size
    name = parse_name(segment_name(timeline, number, size))
    assert name is not None
    assert (name.kind, name.timeline, name.number(size)) == (SEGMENT, timeline, number)
    assert size in sizes_that_fit(position, name)


@given(st.integers(0, (1 << 64) - 1))
def test_a_position_comes_back(position):
    assert parse_lsn(lsn_text(position)) == position


def test_a_name_that_no_segment_of_that_size_has():
    name = parse_name("000000010000000000000100")
    assert name is not None
    assert name.number(MIB16) is None
    assert name.number(1 << 20) == 0x100


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/123456789", "x/1", "0/1 2", "0-1"])
def test_what_is_no_position(text):
    assert parse_lsn(text) is None


def test_a_position_and_its_name_tell_the_size():
    name = parse_name("000000010000000000000002")
    assert name is not None
    assert sizes_that_fit(0x2000028, name) == {MIB16}
    first = parse_name("000000010000000000000000")
    assert first is not None
    assert len(sizes_that_fit(0x28, first)) == len(SIZES), "at the very beginning every size fits"
