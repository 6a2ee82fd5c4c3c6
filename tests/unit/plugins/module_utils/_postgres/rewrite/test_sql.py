"""The statements that are sent, by version and method."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite import sql
from tests.unit.plugins.module_utils._postgres.rewrite.samples import table

# PostgreSQL 19 could not be run here: what is sent to it is written down, as its manual has it.
STATEMENTS = [
    ("full", 150000, False, False, "VACUUM (FULL) public.orders"),
    ("full", 150000, True, False, "VACUUM (FULL, SKIP_LOCKED) public.orders"),
    ("full", 150000, False, True, "VACUUM (FULL) public.orders"),
    ("full", 180000, False, True, "VACUUM (FULL) ONLY public.orders"),
    ("full", 190000, False, False, "VACUUM (FULL) public.orders"),
    ("repack", 190000, False, False, "REPACK (CONCURRENTLY) public.orders"),
    ("repack", 190000, True, True, "REPACK (CONCURRENTLY) public.orders"),
    ("pg_repack", 150000, False, False, "pg_repack --no-order --no-kill-backend --table public.orders"),
]


@pytest.mark.parametrize(("method", "version", "skips", "children", "text"), STATEMENTS)
def test_a_table_is_rewritten_by(method: str, version: int, skips: bool, children: bool, text: str) -> None:
    assert sql.rewrite_statement(method, table(children=children), version, skips) == text


def test_the_server_is_asked_about_repack_only_where_it_has_it() -> None:
    before, since = sql.facts_query(180006), sql.facts_query(190000)
    assert "MAINTAIN" not in before
    assert "relreplident = 'n'" in since
    assert "has_table_privilege(c.oid, 'MAINTAIN')" in since
    for query in (before, since):
        assert query.count("%s") == 1, "the oids are the only parameter"
        assert query.replace("%%", "").count("%") == 1
