# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a backup: what its maker knew when it wrote it. Pure.

A digest that is made of a file afterwards proves that the file has not changed since; it says nothing about whether the
dump was whole. So the maker writes down, while it dumps: the digest of the bytes that it means to store and of what
they unfold to, the rows of each table as the snapshot of the dump has them, where the data come from, and how each
program of the pipe ended. ``NAME.manifest.json`` stands beside the backup ``NAME``, a file or a directory.

The form is JSON with a schema number, described in ``docs/backups.md``. What a reader of schema 1 does not know, it
leaves alone, so keys may be added; what changes a meaning gets another number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339

SCHEMA = 1
SUFFIX = ".manifest.json"
MEMBERS_SUFFIX = ".members"
# A hundred thousand tables take 6 MB; what is larger is read by nobody.
LARGEST = 32 << 20

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_LONGEST_INTEGER = 1 << 63
_MAY_BE_EMPTY = ("rows", "extensions")

T = TypeVar("T")


class Unusable(Exception):
    """A manifest cannot be used; the text is the end of a sentence that says why."""


@dataclass(frozen=True)
class Source:
    """Where the data come from. ``bytes`` is the size of the database; empty texts and 0 for what is not known."""

    host: str = ""
    database: str = ""
    server_version: str = ""
    system_identifier: str = ""
    encoding: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Part:
    """A file of a backup that is a directory. ``name`` is relative to it."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What the maker of ``name`` wrote down.

    ``taken_at`` is the instant whose data it holds. ``statuses`` are the programs of the pipe with their exit statuses.
    ``rows`` is None when rows were not counted; its names are those of ``rows.table_name``. ``plain_*`` are those of
    the innermost stream, before compression and encryption. ``parts`` has the files of a directory, and then
    ``stored_sha256`` is that of their lines (``directory_sha256``).
    """

    name: str
    kind: str
    taken_at: datetime
    stored_size: int
    stored_sha256: str
    schema: int = SCHEMA
    series: str = ""
    made_by: str = ""
    formats: tuple[str, ...] = ()
    finished_at: datetime | None = None
    plain_size: int | None = None
    plain_sha256: str = ""
    source: Source = Source()
    tools: Mapping[str, str] = field(default_factory=dict)
    statuses: tuple[tuple[str, int], ...] = ()
    rows: Mapping[str, int] | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] | None = None
    members: Members | None = None
    parts: tuple[Part, ...] = ()
    recipients: tuple[str, ...] = ()

    @property
    def failed(self) -> list[str]:
        """The programs that did not end well."""
        return [f"{program} ended with {status}" for program, status in self.statuses if status]


