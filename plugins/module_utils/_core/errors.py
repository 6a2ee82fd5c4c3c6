# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One family of errors. Each says what could not be done, to what, why, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import to_plain
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact, redact_tree


class UpkeepError(Exception):
    """Base of all errors that a user may see.

    ``message`` is one sentence with verb, object and cause; ``remedy`` is the next step; ``evidence`` holds plain
    JSON values. Only ``main()`` of a module turns it into an exit.
    """

    def __init__(self, message: str, remedy: str = "", evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.evidence: dict[str, Any] = dict(evidence or {})

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def as_failure(self) -> dict[str, Any]:
        """Return the arguments of ``fail_json``: ``msg``, ``remedy``, ``evidence``, plain and without secrets."""
        return {
            "msg": redact(str(self)),
            "remedy": redact(self.remedy),
            "evidence": redact_tree(to_plain(self.evidence, strict=False)),
        }


class InvalidInput(UpkeepError):
    """What the user wrote cannot be understood or is contradictory."""


class MissingLibrary(UpkeepError):
    """A Python library is absent from the interpreter that runs the module."""


class ConnectionFailed(UpkeepError):
    """A server could not be reached, or refused to let us in."""


class CommandFailed(UpkeepError):
    """A command could not be started, or ended with an unexpected status."""


class DeadlineExceeded(UpkeepError):
    """The time that was given is over."""


class StateError(UpkeepError):
    """The host's state directory cannot be read or written, or cannot be trusted."""


class LockHeld(UpkeepError):
    """Another run holds the lock: ``evidence["holder"]`` says its ``pid``, ``run_id`` and ``started_at``."""
