# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the files of a series. Directories are listed once each; one that cannot be read is told, not passed over."""

from __future__ import annotations

import fnmatch
import os
import pwd
import re
import stat
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import SUFFIX as MANIFEST_SUFFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Failure, Leftover, Series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.names import foreign_time, refined, time_in
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import SUFFIXES, is_companion

PARTIAL_SUFFIXES = (".partial", ".part", ".tmp", ".temp", ".incomplete", ".filepart", ".crdownload")

# What makes a directory one backup, and not a place where backups lie.
DIRECTORY_MARKS = frozenset(("toc.dat", "toc.dat.gz", "PG_VERSION", "backup_manifest", "base.tar", "base.tar.gz"))
_MONGO_TOP = frozenset(("oplog.bson", "prelude.json", "prelude.json.gz"))

_MAGIC = re.compile(r"[*?\[]")
_KINDS = (
    (stat.S_ISREG, model.FILE),
    (stat.S_ISDIR, model.DIRECTORY),
    (stat.S_ISFIFO, model.FIFO),
    (stat.S_ISSOCK, model.SOCKET),
)


@dataclass
class Listing:
    """What the pattern of a series leads to."""

    files: list[BackupFile] = field(default_factory=list)
    partials: list[Leftover] = field(default_factory=list)
    stale_sidecars: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    missing_directory: str = ""
    identities: set[tuple[int, int]] = field(default_factory=set)
    links: dict[str, tuple[int, int]] = field(default_factory=dict)

    def drop_links_to_each_other(self) -> None:
        """Drop each link to a file that is listed itself, such as ``latest.sql.gz``."""
        self.files = [file for file in self.files if self.links.get(file.path) not in self.identities]


