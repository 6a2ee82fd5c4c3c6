"""What must hold for any database: nothing is lost, a stricter limit never asks for more, and work ends the need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    EMERGENCY,
    VACUUM,
    Autovacuum,
    Counters,
    Limit,
    Plan,
    Policy,
    Snapshot,
    Step,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.needs import STATISTICS_CATALOG
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import plan, worked_on
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.statements import statements
from tests.unit.plugins.module_utils._core.properties import unhurried
from tests.unit.plugins.module_utils._postgres.vacuum.samples import EPOCH, NOW, OPTIONS, snapshot

AGES = st.sampled_from([0, 0, 5_000, 150_000_000, 2**30 + 1])
MOMENTS = st.one_of(st.none(), st.floats(EPOCH - 1e7, EPOCH - 1))
LIMIT = st.builds(Limit, st.floats(0, 5000), st.floats(0, 1))
LIMITS = st.one_of(st.none(), LIMIT)
INSERTED = st.integers(0, 9000)
THRESHOLDS = st.builds(Autovacuum, LIMIT, LIMIT, LIMITS, LIMITS, LIMITS, INSERTED, INSERTED, st.floats(-1, 9000))
LACKS = {
    "r": ["", "", "all", "columns", "expressions", "extended", "inherited"],
    "m": ["", "all"],
    "p": ["", "all"],
    "f": [""],
}


@st.composite
def counters(draw: Any) -> Counters:
    rows = st.integers(0, 20_000)
    return Counters(
        live=draw(rows), dead=draw(rows), modified=draw(rows), toast_live=draw(rows), toast_dead=draw(rows),
        pages=draw(st.integers(0, 500)), vacuums=draw(st.integers(0, 9)), analyzes=draw(st.integers(0, 9)),
        vacuumed_at=draw(MOMENTS), analyzed_at=draw(MOMENTS), toast_vacuums=draw(st.integers(0, 9)),
        heap_xid_age=draw(AGES), heap_mxid_age=draw(AGES), toast_xid_age=draw(AGES), toast_mxid_age=draw(AGES),
    )  # fmt: skip


@st.composite
def databases(draw: Any) -> Snapshot:
    """Tables of every kind; partitioned tables may hang below one another, partitions and children below them."""
    count = draw(st.integers(0, 12))
    made: list[Table] = []
    for number in range(count):
        kind = draw(st.sampled_from("rrrmpf"))
        above = [one for one in made if one.kind in "pr"]
        parent = draw(st.sampled_from([0, *(one.oid for one in above)])) if kind in "rp" else 0
        if parent and kind == "p":  # a partitioned table hangs below partitioned tables alone
            parent = parent if next(one for one in made if one.oid == parent).kind == "p" else 0
        known = draw(counters())
        if kind == "p":
            none = dict.fromkeys(("heap_xid_age", "heap_mxid_age", "toast_xid_age", "toast_mxid_age"), 0)
            known = replace(known, live=0, dead=0, modified=0, toast_live=0, toast_dead=0, pages=0, **none)
        made.append(
            Table(
                16384 + number,
                "public",
                f"t{number}",
                f"public.t{number}",
                kind,
                known,
                rows=draw(st.sampled_from([-1.0, 0.0, float(known.live), 9000.0])),
                columns=draw(st.integers(0, 40)),
                temporary=kind == "r" and draw(st.integers(0, 9)) == 0,
                parent=parent,
                permitted=draw(st.integers(0, 9)) > 0,
                toast=draw(st.sampled_from([0, 30_000 + number])),
                busy=draw(st.sampled_from(["", "", "", "autovacuum", "wraparound"])),
                autovacuum=draw(st.one_of(st.none(), THRESHOLDS)),
                lacks=draw(st.sampled_from(LACKS[kind])),
            )
        )
    parents = {one.parent for one in made}
    made = [replace(one, children=one.oid in parents) for one in made]
    name = ("pg_catalog", "pg_statistic", "pg_catalog.pg_statistic")
    statistics = Table(STATISTICS_CATALOG, *name, "r", draw(counters()), rows=500.0, catalog=True)
    return snapshot(*made, statistics, version=draw(st.sampled_from([140023, 150018, 160015, 170011, 180006])))


@st.composite
def policies(draw: Any) -> Policy:
    return Policy(
        mode=draw(st.sampled_from(["vacuum_analyze", "vacuum", "analyze", "freeze", EMERGENCY])),
        xid_age=draw(st.sampled_from([1, 10_000, 150_000_000])),
        mxid_age=draw(st.sampled_from([1, 300_000_000])),
        autovacuum=draw(st.booleans()),
        toast=draw(st.booleans()),
        dead_ratio=draw(st.sampled_from([0.0, 0.1, 0.5])),
        dead_min=draw(st.sampled_from([0, 100, 1000])),
        mod_ratio=draw(st.sampled_from([0.0, 0.05, 0.5])),
        mod_min=draw(st.sampled_from([0, 50, 500])),
        missing_stats=draw(st.booleans()),
    )


def after(before: Snapshot, made: Plan) -> Snapshot:
    """The database as a quiet server shows it once every step of the plan is done."""
    steps = {step.table.oid: step for step in made.steps}
    replaced = sum(step.table.columns for step in made.steps if ANALYZE in step.actions and step.table.lacks != "all")
    tables = {one.oid: _worked_on(one, steps.get(one.oid)) for one in before.tables}
    last = tables[STATISTICS_CATALOG]
    if STATISTICS_CATALOG not in steps:
        tables[last.oid] = replace(last, counters=replace(last.counters, dead=last.counters.dead + replaced))
    # A partitioned table knows the number of its rows from its ANALYZE alone.
    for oid, step in steps.items():
        if step.table.partitioned:
            tables[oid] = replace(tables[oid], rows=float(rows_below(tables, oid)))
    return replace(before, tables=tuple(tables.values()))


def _worked_on(one: Table, step: Step | None) -> Table:
    if step is None:
        return one
    known = worked_on(one.counters, step.actions, EPOCH)
    if not (known.live or one.partitioned) and one.rows > 0:
        known = replace(known, live=round(one.rows))  # ANALYZE and VACUUM count what is there
    rows = one.rows if one.partitioned else float(known.live)
    limits = one.autovacuum
    if limits is not None and VACUUM in step.actions:
        limits = replace(limits, inserted=0, toast_inserted=0, toast_rows=float(known.toast_live))
    return replace(
        one, counters=known, rows=rows, lacks="" if ANALYZE in step.actions else one.lacks, autovacuum=limits
    )


def rows_below(tables: dict[int, Table], oid: int) -> int:
    total = 0
    for one in tables.values():
        above = one.parent
        while above and above != oid:
            above = tables[above].parent
        if above == oid and not one.partitioned and not one.temporary:
            counted = one.counters
            known = counted.live or counted.dead or counted.modified or counted.vacuumed_at or counted.analyzed_at
            total += counted.live if known else round(max(one.rows, 0))
    return total


@settings(unhurried, max_examples=400)
@given(databases(), policies())
def test_a_second_plan_is_empty(before: Snapshot, policy: Policy) -> None:
    made = plan(before, policy, NOW)
    again = plan(after(before, made), policy, NOW)
    assert [(step.table.sql_name, step.reasons) for step in again.steps] == []


@unhurried
@given(databases(), policies())
def test_every_table_is_in_one_place(before: Snapshot, policy: Policy) -> None:
    made = plan(before, policy, NOW)
    placed = [step.table.oid for step in made.steps] + [skip.table.oid for skip in made.skipped]
    placed += [one.oid for one in made.healthy]
    assert sorted(placed) == sorted(one.oid for one in before.tables)
    assert all(step.actions and step.reasons for step in made.steps)
    assert all(one.permitted for one in (step.table for step in made.steps))


@unhurried
@given(databases(), policies(), st.integers(0, 400), st.integers(1, 9), st.integers(0, 3))
def test_the_statements_do_the_plan_and_nothing_else(
    before: Snapshot, policy: Policy, batch_pages: int, jobs: int, retries: int
) -> None:
    made = plan(before, policy, NOW)
    phases = statements(made.steps, before, replace(OPTIONS, batch_pages=batch_pages, jobs=jobs, lock_retries=retries))
    wanted = {(step.table.oid, action) for step in made.steps for action in step.actions}
    done = [
        (step.table.oid, action)
        for phase in phases
        for statement in phase
        for step in statement.steps
        for action in step.actions
    ]
    covered = [(step.table.oid, ANALYZE) for phase in phases for one in phase for step in one.covers]
    assert len(done) == len(set(done)), "something is done twice"
    assert set(done) | set(covered) == wanted
    assert not set(done) & set(covered)
    for statement in (one for phase in phases for one in phase):
        assert len({step.actions for step in statement.steps}) == 1
        assert ("SKIP_LOCKED" in statement.sql) == statement.skips_locked
        assert ("FREEZE" in statement.sql) == ("freeze" in statement.steps[0].actions)
        assert all(step.table.sql_name in statement.sql for step in statement.steps)


@pytest.mark.parametrize("limit", ["dead_min", "dead_ratio", "mod_min", "mod_ratio", "xid_age", "mxid_age"])
@unhurried
@given(databases(), policies(), st.data())
def test_a_higher_limit_never_asks_for_more(limit: str, before: Snapshot, policy: Policy, data: Any) -> None:
    before = replace(before, tables=tuple(one for one in before.tables if not one.parent and one.kind != "p"))
    lower = getattr(policy, limit)
    higher = data.draw(st.floats(lower, 1.0) if limit.endswith("ratio") else st.integers(lower, lower + 30_000))
    many = {step.table.oid for step in plan(before, policy, NOW).steps} - {STATISTICS_CATALOG}
    few = {step.table.oid for step in plan(before, replace(policy, **{limit: higher}), NOW).steps} - {
        STATISTICS_CATALOG
    }
    assert few <= many


@unhurried
@given(databases(), policies())
def test_always_leaves_out_only_what_cannot_be_done(before: Snapshot, policy: Policy) -> None:
    made = plan(before, replace(policy, always=True), NOW)
    assert {skip.why for skip in made.skipped} <= {
        "foreign", "temporary", "permission", "permission_catalog", "autovacuum",
    }  # fmt: skip
    assert all(skip.table.busy == "wraparound" for skip in made.skipped if skip.why == "autovacuum" and policy.mode)
    assert all(one.partitioned or one.oid == STATISTICS_CATALOG for one in made.healthy)
    assert all((VACUUM in step.actions) <= (not step.table.partitioned) for step in made.steps)
