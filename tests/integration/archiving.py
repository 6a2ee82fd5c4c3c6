"""A real server that archives its WAL, base backups of it, restores of those, and `pg_wal_archive` called on it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.run import clean
from tests.bed.accounts import base_directory, server_account
from tests.bed.binaries import Binaries
from tests.bed.errors import BedError
from tests.bed.ledger import of_this_process
from tests.bed.postgres import Cluster, cache_directory
from tests.bed.processes import run

Result = dict[str, Any]
MIB = 1 << 20


class Archiving(Cluster):
    """A cluster with segments of 1 MiB, which are quick to fill and to copy, that archives into `archive`."""

    def __init__(self, binaries: Binaries, *, archive: Path, name: str, segment_mib: int = 1, **settings: str) -> None:
        """Nothing is made or started yet."""
        self.archive = archive
        self.segment_mib = segment_mib
        super().__init__(
            binaries,
            name=name,
            settings={
                "wal_level": "replica",
                "archive_mode": "on",
                # Under another name first: nobody ever sees half a segment.
                "archive_command": f"test ! -f {archive}/%f && cp %p {archive}/.%f && mv {archive}/.%f {archive}/%f",
                "max_wal_senders": "8",
                "max_replication_slots": "8",
                "max_prepared_transactions": "2",
                **settings,
            },
        )

    def _initdb(self) -> None:
        super()._initdb()
        if self.segment_mib != 16:
            program = self.binaries.tool("pg_resetwal")
            done = self._run(program, f"--wal-segsize={self.segment_mib}", "-D", self.data_directory)
            if done.returncode:
                raise BedError(f"pg_resetwal failed: {done.stderr.strip()}")

    def insert(self, value: int) -> None:
        """Add a row that a restore must bring back."""
        self.execute("INSERT INTO facts VALUES (%s)", (value,))

    def facts(self) -> list[int]:
        return [row[0] for row in self.execute("SELECT n FROM facts ORDER BY n")]

    def switch(self, times: int = 1) -> None:
        """Begin a new segment, that often."""
        for _time in range(times):
            self.execute("SELECT pg_logical_emit_message(false, 'bed', 'x')")
            self.execute("SELECT pg_switch_wal()")

    def flush_archive(self, seconds: float = 60.0) -> str:
        """Archive all that was written until now; the name of the newest segment."""
        self.execute("SELECT pg_logical_emit_message(false, 'bed', 'x')")
        # The position that is handed back is the end of the segment that was closed, or the start of the next.
        name: str = self.execute("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
        give_up = time.monotonic() + seconds
        while not (self.archive / name).exists():
            assert time.monotonic() < give_up, f"{name} was not archived: {self.log.read_text()[-800:]}"
            time.sleep(0.02)
        # The history file of a base backup is archived before what was written after it, the counters a little later.
        while self.execute("SELECT last_archived_wal FROM pg_stat_archiver")[0][0] != name:
            assert time.monotonic() < give_up, f"{name} is not in pg_stat_archiver"
            time.sleep(0.02)
        return name

    def base_backup(self, folder: Path, *options: str) -> Path:
        """Take a base backup without WAL of its own, unless *options* say otherwise."""
        if not {"-X", "--wal-method"} & set(options):
            options = ("-X", "none", *options)
        argv: list[str | Path] = [
            self.binaries.tool("pg_basebackup"),
            "-D",
            folder,
            "-c",
            "fast",
            "--no-sync",
            *options,
        ]
        done = run(argv, env=self.client_environment(), cwd=self.home, account=self._account.ids)
        if done.returncode:
            raise BedError(f"pg_basebackup failed: {done.stderr.strip()}")
        return folder


class Restored(Archiving):
    """A server made from a base backup and the archive, as a person restores one. `target` is recovery_target_*."""

    def __init__(self, origin: Archiving, backup: Path, *, name: str, archives: bool = False, **target: str) -> None:
        super().__init__(origin.binaries, archive=origin.archive, name=name, segment_mib=origin.segment_mib)
        self.password = origin.password
        self._backup = backup
        self._archives = archives
        self._target = {"recovery_target_action": "promote", **target}

    def _initdb(self) -> None:
        shutil.copytree(self._backup, self.data_directory, symlinks=True)
        (self.data_directory / "recovery.signal").touch()
        done = run(["chown", "-R", self._owner, self.data_directory])
        assert done.returncode == 0, done.stderr
        self.data_directory.chmod(0o700)

    @property
    def _owner(self) -> str:
        ids = server_account().ids
        return ":" if ids is None else f"{ids[0]}:{ids[1]}"

    def _effective_settings(self) -> dict[str, str]:
        restore = {"restore_command": f"cp {self.archive}/%f %p", "archive_mode": "on" if self._archives else "off"}
        return {**super()._effective_settings(), **restore, **self._target}

    def wait_until_promoted(self, seconds: float = 60.0) -> None:
        give_up = time.monotonic() + seconds
        while self.execute("SELECT pg_is_in_recovery()")[0][0]:
            assert time.monotonic() < give_up, self.log.read_text()[-800:]
            time.sleep(0.02)


@dataclass
class Site:
    """A server, its archive, and a folder for base backups and for what runs leave on the host."""

    server: Archiving
    folder: Path

    @property
    def archive(self) -> Path:
        return self.server.archive

    @property
    def subject(self) -> str:
        return f"main: {self.archive}"

    def options(self, server: Cluster | None = None, **options: Any) -> dict[str, Any]:
        """The options with which a user would clean the archive; those given win."""
        asked = server or self.server
        return {
            "name": "main",
            "login_host": asked.host,
            "login_port": asked.port,
            "login_user": asked.user,
            "login_password": asked.password,
            "ssl_mode": "verify-full",
            "ca_cert": str(asked.ca_cert),
            "path": str(self.archive),
            "state_dir": str(self.folder / "state"),
            **options,
        }

    def call(self, *, check: bool = False, driver: str = "psycopg2", **options: Any) -> Result:
        """Run the module's own code; `msg` is why the task would fail, `diff` what diff mode shows."""
        params = validate("pg_wal_archive", ARGUMENT_SPEC, self.options(**options), RULES).params
        cleaned = clean(params, utc_now(), check_mode=check, drivers=[driver])
        diff = {"before": cleaned.before, "after": cleaned.after}
        return {**cleaned.as_result(), "msg": cleaned.failure, "diff": diff}

    def files(self) -> list[str]:
        return sorted(path.name for path in self.archive.iterdir())

    def segments(self) -> list[str]:
        return [name for name in self.files() if len(name) == 24]


