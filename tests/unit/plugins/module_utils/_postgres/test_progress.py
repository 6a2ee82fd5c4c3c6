"""What a row of a progress view means to a person."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import VIEWS, doing_of, overall

# Rows as PostgreSQL 15 and 18 gave them, shortened to what is read.
VACUUM = {"pid": 7, "phase": "scanning heap", "heap_blks_total": 1000, "heap_blks_scanned": 500}
FULL = {"pid": 7, "command": "VACUUM FULL", "phase": "seq scanning heap", "heap_blks_total": 2000}
BUILD = {"pid": 7, "command": "CREATE INDEX CONCURRENTLY", "blocks_total": 400, "blocks_done": 100}
LOADING = {"pid": 7, "command": "REINDEX", "phase": "building index: loading tuples in tree"}


def line(view: str, row: dict[str, Any], seconds: float = 10.0, indexes: int = 2) -> str:
    return str(doing_of(view, row, "public.orders", seconds, indexes))


@pytest.mark.parametrize(
    ("view", "row", "text"),
    [
        (
            "vacuum",
            VACUUM,
            "VACUUM public.orders (pid 7): scanning heap, 50% of 7.8 MiB read, about 25% of it is done, "
            "10s so far, about 30s to go",
        ),
        (
            "vacuum",
            {**VACUUM, "phase": "vacuuming indexes", "indexes_total": 4, "indexes_processed": 2},
            "VACUUM public.orders (pid 7): vacuuming indexes, 2 of 4 indexes, about 40% of it is done, "
            "10s so far, about 15s to go",
        ),
        (
            "vacuum",
            {**VACUUM, "phase": "vacuuming heap", "heap_blks_scanned": 1000, "heap_blks_vacuumed": 500},
            "VACUUM public.orders (pid 7): vacuuming heap, 50% of 7.8 MiB cleaned, about 88% of it is done, "
            "10s so far, about 1.43s to go",
        ),
        ("vacuum", {"pid": 7, "phase": "initializing"}, "VACUUM public.orders (pid 7): initializing, 10s so far"),
        (
            "analyze",
            {"pid": 7, "phase": "acquiring sample rows", "sample_blks_total": 100, "sample_blks_scanned": 50},
            "ANALYZE public.orders (pid 7): acquiring sample rows, 50% of 800.0 KiB of the sample read, "
            "about 40% of it is done, 10s so far, about 15s to go",
        ),
        (
            "cluster",
            {**FULL, "heap_blks_scanned": 1000},
            "VACUUM FULL public.orders (pid 7): seq scanning heap, 50% of 15.6 MiB read, about 30% of it is done, "
            "10s so far, about 23s to go",
        ),
        (
            "cluster",
            {**FULL, "phase": "rebuilding index", "index_rebuild_count": 1},
            "VACUUM FULL public.orders (pid 7): rebuilding index, 1 of 2 indexes built, about 79% of it is done, "
            "10s so far, about 2.66s to go",
        ),
        (
            "repack",
            {**FULL, "command": "REPACK", "phase": "catch-up"},
            "REPACK public.orders (pid 7): catch-up, about 60% of it is done, 10s so far, about 6.67s to go",
        ),
        (
            "create_index",
            {**BUILD, "phase": "building index: scanning table"},
            "CREATE INDEX CONCURRENTLY public.orders (pid 7): building index: scanning table, 25% of 3.1 MiB read, "
            "about 8% of it is done, 10s so far, about 1m 57s to go",
        ),
        (
            "create_index",
            {
                **BUILD,
                "phase": "waiting for writers before build",
                "lockers_total": 3,
                "lockers_done": 1,
                "current_locker_pid": 4711,
            },
            "CREATE INDEX CONCURRENTLY public.orders (pid 7): waiting for writers before build, "
            "for pid 4711, 1 of 3 gone, 10s so far",
        ),
        (
            "create_index",
            {**LOADING, "tuples_total": 8, "tuples_done": 4},
            "REINDEX public.orders (pid 7): building index: loading tuples in tree, 50% of 8 rows, "
            "about 77% of it is done, 10s so far, about 2.9s to go",
        ),
    ],
)  # fmt: skip
def test_a_row_becomes_a_sentence(view: str, row: dict[str, Any], text: str) -> None:
    assert line(view, row) == text


def test_without_indexes_reading_is_all_the_work() -> None:
    assert "about 48% of it is done" in line("vacuum", VACUUM, indexes=0)
    assert "about 48% of it is done" in line("cluster", {**FULL, "heap_blks_scanned": 1000}, indexes=0)


def test_an_estimate_needs_something_to_go_by() -> None:
    assert line("vacuum", {**VACUUM, "heap_blks_scanned": 1}).endswith("10s so far")
    assert doing_of("vacuum", VACUUM, "t", 0.0, 0).left is None


@given(
    view=st.sampled_from([*VIEWS, "of_a_later_version"]),
    phase=st.one_of(
        st.none(),
        st.text(),
        st.sampled_from(["scanning heap", "building index: scanning table", "rebuilding index", "vacuuming heap"]),
    ),
    numbers=st.dictionaries(
        st.sampled_from(
            [
                "heap_blks_total",
                "heap_blks_scanned",
                "heap_blks_vacuumed",
                "index_rebuild_count",
                "blocks_total",
                "blocks_done",
                "tuples_total",
                "tuples_done",
                "lockers_total",
                "indexes_total",
                "indexes_processed",
                "sample_blks_total",
            ]
        ),
        st.one_of(st.none(), st.integers(0, 10**12)),
    ),
    seconds=st.floats(-10, 1e7),
    indexes=st.integers(0, 100),
)
def test_whatever_a_server_says_the_share_is_one(
    view: str, phase: str | None, numbers: dict[str, int | None], seconds: float, indexes: int
) -> None:
    doing = doing_of(view, {"pid": 1, "phase": phase, **numbers}, "t", seconds, indexes)
    assert doing.share is None or 0.0 <= doing.share <= 1.0
    assert doing.left is None or doing.left >= 0.0
    assert str(doing)


@pytest.mark.parametrize(
    ("done", "total", "running", "text"),
    [
        (0, 1, 0.5, "0 of 1 done, 30s so far"),
        (0, 4, 0.5, "0 of 4 done, 30s so far"),
        (1, 4, 0.0, "1 of 4 done, 30s so far, about 1m 30s to go at this pace"),
        (1, 4, 1.0, "1 of 4 done, 30s so far, about 30s to go at this pace"),
        (4, 4, 0.0, "4 of 4 done, 30s so far"),
        (5, 4, 0.0, "5 of 4 done, 30s so far"),
        (0, 0, 0.0, "0 of 0 done, 30s so far"),
    ],
)
def test_the_run_is_judged_by_what_is_finished(done: int, total: int, running: float, text: str) -> None:
    assert overall(done, total, running, 30.0) == text