def directory_sha256(parts: list[Part]) -> str:
    """Return the digest that stands for a directory: that of a line for each file, by name, as ``sha256sum`` has it."""
    lines = [f"{part.sha256}  {part.name}\n" for part in sorted(parts, key=lambda part: part.name)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def render(manifest: Manifest) -> bytes:
    """Return the text of *manifest*: the same for the same manifest, with a newline at its end."""
    plain: dict[str, Any] = {
        "schema": manifest.schema,
        "name": manifest.name,
        "kind": manifest.kind,
        "series": manifest.series,
        "made_by": manifest.made_by,
        "taken_at": rfc3339(manifest.taken_at),
        "finished_at": rfc3339(manifest.finished_at) if manifest.finished_at else None,
        "format": list(manifest.formats),
        "stored": {"size": manifest.stored_size, "sha256": manifest.stored_sha256},
        "source": {key: value for key, value in vars(manifest.source).items() if value},
        "tools": dict(manifest.tools),
        "programs": [{"program": program, "status": status} for program, status in manifest.statuses],
        "rows": dict(manifest.rows) if manifest.rows is not None else None,
        "fingerprints": dict(manifest.fingerprints),
        "extensions": list(manifest.extensions) if manifest.extensions is not None else None,
        "recipients": list(manifest.recipients),
    }
    if manifest.plain_sha256:
        plain["plain"] = {"size": manifest.plain_size, "sha256": manifest.plain_sha256}
    if manifest.members is not None:
        members = manifest.members
        plain["members"] = {"count": members.count, "bytes": members.bytes, "sha256": members.sha256}
    if manifest.parts:
        plain["files"] = [{"name": part.name, "size": part.size, "sha256": part.sha256} for part in manifest.parts]
    # That nothing was counted and that there was nothing to count are not the same.
    empty = {
        key for key, value in plain.items() if value is None or (value in ("", [], {}) and key not in _MAY_BE_EMPTY)
    }
    kept = {key: value for key, value in plain.items() if key not in empty}
    return json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def parse(data: bytes) -> Manifest:
    """Return the manifest that *data* holds; raise ``Unusable``."""
    if len(data) > LARGEST:
        raise Unusable("is far too large for a manifest")
    try:
        plain = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Unusable("is not JSON, or was cut") from None
    if not isinstance(plain, dict):
        raise Unusable("is not a manifest")
    schema = plain.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise Unusable("is not a manifest: it has no schema number")
    if schema != SCHEMA:
        raise Unusable(f"has schema {schema}, and this version reads {SCHEMA}")
    reader = _Reader(plain)
    return Manifest(
        name=_base_name(reader.text("name")),
        kind=reader.text("kind"),
        series=reader.text("series", ""),
        made_by=reader.text("made_by", ""),
        taken_at=reader.instant("taken_at"),
        finished_at=reader.instant("finished_at") if "finished_at" in plain else None,
        formats=tuple(reader.texts("format")),
        stored_size=reader.section("stored").integer("size"),
        stored_sha256=reader.section("stored").sha256("sha256"),
        plain_size=reader.section("plain").integer("size", 0) if "plain" in plain else None,
        plain_sha256=reader.section("plain").sha256("sha256") if "plain" in plain else "",
        source=_source(reader.section("source")),
        tools=reader.mapping("tools", str),
        statuses=tuple(_statuses(reader)),
        rows=reader.mapping("rows", int) if "rows" in plain else None,
        fingerprints=reader.mapping("fingerprints", str),
        extensions=tuple(reader.texts("extensions")) if "extensions" in plain else None,
        members=_members(reader.section("members")) if "members" in plain else None,
        parts=tuple(_parts(reader)),
        recipients=tuple(reader.texts("recipients")),
    )


class _Reader:
    """Reads the keys of one mapping, each of the type that it must have."""

    def __init__(self, plain: Mapping[str, Any], path: str = "") -> None:
        self._plain = plain
        self._path = path

    def _get(self, key: str, kind: type[T], default: T | None) -> T:
        value = self._plain.get(key, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise Unusable(f"says nothing that can be used for {self._path}{key}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return self._get(key, str, default)

    def integer(self, key: str, default: int | None = None) -> int:
        return _natural(self._get(key, int, default), f"{self._path}{key}")

    def status(self, key: str) -> int:
        """Read an exit status, negative for a signal."""
        return self._get(key, int, None)

    def sha256(self, key: str) -> str:
        text = self.text(key).lower()
        if not _SHA256.match(text):
            raise Unusable(f"has no SHA-256 for {self._path}{key}")
        return text

    def instant(self, key: str) -> datetime:
        try:
            return parse_rfc3339(self.text(key))
        except InvalidInput:
            raise Unusable(f"has no instant for {self._path}{key}") from None

    def texts(self, key: str) -> list[str]:
        values = self._get(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise Unusable(f"says nothing that can be used for {self._path}{key}")
        return values

    def entries(self, key: str) -> list[_Reader]:
        values = self._get(key, list, [])
        if not all(isinstance(value, dict) for value in values):
            raise Unusable(f"says nothing that can be used for {self._path}{key}")
        return [_Reader(value, f"{self._path}{key}.") for value in values]

    def section(self, key: str) -> _Reader:
        return _Reader(self._get(key, dict, {}), f"{self._path}{key}.")

    def mapping(self, key: str, kind: Callable[[Any], T]) -> dict[str, T]:
        values = self._get(key, dict, {})
        for name, value in values.items():
            if kind is int:
                _natural(value, f"{self._path}{key}.{name}")
            elif not isinstance(value, str):
                raise Unusable(f"says nothing that can be used for {self._path}{key}.{name}")
        return values


def _natural(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LONGEST_INTEGER:
        raise Unusable(f"has no number that can be for {where}")
    return value


def _base_name(name: str) -> str:
    """A manifest speaks of what stands beside it, and of nothing else."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise Unusable("names a file that is not beside it")
    return name


def _source(reader: _Reader) -> Source:
    return Source(
        host=reader.text("host", ""),
        database=reader.text("database", ""),
        server_version=reader.text("server_version", ""),
        system_identifier=reader.text("system_identifier", ""),
        encoding=reader.text("encoding", ""),
        bytes=reader.integer("bytes", 0),
    )


def _statuses(reader: _Reader) -> list[tuple[str, int]]:
    return [(entry.text("program"), entry.status("status")) for entry in reader.entries("programs")]


def _members(reader: _Reader) -> Members:
    return Members(reader.integer("count"), reader.integer("bytes"), reader.sha256("sha256"))


def _parts(reader: _Reader) -> list[Part]:
    parts = []
    for entry in reader.entries("files"):
        name = entry.text("name")
        if name.startswith("/") or ".." in name.split("/") or not name or "\0" in name:
            raise Unusable("names a file that is not beside it")
        parts.append(Part(name, entry.integer("size"), entry.sha256("sha256")))
    return parts
