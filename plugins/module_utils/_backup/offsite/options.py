# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the validated parameters of ``backup_offsite`` into values, once. Every mistake names its option."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC as VERIFY_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import RULES as VERIFY_RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import (
    DIRECTORY,
    RCLONE,
    RSYNC,
    Rclone,
    Ssh,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.policy import policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_size

# Neither may begin with a dash, or it would be an option of ssh.
_HOST = re.compile(r"[A-Za-z0-9_.:\[\]%][A-Za-z0-9_.:\[\]%-]*\Z")
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@$-]*\Z")
_REMOTE = re.compile(r"[\w.+@ -]*(?:,[^:]*)?:")


def wanted_of(params: Mapping[str, Any]) -> Wanted:
    """Return what *params* ask for. Raises ``InvalidInput``, which names the option."""
    if not params["series"]:
        raise InvalidInput("series is empty.", "Name the series to copy.")
    policy = policy_of(validate("backup_verify", VERIFY_SPEC, {"series": params["series"]}, VERIFY_RULES).params, True)
    site = params["site"].strip()
    if not site:
        raise InvalidInput("site is empty.", "Give the other place a name: results and findings call it so.")
    seconds = _of("time_limit", parse_duration, params["time_limit"])
    if not seconds:
        raise InvalidInput("time_limit is 0.", "Give it a time, like 4h.")
    method = params["method"]
    return Wanted(
        site=site,
        method=method,
        path=_path(method, params["path"]),
        media=params["media"],
        offsite=params["offsite"],
        immutable=params["immutable"],
        same_disk=params["same_disk"],
        ssh=_ssh(params["ssh"]) if method == RSYNC else None,
        rclone=_rclone(params["rclone"]),
        series=policy.series,
        newest=_natural("newest", params["newest"]),
        settle=_of("settle", parse_duration, params["settle"]),
        recheck_after=_of("recheck_after", parse_duration, params["recheck_after"]),
        bytes_per_second=_of("bwlimit", parse_size, params["bwlimit"]),
        seconds=seconds,
        retries=_natural("retries", params["retries"]),
        retry_delay=_of("retry_delay", parse_duration, params["retry_delay"]),
        record=os.path.join(_state_dir(params), "offsite", f"{folder_name(site)}.json"),
    )


def lock_of(params: Mapping[str, Any]) -> HostLock:
    """Return the lock of the site: two runs would write into one unfinished copy."""
    name = folder_name(f"backup offsite {params['site'].strip()}")
    path = os.path.join(_state_dir(params), "locks", f"{name}.lock")
    return HostLock(path, params["run_id"], _of("lock_timeout", parse_duration, params["lock_timeout"]))


def _state_dir(params: Mapping[str, Any]) -> str:
    return directory_of(params["state_dir"], os.environ, os.geteuid())


def _path(method: str, path: str) -> str:
    if "\n" in path or "\0" in path:
        raise InvalidInput("path has a newline in it.", "Correct it.")
    if method in (DIRECTORY, RSYNC) and not path.startswith("/"):
        raise InvalidInput(f"path: {path!r} is not absolute.", "Write it from / on.")
    if method == RCLONE and not _REMOTE.match(path):
        raise InvalidInput(
            f"path: {path!r} names no remote of rclone.", "Write it like far:bucket/folder, as in the configuration."
        )
    return path.rstrip("/") or "/"


def _ssh(ssh: Mapping[str, Any]) -> Ssh:
    user = ssh["user"] or ""
    if not _HOST.match(ssh["host"]) or (user and not _USER.match(user)):
        raise InvalidInput("ssh: the host or the user is not one.", "Write them without blanks and options.")
    for option in ("identity_file", "known_hosts"):
        if not os.path.isfile(ssh[option]):
            raise InvalidInput(
                f"ssh.{option}: {ssh[option]} is no file.",
                "Write the host key of the far side there (ssh-keyscan, compared with the host itself)."
                if option == "known_hosts"
                else "Name a private key that needs no passphrase and may do nothing else there.",
            )
    seconds = max(1, round(_of("ssh.connect_timeout", parse_duration, ssh["connect_timeout"])))
    return Ssh(ssh["host"], user, ssh["port"], ssh["identity_file"], ssh["known_hosts"], seconds)


def _rclone(rclone: Mapping[str, Any] | None) -> Rclone:
    if rclone is None:
        return Rclone()
    environment = {str(name): str(value) for name, value in (rclone["environment"] or {}).items()}
    strange = sorted(name for name in environment if not re.match(r"(?:RCLONE|AWS)_[A-Z0-9_]+\Z", name))
    if strange:
        raise InvalidInput(
            f"rclone.environment: {', '.join(strange)} is no variable of rclone.", "Use RCLONE_... or AWS_... alone."
        )
    return Rclone(rclone["program"], rclone["config"] or "", environment)


def _natural(option: str, number: int) -> int:
    if number < 0:
        raise InvalidInput(f"{option} is {number}.", "Use 0 or more.")
    return number


def _of(option: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None
