# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this directory one that may be cleaned? Whatever else may hold files with names of WAL is recognised here."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused

_ANCESTORS = 4
_WAL_DIRECTORIES = ("pg_wal", "pg_xlog")
# What PostgreSQL keeps in pg_wal and an archive never has.
_OF_PG_WAL = ("archive_status",)
_WAL_G = re.compile(r"(?:wal|basebackups)_\d{3}\Z")


@dataclass(frozen=True)
class Listing:
    """The names in a directory, and which of them are directories themselves."""

    names: frozenset[str]
    directories: frozenset[str]


def require_archive(path: str) -> str:
    """Return the real path of the archive *path*. Raises ``ArchiveRefused`` unless it may be cleaned."""
    real = _require_directory(path)
    listing = _require_listing(path)
    _require_no_server(path, real, listing.names)
    manager = managed_by(real, listing)
    if manager:
        tool, expire = manager
        raise ArchiveRefused(
            "managed",
            f"{path} belongs to {tool}, which keeps its own record of what is in it.",
            f"Let {tool} remove what is no longer needed: {expire}.",
            {"path": path, "tool": tool},
        )
    _require_writable(path, real)
    return real


def _require_directory(path: str) -> str:
    try:
        found = os.lstat(path)
    except OSError as error:
        raise _unusable(path, error) from None
    if stat.S_ISLNK(found.st_mode) and not os.path.exists(path):
        raise ArchiveRefused(
            "dangling",
            f"{path} is a link to {os.readlink(path)}, which cannot be reached.",
            "Mount what it leads to, or correct path.",
            {"path": path},
        )
    if not os.path.isdir(path):
        raise ArchiveRefused(
            "no_directory", f"{path} is not a directory.", "Give the directory of the archive as path.", {"path": path}
        )
    return os.path.realpath(path)


def _require_listing(path: str) -> Listing:
    names, directories = [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                names.append(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
    except OSError as error:
        raise _unusable(path, error) from None
    return Listing(frozenset(names), frozenset(directories))


def _unusable(path: str, error: OSError) -> ArchiveRefused:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        remedy = "Mount the file system that it is on, or correct path."
    else:
        remedy = "Run the task as the account that owns the archive (become_user)."
    return ArchiveRefused("unreadable", f"{path} cannot be read: {error.strerror}.", remedy, {"path": path})


def _require_writable(path: str, real: str) -> None:
    if os.statvfs(real).f_flag & os.ST_RDONLY:
        raise ArchiveRefused(
            "read_only",
            f"{path} is on a file system that is mounted read-only.",
            "Mount it writable, or run the task on the host that has it so.",
            {"path": path},
        )
    if not os.access(real, os.W_OK | os.X_OK):
        raise ArchiveRefused(
            "not_writable",
            f"{path} may not be changed by the user that runs the task (uid {os.geteuid()}).",
            "Run the task as the account that owns the archive (become_user).",
            {"path": path},
        )


# --- directories of a server


def _require_no_server(path: str, real: str, names: frozenset[str]) -> None:
    by_name = next((each for each in (path, real) if os.path.basename(each.rstrip("/")) in _WAL_DIRECTORIES), None)
    if by_name or names.intersection(_OF_PG_WAL):
        raise ArchiveRefused(
            "pg_wal",
            f"{path} is the WAL of a server itself, not an archive: without it the server does not start again.",
            "Give the directory that archive_command copies to. The server removes old WAL of its own by itself.",
            {"path": path, "real_path": real},
        )
    for place in dict.fromkeys((*_with_ancestors(real), *_with_ancestors(os.path.normpath(path)))):
        if _is_data_directory(place):
            raise ArchiveRefused(
                "data_directory",
                f"{path} is in the data directory {place} of a server.",
                "Keep the archive outside of it, best on another file system, and correct archive_command and path.",
                {"path": path, "data_directory": place},
            )


def _with_ancestors(path: str) -> Iterator[str]:
    while True:
        yield path
        parent = os.path.dirname(path)
        if parent == path:
            return
        path = parent


def _is_data_directory(place: str) -> bool:
    return os.path.lexists(os.path.join(place, "global", "pg_control")) or (
        os.path.lexists(os.path.join(place, "PG_VERSION"))
    )


def require_not_wal_of(path: str, real: str, data_directory: str) -> None:
    """Raise ``ArchiveRefused`` when the server that was asked has its own WAL there."""
    if not data_directory:
        return
    for name in _WAL_DIRECTORIES:
        own = os.path.join(data_directory, name)
        try:
            same = os.path.samefile(own, real)
        except OSError:
            continue  # it is on another host, or not for us to see
        if same:
            raise ArchiveRefused(
                "pg_wal",
                f"{path} is {own}, the WAL of the server itself.",
                "Give the directory that archive_command copies to.",
                {"path": path, "data_directory": data_directory},
            )


# --- directories of other tools


def managed_by(real: str, listing: Listing) -> tuple[str, str] | None:
    """Return the tool whose repository *real* is in, and how that tool itself removes what is old."""
    near = list(_with_ancestors(real))[: _ANCESTORS + 1]
    if any(_has(place, "archive.info", "archive.info.copy") for place in (*near, *_below(real, listing.directories))):
        return "pgBackRest", "`pgbackrest expire`, with its retention options"
    if any(_is_barman(place) for place in near[:3]):
        return "Barman", "`barman cron` and `barman delete`, with its retention_policy"
    if _is_wal_g(real, near[:3]):
        return "WAL-G or WAL-E", "`wal-g delete retain`"
    if any(_is_pg_probackup(place) for place in near[:4]):
        return "pg_probackup", "`pg_probackup delete --expired --wal`"
    if any(_has(place, "pg_rman.ini") for place in near[:3]):
        return "pg_rman", "`pg_rman purge` and its KEEP_ARCLOG options"
    if any(name.endswith(".metadata") and name[: -len(".metadata")] in listing.names for name in listing.names):
        return "pghoard", "its own backup_count"
    return None


def _has(place: str, *names: str) -> bool:
    return any(os.path.lexists(os.path.join(place, name)) for name in names)


def _below(real: str, directories: Iterable[str]) -> Iterator[str]:
    """Yield the directories just below *real*, and those in ``archive``, where a repository has its stanzas."""
    for name in directories:
        place = os.path.join(real, name)
        yield place
        if name == "archive":
            try:
                yield from (entry.path for entry in os.scandir(place) if entry.is_dir())
            except OSError:
                continue  # what we may not see, we cannot remove either


def _is_barman(place: str) -> bool:
    """The directory of one server in Barman's home: identity.json, and base, wals, incoming, streaming beside it."""
    if _has(place, "xlog.db", ".barman-lock", ".barman"):
        return True
    parts = [name for name in ("base", "wals", "incoming", "streaming", "errors") if _has(place, name)]
    return len(parts) >= 3 or (_has(place, "identity.json") and len(parts) >= 1)


def _is_wal_g(real: str, near: list[str]) -> bool:
    if _WAL_G.match(os.path.basename(real)):
        return True
    for place in near:
        try:
            if any(_WAL_G.match(name) for name in os.listdir(place)):
                return True
        except OSError:
            continue  # a parent that may be passed but not listed
    return False


def _is_pg_probackup(place: str) -> bool:
    backups = os.path.join(place, "backups")
    if not (_has(place, "wal") and os.path.isdir(backups)):
        return False
    try:
        return any(_has(entry.path, "pg_probackup.conf") for entry in os.scandir(backups) if entry.is_dir())
    except OSError:
        return False
