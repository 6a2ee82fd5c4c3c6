# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers between runs: ``state.json`` (now) and ``history.jsonl`` (one line a run)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from typing import Any, Iterator, Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock

SCHEMA = 1
SYSTEM_DIRECTORY = "/var/lib/upkeep"
_STATE_LOCK_SECONDS = 10.0


def default_directory(environ: Mapping[str, str], uid: int) -> str:
    """Return ``/var/lib/upkeep`` for root, else ``upkeep`` below the user's XDG state directory."""
    if uid == 0:
        return SYSTEM_DIRECTORY
    base = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "upkeep")


class HostState:
    """The records of one inventory host below *directory*.

    Several inventory names may live on one machine, so each has a folder of its own: the work of one must never be
    taken for the work of another. Files are 0600 in folders of 0700. All methods raise ``StateError``.
    """

    def __init__(self, directory: str, host: str) -> None:
        if not os.path.isabs(directory):
            raise InvalidInput(f"The state directory {directory!r} is not an absolute path.", "Write it from / on.")
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

        A torn file is replaced by the previous one, and ``healed`` says so.
        """
        torn = False
        for path in (self.path, self.previous_path):
            try:
                with open(path, encoding="utf-8") as stream:
                    state = json.load(stream)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._refuse("read", path, error) from error
            except ValueError:
                torn = True
                self.healed.append(f"{path} was torn and is ignored")
                continue
            if not isinstance(state, dict) or not isinstance(state.get("tasks"), dict):
                torn = True
                self.healed.append(f"{path} does not hold a state and is ignored")
                continue
            return self._of_known_schema(path, state)
        if torn:
            self.healed.append("no earlier state could be read: every task counts as not done yet")
        return {"schema": SCHEMA, "tasks": {}}

    def _of_known_schema(self, path: str, state: dict[str, Any]) -> dict[str, Any]:
        schema = state.get("schema")
        if schema != SCHEMA:
            raise StateError(
                f"{path} has schema {schema!r}, this version of the collection reads {SCHEMA}.",
                "Use the version of the collection that wrote it, or move the file away.",
                {"path": path},
            )
        return state

    @contextlib.contextmanager
    def update(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield the state under its lock and save it when the block ends well."""
        with HostLock(os.path.join(self.folder, "state.lock"), run_id, wait=_STATE_LOCK_SECONDS):
            state = self.load()
            yield state
            self._save(state)

    def _save(self, state: Mapping[str, Any]) -> None:
        """Write temp, fsync, rename; the file that was there becomes ``state.json.previous``."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.folder, prefix=".state-", delete=False) as stream:
                json.dump(state, stream, sort_keys=True, separators=(",", ":"))
                stream.flush()
                os.fsync(stream.fileno())
            if os.path.exists(self.path) and self._is_whole():
                # A link first, so that there is never a moment without a state.json.
                keep = stream.name + ".keep"
                os.link(self.path, keep)
                os.replace(keep, self.previous_path)
            os.replace(stream.name, self.path)
            _fsync_directory(self.folder)
        except OSError as error:
            raise self._refuse("written", self.path, error) from error

    def _is_whole(self) -> bool:
        """A torn state must not push the good previous one out."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                json.load(stream)
        except ValueError:
            return False
        return True

    def append_history(self, line: Mapping[str, Any]) -> None:
        """Append *line*; a last line that a crash cut off is cut away first."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            descriptor = os.open(self.history_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b") as stream:
                self._heal_tail(stream)
                stream.write(json.dumps({"schema": SCHEMA, **line}, sort_keys=True, separators=(",", ":")).encode())
                stream.write(b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise self._refuse("written", self.history_path, error) from error

    def _heal_tail(self, stream: Any) -> None:
        size = stream.seek(0, os.SEEK_END)
        window = min(size, 1 << 20)
        stream.seek(size - window)
        tail = stream.read(window)
        if tail and not tail.endswith(b"\n"):
            whole = size - window + tail.rfind(b"\n") + 1
            stream.truncate(whole)
            self.healed.append(f"the last line of {self.history_path} was torn and is cut away")

    def history(self, last: int | None = None) -> list[dict[str, Any]]:
        """Return the lines, oldest first; a torn last one is left out."""
        try:
            with open(self.history_path, encoding="utf-8") as stream:
                lines = stream.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._refuse("read", self.history_path, error) from error
        records = []
        for line in lines[-last:] if last else lines:
            with contextlib.suppress(ValueError):
                records.append(json.loads(line))
        return records

    def _refuse(self, verb: str, path: str, error: OSError) -> StateError:
        return StateError(
            f"The state {path} cannot be {verb}: {error.strerror}.",
            "Give the user that runs the task that directory, or set upkeep_state_dir to one that it may write.",
            {"path": path, "errno": error.errno},
        )


def folder_name(name: str) -> str:
    """Return *name* as one safe path component; different names stay different."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda match: f"%{ord(match.group()):02x}", name).replace("..", "%2e%2e") or "%"


def _fsync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
