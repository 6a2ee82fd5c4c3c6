# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at what there is of a series, without reading a backup. Changes nothing.

Nothing that a symbolic link leads to is ever taken for a backup that may go, nor a directory of which it is not known
what is in it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import history, model, signature
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.beside import Beside
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.find import PARTIAL_SUFFIXES, Finder
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Found, Policy, Series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.names import promised_formats, time_in
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import (
    UNKNOWN,
    Aside,
    Candidate,
    Facts,
    Identity,
    Leftover,
    Rules,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.proof import first_look
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import COMPANIONS, is_companion
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import files_in
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

# What a backup is called from the moment on at which it was decided that it goes: `.NAME.upkeep-removing`.
REMOVING = ".upkeep-removing"
PARTIAL, ORPHAN, CUT_OFF = "partial", "orphan", "cut_off"

_SUFFIXES = tuple(dict.fromkeys((*(one for one in COMPANIONS if one.startswith(".")), *signature.SUFFIXES)))
_MAGIC = re.compile(r"[*?\[]")
_LONGEST_NAME = 255


def base_of(pattern: str) -> str:
    """Return the directory of *pattern* up to its first wildcard: nothing outside of it is touched."""
    parts = os.path.dirname(pattern.rstrip("/")).split("/")
    fixed = next((index for index, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    return "/".join(parts[:fixed]) or "/"


def removing_name(name: str) -> str:
    """Return what *name* is called while it goes; an empty text when that would be too long a name."""
    hidden = f".{name}{REMOVING}"
    return hidden if len(os.fsencode(hidden)) <= _LONGEST_NAME else ""


def removed_name(hidden: str) -> str:
    """Return what *hidden* was called before it was to go; an empty text when it is no such name."""
    is_one = hidden.startswith(".") and hidden.endswith(REMOVING)
    return hidden[1 : -len(REMOVING)] if is_one else ""


def identity_of(status: os.stat_result, below: str = "") -> Identity:
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return Identity(status.st_dev, status.st_ino, size, 0 if below else status.st_mtime_ns, below)


def fingerprint(top: str) -> str:
    """Return a digest over names, sizes and times of all that is below *top*. Raises ``OSError``."""
    digest = hashlib.sha256()
    for path, status in files_in(top):
        line = f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {path}\0"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def companions_of(name: str, names: set[str], backups: set[str]) -> tuple[str, ...]:
    """Return what among *names* stands beside *name* and is its own: digests, manifest, lists, and their signatures.

    Each is that name and a known ending; another backup (*backups*) is never one.
    """
    found = []
    for suffix in _SUFFIXES:
        for ending in ("", *signature.SUFFIXES):
            one = name + suffix + ending
            if one in names and one not in backups and one not in found:
                found.append(one)
    return tuple(found)


def survey(rules: Rules, now: datetime) -> list[Facts]:
    """Return what there is of each series of *rules*, in their order."""
    surveyor = _Surveyor(rules, now)
    snapshot = collect(surveyor.policy, now)
    facts = [surveyor.facts(series, found) for series, found in zip(rules.policy.series, snapshot.found)]
    seen = Counter(candidate.path for one in facts for candidate in one.candidates)
    return [replace(one, shared=tuple(each.path for each in one.candidates if seen[each.path] > 1)) for one in facts]


class _Surveyor:
    def __init__(self, rules: Rules, now: datetime) -> None:
        self._rules = rules
        self._now = now
        self._finder = Finder()
        self._real: dict[str, bool] = {}
        bare = tuple(as_seen(series, model.PRESENCE) for series in rules.policy.series)
        self.policy: Policy = replace(rules.policy, series=bare, write_state=False, parallel=1, nice=0, idle_io=False)
        self._beside = Beside(self.policy, self._finder)
        self._ahead = self._recorded_ahead()

    def _recorded_ahead(self) -> str:
        """Say when something was verified later than now: then the clock has gone back."""
        path = self._rules.policy.state_file
        try:
            latest = max((one.at for one in history.read(path)), default=None) if path else None
        except StateError:
            return ""  # nothing is remembered then, and nothing counts as verified by it
        if latest is not None and latest > self._now + model.FUTURE_TOLERANCE:
            return f"a backup was verified at {rfc3339(latest)}, which is later than now"
        return ""

    def facts(self, series: Series, found: Found) -> Facts:
        base = base_of(series.pattern)
        listed = {file.path for file in found.files}
        seen = [self._candidate(series, file, base, listed) for file in found.files]
        candidates = [one for one in seen if isinstance(one, Candidate)]
        candidates.sort(key=lambda one: (one.taken_at, one.path), reverse=True)
        leftovers, unseen = self._leftovers(series, base, listed)
        failures = [f"{one.path} {one.reason}" for one in found.failures]
        return Facts(
            series=series,
            base=base,
            candidates=tuple(candidates),
            asides=tuple(one for one in seen if isinstance(one, Aside)),
            leftovers=tuple(leftovers),
            blind=next(iter([*failures, *unseen]), ""),
            ahead=self._in_the_future(candidates) or self._ahead,
        )

    def _in_the_future(self, candidates: Iterable[Candidate]) -> str:
        limit = self._now + model.FUTURE_TOLERANCE
        ahead = [one for one in candidates if max(one.taken_at, _changed_at(one)) > limit]
        if not ahead:
            return ""
        at = max(ahead[0].taken_at, _changed_at(ahead[0]))
        return f"{ahead[0].path} is of {rfc3339(at)}, which is later than now"

    # --- one backup

    def _candidate(self, series: Series, file: BackupFile, base: str, listed: set[str]) -> Candidate | Aside:
        path = file.path
        try:
            status = os.lstat(path)
        except OSError as error:
            return Aside(path, f"cannot be looked at: {error.strerror}")
        if stat.S_ISLNK(status.st_mode) or not self._is_real(os.path.dirname(path), base):
            return Aside(path, "is, or lies behind, a symbolic link", "backup.prune_link")
        if series.time_from != model.FROM_MTIME and file.taken_from == model.FROM_MTIME:
            return Aside(path, "carries no time, in its name or elsewhere", "backup.prune_untimed", status.st_size)
        below = ""
        if stat.S_ISDIR(status.st_mode):
            unknown = self._unknown_in(file)
            if unknown:
                return Aside(path, unknown, "backup.prune_unknown_directory")
            below = fingerprint(path)
        elif not stat.S_ISREG(status.st_mode):
            return Aside(path, "is no file", "backup.prune_link")
        names = self._finder.names(os.path.dirname(path))
        backups = {os.path.basename(one) for one in listed if os.path.dirname(one) == os.path.dirname(path)}
        companions = companions_of(os.path.basename(path), names, backups) if not below or names else ()
        state, why = first_look(file, self._rules, as_seen(series, model.PRESENCE), self._now)
        if identity_of(status).size != file.size and not below:
            state, why = UNKNOWN, "it changed while it was looked at"
        return Candidate(
            path=path,
            base=base,
            taken_at=file.taken_at,
            time_from=file.taken_from,
            identity=identity_of(status, below),
            directory=bool(below),
            bytes=_bytes_of(path, status, companions),
            links=1 if below else status.st_nlink,
            companions=companions,
            state=state,
            why=why,
            of_series=file.manifest.series if file.manifest is not None else "",
            dated=_dated_above(path, base),
        )

    def _is_real(self, directory: str, base: str) -> bool:
        """True when no link leads from *base* to *directory*."""
        if directory == base:
            return True
        if len(directory) <= len(base):
            return False
        if directory not in self._real:
            self._real[directory] = not os.path.islink(directory) and self._is_real(os.path.dirname(directory), base)
        return self._real[directory]

    def _unknown_in(self, file: BackupFile) -> str:
        """Return why nobody can say that all in the directory belongs to the backup; an empty text when one can."""
        path = file.path
        try:
            inside = dict(files_in(path))
            device = os.lstat(path).st_dev
            foreign = any(os.lstat(os.path.join(path, os.path.dirname(one))).st_dev != device for one in inside)
        except OSError as error:
            return f"has a directory in it that cannot be listed: {error.strerror}"
        if foreign:
            return "has another file system in it"
        parts = set(self._beside.parts(file))
        names = {name for name in inside if not is_companion(os.path.basename(name))}
        if parts:
            strange = sorted(names - parts)
            return f"has files in it that its maker did not list, such as {strange[0]}" if strange else ""
        if file.described is not None:
            return "has a manifest that does not list what is in it"
        if self._finder.is_backup_directory(path):
            return ""
        by_day = time_in([os.path.basename(path)]) is not None and bool(names)
        if by_day and all("/" not in name and _is_backup(name, inside[name]) for name in names):
            return ""
        return "is a directory in which there is more than backups"

    # --- what is left of others

    def _leftovers(self, series: Series, base: str, listed: set[str]) -> tuple[list[Leftover], list[str]]:
        """Return what is left of runs that ended, and what could not be looked at."""
        found, unseen = [], []
        wanted = os.path.basename(series.pattern.rstrip("/"))
        wanted = "*" if wanted == "**" else wanted
        for place in _places(series.pattern, base):
            try:
                with os.scandir(place) as entries:
                    names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
            except FileNotFoundError:
                continue
            except OSError as error:
                unseen.append(f"{place} cannot be listed: {error.strerror}")
                continue
            backups = {os.path.basename(one) for one in listed if os.path.dirname(one) == place}
            for name, kind in _left(names, wanted, backups):
                one = self._leftover(os.path.join(place, name), base, kind)
                if one is not None:
                    found.append(one)
        return found, unseen

    def _leftover(self, path: str, base: str, kind: str) -> Leftover | None:
        try:
            status = os.lstat(path)
        except OSError:
            return None  # whoever made it has finished meanwhile
        if stat.S_ISLNK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and kind != CUT_OFF):
            return None
        age = self._now.timestamp() - max(status.st_mtime, status.st_ctime)
        return Leftover(path, base, kind, age, status.st_size, identity_of(status))


def as_seen(series: Series, level: str) -> Series:
    """Return *series* without what is not needed to judge its files."""
    return replace(
        series,
        level=level,
        keep=None,
        schedule=None,
        globals="",
        sites=(),
        size_band=None,
        gap_window=0,
        immutable=False,
    )


def _changed_at(candidate: Candidate) -> datetime:
    if candidate.directory:
        return candidate.taken_at
    return datetime.fromtimestamp(candidate.identity.mtime_ns / 1e9, candidate.taken_at.tzinfo)


def _bytes_of(path: str, status: os.stat_result, companions: Iterable[str]) -> int:
    own = status.st_size
    if stat.S_ISDIR(status.st_mode):
        own = sum(one.st_size for _name, one in files_in(path) if stat.S_ISREG(one.st_mode))
    beside = 0
    for name in companions:
        try:
            beside += os.lstat(os.path.join(os.path.dirname(path), name)).st_size
        except OSError:
            continue  # gone, and of no size
    return own + beside


def _dated_above(path: str, base: str) -> int:
    """Return how many of the directories above *path* and below *base* carry a time, counted from the nearest."""
    directory, count = os.path.dirname(path), 0
    while len(directory) > len(base) and time_in([os.path.basename(directory)]) is not None:
        count += 1
        directory = os.path.dirname(directory)
    return count


def _is_backup(name: str, status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and bool(promised_formats(name) or name.endswith((".dump", ".dmp", ".archive")))


def _places(pattern: str, base: str) -> Iterator[str]:
    """Yield the directories that the directory part of *pattern* leads to; no link below *base* is followed."""
    directory = os.path.dirname(pattern.rstrip("/"))
    places = [base]
    for part in filter(None, directory[len(base) :].split("/")):
        if part == "**":
            places = [below for place in places for below, _folders, _files in os.walk(place)]
        else:
            places = [
                os.path.join(place, name)
                for place in places
                for name in _folders_in(place)
                if fnmatch.fnmatchcase(name, part) and (not name.startswith(".") or part.startswith("."))
            ]
    if os.path.basename(pattern.rstrip("/")) == "**":
        places = [below for place in places for below, _folders, _files in os.walk(place)]
    yield from dict.fromkeys(places)


def _folders_in(place: str) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []  # told by whoever lists it for the backups


def _left(names: Mapping[str, bool], wanted: str, backups: set[str]) -> Iterator[tuple[str, str]]:
    """Yield what of *names* is left of somebody's work on what *wanted* matches, and what kind of thing it is."""

    def ours(name: str) -> bool:
        return fnmatch.fnmatchcase(name, wanted) and (not name.startswith(".") or wanted.startswith("."))

    for name in sorted(names):
        stem = next((name[: -len(suffix)] for suffix in PARTIAL_SUFFIXES if name.endswith(suffix)), "")
        before = removed_name(name)
        if before and ours(before):
            yield name, CUT_OFF
        elif stem and (ours(stem) or ours(name) or ours(_owner_of(stem))):
            yield name, PARTIAL
        elif name not in backups and not names[name]:
            owner = _owner_of(name)
            gone = owner not in names and removing_name(owner) not in names
            unfinished = any(owner + suffix in names for suffix in PARTIAL_SUFFIXES)
            if owner != name and gone and not unfinished and ours(owner) and not is_companion(owner):
                yield name, ORPHAN


def _owner_of(name: str) -> str:
    """Return the backup that a companion called *name* belongs to; *name* itself when it is none."""
    for _layer in range(2):
        suffix = next((one for one in _SUFFIXES if name.endswith(one) and len(name) > len(one)), "")
        if not suffix:
            break
        name = name[: -len(suffix)]
    return name
