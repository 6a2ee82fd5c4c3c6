"""What pgstattuple counts, as what a rewrite would save. The numbers are of tables and indexes that were rewritten."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.counted import (
    IndexCount,
    TableCount,
    counted_index,
    counted_table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.evaluate import (
    estimate_index,
    estimate_table,
    index_model,
    table_model,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from tests.unit.plugins.module_utils._postgres.bloat.samples import INT, KEY, TEXT, index, table

SIZE = 1000 * 8192


def count_table(left: float, size: int, *, full: int = 0, dead: float = 0.0, **given: Any) -> Estimate:
    """Count a table of 1000 pages, which were once *full* of so many rows each, with so many *left* of *size* bytes."""
    pointers = max(left, 1000 * full)
    free = SIZE - 1000 * 24 - 4 * pointers - left * size - dead
    facts = table(**given)
    return counted_table(estimate_table(facts), facts, table_model(facts), TableCount(SIZE, left, dead, free))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.8, 0.95])
def test_pointers_to_rows_that_are_gone_are_freed_too(share: float) -> None:
    rows = 226_000 * (1 - share)
    found = count_table(rows, 32, full=226)
    assert found.ratio == pytest.approx(share, abs=0.01)
    assert (found.method, found.confidence, found.why) == ("pgstattuple_approx", "high", "")


def test_dead_rows_are_freed() -> None:
    assert count_table(113_000, 32, full=226, dead=113_000 * 32).ratio == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("fillfactor", [70, 50])
def test_what_the_fillfactor_keeps_is_not_freed(fillfactor: int) -> None:
    fit = (8168 - 8192 * (100 - fillfactor) // 100) // 36
    assert count_table(1000 * fit, 32, full=fit, fillfactor=fillfactor).ratio == pytest.approx(0.0, abs=0.01)
    assert count_table(500 * fit, 32, full=fit, fillfactor=fillfactor).ratio == pytest.approx(0.5, abs=0.01)


def test_statistics_that_are_wrong_are_overruled() -> None:
    """They say 32 bytes a row, there are 96."""
    facts = {"rows": 40_000.0, "live": 40_000, "net": 40_000}
    assert estimate_table(table(**facts)).ratio > 0.8
    assert count_table(40_000, 96, full=81, **facts).ratio == pytest.approx(0.51, abs=0.04)


def test_a_table_of_which_nothing_is_known_is_counted_all_the_same() -> None:
    found = count_table(113_000, 32, full=226, rows=-1.0, columns="")
    assert found.ratio == pytest.approx(0.5, abs=0.06)
    assert found.confidence == "high"


def test_a_dropped_column_is_still_in_the_rows_and_is_freed() -> None:
    columns = f"{INT},-1 i x d 0 0 0 -"
    assert count_table(120_000, 64, full=120, columns=columns).ratio == pytest.approx(0.47, abs=0.01)


def test_an_added_column_is_not_in_the_rows_yet() -> None:
    columns = f"{INT},{INT},{INT.replace(' s ', ' m ')}"
    assert count_table(226_000, 32, full=226, columns=columns).ratio == 0.0


def test_an_empty_table_is_all_bloat() -> None:
    assert count_table(0, 32).ratio == 1.0


# --- indexes


def count_index(leaves: int, density: float, **given: Any) -> Estimate:
    facts = index(**{"bytes": (leaves + 5) * 8192, **given})
    count = IndexCount(facts.bytes, leaves, 3, density)
    return counted_index(estimate_index(facts), facts, index_model(facts), count)


def test_an_index_that_was_just_built_has_no_bloat() -> None:
    found = count_index(618, 0.9004, bytes=623 * 8192)
    assert (found.ratio, found.method, found.confidence) == (0.0, "pgstatindex", "high")


def test_an_index_that_is_half_empty_has_half() -> None:
    assert count_index(1235, 0.4527, bytes=1241 * 8192).ratio == pytest.approx(0.5, abs=0.01)


def test_an_estimate_that_is_not_confirmed_is_overruled() -> None:
    """The statistics say half of it is bloat, but its leaves are full: they are those of another table."""
    half = {"rows": 113_000.0, "live": 113_000, "net": 113_000}
    found = count_index(618, 0.9004, bytes=623 * 8192, **half)
    assert (found.ratio, found.confidence) == (pytest.approx(0.0, abs=0.01), "high")


def test_entries_that_lead_to_dead_rows_explain_what_is_missing() -> None:
    half = {"rows": 113_000.0, "live": 113_000, "dead": 113_000, "modified": 113_000, "net": 113_000}
    found = count_index(618, 0.9004, bytes=623 * 8192, **half)
    assert (found.ratio, found.confidence) == (pytest.approx(0.5, abs=0.01), "medium")
    assert "dead rows" in found.why


def test_keys_that_do_not_share_entries_yet_will() -> None:
    found = count_index(618, 0.9004, bytes=623 * 8192, unique=False, columns="4 i p s 1 0 4 100 1 - -")
    assert found.ratio > 0.6
    assert found.confidence == "medium"
    assert "share entries" in found.why


def test_an_index_of_which_nothing_is_known_is_counted_all_the_same() -> None:
    found = count_index(1235, 0.4527, bytes=1241 * 8192, columns=KEY.replace(" s ", " - "))
    assert found.ratio == pytest.approx(0.5, abs=0.02)
    assert found.confidence == "high"


def test_a_wide_key_leaves_its_high_key_on_each_page() -> None:
    found = count_index(1300, 0.45, bytes=1310 * 8192, columns=TEXT.replace(" 0 0 33 ", " 2 0 33 -1 1 - "), rows=5e4)
    assert found.confidence == "high"