class Finder:
    """Looks through the file system for all series of a run."""

    def __init__(self) -> None:
        self._entries: dict[str, list[os.DirEntry[str]]] = {}
        self._names: dict[str, set[str]] = {}
        self._reachable: dict[str, bool] = {}

    def find(self, series: Series) -> Listing:
        """Return what there is of *series*; the files in no particular order."""
        listing = Listing()
        pattern = series.pattern.rstrip("/") or "/"
        fixed = _fixed_parts(pattern)
        if not series.named and not _MAGIC.search(pattern) and os.path.isdir(pattern):
            if self.is_backup_directory(pattern):
                self._add_one(pattern, series, fixed, listing)
                return listing
            pattern = os.path.join(pattern, "**")
        if os.path.basename(pattern) == "**":
            pattern = os.path.join(pattern, "*")
        directory, base = os.path.split(pattern)
        for place in self._expand(directory, listing):
            self._look_in(place, base, series, fixed, listing, tree=pattern.endswith("/**/*"))
        if not (listing.files or listing.partials or _MAGIC.search(directory) or os.path.isdir(directory)):
            listing.missing_directory = directory
        listing.drop_links_to_each_other()
        return listing

    def _add_one(self, path: str, series: Series, fixed: int, listing: Listing) -> None:
        directory, name = os.path.split(path)
        for entry in self._readable(directory, listing):
            if entry.name == name:
                self._add_file(entry, series, fixed, listing)

    def is_backup_directory(self, path: str) -> bool:
        """True when the directory is one backup: a dump or a base backup of PostgreSQL, or one of MongoDB.

        Any that has a manifest beside it is one too, whatever was lost of it.
        """
        above, name = os.path.split(path)
        try:
            if name + MANIFEST_SUFFIX in self.names(above):
                return True
            names = self.names(path)
            if names & DIRECTORY_MARKS or _holds_bson(names):
                return True
            below = [entry.path for entry in self.entries(path) if _is_directory(entry, follow=False)]
            files = [name for name in names if name not in _MONGO_TOP and not is_companion(name)]
            return bool(below) and len(below) == len(files) and all(_holds_bson(self.names(one)) for one in below)
        except OSError:
            return False

    def entries(self, directory: str) -> list[os.DirEntry[str]]:
        """Return the entries of *directory*; raise ``OSError``."""
        if directory not in self._entries:
            with os.scandir(directory) as listed:
                self._entries[directory] = sorted(listed, key=lambda entry: entry.name)
        return self._entries[directory]

    def names(self, directory: str) -> set[str]:
        """Return the names in *directory*; raise ``OSError``."""
        if directory not in self._names:
            self._names[directory] = {entry.name for entry in self.entries(directory)}
        return self._names[directory]

    def _expand(self, pattern: str, listing: Listing) -> list[str]:
        """Return the directories that *pattern* leads to.

        ``**`` stands for any number of them; links are not followed there, so that a loop ends.
        """
        places = ["/"]
        for part in filter(None, pattern.split("/")):
            if part == "**":
                places = [below for place in places for below in self._tree(place, listing)]
            elif _MAGIC.search(part):
                places = [
                    entry.path
                    for place in places
                    for entry in self._readable(place, listing)
                    if _matches(entry.name, part) and _is_directory(entry)
                ]
            else:
                places = [os.path.join(place, part) for place in places]
        return list(dict.fromkeys(places))

    def _tree(self, top: str, listing: Listing) -> list[str]:
        found, waiting = [], [top]
        while waiting:
            place = waiting.pop()
            found.append(place)
            waiting += [
                entry.path
                for entry in self._readable(place, listing)
                if not entry.name.startswith(".")
                and _is_directory(entry, follow=False)
                and not self.is_backup_directory(entry.path)
            ]
        return found

    def _readable(self, directory: str, listing: Listing) -> list[os.DirEntry[str]]:
        try:
            return self.entries(directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            failure = Failure(model.UNREADABLE, f"cannot be listed: {error.strerror}", directory)
            if failure not in listing.failures:
                listing.failures.append(failure)
            return []

    def _look_in(self, directory: str, base: str, series: Series, fixed: int, listing: Listing, tree: bool) -> None:
        """Add what *directory* has; with *tree* its directories are looked into by themselves."""
        entries = self._readable(directory, listing)
        names = self.names(directory) if entries else set()
        backups: set[str] = set()
        for entry in entries:
            name = entry.name
            stem = _before(name, PARTIAL_SUFFIXES)
            if stem is not None and (_matches(name, base) or _matches(stem, base)):
                self._add_partial(entry, listing)
            elif is_companion(name):
                continue
            elif _matches(name, base) and not (
                tree and _is_directory(entry) and not self.is_backup_directory(entry.path)
            ):
                backups.add(name)
                self._add_file(entry, series, fixed, listing)
        listing.stale_sidecars += [os.path.join(directory, name) for name in _stale_sidecars(names, backups, base)]

    def _add_partial(self, entry: os.DirEntry[str], listing: Listing) -> None:
        try:
            listing.partials.append(Leftover(entry.path, _instant(entry.stat().st_mtime)))
        except OSError:
            return  # it was renamed while we looked: now it is whole

    def _add_file(self, entry: os.DirEntry[str], series: Series, fixed: int, listing: Listing) -> None:
        try:
            status = entry.stat()
        except FileNotFoundError:
            if not entry.is_symlink():
                return  # it was removed while we looked
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            listing.failures.append(Failure(model.UNREADABLE, f"cannot be looked at: {error.strerror}", entry.path))
            return
        identity = (status.st_dev, status.st_ino)
        if entry.is_symlink():
            listing.links[entry.path] = identity
        else:
            listing.identities.add(identity)
        mtime = _instant(status.st_mtime)
        taken_at, taken_from = taken(entry.path, fixed, series, mtime)
        kind = _kind_of(status.st_mode)
        listing.files.append(
            BackupFile(
                path=entry.path,
                kind=kind,
                size=status.st_size,
                mtime=mtime,
                mode=stat.S_IMODE(status.st_mode),
                taken_at=taken_at,
                taken_from=taken_from,
                owner=_owner(status.st_uid),
                exposed=kind == model.FILE and bool(status.st_mode & stat.S_IROTH) and self._is_reachable(entry.path),
            )
        )

    def _is_reachable(self, path: str) -> bool:
        """True when every account may enter all directories above *path*."""
        directory = os.path.dirname(path)
        if directory == path:
            return True
        if directory not in self._reachable:
            try:
                enterable = bool(os.stat(directory).st_mode & stat.S_IXOTH)
            except OSError:
                enterable = False
            self._reachable[directory] = enterable and self._is_reachable(directory)
        return self._reachable[directory]


def taken(path: str, fixed: int, series: Series, mtime: datetime) -> tuple[datetime, str]:
    """Return when the backup at *path* was taken, and by what that is known.

    Only the parts of the path after the *fixed* ones of the pattern are read: a mount point may carry a date too.
    """
    if series.time_from == model.FROM_NAME:
        parts = path.split("/")
        own = parts[min(fixed, len(parts) - 1) :]
        named = foreign_time("/".join(own), series.time_pattern) if series.time_pattern else time_in(reversed(own))
        # The directories in front may say what a name means: weekly/shop-202647.sql.gz.
        named = named or (None if series.time_pattern else foreign_time("/".join(parts[-3:])))
        if named is not None:
            instant = named.in_utc(series.zone)
            return (refined(instant, mtime, named.span) if named.to_the_day else instant), model.FROM_NAME
    return mtime, model.FROM_MTIME


def _fixed_parts(pattern: str) -> int:
    parts = pattern.split("/")
    return next((index for index, part in enumerate(parts) if _MAGIC.search(part)), len(parts))


def _matches(name: str, pattern: str) -> bool:
    """As a shell matches: a leading dot must be written."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, pattern)


def _stale_sidecars(names: set[str], backups: set[str], base: str) -> list[str]:
    """Return those of *names* that are digests of files which are gone, of the series that *base* matches."""
    # The digest of x.sql is left behind when x.sql becomes x.sql.gz.gpg.
    stems = {name.rsplit(".", suffixes)[0] for name in backups for suffixes in range(3)}
    described = {name: _before(name, SUFFIXES) for name in names}
    return sorted(
        name
        for name, file in described.items()
        if file is not None and file not in names and (_matches(file, base) or file in stems)
    )


def _holds_bson(names: set[str]) -> bool:
    """True when collections lie there, with what describes them."""
    bson = {name.partition(".bson")[0] for name in names if name.endswith((".bson", ".bson.gz"))}
    described = {name.partition(".metadata.json")[0] for name in names if ".metadata.json" in name}
    return bool(bson & described)


@lru_cache(maxsize=256)
def _owner(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _before(name: str, suffixes: tuple[str, ...]) -> str | None:
    return next((name[: -len(suffix)] for suffix in suffixes if name.endswith(suffix)), None)


def _kind_of(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return model.DANGLING
    return next((kind for test, kind in _KINDS if test(mode)), model.DEVICE)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _is_directory(entry: os.DirEntry[str], follow: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False  # a link that leads in a circle
