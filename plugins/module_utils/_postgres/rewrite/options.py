# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated parameters of mode full into values, once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import is_exact
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import require_at_least
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import RewritePolicy
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import policy_of

# What a rewrite has no use for. To drop it silently would be to promise what is not done.
_OF_A_VACUUM = (
    "skip_if_vacuumed_within",
    "index_cleanup",
    "truncate",
    "parallel",
    "process_main",
    "process_toast",
    "disable_page_skipping",
    "skip_database_stats",
    "buffer_usage_limit",
    "cost_delay",
    "cost_limit",
)


def rewrite_policy_of(params: Mapping[str, Any]) -> RewritePolicy:
    """Return which tables are rewritten, and how. Raises ``InvalidInput`` for what makes no sense together."""
    _require_a_choice(params)
    for option in _OF_A_VACUUM:
        if params.get(option) is not None:
            raise InvalidInput(
                f"{option} says how to vacuum; mode full rewrites and has no use for it.",
                f"Leave {option} out, or use another mode.",
            )
    if not 0.0 <= params["bloat_ratio"] <= 1.0:
        ratio = params["bloat_ratio"]
        raise InvalidInput(f"bloat_ratio is {ratio:g}; it is a share between 0 and 1.", "Write 50 % as 0.5.")
    require_at_least(params, "disk_headroom", 1.0, 1000)
    # Without a word of the user, the server's own catalogs are left alone: their locks stop everybody.
    tables = replace(policy_of(params), include_catalogs=params["include_catalogs"] is True)
    return RewritePolicy(
        tables=tables,
        bloat_ratio=params["bloat_ratio"],
        bloat_min_size=_bytes_of(params, "bloat_min_size"),
        bloat_method=params["bloat_method"],
        method=params["rewrite_method"],
        headroom=params["disk_headroom"],
        free_bytes=None if params["free_bytes"] is None else _bytes_of(params, "free_bytes"),
        unchecked=params["force_without_disk_check"],
    )


def _require_a_choice(params: Mapping[str, Any]) -> None:
    """A rewrite stops all use of a table: whoever wants one says which, and ``*`` alone is no choice."""
    chosen = [*params["tables"], *params["schemas"]]
    if not chosen:
        raise InvalidInput(
            "mode full rewrites only tables that are chosen, and neither tables nor schemas is given.",
            "Name them in tables or schemas; patterns such as log_* may be used.",
        )
    if all(not is_exact(name) and not name.strip("*?[].!") for name in chosen):
        raise InvalidInput(
            f"mode full rewrites only tables that are chosen, and {', '.join(chosen)} chooses nothing.",
            "Name tables or schemas, or write patterns that say more, such as log_*.",
        )


def _bytes_of(params: Mapping[str, Any], option: str) -> int:
    try:
        return parse_size(params[option])
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None
