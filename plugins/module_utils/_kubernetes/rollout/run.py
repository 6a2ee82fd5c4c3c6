# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roll a Deployment out, wait by its conditions, and go back to the recorded revision when it does not become ready."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    StateError,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    Action,
    Finding,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, parse_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.argspec import UNDO, UNDONE
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.kubectl import Kubectl
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.model import (
    READY,
    WAITING,
    causes,
    has_digest,
    images_of,
    judge,
    owner_of,
    revision_of,
)

UNCHANGED, UPDATED, ROLLED_BACK, ROLLBACK_FAILED, LEFT = (
    "unchanged",
    "updated",
    "rolled_back",
    "rollback_failed",
    "left",
)


@dataclass(frozen=True)
class RolledOut:
    """What became of it. ``failure`` is why the Deployment is not what was wanted; empty when it is."""

    outcome: Outcome
    failure: str
    before: str
    after: str


def rollout(
    params: Mapping[str, Any], now: datetime, check_mode: bool = False, sleep: Callable[[float], None] = time.sleep
) -> RolledOut:
    """Do what *params* (validated ``ARGUMENT_SPEC``) ask for.

    Raises ``UpkeepError`` when that cannot be begun; a rollout that does not become ready is in what is returned.
    """
    with ExitStack() as stack:
        work = _Work(params, now, check_mode, sleep)
        if not check_mode:
            stack.enter_context(HostLock(work.lock, params["run_id"], parse_duration(params["lock_timeout"])))
        work.execute()
    return work.rolled_out()


