# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the archive: its files, how large its segments are, whose they are, and the histories of its timelines."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.labels import (
    Label,
    parse_branches,
    parse_label,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    Archive,
    BaseBackup,
    Entry,
    History,
    Options,
    ServerView,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import (
    BACKUP,
    HISTORY,
    SEGMENT,
    SIZES,
    WalName,
    parse_name,
    sizes_that_fit,
)

# What Python itself can read. zstd and lz4 are not among it: then the server, or an option, says what is needed.
_OPENERS: Mapping[str, Callable[..., Any]] = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
# The long header of the first page of a segment: magic, flags, timeline, address, rest, system, sizes.
_HEADER = struct.Struct("<HHIQIIQII")
_LONG_HEADER, _MAGIC, _BLOCKS = 0x0002, 0xD1, (1024, 2048, 4096, 8192, 16384, 32768, 65536)
_LOOKED_INTO = 24
_LARGEST_TEXT = 1 << 20
_EXAMPLES = 5


@dataclass(frozen=True)
class Header:
    """What the first page of a segment says of its cluster."""

    system: int
    segment_size: int


@dataclass(frozen=True)
class Found:
    """A file with a name of WAL, before the size of segments is known."""

    file: str
    name: WalName
    status: os.stat_result


def read_archive(real: str, options: Options, server: ServerView | None) -> tuple[Archive, tuple[BaseBackup, ...]]:
    """Return the archive in *real*, and the base backups that its history files tell of.

    Raises ``ArchiveRefused`` when its files are those of more than one cluster, or of another than *server*, or when
    the size of a segment cannot be known.
    """
    found, unknown = _list(real, options.suffixes)
    labels = {
        each.file: label for each in found if each.name.kind == BACKUP if (label := _label_of(real, each)) is not None
    }
    headers = _headers(real, found)
    _require_one_cluster(options.path, headers, server)
    size = _segment_size(options, headers, server, found, labels.values())
    entries, strange = [], list(unknown)
    for each in found:
        number = each.name.number(size)
        if number is None:
            strange.append(each.file)  # no segment of this size has such a name
        elif each.name.kind != HISTORY:
            entries.append(_entry(real, each, number))
    plain = [entry for entry in entries if entry.kind == SEGMENT and not entry.suffix and entry.regular]
    histories = [each for each in found if each.name.kind == HISTORY]
    archive = Archive(
        path=options.path,
        label=options.label,
        segment_size=size,
        entries=tuple(sorted(entries, key=lambda entry: entry.order)),
        histories={each.name.timeline: _history_of(real, each) for each in histories},
        history_files=len(histories),
        unknown=len(strange),
        examples=tuple(one_line(name) for name in sorted(strange)[:_EXAMPLES]),
        systems=frozenset({server.system} if server is not None else {header.system for header in headers.values()}),
        opaque=bool(plain) and not headers and all(entry.size != size for entry in plain),
    )
    backups = [_backup(each, labels.get(each.file), size) for each in found if each.name.kind == BACKUP]
    return archive, tuple(backup for backup in backups if backup is not None)


