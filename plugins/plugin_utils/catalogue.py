# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of tasks: read, changed by the user's overrides, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.registry import CHECKS
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import CADENCES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration
from ansible_collections.cadence.upkeep.plugins.plugin_utils.inputs import read_mapping, suggest, type_word

CATALOGUE_FILE = Path(__file__).with_name("catalogue.yml")

Catalogue = Mapping[str, "Entry"]


@dataclass(frozen=True)
class Entry:
    """One task of the catalogue. The comment at the head of ``catalogue.yml`` says what each field means."""

    id: str
    cadence: str
    does: str = ""
    check: str = ""
    role: str = ""
    entry: str = "main"
    source: str = ""  # `from` in the file, which is a word of Python
    into: str = ""
    shape: str = ""
    part: str = ""
    optional: bool = False
    policy: str = ""
    account: str = ""
    params: Mapping[str, Any] | None = None
    needs: tuple[str, ...] = ()
    needs_if: Mapping[str, Any] | None = None
    covers: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    order: int = 100
    deadline: str = "60s"
    budget: str = "30m"

    @property
    def acts(self) -> bool:
        return bool(self.role)

    @property
    def domain(self) -> str:
        return self.id.split(".", 1)[0]


_KEYS = {"from" if field.name == "source" else field.name for field in fields(Entry)} - {"id"}
_CHECK_KEYS = {"check", "params", "into", "policy", "deadline", "covers", "after", "account"}
_ROLE_KEYS = {"role", "entry", "budget"}
_SHAPES = ("", "list", "each")
_LISTS = ("needs", "covers", "after")
_MAPPINGS = ("params", "needs_if")


def read_catalogue(overrides: Mapping[str, Any]) -> dict[str, Entry]:
    """Return the catalogue with *overrides* merged into it, id by id, mappings key by key.

    An override of ``false`` or ``null`` removes the task; a new id adds one. Raises ``InvalidInput``, naming the id and
    the key, for what is not an entry.
    """
    with CATALOGUE_FILE.open(encoding="utf-8") as stream:
        # The C loader reads it in a tenth of the time, and every host of a run reads it.
        raw: dict[str, Any] = yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for task_id, override in overrides.items():
        if override is None or override is False:
            raw.pop(str(task_id), None)
        else:
            raw[str(task_id)] = _merged(str(task_id), raw.get(str(task_id), {}), override)
    catalogue = {task_id: _entry(task_id, entry) for task_id, entry in raw.items()}
    _require_own_entries(catalogue)
    for entry in catalogue.values():
        for covered in entry.covers:
            # A covered task that the user removed is no mistake; one that never existed is.
            if covered not in catalogue and covered not in overrides:
                raise _refuse(entry.id, f"covers the unknown task {covered!r}", suggest(covered, catalogue))
        for before in entry.after:
            if before not in catalogue and before not in overrides:
                raise _refuse(entry.id, f"comes after the unknown task {before!r}", suggest(before, catalogue))
            if before in catalogue and not catalogue[before].acts:
                raise _refuse(entry.id, f"comes after {before}, which is a check", "Name tasks that act in `after`.")
        if entry.id in _covered(entry, catalogue):
            # Each would be left out for the other, and none would run.
            raise _refuse(entry.id, "covers itself, at least through others", "Take one of the `covers` out.")
    return catalogue


def _require_own_entries(catalogue: Catalogue) -> None:
    """An entry point registers its result under its own name: the result of one task must not pass for another's."""
    users: dict[tuple[str, str], str] = {}
    for entry in catalogue.values():
        if not entry.acts:
            continue
        first = users.setdefault((entry.role, entry.entry), entry.id)
        if first != entry.id:
            raise _refuse(
                entry.id,
                f"uses the entry {entry.entry!r} of the role {entry.role!r}, as {first} does",
                "Give the role an entry point of its own for each task.",
            )


def _covered(entry: Entry, catalogue: Catalogue) -> set[str]:
    """Return the ids that *entry* covers, and those that they cover in turn."""
    covered: set[str] = set()
    waiting = list(entry.covers)
    while waiting:
        task_id = waiting.pop()
        if task_id in catalogue and task_id not in covered:
            covered.add(task_id)
            waiting.extend(catalogue[task_id].covers)
    return covered


