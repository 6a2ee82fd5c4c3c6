"""A database of a real server, what goes wrong in it, and `pg_health_info` called on it in this process."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.check import CHECK, check
from tests.bed.errors import BedError
from tests.bed.postgres import Cluster
from tests.bed.processes import run
from tests.integration.vacuuming import Place, Result

# With these the server itself gives no cause for a word, so that a test sees what it has made.
SOUND = {
    "autovacuum": "on",
    "autovacuum_naptime": "50min",
    "fsync": "on",
    "full_page_writes": "on",
    "shared_preload_libraries": "pg_stat_statements",
    "max_prepared_transactions": "5",
    "archive_mode": "on",
    "archive_command": "true",
}
# Where an index comes to a halt that is built concurrently.
BUILDING = "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%' AND datname = '{}'"


class Checked(Cluster):
    """A cluster with checksums, which initdb makes by itself from 18 on only."""

    def _initdb(self) -> None:
        super()._initdb()
        if self.binaries.major >= 18:
            return
        tool, data = self.binaries.tool("pg_checksums"), str(self.data_directory)
        argv = [str(tool), "--enable", "--no-sync", "-D", data]
        answer = run(argv, env=self.environment(), cwd=self.home, account=self._account.ids)
        if answer.returncode != 0:
            raise BedError(f"pg_checksums failed: {answer.stderr.strip()}")


class Looked(Place):
    """One database whose health is looked at."""

    def options(self, **options: Any) -> dict[str, Any]:
        given = super().options(**options)
        del given["state_dir"]
        return given

    def call(self, *subset: str, driver: str = "psycopg2", **options: Any) -> Result:
        """Run the module's own code, on *subset* or on everything."""
        asked = {"subset": list(subset)} if subset else {}
        params = validate("pg_health_info", CHECK.argument_spec, self.options(**asked, **options)).params
        return check(params, utc_now(), [driver]).as_result()

    def name(self, sql_name: str) -> str:
        """How findings name a thing in the database."""
        return f"main: {self.database}.{sql_name}"

    @contextmanager
    def beside(self, statement: str) -> Iterator[list[str]]:
        """Run *statement* in a session of its own beside the block; the list gets how it ended, empty for well.

        When the block fails, the session is ended: it may wait for ever for what the block did not come to.
        """
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
            finally:
                connected.close()

        pid = connected.info.backend_pid
        thread = threading.Thread(target=run_it)
        thread.start()
        try:
            yield ended
        except BaseException:
            self.cluster.execute(f"SELECT pg_terminate_backend({pid})")
            raise
        finally:
            thread.join()

    def interrupt(self, build: str, *held_up_by: str) -> None:
        """Begin to build an index concurrently, and break it off where it waits for a transaction."""
        with self.session(*held_up_by), self.beside(build) as ended:
            ((pid,),) = self.wait_for(BUILDING.format(self.database))
            self.execute(f"SELECT pg_cancel_backend({pid})")
        assert ended == ["57014"], "it was not interrupted"

    def wait_for_waiters(self, count: int) -> None:
        """Return when so many sessions of the database wait for a lock."""
        self.wait_for(
            f"SELECT 1 FROM pg_stat_activity WHERE datname = '{self.database}' AND wait_event_type = 'Lock' "
            f"HAVING count(*) >= {count}"
        )

    def corrupt(self, table: str) -> None:
        """Let the storage change a page of *table* behind the server's back."""
        ((path,),) = self.execute(f"SELECT pg_relation_filepath('{table}')")
        self.cluster.execute("CHECKPOINT")
        self.cluster.stop()
        with open(self.cluster.data_directory / path, "r+b") as file:
            file.seek(4000)
            file.write(os.urandom(64))
        self.cluster.start()


def found(result: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Code and severity of each finding by its subject; of several the worst."""
    return {each["subject"]: (each["code"], each["severity"]) for each in reversed(result["findings"])}


def codes(result: Mapping[str, Any]) -> set[str]:
    return {each["code"] for each in result["findings"]}


def finding(result: Mapping[str, Any], code: str) -> Result:
    one: Result
    (one,) = (each for each in result["findings"] if each["code"] == code)
    return one


def status(result: Mapping[str, Any], part: str) -> str:
    word: str = result["checks"][part]["status"]
    return word


def statements_in(log: str) -> list[str]:
    """The statements that the server's log says were sent, in order."""
    return re.findall(r"LOG:  statement:\s*(\S.*)", log)
