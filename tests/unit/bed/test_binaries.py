"""Which PostgreSQL is chosen, and what is said when it cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bed.binaries import TOOLS, Binaries, bring, find, missing_packages, version_of
from tests.bed.errors import BedError

LDD = """
/cache/postgresql-17.11.0/bin/postgres:
	linux-vdso.so.1 (0x00007f4b70d32000)
	libzstd.so.1 => /lib/x86_64-linux-gnu/libzstd.so.1 (0x00007f4b70c65000)
	libxml2.so.2 => not found
	libssl.so.3 => not found
	libcrypto.so.3 => not found
/cache/postgresql-17.11.0/bin/psql:
	libpq.so.5 => /cache/postgresql-17.11.0/bin/../lib/libpq.so.5 (0x00007f210fe71000)
	libssl.so.3 => not found
"""


def install(directory: Path, version: str, tools: tuple[str, ...] = TOOLS) -> Path:
    directory.mkdir(parents=True)
    for tool in tools:
        program = directory / tool
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return directory


def test_the_newest_complete_one_comes_first(tmp_path: Path) -> None:
    install(tmp_path / "9" / "bin", "9.6.24")
    install(tmp_path / "14" / "bin", "14.9 (Debian 14.9-1)")
    newest = install(tmp_path / "16" / "bin", "16.10")
    install(tmp_path / "17" / "bin", "17.2", tools=("postgres", "initdb"))
    found = [binaries for binaries in find([f"{tmp_path}/*/bin"]) if tmp_path in binaries.directory.parents]
    assert [binaries.version for binaries in found] == ["16.10", "14.9"]
    assert found[0] == Binaries(newest, "16.10", system=True)
    assert found[0].major == 16


def test_a_prerelease_counts_as_its_major_version(tmp_path: Path) -> None:
    assert version_of(install(tmp_path / "bin", "19beta2")) == "19"


def test_a_program_that_does_not_run_is_named_with_its_reason(tmp_path: Path) -> None:
    program = install(tmp_path / "bin", "17.11") / "postgres"
    program.write_text("#!/bin/sh\necho 'libxml2.so.2: cannot open shared object file' >&2\nexit 127\n")
    with pytest.raises(BedError, match=r"postgres does not run: libxml2\.so\.2"):
        version_of(program.parent)


def test_missing_libraries_become_packages_each_once() -> None:
    assert missing_packages(LDD, "17.11.0") == ["libssl3", "libxml2"]
    assert missing_packages(LDD.replace("not found", "/lib/it (0x0)"), "17.11.0") == []


def test_an_unknown_missing_library_is_named() -> None:
    with pytest.raises(BedError, match=r"needs libnew\.so\.1, which this machine lacks"):
        missing_packages("\tlibnew.so.1 => not found\n", "17.11.0")


def test_a_version_nobody_packages_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        BedError, match=r"no PostgreSQL 12 here and no package of it: choose one of \[14, 15, 16, 17, 18\]"
    ):
        bring(12, tmp_path)


def test_a_missing_program_says_what_to_install(tmp_path: Path) -> None:
    binaries = Binaries(install(tmp_path / "bin", "17.11"), "17.11", system=True)
    assert binaries.tool("pg_dump").exists()
    with pytest.raises(BedError, match="has no pg_restore: install the client programs of PostgreSQL 17"):
        binaries.tool("pg_restore")
