"""Which tables need work, why, in which order, and by which statements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import select
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    VACUUM,
    Plan,
    Policy,
    Reason,
    Step,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.needs import STATISTICS_CATALOG
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import plan, unknown_names
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.statements import (
    LARGEST_BATCH,
    SMALLEST_BATCH,
    statements,
)
from tests.unit.plugins.module_utils._postgres.vacuum.samples import EPOCH, NOW, OPTIONS, POLICY, snapshot, table

BOTH = (VACUUM, ANALYZE)
ALWAYS = replace(POLICY, always=True)


def planned(*tables: Table, policy: Policy = POLICY, **given: Any) -> Plan:
    return plan(snapshot(*tables, **given), policy, NOW)


def only(*tables: Table, policy: Policy = POLICY, **given: Any) -> Step:
    (step,) = planned(*tables, policy=policy, **given).steps
    return step


def needs(one: Table, policy: Policy = POLICY) -> tuple[str, ...]:
    """The actions that are planned for one table; none when it is healthy."""
    made = planned(one, policy=policy)
    assert len(made.steps) + len(made.healthy) == 1
    return made.steps[0].actions if made.steps else ()


# --- thresholds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counters", "actions"),
    [
        ({}, ()),
        ({"live": 9_000, "dead": 999}, ()),  # enough of a share, too few rows
        ({"live": 9_000, "dead": 1_000}, BOTH),  # the thresholds themselves
        ({"live": 9_001, "dead": 1_000}, ()),  # enough rows, too small a share
        ({"live": 0, "dead": 5_000}, BOTH),
        ({"live": 20_000, "modified": 999}, ()),
        ({"live": 20_000, "modified": 1_000}, (ANALYZE,)),
        ({"live": 1_000, "modified": 499}, ()),
        ({"live": 1_000, "modified": 500}, (ANALYZE,)),
        ({"live": 0, "modified": 500}, (ANALYZE,)),
        ({"toast_live": 9_000, "toast_dead": 1_000}, BOTH),
        ({"toast_live": 9_000, "toast_dead": 999}, ()),
    ],
)
def test_thresholds(counters: dict[str, int], actions: tuple[str, ...]) -> None:
    assert needs(table(**counters)) == actions


def test_a_reason_has_the_numbers_and_the_limits() -> None:
    step = only(table(live=20_000, dead=10_000, modified=12_000))
    assert [reason.code for reason in step.reasons] == ["dead", "stats"]
    assert step.reasons[0].text == "10000 of 30000 rows are dead, a share of 0.333 (limits 1000 and 0.1)"
    assert step.reasons[1].text == "12000 rows changed since ANALYZE (limits 500 and 0.05 of 20000)"


@pytest.mark.parametrize(
    ("mode", "actions"), [("vacuum_analyze", BOTH), ("vacuum", (VACUUM,)), ("analyze", (ANALYZE,))]
)
def test_a_mode_does_only_its_own(mode: str, actions: tuple[str, ...]) -> None:
    policy = replace(POLICY, mode=mode)
    assert needs(table(dead=10_000, modified=10_000), policy) == actions
    assert needs(table(), replace(policy, always=True)) == actions


def test_a_mode_does_not_see_the_reasons_of_the_other() -> None:
    assert needs(table(dead=10_000), replace(POLICY, mode="analyze")) == ()
    assert needs(table(modified=10_000, lacks="all", analyzed_at=None), replace(POLICY, mode="vacuum")) == ()


def test_a_limit_of_nothing_still_wants_one_row() -> None:
    policy = replace(POLICY, dead_min=0, dead_ratio=0.0, mod_min=0, mod_ratio=0.0)
    assert needs(table(), policy) == ()
    assert needs(table(dead=1), policy) == BOTH
    assert needs(table(modified=1), policy) == (ANALYZE,)


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"lacks": ""}, False),
        ({"lacks": "columns"}, True),
        ({"lacks": "all", "analyzed_at": None}, True),
        ({"lacks": "all"}, False),  # ANALYZE ran and made none: it would make none again
        ({"lacks": "all", "modified": 1}, True),  # it was empty when it was analysed
        ({"lacks": "all", "analyzed_at": None, "live": 0}, False),  # nothing to make statistics of
        ({"lacks": "columns", "catalog": True}, False),
    ],
)
def test_missing_statistics(given: dict[str, Any], needed: bool) -> None:
    one = table(**given)
    assert needs(one) == ((ANALYZE,) if needed else ())
    assert needs(one, replace(POLICY, missing_stats=False)) == ()


def test_a_table_whose_counts_are_lost_gets_them_back() -> None:
    lost = table(live=0, rows=5000.0, vacuumed_at=None, analyzed_at=None)
    assert "lost its counts" in only(lost).reasons[0].text
    assert needs(lost) == (ANALYZE,)
    assert needs(replace(lost, catalog=True)) == ()
    assert needs(replace(lost, rows=-1.0)) == ()


# --- what is left -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"kind": "f"}, "foreign"),
        ({"temporary": True}, "temporary"),
        ({"permitted": False}, "permission"),
        ({"permitted": False, "catalog": True}, "permission_catalog"),
    ],
)
def test_what_is_left_and_why(given: dict[str, Any], why: str) -> None:
    (skip,) = planned(table(dead=10_000, **given)).skipped
    assert skip.why == why
    assert [reason.code for reason in skip.reasons] == ([] if why in ("foreign", "temporary") else ["dead"])


def test_what_needs_nothing_is_healthy_though_the_role_may_not_touch_it() -> None:
    made = planned(table(permitted=False))
    assert [one.name for one in made.healthy] == ["orders"]


def test_without_counts_nothing_is_known() -> None:
    made = planned(table(), table("other", dead=10_000), counts=False)
    assert [skip.why for skip in made.skipped] == ["counters_off", "counters_off"]
    assert not made.steps
    assert not made.healthy


@pytest.mark.parametrize(
    ("given", "seconds", "actions"),
    [
        ({"dead": 10_000, "vacuumed_at": EPOCH - 59}, 60, None),
        ({"dead": 10_000, "vacuumed_at": EPOCH - 60}, 60, BOTH),
        ({"dead": 10_000, "vacuumed_at": None}, 60, BOTH),
        ({"dead": 10_000, "vacuumed_at": EPOCH, "modified": 10_000}, 60, (ANALYZE,)),
        ({"modified": 10_000, "analyzed_at": EPOCH}, 60, None),
        ({"modified": 10_000, "vacuumed_at": EPOCH}, 60, (ANALYZE,)),
    ],
)
def test_what_was_done_lately_is_left(given: dict[str, Any], seconds: float, actions: tuple[str, ...] | None) -> None:
    made = planned(table(**given), policy=replace(POLICY, recent=float(seconds)))
    if actions is None:
        assert [skip.why for skip in made.skipped] == ["recent"]
    else:
        assert made.steps[0].actions == actions


def test_lately_with_always_is_what_the_mode_does() -> None:
    one = table(vacuumed_at=EPOCH - 7200, analyzed_at=EPOCH)
    recent = replace(ALWAYS, recent=3600.0)
    assert needs(one, replace(recent, mode="vacuum")) == (VACUUM,)
    assert planned(one, policy=replace(recent, mode="analyze")).skipped[0].why == "recent"


# --- filters ----------------------------------------------------------------------------------------------------------

SHOP = (
    table("orders", 1),
    table("order_events", 2),
    table("orders", 3, schema="old"),
    table("pg_class", 4, schema="pg_catalog", catalog=True),
    table("d.ot", 5),
    table("a[b", 6),
)


@pytest.mark.parametrize(
    ("filters", "oids"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"include_catalogs": False}, [1, 2, 3, 5, 6]),
        ({"tables": ("orders",)}, [1, 3]),
        ({"tables": ("old.orders",)}, [3]),
        ({"tables": ("order*",)}, [1, 2, 3]),
        ({"tables": ("ORDERS",)}, []),
        ({"tables": ("d.ot",)}, [5]),
        ({"tables": ("a[b",)}, [6]),  # what looks like a pattern may be a name
        ({"schemas": ("old",)}, [3]),
        ({"schemas": ("p*",), "include_catalogs": False}, [1, 2, 5, 6]),
        ({"exclude_schemas": ("pg_*", "old")}, [1, 2, 5, 6]),
        ({"tables": ("order*",), "exclude_tables": ("*.order_events",), "exclude_schemas": ("old",)}, [1]),
    ],
)
def test_filters(filters: dict[str, Any], oids: list[int]) -> None:
    made = planned(*SHOP, policy=replace(ALWAYS, **filters))
    assert sorted(step.table.oid for step in made.steps) == oids


def test_names_that_nobody_has() -> None:
    policy = replace(POLICY, schemas=("public", "nowhere", "no*"), tables=("orders", "old.orders", "none", "no*"))
    assert unknown_names([snapshot(*SHOP)], policy) == ["schema nowhere", "table none"]
    elsewhere = snapshot(table("none", schema="nowhere"), database="other")
    assert unknown_names([snapshot(*SHOP), elsewhere], policy) == []


def test_databases_are_chosen_in_their_own_order() -> None:
    assert select(["b", "a", "abc"], ["a*"]) == (["a", "abc"], [])
    assert select(["b", "a"], ["*"]) == (["b", "a"], [])
    assert select(["b", "a"], ["a", "c", "d*"]) == (["a"], ["c"])


# --- partitions -------------------------------------------------------------------------------------------------------

TOP = table("top", 10, kind="p", live=0, rows=10_000.0, children=True, pages=0)
MIDDLE = table("middle", 11, kind="p", live=0, rows=6_000.0, children=True, pages=0, parent=10)
LEAVES = (
    table("leaf_a", 12, live=3_000, parent=11),
    table("leaf_b", 13, live=3_000, parent=11),
    table("leaf_c", 14, live=4_000, parent=10),
)
FAMILY = (TOP, MIDDLE, *LEAVES)


def changed(name: str, **given: Any) -> tuple[Table, ...]:
    """The family with other counters or fields for one of it."""
    fields = {key: given.pop(key) for key in ("kind", "permitted", "rows", "lacks") if key in given}
    return tuple(
        replace(one, counters=replace(one.counters, **given), **fields) if one.name == name else one for one in FAMILY
    )


def test_a_healthy_family_needs_nothing() -> None:
    assert planned(*FAMILY).steps == ()


def test_changes_in_partitions_count_for_all_above() -> None:
    made = planned(*changed("leaf_a", modified=450))
    # 450 of 3000, 6000 and 10000 rows: enough of a share for two of them, but too few rows for any.
    assert made.steps == ()
    made = planned(*changed("leaf_a", modified=500))
    assert {step.table.name for step in made.steps} == {"leaf_a", "middle", "top"}
    assert {step.actions for step in made.steps} == {(ANALYZE,)}


def test_partitions_with_changes_are_analysed_with_their_whole() -> None:
    """Or their changes would be a reason again in every run."""
    family = tuple(
        replace(one, counters=replace(one.counters, modified=300)) if one in LEAVES[:2] else one for one in FAMILY
    )
    made = planned(*family)
    reasons = {step.table.name: step.reasons[0].text for step in made.steps}
    assert set(reasons) == {"top", "middle", "leaf_a", "leaf_b"}
    assert "300 rows changed since ANALYZE, which count for public.middle" in reasons["leaf_a"]


def test_changes_that_cannot_be_analysed_do_not_count() -> None:
    made = planned(*changed("leaf_a", modified=600, permitted=False))
    assert made.steps == ()
    assert [skip.why for skip in made.skipped] == ["permission"]
    made = planned(*changed("leaf_a", modified=600), policy=replace(POLICY, exclude_tables=("leaf_a",)))
    assert made.steps == ()


def test_growth_is_seen_when_the_changes_are_forgotten() -> None:
    made = planned(*changed("leaf_c", live=5_000))
    assert [step.table.name for step in made.steps] == ["top"]
    assert "1000 rows more or fewer in its partitions" in made.steps[0].reasons[0].text
    assert planned(*changed("leaf_c", live=3_000)).steps != ()
    assert planned(*changed("leaf_c", live=4_499)).steps == ()


def test_a_new_partitioned_table_lacks_statistics() -> None:
    made = planned(*changed("top", rows=-1.0, analyzed_at=None, lacks="all"))
    assert [step.table.name for step in made.steps] == ["top"]
    assert made.steps[0].reasons == (Reason("missing_stats", "it has rows and no statistics"),)


def test_a_partitioned_table_that_was_empty_when_it_was_analysed() -> None:
    made = planned(*changed("top", rows=0.0, lacks="all"))
    assert made.steps[0].reasons[0].code == "missing_stats"


def test_a_partitioned_table_is_never_vacuumed() -> None:
    made = planned(*FAMILY, policy=replace(ALWAYS, mode="vacuum"))
    assert [one.name for one in made.healthy] == ["top", "middle"]


def test_a_foreign_partition_keeps_its_whole_from_being_analysed() -> None:
    made = planned(*changed("leaf_a", kind="f"), policy=ALWAYS)
    assert {skip.table.name: skip.why for skip in made.skipped} == dict.fromkeys(("top", "middle", "leaf_a"), "foreign")


def test_naming_a_partitioned_table_names_its_partitions() -> None:
    made = planned(*FAMILY, policy=replace(ALWAYS, tables=("middle",)))
    assert sorted(step.table.name for step in made.steps) == ["leaf_a", "leaf_b", "middle"]


def test_a_parent_by_inheritance_is_named_alone_and_counts_alone() -> None:
    parent = table("parent", 20, live=0, rows=0.0, children=True, lacks="inherited")
    child = table("child", 21, parent=20, modified=900)
    assert [step.table.name for step in planned(parent, child).steps] == ["parent"]
    assert [step.table.name for step in planned(parent, child, policy=replace(ALWAYS, tables=("parent",))).steps] == [
        "parent"
    ]


# --- order ------------------------------------------------------------------------------------------------------------


def test_the_order_is_what_can_be_gained() -> None:
    made = planned(
        table("stale", 1, modified=10_000),
        table("missing", 2, lacks="columns"),
        table("small", 3, live=1_000, dead=9_000, pages=10, rows=1_000.0),
        table("big", 4, dead=10_000, pages=9_000),
        table("missing_big", 5, lacks="columns", pages=9_000),
    )
    assert [step.table.name for step in made.steps] == ["big", "small", "missing_big", "missing", "stale"]


def statistics(**given: Any) -> Table:
    return table(
        "pg_statistic", STATISTICS_CATALOG, schema="pg_catalog", catalog=True, **{"live": 5_000, "dead": 100, **given}
    )


def test_the_catalog_of_statistics_is_vacuumed_when_the_run_replaces_its_rows() -> None:
    stale = [table(f"t{number}", 100 + number, modified=10_000, columns=10) for number in range(80)]
    made = planned(*stale, statistics())
    assert made.steps[-1].table.oid == STATISTICS_CATALOG
    assert made.steps[-1].actions == (VACUUM,)
    assert "about 800 of its 5000 rows are replaced by this run" in made.steps[-1].reasons[0].text
    assert planned(*stale[:10], statistics()).steps[-1].table.name != "pg_statistic", "too few to matter"
    assert planned(*stale, statistics(), policy=replace(POLICY, mode="analyze")).steps[-1].table.name != "pg_statistic"
    assert planned(*stale, statistics(permitted=False)).steps[-1].table.name != "pg_statistic"
    fresh = [replace(one, lacks="all") for one in stale]
    assert planned(*fresh, statistics()).steps[-1].table.name != "pg_statistic", "new rows leave no dead ones"


def test_it_is_vacuumed_last_though_it_needs_it_most() -> None:
    made = planned(table("t", 1, modified=10_000), statistics(dead=50_000, pages=9_000))
    assert made.steps[0].table.name == "pg_statistic"
    assert made.steps[0].actions == (VACUUM,), "nobody can analyse it"
    first, then, last = statements(made.steps, snapshot(), OPTIONS)
    assert [statement.sql for statement in first] == ["ANALYZE public.t"]
    assert then == []
    assert [statement.sql for statement in last] == ["VACUUM pg_catalog.pg_statistic"]


# --- statements -------------------------------------------------------------------------------------------------------


def many(count: int, **given: Any) -> list[Table]:
    values = {"live": 300, "dead": 5_000, "pages": 20, "rows": 5_300.0, **given}
    return [table(f"small_{number}", 20_000 + number, **values) for number in range(count)]


def first_of(*tables: Table, version: int = 150018, **options: Any) -> list[Any]:
    shot = snapshot(*tables, version=version)
    return statements(plan(shot, POLICY, NOW).steps, shot, replace(OPTIONS, **options))[0]


def test_big_tables_go_alone_and_before_small_ones_together() -> None:
    sent = first_of(*many(4), table("big", dead=10_000, pages=129, rows=30_000.0), jobs=1)
    assert sent[0].sql == "VACUUM (ANALYZE) public.big"
    assert not sent[0].skips_locked
    assert [len(statement.steps) for statement in sent] == [1, 2, 2]
    assert sent[1].sql == "VACUUM (ANALYZE, SKIP_LOCKED) public.small_0, public.small_1"
    assert sent[1].skips_locked


@pytest.mark.parametrize(
    ("count", "jobs", "sizes"),
    [
        (20, 4, [3, 3, 3, 3, 3, 3, 2]),
        (100, 1, [50, 25, 13, 8, 4]),
        (100, 4, [13, 11, 10, 9, 8, 8, 8, 8, 8, 8, 8, 1]),
        (2, 1, [1, 1]),
        (1, 8, [1]),
    ],
)
def test_batches_give_every_connection_work(count: int, jobs: int, sizes: list[int]) -> None:
    assert [len(statement.steps) for statement in first_of(*many(count), jobs=jobs)] == sizes


def test_batches_are_large_at_first_and_small_in_the_end() -> None:
    sizes = [len(statement.steps) for statement in first_of(*many(2000, pages=5), jobs=4)]
    assert sum(sizes) == 2000
    assert sizes[:4] == [LARGEST_BATCH] * 4
    assert sizes[-4:] == [SMALLEST_BATCH] * 4
    assert sizes == sorted(sizes, reverse=True)


def test_a_batch_holds_only_so_many_pages() -> None:
    sent = first_of(*many(40, pages=128), jobs=1)
    assert [len(statement.steps) for statement in sent] == [16, 12, 8, 4]


def test_of_tables_that_are_alike_the_neighbours_in_the_catalogs_go_together() -> None:
    older, newer = (table(name, oid=oid, dead=10_000, pages=2) for name, oid in (("b", 20_000), ("a", 20_001)))
    assert [step.table.name for step in planned(newer, older).steps] == ["b", "a"]


def test_without_batches_each_has_its_own() -> None:
    assert [len(statement.steps) for statement in first_of(*many(5), batch_pages=0)] == [1] * 5


def test_without_retries_nothing_waits_for_a_lock() -> None:
    (statement,) = first_of(table(dead=10_000), lock_retries=0)
    assert statement.sql == "VACUUM (ANALYZE, SKIP_LOCKED) public.orders"
    assert statement.skips_locked


def test_different_work_is_not_mixed() -> None:
    stale = [table(f"stale_{number}", 50 + number, modified=10_000, pages=10) for number in range(4)]
    sent = first_of(*many(4), *stale, jobs=1)
    assert [statement.sql.split(" public")[0] for statement in sent] == [
        "VACUUM (ANALYZE, SKIP_LOCKED)",
        "VACUUM (ANALYZE, SKIP_LOCKED)",
        "ANALYZE (SKIP_LOCKED)",
        "ANALYZE (SKIP_LOCKED)",
    ]


def test_before_18_a_partitioned_table_takes_its_partitions_along() -> None:
    family = [
        *FAMILY[:2],
        *(replace(one, counters=replace(one.counters, modified=2_000)) for one in LEAVES[:2]),
        replace(LEAVES[2], counters=replace(LEAVES[2].counters, modified=2_000, dead=2_000)),
    ]
    shot = snapshot(*family)
    steps = plan(shot, POLICY, NOW).steps
    first, then, last = statements(steps, shot, OPTIONS)
    assert [statement.sql for statement in first] == ["VACUUM public.leaf_c"]
    assert [statement.sql for statement in then] == ["ANALYZE public.top"]
    assert sorted(step.table.name for step in then[0].covers) == ["leaf_a", "leaf_b", "leaf_c", "middle"]
    assert last == []
    newer = replace(shot, version=180006)
    first, then, last = statements(steps, newer, OPTIONS)
    assert then == last == []
    assert "ANALYZE ONLY public.top" in [statement.sql for statement in first]
    assert sorted(step.table.name for statement in first for step in statement.steps) == sorted(
        step.table.name for step in steps
    )


def test_a_partition_below_one_that_is_not_analysed_itself_is_covered_too() -> None:
    middle_is_fine = (TOP, replace(MIDDLE, oid=11), *LEAVES)
    shot = snapshot(*middle_is_fine)
    steps = [Step(TOP, (ANALYZE,), (Reason("stats", ""),)), Step(LEAVES[0], (ANALYZE,), (Reason("stats", ""),))]
    first, then, _last = statements(steps, shot, OPTIONS)
    assert first == []
    assert [step.table.name for step in then[0].covers] == ["leaf_a"]
