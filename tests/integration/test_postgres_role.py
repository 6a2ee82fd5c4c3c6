"""The cadences over clusters with parts: each task gets its own options, its budget, its window and its account."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.bed import data
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.playbook import Fleet

SETTINGS = {"autovacuum": "on", "shared_preload_libraries": "pg_stat_statements"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), settings=SETTINGS, name="role") as running:
        running.execute("CREATE EXTENSION pg_stat_statements")
        yield running


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    name = f"shop_{secrets.token_hex(3)}"
    data.fill(cluster, name)
    yield name
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def entry(cluster: Cluster, database: str, **parts: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "login_host": cluster.host,
        "login_port": cluster.port,
        "login_user": cluster.user,
        "login_password": cluster.password,
        "login_db": database,
        "ssl_mode": "verify-full",
        "ca_cert": str(cluster.ca_cert),
        "databases": [database],
        **parts,
    }


def test_a_monthly_run_does_each_task_with_its_own_options(tmp_path: Path, cluster: Cluster, database: str) -> None:
    clusters = [
        entry(
            cluster,
            database,
            hot={"tables": ["orders"], "dead_ratio": 0.01},
            vacuum={"jobs": 2},
            full={"tables": ["order_events"], "bloat_ratio": 0.05, "bloat_min_size": "0", "free_bytes": "1GiB"},
            health={"bloat_ratio": 0.9},
        ),
        entry(cluster, database, name="again"),
    ]
    fleet = Fleet(tmp_path).local("db1", postgres_clusters=clusters)
    ran = fleet.play("monthly", "-v", upkeep_only="postgres")
    tasks = ran.tasks("db1")
    assert {task["status"] for task in tasks.values()} == {"done"}, ran.output
    assert {"postgres.hot", "postgres.full", "postgres.freeze", "postgres.reindex", "postgres.orphans"} <= set(tasks)
    left_out = {each["id"]: each["reason"] for each in ran.row("db1")["left_out"]}
    assert left_out["postgres.archive"] == "nothing in postgres_clusters has `archive`"
    done = [action for action in ran.row("db1")["actions"] if action["status"] == "done"]
    assert next(action["task"] for action in done if "orders" in action["id"]) == "postgres.hot"
    assert any(action["task"] == "postgres.full" and "order_events" in action["id"] for action in done)
    assert cluster.password not in ran.output + json.dumps(ran.report)

    again = fleet.play("monthly", upkeep_only="postgres", upkeep_force=True)
    assert "Changed: nothing." in again.output, again.output


def test_what_is_outside_its_window_is_put_off_and_not_done_for_its_period(
    tmp_path: Path, cluster: Cluster, database: str
) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    window = f"{later:%H:%M}-{later + timedelta(hours=1):%H:%M}"
    clusters = [entry(cluster, database, vacuum={"window": window})]
    fleet = Fleet(tmp_path).local("db1", postgres_clusters=clusters)
    ran = fleet.play("weekly", upkeep_only="postgres.vacuum")
    (finding,) = ran.findings("pg.outside_window")
    assert finding["severity"] == "info" and window in finding["message"]
    assert ran.code == 0, ran.output
    assert fleet.remembered("db1")["postgres.vacuum"]["settled"] is False
    fleet.hosts["db1"]["postgres_clusters"] = [entry(cluster, database, vacuum={"window": "00:00-00:00"})]
    assert fleet.play("weekly", upkeep_only="postgres.vacuum").row("db1")["changed"] is True


def test_an_option_that_nobody_knows_is_one_finding_that_names_it(
    tmp_path: Path, cluster: Cluster, database: str
) -> None:
    fleet = Fleet(tmp_path).local("db1", postgres_clusters=[entry(cluster, database, vacuum={"dead_raito": 0.2})])
    ran = fleet.play("weekly", upkeep_only="postgres.vacuum")
    (finding,) = ran.findings("task.failed")
    assert ran.code == 2 and "dead_raito" in finding["message"]
    assert cluster.password not in ran.output


def test_a_wrong_password_stops_every_task_and_is_told_once(tmp_path: Path, cluster: Cluster, database: str) -> None:
    bad = {**entry(cluster, database), "login_password": "wrong"}
    ran = Fleet(tmp_path).local("db1", postgres_clusters=[bad]).play("weekly", upkeep_only="postgres")
    (finding,) = ran.findings("task.failed")
    assert "password authentication failed" in finding["message"]
    assert {"postgres.health", "postgres.vacuum", "postgres.reindex"} <= set(finding["evidence"]["tasks"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can go on as the account that owns the server")
def test_a_check_goes_on_as_the_account_that_the_server_knows(tmp_path: Path, cluster: Cluster, database: str) -> None:
    account = cluster.data_directory.owner()
    hba = cluster.data_directory / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(f"local all {cluster.user} peer map=upkeep\n{before}")
    ident = cluster.data_directory / "pg_ident.conf"
    ident.write_text(f"upkeep {account} {cluster.user}\n")
    cluster.execute("SELECT pg_reload_conf()")
    try:
        by_socket = {
            "name": "main",
            "login_unix_socket": str(cluster.socket_dir),
            "login_port": cluster.port,
            "databases": [database],
        }
        fleet = Fleet(tmp_path).local("db1", postgres_clusters=[by_socket])
        refused = fleet.play("daily", upkeep_only="postgres.health")
        assert "Peer authentication failed" in refused.findings("task.failed")[0]["message"]
        ran = fleet.play("daily", upkeep_only="postgres.health", postgres_account=account)
        assert ran.tasks("db1")["postgres.health"]["status"] == "done", ran.output
    finally:
        hba.write_text(before)
        cluster.execute("SELECT pg_reload_conf()")
