# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the first bytes of a dump say about when it was taken, without reading on. Nothing is trusted but their form."""

from __future__ import annotations

import bz2
import lzma
import os
import stat
from datetime import datetime
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter, detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.custom import CustomDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Limits
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.plain import PlainDump
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

_HEAD = 1 << 16
_DEEPEST = 4


def dumped_at(path: str) -> datetime | None:
    """Return when the dump at *path* says that it was taken: a local time of the host that dumped, without its zone.

    ``None`` when it does not say so: a plain dump does only with ``--verbose``, and what is encrypted or in zstd or lz4
    is not looked into.
    """
    head = _head_of(path)
    for _layer in range(_DEEPEST):
        found = detect.detect(head[: detect.HEAD_BYTES])
        if found not in _UNFOLDERS:
            break
        head = _UNFOLDERS[found](head)
    created = _created(found, head)
    if created is None:
        return None
    try:
        return datetime.fromisoformat(created)
    except ValueError:
        return None


def _head_of(path: str) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            return stream.read(_HEAD) if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else b""
    except OSError:
        return b""


def _gunzipped(head: bytes) -> bytes:
    try:
        return adapter.new_gunzip().decompress(head, _HEAD)
    except adapter.DEFLATE_ERRORS:
        return b""


def _unfolded(new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Callable[[bytes], bytes]:
    def unfold(head: bytes) -> bytes:
        try:
            return new().decompress(head, _HEAD)
        except (OSError, lzma.LZMAError):
            return b""

    return unfold


_UNFOLDERS: dict[str, Callable[[bytes], bytes]] = {
    detect.GZIP: _gunzipped,
    detect.BZIP2: _unfolded(bz2.BZ2Decompressor),
    detect.XZ: _unfolded(lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=100 << 20)),
}


def _created(found: str, head: bytes) -> str | None:
    report = Report(Limits(1 << 40, 1e9, 1), Deadline(None), counting=False, structure=False)
    if found == detect.PGDUMP_CUSTOM:
        archive = CustomDump(report)
        try:
            archive.feed(head)
        except Damage:
            return None
        return archive.created
    if found in (detect.PGDUMP_PLAIN, detect.PGDUMPALL):
        plain = PlainDump(found, report)
        plain.feed(head)
        return plain.created
    return None
