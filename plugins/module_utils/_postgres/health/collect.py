# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server for all that is to be judged. Each part is a record, or an ``Unseen`` that says what would mend it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.collect import read_bloat
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    Cluster,
    choose,
    hint_for,
    lost,
    read_server,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health import cluster_sql, database_sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.ask import Asker, Failure, Question
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Activity,
    Archiver,
    DatabaseRow,
    Facts,
    IndexRow,
    Invalid,
    LargeObjects,
    Place,
    Policy,
    Prepared,
    Receiver,
    Replication,
    SequenceRow,
    Sequences,
    SessionRow,
    Sized,
    SlotRow,
    Snapshot,
    StandbyRow,
    Statement,
    Statements,
    TableRow,
    Tables,
    Twin,
    Unseen,
    Waiter,
    Workers,
    build,
    build_all,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.options import RunOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.unseen import (
    activities_off,
    counters_off,
    extension_missing,
    not_asked,
    not_permitted,
    on_standby,
    unseen,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE, Holder, Server

# The search for references reads every table with a column of the kind.
ORPHANS_SECONDS = 20.0
# A column of that kind in more tables than this is a database of another sort; pg_large_object looks at it in peace.
MOST_COLUMNS = 500
# Parts of a database that counters of a standby cannot tell: it neither vacuums, nor is it read by all.
PRIMARY_ONLY = ("unused_indexes", "last_vacuum")
# What is only told of sessions of others to whoever may read all statistics.
OF_OTHERS = ("long_queries", "idle_in_transaction")


def collect(cluster: Cluster, options: RunOptions, policy: Policy) -> Snapshot:
    """Return what can be seen of the cluster and of the databases that *options* names.

    Raises ``UpkeepError`` when the cluster itself cannot be looked at.
    """
    deadline = Deadline(options.time_limit)
    login = cluster.connection.database
    try:
        with cluster.session(login) as session:
            look = Look(cluster, session, options, policy, deadline)
            wanted = options.databases or (login,)
            chosen, left = choose([row.database for row in look.databases], wanted)
            look.see_cluster()
            places: list[Place] = []
            # What a pattern takes along and nobody could look into is no fault; what is named is.
            unreachable = [(name, why) for name, why in left if name in wanted]
            for name in chosen:
                try:
                    places.append(look.see_database(name))
                except ConnectionFailed as error:
                    if name == login:
                        raise
                    unreachable.append((name, error.message))
            nobody = tuple(entry for entry in left if entry not in unreachable)
            return look.snapshot(tuple(places), nobody, tuple(unreachable))
    except ServerError as error:
        raise lost(cluster.connection, error) from None


class Look:
    """One look at a cluster: what was learnt so far decides what is asked next."""

    def __init__(
        self, cluster: Cluster, session: Session, options: RunOptions, policy: Policy, deadline: Deadline
    ) -> None:
        self._cluster = cluster
        self._options = options
        self._policy = policy
        self._deadline = deadline
        self._asker = self._asker_of(session)
        self._parts: dict[str, Any] = {}
        self._statements_seen = False
        self.server: Server = read_server(session)
        self._asker.statements += 2  # the settings of the session, and the server itself
        first = [cluster_sql.facts(), Question("databases", cluster_sql.DATABASES)]
        first += [cluster_sql_extension()] if "slow_queries" in policy.parts else []
        first += [Question("checksums", cluster_sql.SHARED_CHECKSUMS)] if "checksums" in policy.parts else []
        answers = self._asker.ask(*first)
        for essential in ("facts", "databases"):
            failure = answers[essential]
            if isinstance(failure, Failure):
                raise ServerError(failure.sqlstate, failure.message)
        self.facts: Facts = build(Facts, answers["facts"])
        self.databases: tuple[DatabaseRow, ...] = build_all(DatabaseRow, answers["databases"])
        self._extension: Any = answers.get("extension")
        if "checksums" in answers:
            self._parts["checksums"] = answers["checksums"] or {}

    def _asker_of(self, session: Session) -> Asker:
        return Asker(session, self._deadline, self._options.session.statement_timeout)

    def _wanted(self, *parts: str) -> list[str]:
        return [part for part in parts if part in self._policy.parts]

    def snapshot(
        self, places: tuple[Place, ...], left: tuple[tuple[str, str], ...], unreachable: tuple[tuple[str, str], ...]
    ) -> Snapshot:
        self._require_statements()
        return Snapshot(
            label=self._cluster.connection.label,
            login=self._cluster.connection.database,
            version=self.server.version,
            in_recovery=self.server.in_recovery,
            user=self.server.user,
            facts=self.facts,
            databases=self.databases,
            parts=self._parts,
            places=places,
            left=left,
            unreachable=unreachable,
        )

    # --- the cluster

    def see_cluster(self) -> None:
        """Ask what is asked once: who is at work, then how copies and archive are, then what is slow."""
        sessions = cluster_sql.activity(self._policy)
        wanted = self._wanted(*sessions)
        hidden = [part for part in self._wanted(*OF_OTHERS) if not self.facts.reads_all_stats]
        answers = self._asker.ask(
            *(question for part, question in sessions.items() if part in wanted and part not in hidden)
        )
        self._keep(answers, _SESSION_READERS)
        for part in hidden:
            self._parts[part] = not_permitted(part, self.server.user)
        self._notice_disabled(answers.get("connections"))
        rest = [cluster_sql.replication(self.server.version)] if "replication" in self._policy.parts else []
        if "archiver" in self._policy.parts and self.facts.settings.get("archive_mode") != "off":
            rest.append(cluster_sql.archiver(self.facts.lists_archive))
        if "sizes" in self._policy.parts:
            rest.append(Question("sizes", cluster_sql.SIZES))
        self._keep(self._asker.ask(*rest), _COPY_READERS)
        self._see_statements(self._asker, self._extension)

    def _keep(self, answers: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]) -> None:
        for part, answer in answers.items():
            self._parts[part] = self._read(part, answer, readers)

    def _read(self, part: str, answer: Any, readers: Mapping[str, Callable[[Any], Any]]) -> Any:
        if isinstance(answer, Failure):
            return unseen(part, answer, self.server.user, self._options)
        return readers[part](answer)

    def _notice_disabled(self, answer: Any) -> None:
        """Sessions whose activity is not tracked might be among those that we look for."""
        if isinstance(answer, dict) and answer["disabled"]:
            for part in self._wanted(*OF_OTHERS):
                if not isinstance(self._parts.get(part), Unseen):
                    self._parts[f"{part}:disabled"] = activities_off(answer["disabled"])

    def _see_statements(self, asker: Asker, extension: Any) -> None:
        """Ask pg_stat_statements, once, in the first database that has it; it knows of all of them."""
        if "slow_queries" not in self._policy.parts or self._statements_seen or not extension:
            return
        self._statements_seen = True
        if isinstance(extension, Failure):
            self._keep({"slow_queries": extension}, {})
        else:
            self._keep(asker.ask(cluster_sql.statements(extension, self._policy)), {"slow_queries": _statements})

    def _require_statements(self) -> None:
        if "slow_queries" in self._policy.parts and not self._statements_seen:
            self._parts["slow_queries"] = extension_missing(
                self._cluster.connection.database, "pg_stat_statements.max" in self.facts.settings
            )

    # --- a database

    def see_database(self, name: str) -> Place:
        """Look into one database. Raises ``ConnectionFailed`` when it does not let us in, or not to the end."""
        if name == self._cluster.connection.database:
            return Place(name, self._see_inside(name, self._asker, self.server))
        if not self._wanted(*_INSIDE) and not self._seeks_statements:
            return Place(name)
        if self._deadline.expired:
            return Place(name, {part: not_asked() for part in self._wanted(*_INSIDE)})
        with self._cluster.session(name) as session:
            try:
                return Place(name, self._see_inside(name, self._asker_of(session), read_server(session)))
            except ServerError as error:
                raise lost(self._cluster.connection, error) from None

    def _see_inside(self, name: str, asker: Asker, server: Server) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        references: Any = None
        questions = self._questions(name, server)
        for group in _GROUPS:
            answers = asker.ask(*(questions[part] for part in group if part in questions))
            for part, answer in answers.items():
                if part == "extension":
                    self._see_statements(asker, answer)
                elif part == "sequences":
                    parts[part] = self._sequences(asker, answer)
                elif part == "large_objects":
                    references = answer
                else:
                    parts[part] = self._read(part, answer, _INSIDE_READERS)
        if "bloat" in self._policy.parts:
            parts["bloat"] = self._bloat(asker, server)
        if "large_objects" in questions:
            # The last, because from here on statements get less time.
            parts["large_objects"] = self._large_objects(asker, references)
        for part in self._wanted(*PRIMARY_ONLY):
            if server.in_recovery:
                parts[part] = on_standby(part)
            elif not server.counts:
                parts[part] = counters_off()
        return parts

    def _began(self, database: str) -> float:
        row = next((row for row in self.databases if row.name == database), None)
        return self.facts.counting_since(row) or 0.0

    def _questions(self, name: str, server: Server) -> dict[str, Question]:
        """Return what is to be asked in a database, by name."""
        policy, version = self._policy, server.version
        every = {
            "last_vacuum": database_sql.tables(version, policy, self._began(name)),
            "autovacuum": database_sql.autovacuum_off(),
            "sizes": database_sql.top_tables(BLOCK_SIZE, policy),
            "wraparound": database_sql.oldest_tables(),
            "unused_indexes": database_sql.unused_indexes(version, BLOCK_SIZE, policy),
            "duplicate_indexes": database_sql.duplicate_indexes(version, BLOCK_SIZE),
            "invalid_indexes": database_sql.invalid_indexes(BLOCK_SIZE),
            "sequences": database_sql.sequences(),
            "large_objects": database_sql.large_objects(),
        }
        asked = {name: question for name, question in every.items() if name in policy.parts}
        if server.in_recovery or not server.counts:
            asked = {name: question for name, question in asked.items() if name not in PRIMARY_ONLY}
        if self._seeks_statements:
            asked["extension"] = cluster_sql_extension()
        return asked

    @property
    def _seeks_statements(self) -> bool:
        """Whether pg_stat_statements is wanted and was in no database so far."""
        return "slow_queries" in self._policy.parts and not self._statements_seen and self._extension is None

    @property
    def _batch(self) -> int:
        """How many sequences are read at a time: a quarter of the locks that the server has for everybody."""
        each = self.facts.number("max_locks_per_transaction") or 64
        sessions = (self.facts.number("max_connections") or 100) + (self.facts.number("max_prepared_transactions") or 0)
        return max(16, min(2000, int(each * sessions) // 4))

    def _sequences(self, asker: Asker, answer: Any) -> Any:
        """Read the sequences that *answer* lists, so many at a time."""
        if isinstance(answer, Failure):
            return unseen("sequences", answer, self.server.user, self._options)
        listed, rows = answer["sequences"] or [], []
        for start in range(0, len(listed), self._batch):
            batch = listed[start : start + self._batch]
            values = asker.ask(database_sql.last_values([entry[0] for entry in batch]))["sequences"]
            if isinstance(values, Failure):
                return unseen("sequences", values, self.server.user, self._options)
            rows += [SequenceRow(value, *entry[1:]) for entry, value in zip(batch, values) if value is not None]
        return Sequences(answer["count"], answer["unreadable"], answer["locked"], tuple(rows))

    def _large_objects(self, asker: Asker, answer: Any) -> Any:
        if isinstance(answer, Failure):
            return unseen("large_objects", answer, self.server.user, self._options)
        if answer is None:
            return LargeObjects(0, 0, 0)
        columns, hidden = answer["columns"] or [], tuple(answer["hidden"] or ())
        if hidden or len(columns) > MOST_COLUMNS:
            return LargeObjects(-1, None, len(columns), hidden)
        asker.limit(ORPHANS_SECONDS)
        counted = asker.ask(database_sql.orphans(columns))["large_objects"]
        if isinstance(counted, Failure):
            return unseen("large_objects", counted, self.server.user, self._options)
        return LargeObjects(counted["count"], counted["orphans"], len(columns))

    def _bloat(self, asker: Asker, server: Server) -> Any:
        try:
            asker.make_time()
            asker.statements += 2
            return read_bloat(asker.session, server, min_bytes=self._policy.bloat_min_size)
        except ServerError as error:
            if asker.session.lost:
                raise
            return unseen("bloat", Failure(error.sqlstate, error.message), self.server.user, self._options)


def cluster_sql_extension() -> Question:
    return Question("extension", cluster_sql.EXTENSION)


# --- answers into records ---------------------------------------------------------------------------------------------


def _sessions(answer: Mapping[str, Any]) -> tuple[int, tuple[SessionRow, ...]]:
    return answer["count"], build_all(SessionRow, answer["sessions"])


def _lock_waits(answer: Mapping[str, Any]) -> tuple[int, tuple[Waiter, ...], dict[int, SessionRow]]:
    sessions = build_all(SessionRow, answer["sessions"])
    return answer["count"], build_all(Waiter, answer["waiters"]), {session.pid: session for session in sessions}


def _holders(answer: Any) -> tuple[Holder, ...]:
    return tuple(Holder(**row, hint=hint_for(row["kind"], row["id"])) for row in answer or ())


def _replication(answer: Mapping[str, Any]) -> Replication:
    receiver = answer["receiver"]
    return Replication(
        build_all(StandbyRow, answer["standbys"]),
        build_all(SlotRow, answer["slots"]),
        None if receiver is None else build(Receiver, receiver),
    )


def _statements(answer: Mapping[str, Any]) -> Statements:
    return Statements(
        answer["since"],
        answer["slow_count"],
        answer["total"] or 0.0,
        build_all(Statement, answer["slow"]),
        build_all(Statement, answer["top"]),
    )


def _tables(answer: Mapping[str, Any]) -> Tables:
    return Tables(answer["count"], answer["overdue_count"], build_all(TableRow, answer["overdue"]), 0, ())


def _autovacuum_off(answer: Mapping[str, Any]) -> Tables:
    return Tables(answer["count"], 0, (), answer["off_count"], tuple(answer["off"] or ()))


def _twins(answer: Mapping[str, Any]) -> tuple[int, tuple[Twin, ...]]:
    return answer["count"], build_all(Twin, answer["twins"])


_SESSION_READERS: Mapping[str, Callable[[Any], Any]] = {
    "connections": lambda answer: build(Activity, {**answer, "roles": answer["roles"] or []}),
    "long_queries": _sessions,
    "idle_in_transaction": _sessions,
    "lock_waits": _lock_waits,
    "xmin_holders": _holders,
    "prepared_xacts": lambda answer: build_all(Prepared, answer),
    "autovacuum": lambda answer: build(Workers, answer),
}
_COPY_READERS: Mapping[str, Callable[[Any], Any]] = {
    "replication": _replication,
    "archiver": lambda answer: build(Archiver, answer),
    "sizes": lambda answer: {row["name"]: row["bytes"] for row in answer or ()},
}
_INSIDE_READERS: Mapping[str, Callable[[Any], Any]] = {
    "last_vacuum": _tables,
    "autovacuum": _autovacuum_off,
    "sizes": lambda answer: build_all(Sized, answer),
    "wraparound": lambda answer: tuple(answer or ()),
    "unused_indexes": lambda answer: build_all(IndexRow, answer),
    "duplicate_indexes": _twins,
    "invalid_indexes": lambda answer: build_all(Invalid, answer),
}
# What goes together in one statement.
_GROUPS = (
    ("extension", "last_vacuum", "autovacuum", "sizes", "wraparound"),
    ("unused_indexes", "duplicate_indexes", "invalid_indexes", "sequences", "large_objects"),
)
_INSIDE: Collection[str] = ("bloat", *_INSIDE_READERS, "sequences", "large_objects")
