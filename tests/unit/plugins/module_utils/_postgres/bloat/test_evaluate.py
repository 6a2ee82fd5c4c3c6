"""What an estimate comes to, and how far it is to be trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.evaluate import (
    ADVICE,
    BUSY,
    LACKING,
    NEVER,
    UNREADABLE,
    estimate_index,
    estimate_table,
    rows_now,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import CONFIDENCES
from tests.unit.plugins.module_utils._core.properties import unhurried
from tests.unit.plugins.module_utils._postgres.bloat.samples import (
    INT,
    KEY,
    NULLABLE,
    ROWS,
    TEXT,
    TEXT_KEY,
    counts,
    index,
    table,
)

# --- how many rows there are


@pytest.mark.parametrize(
    ("what", "rows", "confidence"),
    [
        ({}, 226_000, "high"),
        ({"live": 220_000, "modified": 6_000, "net": 220_000}, 220_000, "high"),
        ({"live": 113_000, "modified": 113_000, "net": 113_000}, 113_000, "low"),
        ({"live": 226_000, "modified": 100_000}, 226_000, "low"),
        # All that ever happened to it, of which ANALYZE saw the rows.
        ({"modified": 226_000, "changes": 226_000}, 226_000, "high"),
        ({"modified": 452_000, "changes": 452_000}, 226_000, "low"),
        # Counted twice: what was inserted just before ANALYZE came in after it.
        ({"live": 452_000, "modified": 226_000}, 226_000, "high"),
        ({"rows": 113_000.0, "live": 226_000, "modified": 339_000, "net": 113_000}, 113_000, "high"),
        # And then half of them were deleted.
        ({"live": 339_000, "modified": 339_000, "net": 113_000}, 113_000, "low"),
        # The counters were lost, and began again.
        ({"live": 0, "net": 0}, 226_000, "medium"),
        ({"live": 500, "modified": 500, "net": 500}, 226_000, "medium"),
    ],
)
def test_the_rows_are_those_of_whom_to_believe(what: dict[str, Any], rows: float, confidence: str) -> None:
    found, trust = rows_now(counts(**what), 1000)
    assert (found, trust.confidence) == (pytest.approx(rows), confidence)
    assert bool(trust.why) == (confidence != "high")


def test_without_counters_new_pages_are_taken_to_be_as_full_as_the_others() -> None:
    found, trust = rows_now(counts(live=0, net=0), 2000)
    assert (found, trust.confidence) == (pytest.approx(452_000), "low")
    assert rows_now(counts(live=0, net=0, pages=0), 2000)[1].confidence == "low"


# --- tables


def test_a_table_that_was_just_rewritten_has_no_bloat() -> None:
    found = estimate_table(table())
    assert (found.expected_bytes, found.bloat_bytes, found.ratio) == (found.bytes, 0, 0.0)
    assert (found.kind, found.method, found.confidence, found.why) == ("table", "estimate", "high", "")


def test_a_table_that_lost_half_its_rows_has_half() -> None:
    found = estimate_table(table(rows=113_000.0, live=113_000, net=113_000))
    assert found.bloat_bytes == 500 * 8192
    assert found.ratio == 0.5


def test_a_table_that_a_rewrite_would_make_larger_has_none() -> None:
    found = estimate_table(table(columns=",".join([INT] * 9)))
    assert found.expected_bytes > found.bytes
    assert (found.bloat_bytes, found.ratio) == (0, 0.0)


@pytest.mark.parametrize(
    ("what", "confidence", "why"),
    [
        ({"columns": INT + "," + TEXT}, "medium", ""),
        ({"columns": INT + "," + NULLABLE.replace(" s ", " - ")}, "medium", LACKING),
        ({"busy": True}, "low", BUSY),
        ({"bytes": 19 * 8192}, "low", "too small to tell (19 pages)"),
        ({"modified": 60_000}, "low", "60000 rows changed since it was analysed: ANALYZE first"),
        ({"rows": -1.0, "live": 500}, "none", NEVER),
        ({"columns": INT.replace(" s ", " - ")}, "none", NEVER),
        ({"columns": INT + "," + TEXT.replace(" s ", " - ")}, "none", LACKING),
        ({"readable": False}, "none", UNREADABLE),
        ({"method": "columnar"}, "none", "its access method is columnar"),
        ({"block_size": 16384}, "none", "the server has pages of 16384 bytes"),
    ],
)
def test_a_table_says_how_far_it_is_to_be_trusted(what: dict[str, Any], confidence: str, why: str) -> None:
    found = estimate_table(table(**what))
    assert (found.confidence, found.why) == (confidence, why)
    assert found.method == ("none" if confidence == "none" else "estimate")
    if confidence == "none":
        assert (found.bloat_bytes, found.ratio) == (0, 0.0)


def test_pages_without_any_row_are_all_bloat() -> None:
    found = estimate_table(table(rows=0.0, live=0, net=0, columns=""))
    assert (found.expected_bytes, found.ratio, found.confidence) == (0, 1.0, "high")


def test_a_table_that_was_empty_when_it_was_analysed_is_unknown() -> None:
    assert (
        estimate_table(table(pages=0, rows=0.0, live=500, modified=500, columns=INT.replace(" s ", " - "))).why == NEVER
    )


def test_a_toast_table_is_taken_to_be_full_of_large_values() -> None:
    found = estimate_table(table(toast=True, readable=False, rows=2000.0, live=2000, modified=99_000, net=2000))
    assert (found.kind, found.ratio, found.confidence) == ("toast", 0.5, "low")
    assert "large values" in found.why


# --- indexes


def test_an_index_that_was_just_built_has_no_bloat() -> None:
    found = estimate_index(index())
    assert found.expected_bytes == found.bytes
    assert (found.kind, found.method, found.confidence, found.why) == ("index", "estimate", "high", "")


def shared(distinct: float, **given: Any) -> int:
    """The pages of an index in which equal keys may share entries."""
    columns = given.pop("columns", f"4 i p s 1 0 4 {distinct} 1 - -")
    return estimate_index(index(**{"unique": False, "columns": columns, **given})).expected_bytes // 8192


def test_equal_keys_share_entries_where_they_may() -> None:
    alone = index().bytes // 8192
    assert shared(-1.0) == alone
    assert shared(100) < 0.35 * alone
    # Else neighbours differ by the places of their rows alone, which takes a little room above the leaves.
    assert shared(100, deduplicate=False) == alone + 1
    assert shared(100, unique=True) == alone + 1
    assert shared(100, columns="4 i p s 1 0 4 100 0 - -") == alone + 1  # equal values are not interchangeable
    assert shared(100, columns=f"4 i p s 1 0 4 100 1 - -,{KEY}", keys=1) > alone  # INCLUDE


def test_what_extended_statistics_counted_is_taken_for_keys() -> None:
    columns = "4 i p s 1 0 4 1000 1 - -,4 i p s 2 0 4 1000 1 - -"
    thought = estimate_index(index(unique=False, keys=2, columns=columns))
    assert thought.confidence == "medium"
    assert ADVICE in thought.why
    counted = estimate_index(index(unique=False, keys=2, columns=columns, distinct={frozenset((1, 2)): 1000.0}))
    assert (counted.confidence, counted.why) == ("high", "")
    assert counted.expected_bytes < 0.5 * thought.expected_bytes


def test_an_index_smaller_than_it_can_be_belies_its_statistics() -> None:
    columns = "4 i p s 1 0 4 1000 1 - -,4 i p s 2 0 4 1000 1 - -"
    found = estimate_index(index(unique=False, keys=2, columns=columns, bytes=200 * 8192))
    assert (found.ratio, found.confidence) == (0.0, "low")
    assert ADVICE in found.why


def test_a_partial_index_has_its_own_rows_and_nulls() -> None:
    half = {"rows": ROWS / 2, "partial": True}
    found = estimate_index(index(**half))
    assert (found.expected_bytes, found.confidence) == (313 * 8192, "medium")
    nulls = "4 i p s 1 0.5 4 -0.5 1 - -"
    present = estimate_index(index(unique=False, columns=nulls, null_tests={1: False}, **half))
    assert present.expected_bytes == found.expected_bytes
    only_nulls = estimate_index(index(unique=False, columns=nulls, null_tests={1: True}, **half))
    assert only_nulls.expected_bytes < 0.5 * found.expected_bytes


@pytest.mark.parametrize(
    ("what", "confidence", "why"),
    [
        ({"columns": TEXT_KEY, "bytes": 3000 * 8192}, "medium", ""),
        ({"columns": "-1 i x s 2 0 600 -1 1 - -"}, "low", "its long values are compressed in the index, by an "),
        # Of long values the statistics hold none, and the table perhaps only a pointer.
        ({"columns": "-1 i x s 2 0 18 -1 1 - ?"}, "low", "the statistics do not show how long its values are"),
        ({"columns": "-1 i x s 2 0 59 -1 1 - 100*1.0"}, "low", "the statistics do not show how long its values are"),
        ({"busy": True}, "low", BUSY),
        ({"modified": 60_000}, "low", "60000 rows changed since it was analysed: ANALYZE first"),
        ({"bytes": 12 * 8192, "rows": 4.0, "partial": True}, "low", "too small to tell (12 pages)"),
        ({"partial": True, "rows": -1.0}, "low", NEVER),
        ({"columns": KEY.replace(" s ", " - ")}, "none", NEVER),
        ({"columns": f"{KEY},{TEXT_KEY.replace(' s ', ' - ')}", "keys": 2}, "none", LACKING),
        ({"columns": f"{KEY},{KEY.replace(' s ', ' - ')}", "keys": 2}, "medium", LACKING),
        ({"columns": f"{KEY},{KEY.replace(' s ', ' - ')}", "keys": 2, "unique": False}, "none", LACKING),
        ({"columns": "-2 c p s 2 0 64 -1 1 - -"}, "none", "the lengths of its values are not known"),
        ({"method": "gin", "columns": ""}, "none", "the size of a gin index cannot be estimated"),
        ({"readable": False}, "none", UNREADABLE),
        ({"block_size": 4096}, "none", "the server has pages of 4096 bytes"),
    ],
)
def test_an_index_says_how_far_it_is_to_be_trusted(what: dict[str, Any], confidence: str, why: str) -> None:
    found = estimate_index(index(**what))
    assert found.confidence == confidence
    assert found.why.startswith(why)
    if confidence == "none":
        assert (found.method, found.bloat_bytes, found.ratio) == ("none", 0, 0.0)


def test_an_index_of_a_table_that_was_never_analysed_is_unknown() -> None:
    facts = index()
    assert estimate_index(replace(facts, counts=counts(rows=-1.0))).why == NEVER


def test_the_index_of_a_toast_table_needs_no_statistics() -> None:
    columns = "4 i p - 1 0 0 0 1 - -,4 i p - 2 0 0 0 1 - -"
    found = estimate_index(index(toast=True, readable=False, keys=2, columns=columns, modified=999_999))
    assert (found.expected_bytes, found.confidence) == (index().bytes, "high")


# --- what must hold for any

COLUMNS = st.lists(
    st.sampled_from([
        INT, NULLABLE, TEXT, "8 d p s 0 0.5 8 -", "-1 i x s 0 0.2 600 -", "-1 i p s 0 0 12 8*0.5+9*0.5",
        "8 d p d 0 0 0 -", "-1 i x - 0 0 0 -", "1 c p - 0 0 0 -", "1 c p m 0 1 1 -",
    ]),
    max_size=6,
).map(",".join)  # fmt: skip
KEYS = st.lists(
    st.sampled_from([
        KEY, TEXT_KEY, "4 i p s 2 0.9 4 -0.05 1 0.02+0.01 -", "8 d p s 3 0 8 7 1 0.5+0.5 -",
        "-2 c p s 4 0 64 50 1 - 9*1", "-1 i x s 0 0.1 700 -1 1 - -", "4 i p - 5 0 0 0 1 - -", "-1 i x s 6 1 0 0 0 - -",
    ]),
    min_size=1,
    max_size=4,
)  # fmt: skip
NUMBERS = st.integers(0, 10**7)


def test_an_index_of_which_all_rows_are_gone_is_all_bloat() -> None:
    gone = {"live": 0, "net": 0, "table": {"rows": 0.0}}
    unknown = KEY.replace(" s ", " - ")
    found = estimate_index(index(columns=unknown, **gone))
    assert (found.expected_bytes, found.confidence) == (8192, "high")
    # It has grown since: the counters were lost.
    assert estimate_index(index(columns=unknown, pages=5, **gone)).why == NEVER
    assert estimate_index(index(columns=unknown, **{**gone, "live": 5, "modified": 5})).why == NEVER


@st.composite
def known(draw: Any) -> dict[str, Any]:
    return {
        "live": draw(NUMBERS), "dead": draw(NUMBERS), "modified": draw(NUMBERS),
        "net": draw(st.integers(-(10**6), 10**7)), "pages": draw(st.integers(0, 5000)), "changes": draw(NUMBERS),
    }  # fmt: skip


@unhurried
@given(known(), st.sampled_from([-1.0, 0.0, 1.0, 1e4, 1e7]), COLUMNS, st.integers(1, 10**5), st.integers(10, 100))
def test_any_table_gets_an_answer(known: Any, rows: float, columns: str, pages: int, fillfactor: int) -> None:
    found = estimate_table(table(**known, rows=rows, columns=columns, bytes=pages * 8192, fillfactor=fillfactor))
    check(found)


@unhurried
@given(known(), st.sampled_from([-1.0, 0.0, 5.0, 1e6]), KEYS, st.integers(1, 10**5), st.data())
def test_any_index_gets_an_answer(known: Any, rows: float, columns: list[str], pages: int, data: Any) -> None:
    found = estimate_index(
        index(
            **known, rows=rows, bytes=pages * 8192, columns=",".join(columns), unique=data.draw(st.booleans()),
            keys=data.draw(st.integers(1, len(columns))), partial=data.draw(st.booleans()),
            null_tests=data.draw(st.dictionaries(st.integers(1, 6), st.booleans())),
            fillfactor=data.draw(st.integers(50, 100)), toast=data.draw(st.booleans()),
        )
    )  # fmt: skip
    check(found)


def check(found: Any) -> None:
    assert found.expected_bytes >= 0
    assert 0 <= found.ratio <= 1
    assert found.confidence in CONFIDENCES
    assert (found.method == "none") == (found.confidence == "none")
    assert found.why or found.confidence in ("high", "medium")
    assert found.confidence != "none" or found.bloat_bytes == 0
