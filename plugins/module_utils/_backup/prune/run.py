# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prune series of backups: look, prove what the rest relies on, decide, and only then remove."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune import apply
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import (
    CHANGED,
    RECORDED,
    REMOVED,
    VERIFIED,
    Facts,
    Leftover,
    Rules,
    SeriesPlan,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.openfiles import open_files
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.options import locks_of, rules_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.plan import (
    BEFOREHAND,
    judged,
    plan,
    with_states,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.proof import Prover
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.report import Pruned, Record, Step, report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.survey import CUT_OFF, survey


def prune(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Pruned:
    """Do what *params* (validated by the argument spec) ask for; in *check_mode* only say what would be done.

    Raises ``UpkeepError`` when that cannot be begun, or another run has one of the directories.
    """
    started = time.monotonic()
    rules = rules_of(params, check_mode)
    with contextlib.ExitStack() as stack:
        if not check_mode:
            for lock in locks_of(params, rules):
                stack.enter_context(lock)
        records = [Record(each) for each in plans(rules, now)]
        backups = {one.candidate.path for record in records for one in record.plan.decisions}
        for record in records:
            _Series(record, rules, backups, check_mode).execute()
        return report([record.result() for record in records], now, check_mode, time.monotonic() - started)


def plans(rules: Rules, now: datetime) -> list[SeriesPlan]:
    """Return what becomes of each series; backups are read for it, nothing is removed."""
    names = [one.name for one in rules.policy.series]
    prover = Prover(rules, now)
    found = []
    for facts in survey(rules, now):
        known = _with_open_ones(facts, rules)
        first = plan(known, rules, names, now)
        # What is refused whatever is in it is not read.
        if rules.proof == RECORDED or (first.refusal is not None and first.refusal.code in BEFOREHAND):
            found.append(first)
        else:
            found.append(plan(proven(known, rules, prover), rules, names, now))
    return found


def proven(facts: Facts, rules: Rules, prover: Prover) -> Facts:
    """Return *facts* with every backup read that stands for others which would go, and no more than those."""
    keep = facts.series.keep
    while keep is not None:
        wanted = judged(facts, rules, keep).prove
        if not wanted:
            break
        facts = with_states(facts, prover.prove(facts.series, [facts.candidates[index].path for index in wanted]))
    return facts


def _with_open_ones(facts: Facts, rules: Rules) -> Facts:
    """Mark the files that somebody has open."""
    if not any(one.age > rules.leftover_age for one in facts.leftovers):
        return facts
    busy = open_files()
    left = tuple(replace(one, busy=(one.identity.device, one.identity.inode) in busy) for one in facts.leftovers)
    return replace(facts, leftovers=left)


class _Series:
    """Does to one series what was decided."""

    def __init__(self, record: Record, rules: Rules, backups: set[str], check_mode: bool) -> None:
        self._record = record
        self._plan = record.plan
        self._rules = rules
        self._backups = backups
        self._check_mode = check_mode

    def execute(self) -> None:
        if self._plan.refusal is not None:
            return
        for leftover in self._plan.facts.leftovers:
            if leftover.kind == CUT_OFF:
                self._leftover(leftover)
        self._backups_that_go()
        for leftover in self._plan.facts.leftovers:
            old = leftover.age > self._rules.leftover_age and not leftover.busy
            if leftover.kind != CUT_OFF and self._rules.remove_leftovers and old:
                self._leftover(leftover)

    def _backups_that_go(self) -> None:
        guards = [one for one in self._plan.guards if one.state == VERIFIED][: self._rules.keep_verified]
        stopped = ""
        for decision in self._plan.going:
            path, started = decision.candidate.path, time.monotonic()
            if not self._check_mode:
                lost = apply.missing(guards)
                stopped = stopped or (f"was left alone: {lost}, which must stay, is not what it was" if lost else "")
            if stopped:
                what, why = CHANGED, stopped
            elif self._check_mode:
                what, why = REMOVED, ""
            else:
                what, why = apply.remove(decision.candidate, self._backups - {path})
            reason = why if what != REMOVED else decision.reason
            self._record.became[path] = (what, reason)
            seconds = time.monotonic() - started
            self._record.steps.append(Step(path, path, what, why, decision.candidate.bytes, seconds))

    def _leftover(self, leftover: Leftover) -> None:
        started = time.monotonic()
        if self._check_mode:
            what, why = REMOVED, ""
        elif leftover.kind == CUT_OFF:
            what, why = apply.finish(leftover, self._backups)
        else:
            what, why = apply.discard(leftover)
        seconds = time.monotonic() - started
        self._record.steps.append(Step(leftover.path, leftover.path, what, why, leftover.bytes, seconds))
