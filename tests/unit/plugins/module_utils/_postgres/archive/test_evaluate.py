"""Findings about an archive, and the result of a run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.evaluate import evaluate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import Removed
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.plan import plan
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.report import report
from tests.unit.plugins.module_utils._postgres.archive.samples import (
    NOW,
    SIZE,
    archive,
    archiver,
    backup,
    entry,
    name,
    options,
    segments,
    server,
    slot,
    snapshot,
    standby,
)

DONE = Removed()


def found(held: Any, *backups: Any, server_: Any = None, **given: Any) -> dict[str, Any]:
    seen = snapshot(held, *backups, server=server_)
    asked = options(**(given or {"keep_base_backups": 1}))
    return {finding.code: finding for finding in evaluate(seen, plan(seen, asked), asked, DONE)}


def severities(*arguments: Any, **given: Any) -> dict[str, str]:
    return {code: finding.severity.word for code, finding in found(*arguments, **given).items()}


def test_a_healthy_archive_has_nothing_to_say() -> None:
    assert severities(archive(*segments(1, 10)), backup(5), server_=server()) == {}


def test_an_empty_archive_is_unknown() -> None:
    assert severities(archive(), keep_from=name(3)) == {"pg.wal_archive_empty": "unknown"}


def test_a_gap_is_critical_and_names_what_is_missing() -> None:
    gap = found(archive(*segments(1, 6), *segments(8, 10), *segments(13, 14)), backup(5))["pg.wal_archive_gap"]
    assert gap.severity.word == "critical"
    assert gap.message == (
        "3 segments are missing in main: /archive between 000000010000000000000005 and the newest: "
        "000000010000000000000007 and 1 more gaps. No restore gets beyond them."
    )
    assert gap.evidence["gaps"][1] == {"first": name(11), "last": name(12), "segments": 2}


@pytest.mark.parametrize(
    ("entries", "severity"),
    [
        ([entry(name(8), size=7)], "critical"),
        ([entry(name(8), size=0)], "critical"),
        ([entry(name(10), size=7)], "info"),
        ([entry(name(8), size=7), entry(f"{name(8)}.gz", size=9)], "info"),
    ],
)
def test_a_segment_that_is_not_whole(entries: list[Any], severity: str) -> None:
    names = {each.name for each in entries}
    others = [file for file in segments(1, 10) if file not in names]
    assert severities(archive(*others, *entries), backup(5))["pg.wal_archive_damaged"] == severity


def test_what_is_older_than_all_that_is_kept_may_be_damaged() -> None:
    assert severities(archive(entry(name(1), size=0), *segments(2, 10)), backup(5)) == {}


def test_histories_that_are_missing_or_cannot_be_read() -> None:
    files = [*segments(1, 6), *segments(7, 9, 2)]
    code = "pg.wal_archive_history_missing"
    assert severities(archive(*files), backup(5)) == {code: "critical"}
    assert severities(archive(*files, histories={2: None}), backup(5)) == {code: "unknown"}


def test_base_backups_of_which_something_is_to_be_said() -> None:
    held = archive(*segments(1, 10), *segments(7, 9, 2), histories={2: ((1, 7 * SIZE),)})
    off = found(held, backup(9), backup(5), keep_base_backups=2)["pg.wal_archive_backup_off_timeline"]
    assert off.evidence["first"] == [f"{name(9)}.00000028.backup"]
    assert severities(archive(*segments(1, 9)), backup(5), backup(7, last=20)) == {
        "pg.wal_archive_backup_unusable": "warning"
    }
    # The WAL of older ones went in earlier runs.
    assert severities(archive(*segments(4, 9)), backup(5), backup(1), backup(3)) == {}
    few = severities(archive(*segments(1, 9)), backup(5), keep_base_backups=2)
    assert few == {"pg.wal_archive_few_backups": "info"}


def test_who_holds_the_archive_back_is_named() -> None:
    held = found(archive(*segments(1, 10)), backup(8), server_=server(slots=(slot(3),)))["pg.wal_archive_held"]
    assert held.message.startswith("the replication slot standby1 keeps 5 segments (80.0 MiB) in main: /archive")
    assert severities(archive(*segments(1, 10)), backup(3), server_=server(slots=(slot(8),))) == {}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"mode": "off"}, {"pg.wal_archive_off": "warning"}),
        ({"failed_at": NOW, "last_failed": "x", "failures": 3}, {"pg.wal_archive_failing": "critical"}),
        ({"failed_at": NOW - 99}, {}),
        ({"failed_at": NOW, "archived_at": None}, {"pg.wal_archive_failing": "critical"}),
        ({"ready": 9}, {}),
        ({"ready": 10}, {"pg.wal_archive_lagging": "warning"}),
        ({"ready": None}, {}),
        ({"last_archived": name(10)}, {}),
        ({"last_archived": name(12)}, {"pg.wal_archive_behind": "warning"}),
        ({"last_archived": "00000002.history"}, {}),
    ],
)
def test_how_the_archiver_fares(others: dict[str, Any], expected: dict[str, str]) -> None:
    held = archive(*segments(1, 10))
    assert severities(held, backup(5), server_=server(archiver=archiver(**others))) == expected


def test_an_archive_that_pg_receivewal_fills_needs_no_archive_command() -> None:
    off = archiver(mode="off")
    received = server(archiver=off, standbys=(standby(10, id_="pg_receivewal"),))
    assert severities(archive(*segments(1, 10)), backup(5), server_=received) == {}
    partial = archive(*segments(1, 10), f"{name(11)}.partial")
    assert severities(partial, backup(5), server_=server(archiver=off)) == {}


def test_a_slot_that_has_lost_its_place_is_named() -> None:
    lost = server(slots=(slot(None, status="lost"), slot(None, "new", "")))
    assert found(archive(*segments(1, 10)), backup(5), server_=lost)["pg.wal_archive_slot_lost"].evidence == {
        "slots": ["standby1"]
    }


def test_what_could_not_be_removed_is_unknown_and_fails() -> None:
    seen = snapshot(archive(*segments(1, 10)), backup(5))
    asked = options(keep_base_backups=1)
    made = plan(seen, asked)
    left = dict.fromkeys(segments(2, 4), "stopped")
    removed = Removed(frozenset({name(1)}), left, name(2), "Operation not permitted")
    result = report(seen, made, asked, removed, datetime.fromtimestamp(NOW, timezone.utc), 0.1)
    assert result.failure == f"{name(2)} in /archive could not be removed: Operation not permitted."
    plain = result.as_result()
    assert [finding["code"] for finding in plain["findings"]] == ["pg.wal_archive_not_removed"]
    assert [(action["status"], action["description"][7:31]) for action in plain["actions"]] == [
        ("done", name(1)),
        ("failed", name(2)),
    ]


# --- the result -------------------------------------------------------------------------------------------------------


def result_of(removed: Removed | None, **given: Any) -> dict[str, Any]:
    seen = snapshot(archive(*segments(1, 10), f"{name(2)}.00000028.backup"), backup(2), backup(5), server=server())
    asked = options(keep_base_backups=1, **given)
    made = plan(seen, asked)
    if removed is not None:
        removed = Removed(frozenset(each.name for each in made.remove))
    result = report(seen, made, asked, removed, datetime.fromtimestamp(NOW, timezone.utc), 0.1)
    return {**result.as_result(), "before": result.before, "after": result.after}


def test_a_plan_and_its_run_say_the_same_numbers() -> None:
    planned, done = result_of(None), result_of(DONE)
    assert planned["archive"] == done["archive"]
    assert (planned["files"], planned["before"], planned["after"]) == (done["files"], done["before"], done["after"])
    assert (planned["changed"], done["changed"]) == (True, True)
    assert {action["status"] for action in planned["actions"]} == {"planned"}
    assert {action["status"] for action in done["actions"]} == {"done"}
    assert [finding["code"] for finding in planned["findings"]] == ["pg.wal_archive_removable"]
    assert done["archive"]["removed"] == 4
    assert done["archive"]["removed_bytes"] == 4 * SIZE
    assert (done["archive"]["oldest"], done["archive"]["newest"]) == (name(5), name(10))
    assert (done["archive"]["segments"], done["archive"]["backup_history"]) == (6, 1)


def test_a_plan_with_a_limit_tells_what_a_run_would_do() -> None:
    limited = result_of(None, max_delete=2)
    assert limited["files"] == segments(1, 2)
    assert limited["findings"][0]["evidence"]["files"] == 2


def test_a_result_of_many_files_is_small() -> None:
    seen = snapshot(archive(*segments(1, 30000)))
    asked = options(keep_from=name(30000))
    result = report(seen, plan(seen, asked), asked, None, datetime.fromtimestamp(NOW, timezone.utc), 0.1).as_result()
    assert len(str(result)) < 60_000
    assert result["truncated"] == {"actions": 29949, "files": 29799}
    assert result["archive"]["removed"] == 29999
