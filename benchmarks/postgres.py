# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_vacuum against vacuumdb, the bloat estimate against the truth, and pg_health_info, on throwaway servers.

    python benchmarks/postgres.py [--suites small,idle,big,bloat,health] [--majors 15,17,18] [--tables 2000,10000]
                                  [--rounds 3] [--output FILE]

With an output FILE that is there already, only the rows that were measured anew are replaced.

Variants run in turn (A B C A B C ...) in one database of one server, with the same dirt before each. Taken are wall
time, the CPU of the client and the CPU of the server: the growth of what the postmaster's ended children have used,
read when all sessions are gone, because that holds still when the machine does not. `ours` is the module's own code in
this process, as on a host after its imports; vacuumdb is a process. Work is proven by the server's counters after each
variant, or the benchmark stops. The servers sync to disk (fsync), unlike those of the tests.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate  # noqa: E402  after the path
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now  # noqa: E402
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.check import CHECK  # noqa: E402
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.argspec import ARGUMENT_SPEC  # noqa: E402
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.run import vacuum  # noqa: E402
from tests.bed.bloat_cases import measure as measure_bloat  # noqa: E402
from tests.bed.postgres import Cluster, cache_directory, find_or_bring  # noqa: E402
from tests.bed.processes import descendants  # noqa: E402

JOBS = 4
DATABASE = "bench"
TICK = os.sysconf("SC_CLK_TCK")
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "max_connections": "40",
    "max_locks_per_transaction": "1024",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_utility": "on",
}
SUITES = ("small", "idle", "big", "bloat", "health")


@dataclass(frozen=True)
class Sample:
    """Seconds of one run: wall time, CPU of the client, CPU of the server."""

    wall: float
    client: float
    server: float


class Server:
    """One server with the database of the benchmark."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        cluster.execute(f"CREATE DATABASE {DATABASE}")
        self.run("CREATE EXTENSION pg_stat_statements")

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        return self.cluster.execute(sql, database=DATABASE)

    def options(self, **options: Any) -> dict[str, Any]:
        """How the module reaches the server: by its socket, as vacuumdb does."""
        return {
            "name": "bench",
            "login_unix_socket": str(self.cluster.socket_dir),
            "login_port": self.cluster.port,
            "login_password": self.cluster.password,
            "login_db": DATABASE,
            "state_dir": str(self.folder / "state"),
            **options,
        }

    def ours(self, **options: Any) -> dict[str, Any]:
        vacuumed = vacuum(validate("pg_vacuum", ARGUMENT_SPEC, self.options(jobs=JOBS, **options)).params, utc_now())
        if vacuumed.failure:
            sys.exit(f"pg_vacuum failed: {vacuumed.failure}")
        return vacuumed.as_result()

    def vacuumdb(self, **environment: str) -> None:
        command = [str(self.cluster.binaries.tool("vacuumdb")), "--quiet", "--analyze", f"--jobs={JOBS}", DATABASE]
        subprocess.run(command, env={**self.cluster.client_environment(), **environment}, check=True)

    def cpu(self) -> float:
        """Seconds that ended sessions have used so far, once none is left and the postmaster has counted them."""
        pid = self.cluster.ledger.processes[self.cluster.name].pid
        deadline = time.monotonic() + 30
        counted, since = -1.0, time.monotonic()
        while time.monotonic() - since < 0.5 and time.monotonic() < deadline:
            time.sleep(0.02)
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            now = (int(fields[13]) + int(fields[14])) / TICK
            if now != counted or any(_is_session(child.pid) for child in descendants(pid)):
                counted, since = now, time.monotonic()
        return counted

    def take(self, work: Callable[[], object]) -> Sample:
        """Run *work* and return what it cost."""
        server = self.cpu()
        client, started = _client_cpu(), time.monotonic()
        work()
        wall, used = time.monotonic() - started, _client_cpu() - client
        return Sample(wall, used, self.cpu() - server)


def _is_session(pid: int) -> bool:
    """Whether the process serves a client: PostgreSQL gives it a title with the role, here always `postgres`."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres: postgres ")
    except OSError:
        return False


def _client_cpu() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


@contextmanager
def server_of(major: int, **settings: str) -> Iterator[Server]:
    binaries = find_or_bring(major, cache_directory())
    with (
        tempfile.TemporaryDirectory(prefix="upkeep-bench-") as folder,
        Cluster(binaries, settings={**SETTINGS, **settings}, name="bench") as cluster,
    ):
        yield Server(cluster, Path(folder))


# --- the tables


def make_small_tables(server: Server, tables: int, analyze: bool = True) -> None:
    """*tables* tables of 200 rows with two indexes each, clean; unless *analyze*, nobody ever counted their rows."""
    for first in range(0, tables, 500):
        server.run(
            f"""DO $$ BEGIN FOR number IN {first}..{min(first + 500, tables) - 1} LOOP
            EXECUTE format('CREATE TABLE t%s (id integer PRIMARY KEY, kind integer, text text)', number);
            EXECUTE format('CREATE INDEX ON t%s (kind)', number);
            EXECUTE format('INSERT INTO t%s SELECT i, i %% 10, md5(i::text) FROM generate_series(1, 200) i', number);
            END LOOP; END $$"""
        )
    if analyze:
        server.run("VACUUM (ANALYZE)")


