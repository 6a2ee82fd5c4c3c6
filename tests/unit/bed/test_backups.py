"""The pure parts of the backup series; the dumps themselves are tested with a server."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.bed.backups import backdate_custom, taken_daily, truncate, write_sidecar
from tests.bed.errors import BedError

NOON = datetime(2026, 11, 22, 12, 0, 5, tzinfo=UTC)


def number(value: int) -> bytes:
    return struct.pack("<Bi", 0, value)


@pytest.mark.parametrize(
    ("version", "compression"),
    [((1, 14, 0), number(6)), ((1, 16, 0), b"\x01")],
    ids=["an int of compression, to 15", "a byte of compression, from 16"],
)
def test_the_time_in_a_custom_header_is_replaced_and_nothing_else(
    tmp_path: Path, version: tuple[int, int, int], compression: bytes
) -> None:
    before = b"PGDMP" + bytes(version) + bytes((4, 8, 1)) + compression
    made, after = b"".join(map(number, (1, 2, 3, 4, 5, 126, 1))), b"\x00\x04\x00\x00\x00shop and the rest"
    path = tmp_path / "shop.dump"
    path.write_bytes(before + made + after)
    backdate_custom(path, NOON.astimezone(timezone(timedelta(hours=5))))
    assert path.read_bytes() == before + b"".join(map(number, (5, 0, 12, 22, 10, 126, 0))) + after


def test_another_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "shop.dump"
    path.write_bytes(b"-- PostgreSQL database dump")
    with pytest.raises(BedError, match="not a custom-format dump"):
        backdate_custom(path, NOON)


def test_a_daily_series_ends_with_the_newest() -> None:
    assert taken_daily(NOON, 3) == [NOON - timedelta(days=2), NOON - timedelta(days=1), NOON]


def test_a_truncated_file_keeps_its_share(tmp_path: Path) -> None:
    path = tmp_path / "shop.sql"
    path.write_bytes(bytes(range(100)))
    truncate(path, 0.6)
    assert path.read_bytes() == bytes(range(60))


def test_a_sidecar_is_what_sha256sum_writes(tmp_path: Path) -> None:
    path = tmp_path / "shop.sql"
    path.write_bytes(b"hello\n")
    sidecar = write_sidecar(path)
    assert sidecar.name == "shop.sql.sha256"
    written = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  shop.sql\n"
    assert sidecar.read_text() == written
