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


class Crew(Generic[T]):
    """Calls ``work(item)`` for each of *items* in at most *workers* daemon threads, which begin at once.

    ``work`` keeps its own results; an exception of it is a defect and is raised by ``wait``.
    """

    def __init__(self, work: Callable[[T], None], items: Iterable[T], workers: int) -> None:
        self._work = work
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        for item in items:
            self._items.put(item)
        self._stopped = False
        self._defects: list[BaseException] = []
        # Not an executor: at the end of the process that would wait for its threads, also for one that hangs.
        count = min(workers, self._items.qsize())
        self._threads = [threading.Thread(target=self._run, daemon=True) for _number in range(count)]
        for thread in self._threads:
            thread.start()

    def wait(self, deadline: Deadline) -> bool:
        """Wait until all is done: True; or until the *deadline*: False, and no further item is begun."""
        for thread in self._threads:
            thread.join(deadline.remaining)
        if self._defects:
            raise self._defects[0]
        done = not any(thread.is_alive() for thread in self._threads)
        self._stopped = not done
        return done

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
