"""Pools of every kind, as they hand out processes; real ones are asked in tests/integration/test_pg_connections.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import PooledConnection
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.pooler import require_own_process

Choose = Callable[[list[int]], int]


class Client:
    """A client of a pool that takes a process for one statement and gives it back."""

    lost = False

    def __init__(self, pool: list[int], choose: Choose) -> None:
        self._pool, self._choose = pool, choose

    def rows(self, _sql: str) -> list[tuple[int, str]]:
        process = self._pool.pop(self._choose(self._pool))
        self._pool.append(process)
        return [(process, "2026-11-22 04:13:00+00")]

    def at_most(self, _seconds: float) -> Any:
        return nullcontext()


def used_last(pool: list[int]) -> int:
    return len(pool) - 1


def rested_longest(_pool: list[int]) -> int:
    return 0


def any_of_them(pool: list[int]) -> int:
    return random.randrange(len(pool))


def require(first: Any, second: Any) -> int:
    @contextmanager
    def another() -> Iterator[Any]:
        yield second

    return require_own_process(first, another, "db1:6432")


@pytest.mark.parametrize("choose", [used_last, rested_longest])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 20])
def test_a_shared_pool_that_nobody_else_uses_is_always_recognised(choose: Choose, size: int) -> None:
    pool = list(range(100, 100 + size))
    with pytest.raises(PooledConnection, match="db1:6432 is a pooler"):
        require(Client(pool, choose), Client(pool, choose))


def test_a_pool_that_hands_out_anything_is_recognised_in_twenty_questions() -> None:
    random.seed(1)
    pool = list(range(100, 103))
    for _run in range(50):
        with pytest.raises(PooledConnection):
            require(Client(pool, any_of_them), Client(pool, any_of_them))


def test_a_process_of_ones_own_is_fine() -> None:
    assert require(Client([7], used_last), Client([8], used_last)) == 7


def test_the_same_number_in_another_container_is_another_process() -> None:
    class Elsewhere(Client):
        def rows(self, sql: str) -> list[tuple[int, str]]:
            return [(pid, "another server") for pid, _server in super().rows(sql)]

    assert require(Client([7], used_last), Elsewhere([7], used_last)) == 7


def test_a_pool_without_a_second_process_is_no_pool_for_us() -> None:
    class Waiting(Client):
        lost = True

        def rows(self, _sql: str) -> list[tuple[int, str]]:
            raise ServerError("08006", "server closed the connection unexpectedly")

    with pytest.raises(PooledConnection, match="none for a second one within 5 s"):
        require(Client([7], used_last), Waiting([8], used_last))
    Waiting.lost = False
    with pytest.raises(ServerError):
        require(Client([7], used_last), Waiting([8], used_last))
