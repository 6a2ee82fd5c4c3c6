"""Copies to another directory: what arrives, what is told of each file, and what is never done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite import disk, host
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite import run as running
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import Ssh, Unreachable
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.options import lock_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.record import recorded_copy
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.report import Offsite
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.run import offsite, temporary_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, LockHeld
from tests.unit.plugins.module_utils._backup.prune.stock import NEWEST, backup, broken, days, series
from tests.unit.plugins.module_utils._backup.samples import DAY, NOW


class Place:
    """Backups in one directory, their copies in another, and what is remembered in a third."""

    def __init__(self, top: Path) -> None:
        self.here, self.far, self.state = top / "here", top / "far", top / "state"
        self.here.mkdir()
        self.far.mkdir()

    def params(self, **changes: Any) -> dict[str, Any]:
        given = {
            "series": [series(self.here)],
            "site": "safe",
            "method": "directory",
            "path": str(self.far),
            "same_disk": True,
            "state_dir": str(self.state),
            "retry_delay": "0",
            **changes,
        }
        return validate("backup_offsite", ARGUMENT_SPEC, given, RULES).params

    def run(self, check_mode: bool = False, now: Any = NOW, **changes: Any) -> Offsite:
        return offsite(self.params(**changes), now, check_mode)

    def record(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.state / "offsite" / "safe.json").read_text())
        return read


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def what(ran: Offsite) -> list[str]:
    return [one["what"] for one in ran.outcome.extra["copies"]]


def codes(ran: Offsite) -> list[str]:
    return sorted(one.code.removeprefix("backup.") for one in ran.outcome.findings)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_that_is_here_is_there_with_what_is_beside_it(place: Place) -> None:
    days(place.here, 4)
    ran = place.run()
    assert what(ran) == ["copied"] * 4
    assert contents(place.far) == contents(place.here)
    assert codes(ran) == []
    assert ran.outcome.changed
    (told,) = ran.outcome.extra["series"]
    assert told["copied"] == 4
    assert told["newest_is_there"] is True
    assert told["sent_bytes"] == sum(map(len, contents(place.here).values()))
    first = ran.outcome.extra["copies"][0]
    assert first["sha256"] == hashlib.sha256((place.here / first["path"]).read_bytes()).hexdigest()
    assert (place.far / first["path"]).stat().st_mtime_ns == (place.here / first["path"]).stat().st_mtime_ns
    assert (place.far / first["path"]).stat().st_mode & 0o777 == 0o600


def test_a_second_run_copies_nothing_and_says_that_all_is_equal(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    days(place.here, 3)
    place.run()

    def read(*_arguments: object) -> None:
        raise AssertionError("it was read once more")

    monkeypatch.setattr(disk.Directory, "digest", read)
    ran = place.run()
    assert what(ran) == ["equal"] * 3
    assert not ran.outcome.changed
    assert all(one["present"] and one["equal"] for one in ran.outcome.extra["copies"])
    assert "neither has changed since" in ran.outcome.extra["copies"][0]["how"]


def test_after_a_while_all_is_compared_again(place: Place) -> None:
    days(place.here, 2)
    place.run()
    far = place.far / sorted(os.listdir(place.far))[0]
    status = far.stat()
    far.write_bytes(bytes([far.read_bytes()[0] ^ 1]) + far.read_bytes()[1:])
    os.utime(far, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert codes(place.run()) == []  # by size and time it is the same
    assert codes(place.run(recheck_after="0")) == ["offsite_differs"]
    assert codes(place.run(now=NOW + 31 * DAY)) == ["offsite_differs"]


def test_check_mode_says_what_would_be_copied_and_writes_nothing(place: Place) -> None:
    days(place.here, 3)
    ran = place.run(check_mode=True)
    assert what(ran) == ["planned"] * 3
    assert ran.outcome.extra["series"][0]["missing_bytes"] == sum(map(len, contents(place.here).values()))
    assert contents(place.far) == {}
    assert not place.state.exists()
    assert {one.status for one in ran.outcome.actions} == {"planned"}
    assert ran.before == ""
    assert len(ran.after.splitlines()) == 3


def test_only_the_newest_are_copied_when_that_is_asked_for(place: Place) -> None:
    backups = days(place.here, 5)
    ran = place.run(newest=2)
    assert [one["source"] for one in ran.outcome.extra["copies"]] == [str(one) for one in backups[:2]]
    assert len(contents(place.far)) == 6


@pytest.mark.parametrize("how", ["shorter", "other bytes", "a directory", "a link"])
def test_another_file_of_that_name_is_never_overwritten(place: Place, how: str) -> None:
    backups = days(place.here, 2)
    theirs = place.far / backups[0].name
    if how == "shorter":
        theirs.write_bytes(b"x")
    elif how == "other bytes":
        theirs.write_bytes(bytes(len(backups[0].read_bytes())))
    elif how == "a directory":
        theirs.mkdir()
    else:
        theirs.symlink_to(backups[1])
    before = contents(place.far)
    ran = place.run()
    assert what(ran) == ["different", "copied"]
    assert codes(ran) == ["offsite_differs"]
    assert ran.outcome.worst.word == "critical"
    assert ran.failure == ""
    assert {name: contents(place.far)[name] for name in before} == before


def test_what_was_copied_by_hand_is_compared_and_remembered(place: Place) -> None:
    backups = days(place.here, 2)
    (place.far / backups[0].name).write_bytes(backups[0].read_bytes())
    ran = place.run()
    assert what(ran) == ["copied", "copied"]  # what stands beside the first was not there
    assert place.record()["files"][backups[0].name]["how"] == "its bytes were read back"


def test_a_backup_that_is_not_what_its_maker_wrote_is_not_copied(place: Place) -> None:
    backups = days(place.here, 3)
    damaged = backups[1].read_bytes()
    backups[1].write_bytes(damaged[:100] + b"?" + damaged[101:])
    ran = place.run()
    assert what(ran) == ["copied", "source_bad", "copied"]
    assert codes(ran) == ["offsite_source_bad"]
    assert not (place.far / backups[1].name).exists()


def test_an_unfinished_copy_is_gone_on_with(place: Place) -> None:
    (one,) = days(place.here, 1, data=os.urandom(3 << 20))
    begun = place.far / temporary_name(one.name)
    begun.write_bytes(one.read_bytes()[: 2 << 20])
    ran = place.run()
    assert what(ran) == ["copied"]
    assert ran.outcome.extra["copies"][0]["sent_bytes"] < 2 << 20
    assert contents(place.far) == contents(place.here)


@pytest.mark.parametrize("size", [100, 5 << 20])
def test_an_unfinished_copy_of_something_else_is_begun_anew(place: Place, size: int) -> None:
    (one,) = days(place.here, 1, data=os.urandom(3 << 20))
    (place.far / temporary_name(one.name)).write_bytes(os.urandom(size))
    assert what(place.run()) == ["copied"]
    assert contents(place.far) == contents(place.here)


def test_a_second_name_that_a_killed_run_left_is_taken_away(place: Place) -> None:
    (one,) = days(place.here, 1)
    place.run()
    left = place.far / temporary_name(one.name)
    os.link(place.far / one.name, left)
    assert what(place.run(check_mode=True)) == ["equal"]
    assert left.exists()
    assert what(place.run()) == ["equal"]
    assert not left.exists()


def test_what_is_damaged_on_the_way_gets_no_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = days(place.here, 1, described=False)
    send = disk.Directory.send

    def damaging(self: disk.Directory, local: Any, name: str, deadline: Any) -> int | None:
        sent = send(self, local, name, deadline)
        path = Path(self.target) / name
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        return sent

    monkeypatch.setattr(disk.Directory, "send", damaging)
    ran = place.run()
    assert what(ran) == ["failed"]
    assert codes(ran) == ["offsite_failed"]
    assert "twice" in ran.failure
    assert contents(place.far) == {}
    assert one.exists()


def breaking(times: int) -> Any:
    send, left = disk.Directory.send, [times]

    def broken_line(self: disk.Directory, local: Any, name: str, deadline: Any) -> int | None:
        if left[0] > 0 and local.size > 1000:
            left[0] -= 1
            path = Path(self.target) / name
            path.write_bytes(Path(local.path).read_bytes()[: local.size // 2])
            raise Unreachable("the line broke", again=True)
        return send(self, local, name, deadline)

    return broken_line


def test_a_broken_line_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    days(place.here, 2)
    monkeypatch.setattr(disk.Directory, "send", breaking(2))
    ran = place.run()
    assert what(ran) == ["copied", "copied"]
    assert ran.outcome.extra["copies"][0]["retries"] == 2
    assert contents(place.far) == contents(place.here)


def test_a_line_that_stays_broken_fails_once_and_leaves_the_rest_for_the_next_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    days(place.here, 4)
    with monkeypatch.context() as patch:
        patch.setattr(disk.Directory, "send", breaking(3))
        ran = place.run()
    assert what(ran) == ["failed", "missing", "missing", "missing"]
    assert codes(ran) == ["offsite_failed", "offsite_missing"]
    assert "the line broke" in ran.failure
    ran = place.run()
    assert what(ran) == ["copied"] * 4
    assert contents(place.far) == contents(place.here)


def test_what_there_is_no_time_for_is_told_and_no_failure(place: Place) -> None:
    days(place.here, 3, data=os.urandom(1 << 20))
    ran = place.run(time_limit="300ms", bwlimit="1MiB")
    assert set(what(ran)) == {"missing"}
    assert codes(ran) == ["offsite_missing"]
    assert ran.outcome.worst.word == "critical"  # the newest is among them
    assert ran.failure == ""


def test_a_limit_on_the_bytes_a_second_holds(place: Place) -> None:
    days(place.here, 1, data=os.urandom(1 << 20), described=False)
    ran = place.run(bwlimit="2MiB")
    assert what(ran) == ["copied"]
    assert ran.outcome.extra["copies"][0]["seconds"] > 0.4


def test_a_place_that_is_not_there_fails_and_is_not_made(place: Place) -> None:
    days(place.here, 2)
    ran = place.run(path=str(place.far / "missing"))
    assert what(ran) == ["unknown", "unknown"]
    assert codes(ran) == ["offsite_failed"]
    assert "is no directory" in ran.failure
    assert not (place.far / "missing").exists()


def test_a_disk_that_is_not_mounted_is_noticed(place: Place) -> None:
    days(place.here, 1)
    ran = place.run(same_disk=False)
    assert codes(ran) == ["offsite_same_disk"]
    assert contents(place.far) == {}


def test_the_path_below_the_pattern_is_the_path_there(place: Place) -> None:
    days(place.here, 3, name="{:.8}/shop.sql.gz")
    ran = place.run(series=[series(place.here, pattern=f"{place.here}/*/shop.sql.gz")])
    assert what(ran) == ["copied"] * 3
    assert contents(place.far) == contents(place.here)


def test_the_newest_of_every_series_comes_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    days(place.here, 3)
    days(place.here / "wiki", 3, name="wiki-{}.sql.gz")
    wiki = {**series(place.here), "name": "wiki", "pattern": f"{place.here}/wiki/wiki-*.sql.gz"}
    sent: list[str] = []
    send = disk.Directory.send

    def noting(self: disk.Directory, local: Any, name: str, deadline: Any) -> int | None:
        sent.append(local.name)
        return send(self, local, name, deadline)

    monkeypatch.setattr(disk.Directory, "send", noting)
    place.run(series=[series(place.here), wiki])
    backups = [name[:4] for name in sent if name.endswith(".gz")]
    assert backups == ["shop", "wiki"] * 3
    # What stands beside a backup is there before it.
    assert sent[2].endswith(".gz") and not sent[0].endswith(".gz")


def test_links_directories_and_young_files_stay_here(place: Place) -> None:
    backups = days(place.here, 1)
    (place.here / "shop-latest.sql.gz").symlink_to("/etc/hostname")
    (place.here / "shop-20261101T000000Z.sql.gz").mkdir()
    young = place.here / "shop-20261122T041200Z.sql.gz"
    young.write_bytes(b"half")
    os.utime(young, (NOW.timestamp() - 5, NOW.timestamp() - 5))
    ran = place.run()
    assert [one["source"] for one in ran.outcome.extra["copies"]] == [str(backups[0])]
    assert codes(ran) == ["offsite_skipped"]
    assert ran.outcome.extra["series"][0]["skipped"] == 3


def test_a_series_without_backups_is_told(place: Place) -> None:
    assert codes(place.run()) == ["offsite_nothing"]


def test_a_file_that_changes_while_it_is_copied_gets_no_name_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = days(place.here, 1, described=False)
    send = disk.Directory.send

    def changing(self: disk.Directory, local: Any, name: str, deadline: Any) -> int | None:
        with one.open("ab") as stream:
            stream.write(b"more")
        return send(self, local, name, deadline)

    monkeypatch.setattr(disk.Directory, "send", changing)
    ran = place.run()
    assert what(ran) == ["source_bad"]
    assert "changed while it was copied" in ran.outcome.extra["copies"][0]["why"]
    assert not (place.far / one.name).exists()


def test_a_file_that_comes_to_be_there_meanwhile_is_not_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = days(place.here, 1, described=False)
    digest = disk.Directory.digest

    def racing(self: disk.Directory, name: str, deadline: Any) -> tuple[str, str]:
        (place.far / one.name).write_bytes(b"somebody else's")
        return digest(self, name, deadline)

    monkeypatch.setattr(disk.Directory, "digest", racing)
    ran = place.run()
    assert what(ran) == ["failed"]
    assert (place.far / one.name).read_bytes() == b"somebody else's"


def test_two_runs_for_one_site_exclude_each_other(place: Place) -> None:
    days(place.here, 1)
    with lock_of(place.params(run_id="first")), pytest.raises(LockHeld):
        place.run()


def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    left = [steps]
    for name in ("send", "digest", "_accept"):
        call = getattr(disk.Directory, name)

        def counted(self: Any, *arguments: Any, call: Any = call) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return call(self, *arguments)

        monkeypatch.setattr(disk.Directory, name, counted)


def test_a_run_that_is_killed_at_any_step_is_finished_by_the_next(tmp_path: Path) -> None:
    for step in range(18):
        top = tmp_path / str(step)
        top.mkdir()
        place = Place(top)
        days(place.here, 2)
        with pytest.MonkeyPatch.context() as patch:
            killed_after(step, patch)
            with pytest.raises(BaseException, match=r"^$"):
                place.run()
        there = contents(place.far)
        for name in there:
            if name.endswith(".gz"):
                assert there[name] == (place.here / name).read_bytes()
                assert name + manifest.SUFFIX in there
        place.run()
        assert contents(place.far) == contents(place.here)


# --- what is remembered, and read by backup_verify


def site(place: Place) -> model.Site:
    return model.Site("safe", str(place.state / "offsite" / "safe.json"), "disk", True, True, "recorded")


def backup_file(path: Path, **changes: Any) -> model.BackupFile:
    known = {
        "path": str(path),
        "kind": model.FILE,
        "size": path.stat().st_size,
        "mtime": NEWEST,
        "mode": 0o600,
        "taken_at": NEWEST,
        "taken_from": "name",
    }
    return model.BackupFile(**{**known, **changes})


def test_a_copy_that_was_recorded_counts_for_the_rule(place: Place) -> None:
    (one,) = days(place.here, 1)
    place.run()
    copy = recorded_copy(site(place), backup_file(one), hashlib.sha256(one.read_bytes()).hexdigest())
    assert (copy.present, copy.equal, copy.immutable, copy.offsite) == (True, True, True, True)
    assert copy.why == "compared at 2026-11-22T04:13:00Z: its bytes were read back"


def test_a_copy_of_other_bytes_or_none_does_not(place: Place) -> None:
    (one,) = days(place.here, 1)
    place.run()
    assert recorded_copy(site(place), backup_file(one), "0" * 64).equal is False
    assert recorded_copy(site(place), backup_file(one, size=7), "").equal is False
    assert recorded_copy(site(place), backup_file(one), "").equal is None
    newer = backup(place.here, NOW)
    missing = recorded_copy(site(place), backup_file(newer), "0" * 64)
    assert (missing.present, missing.equal) == (False, False)


@pytest.mark.parametrize(
    "text", [None, "", "{}", '{"schema": 9, "files": {}}', '{"schema": 1, "files": {"a": {}}}', "[1]"]
)
def test_a_record_that_cannot_be_read_says_nothing(place: Place, text: str | None) -> None:
    (one,) = days(place.here, 1)
    path = place.state / "offsite" / "safe.json"
    path.parent.mkdir(parents=True, mode=0o700)
    if text is not None:
        path.write_text(text)
    copy = recorded_copy(site(place), backup_file(one), "0" * 64)
    assert (copy.present, copy.equal) == (False, None)
    # And the next run makes a new one of it.
    ran = place.run()
    assert what(ran) == ["copied"]
    assert len(place.record()["files"]) == 3


def test_a_record_that_cannot_be_written_is_told(place: Place) -> None:
    days(place.here, 1)
    place.state.mkdir()
    (place.state / "offsite").write_text("in the way")
    ran = place.run()
    assert what(ran) == ["copied"]
    assert codes(ran) == ["offsite_record"]


# --- options


@pytest.mark.parametrize(
    "wrong",
    [
        {"series": []},
        {"site": " "},
        {"path": "relative"},
        {"state_dir": "relative"},
        {"method": "rclone", "path": "/no/remote"},
        {"time_limit": "0"},
        {"newest": -1},
        {"retries": -1},
        {"bwlimit": "fast"},
        {"rclone": {"environment": {"LD_PRELOAD": "/x.so"}}},
    ],
)
def test_options_that_make_no_sense_are_refused(place: Place, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        place.run(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"host": "-oProxyCommand=x"}, {"user": "-l"}, {"known_hosts": "/nowhere"}, {"identity_file": "/nowhere"}]
)
def test_what_ssh_would_take_for_an_option_is_refused(place: Place, wrong: dict[str, str]) -> None:
    key = place.here / "key"
    key.write_text("x")
    ssh = {"host": "far.example.org", "identity_file": str(key), "known_hosts": str(key), **wrong}
    with pytest.raises(InvalidInput):
        place.run(method="rsync", ssh=ssh)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """What would be run, without running it."""
    seen: list[list[str]] = []

    def noting(argv: list[str], _seconds: float, **_how: Any) -> Any:
        seen.append(argv)
        raise running.DeadlineExceeded("enough")

    monkeypatch.setattr(host, "run", noting)
    return iter([seen])


def test_the_host_key_is_always_checked(commands: Iterator[list[list[str]]], place: Place) -> None:
    (seen,) = commands
    far = host.Host(Ssh("far", "keeper", 2222, "/etc/my key", "/etc/known hosts", 15), "/srv", 1 << 20)
    with pytest.raises(running.DeadlineExceeded):
        far.look(["a"], running.Deadline(10))
    with pytest.raises(running.DeadlineExceeded):
        far.send(running.Local("/x", "a", 1, 1), "a", running.Deadline(10))
    for argv in seen:
        line = " ".join(argv)
        assert "StrictHostKeyChecking=yes" in line
        assert 'UserKnownHostsFile="/etc/known hosts"' in line
        assert "GlobalKnownHostsFile=/dev/null" in line
    assert "--bwlimit=1024k" in seen[1]


def test_broken_backups_without_a_digest_are_copied_as_they_are(place: Place) -> None:
    """What is whole is for backup_verify to say."""
    (one,) = days(place.here, 1, described=False)
    broken(one)
    assert what(place.run()) == ["copied"]


# --- backups that are directories


def tree(folder: Path, at: Any) -> Path:
    made = folder / f"config-{at:%Y%m%dT%H%M%SZ}"
    parts = []
    for name in ("etc/app.conf", "etc/deep/er.conf", "top"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name * 100)
        parts.append(manifest.Part(name, len(name) * 100, hashlib.sha256((name * 100).encode()).hexdigest()))
    size = sum(part.size for part in parts)
    told = manifest.Manifest(made.name, "files", at, size, manifest.directory_sha256(parts), parts=tuple(parts))
    made.with_name(made.name + manifest.SUFFIX).write_bytes(manifest.render(told))
    return made


def trees(place: Place) -> dict[str, Any]:
    return {"series": [series(place.here, name="config", pattern=f"{place.here}/config-*")]}


def test_a_directory_arrives_with_its_manifest_last(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = [tree(place.here, NEWEST - number * DAY) for number in range(2)]
    sent: list[str] = []
    send = disk.Directory.send

    def noting(self: disk.Directory, local: Any, name: str, deadline: Any) -> int | None:
        sent.append(local.name)
        return send(self, local, name, deadline)

    monkeypatch.setattr(disk.Directory, "send", noting)
    assert what(place.run(check_mode=True, **trees(place))) == ["planned"] * 2
    ran = place.run(**trees(place))
    assert what(ran) == ["copied"] * 2
    assert contents(place.far) == contents(place.here)
    assert sent[3] == backups[0].name + manifest.SUFFIX
    told = manifest.parse((place.here / sent[3]).read_bytes())
    assert ran.outcome.extra["copies"][0]["sha256"] == told.stored_sha256
    assert what(place.run(**trees(place))) == ["equal"] * 2
    size = sum(one.stat().st_size for one in backups[0].rglob("*") if one.is_file())
    here = backup_file(backups[0], kind=model.DIRECTORY, size=size)
    assert recorded_copy(site(place), here, told.stored_sha256).equal is True


def test_a_directory_of_which_a_part_is_another_there_or_here_is_told(place: Place) -> None:
    there, here = (tree(place.here, NEWEST - number * DAY) for number in range(2))
    (place.far / there.name / "etc").mkdir(parents=True)
    (place.far / there.name / "etc" / "app.conf").write_text("mine")
    (here / "top").write_text("changed")
    ran = place.run(**trees(place))
    assert what(ran) == ["different", "source_bad"]
    assert (place.far / there.name / "etc" / "app.conf").read_text() == "mine"
    assert not (place.far / (here.name + manifest.SUFFIX)).exists()


@pytest.mark.parametrize("how", ["link", "missing", "unknown"])
def test_a_directory_that_is_not_of_files_alone_is_not_copied(place: Place, how: str) -> None:
    made = tree(place.here, NEWEST)
    if how == "link":
        (made / "link").symlink_to("/etc")
    elif how == "missing":
        (made / "top").unlink()
    else:
        made.with_name(made.name + manifest.SUFFIX).unlink()
    ran = place.run(**trees(place))
    assert codes(ran) == ["offsite_nothing", "offsite_skipped"]
    assert contents(place.far) == {}


def test_a_directory_whose_copy_was_cut_off_is_gone_on_with(place: Place) -> None:
    tree(place.here, NEWEST)
    for step in range(12):
        with pytest.MonkeyPatch.context() as patch:
            killed_after(step, patch)
            with pytest.raises(BaseException, match=r"^$"):
                place.run(**trees(place))
        assert not (place.far / f"config-{NEWEST:%Y%m%dT%H%M%SZ}{manifest.SUFFIX}").exists() or step == 11
        for path in list(place.far.rglob("*"))[::-1]:
            path.rmdir() if path.is_dir() else path.unlink()
    assert what(place.run(**trees(place))) == ["copied"]
    assert contents(place.far) == contents(place.here)
