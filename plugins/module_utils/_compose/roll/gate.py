# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until containers are ready and stay so, or know why they are not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import probe as probes
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.engine import Engine
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    Container,
    Interfered,
    Probe,
    RollFailed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

# How often the daemon is asked: what dies at once is seen within a second on a busy machine too.
POLL = 0.1


@dataclass(frozen=True)
class Rule:
    """When containers count as ready. Times in seconds.

    ``health_counts`` is false where the check had failed before the update as well: then its verdict is awaited, and
    not asked for more. ``one_shot`` is ready when it has ended well; what ``may_end`` is ready then too.
    """

    timeout: float
    monitor: float
    fail_fast: bool = False
    probe: Optional[Probe] = None
    health_counts: bool = True
    one_shot: bool = False
    may_end: bool = False


@dataclass
class Watched:
    """One container in front of the gate. Instants are those of the monotonic clock."""

    id: str
    started_at: str = ""
    good_since: Optional[float] = None
    first_good: Optional[float] = None
    asked_at: float = 0.0
    successes: int = 0
    why: str = "it was not looked at"
    health: str = ""


class Gate:
    """The gate of one batch; ``pass_all`` waits."""

    def __init__(self, engine: Engine, rule: Rule, checkpoint: Callable[[], None], patient: bool = False) -> None:
        """*patient* is for what is brought back: that it was restarted before says nothing."""
        self._patient = patient
        self._engine = engine
        self._rule = rule
        self._checkpoint = checkpoint

    def pass_all(self, identities: Sequence[str]) -> float:
        """Return after how many seconds the last one was ready, when all have stayed so for ``monitor``.

        Raises ``RollFailed`` with why, and ``Interfered`` when somebody removed one.
        """
        begun, losses = time.monotonic(), self._engine.losses
        watched = [Watched(one) for one in identities]
        while True:
            self._checkpoint()
            for one in watched:
                self._look(one)
            if self._engine.losses != losses:
                # What its end did to them is no fault of theirs: from the beginning.
                losses, begun = self._engine.losses, time.monotonic()
                watched = [self._again(one) for one in watched]
                continue
            now = time.monotonic()
            if all(one.good_since is not None and now - one.good_since >= self._stay for one in watched):
                return max((one.first_good or begun for one in watched), default=begun) - begun
            late = [one for one in watched if one.good_since is None]
            if late and now - begun >= self._rule.timeout:
                raise self._too_late(late[0])
            time.sleep(POLL)

    @property
    def _stay(self) -> float:
        return 0.0 if self._rule.one_shot else self._rule.monitor

    def _look(self, one: Watched) -> None:
        container = self._engine.look(one.id)
        if container is None:
            raise Interfered(f"The container {one.id[:12]} was removed by somebody else while it was waited for.")
        if self._engine.losses == 0 or container.running:
            problem = fault_of(container, one.started_at, self._rule.may_end)
            if problem is not None and not (
                self._patient and problem.kind in ("restarted", "oom") and container.running
            ):
                raise problem
        one.started_at = container.started_at
        one.health = container.health
        one.why = self._unready(one, container)
        if one.why:
            one.good_since = None
        elif one.good_since is None:
            one.good_since = time.monotonic()
            one.first_good = one.first_good or one.good_since

    def _again(self, one: Watched) -> Watched:
        container = self._engine.look(one.id)
        if container is not None and not container.running:
            self._engine.start(container)
        return Watched(one.id)

    def _unready(self, one: Watched, container: Container) -> str:
        """Return why it is not ready; empty when it is."""
        if self._rule.one_shot:
            return "" if container.state == "exited" else "it has not ended"
        if self._rule.may_end and container.state == "exited":
            return ""
        if not container.running:
            return f"it is {container.state}"
        if container.checked and container.health != "healthy":
            said = f", the check said: {container.health_said}" if container.health_said else ""
            if self._rule.health_counts:
                if self._rule.fail_fast and container.health == "unhealthy":
                    raise self._failed("unhealthy", container, f"became unhealthy{said}")
                return f"it is {container.health or 'without a verdict'}{said}"
            if container.health != "unhealthy":
                return "its check has no verdict yet"
        return self._asked(one, container)

    def _asked(self, one: Watched, container: Container) -> str:
        probe, now = self._rule.probe, time.monotonic()
        if probe is None:
            return ""
        if now - one.asked_at < probe.interval:
            return one.why if one.successes < probe.successes else ""
        one.asked_at = now
        failed = probes.ask(self._engine, container, probe)
        one.successes = 0 if failed else one.successes + 1
        if failed:
            return f"the probe failed: {failed}"
        left = probe.successes - one.successes
        return f"the probe has to succeed {left} more times" if left > 0 else ""

    def _too_late(self, one: Watched) -> RollFailed:
        container = self._engine.look(one.id)
        limit = format_duration(self._rule.timeout)
        kind = "unhealthy" if one.health == "unhealthy" else "probe_failed" if "probe" in one.why else "health_timeout"
        if container is None:
            return RollFailed(kind, f"{one.id[:12]} was not ready after {limit}: {one.why}.")
        return self._failed(kind, container, f"was not ready after {limit}: {one.why}")

    @staticmethod
    def _failed(kind: str, container: Container, what: str) -> RollFailed:
        return RollFailed(
            kind,
            f"{container.name} {what.rstrip('.')}.",
            "Read its log below, mend the release, and update again.",
            service=container.service,
            container=container.name,
            evidence={"health_log": container.health_said, "container_id": container.id},
        )


def fault_of(container: Container, started_at: str = "", may_end: bool = False) -> Optional[RollFailed]:
    """Return what is wrong with a container for good; None while there is hope. *started_at* is when it was started
    when it was last looked at."""
    name, kind, what = container.name, "", ""
    if container.oom:
        kind, what = "oom", "was killed for want of memory"
    elif container.state in ("exited", "dead") and not (may_end and container.exit_code == 0):
        kind, what = "exited", f"ended with exit code {container.exit_code}"
    elif container.restarts or container.state == "restarting":
        kind, what = (
            "restarted",
            f"ended with exit code {container.exit_code} and was restarted {container.restarts} times",
        )
    elif started_at and started_at != container.started_at:
        kind, what = "restarted", "was restarted"
    if not kind:
        return None
    said = f" ({container.error})" if container.error else ""
    return RollFailed(
        kind,
        f"{name} {what}{said}.",
        "Read its log below, mend the release, and update again.",
        service=container.service,
        container=name,
        evidence={"exit_code": container.exit_code, "restarts": container.restarts, "container_id": container.id},
    )
