# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Base backups of PostgreSQL, plain or tar, by the ``backup_manifest`` that the server wrote.

``pg_verifybackup`` of the right major version is asked where it is here, for it reads the WAL too. Without it, names
and sizes are compared, and the check values computed here: SHA-2 fast, CRC32C at some 20 MB a second.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crc import CASTAGNOLI, Crc
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import STRUCTURE, VALUES, Problem, Reading
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import is_companion
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tarball import Header, TarReader
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded

MANIFEST_NAME = "backup_manifest"
LAYER = "base-backup"
PROGRAM = "pg_verifybackup"
_PLACES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")
_READS_TAR = 18
_LONGEST_LINE = 1 << 20
_NAMED = 5
_HASHES = {"SHA224": "sha224", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}
# What pg_verifybackup says of a backup that is of a version, or a form, which it does not know.
_NOT_FOR_IT = ("unsupported", "version number", "manifest version", "unrecognized option")
# What may be in a plain base backup and is not in its manifest.
_BESIDE = re.compile(r"(?:backup_manifest|postgresql\.auto\.conf|recovery\.signal|standby\.signal|pg_wal/.*)\Z")
_TABLESPACE = re.compile(r"(\d+)\.tar(?:\.\w+)?\Z")
_BESIDE_ARCHIVES = re.compile(r"(?:backup_manifest|(?:base|pg_wal|\d+)\.tar(?:\.\w+)?)\Z")
_ARCHIVE = re.compile(r"(?:base|pg_wal|\d+)\.tar(?:\.\w+)?\Z")

Read = Callable[[str, Callable[[Report], Sink]], None]


class NoManifest(Exception):
    """The backup was taken without one (``pg_basebackup --no-manifest``)."""


@dataclass(frozen=True)
class Listed:
    """A file as the manifest of the server has it. ``algorithm`` is empty when no check value was written."""

    size: int
    algorithm: str
    checksum: str


class BaseBackup:
    def __init__(
        self, path: str, files: Mapping[str, os.stat_result], report: Report, reading: Reading, deadline: Deadline
    ) -> None:
        self._path, self._files, self._report, self._reading, self._deadline = path, files, report, reading, deadline
        self._wanted: dict[str, Listed] = {}
        self._seen: dict[str, int] = {}
        self._bad: list[str] = []
        self._has_wal = False
        self.version: str | None = None

    def verify(self, tar: bool, read: Read) -> None:
        """Compare all files with the manifest. *read* passes a file to a sink. Raises ``NoManifest`` and ``Damage``."""
        if MANIFEST_NAME not in self._files:
            raise NoManifest
        self._wanted = self._manifest()
        self.version = self._major()
        if self._by_program(tar):
            return
        for name in sorted(self._files):
            if tar and _ARCHIVE.match(name):
                read(name, self._archive_sink(name))
            elif not tar and stat.S_ISREG(self._files[name].st_mode):
                read(name, self._file_sink(name))
        self._judge(tar)

    # --- the manifest

    def _manifest(self) -> dict[str, Listed]:
        """Read the manifest line by line, and check the digest of itself in its last line."""
        digest = hashlib.sha256()
        found: dict[str, Listed] = {}
        checked = False
        with open(os.path.join(self._path, MANIFEST_NAME), "rb") as stream:
            for line in iter(lambda: stream.readline(_LONGEST_LINE), b""):
                if line.startswith(b'"Manifest-Checksum":'):
                    wanted = re.search(rb':\s*"([0-9a-f]{64})"', line)
                    checked = wanted is not None and wanted[1].decode() == digest.hexdigest()
                    break
                digest.update(line)
                if line.startswith(b'"WAL-Ranges"') or b'"Start-LSN"' in line:
                    self._has_wal = True
                elif line.lstrip().startswith(b'{ "Path') or line.lstrip().startswith(b'{ "Encoded-Path'):
                    found.update(self._entry(line))
        if not checked:
            what = f"has a {MANIFEST_NAME} that was changed or cut: its own check value does not hold"
            raise Damage(Problem("backup.corrupt", LAYER, what))
        return found

    def _entry(self, line: bytes) -> dict[str, Listed]:
        try:
            plain: dict[str, Any] = json.loads(line.strip().rstrip(b","))
            encoded = plain.get("Encoded-Path")
            name = os.fsdecode(bytes.fromhex(encoded)) if encoded is not None else plain["Path"]
            listed = Listed(int(plain["Size"]), plain.get("Checksum-Algorithm", ""), plain.get("Checksum", ""))
        except (ValueError, KeyError, TypeError):
            raise Damage(Problem("backup.corrupt", LAYER, f"has a {MANIFEST_NAME} that cannot be read")) from None
        return {str(name): listed}

    def _major(self) -> str | None:
        try:
            with open(os.path.join(self._path, "PG_VERSION"), "rb") as stream:
                return stream.read(16).decode("ascii", "replace").strip() or None
        except OSError:
            return None

    # --- by PostgreSQL's own program

    def _by_program(self, tar: bool) -> bool:
        """Return whether ``pg_verifybackup`` could judge."""
        found = _programs(self.version)
        # An older one does not know the manifest of a newer server.
        written_by = int(self.version) if self.version and self.version.isdigit() else 13
        majors = [major for major in found if major >= max(written_by, _READS_TAR if tar else 13)]
        if not majors or self._reading.level != STRUCTURE:
            return False
        exact = [major for major in majors if str(major) == self.version]
        program = found[exact[0] if exact else max(majors)]
        # WAL is parsed by the very version that wrote it, and lies elsewhere when it was archived and not copied.
        has_wal = any(re.match(r"pg_wal/[0-9A-F]{24}\Z", name) for name in self._files)
        parse = [] if exact and has_wal and not tar else ["--no-parse-wal"]
        if not parse and not os.access(os.path.join(os.path.dirname(program), "pg_waldump"), os.X_OK):
            parse = ["--no-parse-wal"]
        try:
            ended = run([program, *parse, "--", self._path], self._deadline.remaining or 0.0)
        except CommandFailed:
            return False  # it does not run here: what can be checked without it is
        if ended.status == 0:
            self._report.covered = True
            return True
        lines = [line.split("error: ", 1)[-1] for line in ended.errors.splitlines() if line.strip()]
        if any(said in line for line in lines for said in _NOT_FOR_IT):
            return False  # what can be checked without it is
        self._tell(lines or ["it ended with an error"])
        return True

    def _tell(self, lines: list[str]) -> None:
        missing = all("is present in the manifest but not on disk" in line for line in lines)
        code = "backup.data_missing" if missing else "backup.corrupt"
        what = f"is not what the server wrote: {lines[0][:200]}"
        evidence = {"first": [line[:200] for line in lines[:_NAMED]], "count": len(lines)}
        self._report.problems.append(Problem(code, LAYER, what, evidence=evidence))

    # --- by ourselves

    def _file_sink(self, name: str) -> Callable[[Report], Sink]:
        return lambda _report: self._checker(name)

    def _archive_sink(self, name: str) -> Callable[[Report], Sink]:
        tablespace = _TABLESPACE.match(name)
        prefix = f"pg_tblspc/{tablespace[1]}/" if tablespace else "pg_wal/" if name.startswith("pg_wal.") else ""
        return lambda report: _Archive(report, self, prefix)

    def _checker(self, name: str) -> Sink:
        return _Checker(self, name, self._wanted.get(name))

    def checked(self, name: str, size: int, good: bool) -> None:
        """Take note of a file that has passed."""
        self._seen[name] = size
        if not good:
            self._bad.append(name)

    def checker(self, name: str) -> Sink:
        """Return what takes the content of the file *name*."""
        return self._checker(name)

    def _judge(self, tar: bool) -> None:
        missing = sorted(set(self._wanted) - set(self._seen))
        # What is in the archives besides is the server's own; what lies beside them is not.
        others = set(self._files) if tar else set(self._seen) - set(self._wanted)
        beside = _BESIDE_ARCHIVES if tar else _BESIDE
        strays = sorted(name for name in others if not (beside.match(name) or is_companion(os.path.basename(name))))
        problems = self._report.problems
        if missing:
            what = f"lacks {len(missing)} of the files in its manifest, such as {missing[0][:100]}"
            evidence = {"files": missing[:_NAMED], "count": len(missing)}
            problems.append(Problem("backup.data_missing", LAYER, what, evidence=evidence))
        if self._bad:
            what = f"has {len(self._bad)} files that are not what the server wrote, such as {self._bad[0][:100]}"
            evidence = {"files": self._bad[:_NAMED], "count": len(self._bad)}
            problems.append(Problem("backup.corrupt", LAYER, what, evidence=evidence))
        if strays:
            what = f"has {len(strays)} files that are not in its manifest, such as {strays[0][:100]}"
            evidence = {"files": strays[:_NAMED], "count": len(strays)}
            problems.append(Problem("backup.trailing_garbage", LAYER, what, fatal=False, evidence=evidence))
        if any(not listed.algorithm for listed in self._wanted.values()):
            self._report.unproven.add(VALUES)


