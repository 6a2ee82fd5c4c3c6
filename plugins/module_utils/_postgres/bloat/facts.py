# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the two statements, as values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Column, Key

_ALIGNMENTS = {"c": 1, "s": 2, "i": 4, "d": 8}
# Both forms that pg_ndistinct has had as text.
_DISTINCT = (
    re.compile(r'"([-\d, ]+)": (-?\d+)'),
    re.compile(r'"attributes": \[([-\d, ]+)\], "ndistinct": (-?\d+)'),
)
_COLUMN = re.compile(r"\{VAR [^{}]*?:varattno (\d+) ")
_IS_NULL = re.compile(r"\{NULLTEST :arg \{VAR [^{}]*?:varattno (\d+) [^{}]*\} :nulltesttype 0 ")


@dataclass(frozen=True)
class Counts:
    """How many rows a table has, by its last ANALYZE or VACUUM (``pages``, ``rows``, -1 for never) and since.

    ``live`` and ``modified`` are of the activity counters, which a crash, a reset or a standby lacks. Since these began
    ``changes`` rows were inserted, updated or deleted; ``net`` is what was inserted less what was deleted.
    """

    pages: int
    rows: float
    live: int
    dead: int = 0
    modified: int = 0
    net: int = 0
    changes: int = 0


class TableColumns(NamedTuple):
    """``columns`` as a rewrite would store them.

    ``unknown`` is how many have a size that nothing tells, ``assumed`` how many may be null and nothing tells. Rows
    that were not written since may still hold ``dropped`` columns, and may not hold ``added`` ones yet.
    """

    columns: tuple[Column, ...]
    analysed: bool = False
    unknown: int = 0
    assumed: int = 0
    dropped: bool = False
    added: bool = False


class IndexColumn(NamedTuple):
    """One column of an index: how it is stored and, of a key, how often its values are alike.

    ``source`` is the number of the table's column, 0 for an expression; ``alike`` is whether equal values are
    interchangeable, so that they may share an entry. ``shown`` is whether the statistics hold any typical value: those
    of more than 1 kB they do not, and in the table such a value may be a mere pointer to where it is.
    """

    column: Column
    key: Key
    source: int
    known: bool
    alike: bool
    shown: bool = True

    @property
    def unknown_length(self) -> bool:
        """Whether nothing tells how long its values are: the type ``name`` is shorter in an index than in a table."""
        return self.column.length == -2 and not self.column.lengths and self.column.nulls < 1.0


@dataclass(frozen=True)
class TableFacts:
    """A table, materialized view or TOAST table (of ``owner``). ``busy`` is whether somebody has it locked."""

    oid: int
    schema: str
    name: str
    sql_name: str
    toast: bool
    owner_oid: int
    owner_name: str
    bytes: int
    counts: Counts
    method: str
    fillfactor: int
    readable: bool
    block_size: int
    columns: str
    busy: bool


@dataclass(frozen=True)
class IndexFacts:
    """An index, of whose columns the first ``keys`` are keys.

    ``pages`` and ``rows`` are its own, by the last VACUUM or ANALYZE, ``counts`` its table's; ``sample`` is how many
    rows ANALYZE looks at. ``null_tests`` are the columns that its predicate speaks of, and whether it wants them null.
    """

    oid: int
    schema: str
    name: str
    sql_name: str
    table_oid: int
    table_name: str
    bytes: int
    pages: int
    rows: float
    counts: Counts
    method: str
    fillfactor: int
    deduplicate: bool
    unique: bool
    keys: int
    partial: bool
    null_tests: Mapping[int, bool]
    sample: int
    toast: bool
    readable: bool
    block_size: int
    columns: str
    distinct: Mapping[frozenset[int], float] = field(default_factory=dict)
    busy: bool = False


def table_facts(row: Sequence[Any]) -> TableFacts:
    """Return one row of the first statement."""
    oid, schema, name, sql_name, toast, owner_oid, owner_name, size, *counts = row[:15]
    method, fillfactor, readable, block_size, columns, busy = row[15:]
    return TableFacts(
        oid, schema, name, sql_name, toast, owner_oid, owner_name, size, Counts(*counts), method, fillfactor or 100,
        readable, block_size, columns or "", busy,
    )  # fmt: skip


