# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lead requests to new containers when they are ready, and away from old ones before they end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.create import endpoints_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.engine import Engine
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Batch
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    Container,
    Drain,
    RollFailed,
    Traffic,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

PUBLISH, WITHDRAW = "publish", "withdraw"
_POLL = 0.1


class Director:
    """Leads the traffic of one service. ``pause`` sleeps, and ends early with an error when the run has to end."""

    def __init__(
        self,
        engine: Engine,
        project: str,
        service: str,
        traffic: Traffic,
        pause: Callable[[float], None],
        told: set[str],
    ) -> None:
        """*told* are the files that this very run has made nginx read: what a killed one wrote, it may not have."""
        self._engine = engine
        self._project = project
        self._service = service
        self._traffic = traffic
        self._pause = pause
        self._told = told

    @property
    def silent(self) -> bool:
        """Whether there is nobody to tell."""
        return self._traffic.mode == "none"

    @property
    def at_once(self) -> bool:
        """Whether new ones come and old ones go in one list: half of the reloads, each of which closes connections."""
        return self._traffic.mode == "nginx" and bool(self._traffic.file)

    # --- a name for those that are ready alone

    @property
    def gated(self) -> bool:
        return self._traffic.mode == "dns_gate"

    def remember(self, batch: Batch, container: Container) -> None:
        """Note in the journal by which names it is to be found, before they are taken away."""
        if self.gated and container.id not in batch.endpoints:
            batch.endpoints[container.id] = endpoints_of(container)

    def hide(self, batch: Batch, container: Container) -> None:
        """Take the names of a container that was not started yet out of each network."""
        for network, settings in (batch.endpoints.get(container.id) or {}).items():
            self._engine.disconnect(network, container.id)
            self._engine.connect(network, container.id, {**settings, "Aliases": []})

    def show(self, batch: Batch, container: Container) -> None:
        """Give them back. What it had connected to in that network meanwhile, it has to connect to again."""
        for network, settings in (batch.endpoints.get(container.id) or {}).items():
            there = endpoints_of(container).get(network) or {}
            if not set(settings["Aliases"]) <= set(there.get("Aliases") or ()):
                self._engine.disconnect(network, container.id)
                self._engine.connect(network, container.id, settings)

    # --- a proxy that is told

    def tell(self, phase: str, live: Sequence[Container], leaving: Sequence[Container]) -> None:
        """Tell the proxy who serves from now on. Raises ``RollFailed`` (hook_failed) when it does not take that."""
        if self._traffic.mode == "hook":
            self._call_hook(phase, live, leaving)
        elif self._traffic.mode == "nginx" and (self._traffic.file or phase == PUBLISH):
            if not self._tell_nginx(live):
                return
        elif not (self.gated and phase == PUBLISH):
            return
        self._pause(self._traffic.settle)

    def tell_gone(self) -> None:
        """Let a proxy that resolves names when it is reloaded forget those that have just ended."""
        if self._traffic.mode == "nginx" and not self._traffic.file:
            self._tell_nginx(())

    def _call_hook(self, phase: str, live: Sequence[Container], leaving: Sequence[Container]) -> None:
        message = json.dumps(
            {
                "project": self._project,
                "service": self._service,
                "phase": phase,
                "live": [_told(one) for one in live],
                "leaving": [_told(one) for one in leaving],
            }
        )
        if self._traffic.service:
            for proxy in self._proxies():
                self._execute(proxy, [*self._traffic.hook, message])
            return
        try:
            run(self._traffic.hook, self._traffic.timeout, stdin=message.encode()).require_success("the traffic hook")
        except UpkeepError as error:
            raise self._failed(error.message) from None

    def _tell_nginx(self, live: Sequence[Container]) -> bool:
        """Write its list of servers where it has one, let it check its configuration, and reload it.

        Return whether there was anything to tell: a list that nginx has already needs no reload.
        """
        before = None
        if self._traffic.file:
            text = self._servers(live)
            before = self._read_servers()
            if before == text and self._traffic.file in self._told:
                return False
            self._told.add(self._traffic.file)
            self._write_servers(text)
        try:
            for proxy in self._proxies():
                self._execute(proxy, ["nginx", "-t"])
        except RollFailed:
            if before is not None:
                _write_in_place(self._traffic.file, before)
            raise
        for proxy in self._proxies():
            self._execute(proxy, ["nginx", "-s", "reload"])
        return True

    def _servers(self, live: Sequence[Container]) -> bytes:
        lines = []
        for one in live:
            if not one.address:
                raise self._failed(f"{one.name} has no address")
            lines.append(self._traffic.server.format(address=one.address, port=self._traffic.port, name=one.name))
        if not lines:
            raise self._failed(f"nobody would be left to serve {self._service}")
        head = f"# Servers of {self._project}/{self._service}, written at each update."
        return "\n".join([head, *lines, ""]).encode()

    def _read_servers(self) -> bytes:
        try:
            with open(self._traffic.file, "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._failed(f"{self._traffic.file} cannot be read: {os.strerror(error.errno or 0)}") from None

    def _write_servers(self, text: bytes) -> None:
        try:
            _write_in_place(self._traffic.file, text)
        except OSError as error:
            raise self._failed(f"{self._traffic.file} cannot be written: {os.strerror(error.errno or 0)}") from None

    def _proxies(self) -> list[Container]:
        found = [
            one for one in self._engine.project(self._project) if one.service == self._traffic.service and one.running
        ]
        if not found:
            raise self._failed(f"no container of the service {self._traffic.service} runs")
        return found

    def _execute(self, proxy: Container, argv: Sequence[str]) -> None:
        try:
            ended = self._engine.execute(proxy.description, argv, self._traffic.timeout)
        except UpkeepError as error:
            raise self._failed(error.message) from None
        if ended.status:
            said = " ".join(ended.output.split())[-400:]
            raise self._failed(f"{argv[0]} {argv[1] if len(argv) > 1 else ''} in {proxy.name} failed: {said}")

    def _failed(self, what: str) -> RollFailed:
        return RollFailed(
            "hook_failed",
            f"The traffic of {self._service} could not be led: {what.rstrip('.')}.",
            "Mend what leads the traffic, then update again.",
            service=self._service,
        )


def drain(engine: Engine, container: Container, how: Drain, pause: Callable[[float], None]) -> str:
    """Let a container finish what it has begun; return what went wrong with that, which stops nobody."""
    wrong = []
    try:
        if how.command:
            ended = engine.execute(container.description, how.command, how.timeout)
            if ended.status:
                wrong.append(f"{how.command[0]} ended with status {ended.status}")
        if how.file:
            ended = engine.execute(container.description, ["touch", how.file], how.timeout)
            if ended.status:
                wrong.append(f"{how.file} could not be made: {' '.join(ended.output.split())[:200]}")
    except UpkeepError as error:
        wrong.append(error.message)
    if how.signal:
        engine.send(container.id, how.signal)
    pause(how.wait)
    if how.inflight:
        wrong += _await_none_in_flight(engine, container, how, pause)
    return "; ".join(wrong)


def _await_none_in_flight(
    engine: Engine, container: Container, how: Drain, pause: Callable[[float], None]
) -> list[str]:
    deadline = time.monotonic() + how.timeout
    while True:
        try:
            if engine.execute(container.description, how.inflight, how.timeout).status == 0:
                return []
        except UpkeepError as error:
            return [error.message]
        if time.monotonic() > deadline:
            return [f"{how.inflight[0]} still sees requests in flight"]
        pause(_POLL)


def _told(one: Container) -> dict[str, object]:
    networks = (one.description.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "id": one.id,
        "name": one.name,
        "address": one.address,
        "networks": {name: endpoint.get("IPAddress") or "" for name, endpoint in networks.items()},
        "image_id": one.image_id,
    }


def _write_in_place(path: str, content: bytes) -> None:
    """The same file: one that is mounted by itself would not be seen under a new inode."""
    with open(path, "r+b" if os.path.exists(path) else "wb") as stream:
        stream.write(content)
        stream.truncate()
        stream.flush()
        os.fsync(stream.fileno())
