# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the base backups that ``base_backups`` names: where each began and ended, by the files PostgreSQL put in it."""

from __future__ import annotations

import glob
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.collect import read_text
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.labels import (
    Label,
    Manifest,
    parse_label,
    parse_manifest_end,
    parse_manifest_system,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import BaseBackup
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import segment_name

_WILDCARDS = frozenset("*?[")
_LABEL, _MANIFEST = "backup_label", "backup_manifest"
_ENDINGS = ("", ".gz", ".bz2", ".xz")
_OTHER_ENDINGS = (".zst", ".lz4")
_TAR_ERRORS = (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError)
# PostgreSQL writes backup_label first; what others packed may have it a little later.
_MEMBERS = 50
_MANIFEST_END, _MANIFEST_START = 1 << 20, 4096
_LONGEST_LABEL = 1 << 16
_SYSTEM = struct.Struct("<Q")


def read_backups(patterns: Iterable[str], size: int, systems: frozenset[int]) -> tuple[BaseBackup, ...]:
    """Return every base backup that *patterns* name, with segments of *size* bytes.

    *systems* are the identifiers that the cluster is known by. Raises ``ArchiveRefused`` when one of them cannot be
    read or is of another cluster, or a pattern fits none: a backup that we cannot see may need any WAL.
    """
    found: dict[str, BaseBackup] = {}
    for pattern in patterns:
        exact = not _WILDCARDS & set(pattern)
        paths = [pattern] if exact else sorted(glob.glob(pattern))
        mine = {os.path.realpath(path): _read(path, size, systems, exact) for path in paths}
        backups = {path: backup for path, backup in mine.items() if backup is not None}
        if not backups:
            raise ArchiveRefused(
                "no_base_backup",
                f"There is no base backup at {pattern}.",
                "Mount what holds them, or correct base_backups: without them nothing says which WAL they need.",
                {"pattern": pattern, "looked_at": len(paths)},
            )
        found.update(backups)
    return tuple(found.values())


def _read(path: str, size: int, systems: frozenset[int], exact: bool) -> BaseBackup | None:
    """Return the base backup at *path*; ``None`` when a pattern led to something that is none."""
    if os.path.islink(path) and not os.path.exists(path):
        raise _refused(path, "it is a link that leads nowhere", "Mount what it leads to, or remove the link.")
    if os.path.isdir(path):
        return _read_directory(path, size, systems, exact)
    if os.path.isfile(path) and _is_tar(path):
        return _backup(path, _label_in_tar(path), None, size, complete=False, own_wal=False)
    if exact:
        raise _refused(path, "it is not there, or neither a directory nor a tar file", "Correct base_backups.")
    return None


def _read_directory(path: str, size: int, systems: frozenset[int], exact: bool) -> BaseBackup | None:
    names = _names_in(path)
    if "postmaster.pid" in names or ("PG_VERSION" in names and not names & {_LABEL}):
        raise _refused(
            path,
            "it is the data directory of a server, or a backup that a server was started in",
            "Name the directories of base backups alone.",
        )
    tars = sorted(name for name in names if name.startswith("base.tar"))
    if not tars and not names & {_LABEL, _MANIFEST}:
        if exact:
            raise _refused(path, f"it has neither {_LABEL} nor {_MANIFEST} nor base.tar", "Correct base_backups.")
        return None
    _require_system(path, names, systems)
    manifest = _manifest_of(path) if _MANIFEST in names else None
    label = _label_in(path) if _LABEL in names else None
    if label is None and manifest is None and tars:
        label = _label_in_tar(os.path.join(path, tars[0]))
    # pg_basebackup writes the manifest last, and before it, last of the data directory, pg_control.
    complete = manifest is not None or (_LABEL in names and _exists(path, "global", "pg_control"))
    own_wal = any(name.startswith("pg_wal.tar") for name in names)
    backup = _backup(path, label, manifest, size, complete, own_wal)
    if not own_wal and _exists(path, "pg_wal", segment_name(backup.timeline, backup.first, size)):
        backup = replace(backup, own_wal=True)
    return backup


def _backup(
    path: str, label: Label | None, manifest: Manifest | None, size: int, complete: bool, own_wal: bool
) -> BaseBackup:
    if label is None and manifest is None:
        raise _refused(
            path,
            "where in the WAL it began cannot be read",
            f"Keep its {_MANIFEST} beside it, or name it in keep_from by its oldest WAL file.",
        )
    start = label.start if label else manifest.start if manifest else 0
    timeline = label.file.timeline if label else manifest.timeline if manifest else 0
    if label and label.file.number(size) != start // size:
        raise _refused(
            path,
            f"its {_LABEL} does not go with WAL segments of {size >> 20} MiB",
            "Check that it is a backup of this very cluster.",
        )
    return BaseBackup(
        id=path,
        timeline=timeline,
        start=start,
        first=start // size,
        last=(manifest.stop - 1) // size if manifest else None,
        started=label.started if label else "",
        of_archive=False,
        complete=complete,
        own_wal=own_wal,
    )


def _refused(path: str, why: str, remedy: str) -> ArchiveRefused:
    return ArchiveRefused(
        "base_backup", f"The base backup {path} cannot be taken for one: {why}.", remedy, {"path": path}
    )


# --- files


def _names_in(path: str) -> set[str]:
    try:
        return set(os.listdir(path))
    except OSError as error:
        raise _refused(
            path, f"it cannot be read ({error.strerror})", "Run the task as an account that may read it."
        ) from None


def _exists(*parts: str) -> bool:
    return os.path.isfile(os.path.join(*parts))


def _label_in(path: str) -> Label:
    text = read_text(os.path.join(path, _LABEL))
    label = parse_label(text) if text is not None else None
    if label is None:
        raise _refused(path, f"its {_LABEL} cannot be read", "Look at that file; a backup without it is none.")
    return label


def _manifest_of(path: str) -> Manifest | None:
    """Return the end of the manifest; ``None`` when it is not whole, as while the backup is being taken."""
    file = os.path.join(path, _MANIFEST)
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _MANIFEST_END))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError as error:
        raise _refused(
            path, f"its {_MANIFEST} cannot be read ({error.strerror})", "Run the task as an account that may read it."
        ) from None
    return parse_manifest_end(text)


