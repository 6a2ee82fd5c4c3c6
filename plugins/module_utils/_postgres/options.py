# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated parameters of the modules into values, once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, SessionOptions

# What connect_params may not hold, and what to do instead.
_REFUSED_PARAMETERS = {
    "password": "Give it as login_password, which is masked, or in a password file of libpq (~/.pgpass).",
    "sslpassword": "It would be printed and logged: use a key without a password that only this user can read.",
    "dbname": "Give it as login_db, and the databases to work on as databases.",
}


def connection_of(params: Mapping[str, Any]) -> ConnectionOptions:
    """Return where to connect. Raises ``InvalidInput`` for what ``connect_params`` may not hold, such as a secret."""
    extra = dict(params["connect_params"] or {})
    for name, remedy in _REFUSED_PARAMETERS.items():
        if name in extra:
            raise InvalidInput(f"connect_params holds {name}, which does not belong there.", remedy)
    host = params["login_host"]
    if params["login_unix_socket"] and host in ("", "localhost"):
        host = params["login_unix_socket"]
    options = ConnectionOptions(
        label="",
        host=host,
        port=params["login_port"],
        user=params["login_user"],
        password=params["login_password"],
        database=params["login_db"],
        ssl_mode=params["ssl_mode"],
        ca_cert=params["ca_cert"],
        ssl_cert=params["ssl_cert"],
        ssl_key=params["ssl_key"],
        params=extra,
        session_role=params["session_role"],
    )
    return replace(options, label=params["name"] or options.endpoint)


def session_options_of(params: Mapping[str, Any], job: str) -> SessionOptions:
    """Return how the sessions of the module *job* are set up. Raises ``InvalidInput`` naming the option."""
    return SessionOptions(
        job=job,
        run_id=params["run_id"],
        lock_timeout=seconds_of(params, "lock_timeout"),
        statement_timeout=seconds_of(params, "statement_timeout"),
        keep_synchronous_commit=params["synchronous_commit"] == "keep",
        state_dir=params["state_dir"],
    )


def seconds_of(params: Mapping[str, Any], option: str) -> float:
    """Return the duration in *option*, in seconds. Raises ``InvalidInput`` naming the option."""
    try:
        return parse_duration(params[option])
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None


def limit_of(params: Mapping[str, Any], option: str) -> float | None:
    """Return the duration in *option*, in seconds; ``None`` when it was left out."""
    return seconds_of(params, option) if params[option] else None


def require_at_least(params: Mapping[str, Any], option: str, least: float) -> None:
    """Raise ``InvalidInput`` when the number in *option* is less than *least*."""
    if params[option] < least:
        raise InvalidInput(f"{option} is {params[option]}; it cannot be less than {least:g}.")
