# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a person typed: in YAML, as an extra variable, or in a survey that knows only text."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from typing import Any

import yaml

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0", "")


def read_bool(name: str, value: Any) -> bool:
    """Return the truth of *value*: a boolean or a text such as ``"true"``. Raises ``InvalidInput`` naming *name*."""
    if isinstance(value, bool):
        return value
    word = "" if value is None else str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise InvalidInput(f"{name} is {value!r}, which is neither true nor false.", f"Write {name}: true or false.")


def read_words(name: str, value: Any) -> list[str]:
    """Return the words of *value*: a list, ``"a,b"``, ``'["a", "b"]'`` or nothing. Raises ``InvalidInput``."""
    if isinstance(value, str):
        text = value.strip()
        value = _read_yaml(name, text) if text.startswith("[") else text.replace(",", " ").split()
    if value is None:
        return []
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise InvalidInput(f"{name} is {value!r}, which is no list of words.", f'Write {name}: "a,b" or [a, b].')
    return [str(word).strip() for word in value if word.strip()]


def read_mapping(name: str, value: Any) -> dict[str, Any]:
    """Return *value* as a mapping: one already, its JSON or YAML text, or nothing. Raises ``InvalidInput``."""
    if isinstance(value, str):
        value = _read_yaml(name, value) if value.strip() else {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} is a {type_word(value)}, not a mapping.", f"Write {name}: {{key: value}}.")
    return dict(value)


def _read_yaml(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass  # YAML comes second: it reads a pair of surrogates, as JSON escapes an emoji, as two broken characters
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
        problem = " ".join(str(error).split())
        raise InvalidInput(
            f"{name} cannot be read as YAML or JSON: {problem}.", f"Correct the text of {name}."
        ) from None


def type_word(value: Any) -> str:
    """Return what a YAML author calls the type of *value*."""
    if value is None:
        return "null"
    for kinds, word in (((bool,), "boolean"), ((str,), "text"), ((dict,), "mapping"), ((list, tuple), "list")):
        if isinstance(value, kinds):
            return word
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def suggest(word: str, known: Collection[str]) -> str:
    """Return the next step for the unknown *word*: the nearest of *known*, or all of them."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else f"Use one of {', '.join(sorted(known))}."
