# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job ends: what is left out is counted, and a failure names what failed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import (
    Ended,
    failures,
    is_all_left,
    names_of,
    shortened,
    status_of,
    unexamined,
)

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)


@dataclass(frozen=True)
class One:
    subject: str
    status: str = "done"
    why: str = ""
    message: str = ""


def many(count: int, **how: str) -> list[One]:
    return [One(f"t{number}", **how) for number in range(count)]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (0, 3, (0, 3)),
        (3, 0, (3, 0)),
        (9, 1, (9, 1)),
        (20, 1, (9, 1)),  # the many do not push the one out
        (1, 20, (1, 9)),
        (20, 20, (5, 5)),
    ],
)
def test_neither_list_pushes_the_other_out(first: int, second: int, kept: tuple[int, int]) -> None:
    shown = shortened(many(first, why="first"), many(second, why="second"), 10)
    assert (sum(one.why == "first" for one in shown), sum(one.why == "second" for one in shown)) == kept


def test_a_failure_names_each_cause_once() -> None:
    records = [
        One("a", "failed", message="it broke"),
        One("b", "failed", message="it broke too"),
        One("c", "skipped", "permission"),
        One("d", "skipped", "lock"),
        One("e"),
    ]
    reasons = {"permission": "the role may not", "lock": "it is locked"}
    assert failures(records, frozenset(("permission", "time_limit")), reasons) == [
        "Failed: a, b (it broke).",
        "Skipped: c (the role may not).",
    ]
    assert failures(records[2:], frozenset(), reasons) == []


def test_more_than_ten_names_are_counted() -> None:
    assert names_of(many(10)) == ", ".join(f"t{number}" for number in range(10))
    assert names_of(many(12)).endswith("t9 and 2 more")


def test_what_was_left_out_before_and_by_the_size_is_added_up() -> None:
    outcome = Outcome("pg", ["a"], [], NOW, extra={"tables": ["x" * 1000] * 200, "queries": []})
    result = Ended(outcome, {"tables": 7, "queries": 2}, "", "", "").as_result()
    assert result["truncated"]["tables"] == 207 - len(result["tables"])
    assert result["truncated"]["queries"] == 2


def test_nothing_left_out_is_not_told() -> None:
    assert "truncated" not in Ended(Outcome("pg", ["a"], [], NOW), {}, "", "", "").as_result()


@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        ({}, "done"),  # nothing was due
        ({"done": 3}, "done"),
        ({"done": 1, "skipped": 2}, "done"),
        ({"partial": 1, "skipped": 2}, "done"),
        ({"skipped": 2}, "skipped"),  # work was due, and none was done
        ({"planned": 1, "skipped": 2}, "planned"),
        ({"failed": 1, "skipped": 2, "done": 3}, "failed"),
    ],
)
def test_a_database_is_done_when_something_was_done_or_nothing_was_due(numbers: dict[str, int], status: str) -> None:
    counts = {"planned": 0, "done": 0, "skipped": 0, "failed": 0, **numbers}
    assert status_of(counts) == status
    assert is_all_left(counts) is (status == "skipped")
    assert status_of(counts, why="another run is at work") == "skipped"
    assert status_of(counts, lost=True) == "failed"


@dataclass(frozen=True)
class Database:
    name: str
    why: str = ""
    filters: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("places", "message", "remedy"),
    [
        ([], "no database is chosen by databases", "Correct databases"),
        (
            [Database("shop", "the role may not connect to it")],
            "shop (the role may not connect to it)",
            "GRANT CONNECT",
        ),
        (
            [Database("shop", filters=("a*", "b*")), Database('o"x', filters=("a*",)), Database("left", "no")],
            'no index of shop, "o""x" is chosen by a*, b*',
            "Correct the names and patterns",
        ),
    ],
)
def test_a_run_that_met_nothing_says_why_and_what_to_do(places: list[Database], message: str, remedy: str) -> None:
    (found,) = unexamined("main", "index", places, [])
    assert (found.code, found.subject, found.severity) == ("pg.nothing_examined", "main", Severity.UNKNOWN)
    assert message in found.message and remedy in found.remedy
    json.dumps(found.as_dict())


def test_a_run_that_is_known_to_be_blind_says_so_once() -> None:
    blind = Finding("pg.database_unreachable", "main: shop", Severity.UNKNOWN, "It is not there.", {}, "Start it.")
    assert unexamined("main", "index", [], [blind]) == []
