"""Other places that should have the same backup."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.copies import copy_at, is_immutable
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Copy, Site
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from tests.unit.plugins.module_utils._backup.samples import backup

DATA = b"the backup" * 500
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> BackupFile:
    (tmp_path / "far").mkdir()
    return backup(path="/b/shop.sql.gz", size=len(DATA))


def at(tmp_path: Path, file: BackupFile, mode: str = "full", **changes: Any) -> Copy:
    options = {"name": "far", "path": str(tmp_path / "far"), "media": "nas", "offsite": True, "immutable": False}
    return copy_at(Site(**{**options, "mode": mode, **changes}), file, SHA256, Deadline(60))


@pytest.mark.parametrize("mode", ["stat", "digest", "full"])
def test_one_that_is_not_there_is_missing(tmp_path: Path, file: BackupFile, mode: str) -> None:
    copy = at(tmp_path, file, mode)
    assert (copy.present, copy.equal, copy.why) == (False, False, "is not there")
    assert at(tmp_path, file, mode, path=str(tmp_path / "no")).present is False


def test_one_that_is_the_same_is(tmp_path: Path, file: BackupFile) -> None:
    (tmp_path / "far" / "shop.sql.gz").write_bytes(DATA)
    assert at(tmp_path, file).equal is True
    assert at(tmp_path, file, "stat").equal is True
    copy = at(tmp_path, file, "digest")
    assert (copy.present, copy.equal) == (True, None)  # nothing there says what it is
    (tmp_path / "far" / "SHA256SUMS").write_text(f"{SHA256}  shop.sql.gz\n")
    copy = at(tmp_path, file, "digest")
    assert copy.equal is True
    assert "not read" in copy.why
    assert (copy.site, copy.media, copy.offsite) == ("far", "nas", True)


def test_one_that_is_another_is_told(tmp_path: Path, file: BackupFile) -> None:
    place = tmp_path / "far" / "shop.sql.gz"
    place.write_bytes(DATA[:-1])
    assert at(tmp_path, file, "stat").equal is False
    place.write_bytes(DATA[:-1] + b"x")
    assert at(tmp_path, file, "stat").equal is True  # its size says no more
    assert (at(tmp_path, file).equal, at(tmp_path, file).why) == (False, "has another SHA-256")
    place.unlink()
    place.mkdir()
    assert at(tmp_path, file).equal is None


def test_without_a_digest_only_the_size_is_known(tmp_path: Path, file: BackupFile) -> None:
    (tmp_path / "far" / "shop.sql.gz").write_bytes(DATA)
    site = Site("far", str(tmp_path / "far"), "", False, False, "full")
    unknown = backup(path=file.path, size=file.size, sidecar=None)
    assert copy_at(site, unknown, "", Deadline(60)).equal is None


def test_the_time_is_limited(tmp_path: Path, file: BackupFile) -> None:
    (tmp_path / "far" / "shop.sql.gz").write_bytes(DATA)
    with pytest.raises(DeadlineExceeded):
        copy_at(Site("far", str(tmp_path / "far"), "", False, False, "full"), file, SHA256, Deadline(0.0))


def test_a_file_that_anybody_may_remove_is_not_immutable(tmp_path: Path, file: BackupFile) -> None:
    place = tmp_path / "far" / "shop.sql.gz"
    place.write_bytes(DATA)
    assert is_immutable(str(place)) in (False, None)
    assert is_immutable(str(tmp_path / "gone")) is None
    assert at(tmp_path, file, immutable=True).immutable is (is_immutable(str(place)) is None)
