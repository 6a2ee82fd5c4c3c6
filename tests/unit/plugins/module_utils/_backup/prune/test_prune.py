"""Series of real backups are pruned, or are not, and what is there afterwards is what should be."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import history, manifest
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune import apply, survey
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune import run as running
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from tests.unit.plugins.module_utils._backup.prune.stock import (
    NEWEST,
    PLAIN,
    WHOLE,
    backup,
    broken,
    codes,
    days,
    names,
    of_paths,
    removed,
    run,
    series,
    stamp,
)
from tests.unit.plugins.module_utils._backup.samples import DAY, HOUR, NOW, recorded

WEEK = {"daily": 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


def history_line(path: Path, **changes: Any) -> history.Verified:
    status = path.stat()
    known: dict[str, Any] = {
        "at": NOW - HOUR,
        "series": "shop",
        "path": str(path),
        "taken_at": NOW - DAY,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns // 1000 * 1000,
        "level": "integrity",
        "status": "ok",
        "seconds": 0.1,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return history.Verified(**{**known, **changes})


# --- what goes


def test_what_is_too_many_goes_with_all_that_is_beside_it(folder: Path) -> None:
    backups = days(folder, 10)
    for each in (".members", ".manifest.json.minisig", ".sha256.asc", ".asc", ".md5"):
        (folder / f"{backups[9].name}{each}").write_text("x")
    pruned = run(folder, keep=WEEK)
    assert removed(pruned) == of_paths(backups[7:])
    assert pruned.outcome.changed
    assert names(folder) == sorted(
        f"{one.name}{end}" for one in backups[:7] for end in ("", ".manifest.json", ".sha256")
    )
    assert codes(pruned) == []
    assert pruned.failure == ""


def test_a_second_run_changes_nothing(folder: Path) -> None:
    days(folder, 20)
    run(folder, keep=WEEK)
    left = names(folder)
    pruned = run(folder, keep=WEEK)
    assert not pruned.outcome.changed
    assert names(folder) == left


def test_check_mode_says_the_same_and_does_nothing(folder: Path) -> None:
    days(folder, 12)
    before = names(folder)
    planned = run(folder, keep=WEEK, check_mode=True)
    assert names(folder) == before
    assert not (folder.parent / "state").exists()
    assert {one.status for one in planned.outcome.actions} == {"planned"}
    done = run(folder, keep=WEEK)
    assert removed(planned) == removed(done)
    assert planned.before == done.before
    assert planned.after == done.after
    assert len(planned.after.splitlines()) == 7


def test_each_backup_has_its_reason_its_bytes_and_its_proof(folder: Path) -> None:
    backups = days(folder, 9)
    files = {one["path"]: one for one in run(folder, keep=WEEK, check_mode=True).outcome.extra["files"]}
    kept, gone = files[str(backups[0])], files[str(backups[8])]
    assert kept["what"] == "kept"
    assert kept["reason"] == "one of the newest verified"
    assert kept["state"] == "verified"
    assert kept["proof"] == "read now (integrity): as its maker wrote it"
    assert gone["what"] == "removed"
    assert gone["reason"].startswith("beyond daily 7")
    assert gone["bytes"] == sum(one.stat().st_size for one in folder.glob(f"{backups[8].name}*"))
    assert gone["beside"] == [f"{backups[8].name}.sha256", f"{backups[8].name}.manifest.json"]


def test_a_series_without_keep_is_left_alone(folder: Path) -> None:
    days(folder, 9)
    pruned = run(folder)
    assert codes(pruned) == ["prune_no_policy"]
    assert not pruned.outcome.changed


def test_the_keep_of_the_series_wins_over_the_one_for_all(folder: Path) -> None:
    backups = days(folder, 9)
    assert removed(run(folder, series(folder, keep={"last": 4}), keep=WEEK)) == of_paths(backups[4:])


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("shop_{:%Y-%m-%d_%Hh%Mm.%A}.sql.gz", "shop_*.sql.gz"),
        ("PG_shop.{:%d-%B-%Y}.dmp.sql.gz", "PG_shop.*.sql.gz"),
        ("{:%Y%m%d}/shop.sql.gz", "*/shop.sql.gz"),
        ("{:%Y-%m-%d}/02-00/shop.sql.gz", "*/*/shop.sql.gz"),
        ("shop-{:%Y%m%d}.sql.gz", "**"),
    ],
)
def test_foreign_names_are_known(folder: Path, name: str, pattern: str) -> None:
    backups = [backup(folder, NEWEST - number * DAY, name.format(NEWEST - number * DAY)) for number in range(9)]
    pruned = run(folder, series(folder, pattern=f"{folder}/{pattern}"), keep=WEEK)
    assert codes(pruned) == []
    assert removed(pruned) == of_paths(backups[7:])


def test_the_directory_of_a_day_goes_with_its_last_backup_and_not_before(folder: Path) -> None:
    backups = days(folder, 5, name="{:.8}/shop.sql.gz")
    (backups[4].parent / "notes.txt").write_text("mine")
    run(folder, series(folder, pattern=f"{folder}/*/shop.sql.gz"), keep={"daily": 3})
    assert not backups[3].parent.exists()
    assert os.listdir(backups[4].parent) == ["notes.txt"]


# --- only verified ones count


def test_a_broken_backup_takes_no_place(folder: Path) -> None:
    backups = days(folder, 10)
    later = broken(backup(folder, NEWEST - 6 * DAY + HOUR))
    pruned = run(folder, keep=WEEK)
    assert removed(pruned) == of_paths(backups[7:])
    assert later.exists()
    assert codes(pruned) == ["prune_bad"]


def test_a_week_of_broken_ones_pushes_nothing_out(folder: Path) -> None:
    """The last good one is older than all of them, and stays whatever happens."""
    old = days(folder, 5, newest=NEWEST - 7 * DAY)
    for one in days(folder, 7):
        broken(one)
    pruned = run(folder, keep={"last": 3})
    assert not pruned.outcome.changed
    assert codes(pruned) == ["prune_bad", "prune_stale"]
    assert all(one.exists() for one in old)


def test_without_a_manifest_a_backup_counts_by_its_own_check_values(folder: Path) -> None:
    backups = days(folder, 9, described=False)
    newest = broken(backup(folder, NEWEST + HOUR, described=False))
    pruned = run(folder, keep={"last": 4})
    assert removed(pruned) == of_paths(backups[4:])
    assert newest.exists()


def test_with_require_manifest_it_does_not(folder: Path) -> None:
    days(folder, 9, described=False)
    assert codes(run(folder, keep=WEEK, require_manifest=True)) == ["prune_bad", "prune_unproven"]


def test_half_a_dump_that_is_whole_as_a_file_is_seen_at_the_level_structure(folder: Path) -> None:
    backups = days(folder, 6)
    half = gzip.compress(PLAIN[: len(PLAIN) // 2], mtime=0)
    backup(folder, NEWEST + HOUR, data=half)
    pruned = run(folder, keep={"last": 3}, proof_level="structure")
    assert removed(pruned) == of_paths(backups[3:])
    assert "prune_bad" in codes(pruned)


def test_an_encrypted_backup_counts_by_its_digest_where_there_is_no_key(folder: Path) -> None:
    data = b"age-encryption.org/v1\n-> X25519 abc\n" + os.urandom(500)
    backups = days(folder, 6, name="shop-{}.sql.gz.age", data=data)
    pruned = run(folder, series(folder, pattern=f"{folder}/shop-*.age"), keep={"last": 4})
    assert removed(pruned) == of_paths(backups[4:])
    assert codes(pruned) == []


def test_what_was_recorded_counts_and_is_not_read_again(folder: Path) -> None:
    backups = days(folder, 9)
    state = folder.parent / "verified.jsonl"
    for one in backups:
        history.append(str(state), history_line(one))
    pruned = run(folder, keep=WEEK, state_file=str(state), proof="recorded")
    assert removed(pruned) == of_paths(backups[7:])
    proofs = {one["proof"] for one in pruned.outcome.extra["files"]}
    assert all(proof.startswith("verified at 2026-11-22T03:13:00Z") for proof in proofs)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "critical"},
        {"status": "unknown"},
        {"level": "presence"},
        {"sha256": "0" * 64},
        {"size": 5},
        {"mtime_ns": 5000},
        {"at": NOW - 31 * DAY},
    ],
)
def test_a_record_of_something_else_counts_for_nothing(folder: Path, change: dict[str, Any]) -> None:
    state = folder.parent / "verified.jsonl"
    for one in days(folder, 9):
        history.append(str(state), history_line(one, **change))
    pruned = run(folder, keep=WEEK, state_file=str(state), proof="recorded")
    assert codes(pruned) == ["prune_unproven"]
    assert not pruned.outcome.changed


def test_what_was_read_is_recorded_for_the_next_run(folder: Path) -> None:
    days(folder, 9)
    state = folder.parent / "verified.jsonl"
    run(folder, keep=WEEK, state_file=str(state))
    written = state.read_bytes()
    backup(folder, NEWEST + HOUR)
    pruned = run(folder, keep={"daily": 4}, state_file=str(state))
    assert pruned.outcome.changed
    assert len(state.read_bytes().splitlines()) - len(written.splitlines()) <= 2


def test_what_was_not_read_in_time_lets_nothing_go(folder: Path) -> None:
    days(folder, 9)
    pruned = run(folder, keep=WEEK, timeout="1ms")
    assert not pruned.outcome.changed
    assert "prune_unproven" in codes(pruned)


# --- what is refused


def test_nothing_goes_while_the_newest_is_too_old(folder: Path) -> None:
    days(folder, 10, newest=NEWEST - 3 * DAY)
    pruned = run(folder, keep=WEEK)
    assert codes(pruned) == ["prune_stale"]
    assert pruned.outcome.worst.word == "critical"
    assert run(folder, series(folder, every="0"), keep=WEEK).outcome.changed


def test_nothing_goes_when_too_few_are_whole(folder: Path) -> None:
    backups = days(folder, 9)
    for one in backups[2:]:
        broken(one)
    pruned = run(folder, keep={"last": 2})
    assert codes(pruned) == ["prune_bad", "prune_unproven"]
    assert not pruned.outcome.changed


def test_nothing_goes_below_min_count(folder: Path) -> None:
    days(folder, 9)
    assert codes(run(folder, series(folder, min_count=5), keep={"last": 3})) == ["prune_too_few"]


@pytest.mark.parametrize("how", ["name", "mtime", "record"])
def test_nothing_goes_when_a_time_lies_in_the_future(folder: Path, how: str) -> None:
    backups = days(folder, 9)
    state = folder.parent / "verified.jsonl"
    if how == "name":
        backup(folder, NOW + DAY)
    elif how == "mtime":
        os.utime(backups[4], (NOW.timestamp() + 7200, NOW.timestamp() + 7200))
    else:
        history.append(str(state), history_line(backups[0], at=NOW + DAY))
    pruned = run(folder, keep=WEEK, state_file=str(state))
    assert codes(pruned) == ["prune_clock"]
    assert not pruned.outcome.changed


def test_nothing_goes_of_two_series_that_match_the_same(folder: Path) -> None:
    days(folder, 9)
    wide = {**series(folder), "name": "all", "pattern": f"{folder}/*"}
    assert codes(run(folder, series(folder), wide, keep=WEEK)) == ["prune_overlap", "prune_overlap"]


def test_nothing_goes_when_a_manifest_names_another_series(folder: Path) -> None:
    days(folder, 5, series="shop")
    days(folder, 5, newest=NEWEST - HOUR, name="shop-{}-2.sql.gz", series="archive")
    assert codes(run(folder, keep=WEEK)) == ["prune_overlap"]


def test_nothing_goes_when_names_differ_by_more_than_their_times(folder: Path) -> None:
    days(folder, 9)
    days(folder, 9, newest=NEWEST - HOUR, name="shop-archive-{}.sql.gz")
    assert codes(run(folder, keep=WEEK)) == ["prune_mixed"]
    assert run(folder, keep=WEEK, mixed_names=True).outcome.changed


def test_nothing_goes_when_a_directory_cannot_be_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = days(folder, 9, name="{:.8}/shop.sql.gz")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path) == str(backups[3].parent):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    pruned = run(folder, series(folder, pattern=f"{folder}/*/shop.sql.gz"), keep=WEEK)
    assert codes(pruned) == ["prune_blind"]
    assert pruned.outcome.worst.word == "unknown"
    assert all(one.exists() for one in backups)


def test_a_refused_series_does_not_stop_the_others(folder: Path) -> None:
    other = folder / "wiki"
    days(folder, 9, newest=NEWEST - 9 * DAY)
    backups = days(other, 9, name="wiki-{}.sql.gz")
    wiki = {**series(other), "name": "wiki", "pattern": f"{other}/wiki-*.sql.gz"}
    pruned = run(folder, series(folder), wiki, keep=WEEK)
    assert removed(pruned) == of_paths(backups[7:])
    assert codes(pruned) == ["prune_stale"]


# --- what is never touched


def test_what_carries_no_time_stays_and_does_not_count(folder: Path) -> None:
    days(folder, 9)
    by_hand = folder / "shop-before-migration.sql.gz"
    by_hand.write_bytes(WHOLE)
    pruned = run(folder, keep=WEEK)
    assert by_hand.exists()
    assert codes(pruned) == ["prune_untimed"]
    assert len(removed(pruned)) == 2


def test_a_link_is_not_followed_and_stays(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    others = days(elsewhere, 9, name="{:.8}/shop.sql.gz")
    days(folder, 4, name="{:.8}/shop.sql.gz")
    for number, one in enumerate(others):
        (folder / f"2025010{number}").symlink_to(one.parent)
    file_link = folder / "20250201" / "shop.sql.gz"
    file_link.parent.mkdir()
    file_link.symlink_to(others[5])
    pruned = run(folder, series(folder, pattern=f"{folder}/*/shop.sql.gz"), keep={"last": 3})
    assert all(one.exists() for one in others)
    assert file_link.is_symlink()
    assert "prune_link" in codes(pruned)
    assert len(removed(pruned)) == 1


def test_a_link_to_the_newest_is_no_backup(folder: Path) -> None:
    backups = days(folder, 9)
    link = folder / "shop-latest.sql.gz"
    link.symlink_to(backups[0].name)
    assert removed(run(folder, keep=WEEK)) == of_paths(backups[7:])
    assert link.is_symlink()


def test_a_name_that_begins_like_a_backup_is_not_its_companion(folder: Path) -> None:
    backups = days(folder, 9)
    near = [folder / f"{backups[8].name}{end}" for end in (".bak", "2", ".sha256.old", ".notes")]
    for one in near:
        one.write_text("x")
    run(folder, keep=WEEK)
    assert not backups[8].exists()
    assert all(one.exists() for one in near)


def test_a_backup_that_looks_like_a_signature_is_none(folder: Path) -> None:
    """`x.sql.gz` and its ASCII armoured sister are both backups."""
    backups = days(folder, 9, described=False)
    armoured = folder / f"{backups[8].name}.asc"
    armoured.write_bytes(WHOLE)
    os.utime(armoured, (NEWEST.timestamp(), NEWEST.timestamp()))
    pruned = run(folder, series(folder, pattern=f"{folder}/shop-*"), keep={"last": 3})
    assert {str(backups[8]), str(armoured)} <= removed(pruned)
    assert all(one["beside"] == [] for one in pruned.outcome.extra["files"])


def mongo(folder: Path, at: Any) -> Path:
    made = folder / f"{stamp(at)}"[:8]
    (made / "shop").mkdir(parents=True)
    (made / "shop" / "orders.bson").write_bytes(b"\x05\x00\x00\x00\x00")
    (made / "shop" / "orders.metadata.json").write_text('{"options":{},"indexes":[],"collectionName":"orders"}')
    os.utime(made, (at.timestamp(), at.timestamp()))
    return made


def test_a_directory_that_is_a_backup_goes_as_a_whole(folder: Path) -> None:
    backups = [mongo(folder, NEWEST - number * DAY) for number in range(5)]
    pruned = run(folder, series(folder, pattern=f"{folder}/20*"), keep={"last": 3})
    assert removed(pruned) == of_paths(backups[3:])
    assert sorted(os.listdir(folder)) == sorted(one.name for one in backups[:3])


def test_a_directory_of_other_things_stays(folder: Path) -> None:
    backups = [mongo(folder, NEWEST - number * DAY) for number in range(5)]
    (backups[4] / "shop" / "orders.metadata.json").unlink()
    (backups[4] / "thesis.odt").write_text("mine")
    os.utime(backups[4], (NEWEST.timestamp(), NEWEST.timestamp()))
    pruned = run(folder, series(folder, pattern=f"{folder}/20*"), keep={"last": 3})
    assert removed(pruned) == {str(backups[3])}
    assert (backups[4] / "thesis.odt").exists()
    assert "prune_unknown_directory" in codes(pruned)


def tree(folder: Path, at: Any, stray: str = "") -> Path:
    made = folder / f"config-{stamp(at)}"
    (made / "etc").mkdir(parents=True)
    parts = []
    for name in ("etc/app.conf", "etc/other.conf"):
        (made / name).write_text(name)
        parts.append(manifest.Part(name, len(name), hashlib.sha256(name.encode()).hexdigest()))
    digest = manifest.directory_sha256(parts)
    told = manifest.Manifest(made.name, "files", at, 28, digest, parts=tuple(parts))
    made.with_name(made.name + manifest.SUFFIX).write_bytes(manifest.render(told))
    if stray:
        (made / stray).write_text("mine")
    return made


def test_a_directory_with_a_manifest_goes_unless_something_else_is_in_it(folder: Path) -> None:
    backups = [tree(folder, NEWEST - number * DAY, "etc/notes" if number == 4 else "") for number in range(5)]
    pruned = run(folder, series(folder, pattern=f"{folder}/config-*"), keep={"last": 3})
    assert removed(pruned) == {str(backups[3])}
    assert not backups[3].with_name(backups[3].name + manifest.SUFFIX).exists()
    assert (backups[4] / "etc" / "notes").exists()


def test_a_directory_whose_manifest_is_torn_stays(folder: Path) -> None:
    backups = [tree(folder, NEWEST - number * DAY) for number in range(5)]
    backups[4].with_name(backups[4].name + manifest.SUFFIX).write_text("{")
    pruned = run(folder, series(folder, pattern=f"{folder}/config-*"), keep={"last": 3})
    assert removed(pruned) == {str(backups[3])}
    assert "prune_unknown_directory" in codes(pruned)


def test_no_link_in_a_directory_is_followed_when_it_goes(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("x")
    backups = [mongo(folder, NEWEST - number * DAY) for number in range(4)]
    (backups[3] / "shop" / "link").symlink_to(precious)
    run(folder, series(folder, pattern=f"{folder}/20*"), keep={"last": 3})
    assert not backups[3].exists()
    assert (precious / "data").exists()


# --- limits


def test_the_limits_of_a_run_let_the_oldest_go_first_and_the_next_run_finishes(folder: Path) -> None:
    backups = days(folder, 12)
    pruned = run(folder, keep=WEEK, max_remove=2)
    assert removed(pruned) == of_paths(backups[10:])
    assert codes(pruned) == ["prune_deferred"]
    assert removed(run(folder, keep=WEEK, max_remove_share="20%")) == of_paths(backups[8:10])
    assert removed(run(folder, keep=WEEK, max_remove_share="1%")) == of_paths(backups[7:8])
    assert not run(folder, keep=WEEK).outcome.changed


def test_hard_links_free_nothing_until_the_last_goes(folder: Path) -> None:
    backups = days(folder, 9)
    os.link(backups[8], folder.parent / "kept-elsewhere")
    (told,) = run(folder, keep=WEEK, check_mode=True).outcome.extra["series"]
    assert told["removed_bytes"] - told["freed_bytes"] == backups[8].stat().st_size


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_verified": 0},
        {"max_remove": 0},
        {"max_remove_share": "0%"},
        {"max_remove_share": "101%"},
        {"keep": {"daily": -1}},
        {"keep": {"daily": 0}},
        {"proof": "recorded"},
        {"leftover_age": "soon"},
        {"series": []},
        {"state_dir": "relative"},
    ],
)
def test_options_that_make_no_sense_are_refused(folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        run(folder, **{"keep": WEEK, **wrong})


def test_a_pattern_over_the_whole_file_system_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="whole file system"):
        run(folder, series(folder, pattern="/*/shop.sql.gz"), keep=WEEK)


# --- others at work


def test_a_second_run_at_once_is_refused_and_told_who_is_at_it(folder: Path) -> None:
    days(folder, 9)
    rules = running.rules_of(_params(folder), check_mode=False)
    (lock,) = running.locks_of(_params(folder), rules)
    with HostLock(lock.path, "first"), pytest.raises(LockHeld) as error:
        run(folder, keep=WEEK)
    assert error.value.evidence["holder"]["run_id"] == "first"


def _params(folder: Path) -> dict[str, Any]:
    given = {"series": [series(folder)], "keep": WEEK, "state_dir": str(folder.parent / "state")}
    return validate("backup_prune", ARGUMENT_SPEC, given).params


def test_a_file_that_changed_since_the_plan_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = days(folder, 9)
    plans = running.plans

    def planned_and_then_changed(*args: Any) -> Any:
        made = plans(*args)
        backups[8].write_bytes(WHOLE + b"more")
        return made

    monkeypatch.setattr(running, "plans", planned_and_then_changed)
    pruned = run(folder, keep=WEEK)
    assert backups[8].exists()
    assert not backups[7].exists()
    assert codes(pruned) == ["prune_changed"]
    assert pruned.failure == ""


def test_nothing_more_goes_when_one_that_must_stay_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = days(folder, 9)
    plans = running.plans

    def planned_and_then_gone(*args: Any) -> Any:
        made = plans(*args)
        backups[1].unlink()
        return made

    monkeypatch.setattr(running, "plans", planned_and_then_gone)
    pruned = run(folder, keep=WEEK)
    assert removed(pruned) == set()
    assert set(codes(pruned)) == {"prune_changed"}
    assert backups[8].exists()


def test_what_takes_the_place_of_a_directory_leads_nowhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = days(folder, 9, name="{:.8}/shop.sql.gz")
    elsewhere = tmp_path / "elsewhere"
    plans = running.plans

    def planned_and_then_swapped(*args: Any) -> Any:
        made = plans(*args)
        shutil.move(str(backups[8].parent), elsewhere)
        backups[8].parent.symlink_to(elsewhere)
        return made

    monkeypatch.setattr(running, "plans", planned_and_then_swapped)
    pruned = run(folder, series(folder, pattern=f"{folder}/*/shop.sql.gz"), keep=WEEK)
    assert (elsewhere / "shop.sql.gz").exists()
    assert not backups[7].exists()
    assert pruned.failure != ""


def test_a_removal_that_fails_fails_the_task_and_hides_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = days(folder, 9)
    rename = os.rename

    def refusing(source: str, target: str, **how: int) -> None:
        if source == backups[8].name:
            raise PermissionError(1, "Operation not permitted")
        rename(source, target, **how)

    monkeypatch.setattr(apply.os, "rename", refusing)
    pruned = run(folder, keep=WEEK)
    assert "may be immutable" in pruned.failure
    assert codes(pruned) == ["prune_failed"]
    assert removed(pruned) == {str(backups[7])}


# --- leftovers


def test_leftovers_are_reported_and_go_only_when_asked_for_and_old(folder: Path) -> None:
    days(folder, 4)
    old = NOW - 9 * DAY
    left = [
        folder / f"shop-{stamp(old)}.sql.gz.partial",
        folder / f"shop-{stamp(old + HOUR)}.sql.gz.manifest.json",
        folder / f"shop-{stamp(old + 2 * HOUR)}.sql.gz.sha256",
        folder / f"shop-{stamp(old + 2 * HOUR)}.sql.gz.sha256.asc",
    ]
    others = [folder / "wiki-1.sql.gz.sha256", folder / "README.sha256", folder / ".hidden.partial"]
    for one in (*left, *others):
        one.write_text("x")
        os.utime(one, (old.timestamp(), old.timestamp()))
    pruned = run(folder, keep=WEEK)
    assert codes(pruned) == ["prune_leftover"]
    assert {one["path"] for one in pruned.outcome.extra["leftovers"]} == of_paths(left)
    assert all(one.exists() for one in left)
    # Their last change (ctime) is now, and they are young so far.
    later = NOW + 400 * DAY
    fresh = series(folder, every="0")
    assert not run(folder, fresh, keep=WEEK, leftovers="remove", leftover_age="900d", now=later).outcome.changed
    pruned = run(folder, fresh, keep=WEEK, leftovers="remove", now=later)
    assert not any(one.exists() for one in left)
    assert all(one.exists() for one in others)
    assert codes(pruned) == []


def test_a_partial_file_that_somebody_has_open_is_of_no_dead_run(folder: Path) -> None:
    days(folder, 4)
    partial = folder / f"shop-{stamp(NOW)}.sql.gz.partial"
    later = NOW + 400 * DAY
    with partial.open("w"):
        pruned = run(folder, series(folder, every="0"), keep=WEEK, leftovers="remove", now=later)
        assert partial.exists()
        assert pruned.outcome.extra["leftovers"][0]["in_use"]
    run(folder, series(folder, every="0"), keep=WEEK, leftovers="remove", now=later)
    assert not partial.exists()


def test_companions_that_stand_before_their_backup_are_no_orphans(folder: Path) -> None:
    """A maker puts the manifest in place first and the backup last."""
    days(folder, 4)
    name = f"shop-{stamp(NOW)}.sql.gz"
    (folder / f"{name}.partial").write_text("x")
    (folder / f"{name}.manifest.json").write_text("{}")
    kinds = {one["kind"] for one in run(folder, keep=WEEK).outcome.extra["leftovers"]}
    assert kinds == {"partial"}


def test_long_names_are_removed_too(folder: Path) -> None:
    name = f"shop-{'x' * 200}-{{}}.sql.gz"
    backups = days(folder, 6, name=name)
    assert survey.removing_name(backups[0].name + "y" * 20) == ""
    run(folder, keep={"last": 4})
    assert len(names(folder)) == 12


def test_the_newest_verified_is_found_among_other_formats(folder: Path) -> None:
    custom = recorded("18-gzip.dump")
    backups = days(folder, 5, name="shop-{}.dump", data=custom)
    pruned = run(folder, series(folder, pattern=f"{folder}/shop-*.dump"), keep={"last": 3}, proof_level="structure")
    assert removed(pruned) == of_paths(backups[3:])


def test_a_thousand_backups_without_a_record_are_planned_in_a_moment(folder: Path) -> None:
    for number in range(1000):
        (folder / f"shop-{stamp(NEWEST - number * timedelta(hours=1))}.sql.gz").write_bytes(WHOLE)
    for path in folder.iterdir():
        os.utime(path, (NEWEST.timestamp(), NEWEST.timestamp()))
    pruned = run(folder, keep={"daily": 7, "weekly": 4}, check_mode=True)
    files = pruned.outcome.extra["files"]
    assert len(removed(pruned)) > 900
    assert sum(one["state"] == "verified" for one in files) < 15