class _Checker:
    """Compares one file with what the manifest says of it."""

    def __init__(self, backup: BaseBackup, name: str, listed: Listed | None) -> None:
        self._backup, self._name, self._listed = backup, name, listed
        self._size = 0
        algorithm = listed.algorithm if listed is not None else ""
        self._hash = hashlib.new(_HASHES[algorithm]) if algorithm in _HASHES else None
        self._crc = Crc(CASTAGNOLI, inverted=True, bits=32) if algorithm == "CRC32C" else None

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if self._hash is not None:
            self._hash.update(data)
        elif self._crc is not None:
            self._crc.update(data)

    def finish(self) -> None:
        good = True
        if self._listed is not None:
            found = self._listed.checksum
            if self._hash is not None:
                found = self._hash.hexdigest()
            elif self._crc is not None:
                found = self._crc.value.to_bytes(4, "little").hex()
            good = self._size == self._listed.size and found == self._listed.checksum
        self._backup.checked(self._name, self._size, good)


class _Archive(TarReader):
    """The sink for one tar of a base backup."""

    def __init__(self, report: Report, backup: BaseBackup, prefix: str) -> None:
        self._backup, self._prefix = backup, prefix
        super().__init__(report)

    def member(self, header: Header) -> Sink | None:
        if header.path.startswith("/") or ".." in header.path.split("/"):
            what = f"has a member whose path leads out of the directory into which one unpacks ({header.path[:100]})"
            raise Damage(Problem("backup.unsafe_path", self.layer, what))
        if header.kind != "file":
            return None
        name = header.path[2:] if header.path.startswith("./") else header.path
        return self._backup.checker(self._prefix + name)


def _programs(version: str | None) -> dict[int, str]:
    """Return the ``pg_verifybackup`` of each major version that is here."""
    found: dict[int, str] = {}
    for place in _PLACES:
        for path in glob.glob(os.path.join(place.format("*"), PROGRAM)):
            major = re.search(r"(\d+)/bin/", path)
            if major is not None and os.access(path, os.X_OK):
                found.setdefault(int(major[1]), path)
    other = adapter.program(PROGRAM)
    if other is not None and not (version and version.isdigit() and int(version) in found):
        try:
            said = run([other, "--version"], 10.0)
        except (CommandFailed, DeadlineExceeded):
            return found
        major = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", said.output)
        if major is not None:
            found.setdefault(int(major[1]), other)
    return found