def dirty_small_tables(server: Server, tables: int) -> None:
    """Half of the rows of each table are dead, and nothing waits to be written."""
    for first in range(0, tables, 500):
        server.run(
            f"""DO $$ BEGIN FOR number IN {first}..{min(first + 500, tables) - 1} LOOP
            EXECUTE format('UPDATE t%s SET kind = kind + 1 WHERE id %% 2 = 0', number);
            END LOOP; END $$"""
        )
    server.run("CHECKPOINT")


COUNTS = """SELECT sum(n_dead_tup), sum(vacuum_count), sum(analyze_count)
            FROM pg_stat_user_tables WHERE relname ~ '^(t[0-9]+|big)$'"""


def proven(server: Server, tables: int, work: Callable[[], object]) -> Callable[[], Sample]:
    """Return *work* as something to take, which stops the benchmark when not every table was done."""

    def taken() -> Sample:
        before = server.run(COUNTS)[0]
        sample = server.take(work)
        dead, vacuums, analyzes = server.run(COUNTS)[0]
        done = (int(vacuums - before[1]), int(analyzes - before[2]))
        if dead or min(done) < tables:
            sys.exit(f"The work was not done: {dead} dead rows, {done} of {tables} tables vacuumed and analysed.")
        return sample

    return taken


def in_turn(
    rounds: int, prepare: Callable[[], object], variants: Mapping[str, Callable[[], Sample]]
) -> dict[str, list[Sample]]:
    taken: dict[str, list[Sample]] = {name: [] for name in variants}
    for _round in range(rounds):
        for name, variant in variants.items():
            prepare()
            taken[name].append(variant())
    return taken


def rows_of(head: Mapping[str, Any], taken: Mapping[str, list[Sample]], peer: str) -> list[dict[str, Any]]:
    """Return one row for each variant: medians, and the median of its ratios to *peer* in the same round."""
    rows = []
    for name, samples in taken.items():
        row: dict[str, Any] = {**head, "variant": name, "rounds": len(samples)}
        for key in ("wall", "client", "server"):
            row[key] = round(statistics.median(getattr(sample, key) for sample in samples), 3)
        row["wall_min"] = round(min(sample.wall for sample in samples), 3)
        row["wall_max"] = round(max(sample.wall for sample in samples), 3)
        row["load"] = round(os.getloadavg()[0], 1)
        for key in ("wall", "server"):
            pairs = zip(samples, taken[peer], strict=True)
            ratios = [getattr(a, key) / getattr(b, key) for a, b in pairs if getattr(b, key)]
            row[f"{key}_ratio"] = round(statistics.median(ratios), 3) if ratios else None
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    return rows


# --- the suites


def small(major: int, tables: int, rounds: int) -> list[dict[str, Any]]:
    """Every table is dirty."""
    with server_of(major) as server:
        make_small_tables(server, tables)
        thresholds = {"dead_min": 50, "mod_min": 50, "include_catalogs": False}
        taken = in_turn(
            rounds,
            lambda: dirty_small_tables(server, tables),
            {
                "vacuumdb -z -j4": proven(server, tables, server.vacuumdb),
                "vacuumdb -z -j4, synchronous_commit=off": proven(
                    server, tables, lambda: server.vacuumdb(PGOPTIONS="-c synchronous_commit=off")
                ),
                "pg_vacuum": proven(server, tables, lambda: server.ours(**thresholds)),
            },
        )
        head = {"suite": "small", "postgres": server.cluster.binaries.version, "tables": tables}
        return rows_of(head, taken, "vacuumdb -z -j4")


def idle(major: int, tables: int, rounds: int) -> list[dict[str, Any]]:
    """Nothing is to be done: vacuumdb does it all the same, pg_vacuum must send no VACUUM and no ANALYZE."""
    with server_of(major) as server:
        make_small_tables(server, tables)

        def look() -> None:
            if server.ours()["changed"]:
                sys.exit("pg_vacuum changed something where nothing was to be done.")

        def nothing() -> Sample:
            server.run("SELECT pg_stat_statements_reset()")
            sample = server.take(look)
            sent = server.run("SELECT sum(calls) FROM pg_stat_statements WHERE query ~* '^ *(vacuum|analyze)'")[0][0]
            if sent:
                sys.exit(f"pg_vacuum sent {sent} statements where nothing was to be done.")
            return sample

        variants = {"vacuumdb -z -j4": lambda: server.take(server.vacuumdb), "pg_vacuum": nothing}
        # vacuumdb writes the statistics anew, and leaves dead rows in their catalog: no part of doing nothing.
        taken = in_turn(rounds, server.ours, variants)
        head = {"suite": "idle", "postgres": server.cluster.binaries.version, "tables": tables}
        return rows_of(head, taken, "vacuumdb -z -j4")


