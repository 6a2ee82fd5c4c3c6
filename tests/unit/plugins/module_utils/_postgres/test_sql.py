"""The statements that every job shares."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server, SessionOptions

SERVER = Server(150018, False, "upkeep", True, True, 10, True, datetime(2026, 11, 22, 4, 13, tzinfo=UTC))
SESSION = SessionOptions("pg_vacuum")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0"), (0.0001, "1"), (0.5, "500"), (2, "2000"), (2**60, "2147483647")]
)
def test_milliseconds(seconds: float, text: str) -> None:
    assert sql.milliseconds(seconds) == text


def test_the_settings_of_a_session() -> None:
    settings = dict(sql.session_settings(150018, SESSION, None))
    assert settings["search_path"] == ""
    assert (settings["lock_timeout"], settings["statement_timeout"]) == ("2000", "0")
    assert settings["synchronous_commit"] == "off"
    assert "transaction_timeout" not in settings
    newer = sql.session_settings(170011, replace(SESSION, keep_synchronous_commit=True), "owner")
    assert dict(newer)["transaction_timeout"] == "0"
    assert "synchronous_commit" not in dict(newer)
    assert newer[-1] == ("role", "owner"), "what comes after it would be asked as that role"
    assert sql.settings_query(2).count("pg_catalog.set_config(%s, %s, false)") == 2


def test_a_session_that_only_looks_can_change_nothing_and_waits_for_nobody() -> None:
    settings = dict(sql.session_settings(150018, replace(SESSION, read_only=True), None))
    assert settings["default_transaction_read_only"] == "on"
    assert settings["default_transaction_isolation"] == "read committed"
    assert settings["row_security"] == "off", "rows that are filtered away would look absent"
    assert "default_transaction_read_only" not in dict(sql.session_settings(150018, SESSION, None))


def test_settings_are_applied_only_in_a_process_that_is_ours() -> None:
    query = sql.owned_settings_query(2)
    assert query.startswith("SELECT pg_catalog.pg_backend_pid(), ")
    guarded = "CASE WHEN pg_catalog.pg_backend_pid() = %s THEN pg_catalog.set_config(%s, %s, false) END"
    assert query.count(guarded) == query.count("set_config") == 2


def test_who_may_is_asked_as_the_version_knows_it() -> None:
    assert sql.permitted(SERVER) == "true"
    ordinary = replace(SERVER, superuser=False)
    assert "MAINTAIN" not in sql.permitted(ordinary)
    assert "MAINTAIN" in sql.permitted(replace(ordinary, version=170011))


def test_who_may_not_read_the_servers_files_does_not_try() -> None:
    assert "pg_read_file" in sql.identity_query(may_read=True)
    assert "pg_read_file" not in sql.identity_query(may_read=False)
