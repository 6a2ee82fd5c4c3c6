# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the validated parameters of ``backup_prune`` into values, once. Every mistake names its option."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC as VERIFY_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import RULES as VERIFY_RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Keep, Series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.policy import policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.argspec import READING
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import RECORDED, REMOVE, Rules
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.survey import base_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_percent


def rules_of(params: Mapping[str, Any], check_mode: bool) -> Rules:
    """Return what *params* ask for. Raises ``InvalidInput``, which names the option."""
    if not params["series"]:
        raise InvalidInput("series is empty.", "Name the series to prune.")
    wanted = {option: params[option] for option in READING if params[option] is not None}
    wanted.update(series=params["series"], max_age=params["max_age"], level=params["proof_level"])
    if params["max_age"] is None:
        del wanted["max_age"]
    policy = policy_of(validate("backup_verify", VERIFY_SPEC, wanted, VERIFY_RULES).params, check_mode)
    if params["proof"] == RECORDED and not policy.state_file:
        raise InvalidInput(
            "proof is recorded, and there is no state_file in which that would be.",
            "Set state_file to the one that backup_verify writes, or proof to either.",
        )
    default = _keep(params["keep"])
    series = tuple(replace(one, keep=one.keep or default) for one in policy.series)
    for one in series:
        _require_pattern(one)
    return Rules(
        policy=replace(policy, series=series, select=model.ALL, reverify_after=0.0),
        keep_verified=_at_least("keep_verified", params["keep_verified"], 1),
        proof=params["proof"],
        proof_level=params["proof_level"],
        proof_age=_of("proof_age", parse_duration, params["proof_age"]),
        max_remove=_at_least("max_remove", params["max_remove"], 1),
        share=_share(params["max_remove_share"]),
        mixed_names=params["mixed_names"],
        remove_leftovers=params["leftovers"] == REMOVE,
        leftover_age=_of("leftover_age", parse_duration, params["leftover_age"]),
    )


def locks_of(params: Mapping[str, Any], rules: Rules) -> list[HostLock]:
    """Return a lock for each directory, in an order that is the same for every run."""
    directory = directory_of(params["state_dir"], os.environ, os.geteuid())
    wait = _of("lock_timeout", parse_duration, params["lock_timeout"])
    bases = sorted({os.path.realpath(base_of(one.pattern)) for one in rules.policy.series})
    return [
        HostLock(
            os.path.join(directory, "locks", f"{folder_name(f'backup prune {base}')}.lock"), params["run_id"], wait
        )
        for base in bases
    ]


def _keep(keep: Mapping[str, int] | None) -> Keep | None:
    if keep is None:
        return None
    for period, count in keep.items():
        _at_least(f"{period} of keep", count, 0)
    if not any(keep.values()):
        raise InvalidInput("keep keeps nothing.", "Say how many are to stay.")
    return Keep(**keep)


def _require_pattern(series: Series) -> None:
    if base_of(series.pattern) == "/":
        raise InvalidInput(
            f"The pattern {series.pattern!r} of the series {series.name} reaches over the whole file system.",
            "Write the directory of the backups without a wildcard: nothing is removed outside of it.",
        )


def _share(text: str) -> float:
    share: float = _of("max_remove_share", parse_percent, text)
    if not 0 < share <= 1:
        raise InvalidInput(f"max_remove_share is {text}.", "Use more than 0%, and 100% at most.")
    return share


def _at_least(option: str, number: int, least: int) -> int:
    if number < least:
        raise InvalidInput(f"{option} is {number}, which is below {least}.", f"Use {least} or more.")
    return number


def _of(option: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None