def _list(real: str, suffixes: Sequence[str]) -> tuple[list[Found], list[str]]:
    """Return the files with names of WAL, and the names of everything else."""
    found, unknown = [], []
    try:
        with os.scandir(real) as entries:
            for entry in entries:
                name = parse_name(entry.name, suffixes)
                if name is None:
                    unknown.append(entry.name)
                    continue
                try:
                    found.append(Found(entry.name, name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue  # another clean-up was faster
    except OSError as error:
        raise ArchiveRefused(
            "unreadable",
            f"{real} cannot be read: {error.strerror}.",
            "Look at the file system that it is on.",
            {"path": real},
        ) from None
    return sorted(found, key=lambda each: each.file), unknown


def _entry(real: str, found: Found, number: int) -> Entry:
    status = found.status
    regular = stat.S_ISREG(status.st_mode)
    behind = status if regular else _behind_link(os.path.join(real, found.file))
    return Entry(
        name=found.file,
        kind=found.name.kind,
        timeline=found.name.timeline,
        number=number,
        suffix=found.name.suffix,
        size=status.st_size if behind is None else behind.st_size,
        inode=status.st_ino,
        changed=status.st_mtime,
        regular=regular,
        readable=behind is not None,
        offset=found.name.offset,
    )


def _behind_link(path: str) -> os.stat_result | None:
    """Return the state of the file that a link leads to; ``None`` when it leads to none, or is no link."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _backup(found: Found, label: Label | None, size: int) -> BaseBackup | None:
    """Return the base backup of a history file; without a text that can be read, what its name says."""
    number = found.name.number(size)
    if number is None:
        return None
    start = number * size + found.name.offset
    agrees = label is not None and label.start == start
    stop = label.stop if label is not None and agrees else None
    return BaseBackup(
        id=found.file,
        timeline=found.name.timeline,
        start=start,
        first=number,
        last=None if stop is None else (stop - 1) // size,
        started=label.started if label is not None and agrees else "",
        of_archive=True,
        complete=True,
    )


# --- looking into files


def read_text(path: str, suffix: str = "") -> str | None:
    """Return the text of a small file, unpacked by its *suffix*; ``None`` when that cannot be done."""
    opener = _OPENERS.get(suffix)
    if opener is None or not _is_regular(path):
        return None
    try:
        with opener(path, "rb") as stream:
            content: bytes = stream.read(_LARGEST_TEXT)
    except _UNREADABLE:
        return None
    return content.decode("utf-8", errors="replace")


def _is_regular(path: str) -> bool:
    # A FIFO or a device in an archive would make us wait, or worse.
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _label_of(real: str, found: Found) -> Label | None:
    text = read_text(os.path.join(real, found.file), found.name.suffix)
    return parse_label(text) if text is not None else None


def _history_of(real: str, found: Found) -> History:
    text = read_text(os.path.join(real, found.file), found.name.suffix)
    branches = parse_branches(text) if text is not None else None
    if branches and branches[-1][0] >= found.name.timeline:
        branches = None
    return History(found.name.timeline, branches or None)


def _headers(real: str, found: Iterable[Found]) -> dict[str, Header]:
    """Return what segments say of themselves: the oldest, the newest, and some spread evenly between them."""
    segments = [each for each in found if each.name.kind == SEGMENT and each.name.suffix in _OPENERS]
    step = max(1, len(segments) // _LOOKED_INTO)
    looked_into = {each.file: each for each in (*segments[::step], *segments[-1:])}
    headers = {name: _header_of(real, name, each.name.suffix) for name, each in looked_into.items()}
    return {name: header for name, header in headers.items() if header is not None}


def require_own(archive: Archive, real: str, entries: Iterable[Entry]) -> None:
    """Raise ``ArchiveRefused`` when one of *entries*, which are to be removed, is a segment of another cluster.

    Only a few of all segments were looked into, and two clusters may share the directory.
    """
    for entry in entries:
        if entry.kind == SEGMENT and not entry.suffix and entry.regular and archive.systems:
            header = _header_of(real, entry.name, entry.suffix)
            if header is not None and header.system not in archive.systems:
                (own,) = archive.systems
                raise _several_clusters(archive.path, {own: "the rest", header.system: entry.name})


def _header_of(real: str, file: str, suffix: str) -> Header | None:
    path = os.path.join(real, file)
    if not _is_regular(path):
        return None
    try:
        with _OPENERS[suffix](path, "rb") as stream:
            page: bytes = stream.read(_HEADER.size)
    except _UNREADABLE:
        return None
    return parse_header(page)


def parse_header(page: bytes) -> Header | None:
    """Return what the first page of a segment says; ``None`` when it is none that this machine's servers write."""
    if len(page) < _HEADER.size:
        return None
    magic, flags, _timeline, _address, _rest, _padding, system, size, block = _HEADER.unpack(page[: _HEADER.size])
    if magic >> 8 != _MAGIC or not flags & _LONG_HEADER or size not in SIZES or block not in _BLOCKS:
        return None
    return Header(system, size)


# --- what must agree


def _require_one_cluster(path: str, headers: Mapping[str, Header], server: ServerView | None) -> None:
    systems: dict[int, str] = {}
    for name, header in headers.items():
        systems.setdefault(header.system, name)
    if len(systems) > 1:
        raise _several_clusters(path, systems)
    if server is not None and systems and server.system not in systems:
        system, name = next(iter(systems.items()))
        raise ArchiveRefused(
            "other_cluster",
            f"{path} holds WAL of cluster {system} ({name}), but {server.label} is cluster {server.system}.",
            "Correct path, or login_host and login_port.",
            {"path": path, "system": str(system), "server_system": str(server.system)},
        )


def _several_clusters(path: str, systems: Mapping[int, str]) -> ArchiveRefused:
    told = ", ".join(f"{name} is of cluster {system}" for system, name in sorted(systems.items()))
    return ArchiveRefused(
        "several_clusters",
        f"{path} holds WAL of {len(systems)} clusters: {told}. Positions of one mean nothing for another.",
        "Give each cluster an archive of its own (after pg_upgrade too: its cluster is a new one).",
        {"path": path, "systems": {str(system): name for system, name in systems.items()}},
    )


def _segment_size(
    options: Options,
    headers: Mapping[str, Header],
    server: ServerView | None,
    found: Iterable[Found],
    labels: Iterable[Label],
) -> int:
    """Return the size of a segment, on which all that know it must agree."""
    told: dict[str, int] = {}
    if options.segment_size:
        told["wal_segment_size"] = options.segment_size
    if server is not None:
        told[f"the server {server.label}"] = server.segment_size
    for name, header in headers.items():
        told.setdefault(f"the segment {name}", header.segment_size)
    if not told:
        told.update(_size_by_files(found, labels))
    sizes = sorted(set(told.values()))
    if len(sizes) == 1:
        return sizes[0]
    if not sizes:
        raise ArchiveRefused(
            "segment_size",
            f"How large a WAL segment of {options.path} is cannot be known: none of its files tells it.",
            "Let the server be asked (ask_server), or set wal_segment_size to what SHOW wal_segment_size says.",
            {"path": options.path},
        )
    words = {size: next(who for who, said in told.items() if said == size) for size in sizes}
    raise ArchiveRefused(
        "segment_size",
        "How large a WAL segment is stands in doubt: "
        + ", ".join(f"{size >> 20} MiB by {who}" for size, who in words.items())
        + ".",
        "Correct path, wal_segment_size, or the server that is asked.",
        {"path": options.path, "sizes": {who: size for size, who in words.items()}},
    )


def _size_by_files(found: Iterable[Found], labels: Iterable[Label]) -> dict[str, int]:
    """Return what a history file says, or the one size that all segments have that are not packed."""
    for label in labels:
        fitting = sizes_that_fit(label.start, label.file)
        if len(fitting) == 1:
            return {"a backup history file": next(iter(fitting))}
    sizes = {each.status.st_size for each in found if each.name.kind == SEGMENT and not each.name.suffix}
    sizes.discard(0)
    if len(sizes) == 1 and sizes <= set(SIZES):
        return {"the size of the files": sizes.pop()}
    return {}
