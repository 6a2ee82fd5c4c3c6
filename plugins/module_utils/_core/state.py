# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers between runs: ``state.json`` (now) and ``history.jsonl`` (one line a run)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, LockHeld, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import (
    ensure_directory,
    open_own,
    reason,
    require_owner,
    require_trusted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock

SCHEMA = 1
SYSTEM_DIRECTORY = "/var/lib/upkeep"
_STATE_LOCK_SECONDS = 10.0
_LONGEST_NAME = 150
_BLOCK = 1 << 16


def default_directory(environ: Mapping[str, str], uid: int) -> str:
    """Return ``/var/lib/upkeep`` for root, else ``upkeep`` below the user's XDG state directory."""
    if uid == 0:
        return SYSTEM_DIRECTORY
    base = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the specification says to ignore it then
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "upkeep")


def directory_of(given: str | None, environ: Mapping[str, str], uid: int) -> str:
    """Return the state directory that was *given*, else the default one.

    Raises ``InvalidInput`` for one that is not absolute: each working directory would have locks of its own.
    """
    if given:
        require_absolute(given)
    return given or default_directory(environ, uid)


def require_absolute(directory: str) -> None:
    if not os.path.isabs(directory) or "\0" in directory:
        raise InvalidInput(f"state_dir: {directory!r} is not an absolute path.", "Write it from / on.")


