"""Where free space is looked for, and what counts as the server's own files."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Disk, Setup, find, not_here

MARK = f"{os.getppid()}\n/data\n1795335881\n5432\n/run\n*\n  5432001  7\nready   \n"


def free_bytes(directory: str) -> int:
    numbers = os.statvfs(directory)
    return numbers.f_bavail * numbers.f_frsize


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    (tmp_path / "global").mkdir()
    (tmp_path / "base" / "5").mkdir(parents=True)
    (tmp_path / "global" / "pg_control").write_bytes(struct.pack("=Q", 2**63 + 5) + b"more")
    (tmp_path / "postmaster.pid").write_text(MARK)
    return Setup(directory=str(tmp_path), identifier=2**63 + 5, mark=MARK, pid=os.getpid())


def test_the_servers_own_files(setup: Setup) -> None:
    assert not_here(setup) == ""
    assert not_here(replace(setup, mark=MARK.replace("ready   ", "ready"))) == ""
    assert not_here(replace(setup, mark="")) == "", "our session's process is a child of the one that wrote the file"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"directory": ""}, "may not know"),
        ({"directory": "/is/not/there"}, "is not on this host"),
        ({"identifier": 5}, "belongs to another cluster"),
        ({"mark": MARK.replace("7", "8")}, "that of a copy"),
        ({"mark": "", "pid": 1}, "that of a copy"),
        ({"mark": "", "pid": 2**22 + 1}, "that of a copy"),
    ],
)
def test_what_is_not_proven_does_not_count(setup: Setup, change: dict[str, object], why: str) -> None:
    assert why in not_here(replace(setup, **change))


def test_what_is_measured_counts_before_what_is_said(setup: Setup) -> None:
    assert find(setup, 5).directory == setup.directory
    elsewhere = find(replace(setup, directory="/is/not/there"), 5)
    assert elsewhere.space(["base/5", "pg_wal"]).free == {"free_bytes": 5}
    unknown = find(replace(setup, directory=""), None).space(["base/5"])
    assert not unknown.known
    assert unknown.why


def test_free_space_is_that_of_each_directory(setup: Setup) -> None:
    before, after = 0, 1
    while before != after:  # others use this disk too
        before = free_bytes(setup.directory)
        space = Disk(setup.directory).space(["base/5", "base/pgsql_tmp"])
        after = free_bytes(setup.directory)
    assert set(space.places) == {"base/5", "base/pgsql_tmp"}, "one that is not there yet is made in its parent"
    assert list(space.free.values()) == [after]
    assert "not on this host" in Disk(setup.directory).space(["pg_wal"]).why


def test_a_file_that_says_nothing_proves_nothing(setup: Setup) -> None:
    Path(setup.directory, "postmaster.pid").write_text("")
    assert "that of a copy" in not_here(replace(setup, mark=""))
    Path(setup.directory, "global", "pg_control").write_bytes(b"")
    assert "another cluster" in not_here(setup)
