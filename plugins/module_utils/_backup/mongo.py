# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``mongodump`` writes: collections of BSON documents, and archives of several collections.

An archive: a magic number, documents about the collections, an end mark; then, in any order and interleaved, a header
for a part of a collection, its documents, an end mark. The last header of each collection says that it has ended, and
carries the CRC-64 of all its documents.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Generator
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import bson
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crc import ECMA, Crc
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import BSON, MONGODUMP
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import TOC, VALUES, Dump, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_END_MARK = b"\xff\xff\xff\xff"
_LONGEST_METADATA = 16 << 20
_INTEGER = struct.Struct("<i")
_LONG = struct.Struct("<q")

Step = Generator[None, None, None]


class _Documents:
    """What reads documents piece by piece."""

    layer = BSON

    def __init__(self, report: Report) -> None:
        self._report = report
        self._data = b""
        self._at = 0
        self._base = 0
        self._steps = self._walk()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)
        self._report.unfolded(self.layer, 1, 0)  # for the deadline
        self._base += self._at
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        next(self._steps, None)

    def _walk(self) -> Step:
        raise NotImplementedError

    @property
    def _offset(self) -> int:
        return self._base + self._at

    @property
    def _rest(self) -> int:
        return len(self._data) - self._at

    def _document(self) -> Generator[None, None, bytes]:
        """Read one document; an empty one stands for the end mark of an archive."""
        while self._rest < 4:
            yield
        head = self._data[self._at : self._at + 4]
        if head == _END_MARK and self.layer == MONGODUMP:
            self._at += 4
            return b""
        size = _INTEGER.unpack(head)[0]
        if not 5 <= size <= bson.LONGEST:
            raise self._invalid(f"a document claims {size} bytes")
        while self._rest < size:
            yield
        document = self._data[self._at : self._at + size]
        if self._report.structure:
            try:
                bson.check(document)
            except (bson.Malformed, struct.error, IndexError) as error:
                how = str(error) if isinstance(error, bson.Malformed) else "a field goes on past its end"
                raise self._invalid(how) from error
        elif document[-1]:
            raise self._invalid("a document does not end where it says")
        self._at += size
        return document

    def _invalid(self, how: str) -> Damage:
        what = f"holds BSON that is not valid at byte {self._offset}: {how}"
        return Damage(Problem("backup.bson_invalid", self.layer, what, self._offset))

    def _truncated(self, more: str = "") -> Damage:
        what = f"ends after {format_size(self._offset + self._rest)}, inside of a document{more}"
        return Damage(Problem("backup.truncated", self.layer, what, self._offset + self._rest))


class Collection(_Documents):
    """The sink for one collection, as a file ``NAME.bson`` holds it."""

    def __init__(self, report: Report) -> None:
        self.documents = 0
        super().__init__(report)

    def _walk(self) -> Step:
        while True:
            yield from self._document()
            self.documents += 1

    def finish(self) -> None:
        if self._rest:
            raise self._truncated()
        self._report.unproven.add(VALUES)
        if self._report.dump is None:
            self._report.dump = Dump(complete=None, tables=1)


class Archive(_Documents):
    """The sink for ``mongodump --archive``."""

    layer = MONGODUMP

    def __init__(self, report: Report) -> None:
        self._wanted: set[str] = set()
        self._ended: set[str] = set()
        self._rows: dict[str, int] = {}
        self._crcs: dict[str, Crc] = {}
        self._server: str | None = None
        self._tool: str | None = None
        self._between = False
        super().__init__(report)

    def _walk(self) -> Step:
        while self._rest < 4:
            yield
        self._at += 4
        header = _fields((yield from self._document()))
        self._server, self._tool = _text(header.get("server_version")), _text(header.get("tool_version"))
        while True:
            document = yield from self._document()
            if not document:
                break
            about = _fields(document)
            if about.get("type") not in ("view", "timeseries-view"):
                self._wanted.add(_namespace(about))
        while True:
            self._between = True
            while self._rest < 4:
                yield
            self._between = False
            yield from self._part()

    def _part(self) -> Step:
        header = _fields((yield from self._document()))
        name = _namespace(header)
        crc = self._crcs.setdefault(name, Crc(ECMA, inverted=True))
        self._rows.setdefault(name, 0)
        while True:
            document = yield from self._document()
            if not document:
                break
            self._rows[name] += 1
            crc.update(document)
        if header.get("EOF") is True:
            wanted = header.get("CRC")
            if not isinstance(wanted, int):
                self._report.unproven.add(VALUES)
            elif wanted & (1 << 64) - 1 != crc.value:
                what = f"holds a collection ({name[:100]}) that is not what was dumped: its CRC is another"
                self._report.problems.append(Problem("backup.corrupt", self.layer, what, self._offset))
            self._ended.add(name)

    def finish(self) -> None:
        missing = sorted(self._wanted - self._ended)
        more = f"; {len(missing)} of {len(self._wanted)} collections are not complete" if missing else ""
        self._report.dump = Dump(
            server_version=self._server,
            tool_version=self._tool,
            tables=len(self._wanted),
            complete=not missing,
            counted=True,
            rows=dict(self._rows),
        )
        self._report.unproven.add(TOC)  # nothing vouches for what is said of the collections
        if not self._between or self._rest:
            raise self._truncated(more)
        if missing:
            what = f"ends after {format_size(self._offset)}, before the end of {len(missing)} collections"
            what += f", such as {missing[0][:100]}"
            raise Damage(
                Problem("backup.truncated", self.layer, what, self._offset, evidence={"missing": len(missing)})
            )


def _fields(document: bytes) -> dict[str, Any]:
    """Return the texts, booleans and 64-bit integers at the top of a document that was checked before."""
    fields: dict[str, Any] = {}
    at, last = 4, len(document) - 1
    while at < last:
        kind, named = document[at], document.index(b"\0", at + 1)
        name, at = document[at + 1 : named].decode("utf-8", "replace"), named + 1
        if kind == 0x02:
            size = _INTEGER.unpack_from(document, at)[0]
            fields[name] = document[at + 4 : at + 3 + size].decode("utf-8", "replace")
            at += 4 + size
        elif kind == 0x08:
            fields[name], at = bool(document[at]), at + 1
        elif kind == 0x12:
            fields[name], at = _LONG.unpack_from(document, at)[0], at + 8
        elif kind == 0x10:
            fields[name], at = _INTEGER.unpack_from(document, at)[0], at + 4
        elif kind in (0x03, 0x04):
            at += _INTEGER.unpack_from(document, at)[0]
        else:
            break  # mongodump writes no other in the documents that are read here
    return fields


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _namespace(fields: dict[str, Any]) -> str:
    return f"{fields.get('db', '')}.{fields.get('collection', '')}"


class Metadata:
    """The sink for ``NAME.metadata.json``."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._text = b""
        self.has_documents = False  # a view has none, those of a time series are in system.buckets

    def feed(self, data: bytes) -> None:
        self._text += data
        if len(self._text) > _LONGEST_METADATA:
            raise self._bad()

    def finish(self) -> None:
        try:
            told = json.loads(self._text)
        except (ValueError, RecursionError):
            raise self._bad() from None
        if not isinstance(told, dict):
            raise self._bad()
        options = told.get("options")
        options = options if isinstance(options, dict) else {}
        self.has_documents = told.get("type", "collection") == "collection" and not {"viewOn", "timeseries"} & set(
            options
        )

    def _bad(self) -> Damage:
        return Damage(Problem("backup.corrupt", "metadata.json", "is not the metadata of a collection, or was cut"))