class _Work:
    def __init__(
        self, params: Mapping[str, Any], now: datetime, check_mode: bool, sleep: Callable[[float], None]
    ) -> None:
        self._params = params
        self._now = now
        self._check_mode = check_mode
        self._sleep = sleep
        self._name = str(params["name"])
        self._clock = Deadline(None)
        self._kubectl = Kubectl(
            params["kubectl"], params["namespace"], params["context"] or "", params["kubeconfig"] or ""
        )
        self._subject = f"{params['namespace']}/{self._name}"
        base = directory_of(params["state_dir"], os.environ, os.geteuid())
        place = f"{params['kubeconfig'] or ''} {params['context'] or ''} {self._subject}"
        self._record = os.path.join(base, "kubernetes", f"{folder_name(place)}.json")
        self.lock = f"{self._record}.lock"
        self._actions: list[Action] = []
        self._findings: list[Finding] = []
        self._state = UNCHANGED
        self._revision: Optional[int] = None
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}
        self._failure = ""

    def execute(self) -> None:
        found = self._kubectl.deployment(self._name)
        self._before = self._after = images_of(found)
        self._revision = revision_of(found)
        if self._params["state"] == UNDONE:
            self._undo_as_asked(found)
            return
        images = self._images_wanted(found)
        if images == {container: self._before[container] for container in images}:
            self._require_ready(found)
            return
        self._require_mine(found)
        self._after = {**self._before, **images}
        words = f"Set {', '.join(f'{name} to {image}' for name, image in sorted(images.items()))} in {self._subject}"
        if self._check_mode:
            self._actions.append(Action("set image", words, PLANNED, f"revision {self._revision} has other images"))
            self._state = UPDATED
            return
        self._remember()
        clock = Deadline(None)
        self._kubectl.set_images(self._name, images)
        self._actions.append(Action("set image", words, DONE, "", clock.elapsed))
        self._state = UPDATED
        why = self._wait()
        if why:
            self._go_back(why)
        self._write({**self._read(), "pending": False})

    def _images_wanted(self, found: Mapping[str, Any]) -> dict[str, str]:
        images = {str(name): str(image) for name, image in self._params["images"].items()}
        unknown = sorted(set(images) - set(self._before))
        if unknown:
            raise InvalidInput(
                f"{self._subject} has no container {', '.join(unknown)}; it has {', '.join(sorted(self._before))}.",
                "Correct images: the keys are names of containers.",
            )
        loose = sorted(image for image in images.values() if not has_digest(image))
        if loose and self._params["require_digest"]:
            raise InvalidInput(
                f"{loose[0]} has no digest: what it stands for may be another image on the next node.",
                "Write it like registry.example.com/shop@sha256:..., or set require_digest to false.",
            )
        return images

    def _require_mine(self, found: Mapping[str, Any]) -> None:
        if self._params["force"]:
            return
        if (found.get("spec") or {}).get("paused"):
            raise InvalidInput(
                f"{self._subject} is paused: a change would have no effect.",
                "Let it go on (kubectl rollout resume deployment), or set force.",
            )
        owner = owner_of(found)
        if owner:
            raise InvalidInput(
                f"{self._subject} is looked after by {owner}, which would undo a change by hand.",
                f"Change the image where {owner} reads it, or set force.",
                {"owner": owner},
            )

    def _require_ready(self, found: Mapping[str, Any]) -> None:
        """Without a change, a Deployment that is still on its way, or was never ready, is no success."""
        verdict = judge(found)
        if verdict.state == READY or self._check_mode:
            return
        why = self._wait()
        record = self._read()
        if why and record.get("pending") and record.get("images") != self._before:
            # A run that was cut off has set them: this one does what that one would have done.
            self._revision, self._before = int(record["revision"]), dict(record["images"])
            self._go_back(why)
        elif why:
            self._say("kube.rollout_failed", f"{self._subject} has these images already and is not ready: {why}")
            self._state = LEFT
        elif record.get("pending"):
            self._write({**record, "pending": False})

    def _wait(self) -> str:
        """Wait until the Deployment is what it should be; return why it will not be, or nothing."""
        deadline = Deadline(parse_duration(self._params["timeout"]))
        verdict = None
        clock, lost = Deadline(None), ""
        while True:
            try:
                found = self._kubectl.deployment(self._name)
                verdict, lost = judge(found), ""
            except ConnectionFailed as error:
                lost = error.message  # an API server that is away for a while is no failed rollout
            if verdict is not None and not lost:
                if verdict.state == READY:
                    self._actions.append(Action("wait", f"Wait for {self._subject}", DONE, "", clock.elapsed))
                    self._revision_now = revision_of(found)
                    return ""
                if verdict.state != WAITING:
                    return self._explained(found, verdict.why)
            if deadline.expired:
                why = lost or (verdict.why if verdict is not None else "")
                words = f"it was not ready after {format_duration(deadline.seconds or 0.0)}: {why}"
                return words if lost or verdict is None else self._explained(found, words)
            self._sleep(parse_duration(self._params["interval"]))

    _revision_now: Optional[int] = None

    def _explained(self, found: Mapping[str, Any], why: str) -> str:
        try:
            told = causes(self._kubectl.pods(found))
        except UpkeepError as error:
            told = [f"the pods could not be asked: {error.message}"]
        return f"{why}{'; ' if told else ''}{'; '.join(told[:5])}"

    def _go_back(self, why: str) -> None:
        self._actions.append(Action("wait", f"Wait for {self._subject}", FAILED, why))
        if self._params["on_failure"] != UNDO or self._revision is None:
            self._state = LEFT
            self._say("kube.rollout_failed", f"{self._subject} did not become ready, and was left: {why}")
            return
        again = self._undo(self._revision)
        if again:
            self._state = ROLLBACK_FAILED
            message = f"{self._subject} did not become ready ({why}), nor did revision {self._revision} again: {again}"
            self._say("kube.rollback_failed", message)
            return
        self._state, self._after = ROLLED_BACK, self._before
        message = f"{self._subject} did not become ready, and revision {self._revision} is served again: {why}"
        self._say("kube.rolled_back", message)

    def _undo(self, revision: int) -> str:
        """Go to a revision; return why it is not served, or nothing."""
        clock, words = Deadline(None), f"Go back to revision {revision} of {self._subject}"
        try:
            self._kubectl.undo(self._name, revision)
        except UpkeepError as error:
            self._actions.append(Action("undo", words, FAILED, error.message, clock.elapsed))
            return error.message
        self._actions.append(Action("undo", words, DONE, "", clock.elapsed))
        return self._wait()

    def _undo_as_asked(self, found: Mapping[str, Any]) -> None:
        revision = self._params["revision"] or self._remembered()
        # A revision that is gone back to gets a new number, so that its images tell whether it is there already.
        there = not self._params["revision"] and self._read().get("images") == self._before
        if revision == self._revision or there:
            self._require_ready(found)
            return
        self._require_mine(found)
        if self._check_mode:
            words = f"Go back to revision {revision} of {self._subject}"
            self._actions.append(Action("undo", words, PLANNED, f"it is at revision {self._revision}"))
            self._state = UPDATED
            return
        self._state = UPDATED
        why = self._undo(int(revision))
        if why:
            self._state = LEFT
            self._say("kube.rollout_failed", f"{self._subject} is not ready at revision {revision}: {why}")
        else:
            self._after = images_of(self._kubectl.deployment(self._name))

    # --- what is remembered

    def _remember(self) -> None:
        """Write down where it was: the revision before may be another broken one by the time it is asked for."""
        known = self._read()
        if known.get("pending"):
            # A run that was cut off came from somewhere good; where it got to may not be.
            self._revision, self._before = int(known["revision"]), dict(known["images"])
            return
        self._write({"revision": self._revision, "images": self._before, "pending": True})

    def _write(self, record: Mapping[str, Any]) -> None:
        partial = f"{self._record}.new"
        try:
            ensure_directory(os.path.dirname(self._record))
            descriptor = open_own(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(record, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, self._record)
        except OSError as error:
            raise StateError(
                f"The revision of {self._subject} cannot be written down in {self._record}: "
                f"{reason(error, self._record)}.",
                "Make the state directory writable, or set another: state_dir.",
            ) from error

    def _read(self) -> dict[str, Any]:
        """Return what was written down; nothing when there is none that can be used."""
        try:
            with open(open_own(self._record, os.O_RDONLY), encoding="utf-8") as stream:
                record = json.load(stream)
        except (OSError, ValueError):
            return {}
        whole = isinstance(record, dict) and isinstance(record.get("revision"), int)
        return dict(record) if whole and isinstance(record.get("images"), dict) else {}

    def _remembered(self) -> int:
        revision = self._read().get("revision")
        if not isinstance(revision, int):
            raise InvalidInput(
                f"No revision of {self._subject} was written down on this host.",
                "Name it in revision: kubectl rollout history deployment NAME.",
            )
        return revision

    # --- the result

    def _say(self, code: str, message: str) -> None:
        evidence = {"revision_before": self._revision, "images": self._after}
        self._findings.append(Finding(code, self._subject, Severity.CRITICAL, message, evidence, CODES[code].remedy))
        self._failure = f"{message} {CODES[code].remedy}"

    def rolled_out(self) -> RolledOut:
        outcome = Outcome(
            domain="kube",
            examined=[self._subject],
            findings=self._findings,
            observed_at=self._now,
            actions=self._actions,
            seconds=self._clock.elapsed,
            extra={
                "outcome": self._state,
                "revision_before": self._revision,
                "revision": self._revision_now if self._revision_now is not None else self._revision,
                "images_before": self._before,
                "images": self._after,
            },
        )
        listed = [
            "".join(f"{name}: {image}\n" for name, image in sorted(images.items()))
            for images in (self._before, self._after)
        ]
        return RolledOut(outcome, self._failure, *listed)
