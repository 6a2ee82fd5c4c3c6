"""A hot standby of a throwaway cluster: taken by pg_basebackup, fed by streaming through a slot of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from .errors import BedError
from .ledger import Ledger
from .postgres import Cluster
from .processes import run

__all__ = ["Standby"]


class Standby(Cluster):
    """A standby of `primary`, which must run. It is used as a `Cluster`: same superuser, same password, read only.

    `settings` are added to (and win over) those of the primary. `application_name` is what the primary's
    `pg_stat_replication` shows. `remove` drops the slot on the primary too, so that nothing keeps WAL there.
    """

    def __init__(
        self,
        primary: Cluster,
        *,
        settings: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
        name: str = "standby",
        slot: str | None = None,
    ) -> None:
        """Nothing is made or started yet. The slot is named like the standby unless given."""
        super().__init__(primary.binaries, settings=settings, ledger=ledger, name=name)
        # The base backup brings the primary's settings; only what differs is written after them, and wins.
        self._settings = dict(settings or {})
        self.primary = primary
        self.password = primary.password
        self.slot = slot or name

    def _initdb(self) -> None:
        argv = [
            self.binaries.tool("pg_basebackup"), "--pgdata", self.data_directory, "--checkpoint", "fast",
            "--wal-method", "stream", "--no-sync", "--create-slot", "--slot", self.slot,
        ]  # fmt: skip
        answer = run(argv, env=self.primary.client_environment(), cwd=self.home, account=self._account.ids)
        if answer.returncode != 0:
            raise BedError(f"pg_basebackup of {self.primary.name} failed: {answer.stderr.strip()}")
        signal = self.data_directory / "standby.signal"
        signal.touch()
        self._account.give(signal)

    def _effective_settings(self) -> dict[str, str]:
        # Not left to --write-recovery-conf: that writes what pg_basebackup's libpq knows, and the server may have an
        # older one, which refuses it.
        where = self.primary.client_environment()
        source = (
            f"host={where['PGHOST']} port={where['PGPORT']} user={where['PGUSER']} password={where['PGPASSWORD']} "
            f"application_name={self.name}"
        )
        return {**super()._effective_settings(), "primary_conninfo": source, "primary_slot_name": self.slot}

    def wait_until_streaming(self, seconds: float = 60.0) -> None:
        """Return when the primary feeds it. Raises BedError with the standby's last words when it never does."""
        sql = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
        self._wait(lambda: self.primary.execute(sql, (self.name,)) == [(1,)], "streaming", seconds)

    def catch_up(self, seconds: float = 60.0) -> None:
        """Return when it has replayed all that the primary has written until now (a paused replay never does)."""
        ((target,),) = self.primary.execute("SELECT pg_current_wal_lsn()::text")
        sql = "SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"
        self._wait(lambda: self.execute(sql, (target,)) == [(True,)], f"at {target}", seconds)

    def _wait(self, reached: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() >= deadline:
                said = self.log.read_text(encoding="utf-8", errors="replace").strip()[-800:]
                raise BedError(f"the standby {self.name} was not {what} within {seconds:.0f} s: {said}")
            time.sleep(0.05)

    def promote(self, seconds: float = 60.0) -> None:
        """Make it a primary of its own, and wait until it is."""
        self.execute("SELECT pg_promote(true, %s)", (int(seconds),))
        self._wait(lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)], "promoted", seconds)

    def remove(self) -> None:
        """Stop it and remove all of it, and its slot on the primary where that still runs."""
        super().remove()
        if self.primary.running:
            self._drop_slot()

    def _drop_slot(self, seconds: float = 30.0) -> None:
        """The primary's walsender may live a moment longer than the standby; the slot is its until then."""
        sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        left = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s"
        deadline = time.monotonic() + seconds
        while self.primary.execute(left, (self.slot,)) != [(0,)]:
            self.primary.execute(sql, (self.slot,))
            if time.monotonic() >= deadline:
                raise BedError(f"the slot {self.slot} of {self.primary.name} is still in use: drop it by hand")
            time.sleep(0.02)
