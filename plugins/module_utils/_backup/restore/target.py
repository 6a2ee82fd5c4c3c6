# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is restored into: what all kinds of it have in common, and the throwaway cluster."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore import scratch
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.extensions import missing as lacking
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import INITDB, Failed, failed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import (
    OWN,
    Account,
    Ended,
    Feed,
    Program,
    Ward,
    can_leave_network,
    run,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.programs import Programs, psql_for
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.scratch import Scratch, free_bytes

# None that a dump has: its own CREATE ROLE must not meet it.
SUPERUSER = "upkeep_restore"
_READY_SECONDS = 120.0
_STOP_SECONDS = 5.0
# Less than this is no room for a segment of the WAL.
_FULL_BELOW = 1 << 20
_OF_A_FULL_DISK = ("backup.restore_failed", "backup.target_unavailable")
# From that major on initdb makes clusters with checksums unless it is told not to.
_CHECKSUMS_SINCE = 18
_NO_LIBRARY = re.compile(r'FATAL:\s+could not access file "([^"]+)"')
_ERROR = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(.*)")
_PROGRAM_ERROR = re.compile(r"(?:pg_restore|psql|initdb|pg_amcheck|vacuumdb)(?::\S+)?: (?:error|fatal): (.*)")
# What stands in quotes there is a value of the user's, and not the name of something.
_QUOTES_VALUE = re.compile(
    r"(^(?:value|date/time field value|invalid input|time zone|malformed|bit string)\b[^\"]*)\".*"
)
_AFTER_COLON = re.compile(r": \".*\"$")


class SqlFailed(Exception):
    """A statement failed on the server; the text is what it said, without values."""


def told(errors: str) -> str:
    """Return the first error in *errors*, without the data that it may quote."""
    for pattern in (_ERROR, _PROGRAM_ERROR):
        match = pattern.search(errors)
        if match is not None:
            said = _AFTER_COLON.sub("", _QUOTES_VALUE.sub(r"\1…", match[1].strip()))
            return said[:300]
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


class Target:
    """A PostgreSQL server to restore into. ``call`` runs a program of PostgreSQL that connects to it."""

    kind = ""
    major = 0
    version = ""
    isolated: bool | None = None
    #: Whether roles, tablespaces and databases of any name may be made there.
    is_ours = True

    def call(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        feed: Feed | None = None,
        lines: Callable[[str], None] | None = None,
    ) -> Ended:
        raise NotImplementedError

    def begin(self, program: str, arguments: Sequence[str]) -> Callable[[], Ended]:
        """Run a program beside what comes next, where that is possible; return what waits for its end."""
        ended = self.call(program, arguments)
        return lambda: ended

    def has(self, program: str) -> bool:
        raise NotImplementedError

    def queries(self, database: str, texts: Sequence[str]) -> list[list[str]]:
        """Return the lines that each of *texts* gives, asked side by side where that is possible."""
        return [self.query(database, text) for text in texts]

    def stage(self, path: str) -> str:
        """Return where the programs find *path*, a file or directory of this host."""
        raise NotImplementedError

    def directory_of(self, name: bytes) -> str:
        """Return an empty directory for a tablespace."""
        raise NotImplementedError

    def query(self, database: str, text: str) -> list[str]:
        """Return the lines that the statements in *text* give, columns parted by ``|``. Raises ``SqlFailed``."""
        ended = self.call("psql", psql_arguments(database), feed=lambda write: write(text.encode() + b"\n"))
        return lines_of(ended)

    @property
    def is_full(self) -> bool:
        """True when its disk is known to be full, which makes whatever it says of the backup worthless."""
        return False

    def close(self) -> None:
        """Remove what was made."""


def full_instead(error: Failed, target: Target) -> Failed:
    """Return *error*, or, when the disk of *target* is full, that: a server that has no room dies in many ways."""
    if error.trouble.code in _OF_A_FULL_DISK and target.is_full:
        return failed("backup.scratch_full", "was left half restored: the disk became full", unknown=True)
    return error


def psql_arguments(database: str) -> list[str]:
    return ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-v", "SHOW_CONTEXT=never", "-d", connection(database)]


def connection(database: str) -> str:
    """Return *database* as an argument: a name with an equals sign would be taken for a list of settings."""
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{quoted}'"


def lines_of(ended: Ended) -> list[str]:
    if ended.status != 0:
        raise SqlFailed(told(ended.errors))
    return [line for line in ended.output.split("\n") if line]


class LocalTarget(Target):
    """One whose programs are those of this host."""

    def __init__(self, programs: Programs, candidates: Sequence[Programs], ward: Ward, account: Account) -> None:
        self.programs, self._candidates = programs, candidates
        self._ward, self._account = ward, account
        self._directory = "/"
        self._inherited: tuple[int, ...] = ()
        self.restricted: bool | None = False  # whether a plain dump is for a psql that knows \\restrict; None: unknown

    def has(self, program: str) -> bool:
        return self.programs.has(program)

    def environment(self) -> Mapping[str, str]:
        raise NotImplementedError

    def call(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        feed: Feed | None = None,
        lines: Callable[[str], None] | None = None,
    ) -> Ended:
        argv = [self._path(program), *arguments]
        account = self._reader(program, arguments)
        return run(
            argv,
            self._ward,
            feed=feed,
            lines=lines,
            account=account,
            environment=self.environment(),
            cwd=self._directory,
            inherited=self._inherited,
        )

    def begin(self, program: str, arguments: Sequence[str]) -> Callable[[], Ended]:
        running = Program(
            [self._path(program), *arguments],
            self._ward,
            account=self._account,
            environment=self.environment(),
            cwd=self._directory,
            inherited=self._inherited,
        )

        def wait() -> Ended:
            try:
                return running.wait()
            finally:
                running.close()

        return wait

    def _path(self, program: str) -> str:
        if program == "psql":
            return psql_for(self.programs, self._candidates, self.restricted)
        return self.programs.path(program)

    def _reader(self, program: str, arguments: Sequence[str]) -> Account:
        """The account of the server may not be let near the backup; then pg_restore reads it as us."""
        reads_file = program == "pg_restore" and bool(arguments) and arguments[-1].startswith("/")
        return OWN if reads_file and not _can_read(self._account, arguments[-1]) else self._account

    def queries(self, database: str, texts: Sequence[str]) -> list[list[str]]:
        argv = [self._path("psql"), *psql_arguments(database)]
        running = [
            Program(
                argv,
                self._ward,
                account=self._account,
                environment=self.environment(),
                cwd=self._directory,
                writing=True,
                inherited=self._inherited,
            )
            for _text in texts
        ]
        try:
            for program, text in zip(running, texts):
                program.write(text.encode() + b"\n")
                program.end_input()
            return [lines_of(program.wait()) for program in running]
        finally:
            for program in running:
                program.close()

    def stage(self, path: str) -> str:
        return path


def _can_read(account: Account, path: str) -> bool:
    """Ask the kernel, as that account."""
    if account.uid is None:
        return True
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
            names = [path, *(os.path.join(path, name) for name in (os.listdir(path) if os.path.isdir(path) else ()))]
            os._exit(0 if all(os.access(name, os.R_OK) for name in names) else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class ThrowawayCluster(LocalTarget):
    """A cluster that ``initdb`` makes in a scratch directory: without network, and careless of its own survival."""

    kind = INITDB

    def __init__(
        self,
        programs: Programs,
        candidates: Sequence[Programs],
        ward: Ward,
        account: Account,
        place: Scratch,
        jobs: int,
    ) -> None:
        super().__init__(programs, candidates, ward, account)
        self._place, self._jobs = place, jobs
        self._directory = place.path
        self._server: Program | None = None
        self._tablespaces = 0
        self.major, self.version = programs.major, programs.version

    def environment(self) -> Mapping[str, str]:
        return {
            "HOME": self._place.path,
            "PGHOST": self._place.path,
            "PGPORT": "5432",
            "PGUSER": SUPERUSER,
            "PGPASSFILE": os.devnull,
            "PGCONNECT_TIMEOUT": "30",
        }

    def create(self) -> None:
        """Make it; raises ``Failed``."""
        data = os.path.join(self._place.path, "data")
        # With checksums the first reading of a page that was just loaded would write it to the WAL once more.
        plain = ["--no-data-checksums"] if self.major >= _CHECKSUMS_SINCE else []
        ended = run(
            [
                *(self.programs.path("initdb"), "--pgdata", data, "--no-sync", *plain),
                *("--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"),
            ],
            self._ward,
            account=self._account,
            environment={"HOME": self._place.path},
            cwd=self._place.path,
        )
        if ended.status != 0:
            what = f"was not restored: initdb of PostgreSQL {self.version} failed: {ended.last_words}"
            raise _unavailable(what, ended.errors)
        with open(os.path.join(data, "postgresql.conf"), "a", encoding="utf-8") as stream:
            stream.writelines(f"{key} = '{value}'\n" for key, value in self._settings().items())

    def _settings(self) -> dict[str, str]:
        memory = _memory_bytes()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self._place.path.replace("'", "''"),
            "unix_socket_permissions": "0700",
            "max_connections": str(4 * self._jobs + 16),
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "autovacuum": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_logical_replication_workers": "0",
            "archive_mode": "off",
            "checkpoint_timeout": "1h",
            "max_wal_size": "4GB",
            # What is written is soon removed: nothing shall hurry it to the disk.
            "bgwriter_lru_maxpages": "0",
            "bgwriter_flush_after": "0",
            "checkpoint_flush_after": "0",
            "wal_writer_flush_after": "0",
            "shared_buffers": f"{max(32, min(512, memory // 16 >> 20))}MB",
            "maintenance_work_mem": f"{max(32, min(512, memory // 32 // self._jobs >> 20))}MB",
            # Segments of their own would stay behind when the server is killed.
            "dynamic_shared_memory_type": "mmap",
            "logging_collector": "off",
            "log_min_messages": "fatal",
            "log_min_error_statement": "panic",
            "lc_messages": "C",
            "jit": "off",
        }
        if self.major >= 12:
            settings |= {"wal_init_zero": "off", "wal_recycle": "off"}
        if self.major >= 17:
            settings["event_triggers"] = "off"
        return settings

    def start(self, preload: str = "") -> None:
        """Start it and wait until it lets in; raises ``Failed``."""
        log = os.open(
            os.path.join(self._place.path, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self.isolated = can_leave_network()
        argv = [self.programs.path("postgres"), "-D", os.path.join(self._place.path, "data")]
        argv += ["-c", f"shared_preload_libraries={preload}"] if preload else []
        try:
            self._server = Program(
                argv,
                self._ward,
                account=self._account,
                environment={"HOME": self._place.path},
                cwd=self._place.path,
                log=log,
                alone=self.isolated,
                death=signal.SIGQUIT,
            )
        finally:
            os.close(log)
        self._wait_until_ready(self._server)

    def _wait_until_ready(self, server: Program) -> None:
        """The eighth line of the pid file says so."""
        path = os.path.join(self._place.path, "data", "postmaster.pid")
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            self._ward.check()
            if server.status is not None:
                break
            try:
                with open(path, encoding="utf-8", errors="replace") as stream:
                    if stream.read().split("\n")[7:8] and _is_ready(path):
                        return
            except FileNotFoundError:
                pass  # not yet
            time.sleep(0.01)
        log = self._log()
        preloads = _NO_LIBRARY.findall(log)
        if preloads:
            raise lacking([os.path.basename(name) for name in preloads], self.major, self.version)
        what = f"was not restored: a throwaway server of PostgreSQL {self.version} did not start: {told(log)}"
        raise _unavailable(what, log)

    def _log(self) -> str:
        try:
            with open(os.path.join(self._place.path, "log"), encoding="utf-8", errors="replace") as stream:
                return stream.read()[-4000:]
        except FileNotFoundError:
            return ""  # it was never started

    @property
    def is_full(self) -> bool:
        # What the server said of it may have found no room itself.
        return free_bytes(self._place.path)[0] < _FULL_BELOW or "No space left on device" in self._log()

    @property
    def has_died(self) -> bool:
        return self._server is not None and self._server.status is not None

    def directory_of(self, name: bytes) -> str:
        self._tablespaces += 1
        return self._place.directory(f"tablespace-{self._tablespaces}", self._account)

    def close(self) -> None:
        if self._server is not None:
            self._server.close(signal.SIGQUIT, _STOP_SECONDS)
            self._server = None
        scratch.end_processes_in(self._place.path)


def _is_ready(path: str) -> bool:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read().split("\n")[7].strip() == "ready"


def _unavailable(what: str, said: str) -> Failed:
    if "No space left on device" in said:
        return failed("backup.scratch_full", f"{what.split(':')[0]}: the disk is full", unknown=True)
    return failed("backup.target_unavailable", what, unknown=True)


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 30
