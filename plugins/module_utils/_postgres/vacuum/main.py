# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The session that holds the lock of a run and reads what came of it: it must outlive a hiccup of the server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster, take_lock

Answer = TypeVar("Answer")
_CONNECTION_CLASSES = ("08", "57P")


def is_broken(session: Session, error: ServerError) -> bool:
    """Whether *error* says nothing of the statement: the session is gone."""
    return session.lost or error.sqlstate.startswith(_CONNECTION_CLASSES)


class Main:
    """A session in *database* that has the advisory lock there, as a context manager; *what* names the place.

    It is *session* where that is given, else one of its own. When it breaks it is replaced, once. Raises
    ``ConnectionFailed``, and ``LockHeld`` when another run is at work, or was faster to take the lock that was lost
    with the session.
    """

    def __init__(self, cluster: Cluster, database: str, what: str, session: Session | None = None) -> None:
        self._cluster = cluster
        self._database = database
        self._what = what
        self._stack = ExitStack()
        self._session = session
        self._replaced = False
        self.broken = False

    def __enter__(self) -> Main:
        if self._session is None:
            self._open()
        else:
            self._stack.callback(self._session.close)
            self._lock(self._session)
        return self

    def _lock(self, session: Session) -> None:
        """Take the lock with a session that looked before: the server may have been restarted meanwhile."""
        try:
            take_lock(session, self._what)
        except ServerError as error:
            if not is_broken(session, error):
                raise
            self._stack.close()
            self._open()

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def _open(self) -> Session:
        with ExitStack() as stack:
            session = stack.enter_context(self._cluster.session(self._database))
            take_lock(session, self._what)
            self._stack = stack.pop_all()
        self._session = session
        return session

    def ask(self, question: Callable[[Session], Answer]) -> Answer:
        """Return what *question* gets from the session, or from its replacement. Raises ``ServerError``."""
        session = self._session or self._open()
        try:
            return question(session)
        except ServerError as error:
            if not is_broken(session, error):
                raise
            if self._replaced:
                self.broken = True
                raise
        self._replaced = True
        self._session = None
        self._stack.close()
        return self.ask(question)
