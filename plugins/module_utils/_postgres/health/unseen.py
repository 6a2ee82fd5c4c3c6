# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say of a part that could not be looked at why, and what would mend it. Pure."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.ask import NO_TIME, Failure
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Unseen
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.options import RunOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import quote_name

PERMISSION, TIMEOUT, LOCKED, NO_RELATION = "42501", "57014", "55P03", "42P01"
PRELOAD_MISSING = "55000"

# The predefined role that opens each part. All of pg_monitor is what most installations grant.
_MONITOR, _READ_DATA = "pg_monitor", "pg_read_all_data"
_ROLES = {"sequences": _READ_DATA, "large_objects": _READ_DATA, "bloat": _READ_DATA}


def grant(part: str, user: str) -> str:
    """Return the statement after which *user* may look at *part*."""
    return f"GRANT {_ROLES.get(part, _MONITOR)} TO {one_line(quote_name(user))};"


def not_permitted(part: str, user: str, reason: str = "") -> Unseen:
    return Unseen(
        "pg.health_not_permitted",
        reason or f"the role {one_line(quote_name(user))} is not shown what sessions of others do",
        "Let a superuser grant it:",
        grant(part, user),
        {"role": user},
    )


def unseen(part: str, failure: Failure, user: str, options: RunOptions) -> Unseen:
    """Return what the error of a statement means for *part*."""
    evidence = {"sqlstate": failure.sqlstate}
    said = failure.message.rstrip(".")
    if failure.sqlstate == PERMISSION:
        return not_permitted(part, user, said)
    if failure.sqlstate == NO_TIME:
        limit = format_duration(options.time_limit)
        return not_asked(f"the time_limit of {limit} was over before it was asked for")
    if failure.sqlstate == TIMEOUT:
        return Unseen("pg.health_timed_out", said, CODES["pg.health_timed_out"].remedy, evidence=evidence)
    if failure.sqlstate == LOCKED:
        limit = format_duration(options.session.lock_timeout)
        reason = f"somebody held a lock that it had to wait for longer than {limit}"
        return Unseen("pg.health_locked", reason, CODES["pg.health_locked"].remedy, evidence=evidence)
    if part == "slow_queries" and failure.sqlstate == PRELOAD_MISSING:
        return extension_missing("", loaded=False, installed=True)
    reason = f"{said} (SQLSTATE {failure.sqlstate})"
    return Unseen("pg.health_unreadable", reason, CODES["pg.health_unreadable"].remedy, evidence=evidence)


def not_asked(reason: str = "the time_limit was over before it was asked for") -> Unseen:
    return Unseen("pg.health_out_of_time", reason, CODES["pg.health_out_of_time"].remedy)


def on_standby(part: str) -> Unseen:
    """A standby counts what is read on it and nothing else: there is nothing wrong, and nothing known."""
    reason = {
        "unused_indexes": "a standby counts only what is read on it",
        "last_vacuum": "a standby does not count dead rows: they are its primary's",
    }[part]
    return Unseen("pg.standby_not_judged", reason, CODES["pg.standby_not_judged"].remedy, severity=Severity.INFO)


def counters_off() -> Unseen:
    code = "pg.counters_off"
    reason = "the server does not count what happens to its tables (track_counts is off)"
    return Unseen(code, reason, "Let the server count:", _set_and_reload("track_counts = on"))


def activities_off(sessions: int) -> Unseen:
    reason = f"the activity of {sessions} sessions is not tracked (track_activities is off for them)"
    return Unseen(
        "pg.activities_off",
        reason,
        "Let the server track it, also where a role or a database has its own setting:",
        _set_and_reload("track_activities = on"),
    )


def extension_missing(database: str, loaded: bool, installed: bool = False) -> Unseen:
    """Return what lacks for pg_stat_statements: the extension in a database, its library in the server, or both."""
    code = "pg.statements_missing"
    if installed:
        reason = "pg_stat_statements is not in shared_preload_libraries"
    else:
        reason = f"the extension pg_stat_statements is not in the database {one_line(quote_name(database))}"
    create = "" if installed else "CREATE EXTENSION pg_stat_statements;"
    if loaded:
        return Unseen(code, reason, "Create it there, or in another one of databases:", create)
    preload = "Add pg_stat_statements to shared_preload_libraries in postgresql.conf and restart the server"
    remedy = f"{preload}." if installed else f"{preload}, then create the extension:"
    return Unseen(code, reason, remedy, create)


def _set_and_reload(setting: str) -> str:
    return f"ALTER SYSTEM SET {setting}; SELECT pg_reload_conf();"
