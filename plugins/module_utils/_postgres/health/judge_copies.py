# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what has to do with copies: standbys, slots, and the archive of WAL. Pure."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Archiver,
    Policy,
    Problem,
    Receiver,
    Replication,
    SlotRow,
    Snapshot,
    StandbyRow,
    Verdict,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.unseen import not_permitted
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.words import (
    literal,
    metric,
    not_seen,
    problem,
    sizes,
    times,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import instant

WORKING = ("streaming", "catchup")
SYNCHRONOUS = ("sync", "quorum")
# From 17 on the server says since when a slot is not used.
KNOWS_INACTIVITY = 170000


def replication(snapshot: Snapshot, policy: Policy, seen: Replication) -> Verdict:
    problems: list[Problem] = []
    found: list[Metric] = []
    items: list[dict[str, object]] = []
    if seen.standbys and not snapshot.facts.reads_all_stats:
        why = "how far standbys are is not shown to the role"
        problems.append(
            not_seen("replication", snapshot.subject("standbys"), not_permitted("replication", snapshot.user, why))
        )
    else:
        for standby in seen.standbys:
            problems += _standby(snapshot, policy, standby)
            items.append(_as_item(standby))
            found += _standby_metrics(snapshot, standby)
        problems += _synchronous(snapshot, seen.standbys)
    if seen.receiver is not None:
        problems += _receiver(snapshot, policy, seen.receiver)
        found += _lag_metrics(snapshot, seen.receiver)
        items.append(_receiver_item(seen.receiver))
    for slot in seen.slots:
        problems += _slot(snapshot, policy, slot)
        items.append(slot.as_dict())
        if slot.retained is not None:
            found.append(metric(snapshot, "pg_slot_retained", max(0, int(slot.retained)), "bytes", slot=slot.name))
    behind = [standby.lag_bytes for standby in seen.standbys if standby.lag_bytes is not None]
    if seen.receiver is not None and seen.receiver.lag_bytes is not None:
        behind.append(seen.receiver.lag_bytes)
    threshold = {"bytes": policy.lag_bytes.warning, "seconds": policy.lag_time.warning}
    return Verdict(
        int(max(behind)) if behind else None,
        threshold,
        tuple(items),
        told(problems, snapshot.subject("replication")),
        tuple(found),
    )


# --- standbys, seen from their source ---------------------------------------------------------------------------------


def _standby(snapshot: Snapshot, policy: Policy, standby: StandbyRow) -> list[Problem]:
    subject = snapshot.subject(f"standby {standby.name or standby.address or standby.pid}")
    by_bytes = policy.lag_bytes.severity(standby.lag_bytes or 0.0)
    by_time = policy.lag_time.severity(standby.replay_lag or 0.0)
    problems = []
    if max(by_bytes, by_time) > Severity.OK:
        problems.append(_lagging(snapshot, subject, policy, standby.title, standby.lag_bytes, standby.replay_lag))
    if standby.state not in WORKING:
        problems.append(
            problem(
                "pg.replication_stopped",
                subject,
                Severity.WARNING,
                f"{_capital(standby.title)} is connected, but in the state {standby.state}.",
                _as_item(standby),
            )
        )
    return problems


def _lagging(
    snapshot: Snapshot, subject: str, policy: Policy, who: str, behind: float | None, late: float | None
) -> Problem:
    severity = max(policy.lag_bytes.severity(behind or 0.0), policy.lag_time.severity(late or 0.0))
    after = f" and {format_duration(late)}" if late is not None else ""
    sql = (
        "SELECT pid, usename, xact_start, wait_event FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "ORDER BY xact_start;"
    )
    return problem(
        "pg.replication_lag",
        subject,
        severity,
        f"{_capital(who)} is {format_size(behind or 0.0)}{after} behind ({sizes(policy.lag_bytes)}; "
        f"{times(policy.lag_time)}).",
        {"lag_bytes": int(behind or 0), "lag_seconds": None if late is None else round(late, 3)},
        "Look at its load, disk and network, and on the standby at long queries:",
        sql,
    )


def _synchronous(snapshot: Snapshot, standbys: tuple[StandbyRow, ...]) -> list[Problem]:
    wanted = snapshot.facts.settings.get("synchronous_standby_names") == "true" and not snapshot.in_recovery
    if not wanted or any(standby.sync_state in SYNCHRONOUS for standby in standbys):
        return []
    return [
        problem(
            "pg.replication_stopped",
            snapshot.subject("synchronous_standby_names"),
            Severity.CRITICAL,
            "Commits must wait for a synchronous standby, and none is connected: they wait for ever.",
            {"standbys": len(standbys)},
            "Bring the standby back, or let commits go on without one:",
            "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();",
        )
    ]


def _as_item(standby: StandbyRow) -> dict[str, object]:
    return {
        "standby": standby.name,
        "address": standby.address,
        "state": standby.state,
        "sync_state": standby.sync_state,
        "lag_bytes": None if standby.lag_bytes is None else int(standby.lag_bytes),
        "lag_seconds": None if standby.replay_lag is None else round(standby.replay_lag, 3),
    }


def _standby_metrics(snapshot: Snapshot, standby: StandbyRow) -> list[Metric]:
    name = standby.name or standby.address or "unnamed"
    found = []
    if standby.lag_bytes is not None:
        found.append(metric(snapshot, "pg_replication_lag", int(standby.lag_bytes), "bytes", standby=name))
    if standby.replay_lag is not None:
        found.append(metric(snapshot, "pg_replication_lag_time", round(standby.replay_lag, 3), "seconds", standby=name))
    return found


# --- the standby itself -----------------------------------------------------------------------------------------------


def _receiver(snapshot: Snapshot, policy: Policy, seen: Receiver) -> list[Problem]:
    subject = snapshot.subject("replay")
    problems = []
    if seen.paused:
        problems.append(
            problem(
                "pg.replay_paused",
                subject,
                Severity.WARNING,
                f"The replay is paused, {format_size(seen.lag_bytes or 0.0)} wait to be replayed.",
                _receiver_item(seen),
                "Let it go on:",
                "SELECT pg_wal_replay_resume();",
            )
        )
    if not seen.streaming:
        problems.append(
            problem(
                "pg.replication_stopped",
                snapshot.subject("receiver"),
                Severity.WARNING,
                "No connection to the primary is open: the standby gets WAL from an archive at best.",
                _receiver_item(seen),
                "Read its log, and look at primary_conninfo and at its slot on the primary:",
                "SELECT slot_name, active, wal_status FROM pg_replication_slots;",
            )
        )
    late = _late(seen)
    if max(policy.lag_bytes.severity(seen.lag_bytes or 0.0), policy.lag_time.severity(late or 0.0)) > Severity.OK:
        problems.append(_lagging(snapshot, subject, policy, "the replay of this standby", seen.lag_bytes, late))
    return problems


def _late(seen: Receiver) -> float | None:
    """Return how long ago what was replayed last had been committed; nothing where there is no more to replay."""
    return seen.lag_seconds if seen.lag_bytes else None


def _receiver_item(seen: Receiver) -> dict[str, object]:
    late = _late(seen)
    return {
        "streaming": seen.streaming,
        "paused": seen.paused,
        "lag_bytes": None if seen.lag_bytes is None else int(seen.lag_bytes),
        "lag_seconds": None if late is None else round(late, 3),
    }


def _lag_metrics(snapshot: Snapshot, seen: Receiver) -> list[Metric]:
    found = []
    if seen.lag_bytes is not None:
        found.append(metric(snapshot, "pg_replay_lag", max(0, int(seen.lag_bytes)), "bytes"))
        found.append(metric(snapshot, "pg_replay_lag_time", round(_late(seen) or 0.0, 3), "seconds"))
    return found


# --- slots ------------------------------------------------------------------------------------------------------------


def _slot(snapshot: Snapshot, policy: Policy, slot: SlotRow) -> list[Problem]:
    """Return at most one problem: the gravest. A slot that is copied from a primary is judged there."""
    if slot.temporary or slot.synced:
        return []
    subject, drop = snapshot.subject(f"slot {slot.name}"), f"SELECT pg_drop_replication_slot({literal(slot.name)});"
    name, keeps = one_line(slot.name), format_size(max(0.0, slot.retained or 0.0))
    if slot.wal_status in ("lost", "unreserved") or slot.invalidation:
        state = f"was invalidated ({slot.invalidation})" if slot.invalidation else f"is {slot.wal_status}"
        what = "WAL that its consumer needs is gone" if slot.wal_status != "unreserved" else "its WAL may go any moment"
        return [
            problem(
                "pg.slot_lost",
                subject,
                Severity.CRITICAL,
                f"The replication slot {name} {state}: {what}.",
                slot.as_dict(),
                "Build its consumer anew, then drop it:",
                drop,
            )
        ]
    by_size = policy.slot_retained.severity(slot.retained or 0.0)
    if by_size > Severity.OK:
        used = "is in use" if slot.active else "is not in use"
        return [
            problem(
                "pg.slot_retains",
                subject,
                by_size,
                f"The replication slot {name} {used} and keeps {keeps} of WAL{_unlimited(snapshot)} "
                f"({sizes(policy.slot_retained)}).",
                slot.as_dict(),
                "Let its consumer catch up, or drop it:",
                drop,
            )
        ]
    if slot.active or slot.retained is None:
        return []
    return _inactive(snapshot, policy, slot, subject, keeps, drop)


def _inactive(snapshot: Snapshot, policy: Policy, slot: SlotRow, subject: str, keeps: str, drop: str) -> list[Problem]:
    """A consumer may just be starting anew: before 17 nobody knows, and it is only a remark."""
    since = ""
    severity = Severity.INFO
    if slot.inactive_seconds is not None:
        if slot.inactive_seconds < policy.slot_inactive:
            return []
        severity = Severity.WARNING
        since = f" for {format_duration(slot.inactive_seconds)}, longer than {format_duration(policy.slot_inactive)}"
    elif snapshot.version >= KNOWS_INACTIVITY:
        return []
    return [
        problem(
            "pg.slot_inactive",
            subject,
            severity,
            f"Nobody has used the replication slot {one_line(slot.name)}{since}; it keeps {keeps} of WAL, and more "
            f"with every write{_unlimited(snapshot)}.",
            slot.as_dict(),
            "Start its consumer, or drop it:",
            drop,
        )
    ]


def _unlimited(snapshot: Snapshot) -> str:
    return ", without a limit (max_slot_wal_keep_size)" if snapshot.facts.number("max_slot_wal_keep_size") == -1 else ""


# --- archive ----------------------------------------------------------------------------------------------------------


def archiver(snapshot: Snapshot, policy: Policy, seen: Archiver | None) -> Verdict:
    subject = snapshot.subject("archiver")
    facts = snapshot.facts
    if seen is None:
        return Verdict("off")
    sleeps = snapshot.in_recovery and facts.settings.get("archive_mode") != "always"
    if sleeps:
        return Verdict("on the primary")
    problems = []
    has_way = "true" in (facts.settings.get("archive_command"), facts.settings.get("archive_library"))
    if not has_way:
        problems.append(
            problem(
                "pg.archiver_failing",
                subject,
                Severity.CRITICAL,
                "archive_mode is on, and there is neither an archive_command nor an archive_library: WAL piles up.",
                _archiver_item(seen),
                "Set archive_command in postgresql.conf and reload the server.",
            )
        )
    elif seen.last_failed is not None and seen.last_failed > (seen.last_archived or 0.0):
        problems.append(
            problem(
                "pg.archiver_failing",
                subject,
                Severity.CRITICAL,
                f"The archive has not taken {seen.last_failed_wal} at {instant(seen.last_failed)}, after {seen.failed} "
                f"failures in all; the last that it took was at {instant(seen.last_archived) or 'no time'}.",
                _archiver_item(seen),
                "Run archive_command by hand as the server's account, and read the server's log.",
            )
        )
    if seen.ready is None:
        why = "how many segments wait for the archive is not shown to the role"
        problems.append(not_seen("archiver", subject, not_permitted("archiver", snapshot.user, why)))
    elif policy.archive_ready.severity(seen.ready) > Severity.OK:
        problems.append(
            problem(
                "pg.archiver_behind",
                subject,
                policy.archive_ready.severity(seen.ready),
                f"{seen.ready} WAL segments wait to be archived (warning at {policy.archive_ready.warning:g}, "
                f"critical at {policy.archive_ready.critical:g}).",
                _archiver_item(seen),
            )
        )
    threshold = {"warning": policy.archive_ready.warning, "critical": policy.archive_ready.critical}
    found = () if seen.ready is None else (metric(snapshot, "pg_archive_ready", seen.ready, "count"),)
    return Verdict(seen.ready, threshold, (_archiver_item(seen),), tuple(problems), found)


def _archiver_item(seen: Archiver) -> dict[str, object]:
    return {
        "ready": seen.ready,
        "archived": seen.archived,
        "failures": seen.failed,
        "last_archived": instant(seen.last_archived),
        "last_failure": instant(seen.last_failed),
    }


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
