# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows have the same key, from what ANALYZE found out about the columns. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Key
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.pages import Group
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.tuples import WORD

# So many values that are more common than chance makes them show that values are not alike.
SKEWED = 5
# ANALYZE looks at so many rows for each common value that it may keep.
SAMPLED_A_TARGET = 300
# Values of several columns are put together in classes beyond so many.
_MOST_LEVELS = 60
# How common values are that are not alike, against their mean, in twelve classes of equal number: the third power of a
# normal deviate. It is about as uneven as what people and things do.
_POWERS = [NormalDist().inv_cdf(0.5 + (place + 0.5) / 24) ** 3 for place in range(12)]
_MIXTURE = tuple(12 * power / sum(_POWERS) for power in _POWERS)
# Of a value with fewer rows than this on average, hardly any is there.
_RAREST = 0.05


class Sample(NamedTuple):
    """Of how many ``rows`` in all ANALYZE looked at how many."""

    rows: float
    looked_at: float


class Level(NamedTuple):
    """``number`` values that each hold ``share`` of the rows; ``nulls`` has a bit for each column that is null there.

    ``even`` is as in ``Group``.
    """

    number: float
    share: float
    even: bool = True
    nulls: int = 0


class _Class(NamedTuple):
    """``number`` values that have ``each`` rows on average."""

    number: float
    each: float
    even: bool


class _Seen(NamedTuple):
    """What ANALYZE found in a column, and which share of the ``rows`` without nulls it looked at.

    It works out ``distinct`` from how many values it saw, and how many of them once (Haas and Stokes, 1998), as if none
    were common. With a few very common ones that is far too low. What it must have seen can be told from it, though.
    """

    distinct: float
    common: int
    rows: float
    share: float

    def would_be(self, classes: Iterable[tuple[float, float]], even: bool = False) -> float:
        """Return what it would have found, had the values besides the common ones been (number, rows of each)."""
        share, seen, once = self.share, float(self.common), 0.0
        for number, each in classes:
            if even:
                seen += number * (1.0 - (1.0 - share) ** each)
                once += number * each * share * (1.0 - share) ** (each - 1.0)
            else:
                seen += number * -math.expm1(-share * each)
                once += number * each * share * math.exp(-share * each)
        looked_at = self.rows * share
        return looked_at * seen / max(looked_at - once * (1.0 - share), 1e-9)


def column_levels(key: Key, sample: Sample, bit: int = 0) -> list[Level]:
    """Return which values a column has: nulls, the common ones, and all others."""
    filled = max(0.0, 1.0 - key.nulls)
    levels = [Level(1.0, key.nulls, nulls=1 << bit)] if key.nulls > 0.0 else []
    rows = sample.rows * filled
    if rows < 1.0:
        return [Level(1.0, 1.0, nulls=1 << bit if levels else 0)]
    distinct = min(max(key.distinct if key.distinct >= 0 else -key.distinct * sample.rows, 1.0), rows)
    common = sorted((share for share in key.common if share > 0.0), reverse=True)
    known = sum(common)
    rest = (filled - known) * sample.rows
    if distinct <= len(common) + 0.5 or rest < 1.0:
        # All values are common ones, or there are no others.
        alone = [Level(1.0, share * filled / known) for share in common]
        return levels + (alone or [Level(1.0, filled)])
    seen = _Seen(distinct, len(common), rows, min(1.0, sample.looked_at / sample.rows))
    if seen.share >= 1.0 and not common:
        # All were seen.
        each = filled / distinct
        return [*levels, Level(distinct / 2, each), Level(distinct / 2, each, even=False)]
    others: list[_Class]
    chance = _by_chance(sample.looked_at * filled / distinct, distinct) / sample.looked_at
    if sum(share > chance for share in common) >= SKEWED:
        # Some are more common than chance makes them: so the others are not all alike either.
        others = _mixed(seen, rest)
        if len(common) >= sample.looked_at / SAMPLED_A_TARGET:
            others = max(others, _fading(seen, rest, [share * sample.rows for share in common]), key=_total)
    else:
        # Nobody can tell whether rows fall upon the others evenly or by chance: half of each.
        others = [one._replace(number=one.number / 2) for one in (_alike(seen, rest, True), _alike(seen, rest, False))]
    levels += [Level(1.0, share) for share in common]
    return levels + [Level(one.number, one.each / sample.rows, one.even) for one in others]


def _by_chance(mean: float, distinct: float) -> float:
    """Return how often the most frequent of *distinct* values is seen when all are alike and seen *mean* times."""
    return mean + math.sqrt(2 * mean * math.log(distinct)) + math.log(distinct) * 2 / 3


def _total(classes: Iterable[_Class]) -> float:
    return sum(one.number for one in classes)


def _alike(seen: _Seen, rest: float, even: bool) -> _Class:
    """Return the values that hold *rest* rows when all of them are about as common."""
    low, high = (1.0 if even else 0.01), max(rest, 1.0)
    if seen.would_be([(rest / low, low)], even) <= seen.distinct * 1.001:
        return _Class(rest, 1.0, True)
    for _step in range(40):
        middle = math.sqrt(low * high)
        below = seen.would_be([(rest / middle, middle)], even) < seen.distinct
        low, high = (low, middle) if below else (middle, high)
    each = math.sqrt(low * high)
    # By chance some values have no row at all.
    number = min(rest, max(1.0, rest / each * (1.0 if even else -math.expm1(-each))))
    return _Class(number, rest / number, even)


