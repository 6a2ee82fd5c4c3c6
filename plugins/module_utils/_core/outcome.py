# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one form in which every module returns what it saw and did."""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    PLANNED,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import to_plain
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact_tree
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

# Ansible carries up to about 100 KB a task and host without cost; beyond it the controller slows down.
RESULT_BYTES = 90_000

# Only when a result is too large: an entry beyond this is shortened itself before whole entries are left out.
ENTRY_BYTES = 8_000

# Keys that Ansible itself reads from a result: a domain that used one would change what the task means.
ANSIBLE_KEYS = frozenset(
    (
        "ansible_facts",
        "ansible_stats",
        "attempts",
        "deprecations",
        "diff",
        "exception",
        "failed",
        "invocation",
        "msg",
        "rc",
        "results",
        "retries",
        "skipped",
        "stderr",
        "stderr_lines",
        "stdout",
        "stdout_lines",
        "unreachable",
        "warnings",
    )
)

# Keys of the common form: a domain that used one would hide what was found.
COMMON_KEYS = frozenset(("changed", "summary", "findings", "actions", "metrics", "truncated"))

_MEASURE = json.JSONEncoder(default=str, skipkeys=True)


@dataclass(frozen=True)
class Outcome:
    """What one module call, or one check of a checkup, found and did.

    ``examined`` names every object that was looked at (tables, files, certificates, services), healthy ones too. An
    outcome that examined nothing is ``unknown``: unless a finding says so already, ``<domain>.nothing_examined`` is
    added. ``seconds`` is wall time. ``extra`` holds the lists of records that the domain adds under its own keys.

    Raises ``ValueError`` when ``extra`` uses a key of Ansible or of the common form.
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
        stolen = (ANSIBLE_KEYS | COMMON_KEYS) & set(self.extra)
        if stolen:
            raise ValueError(f"keys that are not free in the outcome of {self.domain}: {sorted(stolen)}")
        for name in ("examined", "findings", "actions", "metrics"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.examined and all(finding.severity < Severity.UNKNOWN for finding in self.findings):
            object.__setattr__(self, "findings", (*self.findings, self._nothing_examined()))
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
        """The worst severity of all objects."""
        return max(self.objects.values())

    def as_result(self, limit: int = RESULT_BYTES) -> dict[str, Any]:
        """Return plain JSON types of at most *limit* bytes, without secrets, worst findings first.

        Raises ``TypeError``, naming the place, when evidence or extra holds what JSON does not have.
        """
        objects = self.objects
        result: dict[str, Any] = {
            "changed": self.changed,
            "summary": {
                "worst": max(objects.values()).word,
                "counts": count_by_severity(objects.values()),
                "seconds": round(self.seconds, 3),
            },
            "findings": [finding.as_dict() for finding in worst_first(self.findings)],
            "actions": [action.as_dict() for action in self.actions],
            "metrics": [metric.as_dict() for metric in self.metrics],
            **self.extra,
        }
        return _fit(result, limit, lambda part: redact_tree(to_plain(part)))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return *findings* by severity, then code, then subject."""
    return sorted(findings, key=lambda finding: (-finding.severity, finding.code, finding.subject))


def count_by_severity(severities: Iterable[Severity]) -> dict[str, int]:
    """Return ``{ok, info, warning, unknown, critical}``, every word present, how often each occurs."""
    counts = {severity.word: 0 for severity in Severity}
    for severity in severities:
        counts[severity.word] += 1
    return counts


def cap(result: dict[str, Any], limit: int) -> dict[str, Any]:
    """Shorten *result* (plain JSON types, already redacted) until it fits in *limit* bytes of JSON.

    When it is too large, entries of more than ``ENTRY_BYTES`` lose the tails of their texts and lists; then the
    longest lists lose their tails. Findings stand worst first, so that the worst survive; ``summary`` still counts
    everything. ``truncated`` says how many entries of which list are missing. A result that fits is returned as it is.
    """
    return _fit(result, limit, lambda part: part)


