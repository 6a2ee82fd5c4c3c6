# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which tasks a run does on a host, in which order, and why not the others. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import to_plain
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import CADENCES, period_of
from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import Catalogue, Entry
from ansible_collections.cadence.upkeep.plugins.plugin_utils.inputs import suggest, type_word

# Tags that mean something to Ansible itself and select nothing here.
_ANSIBLE_TAGS = frozenset(("all", "always", "never", "tagged", "untagged"))


@dataclass(frozen=True)
class Selection:
    """What the user asked for: a cadence, narrowed by ids or domains, by name or by tag."""

    cadence: str
    only: Sequence[str] = ()
    skip: Sequence[str] = ()

    @property
    def cadences(self) -> tuple[str, ...]:
        """The cadence and every shorter one: one run does all that is due."""
        return CADENCES[: CADENCES.index(self.cadence) + 1]


@dataclass(frozen=True)
class Unusable:
    """An inventory variable that could not be rendered, and why."""

    reason: str


@dataclass(frozen=True)
class Task:
    """One task to run on one host, with everything that the host needs to know of it."""

    entry: Entry
    period: str
    params: Mapping[str, Any]
    digest: str
    each: tuple[Mapping[str, Any], ...] = ()  # the check runs once for each of these, with ``params`` and them
    account: str = ""
    variables: tuple[str, ...] = ()  # where on the host's inventory the parameters come from

    @property
    def id(self) -> str:
        return self.entry.id


@dataclass(frozen=True)
class LeftOut:
    """A task that does not run, and why."""

    id: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        return {"id": self.id, "reason": self.reason}


@dataclass(frozen=True)
class Resolved:
    """The work of one host: tasks in order, what was left out, and what is wrong with the host's variables."""

    tasks: tuple[Task, ...]
    left_out: tuple[LeftOut, ...]
    problems: tuple[Finding, ...]


def select(
    cadence: str,
    only: Sequence[str],
    skip: Sequence[str],
    tags: Sequence[str],
    skip_tags: Sequence[str],
    catalogue: Catalogue,
) -> Selection:
    """Return what was asked for; names in *only*, *skip* and the tags are ids or domains.

    Raises ``InvalidInput`` for an unknown cadence, id or wanted tag, and when nothing of the cadence would be left.
    """
    if cadence not in CADENCES:
        raise InvalidInput(f"There is no cadence called {cadence!r}.", suggest(cadence, CADENCES))
    known = set(catalogue) | {entry.domain for entry in catalogue.values()} | set(CADENCES)
    wanted = [*only, *(tag for tag in tags if tag not in _ANSIBLE_TAGS)]
    # A tag to skip that nobody has skips nothing, as in Ansible: Molecule, for one, always passes two of its own.
    unwanted = [*skip, *(tag for tag in skip_tags if tag in known)]
    for word in [*wanted, *unwanted]:
        if word not in known:
            raise InvalidInput(f"There is no task, domain or tag called {word!r}.", suggest(word, known))
    selection = Selection(cadence, tuple(wanted), tuple(unwanted))
    if not any(why_not(entry, selection) is None for entry in catalogue.values()):
        raise InvalidInput(
            f"Nothing is left to do: no task of the {cadence} run is in {', '.join(wanted) or 'the catalogue'}"
            + (f" and not in {', '.join(unwanted)}." if unwanted else "."),
            _other_cadence(wanted, catalogue, selection),
        )
    return selection


def _other_cadence(wanted: Sequence[str], catalogue: Catalogue, selection: Selection) -> str:
    for word in wanted:
        for entry in catalogue.values():
            if word in (entry.id, entry.domain, entry.cadence) and entry.cadence not in selection.cadences:
                return f"{entry.id} is {entry.cadence}: run the {entry.cadence} playbook."
    return "Run `playbooks/plan.yml` to see what there is."


def resolve(catalogue: Catalogue, selection: Selection, variables: Mapping[str, Any], now: datetime) -> Resolved:
    """Return the work of one host.

    *variables* holds the rendered inventory variables that the catalogue names (``from`` and ``policy``); one that is
    missing is not set on the host, an ``Unusable`` one becomes a problem.
    """
    tasks: list[Task] = []
    left_out: list[LeftOut] = []
    problems: list[Finding] = []
    for entry in sorted(catalogue.values(), key=lambda entry: (entry.order, entry.id)):
        reason = why_not(entry, selection) or _why_absent(entry, variables)
        if reason:
            left_out.append(LeftOut(entry.id, reason))
            continue
        try:
            params = _params(entry, variables)
            each = _each(entry, variables, _parts(entry, catalogue))
            account = _account(entry, variables)
        except InvalidInput as error:
            problems.append(
                Finding(
                    "run.variable_unusable", entry.id, Severity.UNKNOWN, error.message, {}, error.remedy, task=entry.id
                )
            )
            continue
        told_by = tuple(name for name in (entry.source, entry.policy, entry.account) if name in variables)
        digest = _digest(entry, [params, each, account], variables)
        tasks.append(Task(entry, period_of(entry.cadence, now), params, digest, each, account, told_by))
    return Resolved(tuple(tasks), tuple(left_out), tuple(problems))


