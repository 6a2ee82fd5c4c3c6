# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unfold a backup again, without judging it, and hand what is innermost to a program. Nothing of it touches a disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import (
    CONTAINERS,
    Damage,
    Report,
    Sink,
    container,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crypt import ENCRYPTED, decrypted
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.frames import Frames
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Decrypt, Limits
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import failed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

READ_BYTES = 1 << 18
# It was judged before; a limit that it passed then is no limit now.
_NO_LIMITS = Limits(1 << 62, 1e18, 64)


class Enough(Exception):
    """Whoever takes the stream wants no more of it."""


class _Handed:
    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def feed(self, data: bytes) -> None:
        self._write(data)

    def finish(self) -> None:
        """It was found whole before."""


def unfold(
    path: str, chain: Sequence[str], decrypt: Decrypt, deadline: Deadline, write: Callable[[bytes], None]
) -> None:
    """Hand the innermost stream of the file *path* to *write*, unfolding the formats in *chain* but for its last.

    Raises ``Failed`` when it cannot be unfolded after all, ``OSError`` when it cannot be read, and what *write* raises;
    ``Enough`` of it ends the work in peace.
    """
    report = Report(_NO_LIMITS, deadline, counting=False, structure=False)
    try:
        sink: Sink = _Handed(write)
        for layer in reversed(chain[:-1]):
            sink = _layer(layer, decrypt, report, sink)
        with open(path, "rb", buffering=0) as stream:
            for piece in iter(lambda: stream.read(READ_BYTES), b""):
                sink.feed(piece)
        sink.finish()
    except Enough:
        return
    except Damage as damage:
        what = f"was not restored: it {damage.problem.what}"
        raise failed(
            "backup.restore_failed", what, unknown=damage.problem.unknown, layer=damage.problem.layer
        ) from None
    finally:
        while report.opened:
            report.opened.pop().close()


def _layer(name: str, decrypt: Decrypt, report: Report, sink: Sink) -> Sink:
    if name in CONTAINERS:
        return container(name, report, sink)
    return decrypted(name, decrypt, report, sink) if name in ENCRYPTED else Frames(name, report, sink)


def is_open(path: str, chain: Sequence[str]) -> bool:
    """True when the file holds its innermost format as it is, so that a program can open it by its path."""
    return len(chain) == 1 or os.path.isdir(path)