def _fit(result: dict[str, Any], limit: int, prepare: Callable[[Any], Any]) -> dict[str, Any]:
    """Do what ``cap`` says. *prepare* makes a part plain and free of secrets; it sees only what may be kept.

    A text is cut only after it was prepared: half a secret has no form by which it could be recognised.
    """
    given = {key: value for key, value in result.items() if isinstance(value, (list, tuple))}
    rest: dict[str, Any] = prepare({key: value for key, value in result.items() if key not in given})
    heads = {key: _head(value, 2 * limit) for key, value in given.items()}
    lists: dict[str, list[Any]] = {key: list(entries) for key, entries in prepare(heads).items()}
    sizes = {key: [_size(entry) for entry in entries] for key, entries in lists.items()}
    whole = all(len(entries) == len(given[key]) for key, entries in lists.items())
    empty: dict[str, list[Any]] = {key: [] for key in lists}
    if whole and _size({**rest, **empty}) + sum(map(sum, sizes.values())) <= limit:
        return _in_order(result, {**rest, **lists})

    entry_limit = min(ENTRY_BYTES, limit // 4)
    for key, entries in lists.items():
        for index, size in enumerate(sizes[key]):
            if size > entry_limit:
                entries[index] = _shorten_to(entries[index], entry_limit)
                sizes[key][index] = _size(entries[index])
    rest = _shorten_to(rest, limit // 2)
    frame = {**rest, **empty, "truncated": dict.fromkeys(lists, 10**9)}
    kept = _level(sizes, limit - _size(frame))
    shortened = _in_order(result, {**rest, **{key: entries[: kept[key]] for key, entries in lists.items()}})
    truncated = dict(rest.get("truncated", {}))  # what an earlier call left out
    for key in lists:
        if kept[key] < len(given[key]):
            truncated[key] = truncated.get(key, 0) + len(given[key]) - kept[key]
    return {**shortened, "truncated": truncated} if truncated else shortened


def _in_order(result: Mapping[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """Return *parts* with their keys where *result* has them."""
    ordered = {key: parts[key] for key in result if key in parts}
    return {**ordered, **parts}


def _head(entries: Sequence[Any], limit: int) -> Sequence[Any]:
    """Return as many first *entries* as can matter: those within *limit* bytes, and one more."""
    total = 0
    for index, entry in enumerate(entries):
        if total > limit:
            return entries[:index]
        total += _size(entry)
    return entries


def _size(value: Any) -> int:
    """Return the bytes of *value* within a list in JSON as ``exit_json`` writes it."""
    return len(_MEASURE.encode(value)) + 2


def _level(sizes: Mapping[str, Sequence[int]], room: int) -> dict[str, int]:
    """Return how many entries of each list fit in *room* bytes together, cutting the heaviest lists to one level."""
    ends = {key: list(itertools.accumulate(weights)) for key, weights in sizes.items()}

    def kept_below(level: int) -> dict[str, int]:
        return {key: bisect.bisect_right(heads, level) for key, heads in ends.items()}

    low, high = 0, max(0, room)
    while low < high:
        level = (low + high + 1) // 2
        if sum(ends[key][count - 1] for key, count in kept_below(level).items() if count) <= room:
            low = level
        else:
            high = level - 1
    return kept_below(low)


def _shorten_to(value: Any, limit: int) -> Any:
    """Return *value* of at most about *limit* bytes: ever fewer letters of each text and entries of each list."""
    shortened = value
    for letters, entries in ((2000, 50), (500, 20), (150, 5), (40, 1)):
        if _size(shortened) <= limit:
            break
        shortened = _shorten(value, letters, entries)
    return shortened


def _shorten(value: Any, letters: int, entries: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= letters else f"{value[:letters]}… ({len(value) - letters} more characters)"
    if isinstance(value, (list, tuple)):
        return [_shorten(entry, letters, entries) for entry in value[:entries]]
    if not isinstance(value, dict):
        return value
    # A record keeps its keys; only a mapping that is a long list in disguise loses some.
    kept = dict(itertools.islice(value.items(), max(entries, 20)))
    shortened = {key: _shorten(entry, letters, entries) for key, entry in kept.items()}
    left_out = {
        key: len(entry) - len(shortened[key])
        for key, entry in kept.items()
        if isinstance(entry, (list, tuple)) and len(entry) > entries
    }
    if len(value) > len(kept):
        left_out["keys"] = len(value) - len(kept)
    if left_out:
        shortened.setdefault("truncated", left_out)
    return shortened
