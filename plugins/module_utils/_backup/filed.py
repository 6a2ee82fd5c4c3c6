# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of ``pg_dump`` that are several files: a tar of them, or a directory.

``toc.dat`` names the file of each entry with data. Beside them there are lists of large objects (``blobs.toc``, since
PostgreSQL 16 ``blobs_N.toc``) that name a file for each, and in a tar ``restore.sql``, which nobody needs. The set of
the files must be the set of the entries, and what is in each must be what its entry says.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PGDUMP_TAR
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import TOC, VALUES, Dump, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import Rows
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tarball import Header, TarReader
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.toc import Entry, Step, TocReader

TOC_NAME = "toc.dat"
_RESTORE = "restore.sql"
_OBJECTS = re.compile(r"blobs(?:_\d+)?\.toc\Z")
_OBJECT = re.compile(r"blob_\d+\.dat\Z")
_OBJECT_LINE = re.compile(rb"(\d+) (\S+)\Z")
_LONGEST_LIST = 64 << 20
_NAMED = 5


class _Toc(TocReader):
    """The sink for ``toc.dat``: its entries end in the name of the file that holds their data."""

    def __init__(self, report: Report, layer: str) -> None:
        self.layer = layer
        super().__init__(report)

    def _walk(self) -> Step:
        yield from self._contents()

    def _place(self, number: int) -> Generator[None, None, tuple[int | None, str]]:
        """Read the name of the file that holds the data of entry *number*."""
        name = (yield from self._name()) or ""
        if "/" in name or name in (".", ".."):
            raise self._bad_toc(f"names a file elsewhere for entry {number}")
        return None, name

    def finish(self) -> None:
        if not self._done:
            what = f"ends in its {self._stage}, before its own end"
            raise Damage(Problem("backup.truncated", self.layer, what, self._offset))
        if self._at < len(self._data):
            raise self._bad_toc("goes on after its last entry")

    @property
    def entries(self) -> dict[int, Entry]:
        return self._entries

    @property
    def compression(self) -> str:
        return self._compression

    def dump(self, complete: bool | None, rows: dict[str, int]) -> Dump:
        return self._dump(complete, rows)


class _Objects:
    """The sink for a list of large objects: a number and a file on each line."""

    def __init__(self, layer: str, name: str, wanted: set[str]) -> None:
        self._layer, self._name, self._wanted = layer, name, wanted
        self._text = b""

    def feed(self, data: bytes) -> None:
        self._text += data
        if len(self._text) > _LONGEST_LIST:
            raise self._bad()

    def finish(self) -> None:
        for line in self._text.splitlines():
            match = _OBJECT_LINE.match(line)
            if match is None:
                raise self._bad()
            self._wanted.add(match[2].decode("utf-8", "replace"))

    def _bad(self) -> Damage:
        what = f"has a list of large objects ({self._name}) that cannot be read"
        return Damage(Problem("backup.toc_corrupt", self._layer, what))


class _Nothing:
    """A sink for what proves nothing."""

    def feed(self, data: bytes) -> None:
        """Let it pass."""

    def finish(self) -> None:
        """It may end anywhere."""


