# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is worth telling of an update, as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Turn
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import Container, Policy, Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.plan import Seen, is_database
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size

_SHELLS = ("sh", "bash", "dash", "ash")


class Notes:
    """The findings of one run; subjects are the services as ``project/service``."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.findings: list[Finding] = []

    def add(
        self, code: str, service: str, severity: Severity, message: str, evidence: Mapping[str, Any] | None = None
    ) -> None:
        """Note one finding, once."""
        subject = f"{self.project}/{service}" if service else self.project
        found = Finding(code, subject, severity, message, evidence or {}, CODES[code].remedy)
        if found not in self.findings:
            self.findings.append(found)

    # --- before

    def of_plan(self, turns: Iterable[Turn], seen: Seen) -> None:
        """Note what has to be said before the first container is touched."""
        for turn in turns:
            self._of_turn(turn, seen.wanted[turn.service], seen.policies[turn.service], seen.of(turn.service))

    def _of_turn(self, turn: Turn, wanted: Wanted, policy: Policy, here: list[Container]) -> None:
        name = turn.service
        if turn.gap_expected:
            self.add(
                "compose.gap_expected",
                name,
                Severity.INFO,
                f"{name}: nobody serves {turn.gap_expected}, because {turn.why}.",
                {"order": turn.order, "why": turn.why},
            )
        if is_database(wanted.image) and here:
            self.add(
                "compose.database_rolled",
                name,
                Severity.WARNING,
                f"{name}: {wanted.image} looks like a database and is replaced stop-first; its clients lose their "
                "connections.",
                {"image": wanted.image},
            )
        if turn.baseline_failing or turn.probe_failing:
            what = "health check" if turn.baseline_failing else "probe"
            self.add(
                "compose.baseline_failing",
                name,
                Severity.WARNING,
                f"{name}: its {what} failed before the update already; it does not decide about the new release.",
                {"check": what},
            )
        if not wanted.health_seconds and not policy.probe and not turn.one_shot and not any(o.checked for o in here):
            self.add(
                "compose.unchecked",
                name,
                Severity.INFO,
                f"{name} has no health check and no probe: a new container counts as ready when it has run for "
                f"{format_duration(policy.monitor)}.",
            )
        elif wanted.health_seconds > policy.health_timeout:
            self.add(
                "compose.health_timeout_short",
                name,
                Severity.INFO,
                f"{name}: its check may take {format_duration(wanted.health_seconds)} for a verdict, and "
                f"health_timeout is {format_duration(policy.health_timeout)}.",
            )
        if policy.traffic.mode == "none" and not policy.drain and turn.order == "start-first" and here:
            self.add(
                "compose.not_gated",
                name,
                Severity.INFO,
                f"{name}: new containers get requests from their start on, and old ones until their end, unless what "
                "stands before them asks for their health.",
            )
        if any(_shell_first(one) for one in here):
            self.add(
                "compose.signal_ignored",
                name,
                Severity.INFO,
                f"{name}: a shell is its first process, which may keep SIGTERM from the program.",
            )

    def memory(self, needed: int, available: int) -> None:
        if needed > available:
            self.add(
                "compose.memory_tight",
                "",
                Severity.WARNING,
                f"{self.project}: the new containers may take {format_size(needed)} beside the old ones, and "
                f"{format_size(available)} are free.",
                {"needed_bytes": needed, "available_bytes": available},
            )

    def orphans(self, names: Iterable[str]) -> None:
        for name in sorted(set(names)):
            self.add(
                "compose.left_alone",
                name,
                Severity.INFO,
                f"{name} has containers and is no service of the project (any more); they were left alone.",
            )

    def smoke_failing(self, name: str, why: str) -> None:
        self.add(
            "compose.baseline_failing",
            "",
            Severity.WARNING,
            f"{self.project}: the smoke test {name} failed before the update already ({why}), so that it does not "
            "decide about the new release.",
            {"check": name},
        )

    # --- meanwhile

    def drain_failed(self, service: str, container: str, why: str) -> None:
        self.add(
            "compose.drain_failed",
            service,
            Severity.WARNING,
            f"{container} could not be drained as asked: {why}.",
            {"container": container},
        )

    def killed(self, service: str, container: str, seconds: float) -> None:
        self.add(
            "compose.killed_at_stop",
            service,
            Severity.WARNING,
            f"{container} had not ended {format_duration(seconds)} after SIGTERM and was killed.",
            {"container": container, "stop_timeout": seconds},
        )

    def interfered(self, why: str) -> None:
        self.add(
            "compose.interfered",
            "",
            Severity.WARNING,
            f"{self.project}: somebody else changed its containers meanwhile, and the update was planned anew: {why}",
        )

    def replica_failed(self, service: str, error: UpkeepError) -> None:
        self.add(
            "compose.replica_failed",
            service,
            Severity.WARNING,
            f"{service}: a replica was not replaced, which is tolerated: {error.message}",
            error.evidence,
        )

    # --- after

    def failed(self, service: str, error: UpkeepError) -> None:
        self.add("compose.roll_failed", service, Severity.CRITICAL, error.message, error.evidence)

    def rolled(self, turn: Turn, seconds: float) -> None:
        self.add(
            "compose.rolled",
            turn.service,
            Severity.OK,
            f"{turn.service} has {turn.replicas} containers of {turn.image} now, after {format_duration(seconds)}.",
            {"image_id": turn.image_id, "replicas": turn.replicas},
        )

    def rolled_back(self, services: Iterable[str]) -> None:
        for name in services:
            self.add(
                "compose.rolled_back",
                name,
                Severity.WARNING,
                f"{name} is served by its old containers again.",
            )

    def rollback_failed(self, lost: Iterable[str]) -> None:
        for why in lost:
            self.add("compose.rollback_failed", "", Severity.CRITICAL, f"{self.project}: {why.rstrip('.')}.")

    def paused(self, services: Iterable[str]) -> None:
        for name in services:
            self.add(
                "compose.roll_paused",
                name,
                Severity.CRITICAL,
                f"{name}: the update stands where it failed, with old and new containers side by side.",
            )

    def resumed(self, identity: str, how: str) -> None:
        self.add(
            "compose.roll_resumed",
            "",
            Severity.INFO,
            f"{self.project}: the run {identity}, which was cut off, was {how}.",
            {"journal_id": identity},
        )


def _shell_first(one: Container) -> bool:
    path, arguments = str(one.description.get("Path") or ""), one.description.get("Args") or []
    init = (one.description.get("HostConfig") or {}).get("Init")
    return path.rpartition("/")[2] in _SHELLS and list(arguments[:1]) == ["-c"] and not init
