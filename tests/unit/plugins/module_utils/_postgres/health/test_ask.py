"""Several questions by one statement, and each failing alone."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.ask import (
    NO_TIME,
    Asker,
    Failure,
    Question,
)


class Server:
    """Answers every question with its own text in capitals, and refuses a statement with a word that it is told."""

    def __init__(self, refuses: dict[str, str] | None = None, dies_of: str = "") -> None:
        self.sent: list[tuple[str, list[object]]] = []
        self.lost = False
        self._refuses = refuses or {}
        self._dies_of = dies_of

    def rows(self, sql, values=None):
        self.sent.append((sql, list(values)))
        if self._dies_of and self._dies_of in sql:
            self.lost = True
            raise ServerError("08006", "gone")
        for word, state in self._refuses.items():
            if word in sql:
                raise ServerError(state, f"refused because of {word}")
        questions = sql.count("\n(")
        return [(values[0], *(f'"answer {number}"' for number in range(questions)))]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


ONE = Question("one", "SELECT first", (1,))
TWO = Question("two", "SELECT second")
THREE = Question("three", "SELECT third", (2, 3))


def asker(server, seconds=50.0, timeout=30.0, clock=None):
    return Asker(server, Deadline(seconds, clock or Clock()), timeout)


def test_all_go_in_one_statement_with_their_parameters_in_order():
    server = Server()
    assert asker(server).ask(ONE, TWO, THREE) == {"one": "answer 0", "two": "answer 1", "three": "answer 2"}
    ((sql, values),) = server.sent
    assert sql == "SELECT %s::int,\n(SELECT first)::text,\n(SELECT second)::text,\n(SELECT third)::text"
    assert values[1:] == [1, 2, 3]


def test_nothing_to_ask_sends_nothing():
    server = Server()
    assert asker(server).ask() == {}
    assert server.sent == []


def test_the_one_that_fails_fails_alone():
    server = Server({"second": "42501"})
    answers = asker(server).ask(ONE, TWO, THREE)
    assert answers["two"] == Failure("42501", "refused because of second")
    assert answers["one"] == answers["three"] == "answer 0"
    assert len(server.sent) == 4


def test_all_may_fail_each_for_its_own_reason():
    answers = asker(Server({"first": "57014", "third": "55P03"})).ask(ONE, TWO, THREE)
    assert [getattr(answers[name], "sqlstate", "") for name in ("one", "two", "three")] == ["57014", "", "55P03"]


def test_a_connection_that_is_lost_is_not_asked_again():
    server = Server(dies_of="second")
    with pytest.raises(ServerError):
        asker(server).ask(ONE, TWO)
    assert len(server.sent) == 1


def test_when_the_time_is_over_nothing_more_is_sent():
    server, clock = Server(), Clock()
    late = asker(server, clock=clock)
    clock.now = 50.0
    answers = late.ask(ONE, TWO)
    assert {answer.sqlstate for answer in answers.values()} == {NO_TIME}
    assert server.sent == []


def test_the_last_statements_get_only_what_is_left():
    server, clock = Server(), Clock()
    late = asker(server, clock=clock)
    late.ask(ONE)
    clock.now = 45.0
    late.ask(ONE)
    assert server.sent[1][1] == ["statement_timeout", "5000"]
    assert len(server.sent) == 3
    late.limit(20)
    assert len(server.sent) == 3, "a longer limit than the one in force is none"
