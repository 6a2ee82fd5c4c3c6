"""`backup_offsite` to a real OpenSSH server and an S3 store: what arrives, and what happens when the line is cut."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.report import Offsite
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.run import offsite, temporary_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.far import ObjectStore, Sshd, rclone
from tests.integration.module import run_module
from tests.unit.plugins.module_utils._backup.prune.stock import backup

NOW = datetime.now(UTC)
PATIENCE = 60.0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    # An odd name: it stands in the options of ssh.
    with Sshd(tmp_path_factory.mktemp("ssh server")) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(autouse=True)
def no_other_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine says to every client of S3 is about another store."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "RCLONE_")):
            monkeypatch.delenv(name)


@dataclass
class Place:
    here: Path
    state: Path
    how: dict[str, Any]

    def params(self, **changes: Any) -> dict[str, Any]:
        return {
            "series": [{"name": "shop", "pattern": f"{self.here}/shop-*", "time_zone": "UTC"}],
            "site": "far",
            "state_dir": str(self.state),
            "retry_delay": "100ms",
            **self.how,
            **changes,
        }

    def run(self, check_mode: bool = False, **changes: Any) -> Offsite:
        return offsite(validate("backup_offsite", ARGUMENT_SPEC, self.params(**changes), RULES).params, NOW, check_mode)

    def add(self, count: int, size: int = 100_000, name: str = "shop-{}.sql.gz") -> list[Path]:
        return [
            backup(self.here, NOW - timedelta(days=number, hours=1), name=name, data=os.urandom(size))
            for number in range(count)
        ]


@pytest.fixture
def by_rsync(sshd: Sshd, tmp_path: Path) -> tuple[Place, Path]:
    far = sshd.home / tmp_path.name
    far.mkdir()
    (tmp_path / "here").mkdir(exist_ok=True)
    how = {"method": "rsync", "path": str(far), "ssh": sshd.options()}
    return Place(tmp_path / "here", tmp_path / "state", how), far


@pytest.fixture
def by_rclone(store: ObjectStore, tmp_path: Path) -> Place:
    (tmp_path / "here").mkdir(exist_ok=True)
    tool = {"config": str(store.config), "program": str(rclone())}
    how = {"method": "rclone", "path": f"far:backups/{tmp_path.name}", "rclone": tool}
    return Place(tmp_path / "here", tmp_path / "state", how)


def what(ran: Offsite) -> list[str]:
    return [one["what"] for one in ran.outcome.extra["copies"]]


def codes(ran: Offsite) -> list[str]:
    return sorted(one.code.removeprefix("backup.") for one in ran.outcome.findings)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- ssh and rsync


def test_another_host_gets_all_and_the_next_run_nothing(by_rsync: tuple[Place, Path]) -> None:
    place, far = by_rsync
    place.add(3)
    (planned, ran, again) = (place.run(check_mode=True), place.run(), place.run())
    assert what(planned) == ["planned"] * 3
    assert what(ran) == ["copied"] * 3
    assert contents(far) == contents(place.here)
    assert {one["how"] for one in ran.outcome.extra["copies"]} == {"sha256sum read it at the far side"}
    assert what(again) == ["equal"] * 3
    assert not again.outcome.changed


@pytest.mark.parametrize(
    "name", ["shop-{} a b.sql.gz", "shop-{}'\";$(touch x)`.sql.gz", "shop-{}-ünï.sql.gz", "shop-{}*?.gz"]
)
def test_odd_names_arrive_as_they_are(by_rsync: tuple[Place, Path], name: str) -> None:
    place, far = by_rsync
    place.add(1, name=name)
    assert what(place.run()) == ["copied"]
    assert contents(far) == contents(place.here)
    assert not (far / "x").exists()


def test_names_that_look_like_options_and_directories_of_a_day_arrive(by_rsync: tuple[Place, Path]) -> None:
    place, far = by_rsync
    backup(place.here, NOW - timedelta(hours=1), name="{:.8}/--delete.sql.gz")
    ran = place.run(series=[{"name": "shop", "pattern": f"{place.here}/*/*.sql.gz"}])
    assert what(ran) == ["copied"]
    assert contents(far) == contents(place.here)


def test_a_directory_arrives_there_and_in_a_store(by_rsync: tuple[Place, Path], by_rclone: Place) -> None:
    place, far = by_rsync
    made = place.here / f"shop-{NOW - timedelta(hours=1):%Y%m%dT%H%M%SZ}"
    (made / "shop").mkdir(parents=True)
    (made / "shop" / "orders.bson").write_bytes(b"\x05\x00\x00\x00\x00")
    (made / "shop" / "orders.metadata.json").write_text("{}")
    for path in (made, *made.rglob("*")):
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))  # the tests began some time ago
    assert codes(place.run()) == ["offsite_nothing", "offsite_skipped"]  # it may still be written
    place.how["settle"] = by_rclone.how["settle"] = "0"
    assert what(place.run()) == ["copied"]
    assert contents(far) == contents(place.here)
    assert what(place.run()) == ["equal"]
    store = Place(place.here, place.state / "store", by_rclone.how)
    assert what(store.run()) == ["copied"]
    assert what(store.run(recheck_after="0")) == ["equal"]


def test_another_file_there_is_found_and_stays(by_rsync: tuple[Place, Path]) -> None:
    place, far = by_rsync
    first, second = place.add(2)
    (far / first.name).write_bytes(b"shorter")
    (far / second.name).write_bytes(bytes(second.stat().st_size))
    ran = place.run()
    assert what(ran) == ["different", "different"]
    assert codes(ran) == ["offsite_differs", "offsite_differs"]
    assert (far / first.name).read_bytes() == b"shorter"


def cutting(sshd: Sshd, partial: Path, after: int, cuts: list[int]) -> threading.Thread:
    """Cut the line once so much of *partial* has arrived."""

    def watch() -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if partial.exists() and partial.stat().st_size >= after:
                cuts.append(sshd.cut())
                return
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_cut_in_the_middle_is_gone_on_with_in_the_same_run(by_rsync: tuple[Place, Path], sshd: Sshd) -> None:
    place, far = by_rsync
    (one,) = place.add(1, size=8 << 20)
    cuts: list[int] = []
    # Slow enough that the line is still in use when the cut comes, however busy the machine is.
    thread = cutting(sshd, far / temporary_name(one.name), 3 << 20, cuts)
    ran = place.run(bwlimit="2MiB")
    thread.join()
    assert cuts and cuts[0] > 0
    assert what(ran) == ["copied"]
    (copy,) = ran.outcome.extra["copies"]
    assert copy["retries"] >= 1
    assert copy["sent_bytes"] < 6 << 20  # of 8 MiB: the rest had arrived before the cut
    assert contents(far) == contents(place.here)


def test_a_cut_without_a_second_try_is_gone_on_with_by_the_next_run(by_rsync: tuple[Place, Path], sshd: Sshd) -> None:
    place, far = by_rsync
    (one,) = place.add(1, size=8 << 20)
    cuts: list[int] = []
    thread = cutting(sshd, far / temporary_name(one.name), 3 << 20, cuts)
    ran = place.run(bwlimit="2MiB", retries=0)
    thread.join()
    assert cuts and what(ran) == ["failed"]
    assert "rsync ended with status" in ran.failure
    assert not (far / one.name).exists()
    begun = (far / temporary_name(one.name)).stat().st_size
    assert 3 << 20 <= begun <= 8 << 20
    again = place.run()
    assert what(again) == ["copied"]
    assert again.outcome.extra["copies"][0]["sent_bytes"] < (8 << 20) - begun + (1 << 20)
    assert contents(far) == contents(place.here)


def test_a_host_that_is_down_is_told_and_not_for_each_file(by_rsync: tuple[Place, Path]) -> None:
    place, _far = by_rsync
    place.add(3)
    ran = place.run(ssh={**place.how["ssh"], "port": 1}, retries=1)
    assert what(ran) == ["unknown"] * 3
    assert codes(ran) == ["offsite_failed"]
    assert "Connection refused" in ran.failure


def test_a_host_with_another_key_is_refused(by_rsync: tuple[Place, Path], sshd: Sshd, tmp_path: Path) -> None:
    place, far = by_rsync
    place.add(1)
    for number, text in enumerate(("", (sshd.folder / "other_key.pub").read_text())):
        known = tmp_path / f"known {number}"
        kind_and_key = text.split()[:2]
        known.write_text(f"[127.0.0.1]:{sshd.port} {' '.join(kind_and_key)}\n" if text else "")
        before = known.read_text()
        ran = place.run(ssh={**sshd.options(), "known_hosts": str(known)})
        assert codes(ran) == ["offsite_failed"]
        assert "Host key verification failed" in ran.failure or "IDENTIFICATION" in ran.failure
        assert known.read_text() == before
    assert contents(far) == {}


def test_a_key_that_is_not_let_in_is_told(by_rsync: tuple[Place, Path], sshd: Sshd) -> None:
    place, _far = by_rsync
    place.add(1)
    ran = place.run(ssh={**sshd.options(), "identity_file": str(sshd.folder / "other_key")})
    assert "Permission denied" in ran.failure


def test_a_directory_that_is_not_there_is_not_made(by_rsync: tuple[Place, Path]) -> None:
    place, far = by_rsync
    place.add(1)
    ran = place.run(path=str(far / "nowhere"))
    assert "is not there at the far side" in ran.failure
    assert not (far / "nowhere").exists()


def test_time_that_is_over_stops_the_copy_and_leaves_its_beginning(by_rsync: tuple[Place, Path]) -> None:
    place, far = by_rsync
    (one,) = place.add(1, size=16 << 20)
    ran = place.run(bwlimit="1MiB", time_limit="8s")
    assert what(ran) == ["missing"]
    assert codes(ran) == ["offsite_missing"]
    assert ran.failure == ""
    assert not (far / one.name).exists()
    assert what(place.run()) == ["copied"]
    assert contents(far) == contents(place.here)


# --- rclone


def test_a_store_without_a_digest_of_its_own_is_read_back(by_rclone: Place, store: ObjectStore) -> None:
    place = by_rclone
    place.add(2)
    assert what(place.run(check_mode=True)) == ["planned"] * 2
    ran = place.run()
    assert ran.failure == ""
    assert what(ran) == ["copied"] * 2
    assert {one["how"] for one in ran.outcome.extra["copies"]} == {"it was read back whole"}
    listed = store.rclone("lsf", place.how["path"]).stdout.split()
    assert sorted(listed) == sorted(contents(place.here))
    again = place.run()
    assert what(again) == ["equal"] * 2
    assert not again.outcome.changed


def test_another_object_in_the_store_is_found_and_stays(by_rclone: Place, store: ObjectStore, tmp_path: Path) -> None:
    place = by_rclone
    (one,) = place.add(1)
    theirs = tmp_path / "theirs"
    theirs.write_bytes(bytes(one.stat().st_size))
    assert store.rclone("copyto", str(theirs), f"{place.how['path']}/{one.name}").returncode == 0
    ran = place.run()
    assert what(ran) == ["different"]
    read = store.rclone("hashsum", "MD5", f"{place.how['path']}/{one.name}").stdout.split()[0]
    assert read == hashlib.md5(theirs.read_bytes(), usedforsecurity=False).hexdigest()


def test_an_immutable_store_gets_no_temporary_names(by_rclone: Place, store: ObjectStore) -> None:
    place = by_rclone
    (one,) = place.add(1)
    ran = place.run(immutable=True)
    assert what(ran) == ["copied"]
    assert ran.outcome.extra["copies"][0]["immutable"] is True
    log = (store.folder / "s3.log").read_text(errors="replace")
    assert f"/{one.name} HTTP" in log
    folder = place.how["path"].rpartition("/")[2]
    assert f"{folder}/{temporary_name(one.name)}" not in log


def test_a_store_that_denies_is_told_without_its_secret(by_rclone: Place, store: ObjectStore) -> None:
    place = by_rclone
    place.add(1)
    secret = {
        "RCLONE_CONFIG_FAR_SECRET_ACCESS_KEY": store.SECRET_KEY,
        "RCLONE_CONFIG_FAR_ENDPOINT": "http://127.0.0.1:1",
    }
    ran = place.run(rclone={**place.how["rclone"], "environment": secret}, retries=0)
    assert codes(ran) == ["offsite_failed"]
    assert ran.failure != ""
    assert store.SECRET_KEY not in repr(ran.outcome.as_result()) + ran.failure


def test_rclone_over_sftp_and_to_a_directory(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[sftp]\ntype = sftp\nhost = 127.0.0.1\nport = {sshd.port}\nuser = {sshd.user}\nkey_file = {sshd.identity}\n"
        f"known_hosts_file = {sshd.known_hosts}\n[disk]\ntype = local\n"
    )
    far, near = sshd.home / tmp_path.name / "sftp", tmp_path / "disk"
    tool = {"config": str(config), "program": str(rclone())}
    for path, folder in ((f"sftp:{far}", far), (f"disk:{near}", near)):
        place = Place(
            tmp_path / "here", tmp_path / "state" / folder.name, {"method": "rclone", "path": path, "rclone": tool}
        )
        place.add(2)
        ran = place.run()
        assert ran.failure == ""
        assert what(ran) == ["copied"] * 2
        assert contents(folder) == contents(place.here)


# --- as a module, and its secrets


def test_no_secret_stands_in_the_arguments_of_a_program(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    secret = {
        "RCLONE_CONFIG_OTHER_TYPE": "s3",
        "RCLONE_CONFIG_OTHER_PROVIDER": "Other",
        "RCLONE_CONFIG_OTHER_REGION": "us-east-1",
        "RCLONE_CONFIG_OTHER_FORCE_PATH_STYLE": "true",
        "RCLONE_CONFIG_OTHER_ENDPOINT": f"http://127.0.0.1:{store.port}",
        "RCLONE_CONFIG_OTHER_ACCESS_KEY_ID": store.ACCESS_KEY,
        "RCLONE_CONFIG_OTHER_SECRET_ACCESS_KEY": store.SECRET_KEY,
        "RCLONE_S3_NO_CHECK_BUCKET": "true",
    }
    # It stands before the program, and writes down what that is started with.
    spy, seen = tmp_path / "spy", tmp_path / "seen"
    spy.write_text(f"#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline >> {seen}\nexec {rclone()} \"$@\"\n")
    spy.chmod(0o755)
    tool = {"environment": secret, "program": str(spy)}
    how = {"method": "rclone", "path": f"other:backups/{tmp_path.name}", "rclone": tool}
    place = Place(tmp_path / "here", tmp_path / "state", how)
    place.add(2)
    ran = place.run()
    assert what(ran) == ["copied"] * 2
    assert "other:backups" in seen.read_text()
    assert store.SECRET_KEY not in seen.read_text()
    assert store.SECRET_KEY not in (place.state / "offsite" / "far.json").read_text()


def test_the_module_copies_and_says_so(by_rsync: tuple[Place, Path], tmp_path: Path) -> None:
    place, far = by_rsync
    place.add(2)
    params = place.params()
    planned = run_module(tmp_path, "backup_offsite", params, check_mode=True)
    assert planned.how == "CHANGED"
    assert contents(far) == {}
    done = run_module(tmp_path, "backup_offsite", params)
    assert done.how == "CHANGED"
    assert [one["what"] for one in done.result["copies"]] == ["copied", "copied"]
    assert contents(far) == contents(place.here)
    broken = run_module(tmp_path, "backup_offsite", {**params, "path": str(far / "nowhere")})
    assert broken.how == "FAILED"
    assert broken.worst == "critical"


def test_a_killed_run_is_finished_by_the_next(by_rsync: tuple[Place, Path], tmp_path: Path) -> None:
    place, far = by_rsync
    (one,) = place.add(1, size=8 << 20)
    code = (
        "import sys, json; sys.path[:0] = sys.argv[2:]\n"
        "from tests.integration.test_backup_offsite import Place\n"
        "from pathlib import Path\n"
        "here, state, how = json.loads(sys.argv[1])\n"
        "Place(Path(here), Path(state), how).run(bwlimit='2MiB')\n"
    )
    told = json.dumps([str(place.here), str(place.state), place.how])
    with subprocess.Popen([sys.executable, "-c", code, told, *sys.path]) as child:
        partial = far / temporary_name(one.name)
        deadline = time.monotonic() + PATIENCE
        while not (partial.exists() and partial.stat().st_size > 1 << 20) and time.monotonic() < deadline:
            time.sleep(0.01)
        child.kill()
    assert not (far / one.name).exists()
    assert what(place.run()) == ["copied"]
    assert contents(far) == contents(place.here)
