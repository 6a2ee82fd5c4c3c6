"""A pgbouncer before a throwaway cluster: the distribution's own, unpacked into the cache, not installed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .accounts import base_directory, server_account
from .errors import BedError
from .packages import runs, settings_of, unpacked
from .postgres import Cluster, free_port

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PoolMode = Literal["transaction", "session", "statement"]
_PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"


def find_or_bring(cache: Path) -> tuple[Path, dict[str, str]]:
    """The program of this machine, or else the unpacked one, and the variables that it needs."""
    here = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:{_PLACES}")
    if here is not None:
        return Path(here), {}
    home = unpacked("pgbouncer", ("pgbouncer",), cache, lambda home: runs(home, ("usr/sbin/pgbouncer", "--version")))
    return home / "usr/sbin/pgbouncer", settings_of(home)


class Pgbouncer:
    """A pooler of every database of `cluster`; it lets in the cluster's superuser with the cluster's password.

    `settings` are those of its file and win. Use `host`, `port`, and `user` and `password` of the cluster.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        cluster: Cluster,
        pool_mode: PoolMode = "transaction",
        *,
        settings: Mapping[str, str] | None = None,
        name: str = "pgbouncer",
    ) -> None:
        """Nothing is started yet."""
        self.cluster = cluster
        self.ledger = cluster.ledger
        self.name = name
        self.port = 0
        self.mode = pool_mode
        self._settings = {"pool_mode": pool_mode, **(settings or {})}
        self._directory: Path | None = None

    def start(self) -> None:
        """Start it on a free loopback port."""
        account = server_account()  # it refuses root as the server does
        program, variables = find_or_bring(self.ledger.path.parent.parent)
        self._directory = self.ledger.make_directory(base_directory(account))
        self.port = free_port()
        program = self._reachable(program, variables)
        users = self._directory / "users"
        users.write_text(f'"{self.cluster.user}" "{self.cluster.password}"\n', encoding="ascii")
        log = self._directory / "pgbouncer.log"
        lines = {
            "listen_addr": self.host, "listen_port": str(self.port), "unix_socket_dir": "",
            "auth_type": "scram-sha-256", "auth_file": str(users), "admin_users": self.cluster.user,
            "ignore_startup_parameters": "", "server_tls_sslmode": "prefer", "default_pool_size": "20",
            **self._settings,
        }  # fmt: skip
        file = self._directory / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.cluster.port}\n[pgbouncer]\n"
            + "".join(f"{key} = {value}\n" for key, value in lines.items()),
            encoding="ascii",
        )
        for path in (users, file):
            path.chmod(0o600)
        account.give(self._directory, users, file)
        env = {**self.cluster.environment(), **variables}
        process = self.ledger.start(self.name, [program, file], log=log, account=account.ids, env=env, cwd=Path("/"))
        deadline = time.monotonic() + 30
        while not self._answers():
            if not process.running or time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8", errors="replace").strip()[-800:]
                self.remove()
                raise BedError(f"pgbouncer does not answer: {said}")
            time.sleep(0.02)

    def _reachable(self, program: Path, variables: dict[str, str]) -> Path:
        """Its account may not read a cache below somebody's 0700 home: there it gets copies."""
        if not variables or self._directory is None:
            return program
        copies = self._directory / "programs"
        copies.mkdir(mode=0o755)
        for folder in variables["LD_LIBRARY_PATH"].split(os.pathsep):
            for library in Path(folder).glob("*.so*") if folder else ():
                shutil.copy(library, copies / library.name)
        shutil.copy(program, copies / program.name)
        for path in (copies, *copies.iterdir()):
            path.chmod(0o755)
        variables["LD_LIBRARY_PATH"] = str(copies)
        return copies / program.name

    def _answers(self) -> bool:
        import psycopg2

        login = {"user": self.cluster.user, "password": self.cluster.password, "dbname": "pgbouncer"}
        try:
            psycopg2.connect(host=self.host, port=self.port, connect_timeout=5, **login).close()
        except psycopg2.OperationalError:
            return False
        return True

    def remove(self) -> None:
        """Stop it and remove its files."""
        self.ledger.stop(self.name)
        if self._directory is not None:
            self.ledger.remove_directory(self._directory)
            self._directory = None

    def __enter__(self) -> Self:
        """Start it."""
        try:
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
