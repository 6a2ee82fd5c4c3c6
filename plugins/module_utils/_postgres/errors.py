# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the domain, of the one family."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError


class ReadOnlyServer(UpkeepError):
    """The server is a standby: it repeats what its primary does."""

    def __init__(self) -> None:
        super().__init__(
            "The server is a standby (in recovery) and can be changed only through its primary.",
            "Point login_host at the primary, or leave the cluster out of this host's postgres_clusters.",
            {"class": "read_only"},
        )


class PooledConnection(UpkeepError):
    """A pooler is between us and the server, and the next statement may reach another server process."""

    def __init__(self, endpoint: str, seen: str) -> None:
        super().__init__(
            f"{endpoint} is a pooler that does not keep one process of the server for each of our sessions: {seen}.",
            "Use the direct port of PostgreSQL (login_host, login_port), or a pool in session mode: what is set for a "
            "session would be lost here, or stay with a process that serves others next.",
            {"class": "pooled_connection", "endpoint": endpoint, "seen": seen},
        )


class UnsupportedServer(UpkeepError):
    """The server is older than what was ever tried."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The server is PostgreSQL {version // 10000}; 14 is the oldest that is supported.",
            "Upgrade the server: versions before 14 get no fixes any more.",
            {"class": "unsupported_version", "server_version_num": version},
        )


class UnsupportedOption(UpkeepError):
    """The server is too old for what was asked for. *needs* maps each option to the first version that has it."""

    def __init__(self, version: int, needs: Mapping[str, int]) -> None:
        listed = ", ".join(f"{option} needs PostgreSQL {needed // 10000}" for option, needed in sorted(needs.items()))
        super().__init__(
            f"The server is PostgreSQL {version // 10000}: {listed}.",
            f"Leave {' and '.join(sorted(needs))} out for this cluster, or upgrade the server.",
            {
                "class": "unsupported_option",
                "server_version_num": version,
                "needs": {option: needed // 10000 for option, needed in sorted(needs.items())},
            },
        )
