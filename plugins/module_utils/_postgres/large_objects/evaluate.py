# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what was found in the databases and done about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.apply import (
    CHANGED,
    FAILED,
    LOCK,
    REFERENCED,
    STILL_THERE,
    STOPPED,
    TIME_LIMIT,
    WRITERS,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    ABSENT,
    PLANNED,
    REFUSED,
    UNKNOWN,
    Look,
    Options,
    Orphans,
    Record,
    Unlinked,
)

_LISTED = 10
# Why objects were left that the next run will see to.
_FOR_NEXT = {
    TIME_LIMIT: "the time limit was over",
    LOCK: "somebody else held them",
    CHANGED: "they changed or went meanwhile",
    REFERENCED: "something refers to them by now",
}


def evaluate(record: Record, options: Options) -> list[Finding]:
    """Return the findings about one database."""
    look = record.look
    if look is None:
        return []
    found: list[Finding] = []
    if look.trouble:
        found.append(_unseen(look))
    orphans = look.orphans
    if orphans is None or not orphans.count:
        return found
    if look.hits:
        found.append(_maybe_referenced(look, options))
    if record.unlinked is not None:
        found += _of_work(look, record.unlinked, orphans, options)
    elif record.status == PLANNED:
        found.append(_removable(look, orphans, record.planned))
    else:
        found.append(_orphaned(look, orphans))
    if options.state == ABSENT:
        found += _of_the_others(look, orphans, options)
    return found


def _unseen(look: Look) -> Finding:
    orphans = look.orphans
    most = f"; at most {orphans.count} of {orphans.total} are without a reference" if orphans else ""
    return Finding(
        "pg.large_objects_unseen",
        look.subject,
        Severity.UNKNOWN,
        f"Which large objects in {look.subject} nothing refers to is not known: {look.trouble}{most}.",
        {
            "hidden_columns": [column.title for column in look.hidden[:_LISTED]],
            "hidden": len(look.hidden),
            "orphans_at_most": orphans.count if orphans else None,
            "objects": orphans.total if orphans else None,
        },
        look.remedy,
    )


def _orphaned(look: Look, orphans: Orphans) -> Finding:
    size = "" if orphans.bytes is None else f", {format_size(orphans.bytes)}"
    if orphans.measured and orphans.measured < orphans.count:
        size += f" in the first {orphans.measured}"
    return Finding(
        "pg.large_objects_orphaned",
        look.subject,
        Severity.WARNING,
        f"Nothing refers to {orphans.count} of {orphans.total} large objects in {look.subject}{size}.",
        {
            "orphans": orphans.count,
            "objects": orphans.total,
            "bytes": orphans.bytes,
            "measured": orphans.measured,
            "oldest": list(orphans.oldest),
            "reference_columns": [column.title for column in look.references[:_LISTED]],
        },
        "When the application keeps their numbers in columns of type oid or lo alone, remove them: state absent with "
        "confirm_no_text_references.",
    )


def _maybe_referenced(look: Look, options: Options) -> Finding:
    first = look.hits[0]
    others = f" and {len(look.hits) - 1} more columns" if len(look.hits) > 1 else ""
    among = " among the rows that were looked at" if any(hit.sampled for hit in look.hits) else ""
    refused = ", so nothing was unlinked" if options.state == ABSENT else ""
    return Finding(
        "pg.large_objects_maybe_referenced",
        look.subject,
        Severity.WARNING,
        f"{first.count} values of {first.column.title}{others} equal numbers of large objects without a reference"
        f"{among}{refused}.",
        {
            "columns": [
                {"column": hit.column.title, "count": hit.count, "sampled": hit.sampled}
                for hit in look.hits[: 2 * _LISTED]
            ]
        },
        "Find out whether the application keeps large objects there. If it does, leave them; if the numbers are equal "
        "by chance, name the columns in exclude_columns.",
    )


def _removable(look: Look, orphans: Orphans, planned: int) -> Finding:
    return Finding(
        "pg.large_objects_removable",
        look.subject,
        Severity.INFO,
        f"{planned} large objects in {look.subject} would be unlinked; nothing refers to {orphans.count}.",
        {"planned": planned, "orphans": orphans.count, "bytes": orphans.bytes, "oldest": list(orphans.oldest)},
        "Run the task without check mode.",
    )


