"""A database of a real server, indexes in every state, and `pg_reindex` called on it in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.run import reindex
from tests.integration.vacuuming import Place, Result, quote

# Indexes of tests are small: from here on a share of bloat still means something.
SMALL = "200kB"
QUICK = {"lock_retries": 1, "lock_retry_delay": "100ms"}

INVALID = """
SELECT n.nspname || '.' || c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT x.indisvalid ORDER BY 1
"""
# Where a rebuild that waits stands.
WAITING = "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%' AND datname = '{}'"


class Indexed(Place):
    """One database whose indexes are worked on."""

    def params(self, **options: Any) -> dict[str, Any]:
        return validate("pg_reindex", ARGUMENT_SPEC, self.options(**{"min_size": SMALL, **options})).params

    def call(self, *, check: bool = False, driver: str = "psycopg2", **options: Any) -> Result:
        """Run the module's own code; `msg` is why the task would fail, `diff` what diff mode shows."""
        reindexed = reindex(self.params(**options), utc_now(), check_mode=check, drivers=[driver])
        diff = {"before": reindexed.before, "after": reindexed.after}
        return {**reindexed.as_result(), "msg": reindexed.failure, "diff": diff}

    def settle(self) -> None:
        """Nothing here counts on the server's counters but what is said by `counted`."""

    def counted(self) -> None:
        """Before 15 the counters come by messages, and are written twice a second."""
        super().settle()

    def make_bloated(self, *tables: str, rows: int = 40_000, database: str | None = None) -> None:
        """Make tables of whose primary keys nine tenths are bloat."""
        statements = []
        for table in tables:
            statements += [
                f"CREATE TABLE {table} (id integer PRIMARY KEY, note text, grp integer)",
                f"INSERT INTO {table} SELECT n, md5(n::text), n % 100 FROM generate_series(1, {rows}) n",
                f"DELETE FROM {table} WHERE id % 10 <> 0",
                f"VACUUM (ANALYZE) {table}",
            ]
        self.execute(*statements, database=database)
        self.counted()

    def interrupt(self, index: str, *held_up_by: str) -> None:
        """Begin a concurrent rebuild, and break it off where it waits for a transaction with these statements."""
        with self.session(*held_up_by), self.beside(f"REINDEX INDEX CONCURRENTLY {index}") as ended:
            ((pid,),) = self.wait_for(WAITING.format(self.database))
            self.execute(f"SELECT pg_cancel_backend({pid})")
        assert ended == ["57014"], f"the rebuild of {index} was not interrupted"

    @contextmanager
    def beside(self, statement: str) -> Iterator[list[str]]:
        """Somebody else runs *statement* beside the block; the list then has its SQLSTATE, empty for well."""
        ended: list[str] = []
        connected = self.cluster.connect(self.database)
        connected.autocommit = True

        def run_it() -> None:
            try:
                with connected.cursor() as cursor:
                    cursor.execute(statement)
                ended.append("")
            except psycopg2.Error as error:
                ended.append(error.pgcode or "lost")

        thread = threading.Thread(target=run_it)
        thread.start()
        try:
            yield ended
        except BaseException:
            # What holds it up may go only after us.
            connected.cancel()
            raise
        finally:
            thread.join()
            connected.close()

    @contextmanager
    def held_up(self, *statements: str, seconds: float = 1.0) -> Iterator[None]:
        """A session of somebody else holds up the rebuilds of the block, until one has waited for it that long."""
        with self.session(*statements) as other:

            def let_go() -> None:
                self.wait_for(WAITING.format(self.database))
                time.sleep(seconds)
                other.rollback()

            thread = threading.Thread(target=let_go)
            thread.start()
            yield
            thread.join()

    def invalid(self) -> list[str]:
        """The names of all invalid indexes."""
        return [row[0] for row in self.execute(INVALID)]

    def files(self, *names: str) -> dict[str, int]:
        """The file of each index of that name."""
        rows = self.execute("SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relkind = 'i'")
        return {name: node for name, node in rows if name in names}


def statuses(result: Mapping[str, Any]) -> dict[str, str]:
    """The status of each listed index, with what was done or the reason why not."""
    return {
        record["index"]: ": ".join(filter(None, (record["status"], record["skipped_reason"] or record["action"])))
        for record in result["indexes"]
    }


def record_of(result: Mapping[str, Any], index: str) -> Result:
    (record,) = (record for record in result["indexes"] if record["index"] == index)
    return record


__all__ = ["QUICK", "SMALL", "WAITING", "Indexed", "quote", "record_of", "statuses"]
