# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers in containers, through the daemon, which is asked only when a consumer lives in one."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import (
    Description,
    Place,
    require_running,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

if TYPE_CHECKING:
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon


class Containers:
    """What ``consumers.Inside`` asks for, at the daemon of *docker_host*; a context manager."""

    def __init__(self, docker_host: str) -> None:
        self._docker_host = docker_host
        self._daemon: Daemon | None = None

    def __enter__(self) -> Containers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._daemon is not None:
            self._daemon.close()

    def find(self, place: Place) -> Description:
        description = self._asked().find(place)
        require_running(description)
        return description

    def members(self, place: Place) -> list[Place]:
        try:
            self._asked().find(place)
        except InvalidInput as error:
            names = error.evidence.get("containers")
            if not names:
                raise
            return [Place(container=name) for name in names]
        return [place]

    def execute(self, place: Place, argv: Sequence[str], seconds: float) -> tuple[int, str]:
        ended = self._asked().execute(self.find(place), argv, seconds)
        return ended.status, ended.output

    def signal(self, place: Place, name: str) -> None:
        self._asked().signal(self.find(place), name)

    def _asked(self) -> Daemon:
        if self._daemon is None:
            # Only here: importing the Docker SDK takes a third of a second, which servers of the host save.
            from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon

            self._daemon = Daemon(self._docker_host)
        return self._daemon