class Files:
    """The files of one archive as they pass, ``toc.dat`` first; ``finish`` compares them with what should be there."""

    def __init__(self, layer: str, report: Report) -> None:
        self._layer, self._report = layer, report
        self._toc: _Toc | None = None
        self._by_file: dict[str, Entry] = {}
        self._tables: dict[str, Rows] = {}
        self._objects: set[str] = set()
        self._seen: set[str] = set()
        self._strays: list[str] = []

    def sink_of(self, name: str) -> Sink:
        """Return what takes the content of the file *name*, unfolded."""
        if name == TOC_NAME:
            self._toc = _Toc(self._report, self._layer)
            return self._toc
        if self._toc is None:
            raise Damage(Problem("backup.toc_corrupt", self._layer, f"does not begin with {TOC_NAME}"))
        if not self._by_file:
            self._by_file = {entry.file: entry for entry in self._toc.entries.values() if entry.file}
        if name in self._seen:
            raise Damage(Problem("backup.toc_corrupt", self._layer, f"has the file {name} twice"))
        self._seen.add(name)
        if _OBJECTS.match(name):
            return _Objects(self._layer, name, self._objects)
        if name in self._by_file:
            self._tables[name] = Rows(self._by_file[name].columns, self._report.counting)
            return self._tables[name]
        if not (_OBJECT.match(name) or name == _RESTORE):
            self._strays.append(name)
        return _Nothing()

    def missing(self) -> list[str]:
        """Return the files that entries name and that have not passed."""
        if self._toc is None:
            return [TOC_NAME]
        wanted = {self._file_of(number, entry) for number, entry in self._toc.entries.items() if entry.file}
        return sorted((wanted | self._objects) - self._seen)

    def _file_of(self, number: int, entry: Entry) -> str:
        """Return what holds the data of an entry: in a tar, that of large objects does not name their list."""
        if entry.kind != "BLOBS" or _OBJECTS.match(entry.file):
            return entry.file
        numbered = f"blobs_{number}.toc"
        return numbered if any(name.startswith("blobs_") for name in self._seen) else "blobs.toc"

    def finish(self) -> None:
        if self._toc is None:
            raise Damage(Problem("backup.toc_corrupt", self._layer, f"has no {TOC_NAME}"))
        missing, problems = self.missing(), self._report.problems
        if missing:
            what = f"lacks {len(missing)} of the files that its table of contents names, such as {missing[0]}"
            evidence = {"files": missing[:_NAMED], "count": len(missing)}
            problems.append(Problem("backup.data_missing", self._layer, what, evidence=evidence))
        unlisted = sorted(name for name in self._seen if _OBJECT.match(name) and name not in self._objects)
        strays = sorted([*self._strays, *unlisted])
        if strays:
            what = f"has {len(strays)} files that do not belong to it, such as {strays[0][:100]}"
            evidence = {"files": strays[:_NAMED], "count": len(strays)}
            problems.append(Problem("backup.trailing_garbage", self._layer, what, fatal=False, evidence=evidence))
        rows = self._rows()
        self._report.unproven.add(TOC)
        if self._toc.compression in ("none", "lz4", "zstd"):
            self._report.unproven.add(VALUES)
        complete = not any(problem.fatal for problem in problems)
        self._report.dump = self._toc.dump(complete, rows)

    def describe_partly(self) -> None:
        """Say what is known of an archive some of whose files could not be read to their end."""
        if self._toc is not None:
            self._report.dump = self._toc.dump(False, {})

    def _rows(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for name, rows in self._tables.items():
            entry = self._by_file[name]
            if entry.copied and not rows.ended:
                what = f"lacks the end of the rows of {entry.name} ({name}), so that not all of them were written"
                self._report.problems.append(Problem("backup.incomplete_dump", self._layer, what))
            elif rows.misfit is not None:
                what = f"has rows of {rows.misfit} columns for {entry.name} ({name}), which has {entry.columns}"
                self._report.problems.append(Problem("backup.schema_mismatch", self._layer, what))
            if rows.rows is not None:
                counted[entry.name] = rows.rows
        return counted


class TarDump(TarReader):
    """The sink for what ``pg_dump --format=tar`` writes."""

    layer = PGDUMP_TAR

    def __init__(self, report: Report) -> None:
        self._files = Files(PGDUMP_TAR, report)
        super().__init__(report)

    def member(self, header: Header) -> Sink | None:
        if header.kind != "file" or "/" in header.path:
            what = f"has the member {header.path[:100]} ({header.kind}), which pg_dump does not write"
            raise Damage(Problem("backup.unsafe_member", self.layer, what))
        return self._files.sink_of(header.path)

    def over(self) -> None:
        self._files.finish()
