# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that are directories: dumps of PostgreSQL and MongoDB, base backups, trees of files with their digests."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Callable
from urllib.parse import unquote

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.basebackup import (
    MANIFEST_NAME,
    BaseBackup,
    NoManifest,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.filed import TOC_NAME, Files
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Part, directory_sha256
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    CONTENT,
    TOC,
    VALUES,
    Content,
    Dump,
    Failure,
    Problem,
    Reading,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.mongo import Collection, Metadata
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import Wanted, read_part
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import is_companion
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

MONGO_DIRECTORY, BASE_BACKUP, BASE_BACKUP_TAR, FILES = "mongodump", "base-backup", "base-backup-tar", "files"
_COMPRESSED = re.compile(r"\.(?:gz|lz4|zst)\Z")
_REPOSITORIES = {
    "a restic repository: verify it with restic check --read-data-subset": {"config", "data", "index", "keys"},
    "a borg repository: verify it with borg check --verify-data": {"config", "data", "README"},
}
_MONGO_TOP = ("prelude.json", "oplog.bson")
_NAMED = 5


def files_in(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path below *top*, and the status, of everything but directories; links are not followed.

    Raises ``OSError`` for a directory that cannot be listed.
    """
    waiting = [""]
    while waiting:
        place = waiting.pop()
        with os.scandir(os.path.join(top, place)) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            path = os.path.join(place, entry.name)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                yield path, entry.stat(follow_symlinks=False)


def size_of(top: str) -> int:
    """Return how many bytes the files below *top* have, as far as they can be seen."""
    try:
        return sum(status.st_size for _path, status in files_in(top) if stat.S_ISREG(status.st_mode))
    except OSError:
        return 0


def read_directory(
    path: str, reading: Reading, deadline: Deadline, wanted: Wanted
) -> tuple[Content | None, Failure | None]:
    """Return what one pass over all files below *path* showed, or why it came to no end."""
    tree = _Tree(path, reading, deadline, wanted)
    try:
        return tree.read(), None
    except _Failed as error:
        return None, error.failure
    except OSError as error:
        return None, Failure(model.UNREADABLE, f"cannot be read: {error.strerror or error}", path)
    except DeadlineExceeded:
        reason = f"was not read to its end within {format_duration(deadline.seconds or 0.0)}"
        return None, Failure(model.TIMED_OUT, reason, path, {"bytes_read": tree.bytes_read})


class _Failed(Exception):
    """A file of the directory could not be read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class _Tree:
    def __init__(self, path: str, reading: Reading, deadline: Deadline, wanted: Wanted) -> None:
        self._path, self._reading, self._deadline, self._wanted = path, reading, deadline, wanted
        self._counting = wanted.counting or reading.count_rows
        structure = reading.level == model.STRUCTURE
        self._report = Report(reading.limits, deadline, counting=self._counting, structure=structure)
        self._parts: list[Part] = []
        self._whole = True
        self._listed = dict(files_in(path)) if os.path.isdir(path) else {}
        self.bytes_read = 0

    def read(self) -> Content:
        chain: list[str] = []
        try:
            kind = self._kind()
            chain += [kind] if kind else []
            if kind == detect.PGDUMP_DIRECTORY:
                self._pg_dump()
            elif kind == MONGO_DIRECTORY:
                self._mongodump()
            elif kind in (BASE_BACKUP, BASE_BACKUP_TAR):
                self._base_backup(kind)
            else:
                self._files(kind)
        except Damage as damage:
            self._report.problems.append(damage.problem)
            self._whole = False
        if self._wanted.parts:
            # What nobody knows how to read, and what was left behind a damage, is whole when its digest is the maker's.
            for name in sorted(set(self._regular()) - {part.name for part in self._parts}):
                self._read(name, _Anything)
        if not self._whole:
            self._report.unproven.add(CONTENT)
        return self._result(chain)

    def _kind(self) -> str:
        names = {name.partition("/")[0] for name in self._listed}
        if names & {TOC_NAME, f"{TOC_NAME}.gz"}:
            return detect.PGDUMP_DIRECTORY
        if any(re.match(r"base\.tar(?:\.\w+)?\Z", name) for name in names):
            return BASE_BACKUP_TAR
        if names & {"PG_VERSION", MANIFEST_NAME}:
            return BASE_BACKUP
        if any(re.search(r"\.bson(?:\.gz)?\Z", name) for name in self._listed):
            return MONGO_DIRECTORY
        for what, marks in _REPOSITORIES.items():
            if marks <= names:
                raise Damage(Problem("backup.unsupported", "", f"is {what}"))
        return FILES if self._wanted.parts else ""

    def _result(self, chain: list[str]) -> Content:
        complete = len(self._parts) == len(self._regular())
        return Content(
            chain=tuple(chain),
            problems=tuple(self._report.problems),
            unproven=tuple(sorted(self._report.unproven)),
            dump=self._report.dump,
            whole=self._whole,
            stored_sha256=directory_sha256(self._parts) if complete and self._parts else "",
            bytes_read=self.bytes_read,
            bytes_decoded=self._report.decoded,
            seconds=self._deadline.elapsed,
            members=Members(len(self._parts), self.bytes_read, "", self._difference()) if complete else None,
        )

    def _difference(self) -> str:
        """Return the first file that is not what its maker wrote, or that is missing, or too many."""
        if not self._wanted.parts:
            return ""
        wanted, found = dict(self._wanted.parts), {part.name: part.sha256 for part in self._parts}
        return next((name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)), "")

    def _regular(self) -> list[str]:
        """Return the files that belong to the backup, without lists of digests and such."""
        return [
            name
            for name, status in self._listed.items()
            if stat.S_ISREG(status.st_mode) and not is_companion(os.path.basename(name))
        ]

    def _read(self, name: str, within: Callable[[Report], Sink]) -> None:
        """Read one file of the directory, and take what was found in it for ours."""
        content, failure = read_part(
            os.path.join(self._path, name), self._reading, self._deadline, within, self._counting
        )
        if content is None:
            failure = failure or Failure(model.UNREADABLE, "cannot be read", name)  # there is always one
            raise _Failed(
                replace(failure, reason=f"cannot be judged: its file {name} {failure.reason}", path=self._path)
            )
        self.bytes_read += content.bytes_read
        self._report.decoded += content.bytes_decoded
        self._parts.append(Part(name, content.bytes_read, content.stored_sha256))
        self._whole = self._whole and content.whole
        for problem in content.problems:
            what = f"has a file {name[:100]} that {problem.what}"
            self._report.problems.append(replace(problem, what=what, evidence={**problem.evidence, "file": name}))
        self._report.unproven |= set(content.unproven) - {CONTENT}

    # --- what there may be

    def _pg_dump(self) -> None:
        files = Files(detect.PGDUMP_DIRECTORY, self._report)
        names = {_COMPRESSED.sub("", name): name for name in self._regular()}
        toc = names.pop(TOC_NAME)
        self._read(toc, lambda _report: files.sink_of(TOC_NAME))
        # The lists of large objects name files, so they come before those.
        for plain in sorted(names if self._whole else (), key=lambda name: (not name.endswith(".toc"), name)):
            self._read(names[plain], _sink_in(files, plain))
        _finish(files, self._whole)

    def _mongodump(self) -> None:
        rows: dict[str, int] = {}
        described: dict[str, bool] = {}  # whether there should be documents
        for name in sorted(self._regular()):
            plain = _COMPRESSED.sub("", name)
            place, base = os.path.split(plain)
            if base.endswith(".bson"):
                seen: list[Collection] = []
                self._read(name, _collecting(seen))
                collection = unquote(base[: -len(".bson")])
                if base not in _MONGO_TOP:
                    rows[f"{unquote(place)}.{collection}"] = seen[0].documents if seen else 0
            elif base.endswith(".json"):
                metadata = [Metadata(self._report)]
                self._read(name, _describing(metadata))
                if base not in _MONGO_TOP:
                    named = f"{unquote(place)}.{unquote(base[: -len('.metadata.json')])}"
                    described[named] = metadata[-1].has_documents
        self._require_described(set(rows), described)
        self._report.unproven.add(TOC)  # nothing vouches for the names: two files may have changed places
        complete = not any(problem.fatal for problem in self._report.problems)
        self._report.dump = Dump(tables=len(rows), complete=complete, counted=True, rows=rows)

    def _require_described(self, collections: set[str], described: Mapping[str, bool]) -> None:
        gone = sorted(name for name, has_documents in described.items() if has_documents and name not in collections)
        if gone:
            what = f"lacks the documents of {len(gone)} collections that it describes, such as {gone[0][:100]}"
            evidence = {"collections": gone[:_NAMED], "count": len(gone)}
            self._report.problems.append(Problem("backup.data_missing", MONGO_DIRECTORY, what, evidence=evidence))
        without = sorted(name for name in collections - set(described) if ".system." not in name)
        if without:
            what = (
                f"has {len(without)} collections without metadata, such as {without[0][:100]}: their indexes are lost"
            )
            evidence = {"collections": without[:_NAMED], "count": len(without)}
            self._report.problems.append(
                Problem("backup.data_missing", MONGO_DIRECTORY, what, fatal=False, evidence=evidence)
            )

    def _base_backup(self, kind: str) -> None:
        backup = BaseBackup(self._path, self._listed, self._report, self._reading, self._deadline)
        try:
            backup.verify(kind == BASE_BACKUP_TAR, self._read)
        except NoManifest:
            self._report.unproven |= {VALUES, CONTENT}
            self._report.problems.append(
                Problem("backup.unsupported", kind, f"has no {MANIFEST_NAME}, so that nothing says what is in it")
            )
        self._report.dump = Dump(server_version=backup.version, complete=not self._report.problems)

    def _files(self, kind: str) -> None:
        if not kind:
            what = "is a directory of a form that is not known, without a list of digests"
            raise Damage(Problem("backup.unsupported", "", what))
        for name in sorted(self._regular()):
            self._read(name, _Anything)
        self._report.unproven.add(VALUES)


def _finish(files: Files, whole: bool) -> None:
    if whole:
        files.finish()
    else:
        files.describe_partly()


def _sink_in(files: Files, name: str) -> Callable[[Report], Sink]:
    return lambda _report: files.sink_of(name)


def _collecting(seen: list[Collection]) -> Callable[[Report], Sink]:
    def made(report: Report) -> Sink:
        seen.append(Collection(report))
        return seen[0]

    return made


def _describing(seen: list[Metadata]) -> Callable[[Report], Sink]:
    def made(report: Report) -> Sink:
        seen.append(Metadata(report))
        return seen[-1]

    return made


class _Anything:
    """A sink for a file of which only the digest matters."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)

    def finish(self) -> None:
        """It may end anywhere."""
