# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of an application: look what is new, fetch one, remember that it runs, or go back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.argspec import (
    CHECKED,
    COMMITTED,
    FETCHED,
    PREVIOUS,
    RESTORED,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.git import (
    Git,
    TreeRefused,
    is_hash,
    require_clean,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.images import Images, images_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.memory import Memory, Remembered
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.model import (
    FIX,
    GROUPS,
    SECURITY,
    Generation,
    Pending,
    grouped,
    matching,
    prune,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    PLANNED,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration

_SHORT = 12
_MOST_COMMITS = 50  # of each group, in the result


@dataclass
class Told:
    """What is put together on the way."""

    findings: list[Finding] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)


def release(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Outcome:
    """Do what *params* (validated ``ARGUMENT_SPEC``) ask for. Raises ``UpkeepError`` when that cannot be done."""
    clock = Deadline(None)
    with ExitStack() as stack:
        directory = directory_of(params["state_dir"], os.environ, os.geteuid())
        memory = Memory(directory, params["name"])
        if params["state"] != CHECKED and not check_mode:
            stack.enter_context(memory.lock(params["run_id"], parse_duration(params["lock_timeout"])))
        git = Git(params["path"], params["remote"], parse_duration(params["timeout"]))
        git.require()
        images = stack.enter_context(images_of(params["docker_host"] or "", params["name"], params["project_name"]))
        work = _Work(params, now, check_mode, git, memory, images)
        {CHECKED: work.check, FETCHED: work.fetch, COMMITTED: work.commit, RESTORED: work.restore}[params["state"]]()
    return Outcome(
        domain="app",
        examined=[params["name"]],
        findings=work.told.findings,
        observed_at=now,
        actions=work.told.actions,
        metrics=work.told.metrics,
        seconds=clock.elapsed,
        extra=work.result(),
    )


class _Work:
    def __init__(
        self,
        params: Mapping[str, Any],
        now: datetime,
        check_mode: bool,
        git: Git,
        memory: Memory,
        images: Optional[Images],
    ) -> None:
        self._params = params
        self._name = str(params["name"])
        self._now = now
        self._check_mode = check_mode
        self._git = git
        self._memory = memory
        self._images = images
        self._remembered = memory.load()
        # Whether this call has begun an update, which it takes back when it cannot go on.
        self._begun = False
        self.told = Told()

    # --- what is new

    def check(self) -> None:
        """Compare what is checked out with the newest version, and say what lies between."""
        head = self._git.head
        try:
            self._bring()
        except ConnectionFailed as error:
            self._say("app.remote_unreachable", Severity.UNKNOWN, error.message, {}, error.remedy)
        changed = self._git.changed()
        if changed:
            message = f"{self._name}: {len(changed)} files of the working tree {self._git.path} were changed by hand."
            evidence = {"changed": [one_line(line) for line in changed[:20]]}
            self._say("app.tree_dirty", Severity.WARNING, message, evidence)
        pending = self._remembered.pending
        if pending is not None:
            message = f"{self._name}: an update to {pending.version} was begun at {pending.started_at} and has no end."
            self._say("app.unfinished", Severity.WARNING, message, {"commit": pending.commit[:_SHORT]})
        version = self._params["version"] or self._git.newest_tag(self._params["tags"]) or self._git.default_branch()
        target = self._git.resolve(version) if version else ""
        if target:
            self._compare(head, version, target)
        else:
            wanted = f"version {version}" if version else f"tag like {self._params['tags']}"
            message = f"{self._name}: there is no {one_line(wanted)} in {self._git.path}."
            self._say("app.no_release", Severity.UNKNOWN, message, {})
        self._say_lost_images()

    def _bring(self) -> None:
        if self._check_mode:
            self._plan("fetch", f"Fetch from {self._git.remote}", "what is new is not known before")
        else:
            self._git.fetch()
            self.told.extra["fetched"] = True

    def _compare(self, head: str, version: str, target: str) -> None:
        commits = self._git.commits(head, target)
        behind = self._git.commits(target, head)
        groups = grouped(commits)
        files = self._git.files_between(head, target) if commits else []
        migrations = matching(files, self._params["migration_paths"])
        counts = {group: len(groups[group]) for group in GROUPS}
        self.told.extra["release"] = {
            "running": {"commit": head, "version": self._git.describe(head)},
            "target": {"commit": target, "version": version},
            "commits": {group: members[:_MOST_COMMITS] for group, members in groups.items()},
            "counts": counts,
            "breaking": sum(commit.breaking for commit in commits),
            "migrations": migrations[:_MOST_COMMITS],
            "ahead": len(behind),
        }
        for group, count in counts.items():
            labels = {"application": self._name, "group": group}
            self.told.metrics.append(Metric("app_commits_behind", count, "count", labels))
        if behind and not self._git.contains(target, head) and commits:
            message = f"{self._name}: what runs has {len(behind)} commits that {one_line(version)} has not."
            self._say("app.diverged", Severity.WARNING, message, {"commits": [one.as_dict() for one in behind[:10]]})
        if not commits:
            self._say("app.up_to_date", Severity.OK, f"{self._name} is at {one_line(version)}, or past it.", {})
            return
        said = ", ".join(f"{count} {group}" for group, count in counts.items() if count)
        more = f", {len(migrations)} migrations" if migrations else ""
        message = f"{self._name} can be updated to {one_line(version)} ({target[:_SHORT]}): {said}{more}."
        evidence = {**counts, "breaking": self.told.extra["release"]["breaking"], "migrations": len(migrations)}
        if counts[SECURITY]:
            self._say("app.security_update", Severity.WARNING, message, evidence)
        else:
            hurry = " Corrections among them belong into the next window." if counts[FIX] else ""
            self._say("app.update_available", Severity.INFO, message + hurry, evidence)

    def _say_lost_images(self) -> None:
        for generation in self._remembered.generations if self._images is not None else ():
            lost = self._images.missing(generation.images) if self._images is not None else []
            if lost:
                message = f"{self._name}: the images of {generation.version} are not there any more: {', '.join(lost)}."
                self._say("app.image_lost", Severity.INFO, message, {"generation": generation.number})

    # --- another version

    def fetch(self) -> None:
        """Put the tree at the wanted version, and remember where it was."""
        require_clean(self._git, self._git.changed())
        generation = self._generation_wanted()
        version = generation.version if generation is not None else str(self._params["version"])
        if not version:
            raise InvalidInput(
                "It is not said which version to update to.", "Name a tag, a branch or a commit: version."
            )
        target = generation.commit if generation is not None else self._git.resolve(version)
        if not is_hash(version) or not target:
            self._fetch_or_plan(generation)
            target = generation.commit if generation is not None else self._git.resolve(version)
        if not target:
            if self._check_mode:
                self._plan("check out", f"Check out {one_line(version)}", "it is not known here before it is fetched")
                return
            raise self._no_such(version)
        self._require_pinned(version, target)
        try:
            self._check_out(version, target)
            if generation is not None:
                self._bring_images_back(generation)
        except UpkeepError:
            if self._begun:
                self.restore()
            raise

    def _no_such(self, version: str) -> InvalidInput:
        return InvalidInput(
            f"There is no version {one_line(version)} of {self._name} at {self._git.remote}.",
            "Correct version: a tag, a branch of the remote, or a commit (git tag, git branch -r).",
        )

    def _generation_wanted(self) -> Optional[Generation]:
        """Return the generation that is meant, when the version is one that ran here."""
        wanted, generations = str(self._params["version"]), self._remembered.generations
        if wanted == PREVIOUS:
            pending, candidates = self._remembered.pending, generations[:-1]
            if pending is not None:
                # One that was cut off goes on: back to where it went, or to where the update came from.
                goal = pending.commit if pending.back else pending.from_commit
                candidates = tuple(one for one in generations if one.commit == goal)
                start = Generation(0, self._git.describe(goal), goal, "", images=pending.images, tags=pending.tags)
                candidates = candidates or (() if pending.back else (start,))
            if not candidates:
                raise InvalidInput(
                    f"No earlier version of {self._name} is remembered on this host.", "Name a version to go back to."
                )
            return candidates[-1]
        return next((one for one in reversed(generations) if wanted and wanted in (one.version, one.commit)), None)

    def _fetch_or_plan(self, generation: Optional[Generation]) -> None:
        if generation is not None and self._git.resolve(generation.commit):
            return  # the way back must not depend on the network
        if not self._check_mode:
            self._git.fetch()
            return
        version = str(self._params["version"])
        if generation is None and not self._git.remote_has(version):
            raise self._no_such(version)
        self._plan("fetch", f"Fetch from {self._git.remote}", "the version is asked of the remote")

    def _require_pinned(self, version: str, target: str) -> None:
        pin = str(self._params["commit"])
        if pin and not (is_hash(pin) and pin == target):
            raise InvalidInput(
                f"{one_line(version)} of {self._name} is the commit {target}, not {one_line(pin)}.",
                "Find out who moved it; commit takes the whole hash.",
                {"version": version, "commit": target},
            )
        if self._params["require_signature"]:
            self._git.verify(version, target)

    def _check_out(self, version: str, target: str) -> None:
        head = self._git.head
        pending = self._remembered.pending
        self.told.extra["release"] = {
            "running": {"commit": head, "version": self._git.describe(head)},
            "target": {"commit": target, "version": version},
        }
        if head == target and (pending is None or pending.commit == target):
            return
        words = f"Check out {one_line(version)} ({target[:_SHORT]}) in {self._git.path}"
        if self._check_mode:
            self._plan("check out", words, f"it is at {head[:_SHORT]}")
            return
        # A run that was cut off came from somewhere too: that is where the way back leads.
        start = pending
        images, tags = (start.images, start.tags) if start is not None else self._images_now()
        record = Pending(
            version,
            target,
            start.from_commit if start is not None else head,
            start.branch if start is not None else self._git.branch,
            rfc3339(self._now),
            images,
            tags,
            self._params["version"] == PREVIOUS,
        )
        self._memory.save(self._remembered.generations, record)
        self._begun = start is None
        self._remembered = Remembered(self._remembered.generations, record)
        clock = Deadline(None)
        self._git.check_out(target, self._params["submodules"])
        self._done("check out", words, clock)

    def _images_now(self) -> tuple[Mapping[str, Mapping[str, str]], tuple[str, ...]]:
        if self._images is None:
            return {}, ()
        images = self._images.running()
        return images, self._images.spare("before", images)

    def _bring_images_back(self, generation: Generation) -> None:
        images = self._images
        whole = images is not None and bool(generation.images) and not images.missing(generation.images)
        self.told.extra["images_restored"] = whole
        if images is None or not whole:
            return
        words = f"Give the images of {generation.version} their names back"
        if self._check_mode:
            self._plan("images", words, "they are still here")
            return
        clock = Deadline(None)
        if images.bring_back(generation.images):
            self._done("images", words, clock)

    # --- the end of an update

    def commit(self) -> None:
        """Remember that what is checked out runs, and forget what is older than is to be kept."""
        head = self._git.head
        pending, running = self._remembered.pending, self._remembered.running
        images = self._images.running() if self._images is not None else {}
        # A tag that nobody asked for by that name is what it is called.
        version = pending.version if pending is not None and pending.commit == head else self._git.describe(head)
        same = running is not None and running.commit == head and dict(running.images) == images
        if same and pending is None:
            return
        words = f"Remember {one_line(version)} ({head[:_SHORT]}) as what runs"
        if self._check_mode:
            self._plan("commit", words, "it does not stand in the record")
            return
        clock = Deadline(None)
        generations = list(self._remembered.generations)
        if same and running is not None:
            generations.pop()
        number = running.number + (0 if same else 1) if running is not None else 1
        tags = self._images.spare(str(number), images) if self._images is not None else ()
        generations.append(
            Generation(
                number,
                version,
                head,
                rfc3339(self._now),
                str(self._params["revision"]),
                tuple(self._params["backups"]),
                images,
                tags,
            )
        )
        stay, go = prune(generations, self._params["keep"])
        self._memory.save(stay, None)
        if self._images is not None and pending is not None:
            self._images.release(pending.tags)
        self._remembered = Remembered(tuple(stay))
        self._done("commit", words, clock)
        for one in go:
            self._forget(one, stay)

    def _forget(self, generation: Generation, stay: Sequence[Generation]) -> None:
        clock = Deadline(None)
        still = {tag for one in stay for tag in one.tags}
        if self._images is not None:
            self._images.release([tag for tag in generation.tags if tag not in still])
        self._done(f"forget {generation.number}", f"Forget the generation {generation.number}", clock)

    def restore(self) -> None:
        """Put the tree back to where the update under way came from."""
        pending = self._remembered.pending
        if pending is None:
            return
        words = f"Check out {pending.from_commit[:_SHORT]} again in {self._git.path}"
        if self._check_mode:
            self._plan("restore", words, f"the update to {pending.version} is not done")
            return
        clock = Deadline(None)
        changed = self._git.changed()
        if changed:
            raise TreeRefused(
                f"{self._git.path} was changed since the update to {pending.version} began, and is left as it is.",
                f"Take the changes back and check out {pending.from_commit} by hand.",
                {"changed": [one_line(line) for line in changed[:20]]},
            )
        self._git.check_out(pending.from_commit, self._params["submodules"], pending.branch)
        if self._images is not None:
            self._images.bring_back(
                {name: one for name, one in pending.images.items() if not self._images.missing({name: one})}
            )
            self._images.release(pending.tags)
        self._memory.save(self._remembered.generations, None)
        self._remembered = Remembered(self._remembered.generations)
        self._done("restore", words, clock)

    # --- words

    def result(self) -> dict[str, Any]:
        """Return what the module tells besides the common form."""
        return {
            "application": self._name,
            "commit": self._git.head,
            "generations": [one.as_dict() for one in reversed(self._remembered.generations)],
            "release": {},
            "fetched": False,
            "images_restored": False,
            **self.told.extra,
        }

    def _plan(self, name: str, words: str, reason: str) -> None:
        self.told.actions.append(Action(name, words, PLANNED, reason))

    def _done(self, name: str, words: str, clock: Deadline) -> None:
        self.told.actions.append(Action(name, words, DONE, "", clock.elapsed))

    def _say(self, code: str, severity: Severity, message: str, evidence: dict[str, Any], remedy: str = "") -> None:
        finding = Finding(code, self._name, severity, message, evidence, remedy or CODES[code].remedy)
        self.told.findings.append(finding)
