# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgstattuple counts, as what a rewrite would save. Pure.

The two are not the same. Free bytes are not all that a rewrite frees: pointers to rows that are gone go too. Not all
free bytes are freed: the fill factor keeps its share. And in an index equal keys may come to share entries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.evaluate import (
    IndexModel,
    TableModel,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.facts import (
    IndexFacts,
    TableFacts,
    table_columns,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import (
    NONE,
    PGSTATINDEX,
    PGSTATTUPLE,
    Estimate,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.pages import (
    BTREE_ROOM,
    LINE_POINTER,
    MOST_ROWS,
    PAGE_HEADER,
    btree_pages,
    group_bytes,
    heap_room,
    leaf_room,
    pages_for,
    per_page,
    rows_a_page,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.tuples import WORD, Shape
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE

# Up to this share, what was counted confirms what was estimated; beyond, it replaces it.
AGREES = 0.05
_LEAST_ROW = 24.0


@dataclass(frozen=True)
class TableCount:
    """From ``pgstattuple_approx``: bytes in all, rows that live, bytes of dead rows and free bytes."""

    bytes: int
    rows: float
    dead_bytes: float
    free_bytes: float


@dataclass(frozen=True)
class IndexCount:
    """From ``pgstatindex``: bytes in all, leaves, pages above them, and how full the leaves are (0 to 1)."""

    bytes: int
    leaves: int
    inner: int
    density: float


def counted_table(estimate: Estimate, facts: TableFacts, model: TableModel, count: TableCount) -> Estimate:
    """Return *estimate* with what was counted in place of what was thought."""
    pages = count.bytes // BLOCK_SIZE
    if not pages or count.rows < 1.0:
        return _counted(estimate, count.bytes, 0, PGSTATTUPLE)
    shape = _shape(facts, model.shape, count, pages)
    expected = pages_for(count.rows, rows_a_page(shape, facts.fillfactor)) * BLOCK_SIZE
    return _counted(estimate, count.bytes, expected, PGSTATTUPLE)


def _shape(facts: TableFacts, thought: Shape | None, count: TableCount, pages: int) -> Shape:
    """Return the sizes of rows: those that were *thought*, unless what was counted differs and nothing explains why."""
    used = count.bytes - count.free_bytes - count.dead_bytes - PAGE_HEADER * pages
    room, each = heap_room(facts.fillfactor), count.rows / pages
    if thought is not None:
        # A page keeps pointers of rows that are gone: none, or all that it had when it was full.
        most = pages * min(float(MOST_ROWS), room / (thought.mean + LINE_POINTER))
        least_size = (used - LINE_POINTER * max(count.rows, most)) / count.rows
        most_size = used / count.rows - LINE_POINTER
        columns = table_columns(facts.columns)
        dropped, added = columns.dropped and most_size > thought.mean, columns.added and least_size < thought.mean
        if dropped or added or least_size * (1 - AGREES) <= thought.mean <= most_size * (1 + AGREES):
            return thought
    size = max(_LEAST_ROW, used / count.rows - LINE_POINTER)
    for _step in range(50):
        # VACUUM cuts off those behind the last row that lives.
        pointers = pages * min(float(MOST_ROWS), room / (size + LINE_POINTER)) * each / (each + 1)
        size = max(_LEAST_ROW, (used - LINE_POINTER * max(count.rows, pointers)) / count.rows)
    if thought is not None:
        return Shape(size, thought.variance * (size / thought.mean) ** 2)
    # Nothing is known of them; all alike, or not.
    return Shape(size) if abs(size - WORD * round(size / WORD)) < 0.5 else Shape(size, (size / 4) ** 2)


def counted_index(estimate: Estimate, facts: IndexFacts, model: IndexModel, count: IndexCount) -> Estimate:
    """Return *estimate* with what was counted in place of what was thought.

    Entries that lead to dead rows are counted as if these lived.
    """
    room = BTREE_ROOM + LINE_POINTER
    used = count.leaves * (room * count.density - LINE_POINTER - (model.pivot + LINE_POINTER))
    if model.trust.confidence == NONE:
        leaves = pages_for(max(0.0, used), float(leaf_room(facts.fillfactor)))
        return _counted(estimate, count.bytes, btree_pages(leaves, model.pivot) * BLOCK_SIZE, PGSTATINDEX)
    thought = model.leaves(facts.fillfactor)
    leaves = found = pages_for(max(0.0, used), _leaf_content(model, facts, thought))
    alive = facts.counts.live / max(1, facts.counts.live + facts.counts.dead)
    why = ""
    if abs(found - thought) <= AGREES * found:
        leaves = thought
    elif found * alive * (1 - AGREES) <= thought < found:
        leaves, why = thought, "the rest is taken to lead to dead rows"
    elif model.groups is not None and thought < found:
        # What is there may not share entries yet as a rebuild would have it.
        leaves, why = thought, "part of it is what a rebuild would save by letting equal keys share entries"
    counted = _counted(estimate, count.bytes, btree_pages(leaves, model.pivot) * BLOCK_SIZE, PGSTATINDEX)
    return replace(counted, confidence="medium", why=why) if why else counted


def _leaf_content(model: IndexModel, facts: IndexFacts, leaves: int) -> float:
    """Return how many bytes of entries and pointers a build puts onto a leaf."""
    room = float(leaf_room(facts.fillfactor))
    if model.shape is None or not leaves:
        return room
    if model.groups is None:
        return per_page(model.shape, room) * (model.shape.mean + LINE_POINTER)
    return sum(group.number * group_bytes(group)[0] for group in model.groups) / leaves


def _counted(estimate: Estimate, size: int, expected: int, method: str) -> Estimate:
    return replace(estimate, bytes=size, expected_bytes=expected, method=method, confidence="high", why="")
