# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validate the parameters of a check by the same argument spec as its module."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome


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
    """Return the validated form of *params*; raise ``InvalidInput`` naming *what* and every mistake in it."""
    result = ArgumentSpecValidator(dict(argument_spec), **(rules or {})).validate(dict(params))
    if result.error_messages:
        raise InvalidInput(
            f"The parameters of {what} are not valid: {'; '.join(result.error_messages)}",
            f"Correct them; `ansible-doc cadence.upkeep.{what}` lists every option.",
            {"errors": list(result.error_messages)},
        )
    return Validated(dict(result.validated_parameters), frozenset(map(str, result._no_log_values)))
