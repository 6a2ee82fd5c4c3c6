# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which indexes are built anew or dropped, why, and in which order. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import is_exact, matches
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    DROP,
    REBUILD,
    Index,
    Plan,
    Policy,
    Reason,
    Skip,
    Snapshot,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.sql import UNSAFE_MINORS

# What REINDEX CONCURRENTLY calls the index that it builds, and the one that it has replaced. The name of the index
# comes before, shortened to what 63 bytes leave; a digit follows when the name is taken.
_LEFTOVER = re.compile(r"(?P<name>.*)_cc(?:new|old)[0-9]*\Z", re.DOTALL)
_LONGEST_NAME = 63
TRUSTED = ("high", "medium")
_RANKS = {"leftover": 0, "invalid": 1, "bloat": 2, "always": 3}


def plan(snapshot: Snapshot, policy: Policy) -> Plan:
    """Return what to do, in order of use, and for every other considered index why nothing is done."""
    leftovers = leftovers_of(snapshot.indexes)
    steps, skipped, healthy = [], [], []
    for index in considered(snapshot, policy, leftovers):
        estimate = snapshot.estimates.get(index.oid)
        if index.temporary:
            skipped.append(Skip(index, "temporary"))
            continue
        action, reasons = _wanted(index, estimate, leftovers.get(index.oid), policy)
        if not reasons:
            why = _no_candidate(index, estimate, policy)
            if why:
                skipped.append(Skip(index, why, (), estimate, estimate.why if estimate else _why_unmeasured(index)))
            else:
                healthy.append(index)
            continue
        why = _in_the_way(index, action, reasons[0], policy, snapshot.version)
        if why:
            skipped.append(Skip(index, why, reasons, estimate))
            continue
        look_again = reasons[0].code == "bloat" and index.stale and _is_guess(estimate)
        steps.append(Step(index, action, reasons, estimate, look_again, leftovers.get(index.oid)))
    return Plan(tuple(sorted(steps, key=_order)), tuple(skipped), tuple(healthy))


# --- which indexes


def considered(snapshot: Snapshot, policy: Policy, leftovers: Mapping[int, Index]) -> list[Index]:
    """Return the indexes that the filters leave.

    What belongs to a partitioned table, or is part of a partitioned index, is meant when that one is named; and so is
    what an interrupted rebuild of an index left.
    """
    chosen = []
    for index in snapshot.indexes:
        if index.catalog and not policy.include_catalogs:
            continue
        if index.shared and not snapshot.first:
            # Shared catalogs are the same in every database.
            continue
        # Of a partitioned index there is nothing to rebuild; it counts where it is invalid.
        if index.partitioned and index.valid:
            continue
        if policy.schemas and not matches(index.table_schema, policy.schemas):
            continue
        if matches(index.table_schema, policy.exclude_schemas):
            continue
        tables = _line((index.table_schema, index.table), index.home_oid, snapshot)
        own = _line((index.schema, index.name), index.oid, snapshot)
        if index.toast:
            own.append(("pg_toast", index.name))
        if index.oid in leftovers:
            own.append((leftovers[index.oid].schema, leftovers[index.oid].name))
        if policy.tables and not _named(tables, policy.tables):
            continue
        if policy.indexes and not _named(own, policy.indexes):
            continue
        if _named(tables, policy.exclude_tables) or _named(own, policy.exclude_indexes):
            continue
        chosen.append(index)
    return chosen


def unknown_names(snapshots: Iterable[Snapshot], policy: Policy) -> list[str]:
    """Return the schemas, tables and indexes of *policy* that are named exactly and are in none of the databases."""
    listed = list(snapshots)
    schemas = {name for snapshot in listed for name in snapshot.schemas}
    tables = {name for snapshot in listed for name in snapshot.tables}
    indexes = {(index.schema, index.name) for snapshot in listed for index in snapshot.indexes}
    indexes |= {("pg_toast", index.name) for snapshot in listed for index in snapshot.indexes if index.toast}
    unknown = [f"schema {name}" for name in policy.schemas if is_exact(name) and name not in schemas]
    for kind, patterns, known in (("table", policy.tables, tables), ("index", policy.indexes, indexes)):
        written = {name for _schema, name in known} | {f"{schema}.{name}" for schema, name in known}
        unknown += [f"{kind} {name}" for name in patterns if is_exact(name) and name not in written]
    return unknown


