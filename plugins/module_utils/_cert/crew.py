# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several threads for work that waits. One that hangs in the system does not keep the process from ending."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable
from typing import Callable, Generic, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

T = TypeVar("T")


# So often the pace is looked at; below so many items in that time, what is worked on waits more than it computes.
PERIOD, SLOW = 0.1, 20


class Crew(Generic[T]):
    """Calls ``work(item)`` for each of *items* in at most *workers* daemon threads, which begin at once.

    With *eager* false it begins with one thread, because several that compute get in one another's way, and adds one
    whenever the pace is slow: so one item that hangs, or a slow disk, does not hold up the others. ``work`` keeps its
    own results; an exception of it is a defect and is raised by ``wait``.
    """

    def __init__(self, work: Callable[[T], None], items: Iterable[T], workers: int, eager: bool = True) -> None:
        self._work = work
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        for item in items:
            self._items.put(item)
        self._stopped = False
        self._defects: list[BaseException] = []
        self._most = min(workers, self._items.qsize())
        # Not an executor: at the end of the process that would wait for its threads, also for one that hangs.
        self._threads: list[threading.Thread] = []
        for _number in range(self._most if eager else min(1, self._most)):
            self._add_thread()

    def wait(self, deadline: Deadline) -> bool:
        """Wait until all is done: True; or until the *deadline*: False, and no further item is begun."""
        busy = self._busy()
        while busy and not deadline.expired:
            left = self._items.qsize()
            remaining = deadline.remaining
            busy[0].join(PERIOD if remaining is None else min(PERIOD, remaining))
            still = self._items.qsize()
            if still and left - still < SLOW and len(self._threads) < self._most:
                self._add_thread()
            busy = self._busy()
        if self._defects:
            raise self._defects[0]
        self._stopped = bool(busy)
        return not busy

    def _busy(self) -> list[threading.Thread]:
        return [thread for thread in self._threads if thread.is_alive()]

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self._run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        while not self._stopped:
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                return
            try:
                self._work(item)
            finally:
                defect = sys.exc_info()[1]
                if defect is not None:
                    self._defects.append(defect)