def _merged(task_id: str, base: Any, override: Any) -> dict[str, Any]:
    if not isinstance(override, dict):
        raise _refuse(task_id, f"is a {type_word(override)}, not a mapping", "Write `id: {key: value}`.")
    merged = dict(base)
    if "role" in override and "check" not in override:
        merged = {key: value for key, value in merged.items() if key not in _CHECK_KEYS}
    if "check" in override and "role" not in override:
        merged = {key: value for key, value in merged.items() if key not in _ROLE_KEYS}
    for key, value in override.items():
        below = merged.get(key)
        merged[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _entry(task_id: str, raw: Mapping[str, Any]) -> Entry:
    for key, value in raw.items():
        if key not in _KEYS:
            raise _refuse(task_id, f"has the unknown key {key!r}", suggest(str(key), _KEYS))
        wanted, word = _type_of(key)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise _refuse(task_id, f"has a {type_word(value)} as {key!r} where a {word} belongs", f"Correct {key}.")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise _refuse(task_id, f"has something other than text in {key!r}", f"Correct {key}.")
    if raw.get("cadence") not in CADENCES:
        cadence = str(raw.get("cadence", ""))
        raise _refuse(task_id, f"has the unknown cadence {cadence!r}", suggest(cadence, CADENCES))
    if bool(raw.get("check")) == bool(raw.get("role")):
        raise _refuse(
            task_id, "needs either a check or a role", "Write `check: NAME`, or `role: NAME` and `entry: NAME`."
        )
    for key in sorted((_ROLE_KEYS if raw.get("check") else _CHECK_KEYS) & set(raw)):
        kind = "a check" if raw.get("check") else "a role"
        raise _refuse(task_id, f"is {kind}, which has no {key!r}", f"Take {key} out.")
    if raw.get("check") and raw["check"] not in CHECKS:
        raise _refuse(task_id, f"names the unknown check {raw['check']!r}", suggest(raw["check"], CHECKS))
    _require_shape(task_id, raw)
    for library, keys in raw.get("needs_if", {}).items():
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise _refuse(task_id, f"needs {library} if something that is no list of keys", "Write `LIBRARY: [KEY]`.")
    if str(raw.get("entry", "")).endswith((".yml", ".yaml")):
        # With the suffix, Ansible would not validate the role's arguments.
        raise _refuse(task_id, f"names the entry {raw['entry']!r}", "Write it without its suffix.")
    for key in ("deadline", "budget"):
        _require_duration(task_id, key, raw.get(key))
    values = {"source" if key == "from" else key: value for key, value in raw.items()}
    values.update({key: tuple(values[key]) for key in _LISTS if key in values})
    return Entry(id=task_id, **values)


def _type_of(key: str) -> tuple[type, str]:
    if key in _LISTS:
        return list, "list"
    if key in _MAPPINGS:
        return dict, "mapping"
    return {"order": (int, "whole number"), "optional": (bool, "boolean")}.get(key, (str, "text"))


def _require_shape(task_id: str, raw: Mapping[str, Any]) -> None:
    shape = raw.get("shape", "")
    if shape not in _SHAPES:
        raise _refuse(task_id, f"has the unknown shape {shape!r}", suggest(shape, _SHAPES[1:]))
    if shape and not raw.get("from"):
        raise _refuse(task_id, f"has the shape {shape!r} of nothing", "Write `from: VARIABLE` too.")
    if shape == "each" and raw.get("into"):
        raise _refuse(task_id, "has both `shape: each` and `into`", "Take one of them out.")
    if raw.get("part") and not shape:
        raise _refuse(task_id, "has a part, but no elements that could have it", "Write `shape: each` or `list` too.")
    if raw.get("optional") and not raw.get("part"):
        raise _refuse(task_id, "is optional without a part", "Write `part: KEY` too, or take `optional` out.")


def _require_duration(task_id: str, key: str, value: str | None) -> None:
    if value is None:
        return
    try:
        parse_duration(value)
    except InvalidInput as error:
        raise _refuse(task_id, f"has a {key} that is none: {error.message}", error.remedy) from None


def _refuse(task_id: str, what: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"The task {task_id} {what}.", remedy, {"task": task_id})


def needed_libraries(variables: Mapping[str, Any], overrides: Any = None) -> list[str]:
    """Return the Python libraries that the tasks of a host need on it, sorted: the host is known by its *variables*.

    *overrides* is what ``upkeep_overrides`` holds. Raises ``InvalidInput`` as ``read_catalogue`` does.
    """
    catalogue = read_catalogue(read_mapping("upkeep_overrides", overrides))
    applying = [entry for entry in catalogue.values() if not entry.source or variables.get(entry.source)]
    needed = {library for entry in applying for library in entry.needs}
    for entry in applying:
        told = variables.get(entry.source)
        elements = told if isinstance(told, list) else [told]
        keys = {key for element in elements if isinstance(element, Mapping) for key in element}
        needed |= {library for library, when in (entry.needs_if or {}).items() if keys & set(when)}
    return sorted(needed)
