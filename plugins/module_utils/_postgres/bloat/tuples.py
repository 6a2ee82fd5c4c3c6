# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large rows and index entries are, from what is known of their columns. Pure.

The rules are those of the server: ``heap_compute_data_size`` and ``heap_form_tuple`` for rows, ``index_form_tuple`` for
index entries. The numbers are those of 64-bit machines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Column

WORD = 8  # MAXALIGN
ROW_HEADER = 23  # before the bitmap of nulls
INDEX_HEADER, INDEX_HEADER_WITH_NULLS = 8, 16
# From this share on a correction is a doubt.
DOUBT = 0.25
SHORT_LENGTH = 126  # the longest value that gets along with a header of one byte


class Shape(NamedTuple):
    """The sizes of rows or index entries: their mean and variance, in bytes."""

    mean: float
    variance: float = 0.0


class _Piece(NamedTuple):
    """Values of a column that move the end of the tuple alike, modulo 8: first and second moment of their bytes."""

    weight: float
    align: int
    first: float
    second: float
    residue: int


# Where a tuple may end, modulo 8: how likely, and the first and second moment of its bytes there (times that chance).
_Ends = dict[int, tuple[float, float, float]]


def align(size: int, to: int = WORD) -> int:
    return -(-size // to) * to


def heap_shape(columns: Sequence[Column]) -> Shape:
    """Return the sizes of rows with these columns, dropped ones included: a rewrite makes them null."""
    return _shape(columns, align(ROW_HEADER), align(ROW_HEADER + (len(columns) + 7) // 8))


def index_shape(columns: Sequence[Column]) -> Shape:
    """Return the sizes of index entries with these columns, one for each row."""
    return _shape(columns, INDEX_HEADER, INDEX_HEADER_WITH_NULLS)


def _shape(columns: Sequence[Column], header: int, header_with_nulls: int) -> Shape:
    full = math.prod(1.0 - column.nulls for column in columns)
    first = header * full + header_with_nulls * (1.0 - full)
    ends: _Ends = {0: (1.0, first, header**2 * full + header_with_nulls**2 * (1.0 - full))}
    for column in columns:
        if column.nulls < 1.0:
            ends = _behind(ends, column)
    mean = square = 0.0
    for residue, (weight, first, second) in ends.items():
        pad = -residue % WORD
        mean += first + pad * weight
        square += second + 2 * pad * first + pad * pad * weight
    variance = square - mean * mean
    return Shape(mean, variance if variance > 1e-6 * square else 0.0)


def _behind(ends: _Ends, column: Column) -> _Ends:
    """Return where the tuple may end once *column* is added to it."""
    after: _Ends = {}
    for residue, (weight, first, second) in ends.items():
        if column.nulls > 0.0:
            _add(after, residue, column.nulls, (weight, first, second))
        for piece in _pieces(column):
            pad = -residue % piece.align
            once = pad + piece.first
            twice = pad * pad + 2 * pad * piece.first + piece.second
            moved = (weight, first + weight * once, second + 2 * first * once + weight * twice)
            _add(after, (residue + pad + piece.residue) % WORD, piece.weight * (1.0 - column.nulls), moved)
    return after


def _add(ends: _Ends, residue: int, share: float, moved: tuple[float, float, float]) -> None:
    weight, first, second = ends.get(residue, (0.0, 0.0, 0.0))
    ends[residue] = (weight + share * moved[0], first + share * moved[1], second + share * moved[2])


@lru_cache(maxsize=4096)
def _pieces(column: Column) -> tuple[_Piece, ...]:
    if column.length > 0:
        return (_exact(column.length, column.align),)
    if column.lengths:
        return _gathered(column)
    # All alike, as far as anybody knows.
    width = max(1, round(column.width))
    bare = column.length == -2 or (column.short and width <= SHORT_LENGTH + 1)
    return (_exact(width, 1 if bare else column.align),)


def _exact(size: int, to: int) -> _Piece:
    return _Piece(1.0, to, size, size * size, size % WORD)


def _gathered(column: Column) -> tuple[_Piece, ...]:
    """Return the typical values by where they end, their mean corrected to that of all."""
    total = sum(weight for _length, weight in column.lengths)
    bare = sum(length * weight for length, weight in column.lengths) / total
    if not column.short and 0 < column.width < bare + 2:
        # INSERT does not always keep to STORAGE PLAIN, nor does a rewrite then.
        column = replace(column, short=True)
    sums: dict[tuple[int, int], list[float]] = {}
    for length, weight in column.lengths:
        size, to = stored(column, length)
        entry = sums.setdefault((to, size % WORD), [0.0, 0.0, 0.0])
        for power in range(3):
            entry[power] += weight / total * size**power
    shift = _shift(column.width, sum(entry[1] for entry in sums.values()))
    pieces = []
    for (to, residue), (share, first, second) in sums.items():
        once, twice = first / share, second / share
        pieces.append(_Piece(share, to, once + shift, twice + 2 * shift * once + shift * shift, residue))
    return tuple(pieces)


def _shift(width: float, mean: float) -> float:
    """Return what *mean*, that of typical values, is off the *width* of all, of which the whole part is known."""
    if width <= 0 or width <= mean < width + 1:
        return 0.0
    return width - mean if mean < width else width + 1 - mean


def is_doubtful(column: Column) -> bool:
    """Whether the mean of all values is far from that of the typical ones, so that many are of another kind."""
    if not column.lengths or column.width <= 0:
        return False
    total = sum(weight for _length, weight in column.lengths)
    mean = sum(stored(column, length)[0] * weight for length, weight in column.lengths) / total
    return abs(_shift(column.width, mean)) > DOUBT * column.width


def stored(column: Column, length: int) -> tuple[int, int]:
    """Return the bytes that a value of *length* takes with its header, and what it is aligned to."""
    if column.length == -2:
        return length + 1, 1
    if column.short and length <= SHORT_LENGTH:
        return length + 1, 1
    return length + 4, column.align
