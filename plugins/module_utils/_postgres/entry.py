# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that change tables and indexes do around their job: the window, failures, and diff mode."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Callable, Protocol

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._core.window import parse_window
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import limit_of, place_of


class Done(Protocol):
    """What a job returns: its result, why the task fails (empty when it does not), and the states for diff mode."""

    @property
    def failure(self) -> str: ...

    @property
    def before(self) -> str: ...

    @property
    def after(self) -> str: ...

    def as_result(self) -> dict[str, Any]: ...


def run_job(module: AnsibleModule, job: Callable[..., Done]) -> None:
    """Run *job* within the module's window, and leave the module with its result."""
    params, now = dict(module.params), utc_now()
    try:
        left = seconds_of_window(params, now)
        if left is not None and not module.check_mode:
            if left <= 0:
                module.exit_json(**closed(params, now).as_result())
            params["time_limit"] = _shorter(params, left)
        done = job(params, now, check_mode=module.check_mode)
    except UpkeepError as error:
        error.evidence["subject"] = place_of(params)
        module.fail_json(**error.as_failure())
    result = done.as_result()
    if module._diff:
        result["diff"] = {"before": done.before, "after": done.after}
    if done.failure:
        module.fail_json(msg=done.failure, **result)
    module.exit_json(**result)


def seconds_of_window(params: Mapping[str, Any], now: datetime) -> float | None:
    """Return how long the option ``window`` stays open: 0 when it is closed, ``None`` when there is none.

    Raises ``InvalidInput`` naming the option.
    """
    if not params["window"]:
        return None
    try:
        left = parse_window(params["window"]).left(now)
    except InvalidInput as error:
        raise InvalidInput(f"window: {error.message}", error.remedy) from None
    return left or 0.0


def _shorter(params: Mapping[str, Any], left: float) -> str:
    """Return the time limit, or what is left of the window when that is less."""
    limit = limit_of(params, "time_limit")
    return f"{int(left)}s" if limit is None or left < limit else str(params["time_limit"])


def closed(params: Mapping[str, Any], now: datetime) -> Outcome:
    """Return the outcome of a run outside its window: nothing was looked at, and nothing was due."""
    label = place_of(params)
    limit = limit_of(params, "time_limit")
    evidence = {"window": params["window"], "time_limit": format_duration(limit) if limit else None}
    found = Finding(
        "pg.outside_window",
        label,
        Severity.INFO,
        f"{label}: nothing was done, because the maintenance window {params['window']} is closed.",
        evidence,
        "Schedule the run within the window, or change window.",
    )
    return Outcome("pg", [label], [found], now, extra={"deferred": True})
