"""How errors of the server are taken while large objects are unlinked, by a session that is told what to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects import apply, sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import Orphan, Unlinked
from tests.unit.plugins.module_utils._postgres.large_objects.samples import options

ORPHANS = [Orphan(number, "800") for number in range(1, 9)]


class Told:
    """Stands for the server in the one respect that a real one cannot be made to show: errors on demand."""

    def __init__(self, refuses: Callable[[set[int]], str]) -> None:
        self.lost = False
        self.there = {orphan.oid for orphan in ORPHANS}
        self.statements: list[str] = []
        self._refuses = refuses
        self._pending: set[int] = set()

    def rows(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if text == sql.UNLINK_QUERY:
            wanted = set(map(int, values[0].strip("{}").split(",")))
            state = self._refuses(wanted)
            if state:
                raise ServerError(state, f"refused for {state}")
            self._pending = wanted & self.there
            return [(oid, 1) for oid in sorted(self._pending)]
        if text == sql.LEFT_QUERY:
            return [(oid,) for oid in map(int, values[0].strip("{}").split(",")) if oid in self.there]
        return []  # no types, no columns: nothing can refer to anything

    def run(self, text: str) -> None:
        self.statements.append(text)
        if text == "COMMIT":
            self.there -= self._pending
        self._pending = set()


def unlink(told: Told, **given: Any) -> Unlinked:
    asked = options(state="absent", confirm_no_text_references=True, **given)
    return apply.unlink(cast(Session, told), ORPHANS, asked, Budget(None))


def test_one_object_that_is_locked_is_found_by_halves() -> None:
    told = Told(lambda wanted: "55P03" if 5 in wanted else "")
    assert unlink(told) == Unlinked(7, {"lock": 1}, batches=3, seconds=pytest.approx(0, abs=60))
    assert told.there == {5}
    assert told.statements.count("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE") == 7


def test_batches_that_do_not_fit_are_halved() -> None:
    told = Told(lambda wanted: "53200" if len(wanted) > 2 else "")
    unlinked = unlink(told)
    assert (unlinked.removed, unlinked.batches, told.there) == (8, 4, set())


@pytest.mark.parametrize("state", ["53100", "25006", "57014", "42501"])
def test_what_will_not_get_better_ends_the_work(state: str) -> None:
    told = Told(lambda wanted: state if 4 in wanted else "")
    unlinked = unlink(told, batch_size=2)
    assert (unlinked.removed, unlinked.left) == (2, {"failed": 2, "stopped": 4})
    assert (unlinked.sqlstate, unlinked.stopped) == (state, f"refused for {state}")
    assert told.statements[-1] == "ROLLBACK"


def test_an_object_that_somebody_unlinks_at_the_same_time_is_asked_for_again() -> None:
    tries: list[int] = []

    def refuses(wanted: set[int]) -> str:
        tries.append(len(wanted))
        return "42704" if len(tries) == 1 else ""

    assert unlink(Told(refuses)).removed == 8
    assert tries == [8, 8]
    always = unlink(Told(lambda wanted: "42704" if 3 in wanted else ""))
    assert (always.removed, always.left) == (7, {"changed": 1})


def test_any_other_error_of_one_object_ends_the_work() -> None:
    unlinked = unlink(Told(lambda wanted: "XX000" if 1 in wanted else ""))
    assert (unlinked.left["failed"], unlinked.sqlstate) == (1, "XX000")
    assert unlinked.removed + sum(unlinked.left.values()) == 8


def test_a_lost_session_is_an_error() -> None:
    told = Told(lambda _wanted: "08006")
    told.lost = True
    with pytest.raises(ServerError):
        unlink(told)


def test_what_is_still_there_was_not_unlinked() -> None:
    told = Told(lambda _wanted: "")
    told.run = lambda _text: None  # type: ignore[method-assign]  # a server whose COMMIT does nothing
    assert unlink(told) == Unlinked(0, {"still_there": 8}, batches=1, seconds=pytest.approx(0, abs=60))
