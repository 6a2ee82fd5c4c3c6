"""Standbys, slots and the archive."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.judge_copies import archiver, replication
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Archiver,
    Receiver,
    Replication,
    SlotRow,
    StandbyRow,
)
from tests.unit.plugins.module_utils._postgres.health.samples import (
    NOW,
    facts,
    messages,
    policy,
    snapshot,
    sql_of,
    told,
)

MIB, GIB = 2**20, 2**30


def standby(name="one", state="streaming", sync="async", lag=0.0, late=None):
    return StandbyRow(7, name, "10.0.0.2", state, sync, lag, late, 1.0)


def judged(*standbys, slots=(), receiver=None, **changed):
    return replication(snapshot(**changed), policy(), Replication(tuple(standbys), tuple(slots), receiver))


@pytest.mark.parametrize(
    ("lag", "late", "severity"),
    [
        (256 * MIB - 1, 59.9, None),
        (256 * MIB, None, "warning"),
        (0, 60.0, "warning"),
        (2 * GIB, 1.0, "critical"),
        (0, 600.0, "critical"),
    ],
)
def test_a_standby_is_late_in_bytes_or_in_time(lag, late, severity):
    verdict = judged(standby(lag=lag, late=late))
    assert told(verdict) == ({"main: standby one": ("pg.replication_lag", severity)} if severity else {})


def test_a_standby_that_is_not_fed_is_told():
    assert told(judged(standby(state="startup"))) == {"main: standby one": ("pg.replication_stopped", "warning")}
    assert told(judged(standby(state="catchup"))) == {}


@pytest.mark.parametrize(
    ("standbys", "critical"),
    [((), True), ((standby(),), True), ((standby(sync="sync"),), False), ((standby(sync="quorum"),), False)],
)
def test_commits_that_wait_for_nobody_are_critical(standbys, critical):
    wanted = facts({"synchronous_standby_names": "true"})
    found = told(judged(*standbys, facts=wanted))
    assert found == ({"main: synchronous_standby_names": ("pg.replication_stopped", "critical")} if critical else {})
    assert told(judged(*standbys, facts=wanted, in_recovery=True)) == {}


def test_a_role_that_is_not_shown_standbys_judges_the_slots_alone():
    blind = StandbyRow(7, "", None, None, None, None, None, None)
    slot = SlotRow("s", "physical", None, True, False, 20.0 * GIB, "extended", None)
    assert told(judged(blind, slots=[slot], facts=facts(reads_all_stats=False))) == {
        "main: standbys": ("pg.health_not_permitted", "unknown"),
        "main: slot s": ("pg.slot_retains", "critical"),
    }


@pytest.mark.parametrize(
    ("receiver", "found"),
    [
        (Receiver(True, False, 0.0, 9000.0), {}),  # the primary has nothing new
        (Receiver(True, False, 10.0, 9000.0), {"main: replay": ("pg.replication_lag", "critical")}),
        (Receiver(True, False, 3.0 * GIB, 1.0), {"main: replay": ("pg.replication_lag", "critical")}),
        (Receiver(True, True, 10.0, 1.0), {"main: replay": ("pg.replay_paused", "warning")}),
        (Receiver(False, False, None, None), {"main: receiver": ("pg.replication_stopped", "warning")}),
    ],
)
def test_a_standby_judges_itself(receiver, found):
    assert told(judged(receiver=receiver, in_recovery=True)) == found


def slot(name="s", active=False, retained=16.0 * MIB, status="reserved", **changed):
    return SlotRow(name, "physical", None, active, changed.pop("temporary", False), retained, status, None, **changed)


@pytest.mark.parametrize(
    ("each", "found"),
    [
        (slot(active=True), None),
        (slot(), ("pg.slot_inactive", "info")),
        (slot(retained=None), None),  # it keeps nothing
        (slot(retained=1.0 * GIB), ("pg.slot_retains", "warning")),
        (slot(active=True, retained=10.0 * GIB), ("pg.slot_retains", "critical")),
        (slot(status="lost", retained=None), ("pg.slot_lost", "critical")),
        (slot(status="unreserved", active=True), ("pg.slot_lost", "critical")),
        (slot(invalidation="rows_removed"), ("pg.slot_lost", "critical")),
        (slot(temporary=True, retained=99.0 * GIB), None),
        (slot(synced=True, retained=99.0 * GIB), None),
    ],
)
def test_a_slot_is_judged_by_what_it_keeps_and_who_uses_it(each, found):
    assert told(judged(slots=[each])) == ({"main: slot s": found} if found else {})


@pytest.mark.parametrize(
    ("seconds", "found"), [(3599.0, None), (3600.0, ("pg.slot_inactive", "warning")), (None, None)]
)
def test_from_17_on_it_is_known_since_when(seconds, found):
    verdict = judged(slots=[slot(inactive_seconds=seconds)], version=170011)
    assert told(verdict) == ({"main: slot s": found} if found else {})


def test_a_slot_is_dropped_by_its_name():
    assert sql_of(judged(slots=[slot("o'clock")])) == ["SELECT pg_drop_replication_slot('o''clock');"]
    assert "without a limit" in messages(judged(slots=[slot()]))[0]
    limited = facts({"max_slot_wal_keep_size": "1024"})
    assert "without a limit" not in messages(judged(slots=[slot()], facts=limited))[0]


# --- archive ----------------------------------------------------------------------------------------------------------


def archive(archived=NOW - 5, failed=None, ready=0):
    return Archiver(9, 1 if failed else 0, archived, failed, "0001" if failed else None, ready)


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (archive(), set()),
        (archive(failed=NOW - 60), set()),  # it has gone on since
        (archive(failed=NOW), {("pg.archiver_failing", "critical")}),
        (archive(archived=None, failed=NOW), {("pg.archiver_failing", "critical")}),
        (archive(ready=10), {("pg.archiver_behind", "warning")}),
        (archive(ready=100), {("pg.archiver_behind", "critical")}),
        (archive(ready=None), {("pg.health_not_permitted", "unknown")}),
    ],
)
def test_the_archive_fails_or_is_behind(seen, found):
    verdict = archiver(snapshot(), policy(), seen)
    assert {(each.finding.code, each.finding.severity.word) for each in verdict.problems} == found


def test_an_archive_without_a_way_to_it_is_critical():
    nothing = facts({"archive_command": "false"})
    assert told(archiver(snapshot(facts=nothing), policy(), archive())) == {
        "main: archiver": ("pg.archiver_failing", "critical")
    }
    library = facts({"archive_command": "false", "archive_library": "true"})
    assert archiver(snapshot(facts=library), policy(), archive()).problems == ()


def test_a_standby_archives_only_when_it_always_does():
    failing = archive(failed=NOW)
    assert archiver(snapshot(in_recovery=True), policy(), failing).value == "on the primary"
    always = facts({"archive_mode": "always"})
    assert archiver(snapshot(in_recovery=True, facts=always), policy(), failing).problems
    assert archiver(snapshot(), policy(), None).value == "off"
