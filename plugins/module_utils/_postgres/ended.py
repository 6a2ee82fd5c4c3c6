# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every job on a cluster ends: its result with what was left out of it, and why the task fails. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    SKIPPED,
    Finding,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import quote_name

NAMED = 10
NOTHING_EXAMINED = "pg.nothing_examined"
ALL_LEFT = "nothing that needs work there could be worked on"


@dataclass(frozen=True)
class Ended:
    """The whole run: the outcome, why the task fails (empty when it does not), and the states for diff mode."""

    outcome: Outcome
    truncated: Mapping[str, int]
    failure: str
    before: str
    after: str

    def as_result(self) -> dict[str, Any]:
        """Return the result of the module, and in ``truncated`` all that was left out of it."""
        result = self.outcome.as_result()
        truncated = dict(self.truncated)
        for key, count in result.get("truncated", {}).items():
            truncated[key] = truncated.get(key, 0) + count
        return {**result, "truncated": truncated} if truncated else result


class Told(Protocol):
    """What became of one table or index. ``why`` says for which reason it was left, ``message`` says it in words."""

    @property
    def subject(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def why(self) -> str: ...

    @property
    def message(self) -> str: ...


Record = TypeVar("Record", bound=Told)


def shortened(first: Sequence[Record], second: Sequence[Record], most: int) -> list[Record]:
    """Return at most *most* records of both lists; neither pushes the other out."""
    kept = list(first[: max(most // 2, most - len(second))])
    return kept + list(second[: most - len(kept)])


def failures(records: Iterable[Told], fail_on_skipped: frozenset[str], reasons: Mapping[str, str]) -> list[str]:
    """Return why the task fails, a sentence for each cause. *reasons* has the words for what may be skipped."""
    listed = list(records)
    sentences = []
    failed = [record for record in listed if record.status == FAILED]
    if failed:
        sentences.append(f"Failed: {names_of(failed)} ({failed[0].message}).")
    for why in sorted(fail_on_skipped):
        skipped = [record for record in listed if record.status == SKIPPED and record.why == why]
        if skipped:
            sentences.append(f"Skipped: {names_of(skipped)} ({reasons.get(why, why)}).")
    return sentences


def status_of(numbers: Mapping[str, Any], why: str = "", lost: bool = False) -> str:
    """Return what became of a database with these totals. *why* it was left, or whether the server was *lost* there."""
    if why:
        return SKIPPED
    if lost or numbers["failed"]:
        return FAILED
    if numbers["planned"]:
        return PLANNED
    return SKIPPED if is_all_left(numbers) else DONE


def is_all_left(numbers: Mapping[str, Any]) -> bool:
    """Whether work was due and none could be done."""
    worked_on = ("planned", "done", "partial", "failed")
    return bool(numbers["skipped"]) and not any(numbers.get(status) for status in worked_on)


class Place(Protocol):
    """A database of a run. ``why`` it was left, and what ``filters`` choose among what is there."""

    @property
    def name(self) -> str: ...

    @property
    def why(self) -> str: ...

    @property
    def filters(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Left:
    """A database that was left, and why."""

    name: str
    why: str
    filters: tuple[str, ...] = ()


def unexamined(label: str, what: str, places: Sequence[Place], found: Iterable[Finding]) -> list[Finding]:
    """Return the finding of a run that met no *what* ("table") at all, unless *found* says already that it is blind."""
    if any(finding.severity >= Severity.UNKNOWN for finding in found):
        return []
    looked = [one for one in places if not one.why]
    evidence = {one.name: one.why for one in places[:NAMED]}
    if looked:
        patterns = dict.fromkeys(pattern for one in looked for pattern in one.filters)
        message = f"no {what} of {_listed(quote_name(one.name) for one in looked)} is chosen by {_listed(patterns)}"
        remedy = f"Correct the names and patterns that choose the {what}, or leave them out."
    elif places:
        left = ", ".join(f"{one_line(quote_name(one.name))} ({one.why})" for one in places[:NAMED])
        message = f"every database was left: {left}"
        remedy = "Let the role into those that matter (GRANT CONNECT ON DATABASE), or correct databases."
    else:
        message = "no database is chosen by databases"
        remedy = "Correct databases; `psql -l` lists what there is."
    message = f"{label}: nothing was examined, because {message}."
    return [Finding(NOTHING_EXAMINED, label, Severity.UNKNOWN, message, {"databases": evidence}, remedy)]


def _listed(names: Iterable[str]) -> str:
    each = [one_line(name) for name in names]
    return ", ".join(each[:NAMED]) if len(each) <= NAMED else f"{', '.join(each[:NAMED])} and {len(each) - NAMED} more"


def names_of(records: Sequence[Told]) -> str:
    """Return the first subjects, and how many more there are."""
    return _listed(record.subject for record in records)
