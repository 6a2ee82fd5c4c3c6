"""When a dump says that it was taken."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from datetime import datetime
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.header import dumped_at
from tests.unit.plugins.module_utils._backup.samples import archive, recorded

TAKEN = datetime(2026, 11, 22, 2, 4, 13)  # noqa: DTZ001  the dump does not say its zone
STARTED = b"--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 17.1\n\n"
STARTED += b"-- Started on 2026-11-22 02:04:13 CET\n\n"


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (archive(), TAKEN),
        (gzip.compress(archive(), mtime=0), TAKEN),
        (gzip.compress(gzip.compress(archive(), mtime=0), mtime=0), TAKEN),
        (bz2.compress(archive()), TAKEN),
        (lzma.compress(archive()), TAKEN),
        (STARTED, TAKEN),
        (gzip.compress(STARTED, mtime=0), TAKEN),
        (recorded("18.sql"), None),
        (archive()[:20], None),
        (archive(created=(13, 4, 2, 31, 1, 126, 0)), None),  # the 31st of February
        (b"\x1f\x8b\x08\x00garbage", None),
        (b"", None),
        (b"anything", None),
    ],
)
def test_it_is_in_the_first_bytes(tmp_path: Path, data: bytes, taken: datetime | None) -> None:
    path = tmp_path / "dump"
    path.write_bytes(data)
    assert dumped_at(str(path)) == taken


def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert dumped_at(str(tmp_path / "pipe")) is None
    assert dumped_at(str(tmp_path / "gone")) is None
    assert dumped_at(str(tmp_path)) is None
