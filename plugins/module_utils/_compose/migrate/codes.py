# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of migrations."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "app.migration_due": Code(
        "The database is behind the migrations of this version of the application.",
        "Review the statements (--diff), then update; the migration runs before any container is replaced.",
    ),
    "app.migration_risky": Code(
        "A migration has statements that wait for, or hold up, whoever uses the table, or that the version that still "
        "runs may not survive.",
        "Split it: first what both versions can live with (expand), in a later release the rest (contract).",
    ),
    "app.migration_unseen": Code(
        "The statements of a migration could not be shown beforehand: it does not work offline.",
        "Let env.py serve context.is_offline_mode(), and read no data in migrations that must be reviewed.",
    ),
    "app.multiple_heads": Code(
        "The migrations have more than one head: two branches added one after the same revision. Nothing was done.",
        "Merge them in the application: alembic merge heads; then release it.",
    ),
    "app.migration_failed": Code(
        "A migration failed. No container was touched; the message says at which revision the database is.",
        "Mend the migration, release it, and run the update again.",
    ),
}
