"""The rules of autovacuum, against its documentation."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Limit
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.thresholds import Relation, thresholds

SETTINGS = {
    "autovacuum_vacuum_threshold": "50",
    "autovacuum_vacuum_scale_factor": "0.2",
    "autovacuum_vacuum_insert_threshold": "1000",
    "autovacuum_vacuum_insert_scale_factor": "0.2",
    "autovacuum_analyze_threshold": "50",
    "autovacuum_analyze_scale_factor": "0.1",
}
NEWER = {**SETTINGS, "autovacuum_vacuum_max_threshold": "100000000"}


def numbers(limit: Limit | None, rows: float) -> float | None:
    return None if limit is None else limit.of(rows)


def test_the_defaults() -> None:
    limits = thresholds(Relation(10_000.0, inserted=7), None, SETTINGS)
    assert (limits.dead.of(10_000), numbers(limits.inserts, 10_000), limits.inserted) == (2_050, 3_000, 7)
    assert limits.changed.of(10_000) == 1_050
    assert (limits.toast_dead, limits.toast_inserts, limits.toast_inserted) == (None, None, 0)


def test_rows_that_were_never_counted_are_none() -> None:
    assert thresholds(Relation(-1.0), None, SETTINGS).dead.of(-1.0) == 50


@pytest.mark.parametrize(
    ("options", "dead", "inserts"),
    [
        (("autovacuum_vacuum_threshold=7",), 2_007, 3_000),
        (("autovacuum_vacuum_scale_factor=0.5", "fillfactor=70"), 5_050, 3_000),
        (("autovacuum_vacuum_insert_threshold=-1",), 2_050, None),
        (("autovacuum_vacuum_insert_scale_factor=0",), 2_050, 1_000),
        (("autovacuum_enabled=false",), 2_050, 3_000),  # who turned it off needs us all the more
    ],
)
def test_what_is_set_for_the_table_counts(options: tuple[str, ...], dead: float, inserts: float | None) -> None:
    limits = thresholds(Relation(10_000.0, options), None, SETTINGS)
    assert (limits.dead.of(10_000), numbers(limits.inserts, 10_000)) == (dead, inserts)


@pytest.mark.parametrize(
    ("most", "rows", "dead"),
    [("100000000", 1e9, 1e8), ("100000000", 1e4, 2_050), ("-1", 1e9, 200_000_050), ("0", 1e4, 0)],
)
def test_from_18_on_there_is_a_most(most: str, rows: float, dead: float) -> None:
    settings = {**NEWER, "autovacuum_vacuum_max_threshold": most}
    assert thresholds(Relation(rows), None, settings).dead.of(rows) == dead


def test_only_pages_that_are_not_frozen_count_for_inserts() -> None:
    assert numbers(thresholds(Relation(10_000.0, unfrozen=0.25), None, NEWER).inserts, 10_000) == 1_500


def test_a_toast_table_without_parameters_has_those_of_its_table() -> None:
    heap = Relation(10_000.0, ("autovacuum_vacuum_threshold=7",))
    limits = thresholds(heap, Relation(100.0, inserted=3), SETTINGS)
    assert (numbers(limits.toast_dead, 100), limits.toast_inserted, limits.toast_rows) == (27, 3, 100.0)
    own = thresholds(heap, Relation(100.0, ("autovacuum_vacuum_scale_factor=0",)), SETTINGS)
    assert (numbers(own.toast_dead, 100), own.dead.of(10_000)) == (50, 2_007)
