"""What the demo looks after: a PostgreSQL that needs upkeep, two TLS endpoints, three backup series.

Each part is reused when it runs, started again when it ended, and made anew when it is gone; certificates and backups
also when they have aged so far that they would no longer be what the demo says of them.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import backups, data
from .endpoint import HOST, listening_socket
from .errors import BedError
from .ledger import Ledger
from .postgres import Cluster, cache_directory, find_or_bring
from .tls import Authority

DATABASE = "shop"
ENDPOINTS = ("shop", "api")
SHELF_LIFE = timedelta(hours=12)
HALF_A_DAY_AGO_AT_MOST = timedelta(hours=6)  # the newest good backup, which stays younger than a day for its shelf life
# A server as it should be: what the demo shows as wrong is in the database, not in the settings of a test.
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_preload_libraries": "pg_stat_statements",
}
ENDPOINT_PROGRAM = Path(__file__).with_name("endpoint.py")


class Bed:
    """The demo's servers and files, as `.demo/bed.json` has them."""

    def __init__(self, home: Path) -> None:
        """`home` is the demo's own directory."""
        self.home = home
        self.ledger = Ledger(home / "bed.json")
        self.facts: dict[str, Any] = self.ledger.facts

    def build(self) -> None:
        """Make or mend all of it. When that fails nothing is left running."""
        try:
            cluster = self._cluster()
            self._database(cluster)
            fresh = self._still_fresh()
            self._certificates(fresh)
            for name in ENDPOINTS:
                self._endpoint(name, fresh)
            self._backups(cluster, fresh)
            if fresh:
                say("certificates and backups are as they were")
            self._note(made=self.facts["made"] if fresh else _now().isoformat())
        except BaseException:
            self.ledger.close()
            raise
        self.ledger.leave()

    # --- PostgreSQL

    def _cluster(self) -> Cluster:
        cluster = self._former_cluster()
        if cluster is not None and cluster.running:
            say(f"PostgreSQL {cluster.binaries.version} still runs on {cluster.host}:{cluster.port}")
            return cluster
        if cluster is None:
            shutil.rmtree(self.home / "state", ignore_errors=True)  # it tells of a database that is gone
            self._note(filled=False)
            binaries = find_or_bring(None, cache_directory(self.home / "cache"))
            cluster = Cluster(binaries, settings=SETTINGS, ledger=self.ledger)
            cluster.create()
        cluster.start()
        certificate, user = str(cluster.ca_cert), cluster.user
        self._note(postgres={**cluster.record(), "host": cluster.host, "user": user, "ca_cert": certificate})
        origin = f"PostgreSQL {cluster.binaries.version} {cluster.binaries.origin}"
        say(f"{origin} runs with TLS on {cluster.host}:{cluster.port}")
        return cluster

    def _former_cluster(self) -> Cluster | None:
        """The recorded one; what is left of one that cannot be used any more is removed."""
        record = self.facts.get("postgres")
        if record is not None:
            try:
                return Cluster.resume(record, self.ledger)
            except BedError as error:
                say(f"the PostgreSQL of before is of no use ({error}), making another")
        self.ledger.stop("postgres")
        for directory in list(self.ledger.directories):
            self.ledger.remove_directory(Path(directory))
        return None

    def _database(self, cluster: Cluster) -> None:
        if self.facts.get("filled"):
            return
        cluster.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")  # half filled by a run that was killed
        data.fill(cluster, DATABASE)
        cluster.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self._note(filled=True)
        say(f"database {DATABASE}: orders and order_events are full of dead rows, customers has no statistics")

    # --- certificates

    def _still_fresh(self) -> bool:
        """Whether certificates and backups are young enough, and all there."""
        made = self.facts.get("made")
        files = [self._chain("live", name) for name in ENDPOINTS] + [self.home / "backups" / name for name in SERIES]
        return (
            made is not None
            and timedelta(0) <= _now() - datetime.fromisoformat(made) < SHELF_LIFE
            and all(file.exists() for file in files)
        )

    def _chain(self, which: str, name: str) -> Path:
        return self.home / "tls" / which / f"{name}.pem"

    def _certificates(self, fresh: bool) -> None:
        """`live` is what lies on disk, `served` what the endpoints load; for api they differ, as after a renewal."""
        if fresh:
            return
        authority = Authority("Upkeep demo")
        live, served = self.home / "tls" / "live", self.home / "tls" / "served"
        for directory in (live, served):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        shop = authority.issue("shop.example.test", days=80)
        for directory in (live, served):
            shop.write(directory, "shop")
        authority.issue("api.example.test", days=5 + 1 / 24).write(served, "api")
        authority.issue("api.example.test", days=89.9).write(live, "api")
        self._note(
            ca=str(authority.write(self.home / "tls")),
            certificates={name: str(self._chain("live", name)) for name in ENDPOINTS},
        )

    def _endpoint(self, name: str, fresh: bool) -> None:
        label = f"endpoint {name}"
        if fresh and self.ledger.running(label):
            return
        self.ledger.stop(label)
        former = self.facts.get("endpoints", {}).get(name, {}).get("port", 0)
        with _listen(former) as listener:
            port, chain = listener.getsockname()[1], self._chain("served", name)
            argv: list[str | Path] = [
                sys.executable, "-I", ENDPOINT_PROGRAM, "--fd", str(listener.fileno()),
                "--chain", chain, "--key", chain.with_suffix(".key"),
            ]  # fmt: skip
            log = self.home / f"endpoint-{name}.log"
            self.ledger.start(label, argv, log=log, pass_fds=[listener.fileno()])
        entry = {"host": HOST, "port": port, "server_name": f"{name}.example.test"}
        self._note(endpoints={**self.facts.get("endpoints", {}), name: entry})
        self._await_served(name, port, log)
        left = {"shop": "80 days left", "api": "5 days left, and a renewed certificate on disk that it does not serve"}
        say(f"TLS endpoint {name} on {HOST}:{port}: {left[name]}")

    def _await_served(self, name: str, port: int, log: Path) -> None:
        wanted = ssl.PEM_cert_to_DER_cert(_first_certificate(self._chain("served", name)))
        context = ssl.create_default_context(cafile=self.facts["ca"])
        with (
            socket.create_connection((HOST, port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=f"{name}.example.test") as secured,
        ):
            if secured.getpeercert(binary_form=True) != wanted:
                raise BedError(f"endpoint {name} serves another certificate than {log} was started with")

    # --- backups

    def _backups(self, cluster: Cluster, fresh: bool) -> None:
        if fresh:
            return
        newest = (_now() - HALF_A_DAY_AGO_AT_MOST).replace(minute=0, second=0, microsecond=0)
        for name, write in SERIES.items():
            directory = self.home / "backups" / name
            shutil.rmtree(directory, ignore_errors=True)
            write(cluster, directory, newest)
        self._note(series={name: str(self.home / "backups" / name / f"{DATABASE}-*") for name in SERIES})
        say("backups of shop: onsite whole, offsite cut short, archive two days old")

    def _note(self, **facts: Any) -> None:
        self.facts.update(facts)
        self.ledger.save()


def _onsite(cluster: Cluster, directory: Path, newest: datetime) -> None:
    backups.write_series(cluster, DATABASE, directory, DATABASE, backups.taken_daily(newest, 3))


def _offsite(cluster: Cluster, directory: Path, newest: datetime) -> None:
    backups.write_series(cluster, DATABASE, directory, DATABASE, backups.taken_daily(newest, 3), keep=0.6)


def _archive(cluster: Cluster, directory: Path, newest: datetime) -> None:
    taken = backups.taken_daily(newest - timedelta(days=2), 2)
    backups.write_series(cluster, DATABASE, directory, DATABASE, taken, "dump")


SERIES: dict[str, Callable[[Cluster, Path, datetime], None]] = {
    "onsite": _onsite,
    "offsite": _offsite,
    "archive": _archive,
}


def say(line: str) -> None:
    """One line of progress."""
    print(f"demo: {line}", flush=True)


def _now() -> datetime:
    return datetime.now(UTC)


def _listen(port: int) -> socket.socket:
    """On the port of before where it is free."""
    try:
        return listening_socket(port)
    except OSError:
        return listening_socket()


def _first_certificate(path: Path) -> str:
    text, end = path.read_text(encoding="ascii"), "-----END CERTIFICATE-----"
    return text[: text.index(end) + len(end)]