def _of_the_others(look: Look, orphans: Orphans, options: Options) -> Iterator[Finding]:
    too_new = orphans.count - orphans.old
    if too_new:
        yield Finding(
            "pg.large_objects_too_new",
            look.subject,
            Severity.INFO,
            f"{too_new} large objects in {look.subject} without a reference are not known to be older than min_age "
            f"({format_duration(options.min_age)}) and were left.",
            {"too_new": too_new, "orphans": orphans.count},
            "Run it again later: from this run on their age is known.",
        )
    not_permitted = orphans.old - orphans.unlinkable
    if not_permitted:
        yield Finding(
            "pg.large_objects_not_permitted",
            look.subject,
            Severity.WARNING,
            f"{not_permitted} large objects in {look.subject} without a reference belong to roles that the role is no "
            "member of.",
            {"not_permitted": not_permitted, "orphans": orphans.count},
            "Let their owner or a superuser run the task.",
        )


def _of_work(look: Look, unlinked: Unlinked, orphans: Orphans, options: Options) -> Iterator[Finding]:
    left = unlinked.left
    stopped = left.get(STOPPED, 0) + left.get(FAILED, 0) + left.get(STILL_THERE, 0)
    if stopped:
        why = unlinked.stopped or "the server still lists what it said to be gone"
        state = f" (SQLSTATE {unlinked.sqlstate})" if unlinked.sqlstate else ""
        yield Finding(
            "pg.large_objects_failed",
            look.subject,
            Severity.UNKNOWN,
            f"{stopped} large objects in {look.subject} could not be unlinked: {why}{state}. {unlinked.removed} were.",
            {"left": dict(left), "removed": unlinked.removed, "sqlstate": unlinked.sqlstate},
            "Mend what the server says, then run it again: it goes on from there.",
        )
    if left.get(WRITERS):
        yield Finding(
            "pg.large_objects_busy",
            look.subject,
            Severity.WARNING,
            f"{left[WRITERS]} large objects in {look.subject} were left: {unlinked.stopped}.",
            {"left": dict(left), "removed": unlinked.removed, "holders": list(unlinked.holders[:_LISTED])},
            "End those transactions, or run it when less is written; raise lock_timeout to wait longer.",
        )
    waiting = {why: left[why] for why in _FOR_NEXT if left.get(why)}
    more = orphans.unlinkable - len(orphans.candidates)
    if waiting or more:
        said = [f"{count} because {_FOR_NEXT[why]}" for why, count in waiting.items()]
        said += [f"{more} because max_objects is {options.max_objects}"] if more else []
        yield Finding(
            "pg.large_objects_left",
            look.subject,
            Severity.INFO,
            f"Large objects in {look.subject} were left: {', '.join(said)}.",
            {"left": {**waiting, **({"max_objects": more} if more else {})}, "removed": unlinked.removed},
            "The next run goes on from there.",
        )


def failure(records: Iterable[Record]) -> str:
    """Return why the task fails, naming databases; empty when it does not. Only what was to be done can fail."""
    sentences = []
    for record in records:
        look = record.look
        if look is None:
            continue
        if record.status == UNKNOWN:
            sentences.append(f"Nothing was unlinked in {look.subject}: {look.trouble}.")
        elif record.status == REFUSED:
            columns = ", ".join(hit.column.title for hit in look.hits[:5])
            sentences.append(f"Nothing was unlinked in {look.subject}: values of {columns} may be references.")
        if record.unlinked is not None and record.unlinked.left.get(STILL_THERE):
            sentences.append(f"Large objects in {look.subject} are still there after they were unlinked.")
        elif record.unlinked is not None and record.unlinked.sqlstate:
            sentences.append(f"Unlinking in {look.subject} ended early: {record.unlinked.stopped}.")
        orphans = look.orphans
        if record.status not in (UNKNOWN, REFUSED) and orphans is not None and orphans.old > orphans.unlinkable:
            count = orphans.old - orphans.unlinkable
            sentences.append(f"{count} large objects in {look.subject} may not be unlinked by the role.")
    return " ".join(sentences)