def _require_system(path: str, names: set[str], systems: frozenset[int]) -> None:
    """Raise ``ArchiveRefused`` when the backup says that it is of another cluster than *systems*."""
    own = _system_of(path, names)
    if own is not None and systems and own not in systems:
        raise _refused(
            path,
            f"it is of cluster {own}, and the archive is of cluster {', '.join(map(str, sorted(systems)))}",
            "Correct base_backups.",
        )


def _system_of(path: str, names: set[str]) -> int | None:
    try:
        if "global" in names:
            with open(os.path.join(path, "global", "pg_control"), "rb") as stream:
                head = stream.read(_SYSTEM.size)
            return _SYSTEM.unpack(head)[0] if len(head) == _SYSTEM.size else None
        if _MANIFEST in names:
            with open(os.path.join(path, _MANIFEST), "rb") as stream:
                return parse_manifest_system(stream.read(_MANIFEST_START).decode("utf-8", errors="replace"))
    except OSError:
        return None  # pg_control is not there yet, or not for us to read: then nothing is known against it
    return None


# --- tar files


def _is_tar(path: str) -> bool:
    return any(path.endswith(f".tar{ending}") for ending in (*_ENDINGS, *_OTHER_ENDINGS)) or path.endswith(".tgz")


def _label_in_tar(path: str) -> Label:
    """Return the label, which PostgreSQL writes first. Raises ``ArchiveRefused`` when the file cannot be read."""
    try:
        with tarfile.open(path, mode="r|*") as archive:
            for member in _first(archive):
                if member.name in (_LABEL, f"./{_LABEL}") and member.isreg() and member.size <= _LONGEST_LABEL:
                    stream = archive.extractfile(member)
                    label = parse_label(stream.read().decode("utf-8", errors="replace")) if stream else None
                    if label is not None:
                        return label
    except _TAR_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise _refused(
            path,
            f"its tar file cannot be read ({reason})",
            f"Python cannot unpack zstd or lz4: keep {_MANIFEST} beside it, which says the same.",
        ) from None
    raise _refused(path, f"its tar file does not begin with {_LABEL}", "Check that it is a base backup.")


def _first(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(archive):
        if number >= _MEMBERS:
            return
        yield member
