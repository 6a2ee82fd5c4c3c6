# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what ``sha256sum`` writes, for one file or for many. Pure. The files that it names are never opened."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass

# Beside a file, in this order; then one for the whole directory.
SUFFIXES = (".sha256", ".sha256sum")
LISTS = ("SHA256SUMS", "SHA256SUMS.txt", "sha256sums", "sha256sums.txt", "sha256sum.txt")

# What stands beside backups and is none.
COMPANIONS = (
    *SUFFIXES,
    *(".sha512", ".sha512sum", ".sha1", ".sha1sum", ".md5", ".md5sum", ".b2", ".b3"),
    *(".sig", ".minisig", ".asc.sig", ".gpgsig", ".sha256.asc", ".json.asc", "SHA256SUMS.asc"),
    *(".manifest", ".manifest.json", ".members"),
)
COMPANION_NAMES = frozenset((*LISTS, "SHA512SUMS", "SHA1SUMS", "MD5SUMS", "B2SUMS"))

LARGEST = 8 << 20

_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{64})(?:\s[ *]?(.+))?$")
_BSD_LINE = re.compile(r"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})$")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


@dataclass(frozen=True)
class Entry:
    """One line: the digest in lower case, and the name that it was written for (empty when it has none)."""

    sha256: str
    name: str

    @property
    def basename(self) -> str:
        return os.path.basename(self.name)


def is_companion(name: str) -> bool:
    return name.endswith(COMPANIONS) or name in COMPANION_NAMES


def parse(text: str) -> list[Entry]:
    """Return the entries of *text* in the form of ``sha256sum`` or of BSD; other lines are left out."""
    entries = []
    for line in text.splitlines():
        match, bsd = _LINE.match(line.strip("\ufeff \t")), _BSD_LINE.match(line)
        if bsd is not None:
            entries.append(Entry(bsd[3].lower(), _unescaped(bsd[2], bool(bsd[1]))))
        elif match is not None:
            entries.append(Entry(match[2].lower(), _unescaped(match[3] or "", bool(match[1]))))
    return entries


def _unescaped(name: str, escaped: bool) -> str:
    return re.sub(r"\\[\\nr]", lambda match: _ESCAPES[match[0]], name) if escaped else name


class Digests:
    """The digests of one sidecar, or of the list for a directory. A list may speak of 100,000 files."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._by_basename: dict[str, list[Entry]] = {}
        for entry in entries:
            self._by_basename.setdefault(entry.basename, []).append(entry)

    def of(self, path: str, own: bool) -> Entry | None:
        """Return the entry that speaks of *path*.

        Copies move files about, so the last part of the name decides when the whole does not. In the sidecar of one
        file (*own*) every entry is that file's, whatever its name. ``None`` when there is none, or two that disagree.
        """
        directory, basename = os.path.split(path)
        named = self._by_basename.get(basename, [])
        whole = [entry for entry in named if os.path.normpath(os.path.join(directory, entry.name)) == path]
        candidates = whole or named or (self._entries if own else [])
        return candidates[-1] if len({entry.sha256 for entry in candidates}) == 1 else None

    def by_name(self, directory: str) -> dict[str, str]:
        """Return the digests of the files below *directory*, by their names relative to it; others are left out."""
        named: dict[str, str] = {}
        for entry in self._entries:
            name = os.path.normpath(entry.name) if entry.name else ""
            if os.path.isabs(name):
                name = os.path.relpath(name, directory)
            if name and not name.startswith("../"):
                named[name] = entry.sha256
        return named
