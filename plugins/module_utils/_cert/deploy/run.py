# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy a certificate: judge it, keep what was there, put it in place, reload, and see that it is served.

Whatever goes wrong after the files were put in place puts the old ones back, and lets the servers take those up again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy import candidate, consumers
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.archive import Archives
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.consumers import Inside
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.inside import Containers
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import (
    BACKED_UP,
    BROKEN,
    CHANGED,
    DEPLOYED,
    FAILURES,
    PUT_BACK,
    REFUSED,
    RELOADED,
    UNCHANGED,
    Consumer,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.options import (
    keep_of_wanted,
    locks_of,
    wanted_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import FILES, PUBLIC, Keep, keep_of
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.library import require_library
from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome

_ABOUT_SERVING = (codes.SERVED_DIFFERS, codes.SERVED_UNKNOWN, codes.UNREACHABLE)
_PAUSE = 0.2  # seconds between two looks at an endpoint
# While a server hands over to its successor, now the one answers and now the other.
_IN_A_ROW = 2


def deploy(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Deployed:
    """Do what *params* (validated by the argument spec) ask for.

    Raises ``UpkeepError`` when that cannot be begun, or the destination is in the hands of another run; whatever goes
    wrong later is in what is returned.
    """
    clock = Deadline(None)
    require_library()
    wanted = wanted_of(params, os.environ)
    with contextlib.ExitStack() as stack:
        if not check_mode:
            for lock in locks_of(params, wanted.store, os.environ):
                stack.enter_context(lock)
        inside = stack.enter_context(Containers(params["docker_host"] or ""))
        return Deployment(wanted, inside, now, check_mode).execute(clock)


@dataclass(frozen=True)
class Deployed:
    """What became of it; ``before`` and ``after`` tell what is (or would be) in place, for diff mode."""

    outcome: Outcome
    state: str
    before: str
    after: str

    @property
    def failure(self) -> str:
        """The reason why what was asked for is not so; empty when it is."""
        if self.state not in FAILURES:
            return ""
        worst = [finding for finding in self.outcome.findings if finding.severity is Severity.CRITICAL]
        # What was refused has reasons side by side; else the last one tells how it ended.
        return worst[0 if self.state == REFUSED else -1].message


@dataclass
class Record:
    """What happens, as it happens."""

    now: datetime
    state: str = UNCHANGED
    actions: list[Action] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    backup: str = ""

    @contextlib.contextmanager
    def step(self, name: str, description: str) -> Iterator[None]:
        """Note a step with its time; one that raises is noted as failed."""
        started = time.monotonic()
        try:
            yield
        except UpkeepError as error:
            self.actions.append(Action(name, description, core.FAILED, error.message, time.monotonic() - started))
            raise
        self.actions.append(Action(name, description, core.DONE, "", time.monotonic() - started))

    def planned(self, name: str, description: str, reason: str) -> None:
        self.actions.append(Action(name, description, core.PLANNED, reason))


class Deployment:
    """One deployment of what is wanted; ``execute`` is called once, with the destination locked."""

    def __init__(self, wanted: Wanted, inside: Inside, now: datetime, check_mode: bool) -> None:
        self._wanted = wanted
        self._store = wanted.store
        self._inside = inside
        self._check_mode = check_mode
        self._stamp = now.strftime("%Y%m%dT%H%M%SZ")
        self._archives = Archives(wanted.backup_dir, wanted.store, wanted.backup_keep)
        self._reloaded = False
        # The endpoints of which nothing better is expected than what they did before.
        self._excused: frozenset[str] = frozenset()
        self.record = Record(now)

    def execute(self, clock: Deadline) -> Deployed:
        """Do it, and return what became of it."""
        self._require_own_places()
        interrupted = self._recover()
        live = self._store.read()
        told = self._told(live)
        if self._wanted.state == BACKED_UP:
            self._back_up(live, replaced=False)
            return self._deployed(clock, live, told, told)
        known = [one for consumer in self._wanted.consumers for one in consumers.each(consumer, self._inside)]
        self._wanted = replace(self._wanted, consumers=tuple(known))
        files, kept = self._candidate()
        keep = {key: self._keep(key, kept) for key in self._store.keys}
        differs = self._differs(files, live, keep)
        against = candidate.judge(self._wanted, files, live, self.record.now) if differs else []
        against += self._unseen()
        if against:
            self.record.state = REFUSED
            self.record.findings += against
        elif differs:
            self._excused = self._wrong_before(live, interrupted)
            self._replace({key: files[key] for key in self._store.keys}, live, keep)
        if not differs or (against and interrupted):
            self._see_that_it_is_served(interrupted)
        planned = self._check_mode and differs and not against
        after = {key: files[key] for key in self._store.places} if planned else self._store.read()
        return self._deployed(clock, after, told, self._told(after, keep if planned else None))

    def _recover(self) -> bool:
        """Undo what a killed run left half done; return whether there was such."""
        if not self._store.pending:
            return False
        words = "Undo the deployment that was cut off"
        if self._check_mode:
            self.record.planned("recover", words, f"{self._store.journal} is there")
        else:
            with self.record.step("recover", words):
                self._store.recover()
        return True

    def _require_own_places(self) -> None:
        """Raise ``InvalidInput`` when a path is of another deployment too: each would break the pair of the other."""
        path, other = self._store.shared
        if path:
            raise InvalidInput(
                f"deploy: {path} belongs to the deployment {other}, with the other paths of that one.",
                f"Give each deployment paths of its own; if {other} is no more, remove that link.",
            )

    def _wrong_before(self, live: Mapping[str, bytes], interrupted: bool) -> frozenset[str]:
        """Return the endpoints that do not serve what is in place before that is touched.

        To put it back would not help them. Where nothing was before there is nothing to compare with, and after a run
        that was cut off what another one serves says nothing.
        """
        if self._check_mode or not any(key in live for key in PUBLIC):
            return frozenset()
        found = [one for one in self._look() if one.code == "cert.not_served" and "expect_file" not in one.evidence]
        return frozenset(
            str(one.evidence["endpoint"]) for one in found if one.severity is Severity.UNKNOWN or not interrupted
        )

    def _candidate(self) -> tuple[dict[str, bytes], Mapping[str, Keep]]:
        """Return the files that are wanted, and whose they were if they come from a backup."""
        if self._wanted.state == DEPLOYED:
            return candidate.read_sources(self._wanted.sources), {}
        archived = self._archives.load(self._wanted.backup)
        # Where the intermediates come from elsewhere, none are kept, and without them trust cannot be tried.
        above = any(key in archived.files for key in ("fullchain", "chain", "bundle"))
        self._wanted = replace(self._wanted, origin=archived.path, verify=self._wanted.verify and above)
        return candidate.rejoined(archived.files), archived.keep

    def _keep(self, key: str, archived: Mapping[str, Keep]) -> Keep:
        path = self._store.places.get(key) or os.path.join(self._store.generation, FILES[key])
        return keep_of_wanted(self._wanted, key, keep_of(path) if os.path.exists(path) else archived.get(key))

    def _differs(self, files: Mapping[str, bytes], live: Mapping[str, bytes], keep: Mapping[str, Keep]) -> bool:
        return any(
            live.get(key) != files[key] or keep_of(path).owner_and_mode != keep[key].owner_and_mode or self._lent(path)
            for key, path in self._store.places.items()
        )

    def _lent(self, path: str) -> bool:
        """Whether *path* is a link to the very files that are to be deployed: a renewal would change them unseen."""
        folders = {os.path.dirname(os.path.realpath(source)) for source in self._wanted.sources.values()}
        return os.path.islink(path) and os.path.dirname(os.path.realpath(path)) in folders

    def _back_up(self, live: Mapping[str, bytes], replaced: bool) -> None:
        if not live:
            return
        self.record.backup = self._archives.same(live)
        if self.record.backup:
            return
        words = f"Keep what is in place in {self._archives.folder}"
        if self._check_mode:
            self.record.state = CHANGED
            self.record.planned("backup", words, "no backup holds it")
            return
        with self.record.step("backup", words):
            self.record.backup = self._archives.add(live, self._stamp, replaced)
        self.record.state = CHANGED

    # --- other files

    def _replace(self, files: Mapping[str, bytes], live: Mapping[str, bytes], keep: Mapping[str, Keep]) -> None:
        words = f"Replace {', '.join(sorted(self._store.places.values()))}"
        self._back_up(live, replaced=self._wanted.state != DEPLOYED)
        self.record.state = CHANGED
        if self._check_mode:
            self.record.planned("deploy", words, "they differ from what is wanted")
            self._plan_reload("the files change")
            return
        with self.record.step("deploy", words):
            before = self._store.deploy(files, self._stamp, keep)
        problem = self._take_up()
        if problem:
            self._put_back(before, problem)
        else:
            self._store.settle()
            self._say_who_lags()

    def _say_who_lags(self) -> None:
        """Fail when an endpoint serves something else, though that is no reason to put anything back."""
        late = [
            one for one in self.record.findings if one.code == "cert.not_served" and one.severity is Severity.CRITICAL
        ]
        if late:
            self.record.state = BROKEN
            where = ", ".join(str(one.evidence["endpoint"]) for one in late)
            words = f"the certificate is in place and stays, but {where} did not serve the one of before and does not"
            self._found("cert.not_in_use", f"{self._wanted.name}: {words} serve this one.")

    def _put_back(self, before: str, why: str) -> None:
        """Make the old files live again, and have those taken up of which a server has taken up the new ones."""
        name = self._wanted.name
        if not before:
            self.record.state = BROKEN
            self._found("cert.not_in_use", f"{name}: the certificate is in place, but not in use: {why}")
            return
        words = "the certificate could not be taken into use"
        try:
            with self.record.step("put back", "Put the files of before back"):
                self._store.turn_back(before)
            problems = "; ".join(self._tell_consumers()) if self._reloaded else ""
            # What is served counts where it can be seen, whatever a reload says that failed once more.
            again = self._not_served(self._wanted.settle) if self._wanted.endpoints else problems
        except UpkeepError as error:
            again, problems = error.message, ""
        if again:
            self.record.state = BROKEN
            kept = f" The files of before are in {self.record.backup}." if self.record.backup else ""
            self._found("cert.put_back_failed", f"{name}: {words} ({why}), nor the one of before again: {again}{kept}")
            return
        self._store.settle()
        self.record.state = PUT_BACK
        served = "is served again" if self._reloaded else "is still served"
        seen = served if self._wanted.endpoints else "is in place again"
        but = f" (although: {problems})" if problems not in why else ""
        self._found("cert.put_back", f"{name}: {words}, and the one of before {seen}{but}. {why}")

    def _take_up(self) -> str:
        """Have the servers take up what is in place; return why they did not, or nothing."""
        for problem in self._tell_consumers():
            return problem
        return self._not_served(self._wanted.settle)

    def _tell_consumers(self) -> Iterator[str]:
        """Have all consumers check what they have, then reload each; yield what goes wrong, and only then go on."""
        bad = set()
        for consumer in self._wanted.consumers:
            if consumer.validate:
                words = f"Have {consumer.label} check its configuration"
                problem = self._tried(f"validate {consumer.label}", words, consumers.validate, consumer)
                if problem:
                    bad.add(consumer)
                    yield problem
        for consumer in self._wanted.consumers:
            if consumer not in bad:
                self._reloaded = True
                words = f"Let {consumer.label} take up its files"
                problem = self._tried(f"reload {consumer.label}", words, consumers.reload, consumer)
                if problem:
                    yield problem

    def _tried(self, name: str, words: str, tell: Callable[[Consumer, Inside], None], consumer: Consumer) -> str:
        """Take one step; return why it failed, or nothing."""
        try:
            with self.record.step(name, words):
                tell(consumer, self._inside)
        except UpkeepError as error:
            return error.message
        return ""

    def _plan_reload(self, reason: str) -> None:
        for consumer in self._wanted.consumers:
            self.record.planned(f"reload {consumer.label}", f"Let {consumer.label} take up its files", reason)

    def _found(self, code: str, message: str) -> None:
        finding = Finding(code, self._wanted.name, Severity.CRITICAL, message, {}, codes.CODES[code].remedy)
        self.record.findings.append(finding)

    # --- is it served?

    def _see_that_it_is_served(self, interrupted: bool) -> None:
        """Reload when the files are right and something else is served, or nobody saw a reload to its end."""
        unserved = list(self._look())
        self._excused = frozenset(str(one.evidence["endpoint"]) for one in unserved if one.severity is Severity.UNKNOWN)
        stale = [finding for finding in unserved if finding.severity is Severity.CRITICAL]
        reason = stale[0].message if stale else "a deployment was cut off" if interrupted else ""
        if not reason:
            # A server that cannot be reached is not made to answer by a reload.
            self.record.findings += unserved
        elif self._check_mode:
            self.record.state = self.record.state if self.record.state == REFUSED else RELOADED
            self._plan_reload(reason)
        else:
            problem = self._take_up()
            if problem:
                self.record.state = BROKEN
                if not any(finding.code == "cert.not_served" for finding in self.record.findings):
                    self._found("cert.not_in_use", f"{self._wanted.name}: what is in place is not in use: {problem}")
            else:
                self.record.state = self.record.state if self.record.state == REFUSED else RELOADED
                self._store.settle()
                self._say_who_lags()

    def _not_served(self, settle: float) -> str:
        """Return why the endpoints do not serve what is in place, *settle* seconds from now, or nothing.

        Those that are excused have that time too, and are only noted after it.
        """
        deadline, good = Deadline(settle), 0
        while self._wanted.endpoints:
            left = list(self._look())
            faults = [one for one in left if one.evidence["endpoint"] not in self._excused]
            good = 0 if faults else good + 1
            if good >= _IN_A_ROW and (not left or deadline.expired):
                self.record.findings += [_as_before(one) for one in left]
                return ""
            if faults and deadline.expired:
                self.record.findings += [one if one in faults else _as_before(one) for one in left]
                return faults[0].message
            time.sleep(_PAUSE)
        return ""

    def _look(self) -> Iterable[Finding]:
        """Yield a finding for every endpoint that does not serve what is in place, or cannot be asked."""
        if not self._wanted.endpoints:
            return
        # Whether a client would trust it was judged before; what counts here is that it is this one.
        compared = {"expect_file": self._store.public, "verify": "none"}
        endpoints = [{**endpoint, **compared} for endpoint in self._wanted.endpoints]
        params: dict[str, Any] = {"endpoints": endpoints, "ca_path": self._wanted.ca_path or None}
        outcome = check(validate("cert_expiry", ARGUMENT_SPEC, params, RULES).params, self.record.now)
        for seen in outcome.extra["certificates"]:
            if seen.get("served_matches_file"):
                continue
            differs = seen.get("served_matches_file") is False
            said = [one for one in outcome.findings if one.subject == seen["target"] and one.code in _ABOUT_SERVING]
            message = said[0].message if said else f"{seen['target']} could not be compared with the file."
            yield Finding(
                "cert.not_served",
                self._wanted.name,
                Severity.CRITICAL if differs else Severity.UNKNOWN,
                f"{self._wanted.name}: {message}",
                {"endpoint": seen["target"], **(said[0].evidence if said else {})},
                codes.CODES["cert.not_served"].remedy,
            )

    def _unseen(self) -> list[Finding]:
        """Return a finding for every place that a container would never see renewed."""
        return [
            Finding(
                "cert.mount_too_narrow",
                self._wanted.name,
                Severity.CRITICAL,
                f"{self._wanted.name}: nothing was deployed, because {consumer.label} would not see it: {place} {why}.",
                {"place": place, "consumer": consumer.label},
                codes.CODES["cert.mount_too_narrow"].remedy,
            )
            for consumer in self._wanted.consumers
            if consumer.place
            for place, why in consumers.unseen(self._inside.find(consumer.place).get("Mounts") or (), self._store)
        ]

    # --- the result

    def _told(self, files: Mapping[str, bytes], keep: Mapping[str, Keep] | None = None) -> str:
        """Return what diff mode shows of *files*: of the certificate its public marks, of each file whose it is."""
        lines = [f"{name}: {value}" for name, value in candidate.summary_of(files).items()]
        for key, path in sorted(self._store.places.items()):
            if key in files:
                whose = keep[key] if keep else keep_of(path)
                lines.append(f"{path}: {whose.uid}:{whose.gid} {whose.mode:04o}")
        return "".join(f"{line}\n" for line in lines)

    def _deployed(self, clock: Deadline, files: Mapping[str, bytes], before: str, after: str) -> Deployed:
        record = self.record
        outcome = Outcome(
            domain="cert",
            # A backup of nothing is none.
            examined=[self._wanted.name] if files or self._wanted.state != BACKED_UP else [],
            findings=record.findings,
            observed_at=record.now,
            actions=record.actions,
            seconds=clock.elapsed,
            extra={
                "state": record.state,
                "certificate": candidate.summary_of(files),
                "places": dict(self._store.places),
                "backup": record.backup,
            },
        )
        return Deployed(outcome, record.state, before, after)


def _as_before(finding: Finding) -> Finding:
    """Return *finding* saying that no deployment is to blame."""
    return replace(finding, message=f"{finding.message} So it was before, and nothing was put back for that.")
