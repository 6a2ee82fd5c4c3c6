"""Which tables are rewritten, in which order, how, and what each needs of the disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Portion, Space, shortage
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import FULL, REPACK
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.plan import (
    combined,
    need_of,
    passes,
    plan,
    shut_out,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Counters, Policy
from tests.unit.plugins.module_utils._postgres.rewrite.samples import (
    MB,
    OLD,
    POLICY,
    SETUP,
    SPACE,
    estimate,
    facts,
    snapshot,
    table,
)


def planned(one=None, known=None, guess=None, policy=POLICY, setup=SETUP, space=SPACE, holders=(), obstacle=""):
    """The plan of one table: (targets by name, why the others were left)."""
    one = one or table()
    made = plan(
        snapshot(one),
        policy,
        {one.oid: known or facts(one.oid)},
        {} if guess is None else {one.oid: guess},
        setup,
        space,
        holders,
        obstacle,
    )
    return [target.method for target in made.targets], [left.why for left in made.left], len(made.healthy)


@pytest.mark.parametrize(
    ("size", "expected", "needed"),
    [
        (400 * MB, 100 * MB, True),
        (400 * MB, 200 * MB, True),  # the limits themselves pass
        (400 * MB, 201 * MB, False),  # too small a share
        (200 * MB, 100 * MB, True),
        (190 * MB, 91 * MB, False),  # too few bytes
        (400 * MB, 500 * MB, False),  # it would grow
        (0, 0, False),
    ],
)
def test_both_limits_must_be_passed(size: int, expected: int, needed: bool) -> None:
    assert passes(estimate(size=size, expected=expected), POLICY) is needed
    assert planned(guess=estimate(size=size, expected=expected)) == ([FULL] * needed, [], int(not needed))


@pytest.mark.parametrize("confidence", ["low", "none"])
def test_what_is_not_known_well_locks_nothing(confidence: str) -> None:
    guess = estimate(confidence=confidence, why="it was never analysed")
    assert planned(guess=guess) == ([], ["bloat_unknown"], 0)
    assert planned(guess=guess, policy=replace(POLICY, tables=replace(POLICY.tables, always=True))) == ([FULL], [], 0)
    assert planned(one=table(permitted=False), guess=guess) == ([], ["permission"], 0)


def test_a_low_guess_that_would_not_be_enough_is_nothing_to_speak_of() -> None:
    assert planned(guess=estimate(expected=390 * MB, confidence="low")) == ([], [], 1)
    assert planned(guess=estimate(confidence="low"), known=facts(locked=True)) == ([], ["lock"], 0)


@pytest.mark.parametrize(
    ("one", "known", "why"),
    [
        (table(permitted=False), facts(), "permission"),
        (table(kind="f"), facts(), "foreign"),
        (table(temporary=True), facts(), "temporary"),
        (table(), facts(wraparound=True), "autovacuum"),
    ],
)
def test_what_is_left(one, known, why) -> None:
    assert planned(one, known, estimate()) == ([], [why], 0)


def test_a_table_that_went_before_it_was_looked_at() -> None:
    made = plan(snapshot(table()), POLICY, {}, {}, SETUP, SPACE)
    assert [left.why for left in made.left] == ["vanished"]


@pytest.mark.parametrize(
    ("asked", "obstacle", "keyless", "client", "method", "why"),
    [
        ("auto", "", "", "", REPACK, ""),
        ("auto", "it is unlogged", "", "", FULL, ""),
        ("repack", "", "", "", REPACK, ""),
        ("repack", "it is unlogged", "", "", "", "method"),
        ("full", "", "", "", FULL, ""),
        ("pg_repack", "x", "", "", "pg_repack", ""),
        ("pg_repack", "x", "it has no primary key", "", "", "method"),
        ("pg_repack", "x", "", "there is no program pg_repack", "", "method"),
    ],
)
def test_the_method_follows_what_the_table_allows(asked, obstacle, keyless, client, method, why) -> None:
    found = planned(
        known=facts(obstacle=obstacle, keyless=keyless),
        guess=estimate(),
        policy=replace(POLICY, method=asked),
        obstacle=client,
    )
    assert found == ([method] if method else [], [why] if why else [], 0)


def test_an_old_transaction_matters_only_where_dead_rows_are_the_bloat() -> None:
    dead = table(counters=Counters(live=1000, dead=3000))
    assert planned(dead, guess=estimate(), holders=[OLD]) == ([], ["held"], 0)
    few = table(counters=Counters(live=1000, dead=10))
    assert planned(few, guess=estimate(), holders=[OLD]) == ([FULL], [], 0)
    assert planned(dead, guess=estimate(), holders=[replace(OLD, seconds=5.0)]) == ([FULL], [], 0)
    slot = replace(OLD, kind="slot", seconds=None)
    assert planned(dead, guess=estimate(), holders=[slot]) == ([], ["held"], 0)
    always = replace(POLICY, tables=replace(POLICY.tables, always=True))
    assert planned(dead, guess=estimate(), holders=[OLD], policy=always) == ([FULL], [], 0)


def test_the_most_that_can_be_freed_comes_first_and_catalogs_last() -> None:
    tables = [table("small", 1), table("large", 2), table("pg_class", 3, schema="pg_catalog", catalog=True)]
    guesses = {1: estimate(1, expected=200 * MB), 2: estimate(2, expected=10 * MB), 3: estimate(3, expected=0)}
    policy = replace(POLICY, tables=Policy(mode="full", schemas=("public", "pg_catalog")))
    made = plan(snapshot(*tables), policy, {one.oid: facts(one.oid) for one in tables}, guesses, SETUP, SPACE)
    assert [target.table.name for target in made.targets] == ["large", "small", "pg_class"]


# --- the disk


def test_what_a_rewrite_needs() -> None:
    known = facts(heap=400 * MB, toast=50 * MB, indexes=(100 * MB, 20 * MB))
    need = {one.what: one.bytes for one in need_of(known, None, SETUP)}
    assert need == {
        "the new table": 400 * MB,
        "its TOAST table": 50 * MB,
        "its indexes": 120 * MB,
        "sorting": 100 * MB,
        "WAL": 570 * MB,
    }
    trusted = {one.what: one.bytes for one in need_of(known, estimate(expected=150 * MB), SETUP)}
    assert trusted["the new table"] == 150 * MB
    assert trusted["WAL"] == 320 * MB


def test_an_unlogged_table_and_small_indexes_need_less() -> None:
    need = {one.what for one in need_of(facts(indexes=(10 * MB,), logged=False), None, SETUP)}
    assert need == {"the new table", "its indexes"}
    minimal = {one.what for one in need_of(facts(), None, replace(SETUP, wal_level="minimal"))}
    assert "WAL" not in minimal
    recycled = {one.what: one.bytes for one in need_of(facts(), None, replace(SETUP, keeps_wal=False))}
    assert recycled["WAL"] == 10 * MB


@pytest.mark.parametrize(("free", "fits"), [(1200, True), (1199, False), (0, False)])
def test_the_headroom_counts(free: int, fits: bool) -> None:
    need = (Portion("the new table", "base/5", 600), Portion("WAL", "pg_wal", 400))
    space = Space({"base/5": "disk", "pg_wal": "disk"}, {"disk": free})
    assert (shortage(need, space, 1.2) == "") is fits
    assert shortage(need, space, 1.2, {"disk": 1}) != ""


def test_each_file_system_counts_alone() -> None:
    need = (Portion("the new table", "pg_tblspc/9", 600), Portion("WAL", "pg_wal", 400))
    space = Space({"pg_tblspc/9": "fast", "pg_wal": "slow"}, {"fast": 10_000, "slow": 100})
    assert shortage(need, space, 1.0).endswith("are free for pg_wal")


def test_an_unknown_disk_is_refused_unless_forced() -> None:
    unknown = Space(why="it is elsewhere")
    assert planned(guess=estimate(), space=unknown) == ([], ["disk_unknown"], 0)
    assert planned(guess=estimate(), space=unknown, policy=replace(POLICY, unchecked=True)) == ([FULL], [], 0)


def test_what_one_rewrite_frees_the_next_may_use() -> None:
    tables = [table("a", 1), table("b", 2)]
    known = {one.oid: facts(one.oid, indexes=()) for one in tables}
    guesses = {1: estimate(1, expected=10 * MB), 2: estimate(2, expected=190 * MB)}
    setup = replace(SETUP, wal_level="minimal")

    def names(free: int) -> tuple[list[str], list[str]]:
        made = plan(snapshot(*tables), POLICY, known, guesses, setup, replace(SPACE, free={"disk": free}))
        return [one.table.name for one in made.targets], [one.why for one in made.left]

    assert names(20 * MB) == (["a", "b"], [])
    assert names(5 * MB) == ([], ["disk_space", "disk_space"])


@given(free=st.integers(0, 10**10), sizes=st.lists(st.integers(0, 10**9), max_size=4), headroom=st.floats(1, 5))
def test_more_space_never_means_less_work(free: int, sizes: list[int], headroom: float) -> None:
    need = tuple(Portion("x", "base/5", size) for size in sizes)
    at = Space({"base/5": "disk"}, {"disk": free})
    if shortage(need, at, headroom) == "":
        assert shortage(need, Space({"base/5": "disk"}, {"disk": free + 1}), headroom) == ""
        assert sum(sizes) <= free or not sizes


# --- the rest


def test_a_toast_table_counts_with_its_table_when_it_is_known() -> None:
    own, toast = estimate(), estimate(2, size=1000 * MB, expected=100 * MB, kind="toast", confidence="medium")
    both = combined(own, toast)
    assert both is not None
    assert (both.bytes, both.expected_bytes, both.confidence) == (1400 * MB, 200 * MB, "medium")
    assert combined(own, replace(toast, confidence="low")) == own
    assert combined(None, toast) is None


def test_a_catalog_that_is_named_must_be_meant() -> None:
    look = [snapshot(table("pg_class", schema="pg_catalog", catalog=True), table("orders", 2), table("pg_class", 3))]
    wanted = replace(
        POLICY, tables=Policy(mode="full", tables=("pg_catalog.pg_class", "orders"), include_catalogs=False)
    )
    assert shut_out(look, wanted) == ["pg_catalog.pg_class"]
    assert shut_out(look, replace(wanted, tables=replace(wanted.tables, include_catalogs=True))) == []
    assert shut_out(look, replace(wanted, tables=replace(wanted.tables, tables=("pg_class",)))) == []
