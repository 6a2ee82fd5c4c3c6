"""Base backups as pg_basebackup and others leave them in directories and tar files."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.backups import read_backups
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import BaseBackup
from tests.unit.plugins.module_utils._postgres.archive.test_labels import LABEL, MANIFEST

MIB16 = 1 << 24
SYSTEM = 7313400000000000001


def read(*patterns: Path | str, size: int = MIB16, systems: frozenset[int] = frozenset()) -> tuple[BaseBackup, ...]:
    return read_backups([str(pattern) for pattern in patterns], size, systems)


def plain(folder: Path, label: str | None = LABEL, manifest: str | None = MANIFEST, control: int | None = None) -> Path:
    """A base backup in the plain format, without what nobody reads here."""
    (folder / "global").mkdir(parents=True)
    (folder / "PG_VERSION").write_text("15\n")
    if label is not None:
        (folder / "backup_label").write_text(label)
    if manifest is not None:
        (folder / "backup_manifest").write_text(manifest)
    if control is not None:
        (folder / "global" / "pg_control").write_bytes(struct.pack("<Q", control))
    return folder


def tar(path: Path, *members: tuple[str, str], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, text in members:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_a_plain_one(tmp_path: Path) -> None:
    (found,) = read(plain(tmp_path / "monday"))
    assert found == BaseBackup(
        id=str(tmp_path / "monday"), timeline=1, start=0x2000028, first=2, last=2, started="2026-11-22 04:13:00 UTC",
        of_archive=False, complete=True, own_wal=False,
    )  # fmt: skip


def test_what_it_brings_along(tmp_path: Path) -> None:
    own = plain(tmp_path / "own")
    (own / "pg_wal").mkdir()
    assert not read(own)[0].own_wal
    (own / "pg_wal" / "000000010000000000000002").write_text("")
    assert read(own)[0].own_wal


@pytest.mark.parametrize(
    ("manifest", "control", "complete"),
    [(MANIFEST, None, True), (None, 7, True), (None, None, False), (MANIFEST[:200], None, False)],
)
def test_whether_it_has_ended(tmp_path: Path, manifest: str | None, control: int | None, complete: bool) -> None:
    (found,) = read(plain(tmp_path / "b", manifest=manifest, control=control))
    assert (found.complete, found.first, found.last) == (complete, 2, 2 if manifest == MANIFEST else None)


@pytest.mark.parametrize(("file", "mode"), [("base.tar", "w"), ("base.tar.gz", "w:gz"), ("base.tar.xz", "w:xz")])
def test_tar_files(tmp_path: Path, file: str, mode: str) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    path = tar(folder / file, ("backup_label", LABEL), ("PG_VERSION", "15\n"), mode=mode)
    (alone,) = read(path)
    (inside,) = read(folder)
    assert (alone.first, alone.complete, inside.first, inside.complete) == (2, False, 2, False)
    (folder / "backup_manifest").write_text(MANIFEST)
    (folder / "pg_wal.tar").write_text("")
    (whole,) = read(folder)
    assert (whole.first, whole.last, whole.complete, whole.own_wal) == (2, 2, True, True)


def test_a_packing_that_python_does_not_know_needs_the_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "base.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(ArchiveRefused, match="cannot be read") as refused:
        read(folder)
    assert "backup_manifest" in refused.value.remedy
    (folder / "backup_manifest").write_text(MANIFEST)
    assert read(folder)[0].first == 2


def test_a_pattern_finds_those_that_are_some(tmp_path: Path) -> None:
    plain(tmp_path / "base" / "monday")
    plain(tmp_path / "base" / "tuesday", LABEL.replace("2000028", "5000028").replace("000002)", "000005)"), None, 7)
    (tmp_path / "base" / "lost+found").mkdir()
    (tmp_path / "base" / "notes.txt").write_text("")
    assert [found.first for found in read(tmp_path / "base" / "*")] == [2, 5]
    assert len(read(tmp_path / "base" / "*", tmp_path / "base" / "monday")) == 2, "each counts once"


def rule_and_reason(*patterns: Path | str, **given: Any) -> tuple[str, str]:
    with pytest.raises(ArchiveRefused) as refused:
        read(*patterns, **given)
    assert refused.value.remedy.endswith(".")
    return refused.value.evidence["class"], refused.value.message


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for pattern in ("missing/*", "*/nothing"):
        assert rule_and_reason(tmp_path / pattern)[0] == "no_base_backup"
    for path in ("missing", "empty"):
        assert rule_and_reason(tmp_path / path)[0] == "base_backup"
    assert "leads nowhere" in rule_and_reason(tmp_path / "link")[1]
    assert "leads nowhere" in rule_and_reason(tmp_path / "l*")[1]


def test_a_data_directory_is_no_base_backup(tmp_path: Path) -> None:
    running = plain(tmp_path / "running")
    (running / "postmaster.pid").write_text("")
    started = plain(tmp_path / "started", label=None)
    for path in (running, started, tmp_path / "*"):
        assert "data directory of a server" in rule_and_reason(path)[1]


def test_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "backup_label cannot be read" in rule_and_reason(plain(tmp_path / "a", "nonsense"))[1]
    junk = tmp_path / "b"
    junk.mkdir()
    (junk / "base.tar").write_bytes(b"no tar at all")
    assert "cannot be read" in rule_and_reason(junk)[1]
    late = tmp_path / "c"
    late.mkdir()
    tar(late / "base.tar", ("something", "else"))
    assert "does not begin with backup_label" in rule_and_reason(late)[1]
    half = tmp_path / "d"
    half.mkdir()
    (half / "backup_manifest").write_text(MANIFEST[:100])
    assert "where in the WAL it began" in rule_and_reason(half)[1]


def test_one_of_another_cluster_is_refused(tmp_path: Path) -> None:
    by_control = plain(tmp_path / "a", control=8)
    by_manifest = plain(tmp_path / "b")
    for directory in (by_manifest / "global",):
        directory.rmdir()
    ours = frozenset({SYSTEM})
    assert "it is of cluster 8" in rule_and_reason(by_control, systems=ours)[1]
    assert read(by_manifest, systems=ours)
    assert f"it is of cluster {SYSTEM}" in rule_and_reason(by_manifest, systems=frozenset({9}))[1]
    assert read(by_control), "nothing is known to compare it with"


def test_a_label_that_does_not_go_with_the_size_of_segments_is_refused(tmp_path: Path) -> None:
    assert "does not go with" in rule_and_reason(plain(tmp_path / "a"), size=1 << 20)[1]
