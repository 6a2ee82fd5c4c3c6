# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validate the parameters of a check by the same argument spec as its module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact


@dataclass(frozen=True)
class Check:
    """A read-only check: what ``checkup`` runs by name, and what the module of that name runs alone.

    ``run(params, now)`` gets validated parameters. ``rules`` are the keyword arguments that ``AnsibleModule`` takes
    besides the spec (``required_one_of``, ``mutually_exclusive`` ...).
    """

    name: str
    argument_spec: Mapping[str, Any]
    run: Callable[[dict[str, Any], datetime], Outcome]
    rules: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Validated:
    """Parameters with defaults and types applied, and the texts among them that are secret."""

    params: dict[str, Any]
    secrets: frozenset[str]


def validate(
    what: str, argument_spec: Mapping[str, Any], params: Mapping[str, Any], rules: Mapping[str, Any] | None = None
) -> Validated:
    """Return the validated form of *params*, which are left as they are.

    Raises ``InvalidInput`` naming *what* and every mistake in it; secret values do not stand in the message.
    """
    remedy = f"Correct them; `ansible-doc cadence.upkeep.{what}` lists every option."
    if not _is_parameters(params):
        raise InvalidInput(f"The parameters of {what} are not valid: they are not a mapping of option names.", remedy)
    result = ArgumentSpecValidator(dict(argument_spec), **(rules or {})).validate(dict(params))
    secrets = frozenset(map(str, result._no_log_values))
    if result.error_messages:
        mistakes = [redact(_in_full(result, message), secrets) for message in result.error_messages]
        raise InvalidInput(
            f"The parameters of {what} are not valid: {'; '.join(mistakes)}", remedy, {"errors": mistakes}
        )
    return Validated(dict(result.validated_parameters), secrets)


def _is_parameters(params: object) -> bool:
    return isinstance(params, Mapping) and all(isinstance(name, str) for name in params)


def _in_full(result: Any, message: str) -> str:
    """Ansible leaves it to its caller to say what is wrong with options that nobody knows.

    All those that there are would hide the one that is wrong; the remedy says where they are listed.
    """
    names, unknown, _known = message.partition(". Supported parameters include")
    return f"Unsupported parameters: {names}." if unknown and result.unsupported_parameters else message
