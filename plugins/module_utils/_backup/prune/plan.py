# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what becomes of each backup, and whether anything may be removed at all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Keep
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.keeping import Verdict, verdict
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.kinship import kin
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import (
    DEFERRED,
    KEPT,
    REMOVED,
    VERIFIED,
    Candidate,
    Decision,
    Facts,
    Refusal,
    Rules,
    SeriesPlan,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.retention import retained
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

_NAMED = 10
# What speaks against a series whichever of its backups are whole.
BEFOREHAND = ("backup.prune_blind", "backup.prune_overlap", "backup.prune_mixed", "backup.prune_clock")


def judged(facts: Facts, rules: Rules, keep: Keep) -> Verdict:
    """Return what the retention says of the backups of a series, as far as is known which of them are whole."""
    candidates = facts.candidates
    return verdict(
        [one.taken_at for one in candidates],
        [one.state for one in candidates],
        keep,
        rules.keep_verified,
        facts.series.zone,
    )


def plan(facts: Facts, rules: Rules, names_of_series: Sequence[str], now: datetime) -> SeriesPlan:
    """Return what becomes of a series. *names_of_series* are those of all series that are pruned."""
    keep = facts.series.keep
    if keep is None:
        none = Refusal("backup.prune_no_policy", "info", "it has no keep")
        stay = tuple(Decision(one, KEPT, "the series has no keep") for one in facts.candidates)
        return SeriesPlan(facts, stay, none)
    reasons = judged(facts, rules, keep).why
    surplus = [index for index, why in enumerate(reasons) if not why]
    allowed = min(rules.max_remove, max(1, int(rules.share * len(reasons))))
    going = set(surplus[-allowed:])
    decisions = []
    for index, (one, why) in enumerate(zip(facts.candidates, reasons)):
        if why:
            decisions.append(Decision(one, KEPT, why))
        elif index in going:
            decisions.append(Decision(one, REMOVED, f"beyond {said(keep)}, counted in verified backups"))
        else:
            decisions.append(Decision(one, DEFERRED, f"too many, but one run removes {allowed} at most"))
    refusal = _refusal(facts, rules, decisions, names_of_series, now)
    return SeriesPlan(facts, tuple(decisions), refusal, keep)


def said(keep: Keep) -> str:
    """Return *keep* in words: ``daily 30, weekly 4``."""
    return ", ".join(f"{period} {count}" for period, count in vars(keep).items() if count)


def _refusal(
    facts: Facts, rules: Rules, decisions: Sequence[Decision], names_of_series: Sequence[str], now: datetime
) -> Refusal | None:
    """Return why nothing of it may go: what is wrong with the series first, then what only matters if some would."""
    if facts.blind:
        return Refusal("backup.prune_blind", "unknown", facts.blind)
    overlap = _overlap(facts, rules, names_of_series)
    if overlap is not None:
        return overlap
    if facts.ahead:
        return Refusal("backup.prune_clock", "unknown", facts.ahead)
    if not _too_many(facts, rules, decisions):
        return None
    verified = [one.candidate for one in decisions if one.candidate.state == VERIFIED]
    if len(verified) < rules.keep_verified:
        why = (
            f"{len(verified)} of its {len(decisions)} backups are known to be whole, and {rules.keep_verified} must be"
        )
        return Refusal("backup.prune_unproven", "critical", why, {"verified": len(verified)})
    if not any(one.what == REMOVED for one in decisions):
        return None
    age, limit = (now - verified[0].taken_at).total_seconds(), facts.series.critical_age
    if limit and age > limit:
        why = f"its newest verified backup was taken {format_duration(age)} ago (limit {format_duration(limit)})"
        evidence = {"newest_verified": verified[0].path, "age_seconds": round(age), "limit_seconds": limit}
        return Refusal("backup.prune_stale", "critical", why, evidence)
    staying = sum(1 for one in decisions if one.what != REMOVED and one.candidate.state == VERIFIED)
    if staying < facts.series.min_count:
        why = f"{staying} verified backups would stay, and min_count is {facts.series.min_count}"
        return Refusal("backup.prune_too_few", "warning", why, {"staying": staying})
    return None


def _too_many(facts: Facts, rules: Rules, decisions: Sequence[Decision]) -> bool:
    """True when the retention would let go of some, whole or not."""
    if any(one.what != KEPT for one in decisions):
        return True
    keep = facts.series.keep
    taken = [one.taken_at for one in facts.candidates]
    surplus = retained(taken, keep, facts.series.zone).surplus if keep is not None else ()
    return len(taken) > rules.keep_verified and bool(surplus)


def _overlap(facts: Facts, rules: Rules, names_of_series: Sequence[str]) -> Refusal | None:
    if facts.shared:
        why = f"another series matches {len(facts.shared)} of its backups too, such as {facts.shared[0]}"
        return Refusal("backup.prune_overlap", "warning", why, {"files": list(facts.shared[:_NAMED])})
    made_for: dict[str, Candidate] = {}
    kinds: dict[str, Candidate] = {}
    for one in facts.candidates:
        if one.of_series:
            made_for.setdefault(one.of_series, one)
        kinds.setdefault(kin(one.path[len(one.base) + 1 :]), one)
    others = [name for name in made_for if name in names_of_series and name != facts.series.name]
    if len(made_for) > 1 or others:
        which = made_for[others[0]] if others else list(made_for.values())[-1]
        why = f"its pattern also matches {which.path}, which was made for the series {which.of_series}"
        return Refusal("backup.prune_overlap", "warning", why, {"series": sorted(made_for)[:_NAMED]})
    if len(kinds) > 1 and not rules.mixed_names:
        first, second = list(kinds.values())[:2]
        why = f"its pattern matches things that are not called the same, such as {first.path} and {second.path}"
        evidence = {"files": [one.path for one in list(kinds.values())[:_NAMED]], "kinds": len(kinds)}
        return Refusal("backup.prune_mixed", "warning", why, evidence)
    return None


def with_states(facts: Facts, proved: dict[str, tuple[str, str]]) -> Facts:
    """Return *facts* with what was found out about some of its backups."""
    candidates = tuple(
        replace(one, state=proved[one.path][0], why=proved[one.path][1]) if one.path in proved else one
        for one in facts.candidates
    )
    return replace(facts, candidates=candidates)
