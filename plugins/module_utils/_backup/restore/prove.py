# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See whether a database that was restored is what its maker wrote down, and what you say it must be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    HASH,
    HEAPALLINDEXED,
    NONE,
    Assertion,
    Restored,
    Trouble,
    Wishes,
    failed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import (
    SqlFailed,
    Target,
    connection,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import table_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

_NAMED = 10
_DAMAGED = re.compile(r'^(?:heap table|btree index|index|heap relation) "([^"]+)"', re.MULTILINE)
_COMPARISON = re.compile(r"(>=|<=|!=|<>|=|>|<)\s*(\S.*)\Z", re.DOTALL)
_PLAIN_VALUE = re.compile(r"-?\d+(?:\.\d+)?\Z|true\Z|false\Z|t\Z|f\Z")


@dataclass(frozen=True)
class Judged:
    """What the pass over the backup showed, and what its maker wrote down; ``taken_at`` in RFC 3339.

    ``rows`` is None where nobody counted. ``told_by`` says who did: manifest or dump. Names are ``rows.table_name``'s.
    """

    rows: Mapping[str, int] | None = None
    told_by: str = "nothing"
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    taken_at: str = ""
    tolerance: float = 0.0


@dataclass
class Counted:
    """The rows of each table that was restored, and, where it was asked for, their fingerprints."""

    rows: dict[str, int] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)


