# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of what is in an archive of files, in the order of the archive. Pure but for reading the maker's list.

The maker writes a line for each member (``line_of``) into ``NAME.members`` and the digest of all lines into the
manifest. Whoever verifies makes the same lines while the archive passes: their digest tells whether all is the same,
and the maker's list, read alongside, which member is the first that is not. Neither side ever holds more than a line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """``kind`` is file, directory, symlink, hardlink, device, fifo or other; ``target`` is that of a link."""

    path: str
    kind: str
    size: int = 0
    sha256: str = ""
    target: str = ""


@dataclass(frozen=True)
class Members:
    """All of them: ``sha256`` is that of their lines. ``difference`` is the first that is not in the maker's list."""

    count: int
    bytes: int
    sha256: str
    difference: str = ""


def line_of(member: Member) -> bytes:
    """Return the line of *member*: digest (``-`` for none), kind, size, path and target, parted by tabs."""
    texts = [member.sha256 or "-", member.kind, str(member.size), _escaped(member.path), _escaped(member.target)]
    return "\t".join(texts).rstrip("\t").encode("utf-8", "surrogateescape") + b"\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


class Listing:
    """Collects members. *expected* are the maker's lines; without *digesting* no content is digested."""

    def __init__(self, digesting: bool = False, expected: Iterator[bytes] | None = None) -> None:
        self.digesting = digesting
        self._expected = expected
        self._hash = hashlib.sha256()
        self._count = 0
        self._bytes = 0
        self._difference = ""

    def add(self, member: Member) -> None:
        line = line_of(member)
        self._hash.update(line)
        self._count += 1
        self._bytes += member.size
        if self._expected is not None and not self._difference:
            wanted = next(self._expected, b"")
            if wanted != line:
                self._difference = _shown(wanted, line)

    def result(self) -> Members:
        if self._expected is not None and not self._difference:
            left = next(self._expected, b"")
            if left:
                self._difference = _shown(left, b"")
        sha256 = self._hash.hexdigest() if self.digesting else ""
        return Members(self._count, self._bytes, sha256, self._difference)


def _shown(wanted: bytes, found: bytes) -> str:
    """Return the path at which the two part."""
    return (_path_of(found) or _path_of(wanted))[:200]


def _path_of(line: bytes) -> str:
    parts = line.rstrip(b"\n").split(b"\t")
    return parts[3].decode("utf-8", "backslashreplace") if len(parts) > 3 else ""
