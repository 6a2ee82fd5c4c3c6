"""What must hold for any database: nothing is lost, a stricter limit never asks for more, and work ends the need."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    DROP,
    Index,
    Plan,
    Policy,
    Snapshot,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.plan import (
    is_copy_name,
    leftovers_of,
    phases,
    plan,
)
from tests.unit.plugins.module_utils._postgres.reindex.samples import MIB, estimate, index, snapshot

NAMES = st.sampled_from(["a", "a_ccnew", "a_ccold", "a_ccnew1", "b", "b_ccnew", "c", "c_ccold2", "d_ccnew"])
FLAGS = st.booleans()
POLICIES = st.builds(
    Policy,
    always=FLAGS,
    include_catalogs=FLAGS,
    bloat_ratio=st.floats(0.05, 1.0),
    min_size=st.sampled_from([0, MIB, 20 * MIB]),
    max_size=st.sampled_from([None, 30 * MIB]),
    invalid=st.sampled_from(["rebuild", "drop", "report"]),
    concurrently=FLAGS,
)


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    valid = draw(st.sampled_from([True, True, False]))
    constraint = draw(FLAGS)
    return index(
        draw(NAMES),
        oid=draw(st.integers(20000, 29999)),
        table=draw(st.sampled_from(["t", "u"])),
        bytes=draw(st.sampled_from([0, MIB, 10 * MIB, 50 * MIB])),
        valid=valid,
        shape=draw(st.sampled_from(["x", "y"])),
        constraint=constraint,
        marked=constraint and draw(FLAGS),
        simple=draw(FLAGS),
        exclusion=constraint and draw(FLAGS),
        catalog=draw(st.sampled_from([False, False, True])),
        temporary=draw(st.sampled_from([False, False, True])),
        building=draw(st.sampled_from([False, False, True])),
        permitted=draw(st.sampled_from([True, True, False])),
        droppable=draw(st.sampled_from([True, True, False])),
        modified=draw(st.sampled_from([0, 5_000, 50_000])),
    )


@st.composite
def databases(draw: st.DrawFn) -> Snapshot:
    found = draw(st.lists(indexes(), max_size=8, unique_by=(lambda one: one.oid, lambda one: (one.table, one.name))))
    estimates = {
        one.oid: estimate(
            one,
            draw(st.floats(0, 0.99)),
            confidence=draw(st.sampled_from(["high", "medium", "low", "none"])),
            method=draw(st.sampled_from(["estimate", "pgstatindex"])),
        )
        for one in found
        if one.valid
    }
    return snapshot(*found, estimates=estimates)


def worked_on(before: Snapshot, steps: tuple[Step, ...]) -> Snapshot:
    """The database when every step was done, nobody else came, and the statistics are fresh."""
    dropped = {step.index.oid for step in steps if step.action == DROP}
    rebuilt = {step.index.oid for step in steps if step.action != DROP}
    now, estimates = [], {}
    for one in before.indexes:
        if one.oid in dropped:
            continue
        if one.oid in rebuilt:
            expected = before.estimates[one.oid].expected_bytes if one.oid in before.estimates else one.size
            one = replace(one, valid=True, bytes=expected, modified=0)
            estimates[one.oid] = estimate(one, 0.0)
        elif one.oid in before.estimates:
            estimates[one.oid] = before.estimates[one.oid]
        now.append(one)
    return replace(before, indexes=tuple(now), estimates=estimates)


def all_of(made: Plan) -> list[int]:
    steps = [step.index.oid for step in made.steps] + [skip.index.oid for skip in made.skipped]
    return sorted(steps + [one.oid for one in made.healthy])


@given(databases(), POLICIES)
def test_every_index_is_said_something_of_once(database: Snapshot, policy: Policy) -> None:
    wanted = sorted(one.oid for one in database.indexes if policy.include_catalogs or not one.catalog)
    assert all_of(plan(database, policy)) == wanted


@given(databases(), POLICIES)
def test_a_second_run_finds_nothing_that_the_first_did_not_bring_about(database: Snapshot, policy: Policy) -> None:
    policy = replace(policy, always=False)
    first = plan(database, policy).steps
    again = plan(worked_on(database, first), policy).steps
    # Of two invalid copies whose index is gone, the first run may mend one and not be allowed the other; only then
    # that other is known for a leftover, of an index which is valid now.
    mended = {step.index.oid for step in first if step.action != DROP}
    assert [step for step in again if step.twin is None or step.twin.oid not in mended] == []


@given(databases(), POLICIES)
def test_nothing_valid_is_dropped_and_nothing_that_somebody_needs(database: Snapshot, policy: Policy) -> None:
    for step in plan(database, policy).steps:
        if step.action == DROP:
            assert not step.index.valid
            assert not step.index.constraint
            assert not step.index.marked
            assert not step.index.building
            assert step.index.droppable


@given(databases(), POLICIES)
def test_what_the_role_may_not_do_and_what_others_build_is_not_touched(database: Snapshot, policy: Policy) -> None:
    for step in plan(database, policy).steps:
        assert step.index.permitted or step.action == DROP
        assert not step.index.building
        assert not step.index.temporary
        assert not (policy.concurrently and step.action != DROP and (step.index.catalog or step.index.exclusion))


@given(databases(), POLICIES, st.floats(0.0, 0.5))
def test_a_stricter_limit_never_asks_for_more(database: Snapshot, policy: Policy, more: float) -> None:
    stricter = replace(policy, bloat_ratio=min(1.0, policy.bloat_ratio + more), min_size=policy.min_size + MIB)
    some = {step.index.oid for step in plan(database, stricter).steps}
    assert some <= {step.index.oid for step in plan(database, policy).steps}


@given(databases())
def test_a_leftover_always_has_a_twin_that_stays(database: Snapshot) -> None:
    found = leftovers_of(database.indexes)
    by_oid = {one.oid: one for one in database.indexes}
    for oid, twin in found.items():
        left = by_oid[oid]
        assert (left.table_oid, left.shape) == (twin.table_oid, twin.shape)
        assert twin.oid != oid
        assert twin.valid or is_copy_name(left.name, twin.name)


@given(databases(), POLICIES)
def test_each_step_is_in_one_unit_and_each_table_in_one_at_a_time(database: Snapshot, policy: Policy) -> None:
    steps = plan(database, policy).steps
    together, alone = phases(steps, policy.concurrently)
    units = [*together, *alone]
    assert sorted(step.index.oid for unit in units for step in unit) == sorted(step.index.oid for step in steps)
    tables = [unit[0].index.table_oid for unit in together]
    assert len(tables) == len(set(tables))
    assert all(len({step.index.table_oid for step in unit}) == 1 for unit in units)


@given(st.text(min_size=1, max_size=63).filter(lambda text: len(text.encode()) <= 63 and "\0" not in text), FLAGS)
def test_the_server_finds_its_own_names(name: str, new: bool) -> None:
    """As makeObjectName() of the server makes them."""
    label = "ccnew" if new else "ccold"
    cut = name.encode()[: 63 - len(label) - 1].decode(errors="ignore")
    assert is_copy_name(f"{cut}_{label}", name)
