# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many pages rows and index entries need when they are written anew, by the rules of the server's builders. Pure.

``raw_heap_insert`` writes tables, ``_bt_buildadd`` and ``_bt_load`` write btrees. The numbers are those of a server
with pages of 8 kB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.tuples import WORD, Shape, align
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE

PAGE_HEADER = 24
LINE_POINTER = 4
MOST_ROWS = (BLOCK_SIZE - PAGE_HEADER) // (24 + LINE_POINTER)
TOAST_LIMIT = 2032  # a larger row has its values moved out until it is not

# What a page of a btree has for entries: without its header, its special space and the pointer of the high key.
BTREE_ROOM = BLOCK_SIZE - PAGE_HEADER - 16 - LINE_POINTER
INNER_FREE = BLOCK_SIZE * 30 // 100
ROW_PLACE = 6  # of one row in a posting list
# The largest entry with a posting list that a build makes.
POSTING_MOST = (BLOCK_SIZE * 10 // 100 // WORD * WORD - LINE_POINTER) // WORD * WORD

# From this many rows a key on it does not matter any more how evenly they are spread.
_MANY_ROWS = 40
# Entries that are this large on average leave gaps at the end of pages, which only a try can tell.
_LARGE_ENTRY = 150
_TRIED_PAGES = 40
_VERY_MANY_ROWS = 20_000


class Group(NamedTuple):
    """``number`` different keys with ``rows`` rows each on average, in index entries of ``size`` bytes.

    ``even`` is whether each has that many; otherwise it is left to chance how many one has, but at least one.
    """

    number: float
    rows: float
    size: int
    even: bool = True


def pages_for(rows: float, each: float) -> int:
    return math.ceil(rows / each - 1e-6) if rows > 0 else 0


def per_page(shape: Shape, room: float) -> float:
    """Return how many tuples go onto a page, on average, when they take *room* until the next does not fit.

    Those that are all alike leave the rest of the division. Others leave what the one that did not fit would have had,
    and that is more likely a large one.
    """
    size = shape.mean + LINE_POINTER
    if shape.variance <= 0.0:
        return max(1.0, float((room + 1e-6) // size))
    deviation = math.sqrt(shape.variance)
    # Sizes go in steps of eight bytes.
    reach = room + WORD / 2
    guess = reach / size
    width = 5 * deviation * math.sqrt(guess + 1) / size + 1
    low, high = max(0, int(guess - width)), int(guess + width) + 1
    fitting = float(low)
    for number in range(low + 1, high + 1):
        fitting += _chance_below((reach - number * size) / (deviation * math.sqrt(number)))
    return max(1.0, fitting - shape.variance / (size * size))


def _chance_below(deviations: float) -> float:
    """Return the chance that what is normally spread lies below that many standard deviations."""
    return 0.5 * (1.0 + math.erf(deviations / math.sqrt(2.0)))


# --- tables


def rows_a_page(shape: Shape, fillfactor: int = 100) -> float:
    """Return how many rows a rewrite puts onto a page."""
    room = heap_room(fillfactor)
    fitting = per_page(shape, room)
    if shape.variance > 0.0 and shape.mean <= TOAST_LIMIT:
        # Rows have their values moved out so that four of them fit.
        fitting = max(fitting, float(room // (TOAST_LIMIT + LINE_POINTER)))
    return min(max(1.0, fitting), float(MOST_ROWS))


def heap_room(fillfactor: int = 100) -> int:
    """Return the bytes of a page that a rewrite fills with rows and their line pointers."""
    return BLOCK_SIZE - PAGE_HEADER - BLOCK_SIZE * (100 - fillfactor) // 100


def heap_pages(rows: float, shape: Shape, fillfactor: int = 100) -> int:
    """Return the pages of a table that was just rewritten."""
    return pages_for(rows, rows_a_page(shape, fillfactor))


# --- btrees


def btree_pages(leaves: int, pivot: float) -> int:
    """Return the pages of a btree with so many leaves, its metapage included; *pivot* is the size of an inner key."""
    room = BTREE_ROOM - LINE_POINTER - INNER_FREE
    # The first key of each page is left out.
    fanout = max(2, 1 + int((room - WORD - LINE_POINTER) // (pivot + LINE_POINTER)))
    total, level = 1 + leaves, leaves
    while level > 1:
        level = -(-level // fanout)
        total += level
    return total


def leaf_room(fillfactor: int = 90) -> int:
    """Return the bytes of entries and their pointers after which a leaf is full."""
    return BTREE_ROOM - LINE_POINTER - BLOCK_SIZE * (100 - fillfactor) // 100


def plain_leaves(rows: float, shape: Shape, fillfactor: int = 90) -> int:
    """Return the leaves of a btree with an entry for each row.

    The last entry that fits becomes the first of the next page, and leaves its place to the high key; there must be
    room for one more and for the place of a row, however full the page may become.
    """
    room = min(leaf_room(fillfactor), BTREE_ROOM - WORD - shape.mean)
    return pages_for(rows, per_page(shape, room))


def shared_leaves(groups: Sequence[Group], fillfactor: int = 90) -> int:
    """Return the leaves of a btree in which the rows of a key share entries."""
    room = leaf_room(fillfactor)
    leaves = total = small = square = 0.0
    for group in groups:
        size, entries = group_bytes(group)
        total += group.number * size
        if size > _LARGE_ENTRY * entries and (group.even or group.rows >= _MANY_ROWS):
            leaves += group.number * group.rows / _tried(group.size, _rounded(group.rows, group.size), room)
        else:
            small += group.number * size
            square += group.number * size * size / entries
    if total <= room:
        return min(1, len(groups))
    if small:
        leaves += small / max(1.0, room - square / small / 2)
    return math.ceil(leaves - 1e-6)


def _rounded(rows: float, size: int) -> float:
    """Return *rows* with three digits; very many are as good as a number that fills its entries."""
    if rows >= _VERY_MANY_ROWS:
        return 100.0 * posting_capacity(size)
    return float(round(rows, -max(0, int(math.log10(rows)) - 2)))


def posting_capacity(size: int) -> int:
    """Return how many rows share one entry at most, when the key takes *size* bytes."""
    return max(1, (POSTING_MOST - size) // ROW_PLACE)


def entry_size(size: int, rows: int) -> int:
    """Return the bytes of one entry with that many rows."""
    return size if rows <= 1 else align(size + ROW_PLACE * rows)


def group_bytes(group: Group) -> tuple[float, float]:
    """Return the bytes that one key of *group* takes with its line pointers, and how many entries that is."""
    if not group.even and group.rows < _MANY_ROWS:
        chances = spread(round(group.rows, 3))
    else:
        part = group.rows - int(group.rows)
        chances = ((int(group.rows), 1.0 - part), (int(group.rows) + 1, part))
    total = number = 0.0
    for rows, chance in chances:
        size, entries = _key_bytes(group.size, rows)
        total += chance * size
        number += chance * entries
    return total, number


@lru_cache(maxsize=65536)
def _key_bytes(size: int, rows: int) -> tuple[int, int]:
    capacity = posting_capacity(size)
    full, rest = divmod(rows, capacity)
    total = full * (entry_size(size, capacity) + LINE_POINTER)
    return (total + entry_size(size, rest) + LINE_POINTER, full + 1) if rest else (total, full)


@lru_cache(maxsize=8192)
def spread(mean: float) -> tuple[tuple[int, float], ...]:
    """Return how often a key has how many rows, when rows fall upon keys by chance and each key has at least one."""
    if mean <= 1.0:
        return ((1, 1.0),)
    rate = mean
    for _step in range(100):
        rate = mean * -math.expm1(-rate)
    if rate < 1e-9:
        return ((1, 1.0),)
    chance, some, chances = math.exp(-rate), -math.expm1(-rate), []
    for rows in range(1, int(mean + 8 * math.sqrt(mean)) + 8):
        chance *= rate / rows
        chances.append((rows, chance / some))
    return tuple(chances)


@lru_cache(maxsize=16384)
def _tried(size: int, rows: float, room: int) -> float:
    """Fill pages as the builder does, with keys of so many *rows*; return how many rows went onto one on average."""
    done = placed = 0
    used = waiting = 0  # bytes and rows on the page that is being filled
    last = last_rows = listed = 0  # of the entry that was added last: bytes, rows, bytes of its posting list
    for bytes_, here in _entries(size, rows):
        # The posting list is no part of the high key that the last entry leaves when it moves on.
        crowded = used > room + listed or BTREE_ROOM - LINE_POINTER - used < bytes_ - LINE_POINTER + WORD
        if crowded and used > last:
            done += 1
            placed += waiting - last_rows
            used, waiting = last, last_rows
            if done == _TRIED_PAGES:
                break
        last, last_rows, listed = bytes_, here, bytes_ - size - LINE_POINTER
        used += last
        waiting += here
    return placed / done


def _entries(size: int, rows: float) -> Iterator[tuple[int, int]]:
    """Yield the entries of one key after the other, without end: bytes with the pointer, and rows."""
    capacity, part = posting_capacity(size), 0.0
    while True:
        part += rows
        left = int(part)
        part -= left
        while left > 0:
            here = min(left, capacity)
            yield entry_size(size, here) + LINE_POINTER, here
            left -= here


def pivot_size(sizes: Sequence[float], distinct: Sequence[float], entries: float) -> float:
    """Return the mean size of a key on an inner page: as many leading columns as tell two neighbours apart.

    *sizes* and *distinct* are those of the first column, of the first two, and so on; *entries* is the number of those
    on the leaves. Where all columns are alike, the place of the row is added.
    """
    for size, number in zip(sizes, distinct):
        if number >= entries / 2:
            return align(math.ceil(size - 1e-6))
    return align(math.ceil(sizes[-1] - 1e-6)) + WORD
