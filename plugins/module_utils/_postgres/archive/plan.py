# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what may go: nothing from the oldest segment on that anybody still needs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    BASE_BACKUP,
    KEEP_FROM,
    REDO,
    SLOT,
    STANDBY,
    Archive,
    BaseBackup,
    Need,
    Options,
    Plan,
    ServerView,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import (
    BACKUP,
    PARTIAL,
    SEGMENT,
    parse_lsn,
    parse_name,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.timelines import (
    follow,
    is_damaged,
)


def plan(snapshot: Snapshot, options: Options) -> Plan:
    """Return what may go. Raises ``ArchiveRefused`` when what must stay is not known, or nothing would stay."""
    archive, server = snapshot.archive, snapshot.server
    wanted = options.keep_base_backups
    if wanted is not None and server is not None:
        # One that is being taken began after the newest that has ended, but perhaps before one that overtook it.
        wanted += server.running_backups
    kept, unusable, pending = choose(archive, snapshot.backups, wanted)
    if (options.keep_base_backups or options.base_backups) and not kept:
        raise _no_base_backup(archive, options, unusable)
    needs = sorted(_needs(snapshot, options, (*kept, *pending)), key=lambda need: (need.number, need.kind, need.id))
    if not needs:
        raise ArchiveRefused(
            "nothing_to_keep",
            f"Nothing says which WAL of {archive.path} is to be kept.",
            "Give keep_base_backups, base_backups, consumers or keep_from.",
            {"path": archive.path},
        )
    keep = needs[0]
    older = [entry for entry in archive.entries if entry.number < keep.number]
    kinds = (SEGMENT, PARTIAL, BACKUP) if options.remove_backup_history else (SEGMENT, PARTIAL)
    remove = [entry for entry in older if entry.kind in kinds]
    newest = archive.newest
    if newest is not None and newest < keep.number and not options.allow_remove_all:
        raise _would_remove_all(archive, keep, newest)
    return Plan(
        keep=keep,
        needs=tuple(needs),
        remove=tuple(entry for entry in remove if entry.regular),
        kept=kept,
        unusable=unusable,
        pending=pending,
        irregular=tuple(entry for entry in remove if not entry.regular),
        chain=follow(archive, kept, None if kept else keep.number, server.timeline if server else None),
    )


def _no_base_backup(archive: Archive, options: Options, unusable: Sequence[BaseBackup]) -> ArchiveRefused:
    where = "base_backups" if options.base_backups else "the archive's backup history files"
    if unusable:
        message = (
            f"None of the {len(unusable)} base backups in {where} can be restored: the WAL that was written while "
            f"each was taken is not whole in {archive.path}."
        )
        remedy = "Take a base backup now and find out where its WAL went; until then nothing is removed."
    else:
        message = f"{where[0].upper()}{where[1:]} tell of no base backup that has ended, so what to keep is not known."
        remedy = "Take a base backup, name where they are in base_backups, or give keep_from."
    return ArchiveRefused("no_base_backup", message, remedy, {"path": archive.path, "unusable": len(unusable)})


def _would_remove_all(archive: Archive, keep: Need, newest: int) -> ArchiveRefused:
    timeline = max(entry.timeline for entry in archive.segments) if archive.segments else 1
    return ArchiveRefused(
        "would_remove_all",
        f"All of {archive.path} would go: {keep.title} needs nothing before {archive.name_of(keep.number, timeline)}, "
        f"and the newest segment is {archive.name_of(newest, timeline)}.",
        "Check that it is the archive of that server and still grows; set allow_remove_all when it is really to go.",
        {"path": archive.path, "keep": keep.as_dict(archive), "newest": archive.name_of(newest, timeline)},
    )


# --- who needs what


def _needs(snapshot: Snapshot, options: Options, backups: Iterable[BaseBackup]) -> Iterator[Need]:
    size = snapshot.archive.segment_size
    for backup in backups:
        yield Need(BASE_BACKUP, backup.id, backup.first, backup.timeline, backup.start)
    if options.keep_from is not None:
        yield need_of_text(KEEP_FROM, options.keep_from.strip(), options.keep_from, options.suffixes, size)
    yield from snapshot.consumers
    if snapshot.server is not None:
        yield from needs_of_server(snapshot.server, size)


def needs_of_server(server: ServerView, size: int) -> Iterator[Need]:
    """Yield what the server, its slots and its standbys need."""
    yield Need(REDO, server.label, server.redo // size, server.timeline, server.redo)
    for slot in server.slots:
        if slot.restart is not None:
            yield Need(SLOT, slot.name, slot.restart // size, server.timeline, slot.restart)
    for standby in server.standbys:
        if standby.position is not None:
            name = f"{standby.name} (pid {standby.pid})" if standby.name else f"pid {standby.pid}"
            yield Need(STANDBY, name, standby.position // size, server.timeline, standby.position)


def need_of_text(kind: str, name: str, text: str, suffixes: Sequence[str], size: int) -> Need:
    """Return the need that *text*, a position or the name of a file, stands for. Raises ``ArchiveRefused``."""
    position = parse_lsn(text)
    if position is not None:
        return Need(kind, name, position // size, None, position)
    parsed = parse_name(text.strip(), suffixes)
    number = parsed.number(size) if parsed is not None and parsed.kind in (SEGMENT, PARTIAL, BACKUP) else None
    if parsed is None or number is None:
        raise ArchiveRefused(
            "no_place_in_wal",
            f"{kind} {name} says {text.strip()[:80]!r}, which is no WAL file with segments of {size >> 20} MiB.",
            "Let it say the name of a WAL file, as %r in archive_cleanup_command is, or a position like 0/42000028.",
            {"kind": kind, "id": name},
        )
    return Need(kind, name, number, parsed.timeline)


# --- base backups


def choose(
    archive: Archive, backups: Sequence[BaseBackup], count: int | None
) -> tuple[tuple[BaseBackup, ...], tuple[BaseBackup, ...], tuple[BaseBackup, ...]]:
    """Return the base backups to keep, those that cannot be restored, and those not known to have ended.

    With *count* the newest of those that can be restored are kept, else all. One that cannot be restored never stands
    for one that can; one that may still be being taken needs its WAL, but does not count.
    """
    histories = {(entry.timeline, entry.number, entry.offset) for entry in archive.entries if entry.kind == BACKUP}
    ended: list[BaseBackup] = []
    pending: list[BaseBackup] = []
    for backup in backups:
        of_history = (backup.timeline, backup.first, backup.start % archive.segment_size)
        (ended if backup.complete or of_history in histories else pending).append(backup)
    whole = {(entry.timeline, entry.number) for entry in archive.segments if not is_damaged(entry, archive)}
    usable = [backup for backup in ended if _is_usable(backup, whole)]
    unusable = tuple(backup for backup in ended if backup not in usable)
    if count is None:
        return tuple(ended), unusable, tuple(pending)
    kept = {backup.id for ranking in rankings(usable) for backup in ranking[:count]}
    return tuple(backup for backup in usable if backup.id in kept), unusable, tuple(pending)


def _is_usable(backup: BaseBackup, whole: Collection[tuple[int, int]]) -> bool:
    """Whether the WAL from its start to its end is there; only then it can be restored at all.

    The timeline may have changed meanwhile, when the backup was taken from a standby.
    """
    if backup.own_wal:
        return True
    last = backup.first if backup.last is None else backup.last
    if last - backup.first >= len(whole):
        return False
    timelines = sorted({timeline for timeline, _number in whole if timeline >= backup.timeline})
    return all(any((timeline, number) in whole for timeline in timelines) for number in range(backup.first, last + 1))


def rankings(backups: Sequence[BaseBackup]) -> list[list[BaseBackup]]:
    """Return *backups*, newest first, in every order that could be the right one.

    On one timeline the position in WAL says which is newer. Between timelines it does not: after a restore to an
    earlier state, the new timeline counts on from there. Then the number of the timeline says it, and, where two
    servers went on side by side, the time; where the times cannot be compared, each timeline ranks for itself.
    """

    def newest_first(key: Callable[[BaseBackup], Any], some: Iterable[BaseBackup]) -> list[BaseBackup]:
        return sorted(some, key=key, reverse=True)

    found = [newest_first(lambda backup: (backup.timeline, backup.start), backups)]
    timelines = {backup.timeline for backup in backups}
    if len(timelines) < 2:
        return found
    zones = {backup.started.rpartition(" ")[2] for backup in backups}
    if len(zones) == 1 and all(_is_time(backup.started) for backup in backups):
        return [*found, newest_first(lambda backup: (backup.started, backup.start), backups)]
    of_each = ([backup for backup in backups if backup.timeline == timeline] for timeline in timelines)
    return [*found, *(newest_first(lambda backup: backup.start, some) for some in of_each)]


def _is_time(text: str) -> bool:
    """Whether *text* is like ``2026-11-22 04:13:00 UTC``, whose order is that of time as long as the zone is one."""
    day, _space, rest = text.partition(" ")
    return len(day) == 10 and day[4] == day[7] == "-" and len(rest.partition(" ")[0]) == 8
