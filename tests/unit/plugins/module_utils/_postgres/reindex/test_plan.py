"""Which indexes are built anew or dropped, why, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    Index,
    Plan,
    Policy,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.plan import (
    after_analyze,
    considered,
    is_copy_name,
    leftovers_of,
    phases,
    plan,
    unknown_names,
)
from tests.unit.plugins.module_utils._postgres.reindex.samples import (
    MIB,
    POLICY,
    estimate,
    index,
    snapshot,
    step,
)


def said(made: Plan) -> dict[str, str]:
    """What the plan says of each index: the action, the reason for a skip, or that it is well."""
    return {
        **{one.index.name: one.action for one in made.steps},
        **{one.index.name: one.why for one in made.skipped},
        **{one.name: "well" for one in made.healthy},
    }


def verdict(of: Index, ratio: float | None = None, policy: Policy = POLICY, **given: Any) -> str:
    return said(plan(snapshot(of, ratio=ratio, **given), policy))[of.name]


# --- bloat and size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "size", "expected"),
    [
        (0.3, 10 * MIB, "rebuild"),  # the threshold itself counts
        (0.29, 10 * MIB, "well"),
        (0.9, 1_000_000, "rebuild"),
        (0.9, 999_999, "well"),
        (0.0, 10 * MIB, "well"),
    ],
)
def test_bloat_counts_from_the_thresholds_on(ratio: float, size: int, expected: str) -> None:
    assert verdict(index(bytes=size), ratio) == expected


def test_the_reason_has_the_numbers_and_the_limit() -> None:
    (one,) = plan(snapshot(index(), ratio=0.5), POLICY).steps
    assert one.reasons[0].text == "5.0 MiB of 10.0 MiB are bloat, a share of 0.500 (limit 0.3, estimate)"


def test_an_index_that_is_too_large_is_left_with_that_reason() -> None:
    policy = Policy(max_size=5 * MIB)
    assert verdict(index(), 0.5, policy) == "max_size"
    assert verdict(index(), 0.1, policy) == "well"


@pytest.mark.parametrize("confidence", ["low", "none"])
def test_what_is_not_to_be_trusted_is_no_reason(confidence: str) -> None:
    of = index()
    guess = estimate(of, 0.9, confidence=confidence, why="it is a gist index")
    made = plan(snapshot(of, estimates={of.oid: guess}), POLICY)
    assert said(made) == {"orders_pkey": "unmeasured"}
    assert made.skipped[0].detail == "it is a gist index"


def test_without_an_estimate_nothing_is_known() -> None:
    assert verdict(index()) == "unmeasured"
    locked = plan(snapshot(index(bytes=None)), POLICY)
    assert (said(locked), locked.skipped[0].detail) == ({"orders_pkey": "unmeasured"}, "another session has it locked")


def test_always_needs_no_estimate_and_no_size() -> None:
    always = Policy(always=True)
    assert verdict(index(bytes=8192), None, always) == "rebuild"
    assert verdict(index(bytes=10 * MIB), None, replace(always, max_size=MIB)) == "max_size"


@pytest.mark.parametrize(
    ("modified", "confidence", "look_again"),
    [(10_000, "high", False), (10_001, "high", True), (90_000, "low", True), (0, "high", False)],
)
def test_an_estimate_by_old_statistics_is_looked_at_again(modified: int, confidence: str, look_again: bool) -> None:
    of = index(modified=modified)
    (one,) = plan(snapshot(of, estimates={of.oid: estimate(of, 0.5, confidence=confidence)}), POLICY).steps
    assert one.look_again is look_again


def test_what_was_counted_is_not_looked_at_again() -> None:
    of = index(modified=90_000)
    counted = estimate(of, 0.5, method="pgstatindex")
    assert not plan(snapshot(of, estimates={of.oid: counted}), POLICY).steps[0].look_again


def test_after_the_analyze_only_what_is_still_bloated_stays() -> None:
    one, two, three = index("one", modified=50_000), index("two", modified=50_000), index("three")
    steps = plan(snapshot(one, two, three, ratio=0.5), POLICY).steps
    indexes = {of.oid: of for of in (one, two, three)}
    fresh = {one.oid: estimate(one, 0.4), two.oid: estimate(two, 0.2)}
    kept, dropped = after_analyze(steps, indexes, fresh, POLICY)
    assert {each.index.name for each in kept} == {"one", "three"}
    assert [each.index.name for each in dropped] == ["two"]
    assert "0.400" in next(each for each in kept if each.index.name == "one").reasons[0].text


# --- what is in the way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"permitted": False}, "permission"),
        ({"permitted": False, "toast": True}, "permission_toast"),
        ({"building": True}, "building"),
        ({"exclusion": True}, "not_concurrently"),
        ({"temporary": True}, "temporary"),
        ({"droppable": False}, "rebuild"),
    ],
)
def test_what_is_in_the_way_of_a_rebuild(given: dict[str, Any], why: str) -> None:
    assert verdict(index(**given), 0.5) == why


def test_catalogs_only_when_asked_for_and_only_plainly() -> None:
    of = index("pg_class_oid_index", schema="pg_catalog", catalog=True)
    assert said(plan(snapshot(of, ratio=0.5), POLICY)) == {}
    policy = Policy(include_catalogs=True)
    assert verdict(of, 0.5, policy) == "not_concurrently"
    assert verdict(of, 0.5, replace(policy, concurrently=False)) == "rebuild"
    forbidden = replace(of, permitted=False)
    assert verdict(forbidden, 0.5, replace(policy, concurrently=False)) == "permission_catalog"
    shared = replace(of, shared=True)
    assert said(plan(snapshot(shared, ratio=0.5, first=False), replace(policy, concurrently=False))) == {}


def test_an_exclusion_constraint_is_rebuilt_plainly() -> None:
    assert verdict(index(exclusion=True), 0.5, Policy(concurrently=False)) == "rebuild"


@pytest.mark.parametrize(
    ("version", "policy", "expected"),
    [
        (140000, POLICY, "unsafe_minor"),
        (140003, POLICY, "unsafe_minor"),
        (140004, POLICY, "rebuild"),
        (150000, POLICY, "rebuild"),
        (140003, Policy(concurrently=False), "rebuild"),
        (140003, Policy(skip_unsafe_minor=False), "rebuild"),
    ],
)
def test_minors_that_damage_indexes_are_refused(version: int, policy: Policy, expected: str) -> None:
    assert verdict(index(), 0.5, policy, version=version) == expected


# --- invalid ones, and what rebuilds left -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "invalid", "expected"),
    [
        ({}, "rebuild", "rebuild"),
        ({}, "drop", "drop"),
        ({}, "report", "reported"),
        ({"constraint": True}, "rebuild", "rebuild"),
        ({"constraint": True}, "drop", "constraint"),
        ({"marked": True}, "drop", "constraint"),
        ({"droppable": False}, "drop", "permission"),
        ({"permitted": False}, "rebuild", "permission"),
        ({"building": True}, "drop", "building"),
        ({"building": True}, "rebuild", "building"),
        ({"partitioned": True}, "rebuild", "partitioned"),
        ({"partitioned": True}, "drop", "partitioned"),
        ({"bytes": 0}, "rebuild", "rebuild"),
        ({"max_size": 1}, "drop", "drop"),
    ],
)
def test_an_invalid_index_of_any_size(given: dict[str, Any], invalid: str, expected: str) -> None:
    policy = Policy(invalid=invalid, max_size=given.pop("max_size", None))
    assert verdict(index(valid=False, **given), None, policy) == expected


LEFT = {"valid": False, "shape": "btree a"}
TWIN = {"shape": "btree a"}


@pytest.mark.parametrize(
    ("left", "others", "expected"),
    [
        (index("i_ccnew", **LEFT), [index("i", **TWIN)], "i"),
        (index("i_ccold", **LEFT), [index("i", **TWIN)], "i"),
        (index("i_ccnew3", **LEFT), [index("i", **TWIN)], "i"),
        # The twin was renamed since.
        (index("i_ccnew", **LEFT), [index("other", **TWIN)], "other"),
        # Of several the one of that name.
        (index("i_ccnew", **LEFT), [index("a", **TWIN), index("i", **TWIN)], "i"),
        # The twin is invalid itself: the name must be its very own.
        (index("i_ccnew", **LEFT), [index("i", **LEFT)], "i"),
        (index("i_ccnew", **LEFT), [index("other", **LEFT)], None),
        # Other columns, another table, no twin at all.
        (index("i_ccnew", **LEFT), [index("i", shape="btree b")], None),
        (index("i_ccnew", **LEFT), [index("i", table="other", **TWIN)], None),
        (index("i_ccnew", **LEFT), [], None),
        # Its name is one that a person gave.
        (index("i_old", **LEFT), [index("i", **TWIN)], None),
        (index("i_ccnewer", **LEFT), [index("i", **TWIN)], None),
        # It is valid, or more than an index to somebody.
        (index("i_ccnew", valid=True, shape="btree a"), [index("i", **TWIN)], None),
        (index("i_ccnew", constraint=True, **LEFT), [index("i", **TWIN)], None),
        (index("i_ccnew", marked=True, **LEFT), [index("i", **TWIN)], None),
    ],
)
def test_what_a_rebuild_left_is_known_by_its_twin(left: Index, others: list[Index], expected: str | None) -> None:
    found = leftovers_of([left, *others])
    assert {oid: twin.name for oid, twin in found.items()} == ({left.oid: expected} if expected else {})


@pytest.mark.parametrize(
    ("name", "original", "expected"),
    [
        ("i_ccnew", "i", True),
        ("i_ccold12", "i", True),
        ("i_ccnew_ccnew", "i_ccnew", True),
        ("x" * 57 + "_ccnew", "x" * 63, True),
        ("x" * 56 + "_ccnew1", "x" * 60, True),
        ("x" * 56 + "_ccnew", "x" * 63, False),  # cut where the server would not
        ("☃" * 19 + "_ccnew", "☃" * 21, True),  # 57 bytes, and none of them half a letter
        ("é" * 28 + "_ccnew", "é" * 31, True),  # 56 bytes: the 57th would be half a letter
        ("j_ccnew", "i", False),
        ("i", "i", False),
        ("new\nline_ccnew", "new\nline", True),
    ],
)
def test_the_name_of_a_copy_is_cut_as_the_server_cuts_it(name: str, original: str, expected: bool) -> None:
    assert is_copy_name(name, original) is expected


def test_leftovers_are_dropped_before_anything_is_built() -> None:
    left = index("i_ccnew", valid=False, shape="a", bytes=8192)
    made = plan(
        snapshot(index("big", bytes=90 * MIB), index("i", shape="a"), left, index("broken", valid=False), ratio=0.5),
        POLICY,
    )
    assert [one.index.name for one in made.steps] == ["i_ccnew", "broken", "big", "i"]
    assert made.steps[0].twin is not None
    assert made.steps[0].reasons[0].text == "it is invalid, left by an interrupted rebuild of public.i"


def test_who_names_an_index_means_what_its_rebuild_left_too() -> None:
    left = index("i_ccnew", valid=False, shape="a")
    made = plan(snapshot(index("i", shape="a"), left, index("other")), Policy(indexes=("i",)))
    assert set(said(made)) == {"i", "i_ccnew"}


# --- which ones -------------------------------------------------------------------------------------------------------


def whole() -> Snapshot:
    """A partitioned table with its parts, a table with TOAST, and one in another schema."""
    return snapshot(
        index("part_i", table="part", oid=1, home_oid=11),
        index("orders_i"),
        index("pg_toast_1_index", toast=True, oid=2),
        index("log_i", schema="extra", table="log"),
        index("whole_i", table="whole", oid=3, home_oid=13, partitioned=True, valid=True),
        parents={1: 3, 11: 12, 12: 13},
        partitioned={3: ("public", "whole_i"), 12: ("public", "middle"), 13: ("public", "whole")},
        schemas=frozenset(("public", "extra")),
        tables=frozenset((("public", "whole"), ("public", "part"), ("public", "orders"), ("extra", "log"))),
    )


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        (Policy(), {"part_i", "orders_i", "pg_toast_1_index", "log_i"}),
        (Policy(tables=("whole",)), {"part_i"}),
        (Policy(tables=("public.middle",)), {"part_i"}),
        (Policy(indexes=("whole_i",)), {"part_i"}),
        (Policy(exclude_tables=("whole",)), {"orders_i", "pg_toast_1_index", "log_i"}),
        (Policy(tables=("orders",)), {"orders_i", "pg_toast_1_index"}),
        (Policy(indexes=("pg_toast.*",)), {"pg_toast_1_index"}),
        (Policy(schemas=("ex*",)), {"log_i"}),
        (Policy(exclude_schemas=("extra",), indexes=("*_i",)), {"part_i", "orders_i"}),
        (Policy(exclude_indexes=("public.*",)), {"log_i"}),
        (Policy(tables=("orders",), indexes=("log_i",)), set()),
    ],
)
def test_filters_pick_and_leave_out(policy: Policy, names: set[str]) -> None:
    assert {one.name for one in considered(whole(), policy, {})} == names


def test_names_that_are_nowhere() -> None:
    policy = Policy(
        schemas=("public", "nowhere", "no*"),
        tables=("orders", "extra.log", "gone", "extra.orders"),
        indexes=("log_i", "gone_i", "pg_toast.pg_toast_1_index", "g?ne"),
    )
    assert unknown_names([whole()], policy) == ["schema nowhere", "table gone", "table extra.orders", "index gone_i"]


# --- who may work side by side ----------------------------------------------------------------------------------------


def test_one_table_is_one_unit_and_what_others_would_wait_for_comes_last() -> None:
    steps = [
        step(index("a1", table="a")),
        step(index("b1", table="b", simple=False)),
        step(index("a2", table="a", simple=False)),
        step(index("a3", table="a")),
        step(index("b2", table="b", simple=False, valid=False), action="drop"),
    ]
    together, alone = phases(steps, concurrently=True)
    assert [[one.index.name for one in unit] for unit in together] == [["a1", "a3"], ["b2"]]
    assert [[one.index.name for one in unit] for unit in alone] == [["b1"], ["a2"]]
    together, alone = phases(steps, concurrently=False)
    assert [[one.index.name for one in unit] for unit in together] == [["a1", "a2", "a3"], ["b1", "b2"]]
    assert alone == []
