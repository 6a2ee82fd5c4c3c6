# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide whether a backup is needed, and whether there is room for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Earlier, Facts, Job
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import FUTURE_TOLERANCE
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

# Of what a dump has in plain text, about so much is left. Only for the very first backup of a series.
_PACKED, _UNPACKED = 0.6, 1.1


def why_not_needed(job: Job, earlier: Sequence[Earlier], now: datetime) -> str:
    """Return why no backup is needed now; an empty text when one is.

    A job that runs once a day must not leave out a day because it began a minute earlier than the day before: hence
    *every* less *grace*.
    """
    if job.always:
        return ""
    believed = [one for one in earlier if one.manifest.taken_at <= now + FUTURE_TOLERANCE]
    if not believed:
        return ""
    newest = max(believed, key=lambda one: one.manifest.taken_at)
    age = (now - newest.manifest.taken_at).total_seconds()
    due = max(0.0, job.every - job.grace)
    if age >= due:
        return ""
    return (
        f"the newest, {newest.path}, was taken at {rfc3339(newest.manifest.taken_at)}, "
        f"{format_duration(max(0.0, age))} ago; the next is due {format_duration(due)} after it "
        f"(every {format_duration(job.every)}, grace {format_duration(job.grace)})"
    )


def expected_bytes(job: Job, facts: Facts, earlier: Sequence[Earlier], packed: bool) -> int:
    """Return about how large the backup will be: as the one before, grown as the data have grown since."""
    same = [one.manifest for one in earlier if one.manifest.stored_size]
    if not same:
        return round(facts.bytes * (_PACKED if packed else _UNPACKED))
    last = max(same, key=lambda manifest: manifest.taken_at)
    grown = facts.bytes / last.source.bytes if facts.bytes and last.source.bytes else 1.0
    return round(last.stored_size * max(1.0, grown))


def room_short(job: Job, expected: int, free: int) -> int:
    """Return how many bytes are lacking for a backup of the *expected* size; 0 when there is room."""
    return max(0, round(expected * job.headroom) + job.min_free - free)
