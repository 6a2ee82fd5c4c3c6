# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pooler keeps one process of the server for each of its clients, found out by using it.

Asking the pooler what it is (``SHOW POOLS``) takes another login, and another dialect for each product. What matters
can be seen: with a process of one's own the pid stays the same, and nobody else is ever answered by it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import PooledConnection

# One round is enough for a pool that nobody else uses. The others are for a busy one, where somebody may come between
# two statements of ours.
ROUNDS = 5
# How long a pooler may take to find a process for a client; its own limit is minutes.
PATIENCE = 5.0


def require_own_process(session: Session, another: Callable[[], AbstractContextManager[Session]], where: str) -> int:
    """Return the pid of the process that *session* has for itself. Raises ``PooledConnection`` when it has none.

    *another* opens a second session in the same place, *where* names the place. Nothing is set in either. Each client
    asks twice: a pool that hands out what was used last gives the second client the process of the first, and one that
    hands out what has rested longest gives a client another process the second time, unless it has only one.
    """
    own = _process(session)
    with another() as second:
        for _round in range(ROUNDS):
            for now in (_process(session), _process(session)):
                if now != own:
                    raise PooledConnection(
                        where, f"the processes {own[0]} and {now[0]} answered two statements of ours"
                    )
            if own in (_process_within(second, where), _process_within(second, where)):
                raise PooledConnection(where, f"the process {own[0]} answered two connections that were open at once")
    return own[0]


def _process(session: Session) -> tuple[int, str]:
    """Return pid and server of what answers: two servers in containers may well have the same pids."""
    ((pid, server),) = session.rows(sql.PROCESS_QUERY)
    return pid, server


def _process_within(session: Session, where: str) -> tuple[int, str]:
    """Do the same for a session that may have to wait for a process until others give one back."""
    try:
        with session.at_most(PATIENCE):
            return _process(session)
    except ServerError:
        if not session.lost:
            raise
        raise PooledConnection(where, f"it had none for a second one within {PATIENCE:g} s") from None
