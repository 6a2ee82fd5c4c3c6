"""What the weekly cadence left behind: the database is cared for, and the report says what is wrong with the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from testinfra.host import Host

BED = Path(os.environ["UPKEEP_MOLECULE_BED"])


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    made: dict[str, Any] = json.loads((BED / "bed.json").read_text())["facts"]
    return made


def latest(host: Host) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(host.file(str(BED / "reports" / "latest.json")).content_string)
    return report


def test_no_table_of_the_database_has_dead_rows_to_speak_of(facts: dict[str, Any]) -> None:
    server = facts["postgres"]
    with (
        psycopg2.connect(
            host=server["host"], port=server["port"], user=server["user"], password=server["password"], dbname="shop"
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT relname, n_dead_tup, last_vacuum, last_analyze FROM pg_stat_user_tables ORDER BY relname"
        )
        tables = {name: (dead, vacuumed, analyzed) for name, dead, vacuumed, analyzed in cursor.fetchall()}
    assert all(dead < 1000 for dead, _vacuumed, _analyzed in tables.values())
    assert tables["orders"][1] is not None and tables["order_events"][1] is not None
    assert tables["customers"][2] is not None, "the table without statistics was not analysed"


def test_the_report_finds_the_truncated_backup_and_nothing_worse_elsewhere(host: Host) -> None:
    findings = latest(host)["findings"]
    critical = {finding["code"] for finding in findings if finding["severity"] == "critical"}
    assert "backup.truncated" in critical
    assert all(code.startswith(("backup.", "host.")) for code in critical)
    assert not [finding for finding in findings if finding["code"].startswith(("task.", "run.", "state."))]


def test_every_task_of_the_week_ran(host: Host) -> None:
    (row,) = latest(host)["hosts"]
    ran = {task["id"] for task in row["tasks"]}
    assert {"host.filesystems", "certificates.expiry", "backups.all", "postgres.vacuum"} <= ran
    assert row["status"] == "examined"


def test_the_state_is_whole_and_private(host: Host) -> None:
    folder = BED / "state" / "hosts" / "molecule"
    state = host.file(str(folder / "state.json"))
    assert state.mode == 0o600
    assert json.loads(state.content_string)["tasks"]["postgres.vacuum"]["settled"] is True
    history = host.file(str(folder / "history.jsonl")).content_string.splitlines()
    assert len(history) >= 2 and all(json.loads(line)["cadence"] == "weekly" for line in history)