class HostState:
    """The records of one inventory host below *directory*.

    Several inventory names may live on one machine, so each has a folder of its own: the work of one must never be
    taken for the work of another. Files are 0600 in folders of 0700. A folder or file that belongs to neither root nor
    the user of this run, that others may change, or that is a symbolic link made by somebody else, is refused.

    All methods raise ``StateError`` when the files cannot be read, written or trusted. ``healed`` lists, in sentences,
    the damage that they found and could make good. Raises ``InvalidInput`` when *directory* is no absolute path.
    """

    def __init__(self, directory: str, host: str) -> None:
        require_absolute(directory)
        self.directory = directory
        self.folder = os.path.join(directory, "hosts", folder_name(host))
        self.healed: list[str] = []

    @property
    def path(self) -> str:
        return os.path.join(self.folder, "state.json")

    @property
    def previous_path(self) -> str:
        return self.path + ".previous"

    @property
    def history_path(self) -> str:
        return os.path.join(self.folder, "history.jsonl")

    def lock_path(self, name: str) -> str:
        """Return the path of the machine-wide lock called *name*."""
        return os.path.join(self.directory, "locks", f"{folder_name(name)}.lock")

    def load(self) -> dict[str, Any]:
        """Return the state; ``{"schema": 1, "tasks": {}}`` when there is none yet.

        When the file is torn or gone, the previous one is taken, and ``healed`` says so; the file itself is mended by
        the next ``update``. A file of a newer schema is refused, never replaced.
        """
        with self._refusing("read", self.path):
            self._require_trusted_folder()
        damaged = False
        for path in (self.path, self.previous_path):
            content = self._content(path)
            if content is None:
                continue
            state = _parse_state(content)
            if state is None:
                damaged = True
                self._heal(f"{path} was torn and is ignored")
            elif state.get("schema") != SCHEMA:
                raise StateError(
                    f"{path} has schema {state.get('schema')!r}, this version of the collection reads {SCHEMA}.",
                    "Use the version of the collection that wrote it, or move the file away.",
                    {"path": path, "schema": state.get("schema")},
                )
            else:
                if path == self.previous_path and not damaged:
                    self._heal(f"{self.path} was gone and the previous state is used")
                return state
        if damaged:
            self._heal("no earlier state could be read: every task counts as not done yet")
        return {"schema": SCHEMA, "tasks": {}}

    @contextlib.contextmanager
    def update(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield the state under its lock and save it when the block ends well.

        Other processes that update wait, for 10 s at most. What is yielded must be plain JSON types when the block
        ends (``TypeError``); then it is on the disk, or the old state is.
        """
        with self._refusing("written", self.path):
            self._make_folder()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(HostLock(os.path.join(self.folder, "state.lock"), run_id, wait=_STATE_LOCK_SECONDS))
            except LockHeld as error:
                message = f"The state {self.path} is busy. {error.message}"
                raise StateError(message, error.remedy, error.evidence) from None
            state = self.load()
            yield state
            self._save(state)

    def append_history(self, line: Mapping[str, Any]) -> None:
        """Append *line* (plain JSON types), with the schema added; a last line that a crash tore is cut away first."""
        record = json.dumps({"schema": SCHEMA, **line}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        with self._refusing("written", self.history_path):
            self._make_folder()
            descriptor = open_own(self.history_path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                _lock_for_writing(descriptor)
                end = self._heal_tail(descriptor)
                try:
                    _write_all(descriptor, record)
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, end)  # a full disk: half a line is worse than none
                    raise
            finally:
                os.close(descriptor)

    def history(self, last: int | None = None) -> list[dict[str, Any]]:
        """Return the *last* lines (default: all), oldest first; lines that a crash tore are left out."""
        with self._refusing("read", self.history_path):
            self._require_trusted_folder()
        records: list[dict[str, Any]] = []
        for line in reversed((self._content(self.history_path) or b"").split(b"\n")):
            if last is not None and len(records) >= last:
                break
            record = _parse_object(line)
            if record is not None:
                records.append(record)
        return records[::-1]

    def _content(self, path: str) -> bytes | None:
        """Return what is in the file *path*; None when there is none."""
        with self._refusing("read", path):
            try:
                with open(open_own(path, os.O_RDONLY), "rb") as stream:
                    return stream.read()
            except FileNotFoundError:
                return None

    def _save(self, state: Mapping[str, Any]) -> None:
        """Replace ``state.json``; what was there, if it is whole, becomes ``state.json.previous`` before."""
        new = json.dumps(state, sort_keys=True, separators=(",", ":")).encode()
        current = self._content(self.path)
        with self._refusing("written", self.path):
            if current is not None and _parse_state(current) is not None:
                self._replace(self.previous_path, current)
            self._replace(self.path, new)

    def _replace(self, path: str, content: bytes) -> None:
        """Write temp, fsync, rename, fsync the folder: after a crash the old content is there or the new one, whole."""
        # The state's lock is held: nobody else writes this file, and what a crash left of it goes away here.
        temporary = path + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            descriptor = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                _write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _fsync_directory(self.folder)

    def _heal_tail(self, descriptor: int) -> int:
        """Make the file end with a whole line and return its size."""
        size = os.fstat(descriptor).st_size
        tail = _after_last_newline(descriptor, size)
        if not tail:
            return size
        if _parse_object(tail) is not None:
            os.write(descriptor, b"\n")  # only its end is missing
            return size + 1
        os.ftruncate(descriptor, size - len(tail))
        self._heal(f"the last line of {self.history_path} was torn and is cut away")
        return size - len(tail)

    def _heal(self, what: str) -> None:
        if what not in self.healed:
            self.healed.append(what)

    def _make_folder(self) -> None:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        require_owner(self.directory)
        ensure_directory(os.path.dirname(self.folder))
        ensure_directory(self.folder)

    def _require_trusted_folder(self) -> None:
        try:
            require_owner(self.directory)
            require_trusted(os.path.dirname(self.folder))
            require_trusted(self.folder)
        except FileNotFoundError:
            return

    @contextlib.contextmanager
    def _refusing(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(
                f"The state {path} cannot be {verb}: {reason(error, path)}.",
                "Give the user that runs the task that directory, or set upkeep_state_dir to one that it may write.",
                {"path": path, "errno": error.errno},
            ) from error


def folder_name(name: str) -> str:
    """Return *name* as one safe path component; different names stay different."""
    octets = name.encode("utf-8", errors="surrogatepass").decode("latin-1")
    safe = re.sub(r"^\.|[^A-Za-z0-9._-]", lambda match: f"%{ord(match.group()):02x}", octets) or "%"
    if len(safe) <= _LONGEST_NAME:
        return safe
    return f"{safe[:_LONGEST_NAME]}%-{hashlib.sha256(octets.encode()).hexdigest()[:32]}"


def _parse_object(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of *content*; None when it is torn."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _parse_state(content: bytes) -> dict[str, Any] | None:
    """Return the state of *content*, of whatever schema; None when it is torn."""
    state = _parse_object(content)
    if state is None or not isinstance(state.get("schema"), int):
        return None
    if state["schema"] == SCHEMA and not isinstance(state.get("tasks"), dict):
        return None
    return state


def _after_last_newline(descriptor: int, size: int) -> bytes:
    tail, position = b"", size
    while position > 0:
        start = max(0, position - _BLOCK)
        block = os.pread(descriptor, position - start, start)
        newline = block.rfind(b"\n")
        tail, position = block[newline + 1 :] + tail, start
        if newline >= 0:
            break
    return tail


def _lock_for_writing(descriptor: int) -> None:
    """Wait for other writers of this file; raise ``OSError`` (EAGAIN) after 10 s."""
    give_up = time.monotonic() + _STATE_LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() >= give_up:
                raise
        time.sleep(0.01)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _fsync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
