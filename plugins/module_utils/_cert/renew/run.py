# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renew certificates, lineage by lineage, and see by the certificate itself whether that was done."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import first_certificate
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.library import quiet, require_library
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, Certificate
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.lineages import lineages_of
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.model import (
    ABSENT,
    CERTBOT,
    FAILED,
    KEPT,
    LEFT,
    RATE_LIMITED,
    RENEWED,
    TRIAL_FAILED,
    TRIED,
    Lineage,
    Options,
    Renewed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import parse_limit, renewal, threshold
from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    InvalidInput,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import MASK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration

_LARGEST = 1 << 20
# The problem type of RFC 8555, and the words of authorities and clients that do not show it.
_RATE_LIMITED = re.compile(
    r"rateLimited|too many (?!arguments|open|levels)\w|rate.?limit(?:ed| exceeded)", re.IGNORECASE
)
# So certbot warns, and goes on. A hook in its directories is named by its path.
_FAILED_HOOK = re.compile(r"^Hook '([^'\n]{1,200})' reported error code (-?\d{1,5})$", re.MULTILINE)
_SECRET_OPTION = re.compile(r"--?[\w-]*(?:key|secret|token|pass|hmac|credential)[\w-]*", re.IGNORECASE)
_SECRET_VALUE = re.compile(rf"^({_SECRET_OPTION.pattern}=).*", re.IGNORECASE | re.DOTALL)
_TELLING = (re.compile(r"with error: (.*)"), re.compile(r"(?:Detail|Error|error): *(.*)"))


def renew(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> AllRenewed:
    """Renew what is due of the lineages in *params* (validated by the argument spec); in check mode, try it dry.

    Raises ``UpkeepError`` when that cannot be begun; whatever goes wrong with one lineage is a finding.
    """
    clock = Deadline(None)
    require_library()
    options, lineages = _options(params), lineages_of(params)
    _require_certbot(params["certbot"], lineages)
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())
        if not check_mode:
            stack.enter_context(_lock(params))
        work = Renewal(options, now, check_mode)
        done = [work.renew(lineage) for lineage in lineages]
    outcome = Outcome(
        domain="cert",
        examined=[lineage.name for lineage in lineages],
        findings=work.findings,
        observed_at=now,
        actions=work.actions,
        seconds=clock.elapsed,
        extra={"lineages": [one.as_dict() for one in done]},
    )
    return AllRenewed(outcome, tuple(done))


@dataclass(frozen=True)
class AllRenewed:
    """What came of all lineages; ``before`` and ``after`` are for diff mode."""

    outcome: Outcome
    lineages: tuple[Renewed, ...]

    @property
    def before(self) -> str:
        return "".join(_line(one.lineage.name, one.before) for one in self.lineages)

    @property
    def after(self) -> str:
        return "".join(_line(one.lineage.name, one.after) for one in self.lineages)


def _line(name: str, leaf: Certificate | None) -> str:
    return f"{name}: {leaf.serial} until {rfc3339(leaf.not_after)}\n" if leaf is not None else ""


def _options(params: Mapping[str, Any]) -> Options:
    def of(option: str, parse: Any, text: str) -> Any:
        try:
            return parse(text)
        except InvalidInput as error:
            raise InvalidInput(f"{option}: {error.message}", error.remedy) from None

    return Options(
        critical=tuple(of("critical", parse_limit, text) for text in params["critical"]),
        force=params["force"],
        dry_run=params["dry_run"],
        seconds=of("timeout", parse_duration, params["timeout"]),
        time_limit=of("time_limit", parse_duration, params["time_limit"]),
    )


def _require_certbot(program: str, lineages: Iterable[Lineage]) -> None:
    # Beside those of other clients, which can be renewed without it, it is a finding of its own lineages.
    clients = {lineage.client for lineage in lineages if lineage.renew}
    if clients == {CERTBOT} and shutil.which(program) is None:
        raise CommandFailed(
            f"Nothing was renewed: there is no {program} on this host.",
            "Install certbot, say where it is in certbot, or give renew_command of the client that you use.",
            {"program": program},
        )


def _lock(params: Mapping[str, Any]) -> HostLock:
    directory = directory_of(params["state_dir"], os.environ, os.geteuid())
    name = folder_name(f"renewal {os.path.realpath(params['config_dir'])}")
    wait = parse_duration(params["lock_timeout"])
    return HostLock(os.path.join(directory, "locks", f"{name}.lock"), params["run_id"], wait)


class Renewal:
    """Renews one lineage after the other, within a budget of time, and notes what comes of it."""

    def __init__(self, options: Options, now: datetime, check_mode: bool) -> None:
        self.findings: list[Finding] = []
        self.actions: list[Action] = []
        self._options = options
        self._now = now
        self._check_mode = check_mode
        self._dry = check_mode or options.dry_run
        self._budget = Budget(options.time_limit)

    def renew(self, lineage: Lineage) -> Renewed:
        """Renew *lineage* if its client finds it due."""
        try:
            if not lineage.renew:
                raise CannotLook("not_found", f"certbot has no lineage {lineage.name}.", "")
            before = first_certificate(lineage.fullchain, _LARGEST)
        except CannotLook as error:
            message = f"{lineage.name} cannot be renewed: {error.message}"
            self._found("cert.lineage_absent", lineage, Severity.UNKNOWN, message)
            return Renewed(lineage, ABSENT)
        if self._budget.spent:
            message = f"{lineage.name} was left: the time for all is over."
            self._found("cert.renewal_failed", lineage, self._severity(before), message)
            return Renewed(lineage, LEFT, before, before)
        if self._check_mode:
            self._plan(lineage, before)
        argv = lineage.dry_run if self._dry else lineage.renew
        if not argv:
            self._note(lineage, core.SKIPPED, "there is no dry_run_command")
            return Renewed(lineage, KEPT, before, before)
        return self._run(lineage, argv, before)

    def _run(self, lineage: Lineage, argv: tuple[str, ...], before: Certificate) -> Renewed:
        started, ended, why = time.monotonic(), None, ""
        try:
            ended = run(argv, self._options.seconds)
        except UpkeepError as error:
            why = error.message
        seconds = time.monotonic() - started
        try:
            after = first_certificate(lineage.fullchain, _LARGEST)
        except CannotLook as error:
            after, why = before, why or error.message
        if ended is not None and ended.status != 0:
            why = _words(ended)
        for hook, code in _FAILED_HOOK.findall(f"{ended.errors}\n{ended.output}" if ended is not None else ""):
            message = f"{lineage.name}: certbot's {hook} failed with status {code}, which certbot takes no notice of."
            self._found("cert.hook_failed", lineage, Severity.WARNING, message, after)
        changed = after.fingerprint != before.fingerprint
        status = (
            (TRIED if self._dry else RENEWED if changed else KEPT) if not why else self._failed(lineage, after, why)
        )
        if changed:
            self._note(lineage, core.DONE, f"until {rfc3339(after.not_after)}", seconds)
        elif why and not self._dry:
            self._note(lineage, core.FAILED, why, seconds)
        return Renewed(lineage, status, before, after, seconds)

    def _plan(self, lineage: Lineage, leaf: Certificate) -> None:
        due = renewal(leaf.not_before, leaf.not_after, None)
        if self._options.force or due <= self._now:
            self._note(lineage, core.PLANNED, "force" if self._options.force else f"due since {rfc3339(due)}")

    def _failed(self, lineage: Lineage, leaf: Certificate, why: str) -> str:
        limited = _RATE_LIMITED.search(why) is not None
        what = "a dry run of its renewal failed" if self._dry else "it was not renewed"
        message = f"{lineage.name} ends on {rfc3339(leaf.not_after)}, and {what}: {why}"
        code = "cert.rate_limited" if limited else "cert.renewal_failed"
        self._found(code, lineage, self._severity(leaf), message, leaf)
        return RATE_LIMITED if limited else TRIAL_FAILED if self._dry else FAILED

    def _severity(self, leaf: Certificate) -> Severity:
        left = (leaf.not_after - self._now).total_seconds()
        late = left <= threshold(leaf.not_before, leaf.not_after, self._options.critical)
        return Severity.CRITICAL if late else Severity.WARNING

    def _found(
        self, code: str, lineage: Lineage, severity: Severity, message: str, leaf: Certificate | None = None
    ) -> None:
        evidence: dict[str, Any] = {"client": lineage.client, "command": _without_secrets(lineage.renew)}
        if leaf is not None:
            evidence["not_after"] = rfc3339(leaf.not_after)
        self.findings.append(Finding(code, lineage.name, severity, message, evidence, codes.CODES[code].remedy))

    def _note(self, lineage: Lineage, status: str, reason: str, seconds: float = 0.0) -> None:
        self.actions.append(Action(f"renew {lineage.name}", f"Renew {lineage.name}", status, reason, seconds))


def _without_secrets(argv: Iterable[str]) -> list[str]:
    """Return *argv* without what stands behind an option for a secret: a key of an account, say, for the authority."""
    shown: list[str] = []
    for word in argv:
        behind = bool(shown) and _SECRET_OPTION.fullmatch(shown[-1]) is not None and not word.startswith("-")
        shown.append(MASK if behind else _SECRET_VALUE.sub(rf"\1{MASK}", word))
    return shown


def _words(ended: Completed) -> str:
    """Return what a client that failed said, in one line: clients print much, and say why somewhere in it."""
    lines = [line.strip() for line in f"{ended.errors}\n{ended.output}".splitlines() if line.strip(" -")]
    limited = [line for line in lines if _RATE_LIMITED.search(line)]
    telling = [match[1] for pattern in _TELLING for line in lines for match in [pattern.search(line)] if match]
    said = (limited or telling or lines[-1:] or ["it said nothing"])[0]
    return f"{said[:500].rstrip('.')} (status {ended.status})."
