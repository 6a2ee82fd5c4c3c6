# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what a restore would do, and what would be lost by it, before it is done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.model import (
    DATABASE,
    Backup,
    Job,
    Names,
    Present,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size

# Without a test restore of this very series nobody knows better: what a usual disk took (docs/backups/restore.md).
_BYTES_A_SECOND = 40 << 20
_START_SECONDS = 3.0
_NAMED = 10
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Plan:
    """``confirmation`` is the text that the user has to give. ``lines`` are for people, ``record`` has the same."""

    confirmation: str
    lines: tuple[str, ...]
    record: Mapping[str, Any]


def names_of(target: str, now: datetime, separator: str = "_") -> Names:
    """Return the names of a restore at *now*; those of databases may have 63 bytes."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    if separator == "_":
        fresh, before = f"_restoring_{stamp}", f"_before_{stamp}"
        return Names(target, _cut(target, fresh) + fresh, _cut(target, before) + before)
    return Names(target, f"{target}.restoring-{stamp}", f"{target}.before-{stamp}")


def _cut(name: str, ending: str) -> str:
    room = _LONGEST_NAME - len(ending)
    return name.encode("utf-8")[:room].decode("utf-8", "ignore")


def plan(job: Job, backup: Backup, present: Present, names: Names, now: datetime) -> Plan:
    """Return what would be done at *now*, and what the backup does not have."""
    age = (now - backup.taken_at).total_seconds()
    need = backup.source_bytes or 4 * backup.decoded_bytes
    forecast = _START_SECONDS + 2 * need / _BYTES_A_SECOND
    confirmation = f"{names.target}@{job.host}"
    lost = _lost(backup, present)
    lines = [
        f"Restore {backup.file.path} ({format_size(backup.file.size)}, {' in '.join(reversed(backup.chain))}), "
        f"taken {rfc3339(backup.taken_at)}, into {confirmation}.",
        f"Whatever was written there in the {format_duration(max(0.0, age))} since then is not in it.",
        *lost["lines"],
        _present_line(backup, present, names),
        *_attached(present),
        f"It is loaded as {names.fresh}, compared with {_compared_with(backup)}, "
        f"and then takes the name {names.target} in one step. If anything fails before, all stays as it is.",
        f"It needs about {format_size(need)} besides what is there, and about {format_duration(forecast)}.",
    ]
    record = {
        "from": backup.file.path,
        "size": backup.file.size,
        "chain": list(backup.chain),
        "taken_at": rfc3339(backup.taken_at),
        "age_seconds": round(age),
        "to": confirmation,
        "kind": backup.kind,
        "exists": present.exists,
        "present_bytes": present.bytes,
        "sessions": present.sessions,
        "fresh_name": names.fresh,
        "before_name": names.before if present.exists else None,
        "need_bytes": need,
        "forecast_seconds": round(forecast),
        "lost": lost["record"],
    }
    return Plan(confirmation, tuple(line for line in lines if line), record)


def _compared_with(backup: Backup) -> str:
    manifest = backup.file.manifest
    known = manifest is not None and (manifest.rows is not None or manifest.members is not None)
    return "its manifest" if known else "what the backup was found to hold"


def _present_line(backup: Backup, present: Present, names: Names) -> str:
    if not present.exists:
        return f"There is no {names.target} now."
    if backup.kind == DATABASE:
        return (
            f"The database {names.target} that is there now ({format_size(present.bytes)}, {present.sessions} sessions,"
            f" which are ended for the swap) is kept as {names.before}."
        )
    return (
        f"The directory {names.target} that is there now ({format_size(present.bytes)}, {present.files} files) "
        f"is kept as {names.before}."
    )


def _lost(backup: Backup, present: Present) -> dict[str, Any]:
    """Compare the rows of each table now, as the server estimates them, with those in the backup."""
    if not present.exists or backup.rows is None or not present.rows:
        return {"lines": [], "record": {}}
    absent = sorted(set(present.rows) - set(backup.rows))
    more = {
        table: now - backup.rows[table]
        for table, now in present.rows.items()
        if now is not None and table in backup.rows and now > backup.rows[table]
    }
    lines = []
    if absent:
        lines.append(f"{len(absent)} tables that are there now are not in it, such as {absent[0]}.")
    if more:
        most = max(more, key=lambda table: more[table])
        lines.append(
            f"About {sum(more.values())} rows more than in it are there now, in {len(more)} tables, most in {most}."
        )
    largest = dict(sorted(more.items(), key=lambda entry: -entry[1])[:_NAMED])
    return {"lines": lines, "record": {"tables": absent[:_NAMED], "rows": largest}}


def _attached(present: Present) -> list[str]:
    things = [
        f"{len(present.slots)} logical replication slots" if present.slots else "",
        f"{len(present.subscriptions)} subscriptions" if present.subscriptions else "",
        f"{present.prepared} prepared transactions" if present.prepared else "",
    ]
    named = " and ".join(filter(None, things))
    return [f"{named} hang on the database that is there now, and stay with it."] if named else []
