"""The live log of long work, against servers that really vacuum, build and rewrite for as long as a test wants."""

from __future__ import annotations

import os
import re
import secrets
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import (
    PREFERENCE,
    ServerError,
    find_driver,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster as Sessions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of, session_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import Watch, progress_path, watching
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.vacuuming import ROLE, Place, quote

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)
GATE = 77
ROWS = 20_000
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S.*\Z")


@pytest.fixture
def everywhere(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path) -> Place:
    """A database of each supported version: what the views say differs."""
    return Place(postgres_cluster, postgres_database, tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), name="watched") as running:
        yield running


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[Place]:
    name = f"bed_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield Place(cluster, name, tmp_path)
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class Log:
    """A job that is watched, and what its log says."""

    def __init__(self, place: Place, driver: str = "psycopg2", **options: object) -> None:
        params = place.params(**options)
        session = session_options_of(params, "pg_vacuum")
        self.sessions = Sessions(find_driver([driver]), connection_of(params), session)
        self.database = place.database
        self.path = Path(progress_path(self.sessions))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def wait_for(self, pattern: str, seconds: float = 30.0) -> str:
        """The first line that *pattern* is found in."""
        give_up = time.monotonic() + seconds
        while True:
            for line in self.text.splitlines():
                if re.search(pattern, line):
                    return line
            assert time.monotonic() < give_up, f"no line has {pattern}:\n{self.text}"
            time.sleep(0.02)

    @contextmanager
    def of(self, statement: str, total: int = 1) -> Iterator[Watch]:
        """Run *statement* in a session of the job beside the block, watched."""
        with watching(self.sessions, self.database, str(self.path), total, interval=0.05) as watch:
            thread = threading.Thread(target=self._run, args=(statement, watch))
            thread.start()
            yield watch
            thread.join()

    def _run(self, statement: str, watch: Watch) -> None:
        with self.sessions.session(self.database) as session:
            watch.add(session.pid)
            with suppress(ServerError):  # the test may have seen enough
                session.run(statement)
            watch.forget(session.pid)
            watch.done(statement)


def make_gated(place: Place, table: str) -> None:
    """Make a table whose index is not built further than one row while somebody holds the advisory lock `GATE`."""
    place.execute(
        f"CREATE TABLE {table} AS SELECT n, repeat('x', 100) AS filler FROM generate_series(1, {ROWS}) n",
        "CREATE FUNCTION gate(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
        f"IF n = {ROWS // 2} THEN PERFORM pg_advisory_lock({GATE}); PERFORM pg_advisory_unlock({GATE}); END IF; "
        "RETURN n; END $$",
    )


@contextmanager
def closed_gate(place: Place) -> Iterator[Callable[[], None]]:
    """Keep the gate closed until the function that is given is called."""
    with place.session(f"SELECT pg_advisory_lock({GATE})") as session:
        # Closed, it holds neither the lock nor a snapshot that a concurrent build would wait for.
        yield session.close


@BOTH_DRIVERS
def test_the_build_of_an_index_can_be_followed(everywhere: Place, driver: str) -> None:
    make_gated(everywhere, "built")
    log = Log(everywhere, driver)
    with (
        closed_gate(everywhere) as open_the_gate,
        log.of("CREATE INDEX CONCURRENTLY built_n ON public.built (public.gate(n))"),
    ):
        line = log.wait_for("scanning table.* to go")
        open_the_gate()
    assert re.search(
        r"Z CREATE INDEX CONCURRENTLY public\.built \(pid \d+\): building index: scanning table, "
        r"[45]\d% of 2\.\d MiB read, about 1\d% of it is done, \S+ so far, about \S+.* to go$",
        line,
    ), line
    assert "finished: CREATE INDEX CONCURRENTLY" in log.text
    assert log.text.splitlines()[-1].endswith("ended: 1 of 1 done in " + log.text.split()[-1])


def test_a_rewrite_can_be_followed(everywhere: Place) -> None:
    make_gated(everywhere, "rewritten")
    everywhere.execute("CREATE INDEX ON rewritten (n)", "CREATE INDEX ON rewritten (gate(n))")
    log = Log(everywhere)
    with closed_gate(everywhere) as open_the_gate, log.of("VACUUM FULL public.rewritten"):
        # A table that nobody else may read now is still named.
        line = log.wait_for("rebuilding index")
        open_the_gate()
    assert re.search(r"VACUUM FULL public\.rewritten \(pid \d+\): rebuilding index, \d of 2 indexes built", line), line
    assert "about" in line


def test_a_vacuum_can_be_followed(everywhere: Place) -> None:
    everywhere.make_slow()
    log = Log(everywhere)
    with log.of("VACUUM public.slow", total=3):
        line = log.wait_for(r"scanning heap, \d+% of [\d.]+ \w+ read, about [1-9]\d*% of it is done")
        everywhere.wait_for(f"SELECT 1 FROM pg_stat_progress_vacuum WHERE datname = '{everywhere.database}'")
        everywhere.cluster.execute(
            f"SELECT pg_cancel_backend(pid) FROM pg_stat_progress_vacuum WHERE datname = '{everywhere.database}'"
        )
    assert "VACUUM public.slow" in line
    assert " to go" in line
    assert "0 of 3 done" in log.text


def test_a_name_cannot_break_a_line_nor_the_log(place: Place) -> None:
    name = 'näme\n"; DROP TABLE x; %s {} \t'
    place.execute(f"CREATE TABLE {quote(name)} (n int)")
    log = Log(place, name='cluster/../"x"\n')
    with log.of(f"VACUUM FULL public.{quote(name)}") as watch:
        watch.done(name)
    assert all(LINE.match(line) for line in log.text.splitlines()), log.text
    assert log.path.parent == place.folder / "state" / "progress"


