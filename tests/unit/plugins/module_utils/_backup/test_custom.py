"""Custom-format archives: whole ones of every version raise no alarm, and damage is told by its own code."""

from __future__ import annotations

import random
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils._backup.samples import (
    CUSTOM,
    ROWS,
    Piece,
    archive,
    codes_of,
    cuts,
    look,
    recorded,
)

VERSIONS = [(1, minor) for minor in range(12, 17)]
LARGE_OBJECTS = Piece(9, [(16384, b"\xde\xad" * 9000), (16385, b"")], copied=False, tag="BLOBS", kind="BLOBS")
EMPTY = b"\\.\n\n\n"


# --- good ones


@pytest.mark.parametrize("step", [1, 997, 1 << 16])
@pytest.mark.parametrize("name", CUSTOM)
def test_a_real_archive_is_whole_however_it_is_read(name: str, step: int) -> None:
    seen = look("shop.dump", recorded(name), step)
    assert seen.problems == ()
    assert seen.chain == ("pgdump-custom",)
    assert seen.unproven == (("toc", "values") if "none" in name else ("toc",))
    assert seen.dump is not None
    assert seen.dump.database == "shop"
    assert seen.dump.server_version == seen.dump.tool_version == {"14": "14.23", "16": "16.15", "18": "18.6"}[name[:2]]
    assert seen.dump.tables == 5
    assert seen.dump.complete is True


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("integer", "offset"), [(4, 8), (8, 8), (4, 4)])
def test_every_version_is_read(version: tuple[int, int], compression: str, integer: int, offset: int) -> None:
    entries = (Piece(1, ROWS * 3000), Piece(2, EMPTY), Piece(3, copied=False), LARGE_OBJECTS)
    data = archive(entries, version, compression, integer=integer, offset=offset)
    for step in (13, 5000, 1 << 20):
        assert codes_of("shop.dump", data, step) == []


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_an_archive_without_data_is_whole(compression: str) -> None:
    assert codes_of("shop.dump", archive((Piece(1, copied=False),), compression=compression)) == []
    assert codes_of("shop.dump", archive((), compression=compression)) == []


def test_inserts_have_no_end_of_rows() -> None:
    assert codes_of("shop.dump", archive((Piece(1, b"INSERT INTO t VALUES (1);\n\n\n", copied=False),))) == []


def test_a_row_longer_than_the_memory_for_it_is_passed_on_as_it_comes() -> None:
    data = archive((Piece(1, b"x" * 3_000_000 + b"\n\\.\n\n\n"),), compression="none", piece_bytes=2_999_999)
    assert codes_of("shop.dump", data, 4096) == []


def test_names_may_be_absent_or_long() -> None:
    entries = (
        Piece(1, ROWS, tag=None),
        Piece(2, EMPTY, tag="ä" * 500),
        Piece(3, copied=False, changes={"dependencies": ()}),
    )
    assert codes_of("shop.dump", archive(entries), 100) == []


@given(size=st.integers(min_value=1, max_value=6000))
def test_the_size_of_the_pieces_changes_nothing(size: int) -> None:
    for data in (recorded("18-gzip.dump"), recorded("16-none.dump")[:-40]):
        assert look("shop.dump", data, size) == look("shop.dump", data)


# --- other compressions, and versions that cannot be read


@pytest.mark.parametrize("name", ["16-zstd.dump", "18-zstd.dump"])
def test_zstd_inside_is_read_like_gzip(name: str) -> None:
    seen = look("shop.dump", recorded(name))
    assert seen.problems == ()
    assert seen.unproven == ("toc", "values")  # PostgreSQL asks zstd for no check values
    assert seen.dump is not None
    assert seen.dump.rows == look("shop.dump", recorded(name.replace("zstd", "gzip"))).dump.rows
    assert seen.dump.complete is True
    assert codes_of("shop.dump", recorded(name)[:-5]) == ["truncated"]