def make_site(binaries: Binaries, folder: Path, name: str, segment_mib: int = 1, **settings: str) -> Site:
    """A running server whose archive is in *folder*, which the server's account can reach."""
    account = server_account()
    for place in (folder, folder / "archive", folder / "base"):
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
        account.give(place)
    server = Archiving(binaries, archive=folder / "archive", name=name, segment_mib=segment_mib, **settings)
    server.create()
    server.start()
    server.execute("CREATE TABLE facts (n int PRIMARY KEY)")
    return Site(server, folder)


@contextmanager
def a_site(binaries: Binaries, name: str, segment_mib: int = 1, **settings: str) -> Iterator[Site]:
    """A site in a folder that the server's account can reach: pytest's own are for ours alone."""
    ledger = of_this_process(cache_directory())
    folder = ledger.make_directory(base_directory(server_account()))
    made = make_site(binaries, folder, name, segment_mib, **settings)
    try:
        yield made
    finally:
        made.server.remove()
        ledger.remove_directory(folder)


def codes(result: Mapping[str, Any]) -> dict[str, str]:
    """The severity of each finding by its code."""
    return {finding["code"]: finding["severity"] for finding in result["findings"]}


def remaining_gap(names: list[str]) -> bool:
    """Whether a segment is missing among *names*, all of one timeline."""
    numbers = sorted(int(name[8:16], 16) * 4096 + int(name[16:24], 16) for name in names)
    return bool(numbers) and numbers != list(range(numbers[0], numbers[-1] + 1))
