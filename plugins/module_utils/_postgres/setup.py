# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server what of its settings and its files decides how much room a rewrite, or a rebuild, needs."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Setup

_DEFAULT_TABLESPACE = 1663


def read_setup(session: Session) -> Setup:
    """Return what of the server's settings decides what a job needs of the disk, as far as the role may know it."""
    wal_level, keeps, most_wal, memory, spaces, default, slots, extension = session.rows(sql.SETUP_QUERY)[0]
    directory, identifier, mark, pid = _read_identity(session)
    return Setup(
        directory=directory or "",
        # bigint is signed, the file's number is not.
        identifier=int(identifier or 0) % 2**64,
        mark=mark or "",
        pid=pid,
        wal_level=wal_level,
        keeps_wal=keeps,
        max_wal_size=most_wal,
        work_memory=memory,
        temporary=tuple(dict.fromkeys(map(_temporary, spaces or [default]))),
        repack_slots=slots,
        repack_extension=extension,
    )


def _read_identity(session: Session) -> tuple[str | None, int | None, str | None, int]:
    """Return what is known of the server's files; a managed service may keep any of it to itself."""
    try:
        may_read = bool(session.rows(sql.MAY_READ_QUERY)[0][0])
        directory, identifier, mark, pid = session.rows(sql.identity_query(may_read))[0]
    except ServerError:
        if session.lost:
            raise
        return None, None, None, session.pid
    return directory, identifier, mark, pid


def _temporary(tablespace: int) -> str:
    return "base/pgsql_tmp" if tablespace == _DEFAULT_TABLESPACE else f"pg_tblspc/{tablespace}"
