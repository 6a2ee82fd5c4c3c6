"""Directories that are no plain archive. Their layouts are those that the servers and tools make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.refuse import (
    require_archive,
    require_not_wal_of,
)

SEGMENT = "000000010000000000000001"


def make(folder: Path, *paths: str) -> Path:
    """Make files, and directories (with a slash at the end)."""
    for path in paths:
        place = folder / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("")
    return folder


def rule_of(path: Path | str) -> str:
    with pytest.raises(ArchiveRefused) as refused:
        require_archive(str(path))
    assert refused.value.message.endswith(".")
    assert refused.value.remedy.endswith(".")
    return str(refused.value.evidence["class"])


def test_a_plain_archive_is_taken(tmp_path: Path) -> None:
    archive = make(tmp_path / "archive", SEGMENT, "00000002.history", "lost+found/")
    assert require_archive(str(archive)) == os.path.realpath(archive)
    link = tmp_path / "link"
    link.symlink_to(archive)
    assert require_archive(str(link)) == os.path.realpath(archive)
    assert require_archive(f"{archive}/") == os.path.realpath(archive)
    # Base backups beside it, or in it, make no data directory of it.
    make(tmp_path, "base/monday/PG_VERSION", "base/monday/global/pg_control", "archive/base/monday/PG_VERSION")
    assert require_archive(str(archive)) == os.path.realpath(archive)


def test_what_is_not_there_or_no_directory(tmp_path: Path) -> None:
    make(tmp_path, "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert rule_of(tmp_path / "missing") == "unreadable"
    assert rule_of(tmp_path / "file") == "no_directory"
    assert rule_of(tmp_path / "file" / "below") == "unreadable"
    assert rule_of(tmp_path / "dangling") == "dangling"


@pytest.mark.parametrize(
    ("paths", "path", "rule"),
    [
        (["pg_wal/"], "pg_wal", "pg_wal"),
        (["pg_wal/"], "pg_wal/", "pg_wal"),
        (["pg_xlog/"], "pg_xlog", "pg_wal"),
        ([f"moved/{SEGMENT}", "moved/archive_status/"], "moved", "pg_wal"),
        (["main/PG_VERSION", "main/archive/"], "main/archive", "data_directory"),
        (["main/global/pg_control", "main/a/b/c/"], "main/a/b/c", "data_directory"),
        (["main/PG_VERSION"], "main", "data_directory"),
    ],
)
def test_directories_of_a_server(tmp_path: Path, paths: list[str], path: str, rule: str) -> None:
    make(tmp_path, *paths)
    assert rule_of(f"{tmp_path}/{path}") == rule


def test_links_do_not_hide_what_is_behind_them(tmp_path: Path) -> None:
    make(tmp_path, "main/PG_VERSION", "main/pg_wal/", "main/archive/", "elsewhere/")
    (tmp_path / "innocent").symlink_to(tmp_path / "main" / "pg_wal")
    (tmp_path / "other").symlink_to(tmp_path / "main" / "archive")
    (tmp_path / "main" / "out").symlink_to(tmp_path / "elsewhere")
    assert rule_of(tmp_path / "innocent") == "pg_wal"
    assert rule_of(tmp_path / "other") == "data_directory"
    assert rule_of(tmp_path / "main" / "out") == "data_directory", "as it was written, it is in one"


def test_the_wal_of_the_server_that_was_asked(tmp_path: Path) -> None:
    """Relocated, and without what else would give it away."""
    make(tmp_path, "data/", "wal/")
    (tmp_path / "data" / "pg_wal").symlink_to(tmp_path / "wal")
    with pytest.raises(ArchiveRefused, match="the WAL of the server itself"):
        require_not_wal_of(str(tmp_path / "wal"), str(tmp_path / "wal"), str(tmp_path / "data"))
    for data in ("", "/no/such/place", str(tmp_path)):
        require_not_wal_of(str(tmp_path / "wal"), str(tmp_path / "wal"), data)


@pytest.mark.parametrize(
    ("paths", "path", "tool"),
    [
        (["archive/demo/archive.info", "archive/demo/15-1/0000000100000000/"], "archive/demo/15-1/0000000100000000",
         "pgBackRest"),
        (["archive/demo/archive.info", "archive/demo/15-1/"], "archive/demo/15-1", "pgBackRest"),
        (["archive/demo/archive.info.copy"], "archive/demo", "pgBackRest"),
        (["archive/demo/archive.info"], "archive", "pgBackRest"),
        (["repo/archive/demo/archive.info"], "repo", "pgBackRest"),
        (["main/identity.json", "main/wals/xlog.db"], "main/wals", "Barman"),
        (["main/identity.json", "main/wals/0000000100000000/"], "main/wals/0000000100000000", "Barman"),
        (["main/base/", "main/wals/", "main/incoming/", "main/streaming/"], "main/incoming", "Barman"),
        (["main/base/", "main/wals/", "main/errors/"], "main", "Barman"),
        (["store/wal_005/", "store/basebackups_005/"], "store/wal_005", "WAL-G or WAL-E"),
        (["store/wal_005/", "store/basebackups_005/"], "store", "WAL-G or WAL-E"),
        (["store/basebackups_005/", "store/wals/"], "store/wals", "WAL-G or WAL-E"),
        (["cat/backups/main/pg_probackup.conf", "cat/wal/main/"], "cat/wal/main", "pg_probackup"),
        (["catalog/pg_rman.ini", "catalog/wal/"], "catalog/wal", "pg_rman"),
        ([f"site/xlog/{SEGMENT}", f"site/xlog/{SEGMENT}.metadata"], "site/xlog", "pghoard"),
    ],
)  # fmt: skip
def test_repositories_of_other_tools(tmp_path: Path, paths: list[str], path: str, tool: str) -> None:
    make(tmp_path, *paths)
    with pytest.raises(ArchiveRefused) as refused:
        require_archive(str(tmp_path / path))
    assert refused.value.evidence["class"] == "managed"
    assert refused.value.evidence["tool"] == tool
    assert tool in refused.value.remedy


def test_names_that_only_resemble_those_of_tools(tmp_path: Path) -> None:
    make(tmp_path, "pg/base/monday/backup_label", "pg/wals/", "pg/identity/", "pg/wal_5/", "pg/archive/readme.metadata")
    for path in ("pg/wals", "pg/archive"):
        assert require_archive(str(tmp_path / path))
