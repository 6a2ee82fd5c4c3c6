# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every step of one run needs: the daemon, the journal, the clock, and a place for what is worth telling."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.create import Maker
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.engine import Engine
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Batch, Journal, Record
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    Container,
    Interrupted,
    Options,
    Policy,
    RollFailed,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.notes import Notes
from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SLICE = 0.1


@dataclass
class Signals:
    """Signals that ask the run to end. While this is entered they are noted, and nothing else happens."""

    came: int = 0
    _before: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self.came = number


@dataclass
class Context:
    """One run. ``shielded`` is true while nothing may interrupt it: in a rollback, and in a commit."""

    project: str
    engine: Engine
    maker: Maker
    journal: Journal
    record: Record
    wanted: Mapping[str, Wanted]
    policies: Mapping[str, Policy]
    options: Options
    notes: Notes
    signals: Signals
    deadline: Deadline
    down_before: frozenset[str] = frozenset()
    actions: list[Action] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    shielded: bool = False

    def wanted_name(self, service: str) -> str:
        """Return the container_name of a service; empty without one."""
        wanted = self.wanted.get(service)
        return wanted.container_name if wanted is not None else ""

    def containers(self) -> list[Container]:
        return self.engine.project(self.project)

    def save(self) -> None:
        self.journal.save(self.record)

    def mark(self, batch: Batch, step: str) -> None:
        """Write to the disk that this step of a batch is the next thing that is done."""
        batch.step = step
        self.save()

    def checkpoint(self) -> None:
        """Raise ``Interrupted`` or ``RollFailed`` (timeout) when the run has to end."""
        if self.shielded:
            return
        if self.signals.came:
            raise Interrupted(
                f"The update was asked to end by {signal.Signals(self.signals.came).name}.", "Run the task again."
            )
        if self.deadline.expired:
            raise RollFailed(
                "timeout",
                f"The update had not ended after {format_duration(self.deadline.seconds or 0.0)}.",
                "Give it more time (timeout).",
            )

    def pause(self, seconds: float) -> None:
        """Sleep; ends early with an error when the run has to end."""
        until = time.monotonic() + seconds
        while True:
            self.checkpoint()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_SLICE, left))

    @contextlib.contextmanager
    def step(self, identity: str, description: str) -> Iterator[None]:
        """Note a step with its time; one that raises is noted as failed."""
        begun = time.monotonic()
        try:
            yield
        except UpkeepError as error:
            self.actions.append(Action(identity, description, core.FAILED, error.message, time.monotonic() - begun))
            raise
        self.actions.append(Action(identity, description, core.DONE, "", time.monotonic() - begun))