@pytest.mark.parametrize("version", [(1, 11), (1, 17), (2, 0)])
def test_another_version_is_unknown(version: tuple[int, int]) -> None:
    (problem,) = look("shop.dump", archive(version=version)).problems
    assert problem.code == "backup.unsupported"
    assert f"{version[0]}.{version[1]}" in problem.what


# --- bad ones


@pytest.mark.parametrize("name", CUSTOM)
def test_no_beginning_of_an_archive_is_whole(name: str) -> None:
    whole = recorded(name)
    assert {(*codes_of("shop.dump", whole[:size]),) for size in cuts(whole, 61)} == {("truncated",)}


@pytest.mark.soak
@pytest.mark.parametrize("name", [*CUSTOM, "16-zstd.dump", "18-zstd.dump"])
def test_no_beginning_at_all_of_an_archive_is_whole(name: str) -> None:
    whole = recorded(name)
    assert {(*codes_of("shop.dump", whole[:size]),) for size in range(1, len(whole))} == {("truncated",)}


def test_a_cut_at_the_edge_of_a_block_says_what_is_missing() -> None:
    whole = archive((Piece(1, ROWS), Piece(2, ROWS), Piece(3, ROWS)))
    (problem,) = look("shop.dump", whole[: whole.index(b"\x01\x00\x02\x00\x00\x00")]).problems
    assert problem.code == "backup.truncated"
    assert problem.evidence == {"blocks": 1, "blocks_expected": 3}
    assert "2 of 3 entries" in problem.what
    seen = look("shop.dump", whole[:-1])
    assert seen.dump is not None
    assert seen.dump.complete is False


@pytest.mark.parametrize("more", [b"\n", bytes(512), b"\x01", b"\x01\x00\x63\x00\x00\x00rest"])
def test_what_follows_the_end_is_told(more: bytes) -> None:
    for step in (3, 1 << 16):
        (problem,) = look("shop.dump", archive() + more, step).problems
        assert (problem.code, problem.fatal) == ("backup.trailing_garbage", False)
        assert problem.offset == len(archive())


def test_an_archive_twice_in_a_file_is_told() -> None:
    assert codes_of("shop.dump", archive() * 2) == ["trailing_garbage"]


def changed(name: str, value: object) -> bytes:
    return archive((Piece(1, ROWS, changes={name: value}),))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (archive(count=-1), "toc_corrupt"),
        (archive(count=1 << 30), "toc_corrupt"),
        (archive(level=12), "toc_corrupt"),
        (archive(version=(1, 16), algorithm=9), "toc_corrupt"),
        (archive(created=(13, 4, 2, 22, 12, 126, 0)), "toc_corrupt"),
        (archive(created=(13, 4, 25, 22, 10, 126, 0)), "toc_corrupt"),
        (archive(created=(-1, 4, 2, 22, 10, 126, 0)), "toc_corrupt"),
        (archive(integer=2), "toc_corrupt"),
        (archive(offset=3), "toc_corrupt"),
        (archive((Piece(0, ROWS),)), "toc_corrupt"),
        (archive((Piece(1, ROWS), Piece(1, ROWS))), "toc_corrupt"),
        (archive((Piece(1, ROWS, kind=""),)), "toc_corrupt"),
        (archive((Piece(1, ROWS, kind=None),)), "toc_corrupt"),
        (archive((Piece(1, ROWS, offset=(4, 0)),)), "toc_corrupt"),
        (archive((Piece(1, ROWS, offset=(2, 7)),)), "toc_corrupt"),  # the block is elsewhere
        (archive((Piece(1, ROWS, tag="x" * 70_000),)), "toc_corrupt"),
        (changed("has_data", 2), "toc_corrupt"),
        (changed("has_data", 0), "toc_corrupt"),  # but the block is there
        (changed("class", "12e9"), "toc_corrupt"),
        (changed("object", ""), "toc_corrupt"),
        (changed("section", 5), "toc_corrupt"),
        (changed("oids", "falsf"), "toc_corrupt"),
        (changed("dependencies", ("x",)), "toc_corrupt"),
        (archive((Piece(1, b"1\tone\n"),)), "incomplete_dump"),  # pg_dump died in the middle of a table
        (archive((Piece(1, b"1\tone\n"),), compression="none"), "incomplete_dump"),
        (archive((Piece(1, ROWS),), blocks=b"\x02\x00\x01\x00\x00\x00"), "corrupt"),  # no such kind of block
        (archive((Piece(1, ROWS),), blocks=b"\x01\x00\x05\x00\x00\x00"), "corrupt"),  # of no entry
        (archive((Piece(1, ROWS), Piece(2, ROWS)), blocks=b"\x01\x00\x01\x00\x00\x00\x01\x04\x00\x00\x00"), "corrupt"),
        (archive((Piece(1, ROWS),), blocks=b"\x01\x02\x01\x00\x00\x00"), "toc_corrupt"),  # a sign that is none
    ],
)
def test_what_contradicts_itself_is_told(data: bytes, code: str) -> None:
    for step in (5, 1 << 16):
        assert codes_of("shop.dump", data, step) == [code]


