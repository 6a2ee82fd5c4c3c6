# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The migration gate: see where the database is, show the statements, migrate once, and see that it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.argspec import (
    CHECKED,
    DOWNGRADED,
    PREPARED,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.lock import FLAGS, AdvisoryLock
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.model import (
    agree,
    heads,
    revisions,
    risks,
    statements,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.runner import (
    LABEL,
    InContainer,
    OnHost,
    Runner,
    postgres_settings,
    with_image,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Compose, Files, files_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import name_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    InvalidInput,
    LockHeld,
    UpkeepError,
)
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
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration

# The database image's own variables say who may do what there; the shell is that of the container, not of the host.
_IN_CONTAINER = (
    'exec psql --username="${POSTGRES_USER:-postgres}" --dbname="${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" "$@"'
)
_LOOK_SECONDS = 120.0


@dataclass(frozen=True)
class Migrated:
    """What became of it. ``failure`` is why the database is not where it should be; empty when it is."""

    outcome: Outcome
    failure: str
    before: str
    after: str


def migrate(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Migrated:
    """Do what *params* (validated ``ARGUMENT_SPEC``) ask for.

    Raises ``UpkeepError`` when alembic or the database cannot be asked, or another migration runs: nothing was done
    then. A migration that fails is in what is returned.
    """
    if params["revision"].startswith(("+", "-")):
        raise InvalidInput("A revision must be a name, not so many steps.", "See alembic history for the names.")
    prepared = _prepare(params, check_mode)
    clock = Deadline(parse_duration(params["timeout"]))
    with _runner(params) as runner:
        gate = _Gate(params, runner, clock, now, prepared)
        if check_mode and prepared:
            # The migrations of the new version are in an image that is not there yet.
            return gate.migrated(looking=False)
        gate.look()
        gate.image = _image_of(params)
        if params["state"] not in (CHECKED, PREPARED) and gate.due and not gate.failure:
            if check_mode:
                gate.plan()
            else:
                with _lock(params):
                    _require_alone(params)
                    gate.execute()
    return gate.migrated(params["state"] in (CHECKED, PREPARED))


def _prepare(params: Mapping[str, Any], check_mode: bool) -> list[Action]:
    """Pull and build what the project's services need, while what is there still serves."""
    done: list[Action] = []
    if not params["service"] or params["state"] == CHECKED:
        return done
    steps = []
    if params["pull"] != "never":
        missing = ["--policy", "missing"] if params["pull"] == "missing" else []
        # What is built here is in no registry.
        steps.append(("pull", "Pull the images", ["pull", "--quiet", "--ignore-buildable", *missing]))
    if params["build"] != "never":
        steps.append(("build", "Build the images", ["build", "--quiet"]))
    compose = Compose(_files(params), params["cli"], params["docker_host"] or "", _LOOK_SECONDS)
    for name, words, arguments in steps:
        clock = Deadline(None)
        before = {} if check_mode else _images_now(params, compose)
        if check_mode:
            done.append(Action(name, words, PLANNED, "the statements of the migration are known afterwards"))
            continue
        ended = compose.run(*arguments, seconds=parse_duration(params["build_timeout"]))
        if ended.status:
            raise CommandFailed(
                f"docker compose {name} failed for {params['name']}: {_last(ended.errors or ended.output)}",
                f"Run it by hand in {compose.files.directory}; nothing else was done.",
                {"status": ended.status},
            )
        same = _images_now(params, compose) == before
        reason = "every image is the one that was here" if same else ""
        done.append(Action(name, words, SKIPPED if same else DONE, reason, clock.elapsed))
    return done


def _images_now(params: Mapping[str, Any], compose: Compose) -> dict[str, str]:
    """Return what the names of the project's images stand for."""
    with contextlib.closing(Api(params["docker_host"] or "")) as api:
        names = {service.image for service in compose.model().services.values()}
        return {name: str((api.image(name) or {}).get("Id", "")) for name in sorted(names)}


def _image_of(params: Mapping[str, Any]) -> str:
    """Return the id of the image that the migrations are in, so that a way back can use the same; empty on a host."""
    if not params["service"]:
        return ""
    model = Compose(_files(params), params["cli"], params["docker_host"] or "", _LOOK_SECONDS).model()
    service = model.services.get(params["service"])
    name = params["image"] or (service.image if service is not None else "")
    with contextlib.closing(Api(params["docker_host"] or "")) as api:
        image = api.image(name) if name else None
    return str(image["Id"]) if image is not None else ""


class _Gate:
    def __init__(
        self, params: Mapping[str, Any], runner: Runner, clock: Deadline, now: datetime, prepared: Sequence[Action]
    ) -> None:
        self._name = str(params["name"])
        self._state = str(params["state"])
        self._down = self._state == DOWNGRADED
        self._wanted = str(params["revision"])
        self._runner = runner
        self._clock = clock
        self._now = now
        self._findings: list[Finding] = []
        self._actions: list[Action] = list(prepared)
        self.image = ""
        self.heads: list[str] = []
        self.before: list[str] = []
        self.current: list[str] = []
        self.target = ""
        self.sql = ""
        self.failure = ""

    def look(self) -> None:
        """Read heads, revision and statements."""
        self.heads = heads(self._required("heads"))
        self.before = self.current = revisions(self._required("current"))
        if len(self.heads) > 1 and not self._down:
            message = f"{self._name}: the migrations have {len(self.heads)} heads: {', '.join(self.heads)}."
            self._say("app.multiple_heads", Severity.CRITICAL, message, {"heads": self.heads})
            self.failure = f"{message} {CODES['app.multiple_heads'].remedy}"
            return
        self.target = self._wanted if self._wanted not in ("", "head") else (self.heads[0] if self.heads else "")
        # To prepare is not to decide: the statements are shown before they are run.
        if self.due and self._state != PREPARED:
            self._show()

    @property
    def due(self) -> bool:
        """True when the database is not where it should be."""
        if self.target == "base":
            return bool(self.current)
        return bool(self.target) and not agree(self.current, self.target)

    def _show(self) -> None:
        """Get the statements; a migration that cannot show them can still be run."""
        start = self.current[0] if self.current else "base"
        way = f"{start}:{self.target}"
        verb = "downgrade" if self._down else "upgrade"
        words = [verb, way if self._down or self.current else self.target, "--sql"]
        ended = self._run(words, _LOOK_SECONDS)
        if ended.status:
            said = _last(ended.errors or ended.output)
            message = f"{self._name}: the statements from {start} to {self.target} cannot be shown: {said}"
            self._say("app.migration_unseen", Severity.WARNING, message, {"status": ended.status})
            return
        self.sql = redact("".join(f"{statement};\n" for statement in statements(ended.output)))
        found = risks(ended.output)
        if found:
            first = f"{found[0].statement}: {found[0].why}"
            more = f", and {len(found) - 1} more" if found[1:] else ""
            message = f"{self._name}: the migration to {self.target} deserves a second look: {first}{more}."
            evidence = {"statements": [{"statement": one.statement, "why": one.why} for one in found[:20]]}
            self._say("app.migration_risky", Severity.WARNING, message, evidence)

    def plan(self) -> None:
        self._actions.append(Action("migrate", self._words, PLANNED, f"the database is at {self._place}"))

    def execute(self) -> None:
        """Migrate, under the lock of the database: once."""
        # Whoever had the lock before may have done it.
        self.current = revisions(self._required("current"))
        if not self.due:
            return
        clock = Deadline(None)
        try:
            verb = "downgrade" if self._down else "upgrade"
            ended = self._run([verb, self.target], self._clock.remaining or 0.0)
            why = "" if ended.status == 0 else _last(ended.errors or ended.output)
        except UpkeepError as error:
            why = error.message
        # The time may be over: where the database is must be known all the same.
        self.current = revisions(self._required("current", in_time=False))
        if not why and self.due:
            why = f"alembic ended well, but the database is at {self._place}"
        if not why:
            self._actions.append(Action("migrate", self._words, DONE, "", clock.elapsed))
            return
        self._actions.append(Action("migrate", self._words, FAILED, why, clock.elapsed))
        moved = "as before" if self.current == self.before else f"not {', '.join(self.before) or 'empty'} as before"
        message = (
            f"{self._name}: the migration to {self.target} failed; the database is at {self._place}, {moved}: {why}"
        )
        self._say("app.migration_failed", Severity.CRITICAL, message, {"revision": self.current, "before": self.before})
        self.failure = f"{message} {CODES['app.migration_failed'].remedy}"

    def migrated(self, looking: bool) -> Migrated:
        if looking and self.due and not self.failure:
            message = f"{self._name}: the database is at {self._place}, the migrations go on to {self.target}."
            self._say("app.migration_due", Severity.INFO, message, {"revision": self.current, "target": self.target})
        outcome = Outcome(
            domain="app",
            examined=[self._name],
            findings=self._findings,
            observed_at=self._now,
            actions=self._actions,
            seconds=self._clock.elapsed,
            extra={
                "revision_before": ",".join(self.before),
                "revision": ",".join(self.current),
                "target": self.target,
                "heads": self.heads,
                "due": self.due,
                "image": self.image,
                "statements": len(self.sql.splitlines()),
            },
        )
        return Migrated(outcome, self.failure, "", self.sql)

    @property
    def _place(self) -> str:
        return ", ".join(self.current) or "no revision"

    @property
    def _words(self) -> str:
        return f"Migrate the database of {self._name} from {self._place} to {self.target}"

    def _required(self, what: str, in_time: bool = True) -> str:
        ended = self._run([what], _LOOK_SECONDS) if in_time else self._runner.run([what], _LOOK_SECONDS)
        if ended.status:
            said = _last(ended.errors or ended.output)
            raise CommandFailed(
                f"alembic {what} failed for {self._name} with status {ended.status}: {said}",
                "Run it by hand in the same place; nothing was changed.",
                {"status": ended.status},
            )
        return ended.output

    def _run(self, arguments: Sequence[str], seconds: float) -> Completed:
        return self._runner.run(arguments, min(seconds, self._clock.remaining or 0.0))

    def _say(self, code: str, severity: Severity, message: str, evidence: dict[str, Any]) -> None:
        self._findings.append(Finding(code, self._name, severity, message, evidence, CODES[code].remedy))


def _last(said: str) -> str:
    """Return the last line that says something: that of the error below a traceback."""
    lines = [line.strip() for line in redact(said).splitlines() if line.strip()]
    # SQLAlchemy ends with a hint to its documentation.
    telling = [line for line in lines if not line.startswith(("(Background on", "[SQL:", "[parameters:"))]
    errors = [line for line in telling if ": " in line and "Error" in line.partition(": ")[0]] or telling[-1:]
    return one_line(errors[-1])[:400] if errors else "it printed nothing"


@contextlib.contextmanager
def _runner(params: Mapping[str, Any]) -> Iterator[Runner]:
    given = {str(key): str(value) for key, value in params["environment"].items()}
    limits = parse_duration(params["lock_timeout"]), parse_duration(params["statement_timeout"])
    options = postgres_settings(*limits, given.get("PGOPTIONS"))
    environment = {**given, **({"PGOPTIONS": options} if options else {})}
    if params["chdir"]:
        yield OnHost(params["command"], environment, params["chdir"])
        return
    files = _files(params)
    with with_image(files, params["service"], params["image"]) as chosen:
        compose = Compose(chosen, params["cli"], params["docker_host"] or "", _LOOK_SECONDS)
        host = params["docker_host"] or ""
        yield InContainer(
            params["command"], environment, compose, params["cli"], host, params["service"], params["name"]
        )


def _require_alone(params: Mapping[str, Any]) -> None:
    """Raise ``LockHeld`` when the container of a run that was killed still migrates: its lock went with the run."""
    if not params["service"]:
        return
    with contextlib.closing(Api(params["docker_host"] or "")) as api:
        listed = api.containers(f"{LABEL}={params['name']}")
    names = [name_of({"Name": one["Names"][0]}) for one in listed if one.get("State") == "running"]
    if names:
        raise LockHeld(
            f"A migration of {params['name']} that an earlier run began is still at work in the container {names[0]}.",
            f"Wait until it has ended (docker wait {names[0]}), then run this again.",
            {"container": names[0]},
        )


@contextlib.contextmanager
def _lock(params: Mapping[str, Any]) -> Iterator[None]:
    """Hold the lock of the database, unless the user does without it."""
    if not params["lock"]:
        yield
        return
    environment = {str(key): str(value) for key, value in params["psql_environment"].items()}
    if params["psql"]:
        argv = [*params["psql"], *FLAGS]
    elif params["database_service"]:
        if params["docker_host"]:
            environment["DOCKER_HOST"] = params["docker_host"]
        inside = ["exec", "-T", params["database_service"], "sh", "-c", _IN_CONTAINER, "psql", *FLAGS]
        argv = [params["cli"], "compose", *_files(params).arguments, *inside]
    else:
        raise InvalidInput(
            "It is not said how to reach the database for its lock.",
            "Give database_service, or psql with its arguments; or set lock to false where only one run can happen.",
        )
    with AdvisoryLock(argv, environment, params["name"], parse_duration(params["wait_for_lock"])):
        yield


def _files(params: Mapping[str, Any]) -> Files:
    files = files_of(params)
    if files is None:
        raise InvalidInput("project_src is needed with a service.", "Give the project's folder.")
    return files