def big(major: int, rounds: int) -> list[dict[str, Any]]:
    """One table with 4 indexes: the server's own time for the same statement is the peer."""
    with server_of(major) as server:
        server.run(
            """CREATE TABLE big AS SELECT i AS id, i % 1000 AS kind, md5(i::text) AS text, now() AS at
               FROM generate_series(1, 1500000) i"""
        )
        for index in ("(id)", "(kind)", "(text)", "(at, id)"):
            server.run(f"CREATE INDEX ON big {index}")
        server.run("VACUUM (ANALYZE)")

        def prepare() -> None:
            server.run("UPDATE big SET kind = kind + 1 WHERE id % 4 = 0")
            server.run("CHECKPOINT")

        variants = {
            "VACUUM (ANALYZE) alone": proven(server, 1, lambda: server.run("VACUUM (ANALYZE) big")),
            "pg_vacuum": proven(server, 1, lambda: server.ours(include_catalogs=False)),
        }
        head = {"suite": "big", "postgres": server.cluster.binaries.version, "tables": 1}
        return rows_of(head, in_turn(rounds, prepare, variants), "VACUUM (ANALYZE) alone")


def bloat(major: int) -> list[dict[str, Any]]:
    """The estimate, and the formula that most tools share, against what a rewrite really frees: points of 100."""
    with server_of(major, fsync="off", full_page_writes="off") as server:
        found = [row for row in measure_bloat(server.cluster) if row.megabytes >= 1]
    rows: list[dict[str, Any]] = []
    for kind in sorted({row.kind for row in found}):
        alike = [row for row in found if row.kind == kind and row.confidence != "none"]
        worst = max(alike, key=lambda row: abs(row.error))
        row = {
            "suite": "bloat",
            "postgres": server.cluster.binaries.version,
            "kind": kind,
            "relations": len(alike),
            "worst": round(abs(worst.error), 1),
            "worst_relation": worst.relation,
            "median": round(statistics.median(abs(row.error) for row in alike), 2),
            "classic_worst": round(max(abs(row.classic_error) for row in alike), 1),
            "beyond_the_limit": sum(not row.within for row in alike),
        }
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    return rows


def health(major: int, tables: int, rounds: int) -> list[dict[str, Any]]:
    """All that pg_health_info looks at, in a database with many tables; the first call is among them."""
    rows: list[dict[str, Any]] = []
    for variant, analyze in (("pg_health_info", True), ("pg_health_info, never analysed", False)):
        with server_of(major) as server:
            make_small_tables(server, tables, analyze)

            def look(params: dict[str, Any]) -> None:
                outcome = CHECK.run(validate(CHECK.name, CHECK.argument_spec, params, CHECK.rules).params, utc_now())
                outcome.as_result()
                if not outcome.examined:
                    sys.exit("pg_health_info looked at nothing.")

            params = server.options(databases=[DATABASE])
            params.pop("state_dir")
            take = functools.partial(server.take, functools.partial(look, params))
            head = {"suite": "health", "postgres": server.cluster.binaries.version, "tables": tables}
            rows += rows_of(head, in_turn(rounds, lambda: None, {variant: take}), variant)
    return rows


# --- the command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suites", default=",".join(SUITES))
    parser.add_argument("--majors", default="15,17,18")
    parser.add_argument("--tables", default="2000,10000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    suites = options.suites.split(",")
    for unknown in set(suites) - set(SUITES):
        parser.error(f"there is no suite {unknown}: use some of {', '.join(SUITES)}")
    sizes = [int(number) for number in options.tables.split(",")]
    rows: list[dict[str, Any]] = []
    for major in map(int, options.majors.split(",")):
        work: list[Callable[[], list[dict[str, Any]]]] = []
        for tables in sizes:
            work += [functools.partial(small, major, tables, options.rounds)] if "small" in suites else []
            work += [functools.partial(idle, major, tables, options.rounds)] if "idle" in suites else []
        work += [functools.partial(big, major, options.rounds)] if "big" in suites else []
        work += [functools.partial(bloat, major)] if "bloat" in suites else []
        work += [functools.partial(health, major, max(sizes), options.rounds)] if "health" in suites else []
        for measure in work:
            rows += measure()
            if options.output:
                options.output.write_text(result_of(rows, options.output), encoding="utf-8")
    if not options.output:
        print(result_of(rows, None), end="")


def result_of(rows: list[dict[str, Any]], earlier: Path | None) -> str:
    """Return the result as JSON. What the file *earlier* has besides is kept."""
    known = json.loads(earlier.read_text(encoding="utf-8"))["rows"] if earlier and earlier.exists() else []
    measured = {_key(row) for row in rows}
    kept = [row for row in known if _key(row) not in measured]
    result = {
        "environment": {
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "system": platform.platform(),
            "processors": os.cpu_count(),
        },
        "jobs": JOBS,
        "rows": sorted(kept + rows, key=lambda row: (SUITES.index(row["suite"]), *_key(row)[1:])),
    }
    return json.dumps(result, indent=1) + "\n"


def _key(row: Mapping[str, Any]) -> tuple[str, int, int, str]:
    """Return what *row* is about: suite, major version, number of tables, kind of relation."""
    return row["suite"], int(row["postgres"].split(".")[0]), row.get("tables", 0), row.get("kind", "")


if __name__ == "__main__":
    main()
