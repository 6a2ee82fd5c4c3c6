"""A throwaway PostgreSQL cluster with TLS, a password, a unix socket of its own and a free loopback port."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .accounts import base_directory, server_account
from .binaries import Binaries, find_or_bring, version_of
from .errors import BedError
from .ledger import Ledger, of_this_process
from .processes import Process, descendants, run
from .tls import Authority

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from psycopg2.extensions import connection
    from psycopg2.sql import Composable

__all__ = ["Binaries", "Cluster", "find_or_bring"]

CHECKOUT = Path(__file__).resolve().parents[2]
HOST = "localhost"  # the name in the certificate; clients before PostgreSQL 15 do not verify an address
SETTINGS = {
    # A test decides itself when a table is vacuumed or analysed.
    "autovacuum": "off",
    # Nothing here has to survive a crash of the machine; a crash of the server loses nothing by it.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "max_wal_size": "512MB",
    "listen_addresses": "127.0.0.1",
    "ssl": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "GMT",  # the one that is built in: packaged programs take the others from the system, if it has them
    "lc_messages": "C",
}
_STOP = ("SIGINT", "SIGQUIT", "SIGKILL")  # fast, immediate, and the last resort


def cache_directory(default: Path = CHECKOUT / ".cache" / "upkeep-bed") -> Path:
    """Where the bed keeps downloads and its ledgers: `UPKEEP_BED_CACHE`, or `.cache/upkeep-bed` in the checkout."""
    return Path(os.environ.get("UPKEEP_BED_CACHE") or default).absolute()


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """One cluster. As a context manager it is started, stopped and removed; without one, `start` and `remove` do it.

    `settings` are added to (and win over) `SETTINGS`. The superuser is `postgres`, with a random password, by scram
    over TCP (with or without TLS) and over the socket.
    """

    user = "postgres"
    host = HOST

    def __init__(
        self,
        binaries: Binaries,
        *,
        settings: Mapping[str, str] | None = None,
        authority: Authority | None = None,
        ledger: Ledger | None = None,
        name: str = "postgres",
    ) -> None:
        """Nothing is made or started yet."""
        self.binaries = binaries
        self.ledger = of_this_process(cache_directory()) if ledger is None else ledger
        self.name = name
        self.port = 0
        self.password = secrets.token_urlsafe(18)
        self.directory: Path | None = None
        self._settings = {**SETTINGS, **(settings or {})}
        self._authority = authority
        self._account = server_account()

    # --- where things are

    @property
    def home(self) -> Path:
        """The directory everything of this cluster is in; mode 0700, the server's account's own."""
        if self.directory is None:
            raise BedError(f"the cluster {self.name} was not made yet")
        return self.directory

    @property
    def data_directory(self) -> Path:
        """The server's own directory."""
        return self.home / "data"

    @property
    def socket_dir(self) -> Path:
        """The directory of the unix socket."""
        return self.home / "socket"

    @property
    def ca_cert(self) -> Path:
        """The certificate that a client verifies the server with."""
        return self.home / "ca.pem"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "server.log"

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self.ledger.running(self.name)

    # --- life

    def create(self) -> None:
        """`initdb`, certificate and settings, in a fresh directory."""
        self.directory = self.ledger.make_directory(base_directory(self._account))
        self._account.give(self.directory)
        self._make_programs_reachable()
        self.socket_dir.mkdir(mode=0o700)
        self._account.give(self.socket_dir)
        self._initdb()
        self._install_certificate()
        lines = [f"{key} = '{value}'\n" for key, value in self._effective_settings().items()]
        with open(self.data_directory / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(lines)

    def _effective_settings(self) -> dict[str, str]:
        files = {"ssl_cert_file": str(self.home / "server.pem"), "ssl_key_file": str(self.home / "server.key")}
        return {key: value.replace("'", "''") for key, value in {**files, **self._settings}.items()}

    def _make_programs_reachable(self) -> None:
        """Packaged programs in a cache below somebody's 0700 home are copied to where the account can run them."""
        if self._account.ids is None:
            return
        try:
            reachable = self._run(self.binaries.tool("postgres"), "--version").returncode == 0
        except BedError:
            reachable = False
        if not reachable:
            shutil.copytree(self.binaries.directory.parent, self.home / "programs", symlinks=True)
            self.binaries = Binaries(self.home / "programs" / "bin", self.binaries.version, self.binaries.system)

    def _initdb(self) -> None:
        secret = self.home / "password"
        secret.write_text(self.password + "\n", encoding="ascii")
        secret.chmod(0o600)
        self._account.give(secret)
        answer = self._run(
            self.binaries.tool("initdb"), "--no-sync", "--pgdata", self.data_directory, "--username", self.user,
            "--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        secret.unlink()
        if answer.returncode != 0:
            raise BedError(f"initdb of PostgreSQL {self.binaries.version} failed: {answer.stderr.strip()}")

    def _install_certificate(self) -> None:
        authority = self._authority or Authority()
        issued = authority.issue(HOST, names=(HOST, "127.0.0.1"), days=3650)
        self.ca_cert.write_bytes(authority.certificate_pem)
        chain, key = issued.write(self.home, "server")
        self._account.give(self.ca_cert, chain, key)

    def start(self) -> None:
        """Start it (after `create`, `stop` or `kill9`), on its port of before where that is still free."""
        for _attempt in range(5):  # another process may take the port between the look and the start
            self.port = self.port or free_port()
            before = self.log.stat().st_size if self.log.exists() else 0
            argv = [self.binaries.tool("postgres"), "-D", self.data_directory, "-p", self.port, "-k", self.socket_dir]
            process = self.ledger.start(
                self.name, [str(word) for word in argv], log=self.log, signals=_STOP, account=self._account.ids,
                env=self.environment(), cwd=self.home,
            )  # fmt: skip
            self._account.give(self.log)
            if self._wait_until_ready(process):
                return
            self.ledger.stop(self.name)
            said = self.log.read_text(encoding="utf-8", errors="replace")[before:]
            if "could not bind" not in said:
                raise BedError(f"PostgreSQL {self.binaries.version} did not start: {said.strip()[-800:]}")
            self.port = 0
        raise BedError("PostgreSQL found no free loopback port in five attempts")

    def _wait_until_ready(self, process: Process, seconds: float = 60.0) -> bool:
        """The eighth line of the pid file says so, as `pg_ctl` reads it; False when the server ended instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not process.running:
                return False
            lines = _lines(self.data_directory / "postmaster.pid")
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        raise BedError(f"PostgreSQL {self.binaries.version} was not ready after {seconds:.0f} s: see {self.log}")

    def stop(self) -> None:
        """A fast shutdown; the data stay."""
        self.ledger.stop(self.name)

    def kill9(self) -> None:
        """End the server as a crash would, with all its backends; `start` then recovers."""
        process = self.ledger.processes[self.name]
        backends = descendants(process.pid)
        os.kill(process.pid, 9)
        for backend in backends:  # they notice by themselves, but a busy one late
            Process(backend.pid, backend.started, ("SIGKILL",)).stop()
        self.ledger.stop(self.name)

    def remove(self) -> None:
        """Stop it and remove all of it."""
        self.stop()
        if self.directory is not None:
            self.ledger.remove_directory(self.directory)
            self.directory = None

    def __enter__(self) -> Self:
        """Make and start it."""
        try:
            self.create()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and remove it."""
        self.remove()

    # --- use

    def environment(self) -> dict[str, str]:
        """What a PostgreSQL program needs to be this cluster's: its own HOME, and no setting of ours."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
        return {**ours, "HOME": str(self.home), "LC_ALL": "C", "TZ": "UTC"}

    def client_environment(self) -> dict[str, str]:
        """The same with the connection by socket, for `pg_dump`, `psql` and their like."""
        connection_ = {"PGHOST": self.socket_dir, "PGPORT": self.port, "PGUSER": self.user, "PGPASSWORD": self.password}
        return {**self.environment(), **{key: str(value) for key, value in connection_.items()}}

    def connect(self, database: str = "postgres", **options: Any) -> connection:
        """A psycopg2 connection over TCP and verified TLS; `options` are libpq's and win."""
        import psycopg2

        ours = {
            "host": self.host, "port": self.port, "user": self.user, "password": self.password, "dbname": database,
            "sslmode": "verify-full", "sslrootcert": str(self.ca_cert), "connect_timeout": 10,
            "application_name": "upkeep bed",
        }  # fmt: skip
        connected: connection = psycopg2.connect(**{**ours, **options})
        return connected

    def execute(
        self, sql: str | Composable, values: Sequence[Any] | None = None, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction block; its rows, or none."""
        connected = self.connect(database)
        try:
            connected.autocommit = True
            with connected.cursor() as cursor:
                cursor.execute(sql, values)
                return [] if cursor.description is None else cursor.fetchall()
        finally:
            connected.close()

    # --- keep over the end of this process

    def record(self) -> dict[str, Any]:
        """What `resume` needs, as JSON types. It holds the password."""
        return {
            "directory": str(self.home),
            "programs": str(self.binaries.directory),
            "version": self.binaries.version,
            "system": self.binaries.system,
            "port": self.port,
            "password": self.password,
        }

    @classmethod
    def resume(cls, record: Mapping[str, Any], ledger: Ledger, name: str = "postgres") -> Cluster:
        """The cluster of a record, running or not. Raises BedError when its files or its programs are gone."""
        cluster = cls(Binaries(Path(record["programs"]), record["version"], record["system"]), ledger=ledger, name=name)
        cluster.directory = Path(record["directory"])
        cluster.port, cluster.password = int(record["port"]), str(record["password"])
        if not (cluster.data_directory / "PG_VERSION").exists():
            raise BedError(f"{cluster.data_directory} is gone")
        if int(version_of(cluster.binaries.directory).split(".")[0]) != cluster.binaries.major:
            raise BedError(f"{cluster.binaries.directory} has another major version now")
        return cluster

    def _run(self, *argv: str | Path) -> Any:
        return run(argv, env=self.environment(), cwd=self.home, account=self._account.ids)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
