# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put facts and formulas together: an estimate of each relation, and how far it is to be trusted. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.alike import (
    Level,
    Sample,
    column_levels,
    groups_of,
    joint_levels,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.facts import (
    Counts,
    IndexColumn,
    IndexFacts,
    TableFacts,
    index_columns,
    table_columns,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import (
    CONFIDENCES,
    ESTIMATE,
    INDEX,
    NONE,
    TABLE,
    TOAST,
    Column,
    Estimate,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.pages import (
    Group,
    btree_pages,
    group_bytes,
    heap_pages,
    pivot_size,
    plain_leaves,
    shared_leaves,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.tuples import (
    Shape,
    heap_shape,
    index_shape,
    is_doubtful,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE

# With more than this share of the rows changed since ANALYZE, its findings are those of another table.
STALE_SHARE = 0.2
# With fewer pages than this, a page more or less is a large share.
SMALL_PAGES = 20
# A key that is longer is compressed when it enters an index, by nobody knows how much.
LONG_KEY = 500
# By how much two counts of the same rows may differ.
DRIFT = 0.05
# An index of which this share of the keys are different has next to nothing to share.
ALL_DIFFERENT = 0.98
# From this many rows a key on, its share of the size is lost in that of the places of the rows.
MANY_ALIKE = 200
# Nothing is so much smaller than what a rebuild leaves, so what is expected must be wrong.
WRONG = 1.1

# A full piece of a value in a TOAST table; its other columns are two numbers.
TOAST_SHAPE = Shape(2032.0)

ADVICE = "CREATE STATISTICS (ndistinct) on them, then ANALYZE, tells more"
NEVER = "never analysed: ANALYZE first"
LACKING = "some of its columns lack statistics: ANALYZE first"
UNREADABLE = "the role may not read its statistics: GRANT pg_read_all_data, or SELECT on its table, to the role"
BUSY = "another session has it locked, so its size is that of its last VACUUM or ANALYZE"


@dataclass(frozen=True)
class Trust:
    """How far an estimate is to be trusted, and what speaks against it."""

    confidence: str = "high"
    reasons: tuple[str, ...] = ()

    def at_most(self, confidence: str, reason: str = "") -> Trust:
        worse = max(self.confidence, confidence, key=CONFIDENCES.index)
        return Trust(worse, (*self.reasons, reason) if reason else self.reasons)

    @property
    def why(self) -> str:
        return "; ".join(self.reasons)


@dataclass(frozen=True)
class TableModel:
    """What a rewrite of a table is thought to leave: ``rows`` of a ``shape``, or why nobody knows."""

    trust: Trust
    rows: float = 0.0
    shape: Shape | None = None


@dataclass(frozen=True)
class IndexModel:
    """What a rebuild of a btree is thought to leave: entries of a ``shape``, or keys that share them (``groups``)."""

    trust: Trust
    rows: float = 0.0
    shape: Shape | None = None
    groups: tuple[Group, ...] | None = None
    pivot: float = 16.0

    def leaves(self, fillfactor: int) -> int:
        if self.shape is None or self.rows <= 0:
            return 0
        if self.groups is None:
            return plain_leaves(self.rows, self.shape, fillfactor)
        return shared_leaves(self.groups, fillfactor)


def rows_now(counts: Counts, pages: int) -> tuple[float, Trust]:
    """Return how many rows live in a table of that many *pages* now."""
    known, live, modified = max(counts.rows, 0.0), float(counts.live), float(counts.modified)
    drift, allowed = abs(live - known), DRIFT * max(known, live)
    if drift > allowed and abs(counts.net - known) <= allowed:
        # A session hands in its counts up to a second late. What it did just before VACUUM or ANALYZE is then counted
        # twice: the inserts and deletes of the table's whole life say so.
        return known, Trust()
    if drift > allowed and abs(live - counts.net - known) <= allowed and modified >= known - allowed:
        # So it was with all that there is, and then there were changes.
        live, modified = float(max(0, counts.net)), max(0.0, modified - known)
    elif drift <= allowed and abs(counts.net - known) <= allowed:
        # Of all that ever changed, what ANALYZE saw had changed before.
        modified = min(modified, max(0.0, counts.changes - known))
    elif drift > allowed + modified:
        return _rows_without_counters(known, counts.pages, pages)
    if modified > STALE_SHARE * max(live, known, 1.0):
        return live, Trust("low", (f"{modified:.0f} rows changed since it was analysed: ANALYZE first",))
    return live, Trust()


def _rows_without_counters(known: float, known_pages: int, pages: int) -> tuple[float, Trust]:
    """As the planner does, take the pages that came since to be as full as those before."""
    rows = known * pages / known_pages if known_pages else known
    if not known_pages or abs(pages - known_pages) > STALE_SHARE * known_pages:
        return rows, Trust("low", ("it has grown or shrunk since it was analysed: ANALYZE first",))
    return rows, Trust("medium", ("its activity counters were lost (a standby, a crash or a reset)",))


def _sized(trust: Trust, size: int) -> Trust:
    pages = size // BLOCK_SIZE
    if trust.confidence == NONE or pages >= SMALL_PAGES:
        return trust
    return trust.at_most("low", f"too small to tell ({pages} pages)")


# --- tables


def estimate_table(facts: TableFacts) -> Estimate:
    """Return what a rewrite of the table would leave of it."""
    model = table_model(facts)
    if model.trust.confidence == NONE:
        expected = facts.bytes
    elif model.shape is None:
        expected = 0
    else:
        expected = heap_pages(model.rows, model.shape, facts.fillfactor) * BLOCK_SIZE
    trust = _sized(model.trust, facts.bytes)
    return Estimate(
        oid=facts.oid,
        kind=TOAST if facts.toast else TABLE,
        schema=facts.schema,
        name=facts.name,
        sql_name=facts.sql_name,
        table_oid=facts.owner_oid,
        table_name=facts.owner_name,
        bytes=facts.bytes,
        expected_bytes=expected,
        method=NONE if trust.confidence == NONE else ESTIMATE,
        confidence=trust.confidence,
        why=trust.why,
    )


def table_model(facts: TableFacts) -> TableModel:
    obstacle = _table_obstacle(facts)
    if obstacle:
        return TableModel(Trust(NONE, (obstacle,)))
    pages = facts.bytes // BLOCK_SIZE
    rows, trust = rows_now(_toast_counts(facts.counts) if facts.toast else facts.counts, pages)
    if facts.busy:
        trust = trust.at_most("low", BUSY)
    if facts.toast:
        # Values are cut into pieces, of which only the last is smaller.
        reason = "it is taken to be full of large values; of small ones, more is free"
        return TableModel(trust.at_most("low", reason), rows, TOAST_SHAPE)
    if rows < 1.0 and facts.counts.rows == 0.0 and facts.counts.pages == pages:
        return TableModel(trust)
    found = table_columns(facts.columns)
    if not found.analysed or found.unknown:
        return TableModel(Trust(NONE, (LACKING if found.analysed else NEVER,)))
    if found.assumed:
        trust = trust.at_most("medium", LACKING)
    if any(column.length < 0 and column.nulls < 1.0 for column in found.columns):
        trust = trust.at_most("medium")
    return TableModel(trust, rows, heap_shape(found.columns))


def _table_obstacle(facts: TableFacts) -> str:
    if facts.block_size != BLOCK_SIZE:
        return f"the server has pages of {facts.block_size} bytes"
    if facts.method not in ("heap", ""):
        return f"its access method is {facts.method}"
    if not (facts.readable or facts.toast):
        return UNREADABLE
    return NEVER if facts.counts.rows < 0 else ""


def _toast_counts(counts: Counts) -> Counts:
    """A TOAST table is vacuumed but never analysed, so its counter of changes only grows."""
    return replace(counts, modified=min(counts.modified, round(abs(counts.live - counts.rows))))


# --- indexes


def estimate_index(facts: IndexFacts) -> Estimate:
    """Return what a rebuild of the index would leave of it."""
    model = index_model(facts)
    expected = facts.bytes
    trust = _sized(model.trust, facts.bytes)
    if trust.confidence != NONE:
        expected = btree_pages(model.leaves(facts.fillfactor), model.pivot) * BLOCK_SIZE
        if expected > max(WRONG * facts.bytes, facts.bytes + SMALL_PAGES * BLOCK_SIZE):
            advice = f": {ADVICE}" if facts.keys > 1 and model.groups is not None else ""
            trust = trust.at_most("low", f"it is smaller than its statistics make it{advice}")
    return Estimate(
        oid=facts.oid,
        kind=INDEX,
        schema=facts.schema,
        name=facts.name,
        sql_name=facts.sql_name,
        table_oid=facts.table_oid,
        table_name=facts.table_name,
        bytes=facts.bytes,
        expected_bytes=expected,
        method=NONE if trust.confidence == NONE else ESTIMATE,
        confidence=trust.confidence,
        why=trust.why,
    )


def index_model(facts: IndexFacts) -> IndexModel:
    columns = [_in_partial(one, facts) for one in index_columns(facts.columns)]
    sharing = shares_entries(facts, columns)
    obstacle = _index_obstacle(facts, columns, sharing)
    if obstacle:
        return IndexModel(Trust(NONE, (obstacle,)))
    rows, trust = _index_rows(facts)
    if _is_empty(facts):
        return IndexModel(trust)
    if facts.busy:
        trust = trust.at_most("low", BUSY)
    if not facts.toast and any(not one.known for one in columns):
        trust = trust.at_most("medium", LACKING)
    if any(one.column.length < 0 and one.column.nulls < 1.0 for one in columns):
        trust = trust.at_most("medium")
    trust = _with_long_values(trust, columns)
    keys = columns[: facts.keys]
    levels, groups = _levels(keys, facts), None
    if sharing and rows >= 1.0:
        joint = facts.distinct.get(frozenset(one.source for one in keys), 0.0) if len(keys) > 1 else 0.0
        groups = groups_of(joint_levels(levels, rows, joint), rows, _Sizes([one.column for one in keys]))
        if len(keys) > 1 and not joint and _uncertain(levels, rows):
            trust = trust.at_most("medium", f"its columns are taken to be independent of one another: {ADVICE}")
        if sum(group.number for group in groups) > ALL_DIFFERENT * rows:
            groups = None
    entries = rows if groups is None else sum(group.number * group_bytes(group)[1] for group in groups)
    return IndexModel(
        trust=trust,
        rows=rows,
        shape=index_shape([one.column for one in columns]),
        groups=None if groups is None else tuple(groups),
        pivot=_pivot(keys, levels, entries),
    )


def _with_long_values(trust: Trust, columns: Sequence[IndexColumn]) -> Trust:
    """An index holds values whole that the table keeps elsewhere, and compresses those that the table does not."""
    values = [one for one in columns if one.column.length == -1 and one.column.nulls < 1.0]
    if any(not one.shown or (one.source and is_doubtful(one.column)) for one in values):
        return trust.at_most("low", "the statistics do not show how long its values are")
    if any(one.column.width > LONG_KEY for one in values):
        return trust.at_most("low", "its long values are compressed in the index, by an unknown share")
    return trust


def _index_obstacle(facts: IndexFacts, columns: Sequence[IndexColumn], sharing: bool) -> str:
    if facts.block_size != BLOCK_SIZE:
        return f"the server has pages of {facts.block_size} bytes"
    if facts.method != "btree":
        return f"the size of a {facts.method} index cannot be estimated"
    if facts.toast:
        return "" if facts.counts.rows >= 0 else NEVER
    if not facts.readable:
        return UNREADABLE
    if _is_empty(facts):
        return ""
    if facts.counts.rows < 0 or not any(one.known for one in columns):
        return NEVER
    if any(not one.known and (sharing or one.column.length < 0) for one in columns):
        return LACKING
    if any(one.unknown_length for one in columns):
        return "the lengths of its values are not known"
    return ""


def _is_empty(facts: IndexFacts) -> bool:
    """Whether its table had no row when it was analysed, nor has one now; then there are no statistics."""
    return facts.counts.rows == 0.0 and facts.counts.live == 0 and facts.pages * BLOCK_SIZE == facts.bytes


def shares_entries(facts: IndexFacts, columns: Sequence[IndexColumn]) -> bool:
    """Whether a rebuild would put equal keys into one entry, with a list of their rows."""
    return facts.deduplicate and not facts.unique and len(columns) == facts.keys and all(one.alike for one in columns)


def _index_rows(facts: IndexFacts) -> tuple[float, Trust]:
    counts = _toast_counts(facts.counts) if facts.toast else facts.counts
    rows, trust = rows_now(counts, counts.pages)
    if not facts.partial:
        return rows, trust
    if facts.rows < 0:
        return 0.0, trust.at_most("low", NEVER)
    # It has the same share of the table's rows as when they were counted.
    return min(rows, facts.rows * rows / max(counts.rows, 1.0)), trust.at_most("medium")


def _in_partial(one: IndexColumn, facts: IndexFacts) -> IndexColumn:
    """Return the column as it is in the index, when a predicate says something about its nulls."""
    if not facts.partial or one.source not in facts.null_tests:
        return one
    return one._replace(column=replace(one.column, nulls=1.0 if facts.null_tests[one.source] else 0.0))


def _levels(keys: Sequence[IndexColumn], facts: IndexFacts) -> list[list[Level]]:
    """Return which values each key column has."""
    rows = max(1.0, rows_now(facts.counts, facts.counts.pages)[0])
    sample = Sample(rows, min(rows, facts.sample))
    found = []
    for bit, one in enumerate(keys):
        levels = column_levels(one.key, sample, bit)
        if one.column.nulls != one.key.nulls:
            # A predicate has the nulls, or all but them.
            levels = [level for level in levels if bool(level.nulls) == bool(one.column.nulls)]
            total = sum(level.number * level.share for level in levels)
            levels = [level._replace(share=level.share / total) for level in levels] or [Level(1.0, 1.0)]
        found.append(levels)
    return found


class _Sizes(dict[int, float]):
    """The mean size of an index entry, by which of its columns are null."""

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, nulls: int) -> float:
        columns = [replace(one, nulls=float(nulls >> bit & 1)) for bit, one in enumerate(self._columns)]
        self[nulls] = index_shape(columns).mean
        return self[nulls]


def _pivot(keys: Sequence[IndexColumn], levels: Sequence[Sequence[Level]], entries: float) -> float:
    sizes, distinct, product = [], [], 1.0
    for number in range(1, len(keys) + 1):
        sizes.append(index_shape([one.column for one in keys[:number]]).mean)
        product *= sum(level.number for level in levels[number - 1])
        distinct.append(product)
    return pivot_size(sizes, distinct, entries)


def _uncertain(levels: Sequence[Sequence[Level]], rows: float) -> bool:
    """Whether more than one number of different keys is likely, and it matters."""
    numbers = [sum(level.number for level in one) for one in levels]
    most = min(math.prod(numbers), rows)
    return max(numbers) < rows / 2 and most > 2 * max(numbers) and rows / most < MANY_ALIKE
