# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words every domain uses to say what it saw and what it did."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


class Severity(enum.IntEnum):
    """How bad one finding is. ``UNKNOWN`` outranks ``WARNING``: not being able to verify is not fine."""

    OK = 0
    INFO = 1
    WARNING = 2
    UNKNOWN = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The severity as results carry it: ``ok``, ``info``, ``warning``, ``unknown`` or ``critical``."""
        return self.name.lower()

    def __str__(self) -> str:
        # Without this an f-string shows a number on one Python and a name on another.
        return self.word

    @classmethod
    def from_word(cls, word: str) -> Severity:
        """Return the severity called *word*; raise ``KeyError`` for any other text."""
        return cls[word.upper()]


SEVERITY_WORDS = tuple(severity.word for severity in Severity)


@dataclass(frozen=True)
class Code:
    """The dictionary entry of a finding code: what it means and what to do, for the documentation."""

    meaning: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One judgement about one object.

    ``code`` is a stable slug (``pg.bloat_high``), ``subject`` names the object, ``message`` is one sentence with the
    numbers and the threshold, ``evidence`` holds the measured values, ``remedy`` is the command to run or the step to
    take. ``observed_at`` is RFC 3339 UTC and is filled in by the outcome; ``task`` by the run that asked.
    """

    code: str
    subject: str
    severity: Severity
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    observed_at: str = ""
    task: str = ""

    def observed(self, instant: str) -> Finding:
        """Return the finding stamped with *instant*, unless it carries a stamp already."""
        return self if self.observed_at else replace(self, observed_at=instant)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``findings``; ``task`` is there only when set."""
        plain: dict[str, Any] = {
            "code": self.code,
            "subject": self.subject,
            "severity": self.severity.word,
            "message": self.message,
            "evidence": dict(self.evidence),
            "remedy": self.remedy,
            "observed_at": self.observed_at,
        }
        if self.task:
            plain["task"] = self.task
        return plain


PLANNED, DONE, SKIPPED, FAILED = "planned", "done", "skipped", "failed"


@dataclass(frozen=True)
class Action:
    """One step that was planned, done, skipped (with the reason) or failed. ``seconds`` is wall time.

    Raises ``ValueError`` for any other status.
    """

    id: str
    description: str
    status: str
    reason: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.status not in (PLANNED, DONE, SKIPPED, FAILED):
            raise ValueError(f"an action cannot be {self.status!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``actions``."""
        return {
            "id": self.id,
            "description": self.description,
            "status": self.status,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Metric:
    """One number worth keeping: ``value`` in ``unit`` (``bytes``, ``seconds``, ``ratio``, ``count``)."""

    name: str
    value: float
    unit: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``metrics``."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "labels": dict(self.labels)}
