"""A database of a real server, what happens to it, and `pg_vacuum` called on it in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster as Sessions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Limits, read_server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import Watch
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.apply import Run
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.evaluate import judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.main import Main
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Record
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import policy_of, run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import plan
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.run import vacuum
from tests.bed.postgres import Cluster

Result = dict[str, Any]
Rows = list[tuple[Any, ...]]

ROLE = "upkeep_tester"
ROLE_PASSWORD = "not-a-secret"
# The sessions that work on the slow table.
AT_WORK = "FROM pg_stat_activity WHERE query LIKE 'VACUUM%slow'"
QUICK = {"lock_timeout": "300ms", "lock_retries": 1, "lock_retry_delay": "100ms"}


@dataclass
class Place:
    """One database; `folder` is for what runs leave on the host."""

    cluster: Cluster
    database: str
    folder: Path

    @property
    def major(self) -> int:
        return self.cluster.binaries.major

    @property
    def subject(self) -> str:
        """How findings name the database."""
        return f"main: {self.database}"

    def options(self, **options: Any) -> dict[str, Any]:
        """The options with which a user would reach the database; those given win."""
        return {
            "name": "main",
            "login_host": self.cluster.host,
            "login_port": self.cluster.port,
            "login_user": self.cluster.user,
            "login_password": self.cluster.password,
            "login_db": self.database,
            "ssl_mode": "verify-full",
            "ca_cert": str(self.cluster.ca_cert),
            "state_dir": str(self.folder / "state"),
            **options,
        }

    def params(self, **options: Any) -> dict[str, Any]:
        return validate("pg_vacuum", ARGUMENT_SPEC, self.options(**options)).params

    def call(self, *, check: bool = False, driver: str = "psycopg2", **options: Any) -> Result:
        """Run the module's own code; `msg` is why the task would fail, `diff` what diff mode shows."""
        vacuumed = vacuum(self.params(**options), utc_now(), check_mode=check, drivers=[driver])
        diff = {"before": vacuumed.before, "after": vacuumed.after}
        return {**vacuumed.as_result(), "msg": vacuumed.failure, "diff": diff}

    def execute(self, *statements: str, database: str | None = None) -> Rows:
        """Run each statement by a session that ends, and so sends its counters; return the rows of the last."""
        rows: Rows = []
        for statement in statements:
            rows = self.cluster.execute(statement, database=database or self.database)
        self.settle()
        return rows

    def settle(self) -> None:
        """Before 15 the counters come by messages, and are written twice a second."""
        if self.major < 15:
            time.sleep(0.6)

    def calm(self) -> None:
        """Wait until whoever was here has gone, and has handed in all counts."""
        self.wait_for(f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{self.database}')")
        self.settle()

    @contextmanager
    def session(self, *statements: str, database: str | None = None) -> Iterator[Connection]:
        """A session of somebody else that has run *statements* in a transaction and leaves it open."""
        connected = self.cluster.connect(database or self.database)
        try:
            with connected.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            yield connected
        finally:
            connected.close()

    def wait_for(self, query: str, seconds: float = 60.0, database: str = "postgres") -> Rows:
        """The rows of *query*, as soon as it has any."""
        give_up = time.monotonic() + seconds
        while not (rows := self.cluster.execute(query, database=database)):
            assert time.monotonic() < give_up, f"nothing came of {query}"
            time.sleep(0.02)
        return rows

    def make_dirty(self, *tables: str, rows: int = 3000, database: str | None = None) -> None:
        """Make tables that were vacuumed and analysed, and of which every second row is dead since."""
        statements = []
        for table in tables:
            statements += [
                f"CREATE TABLE {table} (id integer PRIMARY KEY, note text)",
                f"INSERT INTO {table} SELECT n, 'note ' || n FROM generate_series(1, {rows}) n",
                f"VACUUM (ANALYZE) {table}",
                f"DELETE FROM {table} WHERE id % 2 = 0",
            ]
        self.execute(*statements, database=database)

    def make_slow(self, delay: str = "50ms") -> None:
        """Make a table `slow` whose VACUUM takes seconds."""
        self.execute(
            "CREATE TABLE slow AS SELECT n, repeat('x', 400) AS filler FROM generate_series(1, 3000) n",
            "DELETE FROM slow WHERE n % 2 = 0",
            f"ALTER DATABASE {self.database} SET vacuum_cost_delay = '{delay}'",
            f"ALTER DATABASE {self.database} SET vacuum_cost_limit = 100",
            f"ALTER DATABASE {self.database} SET vacuum_cost_page_hit = 10",
        )

    @contextmanager
    def other_database(self) -> Iterator[str]:
        """A second database, whose name has to be quoted."""
        name = f'{self.database} "two"'
        quoted = quote(name)
        self.cluster.execute(f"CREATE DATABASE {quoted}")
        try:
            yield name
        finally:
            self.cluster.execute(f"DROP DATABASE {quoted} WITH (FORCE)")

    @contextmanager
    def role(self, name: str = ROLE) -> Iterator[dict[str, str]]:
        """The options of a login that owns nothing."""
        quoted = quote(name)
        self.execute(f"CREATE ROLE {quoted} LOGIN PASSWORD '{ROLE_PASSWORD}'")
        try:
            yield {"login_user": name, "login_password": ROLE_PASSWORD}
        finally:
            self.execute(f"REASSIGN OWNED BY {quoted} TO postgres", f"DROP OWNED BY {quoted}", f"DROP ROLE {quoted}")


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def statuses(result: Mapping[str, Any]) -> dict[str, str]:
    """The status of each listed table, with the reason when it was skipped."""
    return {
        record["table"]: ": ".join(filter(None, (record["status"], record["skipped_reason"])))
        for record in result["tables"]
    }


def codes(result: Mapping[str, Any]) -> dict[str, str]:
    """The code of each finding by its subject."""
    return {finding["subject"]: finding["code"] for finding in result["findings"]}


def record_of(result: Mapping[str, Any], table: str) -> Result:
    (record,) = (record for record in result["tables"] if record["table"] == table)
    return record


@contextmanager
def meanwhile(place: Place, query: str, times: int = 1) -> Iterator[None]:
    """Run *query* beside the block until it had rows, that often."""

    def run_it() -> None:
        for _time in range(times):
            place.wait_for(query)
            time.sleep(0.2)

    thread = threading.Thread(target=run_it)
    thread.start()
    try:
        yield
    finally:
        thread.join()


class Work:
    """A plan that was made and is yet to be run."""

    def __init__(self, place: Place, **options: Any) -> None:
        params = place.params(**options)
        self.policy = policy_of(params)
        self.options = run_options_of(params)
        self.cluster = Sessions(find_driver(), connection_of(params), self.options.session)
        with self.cluster.session(place.database) as session:
            server = read_server(session)
            self.snapshot = collect.read_tables(session, server, "main", place.database)
        self.plan = plan(self.snapshot, self.policy, self.snapshot.now)

    def run(self) -> list[Record]:
        limits, watch = Limits(Budget(None), Deadline(None)), Watch(None, len(self.plan.steps))
        with Main(self.cluster, self.snapshot.database, "main") as main:
            run = Run(self.cluster, self.options, self.snapshot, self.plan.steps, limits, watch)
            applied = run.execute(main, slots=10)
        return judge(self.snapshot, self.plan, self.policy, applied)
