"""A database of a real server with bloated tables, and mode full of `pg_vacuum` called on it in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.run import rewrite
from tests.integration.vacuuming import Place, Result

GATE = 78
QUICK = {"lock_timeout": "300ms", "lock_retries": 1, "lock_retry_delay": "100ms"}


class Rewriting(Place):
    """One database in which tables are rewritten. The limits are those of a test, not of a warehouse."""

    def call(self, *, check: bool = False, driver: str = "psycopg2", **options: Any) -> Result:
        """Run the module's own code; `msg` is why the task would fail, `diff` what diff mode shows."""
        small = {"mode": "full", "bloat_min_size": "100KiB", **options}
        vacuumed = rewrite(self.params(**small), utc_now(), check_mode=check, drivers=[driver])
        diff = {"before": vacuumed.before, "after": vacuumed.after}
        return {**vacuumed.as_result(), "msg": vacuumed.failure, "diff": diff}

    def make_bloated(self, *tables: str, rows: int = 10_000, keep: int = 10, database: str | None = None) -> None:
        """Make tables of which one row in *keep* is left, vacuumed and analysed since."""
        statements = []
        for table in tables:
            statements += [
                f"CREATE TABLE {table} (id integer PRIMARY KEY, stamp bigint NOT NULL, filler char(60) NOT NULL)",
                f"INSERT INTO {table} SELECT n, n, 'x' FROM generate_series(1, {rows}) n",
                f"DELETE FROM {table} WHERE id % {keep} <> 0",
                f"VACUUM (ANALYZE) {table}",
            ]
        self.execute(*statements, database=database)

    def make_gated(self, table: str) -> None:
        """Let the rewrite of *table* stop, with its files half written, while somebody holds the lock `GATE`."""
        self.execute(
            "CREATE OR REPLACE FUNCTION public.gate(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
            f"PERFORM pg_catalog.pg_advisory_lock_shared({GATE}); PERFORM pg_catalog.pg_advisory_unlock_shared({GATE});"
            " RETURN n; END $$",
            f"CREATE INDEX ON {table} (public.gate(id))",
        )

    @contextmanager
    def closed_gate(self) -> Iterator[Callable[[], None]]:
        """Keep the gate closed until the function that is given is called."""
        with self.session(f"SELECT pg_advisory_lock({GATE})") as session:
            yield session.close

    def wait_until_halfway(self) -> int:
        """The pid of the session that stands at the gate, in the middle of a rewrite."""
        ((pid,),) = self.wait_for(
            f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
        )
        return int(pid)

    def node_of(self, table: str) -> int:
        return self._number(f"SELECT pg_relation_filenode('{table}')")

    def size_of(self, table: str) -> int:
        return self._number(f"SELECT pg_table_size('{table}')")

    def count(self, table: str) -> int:
        return self._number(f"SELECT count(*) FROM {table}")

    def _number(self, query: str) -> int:
        ((number,),) = self.cluster.execute(query, database=self.database)
        return int(number)
