# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the programs of a restore so that none of them outlives it, as another account, and off the network.

Each program dies with the process that started it: Linux sends it a signal then (``PR_SET_PDEATHSIG``), however that
process ended. While one runs, its keeper goes on listening to the module (``Ward.check``), and stops when that is gone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import pwd
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import failed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

_CHUNK = 1 << 17
_KEPT = 1 << 16
_TICK_MILLISECONDS = 250
_PATIENCE = 5.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _CLONE_NEWNET, _CLONE_NEWUSER = 1, 36, 0x40000000, 0x10000000
_LINUX = platform.system() == "Linux"
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None

Feed = Callable[[Callable[[bytes], None]], None]


class Stopped(BaseException):
    """Whoever wanted the restore is gone, or wants it no more. No error: what is caught as one must let it pass."""


@dataclass(frozen=True)
class Account:
    """An account of the system that programs run as; ``uid`` is None for our own."""

    name: str
    uid: int | None = None
    gid: int = 0
    groups: tuple[int, ...] = ()

    def give(self, path: str) -> None:
        if self.uid is not None:
            os.chown(path, self.uid, self.gid)


OWN = Account("")


def account_called(name: str) -> Account:
    """Return the account ``name``, or the first that servers usually have when it is empty; our own without root.

    Raises ``Failed`` when it does not exist, or when we are not root and it is another.
    """
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid()).pw_name
        if name and name != own:
            what = f"was not restored: only root can start a server as {name}, and this runs as {own}"
            raise failed("backup.target_unavailable", what, unknown=True, user=name)
        return OWN
    for candidate in (name,) if name else ("postgres", "_postgres", "nobody"):
        try:
            entry = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            break
        groups = tuple(os.getgrouplist(candidate, entry.pw_gid))
        return Account(candidate, entry.pw_uid, entry.pw_gid, groups)
    wanted = name or "postgres"
    what = f"was not restored: a server does not run as root, and there is no other account called {wanted}"
    raise failed("backup.target_unavailable", what, unknown=True, user=wanted)


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status (negative for a signal), and the ends of what it said."""

    program: str
    status: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        lines = [line.strip() for line in (self.errors or self.output).splitlines() if line.strip()]
        return lines[-1][:300] if lines else f"status {self.status}"


class Ward:
    """What a keeper works for: ``control`` is a pipe from the module (-1 for none), ``watch`` is called now and then.

    ``check`` raises ``Stopped`` when the module is gone, ``Failed`` when the time is over, and what ``watch`` raises.
    """

    def __init__(self, control: int, deadline: Deadline) -> None:
        self.control = control
        self.deadline = deadline
        self.watch: Callable[[], None] = _nothing
        self.messages: list[bytes] = []
        self._partial = b""
        self._watched = time.monotonic()

    def check(self) -> None:
        self.listen(0)
        if self.deadline.expired:
            limit = format_duration(self.deadline.seconds or 0.0)
            raise failed("backup.timeout", f"was not restored to its end within {limit}", unknown=True)
        if time.monotonic() - self._watched >= 1.0:
            self._watched = time.monotonic()
            self.watch()

    def listen(self, milliseconds: int) -> None:
        """Take what the module says, waiting so long for it. Raises ``Stopped`` when it has gone."""
        if self.control < 0:
            return
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        if poller.poll(milliseconds):
            self.hear()

    def hear(self) -> None:
        said = os.read(self.control, _CHUNK)
        if not said:
            raise Stopped
        *lines, self._partial = (self._partial + said).split(b"\n")
        self.messages += lines


def _nothing() -> None:
    """Watch nothing."""


def _inherited_environment() -> dict[str, str]:
    """What programs need to be found and to start; nothing else of ours, such as settings or secrets."""
    wanted = {name: os.environ.get(name, "") for name in ("PATH", "LD_LIBRARY_PATH", "TZ")}
    return {name: value for name, value in wanted.items() if value}


class Program:
    """A program that runs. ``wait`` and ``write`` move what it says out of its pipes; ``close`` ends it in any case."""

    def __init__(
        self,
        argv: Sequence[str],
        ward: Ward,
        *,
        account: Account = OWN,
        environment: Mapping[str, str] | None = None,
        cwd: str = "/",
        writing: bool = False,
        log: int | None = None,
        alone: bool = False,
        lines: Callable[[str], None] | None = None,
        death: int = signal.SIGKILL,
        inherited: tuple[int, ...] = (),
    ) -> None:
        self._ward = ward
        self.name = os.path.basename(argv[0])
        self._lines = lines
        self._pieces: dict[int, bytearray] = {}
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if writing else subprocess.DEVNULL,
                stdout=subprocess.PIPE if log is None else log,
                stderr=subprocess.PIPE if log is None else log,
                env={**_inherited_environment(), "LC_ALL": "C", **(environment or {})},
                cwd=cwd,
                start_new_session=True,
                pass_fds=inherited,
                # Our keeper has one thread alone, so that this is safe.
                preexec_fn=_leash(account, death, os.getpid(), alone),
            )
        except (OSError, subprocess.SubprocessError) as error:
            what = f"was not restored: {argv[0]} cannot be started ({getattr(error, 'strerror', None) or error})"
            raise failed("backup.tool_missing", what, unknown=True, program=argv[0]) from error
        self._input = self._process.stdin.fileno() if self._process.stdin is not None else -1
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                self._pieces[stream.fileno()] = bytearray()
        self._open = set(self._pieces)
        self._errors = self._process.stderr.fileno() if self._process.stderr is not None else -1
        for descriptor in (*self._open, *([self._input] if writing else [])):
            os.set_blocking(descriptor, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def write(self, data: bytes) -> None:
        """Give it *data*; when it takes no more, forget the rest: its status says why."""
        view = memoryview(data)
        while view and self._input >= 0:
            view = view[self._turn(view) :]

    def end_input(self) -> None:
        if self._process.stdin is not None and self._input >= 0:
            self._input = -1
            try:
                self._process.stdin.close()
            except OSError:
                pass  # it has gone already

    def until(self, *texts: str) -> None:
        """Wait until it has said one of *texts*, or has ended."""
        while self._open and not any(self.has_said(text) for text in texts):
            self._turn(memoryview(b""))

    def has_said(self, text: str) -> bool:
        return any(text.encode() in kept for kept in self._pieces.values())

    def wait(self) -> Ended:
        """Return how it ended, once it has."""
        self.end_input()
        while self._open:
            self._turn(memoryview(b""))
        while self._process.poll() is None:
            self._ward.check()
            time.sleep(0.005)
        return self.ended()

    def ended(self) -> Ended:
        texts = {fd: bytes(kept).decode("utf-8", "replace") for fd, kept in self._pieces.items()}
        errors = texts.pop(self._errors, "")
        return Ended(self.name, self._process.returncode, "".join(texts.values()), errors)

    def _turn(self, view: memoryview) -> int:
        self._ward.check()
        poller = select.poll()
        for descriptor in self._open:
            poller.register(descriptor, select.POLLIN)
        if view:
            poller.register(self._input, select.POLLOUT)
        if self._ward.control >= 0:
            poller.register(self._ward.control, select.POLLIN)
        taken = 0
        for descriptor, _event in poller.poll(_TICK_MILLISECONDS):
            if descriptor == self._ward.control:
                self._ward.hear()
            elif descriptor == self._input:
                taken = self._give(view)
            else:
                self._take(descriptor)
        return taken

    def _give(self, view: memoryview) -> int:
        try:
            return os.write(self._input, view[:_CHUNK])
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            self.end_input()
            return len(view)

    def _take(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._open.discard(descriptor)
            return
        kept = self._pieces[descriptor]
        if self._lines is not None and descriptor == self._errors:
            *lines, rest = (bytes(kept) + data).split(b"\n")
            kept[:] = rest
            for line in lines:
                self._lines(line.decode("utf-8", "replace"))
            return
        kept += data
        if descriptor == self._errors and len(kept) > 2 * _KEPT:
            del kept[:-_KEPT]

    def close(self, how: int = signal.SIGKILL, patience: float = _PATIENCE) -> None:
        """End it, and all of its session: by *how* first, and when that takes longer than *patience* for good."""
        self.end_input()
        if self._process.poll() is None and how != signal.SIGKILL:
            _signal(os.kill, self._process.pid, how)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                pass  # then without asking
        _signal(os.killpg, self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass  # it sleeps in the kernel
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._open = set()


def run(argv: Sequence[str], ward: Ward, *, feed: Feed | None = None, lines: Callable[[str], None] | None = None,
        account: Account = OWN, environment: Mapping[str, str] | None = None, cwd: str = "/",
        alone: bool = False, inherited: tuple[int, ...] = ()) -> Ended:  # fmt: skip
    """Run *argv* and return how it ended; *feed* writes to it, *lines* gets each line of its errors.

    Raises ``Failed`` when it cannot be started or the time is over, ``Stopped``, and what *feed* raises.
    """
    program = Program(
        argv,
        ward,
        account=account,
        environment=environment,
        cwd=cwd,
        writing=feed is not None,
        lines=lines,
        inherited=inherited,
        alone=alone,
    )
    try:
        if feed is not None:
            feed(program.write)
        return program.wait()
    finally:
        program.close()


def _signal(send: Callable[[int, int], None], target: int, number: int) -> None:
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):
        pass  # nobody is left


def adopt_orphans() -> None:
    """Become the parent of what our programs leave behind, so that it can be found and ended."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _leash(account: Account, death: int, parent: int, alone: bool) -> Callable[[], None]:
    def prepare() -> None:
        if alone:
            leave_network()
        if account.uid is not None:
            os.setgroups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        os.umask(0o077)
        if _libc is not None:
            # After the change of account, which would forget it.
            _libc.prctl(_PR_SET_PDEATHSIG, death, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)

    return prepare


def leave_network() -> bool:
    """Go on without any network but unix sockets; False where the kernel does not allow that."""
    if _libc is None:
        return False
    if os.geteuid() == 0:
        return bool(_libc.unshare(_CLONE_NEWNET) == 0)
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
                stream.write(text)
    except OSError:
        os._exit(126)  # neither here nor there: who started it tries again without
    return True


def can_leave_network() -> bool:
    """Return whether a program that is started ``alone`` would have no network."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if leave_network() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