def _mixed(seen: _Seen, rest: float) -> list[_Class]:
    """Return the values that hold *rest* rows when some of them are much more common than others."""

    def classes(each: float) -> list[tuple[float, float]]:
        return [(rest / each / len(_MIXTURE), each * rate) for rate in _MIXTURE]

    low, high = 0.01, max(rest, 1.0)
    if seen.would_be(classes(low)) <= seen.distinct * 1.001:
        return [_Class(rest, 1.0, True)]
    for _step in range(40):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if seen.would_be(classes(middle)) < seen.distinct else (middle, high)
    return _taken(classes(low))


def _taken(classes: Iterable[tuple[float, float]]) -> list[_Class]:
    """Return those of (number, rows of each) that have any rows at all."""
    found = []
    for number, each in classes:
        taken = -math.expm1(-each)
        if number * taken > 0.0:
            found.append(_Class(number * taken, each / taken, False))
    return found


def _fading(seen: _Seen, rest: float, common: Sequence[float]) -> list[_Class]:
    """Return the values that hold *rest* rows when they get rarer and rarer, from the last of the *common* ones on.

    That is so where ANALYZE had no more room for common values: their list then ends, but not they themselves. *common*
    are their rows, falling.
    """
    tenth = max(1, len(common) // 10)
    first = sum(common[-tenth:]) / tenth
    halfway = sum(common[len(common) // 2 :][:tenth]) / tenth
    fall = max(1.01, halfway / first)
    low, high = 0.3, 12.0
    for _step in range(30):
        middle = (low + high) / 2
        below = seen.would_be(_ranks(len(common), rest, first, fall, middle)) < seen.distinct
        low, high = (middle, high) if below else (low, middle)
    return _taken(_ranks(len(common), rest, first, fall, low))


def _ranks(common: int, rest: float, first: float, fall: float, slope: float) -> list[tuple[float, float]]:
    """Return (number, rows of each) of values whose rows fall with the power *slope* of their rank (Mandelbrot's law).

    Ranks are shifted so that rows fell by the factor *fall* from the middle of the common values to their end.
    """
    step = fall ** (-1.0 / slope)
    origin = common / 2 / (1.0 - step)
    classes, rank, left = [], origin, rest
    while left > 1e-6 * rest:
        number = max(1.0, rank * 0.35)
        each = first * ((rank + number / 2) / origin) ** -slope
        if each < _RAREST:
            number, each = left / _RAREST, _RAREST
        number = min(number, left / each)
        classes.append((number, each))
        left -= number * each
        rank += number
    return classes


def joint_levels(columns: Sequence[Sequence[Level]], rows: float, distinct: float = 0.0) -> list[Level]:
    """Return which keys several columns make together.

    *distinct* is how many there are, where that was counted (extended statistics); else the columns are taken to be
    independent of one another.
    """
    if distinct > 0.0:
        number = min(distinct, rows)
        return [Level(number, 1.0 / number, even=False)]
    ordered = sorted(columns, key=lambda levels: -sum(level.number for level in levels))
    levels = list(ordered[0])
    for other in ordered[1:]:
        pairs = ((one, two) for one in _merged(levels) for two in _merged(other))
        levels = [made for one, two in pairs for made in _crossed(one, two, rows)]
    return levels


def _crossed(one: Level, two: Level, rows: float) -> Iterator[Level]:
    """Yield the keys of which one column has a value of *one* and another a value of *two*."""
    number, share, nulls = one.number * two.number, one.share * two.share, one.nulls | two.nulls
    if share * rows > 1.0:
        yield Level(number, share, one.even and two.even, nulls)
    elif share > 0.0:
        # Not all of them can have a row.
        yield Level(number * share * rows, 1.0 / rows, True, nulls)


def _merged(levels: Sequence[Level]) -> Sequence[Level]:
    """Put values together that are about as common, when there are too many."""
    if len(levels) <= _MOST_LEVELS:
        return levels
    classes: dict[tuple[int, bool, int], tuple[float, float]] = {}
    for level in levels:
        place = (level.nulls, level.even, round(3 * math.log2(level.share)))
        number, share = classes.get(place, (0.0, 0.0))
        classes[place] = (number + level.number, share + level.number * level.share)
    return [Level(number, share / number, even, nulls) for (nulls, even, _class), (number, share) in classes.items()]


def groups_of(levels: Iterable[Level], rows: float, sizes: Mapping[int, float]) -> list[Group]:
    """Return the keys with their rows. *sizes* are the mean sizes of an index entry by which columns are null in it."""
    groups = []
    for level in levels:
        each = max(1.0, rows * level.share)
        number = rows * level.number * level.share / each
        low = int(sizes[level.nulls] // WORD * WORD)
        part = (sizes[level.nulls] - low) / WORD
        groups += [
            Group(number * weight, each, size, level.even)
            for size, weight in ((low, 1.0 - part), (low + WORD, part))
            if weight > 1e-9 and number > 0.0
        ]
    return groups