class Prover:
    """Asks one restored database; what is wrong goes to *restored*. Raises ``Failed`` when it cannot be asked."""

    def __init__(self, target: Target, database: str, wishes: Wishes, restored: Restored) -> None:
        self._target, self._database = target, database
        self._wishes, self._restored = wishes, restored

    def analyzing(self) -> Callable[[], None]:
        """Begin what a server needs before it is of use: without statistics its plans are bad.

        Returns what waits for its end.
        """
        if not self._target.has("vacuumdb"):
            self._query("ANALYZE;")
            return _nothing
        arguments = ["--analyze-only", "--quiet", "--jobs", str(max(1, self._wishes.jobs)), connection(self._database)]
        wait = self._target.begin("vacuumdb", arguments)

        def finish() -> None:
            ended = wait()
            if ended.status != 0:
                what = f"cannot be used after its restore: ANALYZE stopped with: {told(ended.errors)}"
                raise failed("backup.restore_failed", what, program="vacuumdb")

        return finish

    def count(self, judged: Judged = Judged()) -> Counted:
        """Count the rows of every table; hash them as well where that was asked for and somebody did so before."""
        counted = Counted()
        if self._wishes.fingerprint == NONE:
            self._restored.bytes += int(self._query(sql.SIZE)[0])
            return counted
        hashing = self._wishes.fingerprint == HASH
        statements = []
        tables, size_of_all = self._queries([sql.TABLES, sql.SIZE])
        listed = [json.loads(line) for line in tables]
        for schema, table, size, of_extension in listed:
            name = table_name(schema, table)
            if of_extension and name not in (judged.rows or ()):
                continue
            hashed = hashing and name in judged.fingerprints
            statements.append((size, (sql.fingerprint if hashed else sql.count_rows)(schema, table)))
        prefix = sql.FINGERPRINT_SETTINGS if hashing else ""
        texts = [prefix + text for text in sql.shared_out(statements, self._wishes.jobs)]
        for lines in self._queries(texts):
            for line in lines:
                schema, table, rows, hashed_as = json.loads(line)
                counted.rows[table_name(schema, table)] = rows
                if hashed_as is not None:
                    counted.fingerprints[table_name(schema, table)] = hashed_as
        self._restored.tables += len(counted.rows)
        self._restored.rows += sum(counted.rows.values())
        self._restored.bytes += int(size_of_all[0])
        return counted

    def _query(self, text: str) -> list[str]:
        return self._queries([text])[0]

    def _queries(self, texts: Sequence[str]) -> list[list[str]]:
        try:
            return self._target.queries(self._database, texts)
        except SqlFailed as error:
            what = f"cannot be read after its restore: {error}"
            raise failed("backup.restore_failed", what, error=str(error)) from None

    # --- against what its maker wrote down

    def extensions(self) -> frozenset[str]:
        return frozenset(json.loads(line) for line in self._query(sql.EXTENSIONS))

    def compare(self, counted: Counted, judged: Judged, extensions: frozenset[str] = frozenset()) -> None:
        """Compare what was *counted*, and the *extensions* that are there, with what is known of the backup."""
        restored = self._restored
        if judged.rows is not None and self._wishes.fingerprint != NONE:
            restored.compared = judged.told_by
            self._compare_rows(counted, judged, judged.rows)
        if self._wishes.fingerprint == HASH:
            self._compare_fingerprints(counted, judged)
        if judged.extensions:
            missing = sorted(set(judged.extensions) - extensions)
            if missing:
                what = f"lacks, once restored, {len(missing)} extensions of its database, such as {missing[0]}"
                evidence = {"extensions": missing[:_NAMED], "count": len(missing)}
                restored.add(Trouble("backup.schema_mismatch", what, evidence, warning=True))

    def _compare_rows(self, counted: Counted, judged: Judged, wanted: Mapping[str, int]) -> None:
        missing = sorted(table for table, rows in wanted.items() if rows and table not in counted.rows)
        if missing:
            what = f"lacks, once restored, {len(missing)} tables that its {judged.told_by} has, such as {missing[0]}"
            evidence = {"tables": missing[:_NAMED], "count": len(missing)}
            self._restored.add(Trouble("backup.data_missing", what, evidence))
        others = {
            table: {"restored": counted.rows[table], judged.told_by: rows}
            for table, rows in sorted(wanted.items())
            if table in counted.rows and abs(counted.rows[table] - rows) > judged.tolerance * rows
        }
        if others:
            table, rows_of = next(iter(others.items()))
            what = (
                f"has, once restored, other numbers of rows than its {judged.told_by} says in {len(others)} tables: "
                f"{table} has {rows_of['restored']} instead of {rows_of[judged.told_by]}"
            )
            evidence = {"tables": dict(list(others.items())[:_NAMED]), "count": len(others)}
            self._restored.add(Trouble("backup.row_count_mismatch", what, evidence))

    def _compare_fingerprints(self, counted: Counted, judged: Judged) -> None:
        common = sorted(set(judged.fingerprints) & set(counted.fingerprints))
        self._restored.hashed = len(common)
        if not common:
            self._restored.notes.append("The manifest has no fingerprints, so that only rows were counted.")
            return
        self._restored.fingerprint = HASH
        others = [table for table in common if judged.fingerprints[table] != counted.fingerprints[table]]
        if others:
            what = f"has, once restored, other rows than its maker hashed in {len(others)} tables, such as {others[0]}"
            evidence = {"tables": others[:_NAMED], "count": len(others), "hashed": len(common)}
            self._restored.add(Trouble("backup.fingerprint_mismatch", what, evidence))

    # --- what it is by itself

    def examine(self) -> None:
        invalid, unvalidated, filled = self._queries([sql.INVALID, sql.UNVALIDATED, sql.SEQUENCES])
        self._indexes([json.loads(line) for line in invalid])
        self._constraints(int(unvalidated[0]))
        self._sequences([json.loads(line) for line in filled])

    def _indexes(self, invalid: list[list[str]]) -> None:
        # One over partitions is valid only when each part has its own; the dump makes it as it was.
        for kinds, warning in (("i", False), ("I", True)):
            names = [table_name(schema, name) for schema, name, kind in invalid if kind == kinds]
            if names:
                what = f"has, once restored, {len(names)} indexes that are not valid, such as {names[0]}"
                evidence = {"indexes": names[:_NAMED], "count": len(names)}
                self._restored.add(Trouble("backup.index_corrupt", what, evidence, warning=warning))

    def _constraints(self, count: int) -> None:
        if count:
            self._restored.notes.append(f"{count} constraints are NOT VALID, as they were in the database.")

    def _sequences(self, filled: list[list[str]]) -> None:
        if not filled:
            return
        lines = self._query("\n".join(sql.sequence_and_column(*one) for one in filled))
        self._restored.sequences += len(lines)
        behind = []
        for line in lines:
            schema, name, last, largest = json.loads(line)
            if largest is not None and largest > (last if last is not None else largest - 1):
                behind.append(table_name(schema, name))
        if behind:
            what = f"has {len(behind)} sequences that stand before the largest value in use, such as {behind[0]}"
            evidence = {"sequences": behind[:_NAMED], "count": len(behind)}
            self._restored.add(Trouble("backup.sequence_behind", what, evidence, warning=True))

    # --- what you say it must be

    def assertions(self) -> None:
        for number, assertion in enumerate(self._wishes.assertions, 1):
            self._restored.assertions += 1
            said = self._unlike(assertion)
            if said:
                what = f"was restored, and the assertion {number} does not hold: {said}"
                evidence = {"assertion": number, "sql": assertion.sql[:500], "expect": assertion.expect}
                self._restored.add(Trouble("backup.assertion_failed", what, evidence))

    def _unlike(self, assertion: Assertion) -> str:
        """Return why *assertion* does not hold; an empty text when it does."""
        try:
            (line,) = self._target.query(self._database, sql.one_value(assertion.sql))
        except SqlFailed as error:
            return f"the query fails with: {error}"
        rows, value = json.loads(line)
        if rows != 1:
            return f"the query gives {rows} rows instead of one value"
        if holds(value, assertion.expect):
            return ""
        shown = str(value) if value is None or _PLAIN_VALUE.match(value) else "another text"
        return f"it gives {shown}, and {assertion.expect} is expected"

    def newest(self, taken_at: str) -> None:
        """Find the newest row, and how long before the backup it was written."""
        if not self._wishes.newest:
            return
        try:
            lines = self._target.query(self._database, sql.newest_instant(self._wishes.newest))
        except SqlFailed as error:
            what = f"was restored, and the query for its newest row fails: {error}"
            self._restored.add(Trouble("backup.assertion_failed", what, {"sql": self._wishes.newest[:500]}))
            return
        text = json.loads(lines[0]) if lines and lines[0] != "" else None
        if text is None:
            what = "was restored, and the query for its newest row gives nothing"
            self._restored.add(Trouble("backup.assertion_failed", what, {"sql": self._wishes.newest[:500]}))
            return
        self._restored.newest = text.replace(" ", "T") + "Z"
        before = rpo_seconds(self._restored.newest, taken_at)
        limit = self._wishes.max_rpo
        if limit and before is not None and before > limit:
            how = f"{format_duration(before)} before it was taken (max_rpo is {format_duration(limit)})"
            what = f"was restored, and its newest row was written {how}"
            evidence = {"newest": self._restored.newest, "rpo_seconds": round(before), "limit_seconds": limit}
            self._restored.add(Trouble("backup.rpo_exceeded", what, evidence, warning=True))

    # --- tables and indexes by amcheck

    def amcheck(self) -> None:
        if self._wishes.amcheck == NONE:
            return
        if not self._target.has("pg_amcheck"):
            what = f"was restored, but PostgreSQL {self._target.version} has no pg_amcheck to look at its indexes with"
            self._restored.add(Trouble("backup.tool_missing", what, {"program": "pg_amcheck"}, unknown=True))
            return
        arguments = ["--install-missing", "--jobs", str(self._wishes.jobs), "--no-strict-names"]
        arguments += ["--heapallindexed"] if self._wishes.amcheck == HEAPALLINDEXED else []
        ended = self._target.call("pg_amcheck", [*arguments, "--database", quoted_pattern(self._database)])
        self._restored.amcheck = self._wishes.amcheck
        if ended.status == 2:
            damaged = sorted(set(_DAMAGED.findall(ended.output)))
            named = damaged[0] if damaged else "one that it does not name"
            what = (
                f"was restored, and amcheck finds damage in {max(1, len(damaged))} tables or indexes, such as {named}"
            )
            self._restored.add(Trouble("backup.index_corrupt", what, {"relations": damaged[:_NAMED]}))
        elif ended.status != 0:
            self._restored.amcheck = NONE
            what = f"was restored, but amcheck could not look at it: {told(ended.errors)}"
            self._restored.add(Trouble("backup.tool_missing", what, {"program": "pg_amcheck"}, unknown=True))


