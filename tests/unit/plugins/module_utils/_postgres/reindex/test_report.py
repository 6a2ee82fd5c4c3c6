"""The one result form, small enough to travel."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    Applied,
    Attempt,
    Plan,
    RunOptions,
    Skip,
    State,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.report import (
    LISTED,
    Looked,
    report,
)
from tests.unit.plugins.module_utils._postgres.reindex.samples import (
    MIB,
    NOW,
    OPTIONS,
    POLICY,
    estimate,
    index,
    snapshot,
    step,
)

CONNECTION = ConnectionOptions("main", "db", 5432, "upkeep", "hunter2", "shop", "prefer")


def looked(plan: Plan, applied: Applied | None = None, **given: Any) -> Looked:
    shop = snapshot()
    records = judge(shop, plan, POLICY, applied)
    values = {"findings": tuple(evaluate(shop, records, None)), **given}
    return Looked("shop", snapshot=shop, plan=plan, records=tuple(records), **values)


def reported(*databases: Looked, options: RunOptions = OPTIONS) -> Ended:
    return report(CONNECTION, options, databases, (), NOW, 0.5)


def test_a_plan_is_a_change_that_diff_mode_shows() -> None:
    of = index()
    result = reported(looked(Plan((step(of, estimate=estimate(of)),))))
    plain = result.as_result()
    assert plain["changed"]
    assert plain["actions"][0]["status"] == "planned"
    assert result.before == "main: shop.public.orders_pkey: valid, 10.0 MiB\n"
    assert result.after == "main: shop.public.orders_pkey: valid, 5.0 MiB\n"
    assert plain["databases"][0]["status"] == "planned"
    assert "hunter2" not in str(plain)


def test_what_is_dropped_is_gone_in_the_diff() -> None:
    of = index("i_ccnew", valid=False)
    applied = Applied({of.oid: Attempt(count=1)}, proven=frozenset([of.oid]))
    result = reported(looked(Plan((step(of, "drop", "leftover"),)), applied))
    assert (result.before, result.after) == ("main: shop.public.i_ccnew: invalid, 10.0 MiB\n", "")
    assert result.as_result()["changed"]


def test_statistics_that_were_refreshed_are_a_change_of_their_own() -> None:
    of = index()
    applied = Applied({of.oid: Attempt(why="not_bloated")})
    plan = Plan((step(of, look_again=True),))
    result = reported(looked(plan, applied, analyses={"main: shop.public.orders": 0.2})).as_result()
    assert result["changed"]
    assert result["actions"][0]["description"] == "ANALYZE"
    assert (result["findings"], result["reindex"]["skipped"]) == ([], 0)
    assert not reported(looked(plan, applied)).as_result()["changed"]


def test_what_cannot_be_measured_is_listed_only_with_all() -> None:
    plan = Plan(skipped=(Skip(index("gin"), "unmeasured"), Skip(index("big"), "max_size")), healthy=(index("fine"),))
    assert [one["index"] for one in reported(looked(plan)).as_result()["indexes"]] == ["big"]
    everything = reported(looked(plan), options=RunOptions(("shop",), report="all")).as_result()["indexes"]
    assert {one["index"]: one["skipped_reason"] for one in everything} == {
        "gin": "unmeasured",
        "big": "max_size",
        "fine": "not_needed",
    }
    assert reported(looked(plan), options=RunOptions(("shop",), report="none")).as_result()["indexes"] == []


def test_trouble_stands_first_and_lists_are_cut() -> None:
    fine = [step(index(f"fine{number}")) for number in range(200)]
    bad = step(index("bad"))
    after = State(1, "i", 8, True, MIB)
    applied = Applied(
        {one.index.oid: Attempt(count=1, after=after) for one in [*fine, bad]},
        failed=frozenset([bad.index.oid]),
        proven=frozenset(one.index.oid for one in fine),
    )
    result = reported(looked(Plan((*fine, bad)), applied)).as_result()
    assert result["indexes"][0]["index"] == "bad"
    assert len(result["indexes"]) == LISTED
    assert result["truncated"]["indexes"] == 201 - LISTED
    assert result["reindex"]["done"] == 200
    assert result["databases"][0]["status"] == "failed"


def test_nothing_looked_at_is_unknown() -> None:
    result = reported(Looked("template0", "it does not accept connections")).as_result()
    assert result["summary"]["worst"] == "unknown"
    assert result["databases"][0]["reason"] == "it does not accept connections"


def test_a_database_without_indexes_was_looked_at() -> None:
    result = reported(looked(Plan())).as_result()
    assert (result["summary"]["worst"], result["findings"]) == ("ok", [])
    assert result["summary"]["counts"]["ok"] == 1


def test_a_choice_that_leaves_nothing_is_unknown() -> None:
    result = reported(looked(Plan(), filters=("no_such*",))).as_result()
    (found,) = result["findings"]
    assert (found["code"], found["severity"]) == ("pg.nothing_examined", "unknown")
    assert "no index of shop is chosen by no_such*" in found["message"]
