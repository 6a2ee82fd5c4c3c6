# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge an archive and what was done about it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    BASE_BACKUP,
    BUDGET,
    KEEP_FROM,
    STILL_THERE,
    TIME_LIMIT,
    Archive,
    BaseBackup,
    Entry,
    Gap,
    Options,
    Plan,
    Removed,
    ServerView,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import PARTIAL, SEGMENT, parse_name
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.timelines import is_damaged
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import instant

_EXAMPLES = 10
# check_postgres warns from 10 files on that wait for the archiver.
_READY = 10


def evaluate(snapshot: Snapshot, plan: Plan, options: Options, removed: Removed | None) -> list[Finding]:
    """Return the findings; *removed* is ``None`` in check mode."""
    archive = snapshot.archive
    return [
        *_of_content(archive, plan),
        *_of_backups(archive, plan, options),
        *_of_holders(archive, plan),
        *(_of_server(archive, snapshot.server) if snapshot.server is not None else ()),
        *(_of_plan(archive, plan, options) if removed is None else _of_work(archive, plan, options, removed)),
    ]


def size_of(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


# --- what is in it


def _of_content(archive: Archive, plan: Plan) -> Iterator[Finding]:
    if not archive.segments:
        yield Finding(
            "pg.wal_archive_empty",
            archive.subject,
            Severity.UNKNOWN,
            f"{archive.subject} holds no WAL segment ({archive.unknown} other files), so it restores nothing.",
            {"unknown_files": archive.unknown, "examples": list(archive.examples)},
            "Check that the archive is mounted there and that archive_command copies to it; correct path.",
        )
        return
    chain = plan.chain
    if chain.broken_history is not None:
        yield _history_missing(archive, chain.broken_history)
    if chain.gaps:
        yield _gap(archive, plan)
    damaged = [entry for entry in archive.segments if entry.number >= plan.keep.number and is_damaged(entry, archive)]
    if damaged:
        yield _damaged(archive, damaged)
    duplicates = _duplicates(archive, plan.keep.number)
    if duplicates:
        yield Finding(
            "pg.wal_archive_duplicate",
            archive.subject,
            Severity.INFO,
            f"{len(duplicates)} segments of {archive.subject} are there more than once, such as {duplicates[0]}.",
            {"segments": len(duplicates), "first": duplicates[:_EXAMPLES]},
            "Remove the copy that restore_command does not read, once the other one is known to be whole.",
        )
    if plan.irregular:
        names = [entry.name for entry in plan.irregular[:_EXAMPLES]]
        yield Finding(
            "pg.wal_archive_irregular",
            archive.subject,
            Severity.WARNING,
            f"{len(plan.irregular)} old segments in {archive.subject} are links or directories and were left, such as "
            f"{names[0]}.",
            {"files": len(plan.irregular), "first": names},
            "Look where they lead, and remove them by hand.",
        )


def _history_missing(archive: Archive, timeline: int) -> Finding:
    name = f"{timeline:08X}.history"
    history = archive.histories.get(timeline)
    what = "is missing" if history is None else "cannot be read"
    # It may be packed by what Python cannot unpack: then it is not known, and no loss.
    severity = Severity.CRITICAL if history is None else Severity.UNKNOWN
    return Finding(
        "pg.wal_archive_history_missing",
        archive.subject,
        severity,
        f"{name} {what} in {archive.subject}, so no restore finds its way to timeline {timeline}, and gaps where it "
        "began cannot be told.",
        {"file": name, "timeline": timeline},
        f"Copy {name} from pg_wal of a server that is on that timeline into the archive, not packed.",
    )


def _gap(archive: Archive, plan: Plan) -> Finding:
    gaps = plan.chain.gaps
    count = sum(gap.count for gap in gaps)
    first = gaps[0]
    start, end = (archive.name_of(number, first.timeline) for number in (first.first, first.last))
    span = start if first.count == 1 else f"{start} to {end}"
    since = archive.name_of(plan.chain.since, first.timeline)
    return Finding(
        "pg.wal_archive_gap",
        archive.subject,
        Severity.CRITICAL,
        f"{count} segments are missing in {archive.subject} between {since} and the newest: {span}"
        f"{'' if len(gaps) == 1 else f' and {len(gaps) - 1} more gaps'}. No restore gets beyond them.",
        {
            "missing": count,
            "gaps": [_gap_as_dict(archive, gap) for gap in gaps[:_EXAMPLES]],
            "since": since,
            "timeline": plan.chain.timeline,
        },
        "Look for them in pg_wal of the server and its standbys and copy them here; take a base backup now anyway.",
    )


def _gap_as_dict(archive: Archive, gap: Gap) -> dict[str, Any]:
    return {
        "first": archive.name_of(gap.first, gap.timeline),
        "last": archive.name_of(gap.last, gap.timeline),
        "segments": gap.count,
    }


def _damaged(archive: Archive, damaged: Sequence[Entry]) -> Finding:
    first = damaged[0]
    others = {(entry.timeline, entry.number) for entry in archive.segments if not is_damaged(entry, archive)}
    alone = [entry for entry in damaged if (entry.timeline, entry.number) not in others]
    # The newest may be being written at this moment, and one that is there twice has a copy that is whole.
    harmless = all(entry.number == archive.newest for entry in alone)
    return Finding(
        "pg.wal_archive_damaged",
        archive.subject,
        Severity.INFO if harmless else Severity.CRITICAL,
        f"{len(damaged)} segments in {archive.subject} are not whole: {first.name} has {first.size} bytes"
        f"{'' if first.suffix else f' instead of {archive.segment_size}'}"
        f"{', and may be being written' if harmless else ''}.",
        {"segments": len(damaged), "first": [{"name": each.name, "bytes": each.size} for each in damaged[:_EXAMPLES]]},
        "Run it again in a minute: a segment that is being written is whole then."
        if harmless
        else "Look for them in pg_wal of the server and its standbys; take a base backup now. Let archive_command "
        "write to another name, sync, and rename.",
    )


def _duplicates(archive: Archive, since: int) -> list[str]:
    names = defaultdict(list)
    for entry in archive.segments:
        if entry.number >= since:
            names[entry.timeline, entry.number].append(entry.name)
    return [sorted(several)[0] for several in names.values() if len(several) > 1]


# --- base backups


def _of_backups(archive: Archive, plan: Plan, options: Options) -> Iterator[Finding]:
    wanted = options.keep_base_backups
    # The history file of an old base backup outlives its WAL: that is the rule and nothing to speak of.
    oldest = min((backup.first for backup in plan.kept), default=0)
    unusable = [backup for backup in plan.unusable if not backup.of_archive or backup.first >= oldest]
    if unusable:
        yield _backups_finding(
            archive,
            "pg.wal_archive_backup_unusable",
            Severity.WARNING,
            unusable,
            "cannot be restored from {subject}: the WAL that was written while they were taken is not whole there",
            "Remove them (and their history files) when they are old; when they are new, find out where the WAL went.",
        )
    if plan.chain.off:
        yield _backups_finding(
            archive,
            "pg.wal_archive_backup_off_timeline",
            Severity.WARNING,
            plan.chain.off,
            f"lead to no newer state in {{subject}}: timeline {plan.chain.timeline} did not come from where they began",
            "Take a base backup of the server as it is now.",
        )
    if plan.pending:
        yield _backups_finding(
            archive,
            "pg.wal_archive_backup_unfinished",
            Severity.INFO,
            plan.pending,
            "are not known to have ended (no backup_manifest, no history file in {subject}): their WAL is kept, and "
            "they do not count",
            "Remove what a backup that was broken off left behind.",
        )
    if wanted is not None and plan.kept and len(plan.kept) < wanted:
        yield Finding(
            "pg.wal_archive_few_backups",
            archive.subject,
            Severity.INFO,
            f"{len(plan.kept)} base backups can be restored with {archive.subject}; keep_base_backups is {wanted}.",
            {"kept": [backup.id for backup in plan.kept], "keep_base_backups": wanted},
            "Nothing that they need is removed; take base backups as often as intended.",
        )


def _backups_finding(
    archive: Archive, code: str, severity: Severity, backups: Sequence[BaseBackup], text: str, remedy: str
) -> Finding:
    names = [backup.id for backup in backups]
    which = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return Finding(
        code,
        archive.subject,
        severity,
        f"{len(names)} base backups ({which}) {text.replace('{subject}', archive.subject)}.",
        {"base_backups": len(names), "first": names[:_EXAMPLES]},
        remedy,
    )


# --- who holds it back


def _of_holders(archive: Archive, plan: Plan) -> Iterator[Finding]:
    """Name what needs older WAL than the base backups do: it may be something that nobody uses any more."""
    asked = [need for need in plan.needs if need.kind in (BASE_BACKUP, KEEP_FROM)]
    if not asked or plan.keep.kind in (BASE_BACKUP, KEEP_FROM):
        return
    held = [entry for entry in archive.segments if plan.keep.number <= entry.number < asked[0].number]
    if not held:
        return
    yield Finding(
        "pg.wal_archive_held",
        archive.subject,
        Severity.INFO,
        f"{plan.keep.title} keeps {len(held)} segments ({format_size(size_of(held))}) in {archive.subject} that no "
        "base backup needs.",
        {"holder": plan.keep.as_dict(archive), "segments": len(held), "bytes": size_of(held)},
        "Let it catch up; when nobody uses it any more, drop it.",
    )


# --- the server


def _of_server(archive: Archive, server: ServerView) -> Iterator[Finding]:
    archiver = server.archiver
    waiting = "" if archiver.ready is None else f" {archiver.ready} segments wait in pg_wal."
    evidence = {
        "archive_mode": archiver.mode,
        "last_archived": archiver.last_archived,
        "last_archived_at": instant(archiver.archived_at),
        "last_failed": archiver.last_failed,
        "last_failed_at": instant(archiver.failed_at),
        "failures": archiver.failures,
        "ready": archiver.ready,
    }
    if archiver.mode == "off" and not _is_received(archive, server):
        yield Finding(
            "pg.wal_archive_off",
            archive.subject,
            Severity.WARNING,
            f"{server.label} archives nothing (archive_mode is off), so {archive.subject} does not grow.",
            evidence,
            "Set archive_mode = on and restart the server, or stop cleaning an archive that is no longer used.",
        )
    elif archiver.failing:
        yield Finding(
            "pg.wal_archive_failing",
            archive.subject,
            Severity.CRITICAL,
            f"{server.label} fails to archive {archiver.last_failed} ({archiver.failures} failures, the last at "
            f"{instant(archiver.failed_at)}).{waiting}",
            evidence,
            "Look into the server's log for what archive_command says, and mend it before pg_wal fills the disk.",
        )
    elif archiver.ready is not None and archiver.ready >= _READY:
        yield Finding(
            "pg.wal_archive_lagging",
            archive.subject,
            Severity.WARNING,
            f"{archiver.ready} segments of {server.label} wait to be archived (limit {_READY}).",
            evidence,
            "Make archive_command faster, or let it copy several segments at a time.",
        )
    yield from _behind(archive, server, evidence)
    yield from _lost_slots(archive, server)


def _is_received(archive: Archive, server: ServerView) -> bool:
    """Whether pg_receivewal fills the archive: then nobody needs archive_command."""
    partial = any(entry.kind == PARTIAL and entry.number == archive.newest for entry in archive.entries)
    return partial or any(standby.name == "pg_receivewal" for standby in server.standbys)


def _behind(archive: Archive, server: ServerView, evidence: dict[str, Any]) -> Iterator[Finding]:
    """What the server says that it has archived, before we listed the directory, must be here."""
    name = parse_name(server.archiver.last_archived)
    number = name.number(archive.segment_size) if name is not None else None
    if name is None or number is None or name.kind != SEGMENT or archive.newest is None:
        return
    newest = max((entry.number for entry in archive.segments), default=0)
    if number > newest:
        yield Finding(
            "pg.wal_archive_behind",
            archive.subject,
            Severity.WARNING,
            f"{server.label} has archived {server.archiver.last_archived}, and {archive.subject} ends "
            f"{number - newest} segments before it, at {archive.name_of(newest, name.timeline)}.",
            {**evidence, "behind": number - newest},
            "Check that archive_command copies to this directory, or that what fills it from there still runs.",
        )


def _lost_slots(archive: Archive, server: ServerView) -> Iterator[Finding]:
    lost = [slot.name for slot in server.slots if slot.restart is None and slot.status == "lost"]
    if lost:
        yield Finding(
            "pg.wal_archive_slot_lost",
            archive.subject,
            Severity.WARNING,
            f"The replication slot {lost[0]}{'' if len(lost) == 1 else f' and {len(lost) - 1} more'} of {server.label} "
            "has lost the WAL it needs; what its consumer would read from the archive is not known.",
            {"slots": lost[:_EXAMPLES]},
            "Name its standby in consumers, or drop the slot: SELECT pg_drop_replication_slot(...);",
        )


# --- what was done


def _of_plan(archive: Archive, plan: Plan, options: Options) -> Iterator[Finding]:
    if plan.remove:
        chosen = plan.remove if options.max_delete is None else plan.remove[: options.max_delete]
        yield Finding(
            "pg.wal_archive_removable",
            archive.subject,
            Severity.INFO,
            f"{len(chosen)} files ({format_size(size_of(chosen))}) in {archive.subject} are older than what "
            f"{plan.keep.title} needs.",
            {"files": len(chosen), "bytes": size_of(chosen), "keep": plan.keep.as_dict(archive)},
            "Run the task without check mode.",
        )


def _of_work(archive: Archive, plan: Plan, options: Options, removed: Removed) -> Iterator[Finding]:
    why = Counter(removed.left.values())
    if removed.failed or why[STILL_THERE]:
        name = removed.failed or min(each for each, said in removed.left.items() if said == STILL_THERE)
        yield Finding(
            "pg.wal_archive_not_removed",
            archive.subject,
            Severity.UNKNOWN,
            f"{name} in {archive.subject} could not be removed: {removed.error or 'it is there again'}. "
            f"{len(removed.names)} files were removed before it.",
            {"file": name, "reason": removed.error, "removed": len(removed.names)},
            "Look at the owner and the attributes of that file and directory, then run it again.",
        )
    waiting = why[BUDGET] + why[TIME_LIMIT]
    if waiting:
        limit = f"max_delete is {options.max_delete}" if why[BUDGET] else "the time limit was over"
        yield Finding(
            "pg.wal_archive_left",
            archive.subject,
            Severity.INFO,
            f"{waiting} files in {archive.subject} that nobody needs were left: {limit}.",
            {"files": waiting, "removed": len(removed.names)},
            "The next run goes on from there; raise max_delete or time_limit when they become more.",
        )
