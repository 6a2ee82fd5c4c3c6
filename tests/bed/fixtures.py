"""Fixtures over the bed, for `pytest_plugins = ["tests.bed.fixtures"]`.

`UPKEEP_BED_POSTGRES=15,17` (major versions, or `system`) narrows what `postgres_cluster` runs on. Nothing here skips: a
server that cannot be had fails each test that wants it, with what to do.
"""

from __future__ import annotations

import functools
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from . import backups, data
from .binaries import SYSTEM_DIRECTORIES, find
from .docker_engine import Engine
from .endpoint import Behaviour, TlsServer
from .errors import BedError
from .postgres import Cluster, cache_directory, find_or_bring
from .tls import Authority, Issued

BROUGHT = (14, 17, 18)
NARROW = "UPKEEP_BED_POSTGRES"


@dataclass(frozen=True)
class BackupTree:
    """Series of one database, by format (`sql`, `sql.gz`, `dump`): the paths of each, oldest first. Read only.

    `good` has three dumps a day apart, the newest an hour old; in `truncated` the newest is cut at 60 %; the newest
    of `stale` is two days old. All have sha256 sidecars.
    """

    root: Path
    database: str
    good: dict[str, list[Path]]
    truncated: dict[str, list[Path]]
    stale: dict[str, list[Path]]


TlsServerFactory = Callable[..., TlsServer]


def pytest_configure() -> None:
    """A run that is terminated (a time limit of its caller, say) tears down like one that is interrupted."""
    in_main_thread = threading.current_thread() is threading.main_thread()  # a worker of xdist may be elsewhere
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@functools.lru_cache
def wanted_majors(narrowed: str | None) -> list[str]:
    """What `postgres_cluster` is parametrised by: the machine's own where it has one, and 14, 17 and 18."""
    if narrowed:
        return [word.strip() for word in narrowed.split(",") if word.strip()]
    here = [binaries.major for binaries in find(SYSTEM_DIRECTORIES)[:1]]
    return (["system"] if here else []) + [str(major) for major in BROUGHT if major not in here]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that uses a cluster one of every major version, cluster by cluster."""
    if "postgres_cluster" in metafunc.fixturenames:
        names = wanted_majors(os.environ.get(NARROW))
        ids = [f"postgresql-{name}" for name in names]
        metafunc.parametrize("postgres_cluster", names, ids=ids, indirect=True, scope="session")


@pytest.fixture(scope="session")
def postgres_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running cluster of each major version: TLS, scram, autovacuum off. Tests make databases of their own in it."""
    name: str = request.param
    if name != "system" and not name.isdigit():
        pytest.fail(f"{NARROW} has {name!r}: it takes major versions and `system`, as in {NARROW}=system,17")
    try:
        cluster = Cluster(find_or_bring(None if name == "system" else int(name), cache_directory()))
        with cluster:
            yield cluster
    except BedError as error:
        pytest.fail(f"PostgreSQL {name}: {error}")


@pytest.fixture
def postgres_database(postgres_cluster: Cluster) -> Iterator[str]:
    """The name of a fresh empty database, dropped after the test with whoever is still connected."""
    name = f"bed_{secrets.token_hex(4)}"
    postgres_cluster.execute(f"CREATE DATABASE {name}")
    yield name
    postgres_cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """A Docker engine with Compose: this machine's, or one of our own. Tests remove what they start in it."""
    try:
        with Engine() as engine:
            yield engine
    except BedError as error:
        pytest.fail(f"Docker: {error}")


@pytest.fixture(scope="session")
def certificate_authority() -> Authority:
    """An authority with an intermediate, so that a served chain has two certificates."""
    return Authority(intermediate=True)


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[TlsServerFactory]:
    """A factory of servers that run until the test ends: `tls_server(issued)`, `tls_server(behaviour=...)`."""
    with ExitStack() as stack:

        def start(issued: Issued | None = None, behaviour: Behaviour = Behaviour.SERVE, **options: Any) -> TlsServer:
            chain, key = (None, None) if issued is None else issued.write(tmp_path, f"served-{secrets.token_hex(4)}")
            return stack.enter_context(TlsServer(chain, key, behaviour=behaviour, **options))

        yield start


@pytest.fixture(scope="session")
def backup_tree(postgres_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> BackupTree:
    """Real dumps of a filled database, whole and damaged. A test that changes a file works on a copy."""
    root = tmp_path_factory.mktemp("backups")
    database = f"backed_up_{secrets.token_hex(4)}"
    data.fill(postgres_cluster, database, rows=4000)
    now = datetime.now(UTC) - timedelta(hours=1)
    forms: tuple[backups.Format, ...] = ("sql", "sql.gz", "dump")

    def series(kind: str, newest: datetime, keep: float = 1.0) -> dict[str, list[Path]]:
        taken = backups.taken_daily(newest, 3)
        return {
            form: backups.write_series(
                postgres_cluster, database, root / kind / form, "shop", taken, form, keep=keep, sidecars=True
            )
            for form in forms
        }

    return BackupTree(
        root=root,
        database=database,
        good=series("good", now),
        truncated=series("truncated", now, keep=0.6),
        stale=series("stale", now - timedelta(days=2)),
    )
