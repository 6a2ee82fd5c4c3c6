# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the job, of the one family."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size


class BackupFailed(UpkeepError):
    """A backup was begun, and is not there: why, in the words of the program that failed."""


class NoRoom(UpkeepError):
    """There is no room for the backup, or it was used up meanwhile."""

    def __init__(self, directory: str, what: str, evidence: dict[str, object]) -> None:
        super().__init__(
            f"There is no room in {directory}: {what}.",
            "Make room or enlarge the disk (backup_prune removes what need not stay), or change headroom and min_free.",
            {"class": "scratch_full", "directory": directory, **evidence},
        )


class VersionIncompatible(UpkeepError):
    """No program that is here can dump that server."""

    def __init__(self, server: int, found: Sequence[str]) -> None:
        listed = f"there is {', '.join(found)}" if found else "there is none"
        super().__init__(
            f"The server is PostgreSQL {server}, and pg_dump must be of {server} or later: {listed}.",
            f"Install postgresql-client-{server}, or name its directory in bin_dir.",
            {"class": "version_incompatible", "server_major": server, "found": list(found)},
        )


def size_words(expected: int, free: int) -> str:
    return f"the backup will take about {format_size(expected)}, and {format_size(free)} are free"
