"""`alembic_migrate` with real migrations on a real PostgreSQL: once, under a lock, and never half believed."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.lock import FLAGS, AdvisoryLock
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.run import Migrated, migrate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    InvalidInput,
    LockHeld,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.composing import until
from tests.integration.migrating import ALEMBIC, Migrations, execute
from tests.integration.module import run_module

ORDERS = execute("CREATE TABLE orders (id bigint PRIMARY KEY, customer text)")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory())) as made:
        yield made


@dataclass
class Shop:
    """An application with its database."""

    cluster: Cluster
    database: str
    migrations: Migrations

    def params(self, **params: Any) -> dict[str, Any]:
        cluster = self.cluster
        address = f"{cluster.user}:{cluster.password}@127.0.0.1:{cluster.port}/{self.database}"
        return {
            "name": f"shop-{self.database}",
            "chdir": str(self.migrations.folder),
            "command": [ALEMBIC],
            "environment": {"DATABASE_URL": f"postgresql+psycopg://{address}"},
            "psql": self.psql,
            "psql_environment": {"PGPASSWORD": cluster.password},
            **params,
        }

    @property
    def psql(self) -> list[str]:
        cluster = self.cluster
        words = f"host=127.0.0.1 port={cluster.port} user={cluster.user} dbname={self.database}"
        return [str(cluster.binaries.tool("psql")), words]

    def migrate(self, check_mode: bool = False, **params: Any) -> Migrated:
        valid = validate("alembic_migrate", ARGUMENT_SPEC, self.params(**params), RULES).params
        return migrate(valid, utc_now(), check_mode)

    def tables(self) -> set[str]:
        with self.cluster.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return {name for (name,) in cursor.fetchall()}


@pytest.fixture
def shop(cluster: Cluster, tmp_path: Path) -> Iterator[Shop]:
    name = f"app_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield Shop(cluster, name, Migrations(tmp_path / "app"))
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def codes(done: Migrated) -> list[str]:
    return [finding.code for finding in done.outcome.findings]


def test_the_database_is_brought_to_the_head_once(shop: Shop) -> None:
    shop.migrations.add("0001", None, ORDERS, execute("DROP TABLE orders"))
    shop.migrations.add("0002", "0001", execute("ALTER TABLE orders ADD COLUMN total bigint"))
    seen = shop.migrate(state="checked")
    assert codes(seen) == ["app.migration_due"] and not seen.outcome.changed and shop.tables() == set()
    planned = shop.migrate(check_mode=True)
    assert planned.outcome.changed and shop.tables() == set()
    assert planned.after.splitlines() == [
        "CREATE TABLE orders (id bigint PRIMARY KEY, customer text);",
        "ALTER TABLE orders ADD COLUMN total bigint;",
    ]
    done = shop.migrate()
    assert (done.failure, done.outcome.changed, done.outcome.extra["revision"]) == ("", True, "0002")
    assert done.outcome.extra["revision_before"] == "" and "orders" in shop.tables()
    again = shop.migrate()
    assert (again.failure, again.outcome.changed, again.after) == ("", False, "")

    back = shop.migrate(state="downgraded", revision="0001")
    assert (back.failure, back.outcome.extra["revision"], back.outcome.changed) == ("", "0001", True)
    assert shop.migrate(state="downgraded", revision="base").failure == "" and "orders" not in shop.tables()


def test_two_heads_stop_it(shop: Shop) -> None:
    shop.migrations.add("0001", None, ORDERS)
    shop.migrations.add("0002", "0001")
    shop.migrations.add("0003", "0001")
    done = shop.migrate()
    assert codes(done) == ["app.multiple_heads"] and "0002" in done.failure and "0003" in done.failure
    assert not done.outcome.changed and shop.tables() == set()


def test_a_migration_that_fails_says_where_the_database_is(shop: Shop) -> None:
    shop.migrations.add("0001", None, ORDERS)
    shop.migrations.add("0002", "0001", execute("ALTER TABLE orders ADD COLUMN x int", "SELECT 1 / 0"))
    done = shop.migrate()
    assert "app.migration_failed" in codes(done) and "division by zero" in done.failure
    # The first one is in, the second is not, nor any part of it.
    assert done.outcome.extra["revision"] == "0001" and "not empty as before" in done.failure
    assert [action.status for action in done.outcome.actions] == ["failed"]


def test_it_does_not_make_everybody_wait(shop: Shop) -> None:
    shop.migrations.add("0001", None, ORDERS)
    shop.migrate()
    shop.migrations.add("0002", "0001", execute("ALTER TABLE orders ADD COLUMN x int"))
    with shop.cluster.connect(shop.database) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE orders IN ACCESS SHARE MODE")
        done = shop.migrate(lock_timeout="200ms")
        assert "lock timeout" in done.failure and done.outcome.extra["revision"] == "0001"


@pytest.mark.soak
def test_after_its_time_it_is_ended_and_holds_nothing(shop: Shop) -> None:
    shop.migrations.add("0001", None, ORDERS)
    shop.migrate()
    shop.migrations.add("0002", "0001", execute("LOCK TABLE orders", "SELECT pg_sleep(600)"))
    done = shop.migrate(timeout="30s")
    assert "had not ended" in done.failure or "was stopped" in done.failure
    assert done.outcome.extra["revision"] == "0001"

    def ended() -> bool:
        with shop.cluster.connect(shop.database) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
            )
            return int(cursor.fetchone()[0]) == 0

    shop.cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'"
    )
    until(ended)


@pytest.mark.soak
def test_of_two_runs_one_migrates(shop: Shop) -> None:
    shop.migrations.add("0001", None, execute("SELECT pg_sleep(1)", "CREATE TABLE once (id int)"))
    done: list[Migrated] = []
    runs = [threading.Thread(target=lambda: done.append(shop.migrate(wait_for_lock="60s"))) for _run in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(120)
    assert [one.failure for one in done] == ["", ""]
    assert sorted(one.outcome.changed for one in done) == [False, True]

    shop.migrations.add("0002", "0001")
    environment = {"PGPASSWORD": shop.cluster.password}
    name = shop.params()["name"]
    with AdvisoryLock([*shop.psql, *FLAGS], environment, name, 0), pytest.raises(LockHeld, match="Another migration"):
        shop.migrate()
    assert shop.migrate().outcome.changed  # the lock went with its session


@pytest.mark.soak
def test_what_cannot_be_asked_is_no_success(shop: Shop) -> None:
    shop.migrations.add("0001", None, ORDERS)
    with pytest.raises(ConnectionFailed, match="password authentication failed"):
        shop.migrate(psql_environment={"PGPASSWORD": "wrong-p4ss"})
    with pytest.raises(CommandFailed, match="alembic current failed"):
        shop.migrate(environment={"DATABASE_URL": "postgresql+psycopg://nobody:wr0ng@127.0.0.1:1/none"})
    with pytest.raises(CommandFailed, match="cannot be started"):
        shop.migrate(psql=["no-such-psql"])
    with pytest.raises(InvalidInput, match="how to reach"):
        shop.migrate(psql=[])
    with pytest.raises(InvalidInput, match="steps"):
        shop.migrate(state="downgraded", revision="-1")
    with pytest.raises(InvalidInput, match="no folder"):
        shop.migrate(chdir="/nowhere")
    assert shop.tables() <= {"alembic_version"}


@pytest.mark.soak
def test_statements_that_cannot_be_seen_are_no_obstacle(shop: Shop) -> None:
    up = "rows = op.get_bind().execute(sa.text('SELECT 1')).fetchall(); assert rows == [(1,)]"
    shop.migrations.add("0001", None, up)
    done = shop.migrate()
    assert codes(done) == ["app.migration_unseen"] and done.failure == "" and done.outcome.changed


@pytest.mark.soak
def test_what_deserves_a_second_look_is_told(shop: Shop) -> None:
    shop.migrations.add("0001", None, ORDERS)
    shop.migrate()
    secret = "c4nary-value"
    shop.migrations.add(
        "0002",
        "0001",
        execute("ALTER TABLE orders DROP COLUMN customer", f"UPDATE orders SET id = 1, note = '{secret}'"),
    )
    seen = shop.migrate(check_mode=True)
    (finding,) = seen.outcome.findings
    assert finding.code == "app.migration_risky"
    told = [one["statement"] for one in finding.evidence["statements"]]
    assert told[0] == "ALTER TABLE orders DROP COLUMN customer" and secret not in str(finding.evidence)


@pytest.mark.matrix
def test_the_module_migrates_and_keeps_the_password_to_itself(shop: Shop, tmp_path: Path) -> None:
    shop.migrations.add("0001", None, ORDERS)
    answer = run_module(tmp_path, "alembic_migrate", shop.params())
    assert (answer.how, answer.result["revision"]) == ("CHANGED", "0001")
    assert shop.cluster.password not in str(answer.result)
    shop.migrations.add("0002", "0001", "raise RuntimeError('defect')")
    answer = run_module(tmp_path, "alembic_migrate", shop.params())
    assert answer.how == "FAILED" and "defect" in answer.result["msg"]
    assert answer.result["revision"] == "0001"
