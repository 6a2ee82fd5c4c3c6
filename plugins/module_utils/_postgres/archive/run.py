# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clean one WAL archive: look at it and at who needs it, decide, remove where that is asked for, and say what came."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import HostState, directory_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE, find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.apply import remove
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.backups import read_backups
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.collect import (
    read_archive,
    read_text,
    require_own,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    CONSUMER,
    Archive,
    BaseBackup,
    Consumer,
    Need,
    Options,
    ServerView,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.options import options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.plan import (
    need_of_text,
    needs_of_server,
    plan,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.refuse import (
    require_archive,
    require_not_wal_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.report import report
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.server import ask
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, SessionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of

# A server that takes longer to say where its WAL stands has another trouble.
_STATEMENT_SECONDS = 30.0
_NOT_ASKED = "the server was not asked: its slots and its last checkpoint did not count"
_STANDBY_ASKED = "the server that was asked is a standby: the slots of its primary did not count"
_HIDDEN = "what connected standbys have received may not be seen by the role (grant pg_monitor)"


def clean(
    params: Mapping[str, Any], now: datetime, check_mode: bool = False, drivers: Sequence[str] = PREFERENCE
) -> Ended:
    """Remove what nobody needs from one archive; with *check_mode* only say what that is.

    *params* are validated by ``ARGUMENT_SPEC`` and ``RULES``. Raises ``UpkeepError``: ``ArchiveRefused`` when it is not
    known to be safe, ``InvalidInput``, ``MissingLibrary``, ``ConnectionFailed``, ``LockHeld``, ``StateError``.
    """
    started = time.monotonic()
    connection = connection_of(params) if params["ask_server"] else None
    options = options_of(params, params["name"] or (connection.label if connection else "archive"))
    budget = Budget(options.time_limit)
    real = require_archive(options.path)
    with nullcontext() if check_mode else _lock(options, real, now):
        snapshot = _look(options, real, connection, drivers, now)
        decided = plan(snapshot, options)
        require_own(snapshot.archive, real, decided.remove)
        removed = None if check_mode else remove(real, decided, budget, options.max_delete)
    return report(snapshot, decided, options, removed, now, time.monotonic() - started)


def _lock(options: Options, real: str, now: datetime) -> HostLock:
    directory = directory_of(options.state_dir, os.environ, os.geteuid())
    path = HostState(directory, options.label).lock_path(f"wal archive {real}")
    return HostLock(path, options.run_id, now=now)


def _look(
    options: Options, real: str, connection: ConnectionOptions | None, drivers: Sequence[str], now: datetime
) -> Snapshot:
    """Return all that a decision rests on. The servers are asked first: what they say is there then must be seen."""
    servers: dict[str, ServerView] = {}
    server = None
    if connection is not None:
        session = SessionOptions("pg_wal_archive", options.run_id, statement_timeout=_STATEMENT_SECONDS, read_only=True)
        driver = find_driver(drivers)
        server = ask(Cluster(driver, connection, session))
        require_not_wal_of(options.path, real, server.data_directory)
        for consumer in options.consumers:
            if consumer.connection is not None:
                servers[consumer.name] = ask(Cluster(driver, consumer.connection, session))
    archive, backups = read_archive(real, options, server)
    archive = replace(archive, notes=tuple(_notes(server)))
    if options.base_backups:
        named = read_backups(options.base_backups, archive.segment_size, archive.systems)
        backups = tuple(_with_end(backup, backups) for backup in named)
    elif options.keep_base_backups is None:
        backups = ()
    needs = [need for each in options.consumers for need in _needs_of(each, servers.get(each.name), archive, options)]
    _require_same_cluster(server, servers)
    return Snapshot(archive, backups, server, tuple(needs), now.timestamp())


def _notes(server: ServerView | None) -> list[str]:
    if server is None:
        return [_NOT_ASKED]
    notes = [_STANDBY_ASKED] if server.in_recovery else []
    if any(not standby.state for standby in server.standbys):
        notes.append(_HIDDEN)
    return notes


def _with_end(backup: BaseBackup, of_archive: Iterable[BaseBackup]) -> BaseBackup:
    """Return *backup* with the end that its history file in the archive tells, when it has no manifest."""
    if backup.last is not None:
        return backup
    twins = [each for each in of_archive if (each.timeline, each.start) == (backup.timeline, backup.start)]
    return replace(backup, last=twins[0].last) if twins else backup


def _needs_of(consumer: Consumer, server: ServerView | None, archive: Archive, options: Options) -> list[Need]:
    """Return what a consumer needs. Raises ``ArchiveRefused`` when it does not say."""
    if server is not None:
        found = needs_of_server(server, archive.segment_size)
        return [
            replace(need, kind=CONSUMER, id=f"{consumer.name} ({need.kind} {need.id})")
            if need.id != consumer.name
            else replace(need, kind=CONSUMER)
            for need in found
        ]
    text = consumer.keep_from
    if consumer.file is not None:
        content = read_text(consumer.file)
        lines = (content or "").split("\n")
        # Without its line break the name may be half written.
        text = lines[0] if len(lines) > 1 else None
    if not text or not text.strip():
        raise ArchiveRefused(
            "consumer",
            f"What the consumer {consumer.name} needs is unknown: {consumer.file} cannot be read or has no whole line.",
            "Let it say so: archive_cleanup_command = 'echo %r > that file' on a standby; or leave the consumer out.",
            {"consumer": consumer.name, "file": consumer.file},
        )
    return [need_of_text(CONSUMER, consumer.name, text, options.suffixes, archive.segment_size)]


def _require_same_cluster(server: ServerView | None, consumers: Mapping[str, ServerView]) -> None:
    for name, consumer in consumers.items():
        if server is not None and consumer.system != server.system:
            raise ArchiveRefused(
                "consumer",
                f"The consumer {name} is cluster {consumer.system}, and {server.label} is cluster {server.system}.",
                "Correct the address of the consumer.",
                {"consumer": name, "system": str(consumer.system), "server_system": str(server.system)},
            )
