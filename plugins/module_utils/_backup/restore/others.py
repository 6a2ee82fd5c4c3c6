# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore what is no dump of PostgreSQL: Redis into its own instance, files and SQLite into a scratch directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter, detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Decrypt
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.keeper import not_disturbed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    INITDB,
    Restored,
    Trouble,
    Wishes,
    failed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import (
    Account,
    Program,
    Ward,
    account_called,
    can_leave_network,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.scratch import (
    Scratch,
    base_of,
    require_room_left,
    require_space,
    sweep,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.unfold import unfold
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.untar import extract
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sqlite import check_database
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import (
    FILES,
    MONGO_DIRECTORY,
    files_in,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded

if TYPE_CHECKING:
    from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.run import Subject

_PIECE = 1 << 18
_READY_SECONDS = 60.0
_MONGO = (detect.MONGODUMP, detect.BSON, MONGO_DIRECTORY)
_REDIS_TOO_OLD = "Can't handle RDB format version"


def plan(form: str, wishes: Wishes) -> None:
    """Raise ``Failed`` for what would not be restored."""
    if form == detect.REDIS:
        _redis_server()
    elif form not in (detect.SQLITE, detect.TAR, detect.PEM, FILES):
        raise _unsupported(form)
    _require_here(wishes)


def restore(
    ward: Ward, subject: Subject, wishes: Wishes, restored: Restored, stack: ExitStack, said: Mapping[str, Any]
) -> None:
    """Restore *subject* and look at what came of it. Raises ``Failed``."""
    form = restored.format
    plan(form, wishes)
    began = time.monotonic()
    base = base_of(wishes.scratch_dir)
    sweep(base)
    need = 2 * int(said.get("decoded") or subject.size) + (64 << 20)
    require_space(base, need, wishes.reserve)
    account = account_called(wishes.user)
    place = Scratch(base, account, wishes.run_id)
    stack.callback(removed, place)
    ward.watch = lambda: require_room_left(base, wishes.reserve / 2)
    restored.seconds["prepare"] = time.monotonic() - began
    work = _Work(ward, subject, restored, stack, place, account, tuple(said.get("chain") or ()))
    if form == detect.REDIS:
        work.redis(said)
    elif form == detect.SQLITE:
        work.sqlite()
    elif form == detect.TAR:
        work.archive(said)
    elif form == FILES:
        work.tree()
    else:
        work.copy()


def _require_here(wishes: Wishes) -> None:
    if wishes.target != INITDB:
        what = f"was not restored: only dumps of PostgreSQL are restored into a {wishes.target}"
        raise failed("backup.unsupported", what, unknown=True)


def _unsupported(form: str) -> Exception:
    if form in _MONGO:
        missing = [name for name in ("mongod", "mongorestore") if adapter.program(name) is None]
        if missing:
            what = f"was not restored: {' and '.join(missing)} is not on this host"
            return failed("backup.tool_missing", what, unknown=True, program=missing[0])
        what = "was not restored: dumps of MongoDB are verified up to their structure, and restored by mongorestore"
        return failed("backup.unsupported", what, unknown=True)
    return failed("backup.unsupported", f"was not restored: there is no way to restore {form or 'it'}", unknown=True)


def _redis_server() -> str:
    for name in ("redis-server", "valkey-server"):
        path = adapter.program(name)
        if path is not None:
            return path
    what = "was not restored: neither redis-server nor valkey-server is on this host"
    raise failed("backup.tool_missing", what, unknown=True, program="redis-server")


def removed(place: Scratch) -> None:
    """Remove a scratch directory, whatever comes meanwhile."""
    with not_disturbed():
        place.remove()


class _Work:
    def __init__(
        self,
        ward: Ward,
        subject: Subject,
        restored: Restored,
        stack: ExitStack,
        place: Scratch,
        account: Account,
        chain: tuple[str, ...],
    ) -> None:
        self._ward, self._subject, self._restored = ward, subject, restored
        self._stack, self._place, self._account, self._chain = stack, place, account, chain

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = self._restored.seconds
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - began

    def _unfold(self, write: Callable[[bytes], None]) -> None:
        def checked(data: bytes) -> None:
            self._ward.check()
            write(data)

        try:
            unfold(self._subject.path, self._chain, self._subject.decrypt, self._ward.deadline, checked)
        except DeadlineExceeded as error:
            raise failed("backup.timeout", "was not restored to its end in time", unknown=True) from error
        except OSError as error:
            raise self._io_failed(error) from error

    def _io_failed(self, error: OSError) -> Exception:
        if error.errno == 28:
            return failed("backup.scratch_full", "was left half restored: the disk became full", unknown=True)
        what = f"was not restored: {error.strerror or error} while it was read or written"
        return failed("backup.unreadable", what, unknown=True)

    def _written(self, name: str) -> str:
        """Write what is innermost into a file of the scratch directory; return its path."""
        path = os.path.join(self._place.path, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
            self._unfold(lambda data: _write_all(stream, data))
        self._account.give(path)
        return path

    # --- SQLite, and single files

    def sqlite(self) -> None:
        with self._phase("load"):
            path = self._written("restored.db")
        with self._phase("assert"):
            try:
                problems, dump = check_database(path, Deadline(self._ward.deadline.remaining))
            except DeadlineExceeded as error:
                raise failed("backup.timeout", "was not checked to its end in time", unknown=True) from error
        for problem in problems:
            self._restored.add(Trouble("backup.restore_failed", f"{problem.what}, once restored", problem.evidence))
        self._restored.tables = dump.tables or 0
        self._restored.bytes = os.path.getsize(path)

    def copy(self) -> None:
        with self._phase("load"):
            self._restored.bytes = os.path.getsize(self._written("restored"))

    # --- files

    def archive(self, said: Mapping[str, Any]) -> None:
        subject = self._subject
        into = self._place.directory("files", Account(""))
        expected: Iterator[bytes] | None = None
        with contextlib.suppress(OSError):  # the digest of all lines still tells
            if subject.members_path:
                lines = open(subject.members_path, "rb")  # noqa: SIM115  it stays open as long as the stack
                expected = iter(self._stack.enter_context(lines))
        listing = Listing(True, expected)
        with self._phase("load"), unfolded(subject.path, self._chain, subject.decrypt, self._ward) as stream:
            try:
                self._restored.tables = extract(stream, into, listing, self._ward.check)
            except OSError as error:
                raise self._io_failed(error) from error
        with self._phase("assert"):
            self._compare_members(listing, said, expected is not None)
            self._reread(into)

    def _compare_members(self, listing: Listing, said: Mapping[str, Any], listed: bool) -> None:
        found, passed = listing.result(), said.get("members") or {}
        self._restored.rows, self._restored.bytes = found.count, found.bytes
        wanted = passed.get("sha256") or ""
        self._restored.compared = "manifest" if listed or wanted else "nothing"
        if (listed and found.difference) or (wanted and wanted != found.sha256):
            where = f", first in {found.difference}" if found.difference else ""
            what = f"unpacks to other files than its maker put in{where}"
            self._restored.add(Trouble("backup.fingerprint_mismatch", what, {"first_difference": found.difference}))

    def _reread(self, into: str) -> None:
        """Read back what was written: a disk that lies is found by that."""
        for path, _status in files_in(into):
            self._ward.check()
            full = os.path.join(into, path)
            if not os.path.islink(full) and os.path.isfile(full):
                _digest(full)

    def tree(self) -> None:
        """Copy a directory of files, and compare the copies with the digests that are known of them."""
        into = self._place.directory("files", Account(""))
        parts = dict(self._subject.parts)
        others: list[str] = []
        with self._phase("load"):
            for name, sha256 in sorted(parts.items()):
                self._ward.check()
                try:
                    copied = _copied(os.path.join(self._subject.path, name), os.path.join(into, name))
                except OSError as error:
                    raise self._io_failed(error) from error
                self._restored.rows += 1
                if copied != sha256:
                    others.append(name)
        self._restored.compared = "manifest" if parts else "nothing"
        if others:
            what = f"copies to other files than its maker digested ({len(others)}), such as {others[0]}"
            self._restored.add(Trouble("backup.fingerprint_mismatch", what, {"files": others[:10]}))

    # --- Redis

    def redis(self, said: Mapping[str, Any]) -> None:
        with self._phase("decrypt" if len(self._chain) > 1 else "fetch"):
            self._written("dump.rdb")
        program = _redis_server()
        log_path = os.path.join(self._place.path, "log")
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._restored.isolated = can_leave_network()
        path = os.path.join(self._place.path, "s")
        argv = [
            program,
            *("--port", "0", "--unixsocket", path, "--unixsocketperm", "700"),
            *("--dir", self._place.path),
        ]
        argv += [
            "--dbfilename",
            "dump.rdb",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--databases",
            "1024",
        ]
        with self._phase("load"):
            server = Program(
                argv,
                self._ward,
                account=self._account,
                environment={"HOME": self._place.path},
                cwd=self._place.path,
                log=log,
                alone=self._restored.isolated,
            )
            self._stack.callback(server.close)
            os.close(log)
            self._wait_for(server, path, log_path)
        with self._phase("assert"):
            self._look_at_redis(path, said)

    def _wait_for(self, server: Program, path: str, log_path: str) -> None:
        deadline = Deadline(None)
        while server.status is None:
            self._ward.check()
            if deadline.elapsed > _READY_SECONDS and not os.path.exists(path):
                break
            if os.path.exists(path) and self._ask(path, "PING") == "+PONG":
                return
            time.sleep(0.02)
        with open(log_path, encoding="utf-8", errors="replace") as stream:
            said = stream.read()[-4000:]
        lines = [line for line in said.splitlines() if "#" in line or "rror" in line or _REDIS_TOO_OLD in line]
        last = (lines or said.splitlines() or ["it said nothing"])[-1].strip()[-200:]
        if _REDIS_TOO_OLD in said:
            raise failed("backup.version_incompatible", f"cannot be restored here: {server.name} says: {last}")
        raise failed("backup.restore_failed", f"cannot be restored: {server.name} stopped with: {last}")

    def _ask(self, path: str, *words: str) -> str:
        """Ask one thing of the instance; return the first line of its answer, or the text that it announces."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(10.0)
            try:
                connected.connect(path)
                connected.sendall(request.encode())
                with connected.makefile("rb") as stream:
                    line = stream.readline().decode("utf-8", "replace").rstrip("\r\n")
                    return stream.read(int(line[1:])).decode("utf-8", "replace") if line.startswith("$") else line
            except OSError:
                return ""

    def _look_at_redis(self, path: str, said: Mapping[str, Any]) -> None:
        info = self._ask(path, "INFO", "server")
        version = next((line.partition(":")[2] for line in info.splitlines() if line.startswith("redis_version:")), "")
        self._restored.server_version = version.strip()
        keys = 0
        for line in self._ask(path, "INFO", "keyspace").splitlines():
            if line.startswith("db"):
                keys += int(line.partition("keys=")[2].partition(",")[0])
        self._restored.rows, self._restored.bytes = keys, os.path.getsize(os.path.join(self._place.path, "dump.rdb"))
        wanted = (said.get("rows") or {}).get("keys")
        if wanted is None:
            return
        self._restored.compared = str(said.get("told_by"))
        # Keys whose time is over are not loaded: fewer is no fault where some had a time.
        if keys > wanted:
            what = f"has {keys} keys once restored, more than the {wanted} that its {said.get('told_by')} says"
            self._restored.add(Trouble("backup.row_count_mismatch", what, {"restored": keys, "expected": wanted}))
        elif keys < wanted:
            self._restored.notes.append(f"{wanted - keys} of {wanted} keys had expired and were not loaded.")


@contextlib.contextmanager
def unfolded(path: str, chain: Sequence[str], decrypt: Decrypt, ward: Ward) -> Iterator[IO[bytes]]:
    """Yield a stream of what is innermost in *path*, which another process unfolds meanwhile. Raises ``Failed``."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_unfolder(path, chain, decrypt, ward.deadline, reader, writer)
    os.close(writer)
    try:
        with open(reader, "rb", buffering=_PIECE) as stream:
            yield stream
            for _rest in iter(lambda: stream.read(_PIECE), b""):
                ward.check()
        status, pid = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0
        if status != 0:
            raise failed("backup.restore_failed", "cannot be unfolded a second time, when it is restored")
    finally:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _be_unfolder(
    path: str, chain: Sequence[str], decrypt: Decrypt, deadline: Deadline, reader: int, writer: int
) -> None:
    """The end of whoever reads is the end of this: nothing takes what it writes any more."""
    status = 1
    try:
        os.close(reader)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        with open(writer, "wb", buffering=0) as stream:
            unfold(path, chain, decrypt, deadline, lambda data: _write_all(stream, data))
        status = 0
    finally:
        os._exit(status)


def _write_all(stream: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) or 0 :]


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for piece in iter(lambda: stream.read(_PIECE), b""):
            digest.update(piece)
    return digest.hexdigest()


def _copied(source: str, target: str) -> str:
    os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
    with open(source, "rb") as stream, open(target, "wb") as copy:
        for piece in iter(lambda: stream.read(_PIECE), b""):
            copy.write(piece)
    return _digest(target)
