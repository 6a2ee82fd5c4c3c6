# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End an update: see that all is as it should be, remove what was kept, and give the names that Compose would give."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import journal as steps
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.apply import Roller
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Turn
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import Container, Interfered
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.names import (
    outdated,
    reference,
    renames,
)


def verify(roller: Roller) -> None:
    """Raise ``Interfered`` when a service is not what the update has made of it, and ``RollFailed`` when a new
    container that had passed is no good any more."""
    kept = {old.id for turn in roller.context.record.turns for batch in turn.batches for old in batch.old}
    for turn in roller.context.record.turns:
        if turn.failed:
            continue
        mine = {*turn.keep, *(identity for batch in turn.batches for identity in batch.new)}
        here = [one for one in roller.of(turn.service) if one.id not in kept]
        strangers = [one.name for one in here if one.id not in mine]
        missing = [identity[:12] for identity in mine if identity not in {one.id for one in here}]
        if strangers or missing:
            raise Interfered(
                f"{turn.service} has {', '.join(strangers) or 'no'} unknown containers, and "
                f"{', '.join(missing) or 'none'} are missing."
            )
        roller.require_still_ready(turn)


def commit(roller: Roller) -> None:
    """Make it final. From here on nothing is rolled back; a run that is killed here is ended by the next one."""
    context = roller.context
    context.shielded = True
    context.record.phase = steps.COMMITTING
    context.save()
    for turn in context.record.turns:
        with context.step(f"{turn.service}/commit", f"Remove what {turn.service} had before, and name what it has"):
            _remove_old(roller, turn)
            if context.options.rename and not context.wanted_name(turn.service):
                _rename(roller, turn)
    _forget_images(roller)
    context.record.phase = steps.DONE
    context.journal.finish(context.record)


def _remove_old(roller: Roller, turn: Turn) -> None:
    there = []
    for old in (old for batch in turn.batches if batch.step == steps.REPLACED for old in batch.old):
        found = roller.engine.look(old.id)
        if found is None:
            continue
        if found.running:  # somebody started it again
            roller.withdraw(turn, [found])
            roller.end(turn, found)
        there.append(old)
    roller.remove(turn, there)


def _rename(roller: Roller, turn: Turn) -> None:
    here: list[Container] = roller.of(turn.service)
    for identity, name in renames(roller.context.project, turn.service, here).items():
        container = next(one for one in here if one.id == identity)
        roller.engine.rename(container, name)


def _forget_images(roller: Roller) -> None:
    context = roller.context
    repositories = {reference(turn.image, context.project, turn.service) for turn in context.record.turns}
    repositories |= {
        reference(old.image, context.project, turn.service)
        for turn in context.record.turns
        for batch in turn.batches
        for old in batch.old
    }
    for name in outdated(roller.engine.tags(), repositories, context.options.keep_images):
        roller.engine.untag(name)
