# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take an update back: the kept old containers are started as they were, the new ones go."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.images import failed_tag
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import journal as steps
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.apply import Roller
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.gate import Gate, Rule
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Batch, Old, Turn
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    START_FIRST,
    Container,
    Interfered,
    RollFailed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.names import repository_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.traffic import PUBLISH
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, UpkeepError

_TOUCHED = (steps.CREATE, steps.START, steps.GATE, steps.PUBLISH, steps.DRAIN, steps.STOP, steps.REPLACED, steps.UNDO)
# For a container that never was ready nothing is worth waiting.
_AT_ONCE = 1.0


class Rollback:
    """The way back of one run. ``lost`` says in sentences what could not be brought back; ``cut_off`` is true when the
    daemon stayed away, so that nothing more can be known or done."""

    def __init__(self, roller: Roller) -> None:
        self._roller = roller
        self._context = roller.context
        self._engine = roller.engine
        self.lost: list[str] = []
        self.cut_off = False

    def all(self) -> None:
        """Take back every batch that was touched, the newest first."""
        context = self._context
        context.shielded = True
        context.record.phase = steps.ROLLING_BACK
        context.save()
        for turn in reversed(context.record.turns):
            for batch in reversed(turn.batches):
                if batch.step in _TOUCHED:
                    with context.step(f"{turn.service}/rollback", f"Bring back {_names(batch)} of {turn.service}"):
                        self._noting(turn, batch)
        try:
            if not self.cut_off:
                self._retag()
        except ConnectionFailed as error:
            self._note_cut_off(error)
        if self.cut_off:
            return  # the journal stays in this phase: the next run goes on here
        context.record.phase = steps.UNDONE
        context.journal.finish(context.record)

    def _noting(self, turn: Turn, batch: Batch) -> None:
        try:
            if not self.cut_off:
                self.batch(turn, batch)
        except ConnectionFailed as error:
            self._note_cut_off(error)
        except UpkeepError as error:
            # The rest has to come back all the same.
            self.lost.append(error.message)

    def _note_cut_off(self, error: ConnectionFailed) -> None:
        self.cut_off = True
        self.lost.append(error.message)

    def batch(self, turn: Turn, batch: Batch) -> None:
        """Take back one batch. Raises ``UpkeepError`` for what cannot be brought back."""
        self._context.mark(batch, steps.UNDO)
        new = self._new_of(turn, batch)
        back = [old for old in batch.old if old.running and not old.leftover]
        if turn.order != START_FIRST or not batch.published:
            self._remove(turn, new, batch.published)
            new = []
        self._bring_back(turn, batch, back)
        self._remove(turn, new, True)
        batch.result = "taken back"
        self._context.mark(batch, steps.TAKEN_BACK)

    def _new_of(self, turn: Turn, batch: Batch) -> list[Container]:
        """Return the new containers of a batch, those too that a killed run has made and not noted."""
        if not batch.known:
            return []
        here = self._roller.of(turn.service)
        return [one for one in here if one.id in batch.new or (one.id not in batch.known and one.state == "created")]

    def _remove(self, turn: Turn, new: Sequence[Container], served: bool) -> None:
        going = [one for one in new if one.running]
        others = [one for one in self._roller.serving(turn) if one.id not in {each.id for each in new}]
        if served and going and others:
            self._roller.withdraw(turn, going)
        for one in new:
            if served:
                self._roller.end(turn, one)
            elif one.running:
                self._engine.stop(one.id, _AT_ONCE)
            # What it was given to take over is the old one's again: only what is nobody else's goes with it.
            self._engine.discard(one.id, volumes=True)
        if going:
            self._roller.director(turn).tell_gone()

    def _bring_back(self, turn: Turn, batch: Batch, back: Sequence[Old]) -> None:
        for old in batch.old:
            found = self._engine.look(old.id)
            if found is not None and old.parked and found.name != old.name:
                self._engine.rename(found, old.name)
        there = [old for old in back if self._engine.look(old.id) is not None]
        was_down = [old for old in there if not self._runs(old)]
        for old in there:
            found = self._engine.look(old.id)
            if found is None:
                continue
            if old.policy.get("Name") not in ("", "no", None):
                self._engine.set_restart(old.id, old.policy)
            if not found.running:
                self._engine.start(found)
        self._await(turn, there)
        if was_down and not turn.one_shot:
            leaving = set(batch.new)
            live = [one for one in self._roller.serving(turn) if one.id not in leaving]
            if live:
                self._roller.director(turn).tell(PUBLISH, live, [])
        self._require_as_it_was(turn, back)

    def _runs(self, old: Old) -> bool:
        found = self._engine.look(old.id)
        return found is not None and found.running

    def _await(self, turn: Turn, there: Sequence[Old]) -> None:
        """Wait until the old ones are as they were: ready, or, if they were not, running."""
        context, policy = self._context, self._context.policies[turn.service]
        for well in (True, False):
            ids = [old.id for old in there if (old.health != "unhealthy") is well]
            rule = Rule(
                timeout=policy.health_timeout,
                monitor=0.0,
                probe=None if turn.probe_failing else policy.probe,
                health_counts=well,
            )
            if ids:
                Gate(self._engine, rule, context.checkpoint, patient=True).pass_all(ids)

    def _require_as_it_was(self, turn: Turn, back: Sequence[Old]) -> None:
        missing = []
        for old in back:
            found = self._engine.look(old.id)
            if found is None:
                missing.append(f"{old.name} is gone")
            elif found.image_id != old.image_id or found.hash != old.hash:
                missing.append(f"{old.name} is not what it was")
            elif not found.running:
                missing.append(f"{old.name} does not run")
        if missing:
            raise Interfered(f"{turn.service}: {'; '.join(missing)}.")

    def _retag(self) -> None:
        """Let each name that the release took lead to the old image again: nobody is to start the new one by it."""
        for image_id, _kept, name in self._context.record.tags:
            if not name or name not in {turn.image for turn in self._context.record.turns}:
                continue
            now = self._engine.image_id(name)
            if now in ("", image_id):
                continue
            repository, tag = repository_of(name)
            try:
                self._engine.tag(now, repository, failed_tag(self._context.record.id))
                if not self._engine.tag(image_id, repository, tag):
                    self.lost.append(f"the image {name} could not be given back its name")
            except RollFailed as error:
                self.lost.append(error.message)


def _names(batch: Batch) -> str:
    return ", ".join(old.name for old in batch.old) or "the state before"
