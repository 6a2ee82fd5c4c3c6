"""The statements, by what they are made of. That a server takes them is shown in the integration tests."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.collect import share_of
from tests.unit.plugins.module_utils._postgres.large_objects.samples import column


def test_a_name_is_no_place_for_a_value():
    strange = column('a"%s', sql_table='"100%s".t', sql_name='"a""%s"')
    for text in (sql.orphans_query([strange], False), sql.recheck_query([strange])):
        assert text % (("x",) * text.replace("%%", "").count("%s")), text
        assert '"100%s".t' in text.replace("%%", "%")
    text = sql.values_query([[column("n", "number", sql_name='"%d"')]], [100.0])
    assert text.replace("%%", "").count("%s") == 1


def test_without_references_everything_is_an_orphan():
    assert "NOT EXISTS" not in sql.orphans_query([], False)
    assert "NOT EXISTS" in sql.orphans_query([column()], False)


@pytest.mark.parametrize("commit_times", [True, False])
def test_the_orphans_take_the_same_values_either_way(commit_times):
    assert sql.orphans_query([column()], commit_times).count("%s") == 3


def test_large_arrays_are_one_constant():
    assert sql.array([3, 1, 2]) == "{3,1,2}"
    assert sql.array([]) == "{}"


@pytest.mark.parametrize(
    ("rows", "size", "wanted", "share"),
    [
        (100, 8192, 1000, 100.0),
        (1000, 8192, 1000, 100.0),
        (100_000, 1 << 23, 1000, 1.0),
        (10**12, 1 << 40, 1, 0.000001),
        (100_000, 1 << 23, 0, 100.0),
        (-1, 1 << 20, 10, 100.0),
        (-1, 1 << 25, 10, 25.0),
    ],
)
def test_how_much_of_a_table_is_looked_at(rows, size, wanted, share):
    assert share_of(column(rows=rows, bytes=size), wanted) == pytest.approx(share)


def test_a_sample_is_taken_where_the_table_is_large():
    text = sql.values_query([[column("a", "number")], [column("b", "words"), column("c", "numeric")]], [100.0, 2.5])
    assert text.count("TABLESAMPLE") == 1
    assert "TABLESAMPLE SYSTEM (2.500000)" in text
    assert text.count("count(*)") == 3
