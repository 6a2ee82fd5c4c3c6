# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update is about to do, written to the disk before it does it: the next run goes on from there.

It holds ids, names, hashes and numbers; no environment, no secret.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Optional, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own, reason

SCHEMA = 1
_Kind = TypeVar("_Kind")

# Phases of a run, in their order.
ROLLING, SMOKE, COMMITTING, DONE = "rolling", "smoke", "committing", "done"
ROLLING_BACK, PAUSED, UNDONE = "rolling_back", "paused", "rolled_back"

# Steps of a batch. A step that is written here is about to be done, or done.
PENDING, CREATE, START, GATE, PUBLISH, DRAIN, STOP, REPLACED = (
    *("pending", "create", "start", "gate", "publish", "drain", "stop", "replaced"),
)
FAILED, UNDO, TAKEN_BACK = "failed", "undo", "taken_back"


@dataclass
class Old:
    """A container that is to go: as it was found."""

    id: str
    name: str
    number: int = 0
    image_id: str = ""
    image: str = ""
    hash: str = ""
    policy: dict[str, Any] = field(default_factory=dict)
    running: bool = False
    health: str = ""
    leftover: bool = False  # of no use to anybody: it is not brought back
    parked: str = ""  # the name under which it waits, where a new container needs its own


@dataclass
class Batch:
    """Containers that are replaced together. Times in seconds; None is not measured."""

    old: list[Old] = field(default_factory=list)
    count: int = 0
    step: str = PENDING
    known: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    endpoints: dict[str, Any] = field(default_factory=dict)  # names that wait for a container to be ready
    published: bool = False
    started_at: str = ""
    healthy_after: Optional[float] = None
    drained: Optional[float] = None
    stopped: Optional[float] = None
    gap_since: float = 0.0  # seconds since 1970: another run may be the one that ends it
    gap: Optional[float] = None
    killed: list[str] = field(default_factory=list)
    result: str = ""


@dataclass
class Turn:
    """One service in its turn."""

    service: str
    order: str
    why: str
    reasons: list[str]
    hash: str
    image: str
    image_id: str
    replicas: int
    one_shot: bool = False  # it has to end well
    may_end: bool = False
    batches: list[Batch] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    gap_expected: str = ""
    planned_hash: str = ""  # what Compose said before, where the container got another one
    failed: int = 0
    baseline_failing: bool = False
    probe_failing: bool = False


@dataclass
class Record:
    """All of one run."""

    id: str
    project: str
    phase: str = ROLLING
    begun_at: str = ""
    turns: list[Turn] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)  # image id, the name that keeps it, the name that it had
    smoke_failing: list[str] = field(default_factory=list)
    error: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA


class Journal:
    """The record on the disk. ``load`` and ``save`` raise ``StateError``."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path = os.path.join(folder, "journal.json")
        self.last_path = os.path.join(folder, "last.json")

    def load(self) -> Optional[Record]:
        """Return the record of an unfinished run; None when there is none."""
        return self._read(self.path)

    def last(self) -> Optional[Record]:
        """Return the record of the last run that ended."""
        return self._read(self.last_path)

    def save(self, record: Record) -> None:
        """Have it on the disk when this returns: whole, or not at all."""
        with self._refusing("written"):
            ensure_directory(os.path.dirname(self.folder))
            ensure_directory(self.folder)
            self._replace(self.path, json.dumps(asdict(record), sort_keys=True).encode())

    def finish(self, record: Record) -> None:
        """Make the record the last one: there is no unfinished run any more."""
        self.save(record)
        with self._refusing("written"):
            os.replace(self.path, self.last_path)
            self._sync()

    def _replace(self, path: str, content: bytes) -> None:
        temporary = f"{path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        descriptor = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self, path: str) -> Optional[Record]:
        with self._refusing("read"):
            try:
                with open(open_own(path, os.O_RDONLY), "rb") as stream:
                    content = stream.read()
            except FileNotFoundError:
                return None
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise StateError(
                f"{path} cannot be read as the journal of an update.",
                "Look what runs (docker ps -a), then move the file away.",
                {"path": path},
            )
        return record_of(found)

    @contextlib.contextmanager
    def _refusing(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(
                f"The journal {self.path} cannot be {verb}: {reason(error, self.path)}.",
                "Give the user that runs the task a state_dir that it may write, on a disk with room.",
                {"path": self.path, "errno": error.errno},
            ) from error


def record_of(found: Mapping[str, Any]) -> Record:
    """Return the record in the JSON of one; keys that a later version added are left out."""
    record = _known(Record, found)
    record.turns = [_turn_of(one) for one in found.get("turns") or ()]
    return record


def _turn_of(found: Mapping[str, Any]) -> Turn:
    turn = _known(Turn, found)
    turn.batches = [_batch_of(one) for one in found.get("batches") or ()]
    return turn


def _batch_of(found: Mapping[str, Any]) -> Batch:
    batch = _known(Batch, found)
    batch.old = [_known(Old, one) for one in found.get("old") or ()]
    return batch


def _known(kind: type[_Kind], found: Mapping[str, Any]) -> _Kind:
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # of the dataclasses above
    return kind(**{key: value for key, value in found.items() if key in names})
