# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What proves that a backup is whole: a look at it now, or one that was recorded and since which it has not changed."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import of_file
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import (
    BAD,
    DOUBTFUL,
    NOW,
    UNKNOWN,
    VERIFIED,
    Rules,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

# That nobody can look inside does not speak against a file that is, byte for byte, what its maker wrote.
_CANNOT_LOOK_INSIDE = frozenset(
    ("backup.no_key", "backup.tool_missing", "backup.unsupported", "backup.unauthenticated_encryption")
)
_GOOD = ("ok", "info")


def first_look(file: BackupFile, rules: Rules, series: Series, now: datetime) -> tuple[str, str]:
    """Return what is known of *file* without reading it, and where from."""
    against = [one for one in of_file(file, series, rules.policy) if one.severity is Severity.CRITICAL]
    if against:
        return BAD, _told(against[0], file)
    manifest = file.manifest
    if manifest is not None and file.kind == model.FILE and manifest.stored_size != file.size:
        return BAD, f"it has {file.size} bytes, and its manifest says {manifest.stored_size}"
    earlier = file.earlier
    if earlier is None or rules.proof == NOW:
        return UNKNOWN, "nobody has verified it"
    age = (now - earlier.at).total_seconds()
    reached = earlier.level in model.LEVELS and _rank(earlier.level) >= _rank(rules.proof_level)
    same = not file.wanted_sha256 or file.wanted_sha256 == earlier.sha256
    if earlier.status not in _GOOD:
        return UNKNOWN, f"it was {earlier.status} when it was verified at {rfc3339(earlier.at)}"
    if not reached or not same or (rules.proof_age and age > rules.proof_age):
        why = "not closely enough" if not reached else "with another digest" if not same else "too long ago"
        return UNKNOWN, f"it was verified at {rfc3339(earlier.at)}, {why}"
    return VERIFIED, f"verified at {rfc3339(earlier.at)} ({earlier.level}), and not changed since"


def _rank(level: str) -> int:
    return model.LEVELS.index(level)


class Prover:
    """Reads backups; all that are read share the time that the policy gives."""

    def __init__(self, rules: Rules, now: datetime) -> None:
        self._rules = rules
        self._now = now
        self._deadline = Deadline(rules.policy.seconds)

    def prove(self, series: Series, paths: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return what each of *paths*, backups of *series*, turned out to be, and why."""
        left = self._deadline.remaining
        if left is not None and not left:
            limit = format_duration(self._rules.policy.seconds)
            return dict.fromkeys(paths, (DOUBTFUL, f"it was not read: the timeout of {limit} was over"))
        policy = self._rules.policy
        each = tuple(replace(series, pattern=glob.escape(path), level=self._rules.proof_level) for path in paths)
        snapshot = collect(replace(policy, series=each, seconds=left or policy.seconds), self._now)
        proved = {}
        for path, found in zip(paths, snapshot.found):
            file = next((one for one in found.selected if one.path == path), None)
            proved[path] = (DOUBTFUL, "it is not there any more") if file is None else self._judged(file, series)
        return proved

    def _judged(self, file: BackupFile, series: Series) -> tuple[str, str]:
        content = file.content
        found = list(of_file(file, series, self._rules.policy))
        made = file.wanted_sha256
        if made and content is not None and content.stored_sha256 == made:
            found = [one for one in found if one.code not in _CANNOT_LOOK_INSIDE]
            how = "as its maker wrote it"
        else:
            how = "whole by its own check values"
        worst = max(found, key=lambda one: one.severity, default=None)
        if worst is not None and worst.severity > Severity.INFO:
            return BAD if worst.severity is Severity.CRITICAL else DOUBTFUL, _told(worst, file)
        if content is None or (not content.whole and not made):
            return DOUBTFUL, "it was not read to its end"
        return VERIFIED, f"read now ({self._rules.proof_level}): {how}"


def _told(finding: Finding, file: BackupFile) -> str:
    """Return the message without its subject, so that it can follow one."""
    text = finding.message.rstrip(".")
    said = f"it {text[len(file.path) + 1 :]}" if text.startswith(f"{file.path} ") else text
    return f"{said} ({finding.code})"
