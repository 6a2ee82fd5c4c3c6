# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask several questions by one statement, so that each of them fails alone.

A question is a query of one JSON value. Those that are asked together are the columns of one row: when the server
refuses that statement, each is asked again by itself, and the error stays with the one that it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.sql import milliseconds, settings_query

# What a question gets instead of an answer when the time of the whole check is over; no class of the server's.
NO_TIME = "no time"


@dataclass(frozen=True)
class Question:
    """``sql`` is a query of one row with one JSON value; ``values`` are its parameters, in their order."""

    name: str
    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a question has no answer: the class of the error, and what the server said."""

    sqlstate: str
    message: str


class Asker:
    """Asks in one session, within *deadline* for all; ``statements`` counts what was sent."""

    def __init__(self, session: Session, deadline: Deadline, statement_timeout: float) -> None:
        self.session = session
        self.statements = 0
        self._deadline = deadline
        self._timeout = statement_timeout

    def ask(self, *questions: Question) -> dict[str, Any]:
        """Return the answers by name, each what the JSON says or a ``Failure``.

        Raises ``ServerError`` only when the connection was lost.
        """
        if not questions:
            return {}
        try:
            self.make_time()
            row = self._send(questions)
        except ServerError as error:
            if self.session.lost:
                raise
            if len(questions) == 1 or error.sqlstate == NO_TIME:
                return {question.name: Failure(error.sqlstate, error.message) for question in questions}
            return {name: answer for question in questions for name, answer in self.ask(question).items()}
        return {question.name: answer for question, answer in zip(questions, row)}

    def _send(self, questions: Sequence[Question]) -> tuple[Any, ...]:
        self.statements += 1
        # As texts, because psycopg 3 takes JSON for UTF-8 whatever the encoding of the session is.
        columns = "".join(f",\n({question.sql.strip()})::text" for question in questions)
        # There is always a parameter, because without one psycopg2 leaves %% as it is.
        values = [self.statements, *(value for question in questions for value in question.values)]
        ((_number, *answers),) = self.session.rows(f"SELECT %s::int{columns}", values)
        return tuple(None if answer is None else json.loads(answer) for answer in answers)

    def limit(self, seconds: float) -> None:
        """Let no further statement take longer than *seconds*."""
        if seconds < self._timeout:
            self._timeout = seconds
            self.statements += 1
            self.session.rows(settings_query(1), ("statement_timeout", milliseconds(seconds)))

    def make_time(self) -> None:
        """Let the next statement end within the deadline. Raises ``ServerError`` when nothing may start any more."""
        left = self._deadline.remaining
        if left is None:
            return
        if left <= 0:
            raise ServerError(NO_TIME, "the time of the check was over before it came to this")
        self.limit(left)
