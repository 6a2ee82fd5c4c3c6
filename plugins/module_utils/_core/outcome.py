# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one form in which every module returns what it saw and did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Iterable, Mapping, Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    PLANNED,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact_tree
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

# Ansible carries up to about 100 KB a task and host without cost; beyond it the controller slows down.
RESULT_BYTES = 90_000

# Keys that Ansible itself reads from a result: a domain that used one would change what the task means.
ANSIBLE_KEYS = frozenset(
    ("results", "warnings", "failed", "skipped", "exception", "stdout", "stderr", "rc", "ansible_facts", "diff", "msg")
)


@dataclass(frozen=True)
class Outcome:
    """What one module call, or one check of a checkup, found and did.

    ``examined`` names every object that was looked at (tables, files, certificates, services), healthy ones too: an
    outcome that examined nothing and found nothing is ``unknown``. ``extra`` holds the lists of records that the
    domain adds under its own key.
    """

    domain: str
    examined: Sequence[str]
    findings: Sequence[Finding]
    observed_at: datetime
    actions: Sequence[Action] = ()
    metrics: Sequence[Metric] = ()
    seconds: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stolen = ANSIBLE_KEYS & set(self.extra)
        if stolen:
            raise ValueError(f"keys that belong to Ansible in the outcome of {self.domain}: {sorted(stolen)}")
        if not self.examined and not self.findings:
            object.__setattr__(self, "findings", (self._nothing_examined(),))
        stamp = rfc3339(self.observed_at)
        object.__setattr__(self, "findings", tuple(finding.observed(stamp) for finding in self.findings))

    def _nothing_examined(self) -> Finding:
        return Finding(
            code=f"{self.domain}.nothing_examined",
            subject=self.domain,
            severity=Severity.UNKNOWN,
            message=f"Nothing was examined: the {self.domain} check was given no object, or found none.",
            remedy="Name what lives on this host in its inventory variable, or skip the task for this host.",
        )

    @property
    def changed(self) -> bool:
        """True when at least one step was done (in check mode: would be done)."""
        return any(action.status in (DONE, PLANNED) for action in self.actions)

    @property
    def objects(self) -> dict[str, Severity]:
        """Every object with the worst severity that a finding gave it."""
        worst = dict.fromkeys(self.examined, Severity.OK)
        for finding in self.findings:
            worst[finding.subject] = max(finding.severity, worst.get(finding.subject, Severity.OK))
        return worst

    @property
    def worst(self) -> Severity:
        return max(self.objects.values(), default=Severity.UNKNOWN)

    def as_result(self, limit: int = RESULT_BYTES) -> dict[str, Any]:
        """Return plain JSON types of at most about *limit* bytes, without secrets, worst findings first."""
        result: dict[str, Any] = {
            "changed": self.changed,
            "summary": {
                "worst": self.worst.word,
                "counts": count_by_severity(self.objects.values()),
                "seconds": round(self.seconds, 3),
            },
            "findings": [finding.as_dict() for finding in worst_first(self.findings)],
            "actions": [action.as_dict() for action in self.actions],
            "metrics": [metric.as_dict() for metric in self.metrics],
            **self.extra,
        }
        redacted: dict[str, Any] = redact_tree(result)
        return cap(redacted, limit)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (-finding.severity, finding.code, finding.subject))


def count_by_severity(severities: Iterable[Severity]) -> dict[str, int]:
    """Return ``{ok, info, warning, unknown, critical}``, every word present, how often each occurs."""
    counts = {severity.word: 0 for severity in Severity}
    for severity in severities:
        counts[severity.word] += 1
    return counts


def cap(result: dict[str, Any], limit: int) -> dict[str, Any]:
    """Shorten the lists of *result* until it fits in *limit* bytes; say in ``truncated`` how many entries went.

    The longest list loses its tail first. Findings stand worst first, so that the worst survive; ``summary`` still
    counts everything.
    """
    lists = {key: [len(json.dumps(entry)) + 2 for entry in value] for key, value in result.items() if _is_list(value)}
    fixed = len(json.dumps({key: value for key, value in result.items() if key not in lists}))
    excess = fixed + sum(map(sum, lists.values())) - limit
    kept = {key: len(sizes) for key, sizes in lists.items()}
    weight = {key: sum(sizes) for key, sizes in lists.items()}
    while excess > 0 and any(kept.values()):
        heaviest = max(weight, key=lambda key: weight[key])
        kept[heaviest] -= 1
        size = lists[heaviest][kept[heaviest]]
        weight[heaviest] -= size
        excess -= size
    truncated = {key: len(lists[key]) - count for key, count in kept.items() if count < len(lists[key])}
    if not truncated:
        return result
    shortened = {key: value[: kept[key]] if key in kept else value for key, value in result.items()}
    shortened["truncated"] = truncated
    return shortened


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