def test_the_same_block_twice_is_told() -> None:
    whole = archive((Piece(1, ROWS), Piece(2, ROWS)))
    start = whole.index(b"\x01\x00\x02\x00\x00\x00")
    twice = whole[:start] + whole[archive_start(whole) : start] + whole[start:]
    assert codes_of("shop.dump", twice) == ["corrupt"]


def archive_start(whole: bytes) -> int:
    return whole.index(b"\x01\x00\x01\x00\x00\x00")


def test_the_streams_of_an_archive_must_end_where_their_pieces_do() -> None:
    whole = archive((Piece(1, ROWS),))
    start = archive_start(whole) + 6
    length = int.from_bytes(whole[start + 1 : start + 5], "little")
    stream = whole[start + 5 : start + 5 + length]
    for other in (stream[:-1], stream + b"x", stream[:-4] + b"aaaa", stream[:4] + b"\xff\xff" + stream[6:]):
        data = whole[:start] + b"\x00" + len(other).to_bytes(4, "little") + other + b"\x00\x00\x00\x00\x00"
        (problem,) = look("shop.dump", data).problems
        assert problem.code == "backup.corrupt"
        assert problem.evidence["entry"] == "public.orders"
    negative = whole[:start] + b"\x01\x05\x00\x00\x00"
    assert codes_of("shop.dump", negative) == ["corrupt"]


@pytest.mark.parametrize("name", ["14-gzip.dump", "16-offsets.dump", "18-gzip.dump"])
def test_every_flip_in_the_rows_is_told_or_changes_none(name: str) -> None:
    """A few bits between the blocks of a deflate stream mean nothing."""
    whole = recorded(name)
    start = whole.index(b"\x78\x9c")
    objects = whole.index(b"\x00\x00\x00\x00\x00\x03\x00", start) + 5
    silent = 0
    for place in range(start, objects, 2):
        bad = bytearray(whole)
        bad[place] ^= 1 << place % 8
        if not codes_of("shop.dump", bytes(bad)):
            assert streams(bytes(bad)) == streams(whole), place
            silent += 1
    assert silent < 4


def streams(archive_: bytes) -> list[bytes]:
    """What every zlib stream of an archive unfolds to, found without reading the archive."""
    starts = [match.start() for match in re.finditer(b"\x78\x9c", archive_)]
    return [zlib.decompressobj().decompress(archive_[start:]) for start in starts]


@pytest.mark.parametrize("name", CUSTOM)
def test_a_flip_anywhere_is_told_or_the_assurance_says_that_it_could_not_be(name: str) -> None:
    chance = random.Random(name)
    for _ in range(150):
        bad = bytearray(recorded(name))
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        seen = look("shop.dump", bytes(bad))
        assert seen.problems or "toc" in seen.unproven
