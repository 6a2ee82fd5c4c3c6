# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all judgements share: how a problem is put into words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Limits,
    Problem,
    Snapshot,
    Unseen,
    Verdict,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_QUOTED_NAME = re.compile(r'"(?:[^"]|"")*"')

# How many findings of one part and place are told one by one; the others are counted in one more.
TOLD = 20
# How many items and statements a part keeps in `checks`; all findings have theirs.
KEPT_ITEMS = 5


def problem(
    code: str,
    subject: str,
    severity: Severity,
    message: str,
    evidence: Mapping[str, Any] | None = None,
    advice: str = "",
    sql: str = "",
) -> Problem:
    """Return a problem whose remedy is *advice* (else that of its code) and the statement *sql* to paste."""
    sql = pasteable(sql)
    remedy = f"{advice or CODES[code].remedy} {sql}".strip()
    return Problem(Finding(code, subject, severity, message, evidence or {}, remedy), sql)


def not_seen(part: str, subject: str, seen: Unseen) -> Problem:
    message = f"Not seen: {part}; {seen.reason}."
    remedy = f"{seen.remedy} {seen.sql}".strip()
    return Problem(Finding(seen.code, subject, seen.severity, message, seen.evidence, remedy), seen.sql)


def told(problems: Sequence[Problem], subject: str, total: int | None = None) -> tuple[Problem, ...]:
    """Return the worst *problems*, and one that counts those beyond: of *total*, where more were not even listed."""
    problems = sorted(problems, key=lambda each: -each.finding.severity)
    beyond = max(len(problems), total or 0) - min(len(problems), TOLD)
    shown = tuple(problems[:TOLD])
    if not beyond or not shown:
        return shown
    last = shown[-1].finding
    message = f"{subject} has {beyond} more of these; {min(len(problems), TOLD)} are told one by one."
    more = Finding(last.code, subject, last.severity, message, {"more": beyond}, "Mend those that are told first.")
    return (*shown, Problem(more))


def counted(count: int, noun: str) -> str:
    """``1 table``, ``2 tables``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def percents(limits: Limits) -> str:
    return f"warning at {limits.warning * 100:g} %, critical at {limits.critical * 100:g} %"


def sizes(limits: Limits) -> str:
    return f"warning at {format_size(limits.warning)}, critical at {format_size(limits.critical)}"


def times(limits: Limits) -> str:
    return f"warning at {format_duration(limits.warning)}, critical at {format_duration(limits.critical)}"


def literal(text: str) -> str:
    """Return *text* as a literal of SQL, on one line."""
    escaped = _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text.replace("\\", "\\\\"))
    quoted = "'" + escaped.replace("'", "''") + "'"
    return f"E{quoted}" if escaped != text else quoted


def pasteable(sql: str) -> str:
    r"""Return *sql* on one line: a quoted name with a line break in it is written as ``U&"a\000ab"``."""
    return _QUOTED_NAME.sub(_unicode_name, sql)


def _unicode_name(match: re.Match[str]) -> str:
    name = match.group()
    if not _CONTROL.search(name):
        return name
    return "U&" + _CONTROL.sub(lambda found: f"\\{ord(found.group()):04x}", name.replace("\\", "\\\\"))


def metric(snapshot: Snapshot, name: str, value: float, unit: str, **labels: str) -> Metric:
    return Metric(name, value, unit, {"cluster": snapshot.label, **labels})


def combined(verdicts: Iterable[Verdict]) -> Verdict:
    """Return one verdict of those on several places: all problems and items, and the value of each place."""
    several = list(verdicts)
    return Verdict(
        value=_joined([verdict.value for verdict in several]),
        threshold=next((verdict.threshold for verdict in several if verdict.threshold is not None), None),
        items=tuple(item for verdict in several for item in verdict.items),
        problems=tuple(each for verdict in several for each in verdict.problems),
        metrics=tuple(each for verdict in several for each in verdict.metrics),
    )


def _joined(values: Sequence[Any]) -> Any:
    """Counts of several databases make a sum; what is no number is that of the first."""
    numbers = [value for value in values if isinstance(value, (int, float))]
    if numbers:
        return sum(numbers)
    return next((value for value in values if value is not None), None)