def test_the_log_is_private_and_replaces_the_one_before(place: Place) -> None:
    log = Log(place)
    for number in (1, 2):
        with watching(log.sessions, log.database, str(log.path), 1) as watch:
            watch.done(f"run {number}")
    assert "run 2" in log.text
    assert "run 1" not in log.text
    with watching(log.sessions, log.database, str(log.path), 1, fresh=False) as watch:
        watch.done("run 3")
    assert "run 2" in log.text and "run 3" in log.text
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(log.path.parent).st_mode) == 0o700


def test_tail_shows_the_lines_as_they_come(place: Place) -> None:
    log = Log(place)
    with (
        watching(log.sessions, log.database, str(log.path), 2, interval=0.05) as watch,
        subprocess.Popen(["tail", "-n", "+1", "-f", log.path], stdout=subprocess.PIPE, text=True) as tail,
    ):
        assert tail.stdout is not None
        try:
            assert "begins in" in tail.stdout.readline()
            watch.done("the first")
            assert any("finished: the first" in tail.stdout.readline() for _line in range(500))
        finally:
            tail.kill()


def test_a_role_taken_on_does_not_hide_the_work(place: Place) -> None:
    make_gated(place, "theirs")
    with place.role() as login:
        place.execute(
            f"CREATE ROLE {ROLE}_owner",
            f"GRANT {ROLE}_owner TO {ROLE}",
            f"ALTER TABLE theirs OWNER TO {ROLE}_owner",
            f"GRANT CREATE, USAGE ON SCHEMA public TO {ROLE}_owner",
        )
        try:
            log = Log(place, session_role=f"{ROLE}_owner", **login)
            with closed_gate(place) as open_the_gate, log.of("CREATE INDEX theirs_n ON public.theirs (public.gate(n))"):
                line = log.wait_for("scanning table")
                open_the_gate()
        finally:
            place.execute(f"REASSIGN OWNED BY {ROLE}_owner TO postgres", f"DROP OWNED BY {ROLE}_owner")
            place.execute(f"DROP ROLE {ROLE}_owner")
    assert "public.theirs" in line


# --- what must not disturb the work -----------------------------------------------------------------------------------


def test_a_short_run_costs_the_server_no_connection(place: Place) -> None:
    log = Log(place)
    before = threading.active_count()
    with watching(log.sessions, log.database, str(log.path), 1) as watch:
        watch.add(1)
        ((sessions,),) = place.cluster.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'upkeep pg_'"
        )
    assert sessions == 0
    assert threading.active_count() == before


def test_a_server_that_lets_nobody_in_is_a_note(place: Place) -> None:
    log = Log(place)
    connection = replace(log.sessions.connection, database="is_not_there", port=1)
    closed = Sessions(log.sessions.driver, connection, log.sessions.options)
    give_up = time.monotonic() + 30
    with watching(closed, "is_not_there", str(log.path), 2, interval=0.02) as watch:
        while not watch.notes:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        watch.done("one")
    assert "could not be watched" in watch.notes[0]
    assert "finished: one" in log.text


def test_a_session_of_the_watch_that_is_ended_is_a_note_and_comes_back(place: Place) -> None:
    log = Log(place)
    watcher = "application_name = 'upkeep pg_vacuum' AND query LIKE '%pg_stat_progress_%'"
    with watching(log.sessions, log.database, str(log.path), 1, interval=0.02) as watch:
        watch.add(1)
        place.wait_for(f"SELECT 1 FROM pg_stat_activity WHERE {watcher}")
        place.cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {watcher}")
        give_up = time.monotonic() + 30
        while not watch.notes:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        place.wait_for(f"SELECT 1 FROM pg_stat_activity WHERE {watcher}")
    assert "could not be watched" in watch.notes[0]


@pytest.mark.parametrize("kind", ["directory", "link", "parent is a file"])
def test_a_log_that_cannot_be_written_is_a_note(place: Place, kind: str) -> None:
    log = Log(place)
    log.path.parent.parent.mkdir()
    victim = place.folder / "victim"
    victim.write_text("precious")
    if kind == "parent is a file":
        log.path.parent.write_text("in the way")
    else:
        log.path.parent.mkdir(mode=0o700)
        if kind == "directory":
            log.path.mkdir()
        else:
            log.path.symlink_to(victim)
    with watching(log.sessions, log.database, str(log.path), 1) as watch:
        watch.add(1)
        watch.done("all the same")
    assert watch.path is None
    assert "cannot be written" in watch.notes[0]
    assert victim.read_text() == "precious"


def test_a_full_disk_is_a_note(place: Place) -> None:
    log = Log(place)
    with watching(log.sessions, log.database, str(log.path), 1, interval=0.02) as watch:
        # The file becomes one that takes no byte more.
        descriptor = next(int(name) for name in os.listdir("/proc/self/fd") if _leads_to(name, log.path))
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, descriptor)
        os.close(full)
        watch.done("unseen")
        give_up = time.monotonic() + 30
        while not watch.notes:
            assert time.monotonic() < give_up
            time.sleep(0.02)
    assert "No space left" in watch.notes[0]


def _leads_to(name: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{name}") == str(path)
    except OSError:
        return False


def test_without_a_path_nothing_is_written(place: Place) -> None:
    log = Log(place)
    with watching(log.sessions, log.database, None, 1) as watch:
        watch.add(1)
        watch.done("one")
    assert watch.path is None
    assert watch.notes == []
    assert not log.path.exists()
