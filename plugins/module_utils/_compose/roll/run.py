# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Update the services of a project: look, plan, roll, test, and commit, or take it all back."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.adapter import require_jmespath
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.images import rollback_tag
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Compose, Files
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import journal as steps
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import probe as probes
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.apply import Roller
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.commit import commit, verify
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.context import Context, Signals
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.create import Maker, wait_for_children
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.engine import Engine
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Batch, Journal, Record, Turn
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    INCOMPLETE,
    PAUSED,
    RESUMED,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    UNCHANGED,
    UPDATED,
    Container,
    Interfered,
    Interrupted,
    Options,
    Policy,
    Probe,
    RollFailed,
    Smoke,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.names import reference
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.notes import Notes
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.options import (
    files_for,
    options_of,
    policies_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.plan import Seen, closure, plan
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.report import Ended, Rolled, kind_of, report
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.rollback import Rollback
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.wanted import wanted_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import daemon_url
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size, parse_duration

_COMPOSE_SECONDS = 60.0
_OLDEST_COMPOSE = (2, 18)
_OLDEST_API = (1, 41)
_BASELINE = 3  # questions that have to fail before the update
_PLANS = 4  # of which the first is the one, and the others are for what somebody else did meanwhile


def roll(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Rolled:
    """Update what *params* (validated by the argument spec) name; with *check_mode* only say what would be done.

    Raises ``UpkeepError`` when it could not be begun: ``InvalidInput``, ``ModelRefused``, ``MissingLibrary``,
    ``ConnectionFailed``, ``CommandFailed``, ``LockHeld``, ``StateError``, and ``RollFailed`` for what stands against
    it. What goes wrong later is in what is returned.
    """
    clock = Deadline(None)
    files, host = files_for(params), daemon_url(params["docker_host"] or "", os.environ)
    options = options_of(params)
    with contextlib.ExitStack() as stack:
        engine = Engine(host)
        stack.callback(engine.close)
        _require_api(engine)
        with ThreadPoolExecutor(2) as pool:
            version = pool.submit(_require_version, files, params["cli"], host)
            info = pool.submit(engine.info)
            compose = Compose(files, params["cli"], host, _COMPOSE_SECONDS)
            config = compose.config()
            hashes = compose.hashes(config)
            version.result()
            identity = str(info.result().get("ID") or "")
            root = str(info.result().get("DockerRootDir") or "")
        project = str(config["name"])
        folder = os.path.join(
            directory_of(params["state_dir"], os.environ, os.geteuid()),
            "compose",
            folder_name(f"{identity.replace(':', '')[:16]}-{project}"),
        )
        if not check_mode:
            lock = HostLock(f"{folder}.lock", params["run_id"], _wait_of(params), now)
            stack.enter_context(lock)
        wanted = wanted_of(config, hashes)
        policies = policies_of(params, {name: one.update for name, one in wanted.items()})
        run = Run(
            params=params,
            files=files,
            project=project,
            host=host,
            root=root,
            engine=engine,
            journal=Journal(folder),
            wanted=wanted,
            policies=policies,
            options=options,
            now=now,
            check_mode=check_mode,
            signals=stack.enter_context(Signals()),
            notes=Notes(project),
            deadline=Deadline(options.timeout),
        )
        return run.execute(clock)


def _wait_of(params: Mapping[str, Any]) -> float:
    try:
        return parse_duration(params["lock_timeout"])
    except InvalidInput as error:
        raise InvalidInput(f"lock_timeout: {error.message}", error.remedy) from None


def _require_version(files: Files, cli: str, host: str) -> None:
    """Raise ``RollFailed`` without Compose, or for one that is too old."""
    said = Compose(replace(files, definition="", files=(), env_files=()), cli, host, _COMPOSE_SECONDS).run(
        "version", "--short"
    )
    words = said.output.strip().lstrip("v")
    if said.status or not words[:1].isdigit():
        raise RollFailed(
            "compose_missing",
            f"{cli} has no Compose v2: {(said.errors or said.output).strip()[:200]}",
            "Install the plugin: apt install docker-compose-plugin, or docker-compose-v2.",
        )
    parts = words.replace("-", ".").split(".")
    if tuple(int(part) for part in parts[:2] if part.isdigit()) < _OLDEST_COMPOSE:
        raise RollFailed("compose_too_old", f"Compose is {words}, and 2.18 is needed.", "Update Compose.")


def _require_api(engine: Engine) -> None:
    if tuple(int(part) for part in engine.api_version.split(".")) < _OLDEST_API:
        raise RollFailed(
            "engine_too_old",
            f"The Docker daemon speaks API {engine.api_version}, and 1.41 (Docker 20.10) is needed.",
            "Update Docker.",
        )


@dataclass
class Run:
    """One call of the module, with the project locked."""

    params: Mapping[str, Any]
    files: Files
    project: str
    host: str
    root: str
    engine: Engine
    journal: Journal
    wanted: Mapping[str, Wanted]
    policies: Mapping[str, Policy]
    options: Options
    now: datetime
    check_mode: bool
    signals: Signals
    notes: Notes
    deadline: Deadline
    resumed: bool = False
    earlier: Optional[Record] = None
    previous: Optional[Record] = None
    changed: bool = False
    roller: Optional[Roller] = None
    seen: Optional[Seen] = None

    def execute(self, clock: Deadline) -> Rolled:
        """Do it, and return what became of it."""
        self._require_usable()
        if self.check_mode:
            self.seen = self.look()
            return self._ended(self._only_planned(), clock)
        before = self.journal.load()
        if before is not None:
            ended = self._end_earlier(before)
            if ended is not None:
                return self._ended(ended, clock)
        return self._ended(self._update(), clock)

    # --- look

    def _require_usable(self) -> None:
        queries = [policy.probe.query for policy in self.policies.values() if policy.probe]
        for query in (*queries, *(smoke.query for smoke in self.options.smoke)):
            if query:
                require_jmespath(query)
        for name, policy in self.policies.items():
            proxy = policy.traffic.service
            if proxy and proxy not in self.wanted:
                raise InvalidInput(
                    f"traffic of {name} names the service {proxy}, which the project does not have.", "Correct it."
                )
        for smoke in self.options.smoke:
            if smoke.service and smoke.service not in self.wanted:
                raise InvalidInput(
                    f"smoke {smoke.name} names the service {smoke.service}, which the project does not have.",
                    f"Its services are {', '.join(sorted(self.wanted)) or 'none'}.",
                )
        volumes = {
            name for one in self.wanted.values() for volume in one.volumes for name in (volume.source, volume.name)
        }
        for name in sorted(self.options.exclusive_volumes - volumes):
            raise InvalidInput(
                f"exclusive_volumes names {name}, which no service of the project mounts.",
                f"Its volumes are {', '.join(sorted(volumes)) or 'none'}.",
            )

    def look(self) -> Seen:
        """Return what there is and what is wanted."""
        containers = self.engine.project(self.project)
        last = self.journal.last()
        wanted = dict(self.wanted)
        for turn in last.turns if last else ():
            # Where Compose wrote another hash than it had said, the same will be so today.
            one = wanted.get(turn.service)
            if one is not None and turn.planned_hash and turn.planned_hash == one.hash:
                wanted[turn.service] = replace(one, hash=turn.hash)
        references = {one.image for one in wanted.values()}
        configs = {image: self.engine.image_config(image) for image in references}
        return Seen(
            wanted=wanted,
            containers=containers,
            images={image: self.engine.image_id(image) for image in references},
            policies=self.policies,
            options=self.options,
            volumes={image: tuple(config.get("Volumes") or ()) for image, config in configs.items()},
            exclusive=self._exclusive(wanted),
            boots=_boots(last),
            probe_failing=frozenset(self._probe_failing(containers)),
            moving=self.check_mode and (self.options.pull == "always" or self.options.build == "always"),
        )

    def _exclusive(self, wanted: Mapping[str, Wanted]) -> frozenset[str]:
        names = {volume.name for one in wanted.values() for volume in one.volumes}
        labels = {name: self.engine.volume_labels(name) for name in names}
        return frozenset(name for name, found in labels.items() if found.get("rolling.exclusive", "").lower() == "true")

    def _probe_failing(self, containers: list[Container]) -> Iterator[str]:
        for one in containers:
            policy = self.policies.get(one.service)
            if policy and policy.probe and one.running and self._fails_again_and_again(one, policy.probe):
                yield one.id

    def _fails_again_and_again(self, one: Container, probe: Probe) -> bool:
        """One answer that is late says nothing: the check would not count for the new release then."""
        for attempt in range(_BASELINE):
            if attempt:
                time.sleep(probe.interval)
            if not probes.ask(self.engine, one, probe):
                return False
        return True

    # --- plan

    def _only_planned(self) -> Ended:
        assert_seen = self.seen
        turns = plan(assert_seen) if assert_seen is not None else []
        if assert_seen is not None:
            here = [turn for turn in turns if not self._is_brought(assert_seen.wanted[turn.service])]
            self._require_images(here, assert_seen)
            self._require_networks(turns, assert_seen)
            self._require_checked(turns, assert_seen)
            self._tell_of(turns, assert_seen)
        before = self.journal.load()
        if before is not None:
            self.notes.resumed(before.id, f"left in the phase {before.phase}, and would be ended first")
        return Ended(UNCHANGED if not turns else UPDATED, Record("", self.project, turns=turns), planned=True)

    def _is_brought(self, wanted: Wanted) -> bool:
        """Whether the run itself would pull or build the image."""
        return self.options.build == "always" if wanted.built else self.options.pull != "never"

    def _tell_of(self, turns: list[Turn], seen: Seen) -> None:
        self.notes.of_plan(turns, seen)
        self.notes.orphans(one.service for one in seen.containers if one.service not in seen.wanted)
        needed = sum(
            seen.wanted[turn.service].memory * max((b.count for b in turn.batches), default=0) for turn in turns
        )
        available = _memory_available()
        if needed and available:
            self.notes.memory(needed, available)

    # --- update

    def _update(self) -> Ended:
        self._acquire()
        previous = self.previous
        for _attempt in range(_PLANS):
            self.seen = self.look()
            turns = plan(self.seen)
            if not turns:
                outcome = UPDATED if self.changed else RESUMED if self.resumed else UNCHANGED
                return Ended(outcome, self.earlier or Record("", self.project))
            self._require_images(turns, self.seen)
            self._require_networks(turns, self.seen)
            self._require_room()
            self._require_checked(turns, self.seen)
            self._tell_of(turns, self.seen)
            record = self._record(turns, previous)
            self.roller = self._roller(record)
            self._prepare(record, self.seen)
            self.changed = True
            try:
                return self._forward(record)
            except Interfered as error:
                self.notes.interfered(error.message)
                previous = record
        return self._failed(
            RollFailed(
                "drift_after",
                f"{self.project}: its containers were changed by somebody else again and again.",
                "Let one tool alone change the project, then run the task again.",
            )
        )

    def _acquire(self) -> None:
        chosen = [name for name in self.wanted if not self.options.services or name in self.options.services]
        maker = self._maker("acquire")
        built = [name for name in chosen if self.wanted[name].built]
        if self.options.build == "always" and built:
            maker.acquire("build", built, self.options.timeout)
        pulled = [name for name in chosen if not self.wanted[name].built]
        if self.options.pull == "missing":
            pulled = [name for name in pulled if not self.engine.image_id(self.wanted[name].image)]
        if self.options.pull != "never" and pulled:
            maker.acquire("pull", pulled, self.options.timeout)

    def _require_images(self, turns: list[Turn], seen: Seen) -> None:
        for turn in turns:
            if not turn.image_id and any(batch.count for batch in turn.batches):
                how = "build=always" if seen.wanted[turn.service].built else "pull=missing"
                raise RollFailed(
                    "image_missing",
                    f"{turn.service} wants the image {turn.image}, which is not here; nothing was touched.",
                    f"Bring it first, or set {how}.",
                    service=turn.service,
                )

    def _require_networks(self, turns: list[Turn], seen: Seen) -> None:
        """Raise ``RollFailed`` where Compose, to make the first container, would stop all the others."""
        if not turns or not self.engine.hashed_networks(self.project):
            return
        services = [turn.service for turn in turns]
        family = {*services, *(name for service in services for name in closure(seen.wanted, service))}
        counts = {name: len(seen.of(name)) for name in sorted(family)}
        stopped = self._maker("rehearsal").would_stop(services, counts)
        if stopped:
            raise RollFailed(
                "network_changed",
                f"{self.project}: a network is not as the files say, and for a new one Compose would stop all that is "
                f"on it ({stopped}); nothing was touched.",
                "Do that when it suits (docker compose up -d), or take the change of the network back.",
            )

    def _require_room(self) -> None:
        if not self.options.min_free or not os.path.isdir(self.root):
            return
        free = shutil.disk_usage(self.root).free
        if free < self.options.min_free:
            raise RollFailed(
                "no_space",
                f"{self.root} has {format_size(free)} left, and min_free is {format_size(self.options.min_free)}; "
                "nothing was touched.",
                "Make room (docker system df), or lower min_free.",
                evidence={"path": self.root, "free_bytes": free},
            )

    def _require_checked(self, turns: list[Turn], seen: Seen) -> None:
        for turn in turns:
            policy, wanted = self.policies[turn.service], seen.wanted[turn.service]
            checked = wanted.health_seconds or any(one.checked for one in seen.of(turn.service))
            if turn.one_shot or checked or policy.no_healthcheck == "running" or policy.probe:
                continue
            raise RollFailed(
                "no_healthcheck",
                f"{turn.service} has no health check{' and no probe' if policy.no_healthcheck == 'probe' else ''}, "
                f"and no_healthcheck is {policy.no_healthcheck}; nothing was touched.",
                "Give it a healthcheck or a probe, or set no_healthcheck to running.",
                service=turn.service,
            )

    def _record(self, turns: list[Turn], previous: Optional[Record]) -> Record:
        identity = f"{self.now.strftime('%Y%m%dT%H%M%SZ')}-{secrets.token_hex(2)}"
        record = Record(identity, self.project, begun_at=rfc3339(self.now), turns=turns)
        for turn in turns:
            turn.planned_hash = self.wanted[turn.service].hash
        if previous is not None:
            # What we stopped ourselves is still what has to come back.
            known = {old.id: old for turn in previous.turns for batch in turn.batches for old in batch.old}
            for turn in turns:
                for batch in turn.batches:
                    batch.old = [known.get(old.id, old) for old in batch.old]
        return record

    def _prepare(self, record: Record, seen: Seen) -> None:
        """Keep the old images from being pruned, see which smoke tests fail already, and write the journal."""
        for turn in record.turns:
            for old in (old for batch in turn.batches for old in batch.old):
                if old.image_id and old.image_id != turn.image_id and old.image_id not in [t[0] for t in record.tags]:
                    repository, tag = reference(old.image, self.project, turn.service), rollback_tag(record.id)
                    record.tags.append([old.image_id, f"{repository}:{tag}", old.image])
        record.smoke_failing = [
            smoke.name
            for smoke in self.options.smoke
            if seen.containers and self._noted(smoke, self._smoke_of(self._roller_of(), smoke))
        ]
        self.journal.save(record)
        self._keep_images(record)

    def _keep_images(self, record: Record) -> None:
        for image_id, name, _before in record.tags:
            repository, _colon, tag = name.rpartition(":")
            self.engine.tag(image_id, repository, tag)

    def _noted(self, smoke: Smoke, why: str) -> bool:
        if why:
            self.notes.smoke_failing(smoke.name, why)
        return bool(why)

    def _running(self, smoke: Smoke) -> list[Container]:
        if not smoke.service:
            return []
        return [one for one in self.engine.project(self.project) if one.service == smoke.service and one.running]

    # --- forward

    def _forward(self, record: Record) -> Ended:
        """Roll what the record says from where it stands. Raises ``Interfered``."""
        roller = self._roller_of()
        try:
            for turn in record.turns:
                self._turn(roller, turn)
            record.phase = steps.SMOKE
            roller.context.save()
            self._smoke(roller)
            verify(roller)
        except Interfered:
            raise
        except UpkeepError as error:
            return self._failed(error)
        failing = [turn.service for turn in record.turns if turn.failed]
        commit(roller)
        for turn in record.turns:
            if not turn.failed:
                self.notes.rolled(turn, self.deadline.elapsed)
        if any(self.policies[name].failure_action == "continue" for name in failing):
            return Ended(INCOMPLETE, record)
        return Ended(UPDATED, record)

    def _turn(self, roller: Roller, turn: Turn) -> None:
        policy = self.policies[turn.service]
        waiting = [batch for batch in turn.batches if batch.step not in (steps.REPLACED, steps.FAILED)]
        for place, batch in enumerate(waiting):
            if place:
                roller.context.pause(policy.delay)
                roller.require_still_ready(turn)
            try:
                roller.roll(turn, batch)
            except RollFailed as error:
                if not self._tolerated(roller, turn, batch, error):
                    raise

    def _tolerated(self, roller: Roller, turn: Turn, batch: Batch, error: RollFailed) -> bool:
        """Take back one batch and go on, where that is asked for."""
        policy = self.policies[turn.service]
        failed = turn.failed + max(batch.count, len(batch.old))
        allowed = policy.max_failure_ratio * max(1, turn.replicas)
        if error.kind in ("timeout",) or (policy.failure_action != "continue" and failed > allowed):
            return False
        Rollback(roller).batch(turn, batch)
        turn.failed = failed
        roller.context.mark(batch, steps.FAILED)
        self.notes.replica_failed(turn.service, error)
        return True

    def _smoke(self, roller: Roller) -> None:
        for smoke in self.options.smoke:
            with roller.context.step("smoke", f"Smoke test {smoke.name}"):
                why = self._smoke_of(roller, smoke)
                if why and smoke.name not in roller.context.record.smoke_failing:
                    raise RollFailed(
                        "smoke_failed",
                        f"The smoke test {smoke.name} failed {smoke.attempts} times: {why}.",
                        "Mend the release, and update again.",
                    )

    def _smoke_of(self, roller: Roller, smoke: Smoke) -> str:
        why = ""
        for attempt in range(smoke.attempts):
            if attempt:
                roller.context.pause(smoke.interval)
            roller.context.checkpoint()
            why = probes.ask_whole(self.engine, smoke, self._running(smoke))
            if not why:
                break
        return why

    # --- failed

    def _failed(self, error: UpkeepError) -> Ended:
        """Do what failure_action says, and return how that ended."""
        roller = self._roller_of()
        record = roller.context.record
        service = getattr(error, "service", "")
        record.error = self._told(error, record)
        self.notes.failed(service, error)
        policy = self.policies.get(service)
        action = policy.failure_action if policy else str(self.params["failure_action"] or "rollback")
        if action == "pause" and not isinstance(error, Interrupted):
            record.phase = steps.PAUSED
            roller.context.save()
            self.notes.paused(
                turn.service for turn in record.turns if any(b.step != steps.PENDING for b in turn.batches)
            )
            return Ended(PAUSED, record, error=record.error)
        return self._back(roller, record)

    def _back(self, roller: Roller, record: Record) -> Ended:
        rollback = Rollback(roller)
        rollback.all()
        touched = [t.service for t in record.turns if any(b.step == steps.TAKEN_BACK for b in t.batches)]
        if rollback.lost:
            self.notes.rollback_failed(rollback.lost)
            return Ended(ROLLBACK_FAILED, record, error=record.error, lost=tuple(rollback.lost))
        self.notes.rolled_back(touched)
        return Ended(ROLLED_BACK, record, error=record.error)

    def _told(self, error: UpkeepError, record: Record) -> dict[str, Any]:
        step = next(
            (b.step for t in record.turns for b in t.batches if b.step not in (steps.PENDING, steps.REPLACED)), ""
        )
        told: dict[str, Any] = {
            "kind": kind_of(error),
            "service": getattr(error, "service", ""),
            "container": getattr(error, "container", ""),
            "phase": step or record.phase,
            "message": error.message,
        }
        identity = str(error.evidence.get("container_id") or "")
        if identity and self.options.show_logs:
            told["logs_tail"] = self.engine.logs(identity)
        if error.evidence.get("health_log"):
            told["health_log"] = error.evidence["health_log"]
        return told

    # --- an earlier run that was cut off

    def _end_earlier(self, record: Record) -> Optional[Ended]:
        """End what a killed run has begun; None when this one is to go on with its own work then."""
        if self.options.resume == "fail":
            raise RollFailed(
                "unfinished_previous",
                f"The run {record.id} of {record.begun_at} was cut off in the phase {record.phase}.",
                "Set resume to auto to end it, or to rollback to take it back.",
                evidence={"journal_id": record.id, "phase": record.phase},
            )
        self.resumed, self.earlier = True, record
        self.seen = self.look()
        self.roller = self._roller(record)
        wait_for_children(record.id, self.roller.context.checkpoint)
        if record.phase == steps.COMMITTING:
            commit(self.roller)
            self.notes.resumed(record.id, "committed")
            return None
        if record.phase == steps.ROLLING_BACK:
            self.notes.resumed(record.id, "taken back")
            return self._back(self.roller, record)
        same = all(self._is_same(turn) for turn in record.turns)
        if self.options.resume == "rollback" or not same:
            record.error = record.error or {"kind": "unfinished_previous", "message": "An earlier run was cut off."}
            ended = self._back(self.roller, record)
            self.notes.resumed(record.id, "taken back")
            return ended if self.options.resume == "rollback" or ended.outcome == ROLLBACK_FAILED else None
        self.notes.resumed(record.id, "carried on")
        self._keep_images(record)
        record.error = {}
        record.phase = steps.ROLLING
        try:
            self._revive(self.roller, record)
            ended = self._forward(record)
        except Interfered as error:
            self.notes.interfered(error.message)
            self.previous = record
            self.journal.finish(record)
            return None
        return ended if ended.outcome != UPDATED else None

    def _is_same(self, turn: Turn) -> bool:
        one = self.seen.wanted.get(turn.service) if self.seen else None
        return (
            one is not None
            and self.seen is not None
            and one.hash in (turn.hash, turn.planned_hash)
            and self.seen.images.get(one.image, "") == turn.image_id
        )

    def _revive(self, roller: Roller, record: Record) -> None:
        """Start what a restart of the host has ended since."""
        for turn in record.turns:
            for batch in turn.batches:
                later = (steps.PUBLISH, steps.DRAIN, steps.STOP, steps.REPLACED)
                for identity in batch.new if batch.step in later and not turn.one_shot else ():
                    found = self.engine.look(identity)
                    if found is not None and not found.running:
                        self.engine.start(found)

    # --- what they need

    def _maker(self, identity: str) -> Maker:
        return Maker(self.files, self.project, self.params["cli"], self.host, self.engine, identity)

    def _roller(self, record: Record) -> Roller:
        wanted = self.seen.wanted if self.seen is not None else self.wanted
        serving = {one.service for one in self.seen.containers if one.running} if self.seen else set()
        actions = self.roller.context.actions if self.roller else []
        removed = self.roller.context.removed if self.roller else []
        return Roller(
            Context(
                project=self.project,
                engine=self.engine,
                maker=self._maker(record.id),
                journal=self.journal,
                record=record,
                wanted=wanted,
                policies=_with_those_gone(self.policies, record),
                options=self.options,
                notes=self.notes,
                signals=self.signals,
                deadline=self.deadline,
                down_before=frozenset(set(self.wanted) - serving),
                actions=actions,
                removed=removed,
            )
        )

    def _roller_of(self) -> Roller:
        if self.roller is None:
            raise RollFailed("failed", "There is nothing that could be rolled.")
        return self.roller

    def _running_now(self) -> list[Container]:
        try:
            return self.engine.project(self.project)
        except ConnectionFailed:
            return []  # that the daemon stays away is the failure of this run already

    def _ended(self, ended: Ended, clock: Deadline) -> Rolled:
        running = [] if self.check_mode else self._running_now()
        context = self.roller.context if self.roller else None
        return report(
            ended,
            seen=self.seen,
            notes=self.notes,
            project=self.project,
            running=running,
            actions=context.actions if context else (),
            removed=context.removed if context else (),
            changed=self.changed or self.resumed,
            chosen=[name for name in self.wanted if not self.options.services or name in self.options.services],
            now=self.now,
            seconds=clock.elapsed,
        )


def _with_those_gone(policies: Mapping[str, Policy], record: Record) -> dict[str, Policy]:
    """A service that the project no longer has can be taken back all the same."""
    return {**{turn.service: Policy() for turn in record.turns}, **policies}


def _boots(last: Optional[Record]) -> dict[str, float]:
    return {
        turn.service: max(batch.healthy_after for batch in turn.batches if batch.healthy_after is not None)
        for turn in (last.turns if last else ())
        if any(batch.healthy_after is not None for batch in turn.batches)
    }


def _memory_available() -> int:
    """Return the free memory of this host in bytes; 0 when it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass  # another system: nothing is said then
    return 0
