# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a file lie in a git work tree, and does git keep it? Read from git's own files: git itself is not run.

It would refuse to look into a work tree of somebody else, and run what its settings say if it did not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import read_regular
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook

_INDEX_BYTES = 64 * 1024 * 1024
_LINK_BYTES = 4096
# Before its name, an entry has times, numbers and a hash (of 20 bytes, or of 32 in the newer form), then the flags.
_FIXED = 40
_EXTENDED = 0x4000
# Extensions that say that this is not all: most entries are in a shared index, or whole directories are one entry.
_IN_PARTS = frozenset((b"link", b"sdir"))


class WorkTrees:
    """Answers for many files; each directory is looked at once, and each index read once."""

    def __init__(self) -> None:
        # Written by several threads, each of which would write the same.
        self._roots: dict[str, Optional[str]] = {}
        self._tracked: dict[str, Optional[frozenset[bytes]]] = {}

    def of(self, folder: str) -> Optional[str]:
        """Return the top of the work tree that *folder* (a real path) lies in, or None."""
        if folder not in self._roots:
            above = os.path.dirname(folder)
            here = os.path.lexists(os.path.join(folder, ".git"))
            self._roots[folder] = folder if here else None if above == folder else self.of(above)
        return self._roots[folder]

    def tracks(self, root: str, path: str) -> Optional[bool]:
        """Return whether git keeps *path* (a real path) in the work tree *root*; None when that cannot be found out."""
        if root not in self._tracked:
            try:
                self._tracked[root] = frozenset(_entries(_index_of(root)))
            except (CannotLook, ValueError):
                self._tracked[root] = None
        tracked = self._tracked[root]
        return None if tracked is None else os.fsencode(os.path.relpath(path, root)) in tracked


def _index_of(root: str) -> bytes:
    """Return the index of a work tree; empty when nothing was ever added. Raises ``CannotLook``, ``ValueError``."""
    place = os.path.join(root, ".git")
    if not os.path.isdir(place):  # a linked work tree or a submodule: a file that says where
        text = read_regular(place, _LINK_BYTES).decode("utf-8", "surrogateescape")
        if not text.startswith("gitdir: "):
            raise ValueError("it does not say where its repository is")
        place = os.path.join(root, text[len("gitdir: ") :].strip())
    try:
        return read_regular(os.path.join(place, "index"), _INDEX_BYTES)
    except CannotLook as error:
        if error.failure.kind == "not_found" and os.path.exists(os.path.join(place, "HEAD")):
            return b""
        raise


def _entries(index: bytes) -> list[bytes]:
    """Return the paths in *index*. Raises ``ValueError`` for a form that is not known."""
    if not index:
        return []
    if index[:4] != b"DIRC":
        raise ValueError("it is no index")
    version, count = int.from_bytes(index[4:8], "big"), int.from_bytes(index[8:12], "big")
    if version not in (2, 3, 4):
        raise ValueError("its version is not known")
    try:
        return _read(index, version, count, hash_bytes=20)
    except (ValueError, IndexError):
        pass
    try:
        return _read(index, version, count, hash_bytes=32)
    except IndexError as error:
        raise ValueError("it is cut off") from error


def _read(index: bytes, version: int, count: int, hash_bytes: int) -> list[bytes]:
    names, position, before = [], 12, b""
    for _number in range(count):
        start = position
        position += _FIXED + hash_bytes
        flags = int.from_bytes(index[position : position + 2], "big")
        position += 4 if version > 2 and flags & _EXTENDED else 2
        kept = b""
        if version == 4:  # of the name before, only its end is replaced
            dropped, position = _varint(index, position)
            kept = before[: len(before) - dropped] if dropped <= len(before) else before
        end = index.index(b"\0", position)
        before = kept + index[position:end]
        if len(before) != flags & 0xFFF and (flags & 0xFFF) != 0xFFF:
            raise ValueError("its entries are of another form")
        names.append(before)
        position = end + 1 if version == 4 else start + (end - start + 8) // 8 * 8
    if not _IN_PARTS.isdisjoint(_extensions(index, position, len(index) - hash_bytes)):
        raise IndexError("other files hold more of it")
    return names


def _extensions(index: bytes, position: int, end: int) -> Iterator[bytes]:
    while position + 8 <= end:
        yield index[position : position + 4]
        position += 8 + int.from_bytes(index[position + 4 : position + 8], "big")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = data[position] & 0x7F
    while data[position] & 0x80:
        position += 1
        value = ((value + 1) << 7) | (data[position] & 0x7F)
    return value, position + 1
