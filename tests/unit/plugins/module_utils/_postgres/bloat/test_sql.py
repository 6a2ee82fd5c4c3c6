"""The statements: what differs between versions and privileges, and that they carry no value away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server

SERVER = Server(150018, False, "upkeep", True, True, 10, True, datetime(2026, 11, 22, 4, 13, tzinfo=UTC))
QUERIES = (sql.tables_query, sql.indexes_query)
both = pytest.mark.parametrize("query", QUERIES)


@both
def test_a_role_without_the_right_to_pg_statistic_is_not_sent_there(query: object) -> None:
    assert callable(query)
    assert "FROM pg_statistic AS" in query(SERVER, 0)
    ordinary = query(replace(SERVER, reads_statistics=False), 0)
    assert "FROM pg_stats AS" in ordinary
    assert "FROM pg_statistic AS" not in ordinary
    assert "row_security_active" in ordinary


@both
def test_each_statement_has_three_parameters_and_no_open_place(query: object) -> None:
    assert callable(query)
    for version in (140023, 150020, 170011, 180006):
        for reads in (True, False):
            text = query(replace(SERVER, version=version, reads_statistics=reads), 1 << 20)
            assert text.count("%s") == 3
            assert text.replace("%%", "").count("%") == 3
            assert "{" not in text
            assert "1048576" in text


@both
def test_sizes_are_not_asked_for_when_that_was_refused(query: object) -> None:
    assert callable(query)
    assert "CASE WHEN true AND NOT EXISTS" in query(SERVER, 0)
    assert "CASE WHEN false AND NOT EXISTS" in query(SERVER, 0, ask=False)


def test_only_what_a_version_has_is_asked_for() -> None:
    assert "attgenerated" not in sql.tables_query(replace(SERVER, version=170011), 0)
    assert "a.attgenerated = 'v'" in sql.tables_query(replace(SERVER, version=180006), 0)
    assert "stxdinherit" not in sql.indexes_query(replace(SERVER, version=140023), 0)
    assert "NOT d.stxdinherit" in sql.indexes_query(SERVER, 0)
    ordinary = replace(SERVER, reads_statistics=False)
    assert "NOT e.inherited" in sql.indexes_query(ordinary, 0)
    assert "e.inherited" not in sql.indexes_query(replace(ordinary, version=140023), 0)


@pytest.mark.parametrize(
    ("version", "shared"),
    [
        (140023, True), (140024, False), (150019, True), (150020, False), (160015, True), (160016, False),
        (170011, True), (170012, False), (180006, True), (180007, False), (190000, False), (200001, False),
    ],
)  # fmt: skip
def test_padded_characters_share_entries_up_to_a_minor_version(version: int, shared: bool) -> None:
    text = sql.indexes_query(replace(SERVER, version=version), 0)
    assert ("OR true)" in text, "OR false)" in text) == (shared, not shared)


@both
def test_no_typical_value_leaves_the_server(query: object) -> None:
    """Values are only ever unpacked to be measured."""
    assert callable(query)
    for reads in (True, False):
        text = query(replace(SERVER, reads_statistics=reads), 0)
        assert text.count("s.common::text::text[]") == text.count("FROM unnest(CASE WHEN a.attlen < 0") - 1 == 1
        assert text.count("s.bounds::text::text[]") == 1
