# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server what WAL it, its slots and its standbys need, and how its archiver fares. Changes nothing."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    Archiver,
    ServerView,
    Slot,
    Standby,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import parse_lsn
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster, lost, read_server

_UNSIGNED = (1 << 64) - 1
_NO_PRIVILEGE = "42501"


def ask(cluster: Cluster) -> ServerView:
    """Return what the server says. Raises ``ConnectionFailed``, or ``ArchiveRefused`` when it may not say it."""
    try:
        with cluster.session(cluster.connection.database) as session:
            read_server(session)
            return _view(cluster, session)
    except ServerError as error:
        if error.sqlstate == _NO_PRIVILEGE:
            raise ArchiveRefused(
                "not_told",
                f"{cluster.connection.user} may not ask {cluster.connection.endpoint} for its WAL: {error.message}.",
                "GRANT EXECUTE on the function that it names to the role, or GRANT pg_monitor to it.",
                {"sqlstate": error.sqlstate},
            ) from None
        raise lost(cluster.connection, error) from None


def _view(cluster: Cluster, session: Session) -> ServerView:
    recovery, system, size, redo, timeline, data, running, mode, may_list = session.rows(sql.SERVER_QUERY)[0]
    slots = [Slot(name, _position(restart), status) for name, restart, status in session.rows(sql.SLOTS_QUERY)]
    last_archived, archived_at, failures, last_failed, failed_at = session.rows(sql.ARCHIVER_QUERY)[0]
    standbys = [Standby(name, pid, state, _position(at)) for name, pid, state, at in session.rows(sql.STANDBYS_QUERY)]
    ready = session.rows(sql.READY_QUERY)[0][0] if may_list else None
    return ServerView(
        label=cluster.connection.label,
        in_recovery=recovery,
        system=system & _UNSIGNED,
        segment_size=size,
        redo=parse_lsn(redo) or 0,
        timeline=timeline,
        data_directory=data,
        running_backups=running,
        slots=tuple(slots),
        standbys=tuple(standbys),
        archiver=Archiver(mode, last_archived, archived_at, failures, last_failed, failed_at, ready),
    )


def _position(text: Any) -> int | None:
    """Return where *text* is; ``0/0`` is PostgreSQL's word for nowhere."""
    return (parse_lsn(text) or None) if text else None
