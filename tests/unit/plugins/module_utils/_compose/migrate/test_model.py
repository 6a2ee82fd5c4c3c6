"""What alembic says to `alembic_migrate`, and which statements deserve a second look."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.lock import key_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.model import (
    agree,
    heads,
    revisions,
    risks,
    split,
    statements,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.runner import postgres_settings


def test_revisions_among_other_words() -> None:
    assert revisions("ae1027a6acf (head)\n") == ["ae1027a6acf"]
    assert revisions("INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.\n0007\n") == ["0007"]
    assert revisions("") == []
    assert heads("starting\n0007 (head)\n0008 (shop) (effective head)\n") == ["0007", "0008"]
    assert heads("0007\nready\n") == []


@pytest.mark.parametrize(
    ("current", "wanted", "there"),
    [(["0007"], "0007", True), (["ae1027a6acf"], "ae10", True), (["0006"], "0007", False), ([], "0007", False)],
)
def test_whether_the_database_is_there(current: list[str], wanted: str, there: bool) -> None:
    assert agree(current, wanted) is there
    assert not agree(["0007", "0008"], "0007") and not agree(["0007"], "")


def test_statements_without_bookkeeping() -> None:
    script = """the application's own words; they end nowhere
BEGIN;

CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);

-- Running upgrade  -> 0001; it has a semicolon

CREATE TABLE a (
    x text DEFAULT 'it''s; fine'
);
CREATE FUNCTION f() RETURNS int AS $body$ BEGIN; RETURN 1; END $body$ LANGUAGE plpgsql;
INSERT INTO alembic_version (version_num) VALUES ('0001');

COMMIT;
"""
    assert statements(script) == [
        "CREATE TABLE a ( x text DEFAULT 'it''s; fine' )",
        "CREATE FUNCTION f() RETURNS int AS $body$ BEGIN; RETURN 1; END $body$ LANGUAGE plpgsql",
    ]
    assert statements("nothing but words") == []
    assert split('SELECT ";" ; SELECT 2 /* ; */') == ['SELECT ";" ', " SELECT 2 /* ; */"]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE a",
        "DROP TABLE IF EXISTS a",
        "ALTER TABLE a DROP COLUMN b",
        "ALTER TABLE a RENAME COLUMN b TO c",
        "ALTER TABLE a RENAME TO c",
        "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE a ADD COLUMN b int NOT NULL",
        "ALTER TABLE a ALTER COLUMN b TYPE bigint",
        "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (b) REFERENCES d (id)",
        "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0)",
        "CREATE INDEX i ON a (b)",
        "create unique index i on a (b)",
        "LOCK TABLE a",
        "TRUNCATE a",
        "UPDATE a SET b = 1",
        "DELETE FROM a",
    ],
)
def test_what_deserves_a_second_look(statement: str) -> None:
    (found,) = risks(f"BEGIN;\n{statement};\nCOMMIT;\n")
    assert found.statement.lower() == statement.lower() and found.why


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE a (b int)",
        "ALTER TABLE a ADD COLUMN b int",
        "ALTER TABLE a ADD COLUMN b int DEFAULT 0 NOT NULL",
        "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID",
        "ALTER TABLE a VALIDATE CONSTRAINT c",
        "CREATE INDEX CONCURRENTLY i ON a (b)",
        "UPDATE a SET b = 1 WHERE b IS NULL",
        "CREATE TABLE n (b int);\nCREATE INDEX i ON n (b)",
        "CREATE TABLE n (b int);\nALTER TABLE n ADD CONSTRAINT c FOREIGN KEY (b) REFERENCES d (id)",
    ],
)
def test_what_both_versions_can_live_with(statement: str) -> None:
    assert risks(f"BEGIN;\n{statement};\nCOMMIT;\n") == []


def test_a_statement_is_shown_without_its_values() -> None:
    (found,) = risks("BEGIN;\nUPDATE a SET b = 'somebody''s secret';\n")
    assert found.statement == "UPDATE a SET b = '…'"


def test_settings_of_the_sessions() -> None:
    assert postgres_settings(5.0, 0.0, None) == "-c lock_timeout=5000"
    assert postgres_settings(0.2, 60.0, "-c search_path=x") == (
        "-c search_path=x -c lock_timeout=200 -c statement_timeout=60000"
    )
    assert postgres_settings(0, 0, None) == ""


def test_the_key_of_the_lock_is_of_the_application_and_fits() -> None:
    keys = {key_of(name) for name in ("shop", "blog", "shop2")}
    assert len(keys) == 3 and all(-(2**31) <= key < 2**31 for key in keys)
    assert key_of("shop") == key_of("shop")
