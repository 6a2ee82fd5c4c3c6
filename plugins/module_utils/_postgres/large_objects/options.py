# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated parameters of pg_large_object into values, once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import ABSENT, Options
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import (
    limit_of,
    require_at_least,
    seconds_of,
    session_options_of,
)


def options_of(params: Mapping[str, Any]) -> Options:
    """Return what is asked for. Raises ``InvalidInput`` naming the option that makes no sense."""
    if params["state"] == ABSENT and not params["confirm_no_text_references"]:
        raise InvalidInput(
            "state is absent, but confirm_no_text_references is not set: what the application keeps as a number or "
            "text in a column of another type cannot be told from any other number or text.",
            "Run it with state reported, find out how the application keeps the numbers of its large objects, and set "
            "confirm_no_text_references when all are in columns of type oid or lo.",
        )
    if params["databases"] == []:
        raise InvalidInput("databases is an empty list.", "Name the databases, write ['*'], or leave the option out.")
    for option, least in (("sample_rows", 0), ("batch_size", 1), ("max_objects", 1)):
        require_at_least(params, option, least)
    look_limit = seconds_of(params, "look_limit")
    if look_limit <= 0:
        raise InvalidInput("look_limit is 0: nothing could be looked at.", "Write it like 20s.")
    return Options(
        state=params["state"],
        databases=tuple(params["databases"] or [params["login_db"]]),
        exclude_columns=tuple(params["exclude_columns"]),
        min_age=seconds_of(params, "min_age"),
        sample_rows=params["sample_rows"],
        look_limit=look_limit,
        batch_size=params["batch_size"],
        max_objects=params["max_objects"],
        time_limit=limit_of(params, "time_limit"),
        # Compiling the look, which has a branch for each table, would take longer than running it.
        session=replace(session_options_of(params, "pg_large_object"), settings=(("jit", "off"),)),
    )