def judge_time(restored: Restored, wishes: Wishes) -> None:
    """Say whether the time to recover is longer than it may be."""
    took, limit = restored.rto_seconds, wishes.max_rto
    if limit and took > limit:
        what = f"took {format_duration(took)} to restore, longer than max_rto allows ({format_duration(limit)})"
        phases = {phase: round(seconds, 3) for phase, seconds in restored.seconds.items()}
        evidence = {"rto_seconds": round(took, 3), "limit_seconds": limit, "phases": phases}
        restored.add(Trouble("backup.rto_exceeded", what, evidence, warning=True))


def _nothing() -> None:
    """There is nothing to wait for."""


def quoted_pattern(name: str) -> str:
    """Return *name* as a pattern that it alone matches."""
    return '"' + name.replace('"', '""') + '"'


def holds(value: str | None, expect: str) -> bool:
    """Return whether *value* is what is expected: equal as text or as a number, or on the right side of a number."""
    match = _COMPARISON.match(expect)
    if match is None:
        return value is not None and (value == expect or _is_same(value, expect))
    operator, wanted = match[1], match[2].strip()
    if operator in ("=", "!=", "<>"):
        equal = value is not None and (value == wanted or _is_same(value, wanted))
        return equal if operator == "=" else not equal
    left, right = _number(value), _number(wanted)
    if left is None or right is None:
        return False
    return {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[operator]


def _is_same(value: str, wanted: str) -> bool:
    truths = {"t": True, "true": True, "f": False, "false": False}
    if value.lower() in truths and wanted.lower() in truths:
        return truths[value.lower()] is truths[wanted.lower()]
    number = _number(value)
    return number is not None and number == _number(wanted)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def rpo_seconds(newest: str, taken_at: str) -> float | None:
    """Return how long before *taken_at* the newest row was written; None when one of them is not known."""
    instants: list[Any] = []
    for text in (newest, taken_at):
        try:
            instants.append(datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=timezone.utc))
        except ValueError:
            return None
    return float((instants[1] - instants[0]).total_seconds())