def _line(own: tuple[str, str], oid: int, snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the names of the table or index and of what it is a part of, directly or not."""
    names = [own]
    above = snapshot.parents.get(oid)
    while above is not None:
        if above in snapshot.partitioned:
            names.append(snapshot.partitioned[above])
        above = snapshot.parents.get(above)
    return names


def _named(names: Iterable[tuple[str, str]], patterns: Sequence[str]) -> bool:
    return bool(patterns) and any(
        matches(name, patterns) or matches(f"{schema}.{name}", patterns) for schema, name in names
    )


# --- what a rebuild that was interrupted has left


def leftovers_of(indexes: Iterable[Index]) -> dict[int, Index]:
    """Return, by oid, what interrupted rebuilds left, each with the index that it is a copy of.

    The name alone proves nothing: a person may call an index anything. It is one when it is invalid, belongs to no
    constraint or partitioned index, and the same table has a valid index of the same shape; or an invalid one of the
    same shape whose very name it has.
    """
    alike: dict[tuple[int, str], list[Index]] = {}
    for index in indexes:
        if index.shape and not index.partitioned:
            alike.setdefault((index.table_oid, index.shape), []).append(index)
    found = {}
    for members in alike.values():
        for index in members:
            twin = _twin_of(index, members)
            if twin is not None:
                found[index.oid] = twin
    return found


def _twin_of(index: Index, members: Iterable[Index]) -> Index | None:
    if index.valid or index.constraint or index.marked or not _LEFTOVER.match(index.name):
        return None
    valid = [other for other in members if other.valid]
    named = [other for other in members if other is not index and is_copy_name(index.name, other.name)]
    # The name tells which of several it is, where the twin was not renamed meanwhile.
    return next((other for other in (*(one for one in named if one.valid), *valid, *named)), None)


def is_copy_name(name: str, original: str) -> bool:
    """Whether the server would call a copy of the index *original* so: shortened to 63 bytes, never inside a letter."""
    match = _LEFTOVER.match(name)
    if match is None:
        return False
    begin = match.group("name")
    if begin == original:
        return True
    cut = _LONGEST_NAME - len(name[len(begin) :].encode())
    return len(original.encode()) > cut and original.encode()[:cut].decode(errors="ignore") == begin


# --- what they need


def _wanted(
    index: Index, estimate: Estimate | None, twin: Index | None, policy: Policy
) -> tuple[str, tuple[Reason, ...]]:
    if twin is not None:
        return DROP, (Reason("leftover", f"it is invalid, left by an interrupted rebuild of {twin.title}"),)
    if not index.valid:
        return policy.invalid if policy.invalid == DROP else REBUILD, (Reason("invalid", _INVALID),)
    if policy.always:
        return REBUILD, (Reason("always", "asked for"),)
    return REBUILD, bloat_reasons(index, estimate, policy)


_INVALID = "it is invalid: no query uses it, and every write pays for it"


def bloat_reasons(index: Index, estimate: Estimate | None, policy: Policy) -> tuple[Reason, ...]:
    """Return why an index with this *estimate* needs to be built anew; nothing when it does not."""
    if estimate is None or index.bytes is None or index.bytes < policy.min_size:
        return ()
    # What is doubtful only because its statistics are stale is looked at again after an ANALYZE.
    if estimate.ratio < policy.bloat_ratio or not (is_trusted(estimate) or index.stale):
        return ()
    if estimate.confidence == "none":
        return ()
    sizes = f"{format_size(estimate.bloat_bytes)} of {format_size(estimate.bytes)}"
    text = f"{sizes} are bloat, a share of {estimate.ratio:.3f} (limit {policy.bloat_ratio:.4g}, {estimate.method})"
    return (Reason("bloat", text),)


def is_trusted(estimate: Estimate) -> bool:
    return estimate.confidence in TRUSTED


def _is_guess(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.method == "estimate"


def _no_candidate(index: Index, estimate: Estimate | None, policy: Policy) -> str:
    """Return why an index that shows no need is no candidate; empty when it is simply well."""
    if policy.always or (index.bytes is not None and index.bytes < policy.min_size):
        return ""
    return "unmeasured" if estimate is None or not is_trusted(estimate) else ""


def _why_unmeasured(index: Index) -> str:
    return "another session has it locked" if index.bytes is None else ""


def _in_the_way(index: Index, action: str, reason: Reason, policy: Policy, version: int) -> str:
    """Return the key of ``SKIP_REASONS`` for which this work is not done; empty when nothing is in the way."""
    if index.partitioned:
        return "partitioned"
    if reason.code in ("leftover", "invalid") and policy.invalid == "report":
        return "reported"
    if index.building:
        return "building"
    if action == DROP:
        if index.constraint or index.marked:
            return "constraint"
        return "" if index.droppable else _forbidden(index)
    if not index.permitted:
        return _forbidden(index)
    if policy.concurrently and (index.catalog or index.exclusion):
        return "not_concurrently"
    if policy.concurrently and policy.skip_unsafe_minor and version in UNSAFE_MINORS:
        return "unsafe_minor"
    return "max_size" if policy.max_size is not None and index.size > policy.max_size else ""


def _forbidden(index: Index) -> str:
    if index.catalog:
        return "permission_catalog"
    return "permission_toast" if index.toast else "permission"


def _order(step: Step) -> tuple[int, int, int, str]:
    """Leftovers first, which cost every write and free space at once; then what helps most, the largest first."""
    freed = step.estimate.bloat_bytes if step.estimate and step.reasons[0].code == "bloat" else 0
    return _RANKS[step.reasons[0].code], -freed, -step.index.size, step.index.sql_name


# --- the second look, and who may work side by side


def after_analyze(
    steps: Iterable[Step], indexes: Mapping[int, Index], estimates: Mapping[int, Estimate], policy: Policy
) -> tuple[list[Step], list[Step]]:
    """Return the steps that fresh statistics still ask for, and those that they do not.

    *indexes* and *estimates* are of after the ANALYZE, by oid; an index that is gone is left for its turn to show.
    """
    kept: list[Step] = []
    dropped: list[Step] = []
    for step in steps:
        index, estimate = indexes.get(step.index.oid), estimates.get(step.index.oid, step.estimate)
        if not step.look_again or index is None:
            kept.append(step)
            continue
        # What changed while we looked is no reason for a third look.
        reasons = bloat_reasons(replace(index, modified=0), estimate, policy)
        (kept if reasons else dropped).append(replace(step, reasons=reasons or step.reasons, estimate=estimate))
    return kept, dropped


def phases(steps: Sequence[Step], concurrently: bool) -> tuple[list[list[Step]], list[list[Step]]]:
    """Return the work as units, each the steps of one table in order: those for several connections, then the rest.

    Two rebuilds on one table would deadlock. Every concurrent rebuild waits for the snapshot of one whose index has
    an expression or a condition (14 to 18; those of plain columns wait for nobody), so these are the rest: one by one.
    """
    together: dict[int, list[Step]] = {}
    alone: dict[int, list[Step]] = {}
    for step in steps:
        apart = concurrently and step.action == REBUILD and not step.index.simple
        (alone if apart else together).setdefault(step.index.table_oid, []).append(step)
    return list(together.values()), list(alone.values())
