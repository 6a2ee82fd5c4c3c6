# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what ``files`` means: paths, directories, globs. Bounded in depth, count and time; loops do no harm."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import kind_of, shown
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, Failure
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

# So many entries of a directory are read between two looks at the clock.
_AT_ONCE = 5000


@dataclass(frozen=True)
class Search:
    """How directories are walked. ``max_depth`` counts the levels below the one that was named."""

    recurse: bool
    max_depth: int
    follow: bool
    patterns: tuple[str, ...]
    excludes: tuple[str, ...]
    max_files: int


class Finder:
    """Collects ``paths``; what could not be searched is in ``failures``, by its own path.

    The same file met twice (by links, by overlapping globs) is taken once; what a user names in full is always taken.
    """

    def __init__(self, search: Search, deadline: Deadline) -> None:
        self.paths: list[str] = []
        self.failures: dict[str, Failure] = {}
        self.too_deep: list[str] = []
        self.searching = ""
        self._search = search
        self._deadline = deadline
        self._files: set[tuple[int, int]] = set()
        self._closed = False  # whether some directory of the entry at hand could not be searched

    def find(self, entries: Sequence[str]) -> None:
        """Take each of *entries*; those that name one file come first, so that their names are the ones reported."""
        searched = []
        try:
            for entry in dict.fromkeys(entries):
                self.searching = entry
                if os.path.isdir(entry) or _is_glob(entry):
                    searched.append(entry)
                else:
                    self._take(entry, entry, always=True)
            for entry in searched:
                self.searching = entry
                self._search_in(entry)
        except CannotLook as limit:
            self.failures[str(limit.evidence["path"])] = limit.failure

    def _search_in(self, entry: str) -> None:
        self._closed = False
        found = self._walk(entry) if os.path.isdir(entry) else self._glob(entry)
        if not found and not self._closed:
            self.failures[entry] = self._nothing(entry)

    def _nothing(self, entry: str) -> Failure:
        if not os.path.isdir(entry):
            return Failure(
                "not_found",
                f"No file matches {shown(entry)}.",
                "Correct the pattern, or take it out.",
                {"path": shown(entry)},
            )
        deeper = "" if self._search.recurse else ", and recurse is off"
        return Failure(
            "empty",
            f"The directory {shown(entry)} holds no file that matches {', '.join(self._search.patterns)}{deeper}.",
            "Name the certificate itself, set recurse to true, or change patterns.",
            {"path": shown(entry)},
        )

    def _walk(self, top: str) -> bool:
        """Take what matches below *top*; True when something did, taken before or not."""
        found = False
        pending = [(top, 0)]
        seen: set[tuple[int, int]] = set()
        while pending:
            directory, depth = pending.pop()
            if not self._enter(directory, seen):
                continue
            below = []
            for entry in self._entries(directory, top, self._matches):
                if entry.is_symlink() and not self._search.follow:
                    continue
                if _is_directory(entry):
                    below.append(entry.path)
                elif self._matches(entry.name):
                    found = True
                    self._take(entry.path, top)
            if self._search.recurse:
                pending += self._deeper(below, depth)
        return found

    def _deeper(self, directories: list[str], depth: int) -> list[tuple[str, int]]:
        if depth < self._search.max_depth:
            return [(path, depth + 1) for path in reversed(directories)]
        self.too_deep += directories
        return []

    def _glob(self, pattern: str) -> bool:
        """Take what *pattern* matches, component by component; ``**`` is any number of directories."""
        found = False
        base, parts = _split(pattern)
        pending = [(base, 0, 0)]
        seen: dict[int, set[tuple[int, int]]] = {index: set() for index in range(len(parts))}
        while pending:
            directory, index, depth = pending.pop()
            part, last = parts[index], index == len(parts) - 1
            if not self._enter(directory, seen[index], optional=True):
                continue
            if part == "**":
                found_here = self._entries(directory, pattern, lambda _name: False)
                below = [entry.path for entry in found_here if self._may_enter(entry)]
                pending += [(path, index, level) for path, level in self._deeper(below, depth)]
                pending.append((directory, index + 1, depth))
                continue
            for entry in self._entries(directory, pattern, partial(_fits, part=part)):
                if not _fits(entry.name, part):
                    continue
                if not last and _is_directory(entry):
                    pending.append((entry.path, index + 1, depth))
                elif last and not _is_directory(entry):
                    found = True
                    self._take(entry.path, pattern)
        return found

    def _may_enter(self, entry: os.DirEntry[str]) -> bool:
        return (
            _is_directory(entry) and not entry.name.startswith(".") and (self._search.follow or not entry.is_symlink())
        )

    def _enter(self, directory: str, seen: set[tuple[int, int]], optional: bool = False) -> bool:
        """True when *directory* is there and was not entered yet: so no loop of links is endless."""
        try:
            status = os.stat(directory)
        except OSError as error:
            if not (optional and isinstance(error, FileNotFoundError)):
                self._fail(directory, error)
            return False
        key = (status.st_dev, status.st_ino)
        if key in seen:
            return False
        seen.add(key)
        return True

    def _entries(self, directory: str, origin: str, matches: Callable[[str], bool]) -> list[os.DirEntry[str]]:
        """Return the directories in *directory* and the files whose names match, by name."""
        if self._deadline.expired:
            raise self._not_in_time(origin)
        entries = []
        try:
            with os.scandir(directory) as listing:
                # Of a directory with millions of files only those are kept that matter, and the clock is looked at.
                for number, entry in enumerate(listing, 1):
                    if number % _AT_ONCE == 0 and self._deadline.expired:
                        raise self._not_in_time(origin)
                    if matches(entry.name) or _is_directory(entry):
                        entries.append(entry)
        except OSError as error:
            self._fail(directory, error)
            return []
        return sorted(entries, key=lambda entry: entry.name)

    def _not_in_time(self, origin: str) -> CannotLook:
        return CannotLook(
            "deadline",
            f"The search of {shown(origin)} was not finished in time.",
            "Name fewer or smaller directories, or give the check a longer deadline.",
            path=shown(origin),
        )

    def _fail(self, directory: str, error: OSError) -> None:
        self._closed = True
        self.failures[directory] = Failure(
            kind_of(error),
            f"The directory {shown(directory)} cannot be searched: {error.strerror}.",
            "Run the check as a user that may read it, or exclude it.",
            {"path": shown(directory), "errno": error.errno},
        )

    def _matches(self, name: str) -> bool:
        search = self._search
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in search.patterns) and not any(
            fnmatch.fnmatchcase(name, pattern) for pattern in search.excludes
        )

    def _take(self, path: str, origin: str, always: bool = False) -> None:
        try:
            status = os.stat(path)
        except OSError:
            pass  # whoever reads it says what is wrong with it
        else:
            key = (status.st_dev, status.st_ino)
            if key in self._files and not always:
                return
            self._files.add(key)
        if len(self.paths) >= self._search.max_files:
            raise CannotLook(
                "too_many_files",
                f"{shown(origin)} holds more files than max_files ({self._search.max_files}): no more are looked at.",
                "Name fewer directories, or raise max_files.",
                path=shown(origin),
            )
        self.paths.append(path)


def _is_glob(path: str) -> bool:
    """A file whose name really has a bracket or a star in it is that file."""
    return glob.has_magic(path) and not os.path.lexists(path)


def _split(pattern: str) -> tuple[str, list[str]]:
    """Return the directory before the first wildcard, and the components from there on."""
    parts = [part for part in pattern.split("/") if part]
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    rest = parts[first:]
    if rest[-1] == "**":
        rest.append("*")
    return "/" + "/".join(parts[:first]), rest


def _fits(name: str, part: str) -> bool:
    """As in a shell, a wildcard at the start does not stand for a dot."""
    return fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a loop: reading it as a file says so
