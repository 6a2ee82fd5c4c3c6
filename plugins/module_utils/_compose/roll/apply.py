# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps of an update. Each is written to the journal before it is done, and each may be done again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import journal as steps
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.context import Context
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.gate import Gate, Rule
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Batch, Old, Turn
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    START_FIRST,
    Container,
    Hook,
    Interfered,
    RollFailed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.plan import closure, stop_seconds
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.traffic import (
    PUBLISH,
    WITHDRAW,
    Director,
    drain,
)

_START_FIRST = (steps.CREATE, steps.START, steps.GATE, steps.PUBLISH, steps.DRAIN, steps.STOP)
_STOP_FIRST = (steps.DRAIN, steps.STOP, steps.CREATE, steps.START, steps.GATE, steps.PUBLISH)
_HOOK_SECONDS = 60.0
_AT_ONCE = 8  # calls that the daemon is asked to do side by side
_NO_RESTART = {"Name": "no", "MaximumRetryCount": 0}


class Roller:
    """Rolls what the journal's record says; ``roll`` goes on where a killed run stopped."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.engine = context.engine

    def roll(self, turn: Turn, batch: Batch) -> None:
        """Replace one batch. Raises ``RollFailed`` and ``Interfered``."""
        order = _START_FIRST if turn.order == START_FIRST else _STOP_FIRST
        begin = order.index(batch.step) if batch.step in order else 0
        for step in order[begin:]:
            self.context.checkpoint()
            if step == steps.CREATE and not batch.known:
                batch.known = self.engine.ids(self.context.project, turn.service)
            self.context.mark(batch, step)
            with self.context.step(f"{turn.service}/{step}", _words(step, turn, batch)):
                self._do(step, turn, batch)
        batch.result = "replaced"
        self.context.mark(batch, steps.REPLACED)

    def _do(self, step: str, turn: Turn, batch: Batch) -> None:
        {
            steps.CREATE: self._create,
            steps.START: self._start,
            steps.GATE: self._gate,
            steps.PUBLISH: self._publish,
            steps.DRAIN: self._drain,
            steps.STOP: self._stop,
        }[step](turn, batch)

    # --- come

    def _create(self, turn: Turn, batch: Batch) -> None:
        if not batch.count:
            return
        context, wanted = self.context, self.context.wanted[turn.service]
        family = {turn.service, *closure(context.wanted, turn.service)}
        counts = dict.fromkeys(sorted(family), 0)
        for one in context.containers():
            if one.service == turn.service and one.id not in batch.known:
                self._discard_unnoted(one)
            elif one.service in counts:
                counts[one.service] += 1
        if wanted.container_name:
            self._park(batch)
        named = [name for name in counts if context.wanted[name].container_name]
        context.maker.make(wanted, counts, batch.count, named)
        made = self.engine.project(context.project, turn.service, skip=batch.known)
        if len(made) != batch.count:
            raise RollFailed(
                "create_failed",
                f"Compose made {len(made)} containers of {turn.service}, and {batch.count} were asked for.",
                "See what Compose says: docker compose up --no-start --no-recreate.",
                service=turn.service,
            )
        # The next step is written to the journal before it begins, and these with it.
        batch.new = [self._finished(turn, batch, place, one) for place, one in enumerate(made)]

    def _discard_unnoted(self, one: Container) -> None:
        """Remove what a killed run has made and not noted: it never ran."""
        if one.state != "created":
            raise Interfered(f"The container {one.name} of {one.service} was started by somebody else.")
        self.engine.discard(one.id, volumes=True)

    def _finished(self, turn: Turn, batch: Batch, place: int, made: Container) -> str:
        """Give a container what Compose could not give it beside the old one; return its id."""
        wanted, policy = self.context.wanted[turn.service], self.context.policies[turn.service]
        old = batch.old[place] if place < len(batch.old) else None
        volumes = {}
        inherits = turn.order != START_FIRST and policy.anonymous_volumes == "inherit"
        before = self.engine.look(old.id) if old is not None and inherits else None
        if before is not None:
            volumes = {path: name for path, name in before.anonymous.items() if path in made.anonymous}
        bound = self._bound(turn, made)
        if wanted.container_name or volumes or bound:
            number = (old.number if old else 1) if wanted.container_name else 0
            return self.context.maker.again(
                made,
                name=wanted.container_name,
                hash_=turn.hash if wanted.container_name else "",
                number=number,
                volumes=volumes,
                bound=bound,
            )
        if made.hash != turn.hash:
            # What stands on the container is what Compose will compare with.
            turn.hash = made.hash
        return made.id

    def _bound(self, turn: Turn, made: Container) -> dict[str, Any]:
        """Return what of a container leads to an old container of another service, corrected."""
        wanted, host = self.context.wanted[turn.service], made.description.get("HostConfig") or {}
        stale = {old.id for other in self.context.record.turns for batch in other.batches for old in batch.old}
        new: dict[str, Any] = {}
        for service in wanted.shares:
            serving = [one for one in self.of(service) if one.running and one.id not in stale]
            if not serving:
                continue
            for key in ("NetworkMode", "IpcMode", "PidMode"):
                mode = str(host.get(key) or "")
                if mode.startswith("container:") and mode.partition(":")[2] in stale:
                    new[key] = f"container:{serving[0].id}"
            sources = host.get("VolumesFrom") or []
            if any(str(one).partition(":")[0] in stale for one in sources):
                new["VolumesFrom"] = [
                    ":".join([serving[0].id, *str(one).split(":")[1:]]) if str(one).partition(":")[0] in stale else one
                    for one in sources
                ]
        return new

    def _park(self, batch: Batch) -> None:
        """Take the name that a new container needs from the old one."""
        for old in batch.old:
            if not old.parked:
                old.parked = f"{old.name}-{self.context.record.id.lower()}"
        self.context.save()
        for old in batch.old:
            found = self.engine.look(old.id)
            if found is not None and found.name != old.parked:
                self.engine.rename(found, old.parked)

    def _start(self, turn: Turn, batch: Batch) -> None:
        director = self.director(turn)
        for identity in batch.new:
            container = self._own(identity)
            if container.running:
                continue
            if director.gated and container.state == "created":
                director.remember(batch, container)
                self.context.save()
                director.hide(batch, container)
            self.engine.start(container)
            self._hooks(container, self.context.wanted[turn.service].post_start, required=True)

    def _gate(self, turn: Turn, batch: Batch) -> None:
        if batch.new:
            batch.healthy_after = round(self._gate_of(turn).pass_all(batch.new), 3)

    def require_still_ready(self, turn: Turn) -> None:
        """Raise ``RollFailed`` when a new container that had passed is no good any more and does not recover."""
        new = [one for batch in turn.batches if batch.step == steps.REPLACED for one in batch.new]
        if new and not turn.one_shot:
            self._gate_of(turn, again=True).pass_all(new)

    def _gate_of(self, turn: Turn, again: bool = False) -> Gate:
        """Return the gate of a service; *again* is for what has passed it once."""
        policy = self.context.policies[turn.service]
        probe = None if turn.probe_failing else policy.probe
        rule = Rule(
            timeout=policy.health_timeout,
            monitor=0.0 if again else policy.monitor,
            fail_fast=policy.fail_fast,
            probe=replace(probe, successes=1) if probe and again else probe,
            health_counts=not turn.baseline_failing,
            one_shot=turn.one_shot,
            may_end=turn.may_end,
        )
        return Gate(self.engine, rule, self.context.checkpoint)

    def _publish(self, turn: Turn, batch: Batch) -> None:
        if not batch.new or turn.one_shot:
            return
        director = self.director(turn)
        for identity in batch.new if director.gated else ():
            director.show(batch, self._own(identity))
        leaving = {old.id for old in batch.old} if turn.order != START_FIRST or director.at_once else set()
        batch.published = True
        if not director.silent:
            director.tell(PUBLISH, [one for one in self.serving(turn) if one.id not in leaving], [])
        if batch.gap_since:
            batch.gap = round(max(0.0, time.time() - batch.gap_since), 3)

    # --- go

    def _drain(self, turn: Turn, batch: Batch) -> None:
        leaving = self._running(batch.old)
        if not leaving or turn.one_shot:
            return
        if turn.order != START_FIRST:
            self._await_peers(turn)
        begun = time.monotonic()
        self.withdraw(turn, leaving)
        batch.drained = round(time.monotonic() - begun, 3)

    def withdraw(self, turn: Turn, leaving: Sequence[Container]) -> None:
        """Lead requests away from containers, and let them finish what they have begun."""
        gone, director = {one.id for one in leaving}, self.director(turn)
        live = [] if director.silent else [one for one in self.serving(turn) if one.id not in gone]
        if live:
            director.tell(WITHDRAW, live, leaving)
        how = self.context.policies[turn.service].drain
        if not how:
            return
        for one in leaving:
            wrong = drain(self.engine, one, how, self.context.pause)
            if wrong:
                self.context.notes.drain_failed(turn.service, one.name, wrong)

    def _stop(self, turn: Turn, batch: Batch) -> None:
        leaving = self._running(batch.old)
        if turn.gap_expected and leaving and not batch.gap_since:
            batch.gap_since = time.time()
            self.context.save()
        begun = time.monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            killed = list(pool.map(lambda one: self.end(turn, one), leaving))
        batch.killed += [one.name for one, was_killed in zip(leaving, killed) if was_killed]
        if leaving:
            batch.stopped = round(time.monotonic() - begun, 3)
            self.director(turn).tell_gone()
        if not self.context.options.keep_old:
            self.remove(turn, batch.old)

    def end(self, turn: Turn, one: Container) -> bool:
        """Stop a container for good, whatever its restart policy; return whether it had to be killed."""
        wanted, policy = self.context.wanted.get(turn.service), self.context.policies.get(turn.service)
        if wanted is not None:
            self._hooks(one, wanted.pre_stop, required=False)
        if one.policy.get("Name") not in ("", "no", None):
            self.engine.set_restart(one.id, _NO_RESTART)
        seconds = stop_seconds(wanted, policy, one) if wanted is not None and policy is not None else 10.0
        killed = self.engine.stop(one.id, seconds)
        if killed:
            self.context.notes.killed(turn.service, one.name, seconds)
        return killed

    def remove(self, turn: Turn, old: Sequence[Old]) -> None:
        """Remove containers that were replaced; the volumes that were taken over stay."""
        policy = self.context.policies.get(turn.service)
        volumes = policy is not None and policy.anonymous_volumes == "renew"
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _done in pool.map(lambda one: self.engine.discard(one.id, volumes=volumes), old):
                pass
        self.context.removed += [one.name for one in old]

    def _await_peers(self, turn: Turn) -> None:
        """Return when every peer of a service that is about to stop serves. Raises ``RollFailed`` (peers_down)."""
        peers = {name for group in self.context.options.peers if turn.service in group for name in group}
        peers.discard(turn.service)
        deadline = time.monotonic() + self.context.policies[turn.service].health_timeout
        failing = {other.service for other in self.context.record.turns if other.baseline_failing}
        while peers:
            well = {
                one.service
                for one in self.context.containers()
                if one.running and (one.health in ("", "healthy") or one.service in failing)
            }
            missing = sorted(peers - well - self.context.down_before)
            if not missing:
                return
            if time.monotonic() > deadline:
                raise RollFailed(
                    "peers_down",
                    f"{turn.service} was not stopped, because its peers {', '.join(missing)} do not serve.",
                    "Bring them back first.",
                    service=turn.service,
                )
            self.context.pause(0.2)

    # --- who is who

    def director(self, turn: Turn) -> Director:
        policy = self.context.policies[turn.service]
        return Director(
            self.engine, self.context.project, turn.service, policy.traffic, self.context.pause, self.context.told
        )

    def of(self, service: str) -> list[Container]:
        return self.engine.project(self.context.project, service)

    def serving(self, turn: Turn) -> list[Container]:
        """Return who serves what the service serves: its containers, and those of its peers, that have passed."""
        names = {
            turn.service,
            *(name for group in self.context.options.peers if turn.service in group for name in group),
        }
        unready = {
            identity
            for other in self.context.record.turns
            for batch in other.batches
            if not batch.published
            for identity in batch.new
        }
        return [
            one for one in self.context.containers() if one.service in names and one.running and one.id not in unready
        ]

    def _running(self, old: Iterable[Old]) -> list[Container]:
        found = [self.engine.look(one.id) for one in old]
        return [one for one in found if one is not None and one.state in ("running", "restarting", "paused")]

    def _own(self, identity: str) -> Container:
        found: Optional[Container] = self.engine.look(identity)
        if found is None:
            raise Interfered(f"The new container {identity[:12]} was removed by somebody else.")
        return found

    def _hooks(self, container: Container, hooks: Sequence[Hook], required: bool) -> None:
        for hook in hooks:
            body = {
                "Cmd": list(hook.command),
                "User": hook.user,
                "Privileged": hook.privileged,
                "WorkingDir": hook.working_dir,
                "Env": list(hook.environment),
            }
            status = self.engine.call_in(container.id, body, _HOOK_SECONDS)
            if status and required:
                raise RollFailed(
                    "hook_failed",
                    f"The post_start hook {hook.command[0]} of {container.name} ended with status {status}.",
                    "Mend the hook, then update again.",
                    service=container.service,
                    container=container.name,
                )
            if status:
                self.context.notes.drain_failed(
                    container.service, container.name, f"pre_stop {hook.command[0]}: {status}"
                )


def _words(step: str, turn: Turn, batch: Batch) -> str:
    old = ", ".join(one.name for one in batch.old) or "nothing"
    return {
        steps.CREATE: f"Create {batch.count} of {turn.service}",
        steps.START: f"Start the new containers of {turn.service}",
        steps.GATE: f"Wait until the new containers of {turn.service} are ready",
        steps.PUBLISH: f"Lead requests to the new containers of {turn.service}",
        steps.DRAIN: f"Lead requests away from {old}",
        steps.STOP: f"Stop {old}",
    }[step]
