# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for orphaned large objects in one cluster, unlink them where that is asked for, and say what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    LockHeld,
    StateError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import HostState, directory_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import (
    PREFERENCE,
    ServerError,
    Session,
    find_driver,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    Cluster,
    choose,
    host_lock,
    lost,
    read_databases,
    read_server,
    require_primary,
    take_lock,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects import marks
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.apply import unlink
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.collect import (
    Age,
    look,
    read_clock,
    unknown_exclusions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    ABSENT,
    DONE,
    PARTIAL,
    PLANNED,
    REFUSED,
    REPORTED,
    SKIPPED,
    UNKNOWN,
    Options,
    Record,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.options import options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.report import report
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import quote_name
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of


@dataclass(frozen=True)
class _Run:
    """What stays the same for every database of a run."""

    cluster: Cluster
    options: Options
    age: Age
    budget: Budget
    check_mode: bool


def tend(
    params: Mapping[str, Any], now: datetime, check_mode: bool = False, drivers: Sequence[str] = PREFERENCE
) -> Ended:
    """Report orphaned large objects of one cluster, or unlink them; with *check_mode* only say what that would be.

    *params* are validated by ``ARGUMENT_SPEC``. Raises ``UpkeepError``: ``InvalidInput``, ``MissingLibrary``,
    ``ConnectionFailed``, ``ReadOnlyServer``, ``LockHeld``, ``StateError``.
    """
    started = time.monotonic()
    options = options_of(params)
    acting = options.state == ABSENT and not check_mode
    session_options = options.session if acting else replace(options.session, read_only=True)
    cluster = Cluster(find_driver(drivers), connection_of(params), session_options)
    notes: list[str] = []
    with host_lock(cluster, now) if acting else nullcontext():
        try:
            records, findings = _every_database(cluster, options, check_mode, now, notes)
        except ServerError as error:
            raise lost(cluster.connection, error) from None
    return report(cluster.connection.label, options, records, findings, notes, now, time.monotonic() - started)


def _every_database(
    cluster: Cluster, options: Options, check_mode: bool, now: datetime, notes: list[str]
) -> tuple[list[Record], list[Finding]]:
    with cluster.session(cluster.connection.database) as session:
        server = read_server(session)
        if options.state == ABSENT:
            require_primary(server)
        chosen, left = choose(read_databases(session), options.databases)
        age = _age(cluster, session, options, check_mode, notes)
        run = _Run(cluster, options, age, Budget(options.time_limit), check_mode)
        records: list[Record] = []
        findings: list[Finding] = []
        for name in chosen:
            own = session if name == cluster.connection.database else None
            try:
                records.append(_look_into(run, name, own))
            except ConnectionFailed as error:
                if len(chosen) == 1 or own is not None:
                    raise
                subject = f"{cluster.connection.label}: {one_line(quote_name(name))}"
                findings.append(
                    Finding(
                        "pg.database_unreachable",
                        subject,
                        Severity.UNKNOWN,
                        error.message,
                        error.evidence,
                        error.remedy,
                    )
                )
    _require_known_exclusions(records, options)
    ended: list[Record] = []
    for record in records:
        try:
            ended.append(_work(run, record))
        except LockHeld as error:
            if len(records) == 1:
                raise
            ended.append(replace(record, status=SKIPPED, why=error.message, planned=0))
            findings.append(_other_run(record, error))
    return ended + [Record(name, SKIPPED, why) for name, why in left], findings


def _other_run(record: Record, error: LockHeld) -> Finding:
    subject = record.look.subject if record.look is not None else record.name
    return Finding("pg.other_run", subject, Severity.UNKNOWN, error.message, error.evidence, error.remedy)


def _require_known_exclusions(records: Sequence[Record], options: Options) -> None:
    """Raise ``InvalidInput`` for a column in ``exclude_columns`` that is not there, or that holds references."""
    looks = [record.look for record in records if record.look is not None]
    unknown, references = unknown_exclusions([one.excludable for one in looks], options.exclude_columns)
    if references:
        raise InvalidInput(
            f"exclude_columns names {', '.join(map(one_line, references))}, which is of type oid: what it holds are "
            "references.",
            "Leave it out of exclude_columns.",
        )
    # Where there are no large objects, or the look ended early, no column was read.
    if unknown and all(one.excludable and not one.trouble for one in looks):
        raise InvalidInput(
            f"exclude_columns names {', '.join(map(one_line, unknown))}, which is no column that could hold a number.",
            "Write it as table.column or schema.table.column, or a pattern (with *) where it may be absent.",
        )


# --- how old is old


def _age(cluster: Cluster, session: Session, options: Options, check_mode: bool, notes: list[str]) -> Age:
    """Return how it is known what is old enough, and note where the counter of transactions stands now."""
    clock = read_clock(session)
    directory = directory_of(options.session.state_dir, os.environ, os.geteuid())
    kept: list[marks.Mark] = []
    try:
        state = HostState(directory, f"postgres {clock.cluster.partition('/')[0]}")
        if check_mode:
            kept = marks.read(state.load(), clock)
        else:
            with state.update(options.session.run_id) as record:
                kept = marks.read(record, clock)
                marks.write(record, clock, kept)
    except StateError as error:
        # A report says the same without it; and what is absent from the notes only makes more objects too new.
        notes.append(f"no note was taken of the age of what is there now: {error.message}")
    return Age(marks.limit(clock, kept, options.min_age), options.min_age, clock.commit_times)


# --- one database


def _look_into(run: _Run, name: str, session: Session | None) -> Record:
    if session is None:
        with run.cluster.session(name) as own:
            return _look_into(run, name, own)
    seen = look(session, run.cluster.connection.label, name, run.options, run.age)
    return Record(name, REPORTED, look=seen, why=seen.trouble)


def _work(run: _Run, record: Record) -> Record:
    """Unlink what may be, under the advisory lock of the database."""
    seen = record.look
    if run.options.state == REPORTED or seen is None:
        return record
    if seen.trouble or seen.orphans is None:
        return replace(record, status=UNKNOWN, why=seen.trouble)
    if seen.hits:
        return replace(record, status=REFUSED, why="values in other columns may be references")
    candidates = seen.orphans.candidates
    if not candidates:
        return replace(record, status=DONE)
    if run.check_mode:
        return replace(record, status=PLANNED, planned=len(candidates))
    with run.cluster.session(record.name) as session:
        take_lock(session, seen.subject)
        unlinked = unlink(session, candidates, run.options, run.budget)
    status = PARTIAL if unlinked.left else DONE
    return replace(record, status=status, why=unlinked.stopped, unlinked=unlinked)
