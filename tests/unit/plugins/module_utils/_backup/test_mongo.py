"""Dumps of MongoDB: collections, archives with their check values, and directories."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crc import ECMA, Crc
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import NOTHING_WANTED
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import read_directory
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import LIMITS, codes, codes_of, cuts, look
from tests.unit.plugins.module_utils._backup.test_bson import document, element, text

END = b"\xff\xff\xff\xff"


def fields(**values: object) -> bytes:
    kinds = []
    for name, value in values.items():
        if isinstance(value, bool):
            kinds.append(element(0x08, bytes([value]), name.encode()))
        elif isinstance(value, int):
            kinds.append(element(0x12, struct.pack("<Q", value & (1 << 64) - 1), name.encode()))
        else:
            kinds.append(element(0x02, text(str(value).encode()), name.encode()))
    return document(*kinds)


def row(number: int) -> bytes:
    return document(
        element(0x10, struct.pack("<i", number), b"_id"), element(0x02, text(b"x" * (number % 50)), b"name")
    )


ORDERS = [row(number) for number in range(30)]
PEOPLE = [row(number) for number in range(7)]


def crc(documents: list[bytes]) -> int:
    value = Crc(ECMA, inverted=True)
    for one in documents:
        value.update(one)
    return value.value


def archive(ends: bool = True, crc_of: int | None = None, told: tuple[str, ...] = ("orders", "people")) -> bytes:
    """As mongodump writes it: the collections interleaved, each ended by a header with its check value."""

    def part(name: str, documents: list[bytes]) -> bytes:
        return fields(db="shop", collection=name, EOF=False, CRC=0) + b"".join(documents) + END

    def end(name: str, value: int) -> bytes:
        return fields(db="shop", collection=name, EOF=True, CRC=value) + END

    out = b"\x6d\xe2\x99\x81" + fields(
        concurrent_collections="4", version="0.1", server_version="6.0.5", tool_version="100.9"
    )
    out += b"".join(fields(db="shop", collection=name, metadata="{}", size=100) for name in told) + END
    out += part("orders", ORDERS[:10]) + part("people", PEOPLE) + part("orders", ORDERS[10:])
    out += end("people", crc(PEOPLE))
    return out + (end("orders", crc(ORDERS) if crc_of is None else crc_of) if ends else b"")


@pytest.mark.parametrize("step", [1, 100, 1 << 18])
def test_an_archive_is_read_to_the_end_of_each_collection(step: int) -> None:
    seen = look("shop.archive", archive(), step)
    assert seen.problems == ()
    assert seen.chain == ("mongodump-archive",)
    assert seen.dump is not None
    assert seen.dump.rows == {"shop.orders": 30, "shop.people": 7}
    assert (seen.dump.server_version, seen.dump.tool_version, seen.dump.tables) == ("6.0.5", "100.9", 2)
    assert look("shop.archive.gz", gzip.compress(archive())).problems == ()


def test_no_beginning_of_an_archive_is_whole() -> None:
    whole = archive()
    assert {(*codes_of("shop.archive", whole[:size]),) for size in cuts(whole) if size > 4} == {("truncated",)}


def test_what_is_wrong_with_an_archive_is_told() -> None:
    assert codes_of("x.archive", archive(ends=False)) == ["truncated"]  # cut between two parts
    assert codes_of("x.archive", archive(crc_of=77)) == ["corrupt"]
    assert codes_of("x.archive", archive(told=("orders", "people", "lost"))) == ["truncated"]
    assert codes_of("x.archive", archive() + b"garbage!") == ["bson_invalid"]


def test_every_flip_in_the_documents_is_told() -> None:
    """Two thirds of them leave BSON that can be read: the check value finds those."""
    whole = archive()
    start = whole.index(ORDERS[0])
    for place in range(start, start + sum(map(len, ORDERS[:10])), 5):
        bad = bytearray(whole)
        bad[place] ^= 1 << place % 8
        assert codes_of("x.archive", bytes(bad)), place


def test_a_collection_alone_is_read() -> None:
    data = b"".join(ORDERS)
    seen = look("orders.bson", data, 17)
    assert (seen.problems, seen.chain, seen.unproven) == ((), ("bson",), ("values",))
    assert codes_of("orders.bson", data[:-3]) == ["truncated"]
    bad = bytearray(data)
    bad[4] = 0x14
    assert codes_of("orders.bson", bytes(bad)) != []


# --- directories


def dump(folder: Path, pack: bool) -> Path:
    (folder / "dump" / "shop").mkdir(parents=True)
    for name, data in (("orders.bson", b"".join(ORDERS)), ("we%24ird.bson", b""), ("orders.metadata.json", b"{}"),
                       ("we%24ird.metadata.json", b'{"indexes": []}')):  # fmt: skip
        path = folder / "dump" / "shop" / (f"{name}.gz" if pack else name)
        path.write_bytes(gzip.compress(data) if pack else data)
    return folder / "dump"


def read(path: Path) -> model.Content:
    content, failure = read_directory(str(path), model.Reading(LIMITS), Deadline(60), NOTHING_WANTED)
    assert failure is None
    assert content is not None
    return content


@pytest.mark.parametrize("pack", [True, False])
def test_a_directory_is_read(tmp_path: Path, pack: bool) -> None:
    content = read(dump(tmp_path, pack))
    assert content.problems == ()
    assert content.chain == ("mongodump",)
    assert content.dump is not None
    assert content.dump.rows == {"shop.orders": 30, "shop.we$ird": 0}


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("orders.metadata.json", None, "data_missing"),
        ("orders.metadata.json", b"{", "corrupt"),
        ("orders.metadata.json", b"[]", "corrupt"),
        ("orders.bson", None, "data_missing"),
        ("orders.bson", b"".join(ORDERS)[:-1], "truncated"),
        ("orders.bson", b"".join(ORDERS) + b"x", "truncated"),
        ("orders.bson", b"\x05\0\0\0x", "bson_invalid"),
    ],
)
def test_what_is_wrong_with_a_directory_is_told(tmp_path: Path, name: str, data: bytes | None, code: str) -> None:
    path = dump(tmp_path, pack=False)
    if data is None:
        (path / "shop" / name).unlink()
    else:
        (path / "shop" / name).write_bytes(data)
    assert codes(read(path)) == [code]


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"type": "view", "options": {"viewOn": "orders"}}',
        b'{"options": {"viewOn": "orders", "pipeline": []}}',
        b'{"type": "timeseries", "options": {"timeseries": {"timeField": "at"}}}',
    ],
)
def test_a_view_has_no_documents_of_its_own(tmp_path: Path, metadata: bytes) -> None:
    path = dump(tmp_path, pack=False)
    (path / "shop" / "cheap.metadata.json").write_bytes(metadata)
    content = read(path)
    assert content.problems == ()
    assert "toc" in content.unproven
