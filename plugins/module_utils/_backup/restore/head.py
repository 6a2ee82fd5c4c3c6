# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive of ``pg_dump`` says of itself at its beginning: enough to make a server ready while it is read."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.filed import TOC_NAME
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Limits
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.toc import Step, TocReader
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

_PIECE = 1 << 16
_LONGEST = 256 << 20
_TAR_BLOCK = 512


@dataclass(frozen=True)
class Head:
    """What a server for the dump must be like. Versions are empty where they are not known."""

    format: str
    database: str = ""
    server_version: str = ""
    tool_version: str = ""
    encoding: str = ""
    extensions: tuple[str, ...] = ()
    cluster: bool = False


class _Toc(TocReader):
    """Reads the table of contents and nothing behind it."""

    def __init__(self, filed: bool) -> None:
        self._filed = filed
        super().__init__(Report(Limits(1 << 62, 1e18, 1), Deadline(None), counting=False, structure=False))

    def _walk(self) -> Step:
        yield from self._contents()

    def _place(self, number: int) -> Generator[None, None, tuple[int | None, str]]:
        if not self._filed:
            return (yield from super()._place(number))
        return None, (yield from self._name()) or ""

    @property
    def done(self) -> bool:
        return self._done

    def head(self, form: str) -> Head:
        told = self._told
        return Head(
            form, told.database or "", told.server or "", told.tool or "", told.encoding or "", tuple(told.extensions)
        )


def head_of(path: str) -> Head | None:
    """Return what the archive at *path* says; ``None`` when it is none, or is wrapped in something.

    Raises nothing: whether it is whole is for others to find out.
    """
    try:
        if os.path.isdir(path):
            return _read(os.path.join(path, TOC_NAME), detect.PGDUMP_DIRECTORY, 0)
        with open(path, "rb") as stream:
            found = detect.detect(stream.read(detect.HEAD_BYTES))
        if found == detect.PGDUMP_CUSTOM:
            return _read(path, found, 0)
        return _read(path, found, _TAR_BLOCK) if found == detect.PGDUMP_TAR else None
    except OSError:
        return None


def _read(path: str, form: str, start: int) -> Head | None:
    toc = _Toc(form != detect.PGDUMP_CUSTOM)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        stream.seek(start)
        try:
            for _piece in range(_LONGEST // _PIECE):
                piece = stream.read(_PIECE)
                if not piece or toc.done:
                    break
                toc.feed(piece)
        except Damage:
            return None
    return toc.head(form) if toc.done else None