def why_not(entry: Entry, selection: Selection) -> str | None:
    """Return why *selection* leaves *entry* out; ``None`` when it keeps it."""
    names = {entry.id, entry.domain, entry.cadence}
    if entry.cadence not in selection.cadences:
        return f"it is {entry.cadence}, this run is {selection.cadence}"
    if selection.only and not names & set(selection.only):
        return f"only {', '.join(selection.only)} was asked for"
    if names & set(selection.skip):
        return f"{', '.join(sorted(names & set(selection.skip)))} was asked to be skipped"
    return None


def _why_absent(entry: Entry, variables: Mapping[str, Any]) -> str | None:
    if not entry.source:
        return None
    if entry.source not in variables:
        return f"{entry.source} is not set for this host"
    if variables[entry.source] in (None, [], {}, ""):
        return f"{entry.source} is empty for this host"
    value = variables[entry.source]
    if entry.optional and isinstance(value, list) and not any(_has_part(element, entry) for element in value):
        return f"nothing in {entry.source} has `{entry.part}`"
    return None


def _has_part(element: Any, entry: Entry) -> bool:
    return not isinstance(element, dict) or entry.part in element


def _params(entry: Entry, variables: Mapping[str, Any]) -> dict[str, Any]:
    params: dict[str, Any] = dict(entry.params or {})
    for name, into in ((entry.policy, ""), (entry.source, entry.into)):
        if name not in variables:
            continue
        value = variables[name]
        if isinstance(value, Unusable):
            raise InvalidInput(
                f"The variable {name} cannot be rendered: {value.reason.rstrip('.')}.", f"Correct {name}."
            )
        if into:
            params[into] = value
        elif name == entry.source and entry.shape:
            if not isinstance(value, list):
                raise InvalidInput(
                    f"The variable {name} is a {type_word(value)}, it must be a list.",
                    f"Write {name} with a - for each.",
                )
        elif not entry.acts:
            if not isinstance(value, dict):
                raise InvalidInput(
                    f"The variable {name} is a {type_word(value)}, it must be a mapping of options of {entry.check}.",
                    f"Correct {name}; `ansible-doc cadence.upkeep.{entry.check}` lists the options.",
                )
            params.update(value)
    return params


def _parts(entry: Entry, catalogue: Catalogue) -> frozenset[str]:
    """Return the parts of all tasks that read the same variable as *entry*."""
    return frozenset(other.part for other in catalogue.values() if other.part and other.source == entry.source)


def _each(entry: Entry, variables: Mapping[str, Any], parts: frozenset[str]) -> tuple[Mapping[str, Any], ...]:
    """Return the options of a check for each element: what all tasks share, then those of its own part."""
    if entry.acts or entry.shape != "each":
        return ()
    found = []
    for number, element in enumerate(variables[entry.source], 1):
        if not isinstance(element, dict):
            raise InvalidInput(
                f"The variable {entry.source} has a {type_word(element)} as element {number}, it must be a mapping.",
                f"Correct {entry.source}; `ansible-doc cadence.upkeep.{entry.check}` lists the options.",
            )
        if entry.optional and entry.part not in element:
            continue
        own = element.get(entry.part) or {}
        if not isinstance(own, dict):
            raise InvalidInput(
                f"The variable {entry.source} has a {type_word(own)} as {entry.part} of element {number}, it must be a "
                "mapping.",
                f"Correct {entry.source}; `ansible-doc cadence.upkeep.{entry.check}` lists the options.",
            )
        found.append({**{key: value for key, value in element.items() if key not in parts}, **own})
    return tuple(found)


def _account(entry: Entry, variables: Mapping[str, Any]) -> str:
    value = variables.get(entry.account) if entry.account else None
    if isinstance(value, Unusable):
        raise InvalidInput(
            f"The variable {entry.account} cannot be rendered: {value.reason.rstrip('.')}.", f"Correct {entry.account}."
        )
    if value is not None and not isinstance(value, str):
        raise InvalidInput(
            f"The variable {entry.account} is a {type_word(value)}, it must be the name of an account.",
            f"Correct {entry.account}.",
        )
    return value or ""


def _digest(entry: Entry, options: Sequence[Any], variables: Mapping[str, Any]) -> str:
    """Return a fingerprint of what the task is told, so that a changed task is a new one in its period."""
    told = [entry.check, entry.role, entry.entry, *options, variables.get(entry.source)]
    return hashlib.sha256(json.dumps(to_plain(told, strict=False), sort_keys=True).encode()).hexdigest()[:16]
