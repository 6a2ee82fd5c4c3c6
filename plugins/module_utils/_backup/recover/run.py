# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a backup for people: look, plan, ask for the confirmation, save what is there, load beside it, swap."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC as VERIFY_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import RULES as VERIFY_RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.argspec import ARGUMENT_SPEC as CREATE_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.naming import is_series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.run import create
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import TAR
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.evaluate import evaluate
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import of_file
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.policy import policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.argspec import KEEP, OF_VERIFY
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.database import LiveServer, is_database
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.files import LiveTree
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.model import (
    DATABASE,
    TREE,
    Backup,
    Job,
    Names,
    Present,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.plan import Plan, names_of, plan
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.evaluate import record_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    Failed,
    Restored,
    ServerOptions,
    failed,
    troubles_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.options import jobs_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import Ward, account_called
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.programs import installed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.scratch import free_bytes
from ansible_collections.cadence.upkeep.plugins.module_utils._core import isolate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.account import become
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    SKIPPED,
    Action,
    Finding,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size, parse_duration

CONFIRMATION = "confirm"
# What the role calls the option: who runs the playbook sets that.
VARIABLE = "backups_restore_confirm"
_BLOCKING = (Severity.CRITICAL, Severity.UNKNOWN)


@dataclass(frozen=True)
class Recovered:
    """The whole run: the outcome, why the task fails (empty when it does not), and the states for diff mode."""

    outcome: Outcome
    failure: str
    before: str
    after: str

    def as_result(self) -> dict[str, Any]:
        return self.outcome.as_result()


def recover(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Recovered:
    """Put the backup that *params* (validated) name in the place of what is there; in *check_mode* only plan it.

    Raises ``InvalidInput`` for parameters that make no sense. Whatever else keeps it from being done is a failure of
    the result, with the plan as far as there is one, and then all is as it was.
    """
    job = job_of(params)
    with ExitStack() as stack:
        run = _Run(job, params, now, check_mode, stack)
        try:
            run.all()
        except Failed as error:
            run.fail(error)
        return run.recovered()


def job_of(params: Mapping[str, Any]) -> Job:
    for option in ("path", "destination", "safety_directory"):
        if params[option] and not os.path.isabs(params[option]):
            raise InvalidInput(f"{option}: {params[option]!r} is not an absolute path.", "Write it from / on.")
    if params["database"] and params["destination"]:
        raise InvalidInput(
            "database and destination are both given.", "Name the database, or the directory, that is to be replaced."
        )
    try:
        seconds = parse_duration(params["time_limit"])
    except InvalidInput as error:
        raise InvalidInput(f"time_limit: {error.message}", error.remedy) from None
    return Job(
        path=params["path"],
        confirm=params["confirm"].strip(),
        host=params["host"] or socket.gethostname(),
        database=params["database"] or "",
        destination=os.path.normpath(params["destination"]) if params["destination"] else "",
        server=ServerOptions(
            host=params["login_host"] or params["login_unix_socket"],
            port=params["login_port"],
            user=params["login_user"],
            password=params["login_password"],
            maintenance_db=params["login_db"],
        ),
        user=params["user"] or "",
        bin_dir=params["bin_dir"] or "",
        owners=params["owners"] == KEEP,
        jobs=jobs_of(params["jobs"]),
        fingerprint=params["fingerprint"],
        safety_backup=params["safety_backup"],
        safety_directory=params["safety_directory"],
        seconds=seconds,
        run_id=params["run_id"],
    )


@dataclass
class _Story:
    """What came of the run so far."""

    plan: Plan | None = None
    restored: Restored | None = None
    safety: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    failure: str = ""
    swapped: bool = False


class _Run:
    def __init__(self, job: Job, params: Mapping[str, Any], now: datetime, check_mode: bool, stack: ExitStack) -> None:
        self._job, self._params, self._now, self._check_mode = job, params, now, check_mode
        self._stack = stack
        self._deadline = Deadline(job.seconds)
        self._ward = Ward(-1, self._deadline)
        self._subject = job.database or job.destination or job.path
        self._story = _Story()

    # --- the order of things

    def all(self) -> None:
        backup = self._verified()
        live: LiveServer | LiveTree
        if backup.kind == DATABASE:
            live = LiveServer(self._job, installed(self._job.bin_dir, clients=True), self._ward)
            self._stack.callback(live.close)
        else:
            live = LiveTree(self._job, self._ward)
        target = self._target(backup)
        names = names_of(target, self._now, "_" if backup.kind == DATABASE else ".")
        present = live.look(target, backup) if isinstance(live, LiveServer) else live.look(target)
        made = plan(self._job, backup, present, names, self._now)
        self._story.plan, self._subject = made, made.confirmation
        if self._check_mode:
            self._only_plan(made, present)
            return
        if self._job.confirm != made.confirmation:
            self._refuse(made)
            return
        if isinstance(live, LiveServer):
            live.require_room(made.record["need_bytes"])
            self._database(live, backup, present, names)
        else:
            self._require_room(backup, names)
            self._tree(live, backup, present, names)

    def _verified(self) -> Backup:
        """Verify the backup up to its structure; raise ``Failed`` unless it is good."""
        wanted = {"paths": [self._job.path], "level": "structure", "nice": 0, "parallel": 1, "count_rows": True}
        given = {name: self._params[name] for name in OF_VERIFY if self._params[name] is not None}
        limit = f"{int(self._job.seconds)}s"
        params = validate(
            "backup_verify",
            VERIFY_SPEC,
            {**wanted, **given, "timeout": limit, "timeout_per_file": limit},
            VERIFY_RULES,
        ).params
        policy = policy_of(params, check_mode=True)
        self._job = replace(self._job, decrypt=policy.decrypt)
        snapshot = collect(policy, self._now)
        findings = [one for one in evaluate(snapshot, policy, self._now) if one.severity in _BLOCKING]
        selected = [file for found in snapshot.found for file in found.selected]
        self._story.findings += findings
        if not selected:
            raise _not_restored("there is no such backup" if not findings else findings[0].message)
        (file,) = selected[:1]
        own = [one for one in of_file(file, snapshot.found[0].series, policy) if one.severity in _BLOCKING]
        if own or findings or file.content is None:
            said = (own or findings)[0].message if own or findings else "it could not be read"
            raise _not_restored(f"it is not known to be good: {said}")
        manifest, content = file.manifest, file.content
        form = content.chain[-1] if content.chain else ""
        if not is_database(form) and form != TAR:
            raise _not_restored(
                f"{form or 'a directory of files'} is not restored by this, but by the tool that made it"
            )
        counted = content.dump is not None and content.dump.counted and not content.dump.inserts
        rows = manifest.rows if manifest is not None else None
        if rows is None and counted and content.dump is not None:
            rows = content.dump.rows
        self._done("verify", f"Verify {file.path} up to its structure", content.seconds)
        return Backup(
            file=file,
            kind=DATABASE if is_database(form) else TREE,
            chain=content.chain,
            decoded_bytes=content.bytes_decoded,
            rows=rows,
            source_bytes=manifest.source.bytes if manifest is not None else 0,
            database=(manifest.source.database if manifest is not None else "")
            or (content.dump.database if content.dump is not None else "")
            or "",
        )

    def _target(self, backup: Backup) -> str:
        if backup.kind == TREE:
            if not self._job.destination:
                raise InvalidInput(
                    f"{backup.file.path} is an archive of files, and destination is not given.",
                    "Say which directory it replaces: destination.",
                )
            return self._job.destination
        target = self._job.database or backup.database
        if not target:
            raise InvalidInput(
                f"{backup.file.path} does not say of which database it is, and database is not given.",
                "Say which database it replaces: database.",
            )
        if target in ("postgres", "template0", "template1"):
            raise InvalidInput(f"The database {target} is the server's own, and is not replaced.", "Name another.")
        return target

    def _only_plan(self, made: Plan, present: Present) -> None:
        self._note("backup.recovery_planned", Severity.INFO, made.lines[0], dict(made.record))
        self._attached(present)
        for step in self._steps(present):
            self._story.actions.append(Action(step[0], step[1], PLANNED))

    def _steps(self, present: Present) -> list[tuple[str, str]]:
        saves = self._job.safety_backup and present.exists
        return [
            *([("save", f"Back up what is there into {self._job.safety_directory}")] if saves else []),
            ("load", "Load the backup beside it, and compare"),
            ("swap", "Give it the name of what is there, which is kept under another"),
        ]

    def _refuse(self, made: Plan) -> None:
        lines = "\n".join(f"- {line}" for line in made.lines)
        given = f", and {self._job.confirm!r} was given" if self._job.confirm else ""
        self._story.failure = (
            f"Nothing was restored: that takes a confirmation{given}.\n{lines}\n"
            f"To do it, set {CONFIRMATION} (in the role {VARIABLE}) to exactly: {made.confirmation}"
        )

    def _require_room(self, backup: Backup, names: Names) -> None:
        place = os.path.dirname(names.target)
        free, _size = free_bytes(place)
        if free < backup.decoded_bytes:
            what = f"it unpacks to {format_size(backup.decoded_bytes)}, and {place} has {format_size(free)} free"
            raise _not_restored(what)

    # --- a database

    def _database(self, live: LiveServer, backup: Backup, present: Present, names: Names) -> None:
        live.claim(names.target)
        for name in live.leftovers(names.target, names):
            live.drop(name)
            self._done(name, f"Drop {name}, which an earlier restore left unfinished")
        self._attached(present)
        self._save(present, names)
        restored = Restored(target="server", format=backup.chain[-1], server_version=present.server_version)
        self._story.restored = restored
        began = time.monotonic()
        dump = backup.file.content.dump if backup.file.content is not None else None
        live.make(names, present.exists, (dump.encoding if dump is not None else "") or "")
        try:
            live.load(backup, names, restored)
            self._require_equal(restored)
            if present.exists:
                live.adorn(names)
            self._done("load", f"Load the backup as {names.fresh}, and compare", time.monotonic() - began)
            began = time.monotonic()
            live.swap(names, present.exists)
        except BaseException:
            live.drop(names.fresh)
            raise
        self._story.swapped = restored.finished = True
        kept = f", and {names.before} to what was there" if present.exists else ""
        self._done("swap", f"Give the name {names.target} to it{kept}", time.monotonic() - began)
        self._recovered(names, present, restored)

    # --- a directory

    def _tree(self, live: LiveTree, backup: Backup, present: Present, names: Names) -> None:
        for path in live.leftovers(names):
            live.drop(path)
            self._done(path, f"Remove {path}, which an earlier restore left unfinished")
        self._save(present, names)
        restored = Restored(target="directory", format=TAR)
        self._story.restored = restored
        began = time.monotonic()
        try:
            fresh = live.load(backup, names, restored)
            self._require_equal(restored)
            self._done("load", f"Unpack the backup as {names.fresh}, and compare", time.monotonic() - began)
            began = time.monotonic()
            live.swap(names, fresh, present.exists)
        except OSError as error:
            raise _not_restored(f"{names.target} cannot be exchanged: {error.strerror}") from error
        finally:
            live.drop(names.fresh)
        self._story.swapped = restored.finished = True
        kept = f", and {names.before} to what was there" if present.exists else ""
        self._done("swap", f"Give the name {names.target} to it{kept}", time.monotonic() - began)
        self._recovered(names, present, restored)

    # --- what both need

    def _save(self, present: Present, names: Names) -> None:
        """Back up what is there, as any backup is; raise ``Failed`` when that cannot be done."""
        job = self._job
        if not present.exists or not job.safety_backup:
            why = "there is nothing" if not present.exists else "safety_backup is off"
            self._story.actions.append(Action("save", "Back up what is there", SKIPPED, why))
            return
        account = "" if job.destination or os.geteuid() != 0 else account_called(job.user).name
        directory = self._safety_directory(account)
        params = {"directory": directory, "when": "always", "globals": False, "run_id": job.run_id}
        if job.destination:
            series = _series_of(job.destination)
            params |= {"kind": "files", "series": series, "paths": [job.destination]}
        else:
            series = _series_of(names.target)
            given = ("login_host", "login_port", "login_user", "login_password", "login_unix_socket", "login_db")
            params |= {"series": series, "databases": [names.target], "programs": "host"}
            params |= {name: self._params[name] for name in given} | ({"bin_dir": job.bin_dir} if job.bin_dir else {})
        wanted = validate("backup_create", CREATE_SPEC, params).params
        began = time.monotonic()

        def call() -> dict[str, Any]:
            if account:
                become(account)
            made = create(wanted, self._now)
            paths = [one["path"] for one in made.outcome.extra["backups"] if one.get("path")]
            return {"failure": made.failure, "paths": paths}

        (ended,) = isolate.run_isolated([isolate.Job("save", call, self._deadline.remaining or 0.0)], 1)
        said = ended.value["failure"] if ended.how == isolate.DONE else ended.message
        if said:
            self._story.actions.append(Action("save", "Back up what is there", FAILED, said))
            raise _not_restored(f"what is there could not be backed up before (safety_backup): {said}")
        self._story.safety = ended.value["paths"]
        self._done("save", f"Back up what is there into {directory}", time.monotonic() - began)

    def _safety_directory(self, account: str) -> str:
        """Make the directory for the backup of what is there: below the one that was named, its own for an account."""
        ensure_directory(self._job.safety_directory, 0o711)
        if not account:
            return self._job.safety_directory
        own = os.path.join(self._job.safety_directory, account)
        if not os.path.lexists(own):
            os.mkdir(own, 0o700)
            account_called(self._job.user).give(own)
        return own

    def _require_equal(self, restored: Restored) -> None:
        """Whatever the comparison found that is no warning keeps it from taking the place."""
        bad = [trouble for trouble in troubles_of(restored) if not trouble.warning]
        if bad:
            raise Failed(bad[0])

    def _attached(self, present: Present) -> None:
        things = [*present.slots, *present.subscriptions]
        if things or present.prepared:
            message = f"{self._subject}: slots, subscriptions or prepared transactions stay with the old database."
            evidence = {"slots": list(present.slots), "subscriptions": list(present.subscriptions)}
            self._note(
                "backup.recovery_attached", Severity.WARNING, message, {**evidence, "prepared": present.prepared}
            )

    def _recovered(self, names: Names, present: Present, restored: Restored) -> None:
        for trouble in troubles_of(restored):
            self._note(trouble.code, Severity.WARNING, f"{self._subject} {trouble.what}.", dict(trouble.evidence))
        made = self._story.plan
        lost = made.record["lost"] if made is not None else {}
        if lost and (lost["tables"] or lost["rows"]):
            message = f"{self._subject} lacks rows that were there before it was restored."
            self._note("backup.recovery_loses", Severity.WARNING, message, {**lost, "before": names.before})
        kept = f", and what was there is kept as {names.before}" if present.exists else ""
        evidence: dict[str, Any] = {"before": names.before if present.exists else None}
        evidence |= {"safety_backup": self._story.safety}
        evidence |= {"rows": restored.rows, "tables": restored.tables, "compared": restored.compared}
        message = f"{self._subject} is restored from {self._job.path}{kept}."
        self._note("backup.recovered", Severity.OK, message, evidence)

    # --- notes

    def _done(self, name: str, description: str, seconds: float = 0.0) -> None:
        self._story.actions.append(Action(name, description, DONE, seconds=seconds))

    def _note(self, code: str, severity: Severity, message: str, evidence: dict[str, Any]) -> None:
        remedy = CODES[code].remedy
        self._story.findings.append(Finding(code, self._subject, severity, message, evidence, remedy))

    def fail(self, error: Failed) -> None:
        trouble = error.trouble
        severity = Severity.UNKNOWN if trouble.unknown else Severity.CRITICAL
        self._note(trouble.code, severity, f"{self._job.path} {trouble.what}.", dict(trouble.evidence))
        self._story.failure = (
            f"{self._job.path} {trouble.what}. What was there is in its place, as it was. {CODES[trouble.code].remedy}"
        ).rstrip()

    def recovered(self) -> Recovered:
        story, made = self._story, self._story.plan
        # Reading changes nothing.
        actions = [one for one in story.actions if not (one.id == "verify" and not story.swapped)]
        extra: dict[str, Any] = {
            "plan": dict(made.record) if made is not None else {},
            "plan_lines": list(made.lines) if made is not None else [],
            "confirmation": made.confirmation if made is not None else "",
            "safety_backups": list(story.safety),
        }
        if story.restored is not None and made is not None:
            extra["restore"] = record_of(story.restored.as_plain(), made.record["taken_at"])
        outcome = Outcome(
            domain="backup",
            examined=[self._subject],
            findings=story.findings,
            observed_at=self._now,
            actions=actions,
            seconds=self._deadline.elapsed,
            extra=extra,
        )
        return Recovered(outcome, story.failure, *self._states())

    def _states(self) -> tuple[str, str]:
        made = self._story.plan
        if made is None:
            return "", ""
        there = f"{made.record['to']}: as it is at {rfc3339(self._now)}\n" if made.record["exists"] else ""
        after = f"{made.record['to']}: as it was at {made.record['taken_at']}\n"
        kept = f"{made.record['before_name']}: as it is at {rfc3339(self._now)}\n" if made.record["exists"] else ""
        planned = self._check_mode or self._story.swapped
        return there, (after + kept) if planned else there


def _series_of(target: str) -> str:
    """Return the name of the series for what is saved of *target*, another one for each."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", target).strip("-")[:40]
    name = f"before-restore-{plain}"
    if is_series(name) and plain == target.strip("/").replace("/", "-"):
        return name
    digest = hashlib.sha256(target.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    # What looks like a time in it would be taken for that of the backup.
    return f"{name}-{digest}" if is_series(f"{name}-{digest}") else f"before-restore-x{digest}x"


def _not_restored(why: str) -> Failed:
    return failed("backup.restore_failed", f"was not restored: {why.rstrip('.')}", unknown=True)