def index_facts(row: Sequence[Any]) -> IndexFacts:
    """Return one row of the second statement."""
    oid, schema, name, sql_name, table_oid, table_name, size, pages, rows, *counts = row[:16]
    method, fillfactor, deduplicate, unique, keys, predicate, sample, toast, readable, block_size = row[16:26]
    columns, distinct, busy = row[26:]
    return IndexFacts(
        oid, schema, name, sql_name, table_oid, table_name, size, pages, rows, Counts(*counts), method,
        fillfactor or 90, deduplicate, unique, keys, predicate is not None, null_tests_of(predicate or ""), sample,
        toast, readable, block_size, columns or "", distinct_of(distinct or ""), busy,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def table_columns(text: str) -> TableColumns:
    """Return the columns that one row of the first statement describes."""
    columns: list[Column] = []
    states: list[str] = []
    unknown = assumed = 0
    for part in filter(None, text.split(",")):
        length, align, storage, state, not_null, nulls, width, lengths = part.split(" ")
        states.append(state)
        if state == "d":
            columns.append(Column(int(length), _ALIGNMENTS[align], nulls=1.0))
            continue
        unknown += state == "-" and int(length) < 0
        assumed += state == "-" and int(length) > 0 and not_null == "0"
        columns.append(_column(length, align, storage, nulls, width, lengths))
    analysed = "s" in states or "m" in states
    return TableColumns(tuple(columns), analysed, unknown, assumed, dropped="d" in states, added="m" in states)


@lru_cache(maxsize=4096)
def index_columns(text: str) -> tuple[IndexColumn, ...]:
    """Return the columns that one row of the second statement describes."""
    found = []
    for part in filter(None, text.split(",")):
        length, align, storage, state, source, nulls, width, distinct, alike, common, lengths = part.split(" ")
        bytes_ = float(width)
        if source == "0" and length == "-1" and bytes_ > 4:
            # When it is analysed, the result of an expression has a header of four bytes; in the index it is shorter.
            bytes_ -= 3 if bytes_ - 3 <= 127 and storage != "p" else 0
        elif length == "-2":
            bytes_ = 0.0  # that of the table, which pads it
        column = _column(length, align, storage, nulls, str(bytes_), lengths)
        shares = tuple(float(share) for share in common.split("+")) if common != "-" else ()
        key = Key(float(distinct), column.nulls, shares) if state == "s" else Key(-1.0)
        found.append(IndexColumn(column, key, int(source), state == "s", alike == "1", lengths != "?"))
    return tuple(found)


def _column(length: str, align: str, storage: str, nulls: str, width: str, lengths: str) -> Column:
    share = min(1.0, max(0.0, float(nulls)))
    return Column(int(length), _ALIGNMENTS[align], storage != "p", share, float(width), _lengths(lengths))


def _lengths(text: str) -> tuple[tuple[int, float], ...]:
    if text in ("-", "?"):
        return ()
    pairs = (pair.split("*") for pair in text.split("+"))
    return tuple((int(length), float(weight)) for length, weight in pairs)


def null_tests_of(predicate: str) -> dict[int, bool]:
    """Return which columns a predicate, in the server's own form, speaks of, and whether it demands them to be null.

    What compares a column leaves its nulls out.
    """
    found = {int(number): False for number in _COLUMN.findall(predicate)}
    return {**found, **{int(number): True for number in _IS_NULL.findall(predicate)}}


def distinct_of(text: str) -> dict[frozenset[int], float]:
    """Return how many different values sets of columns have, from the texts of extended statistics."""
    found: dict[frozenset[int], float] = {}
    for pattern in _DISTINCT:
        for numbers, distinct in pattern.findall(text):
            found[frozenset(int(number) for number in numbers.split(","))] = float(distinct)
    return found
