# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the domain, of the one family."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError


class ReadOnlyServer(UpkeepError):
    """The server is a standby: it repeats what its primary does."""

    def __init__(self) -> None:
        super().__init__(
            "The server is a standby (in recovery) and can be vacuumed only through its primary.",
            "Point login_host at the primary, or leave the cluster out of this host's postgres_clusters.",
            {"class": "read_only"},
        )


class UnsupportedServer(UpkeepError):
    """The server is older than what was ever tried."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The server is PostgreSQL {version // 10000}; 14 is the oldest that is supported.",
            "Upgrade the server: versions before 14 get no fixes any more.",
            {"class": "unsupported_version", "server_version_num": version},
        )
