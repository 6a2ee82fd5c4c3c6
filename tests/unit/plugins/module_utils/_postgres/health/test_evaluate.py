"""All parts together: what was asked for, what could not be seen, and what the user has accepted."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import PARTS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.check import CHECK, record, records
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.evaluate import (
    evaluate,
    examined,
    unreachable,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Activity,
    LargeObjects,
    Place,
    Replication,
    Sequences,
    SlotRow,
    Statements,
    Tables,
    Twin,
    Workers,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.unseen import (
    activities_off,
    not_permitted,
)
from tests.unit.plugins.module_utils._postgres.health.samples import database, policy, snapshot, told

HEALTHY = {
    "connections": Activity(5, 1, 4, 0, 0, None, []),
    "long_queries": (0, ()),
    "idle_in_transaction": (0, ()),
    "lock_waits": (0, (), {}),
    "xmin_holders": (),
    "prepared_xacts": (),
    "slow_queries": Statements(None, 0, 0.0, (), ()),
    "replication": Replication((), (), None),
    "archiver": None,
    "checksums": {},
    "autovacuum": Workers(0, None, 0),
    "sizes": {"shop": 100},
}
WITHIN = {
    "bloat": (),
    "unused_indexes": (),
    "duplicate_indexes": (0, ()),
    "invalid_indexes": (),
    "sequences": Sequences(0, 0, 0, ()),
    "large_objects": LargeObjects(0, 0, 0),
    "last_vacuum": Tables(1, 0, (), 0, ()),
    "autovacuum": Tables(1, 0, (), 0, ()),
    "sizes": (),
    "wraparound": (),
}
TWINS = (1, (Twin("public.i", "public.t", 8192, 0, "keeper", True, False),))


def seen(parts=None, within=None, **changed):
    return snapshot(
        parts={**HEALTHY, **(parts or {})}, places=(Place("shop", {**WITHIN, **(within or {})}),), **changed
    )


def test_a_healthy_cluster_has_a_verdict_on_everything_and_no_problem():
    verdicts = evaluate(seen(), policy())
    assert list(verdicts) == list(PARTS)
    assert {part: told(verdict) for part, verdict in verdicts.items() if verdict.problems} == {}
    names = examined(seen(), policy())
    assert len(names) == len(set(names)) == 25  # of 23 parts, two are looked at in both places
    assert {"main: connections", "main: shop bloat", "main: sizes", "main: shop sizes"} <= set(names)


def test_only_what_was_asked_for_is_judged():
    verdicts = evaluate(seen(), policy(subset=["connections", "bloat"]))
    assert list(verdicts) == ["connections", "bloat"]


def test_what_was_not_seen_is_unknown_and_the_rest_is_judged():
    blind = seen({"replication": not_permitted("replication", "upkeep")}, {"bloat": not_permitted("bloat", "upkeep")})
    verdicts = evaluate(blind, policy())
    assert told(verdicts["replication"]) == {"main: replication": ("pg.health_not_permitted", "unknown")}
    assert told(verdicts["bloat"]) == {"main: shop bloat": ("pg.health_not_permitted", "unknown")}
    assert sum(bool(verdict.problems) for verdict in verdicts.values()) == 2


def test_sessions_that_are_not_tracked_are_told_besides_those_that_are():
    verdicts = evaluate(seen({"long_queries:disabled": activities_off(3)}), policy())
    assert told(verdicts["long_queries"]) == {"main: long_queries": ("pg.activities_off", "unknown")}


def test_what_is_accepted_is_left_out_by_its_name():
    found = seen(
        {"replication": Replication((), (SlotRow("s", "physical", None, False, False, 5.0, None, None),), None)},
        {"duplicate_indexes": TWINS},
    )
    assert evaluate(found, policy())["replication"].problems
    verdicts = evaluate(found, policy(ignore=["slot s", "shop.public.*"]))
    assert verdicts["replication"].problems == verdicts["duplicate_indexes"].problems == ()
    assert verdicts["duplicate_indexes"].value == 1
    assert evaluate(found, policy(ignore=["main: slot s", "slot"]))["replication"].problems


def test_what_a_standby_has_is_mended_on_its_primary():
    verdict = evaluate(seen(within={"duplicate_indexes": TWINS}, in_recovery=True), policy())["duplicate_indexes"]
    assert (
        verdict.problems[0].finding.remedy == "On the primary: keeper does its work: DROP INDEX CONCURRENTLY public.i;"
    )


def test_several_databases_are_one_part():
    places = (
        Place("shop", {**WITHIN, "duplicate_indexes": TWINS}),
        Place('we"b', {**WITHIN, "duplicate_indexes": TWINS}),
    )
    verdict = evaluate(snapshot(parts=HEALTHY, places=places), policy())["duplicate_indexes"]
    assert verdict.value == 2
    assert list(told(verdict)) == ["main: shop.public.i", 'main: "we""b".public.i']


def test_a_database_that_should_have_let_us_in_is_unknown():
    (one,) = unreachable(snapshot(unreachable=(("my db", "no."),), left=(("template1", "it is a template"),)))
    assert (one.code, one.subject, one.severity.word) == ("pg.database_unreachable", 'main: "my db"', "unknown")
    assert one.remedy.endswith('GRANT CONNECT ON DATABASE "my db" TO upkeep;')


def test_the_record_of_a_part_is_short():
    many = (30, tuple(Twin(f"public.i{number}", "public.t", 8192, 0, "k", True, False) for number in range(30)))
    entry = record(evaluate(seen(within={"duplicate_indexes": many}), policy())["duplicate_indexes"])
    assert (entry["status"], entry["value"], len(entry["items"]), len(entry["sql"])) == ("warning", 30, 5, 5)
    assert entry["advice"] == "k does its work: DROP INDEX CONCURRENTLY public.i0;"
    assert record(evaluate(seen(), policy())["duplicate_indexes"])["advice"] == ""


def test_what_the_module_tells_besides():
    whole = seen(left=(("template1", "it is a template"),))
    told_of = records(whole, evaluate(whole, policy()))
    assert told_of["version"] == "15.18"
    assert told_of["databases"] == ["shop"]
    assert told_of["databases_left_out"] == [{"name": "template1", "reason": "it is a template"}]
    assert told_of["tables"] == []
    assert "tables" not in records(whole, evaluate(whole, policy(subset=["connections"])))
    unknown = snapshot(login="elsewhere", databases=(database(),))
    assert records(unknown, {})["stats_reset"] is not None


def test_checkup_can_run_it_by_its_name():
    assert CHECK.name == "pg_health_info"
    assert set(CHECK.argument_spec) >= {"subset", "login_host", "databases"}
