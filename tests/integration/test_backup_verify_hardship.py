"""`backup_verify` where things go wrong around it: killed at any moment, clocks that jump, links, very many files."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.backup_keys import Keys

Result = dict[str, Any]
CHECKOUT = Path(__file__).resolve().parents[2]
SQL = (CHECKOUT / "tests/unit/plugins/module_utils/_backup/recorded/18.sql").read_bytes()
PATIENCE = 120.0

CHILD = """
import json, sys
from datetime import datetime, timezone
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
params = validate(CHECK.name, CHECK.argument_spec, json.loads(open(sys.argv[2]).read()), CHECK.rules).params
print("begins", flush=True)
print(json.dumps(CHECK.run(params, datetime.now(timezone.utc)).as_result()), flush=True)
"""


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with Keys() as made:
        yield made


def put(folder: Path, name: str, data: bytes, taken: datetime) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    path.chmod(0o600)
    os.utime(path, (taken.timestamp(),) * 2)
    return path


def verify(now: datetime | None = None, **params: Any) -> Result:
    validated = validate(CHECK.name, CHECK.argument_spec, params, CHECK.rules).params
    return CHECK.run(validated, now or datetime.now(UTC)).as_result()


def told(result: Result) -> list[tuple[str, str]]:
    return [(one["code"].removeprefix("backup."), one["severity"]) for one in result["findings"]]


# --- killed


def processes_of(folder: Path) -> list[int]:
    """Everything that names *folder* in its arguments, or has a file of it open."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            named = str(folder).encode() in (place / "cmdline").read_bytes()
            opened = any(os.readlink(one).startswith(str(folder)) for one in (place / "fd").iterdir())
        except OSError:
            continue  # it has ended
        if (named or opened) and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found


def kill_at_moments(tmp_path: Path, keys: Keys, moments: int) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    folder, temporary = tmp_path / "b", tmp_path / "t"
    temporary.mkdir()
    for hours in range(4):
        data = keys.gpg_symmetric(b"".join([gzip.compress(SQL[: len(SQL) // 2]), gzip.compress(SQL[len(SQL) // 2 :])]))
        put(folder, f"shop-{now - timedelta(hours=hours):%Y%m%dT%H%M%SZ}.sql.gz.gpg", data, now - timedelta(days=1))
    state = tmp_path / "state.jsonl"
    params = tmp_path / "params.json"
    wanted = {
        "series": [{"name": "shop", "pattern": f"{folder}/shop-*", "every": "1h", "time_zone": "UTC"}],
        "select": "all", "parallel": 2, "bwlimit": "8KiB", "state_file": str(state),
        "decrypt": {"passphrase_file": str(keys.root / "passphrase")},
    }  # fmt: skip
    params.write_text(json.dumps(wanted))
    argv = [sys.executable, "-c", CHILD, json.dumps([str(CHECKOUT / "playbooks/collections")]), str(params)]
    environment = {**os.environ, "PATH": keys.environment["PATH"], "TMPDIR": str(temporary)}
    chance = random.Random(11)
    for _moment in range(moments):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begins\n"
            time.sleep(chance.random() * 1.5)
            process.send_signal(signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while processes_of(tmp_path):
            assert time.monotonic() < until, processes_of(tmp_path)
            time.sleep(0.05)
    ended = subprocess.run(argv, stdout=subprocess.PIPE, env=environment, check=True)
    result = json.loads(ended.stdout.split(b"\n", 1)[1])
    assert [record["status"] for record in result["files"]] == ["ok"] * 4
    # Neither a home of gpg nor an agent, nor a line of the history that cannot be read.
    assert os.listdir(temporary) == []
    assert all(json.loads(line)["status"] == "ok" for line in state.read_text().splitlines())
    assert sorted(os.listdir(folder)) == sorted(Path(record["path"]).name for record in result["files"])


def test_a_run_that_is_killed_leaves_nothing_behind(tmp_path: Path, keys: Keys) -> None:
    kill_at_moments(tmp_path, keys, 3)


@pytest.mark.soak
def test_killed_at_twenty_moments_it_leaves_nothing_behind(tmp_path: Path, keys: Keys) -> None:
    kill_at_moments(tmp_path, keys, 20)


# --- clocks


def test_a_clock_that_jumps_makes_backups_neither_fresh_nor_verified(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    folder = tmp_path / "b"
    for hours in range(1, 4):
        taken = now - timedelta(hours=hours)
        put(folder, f"shop-{taken:%Y%m%dT%H%M%SZ}.sql.gz", gzip.compress(SQL, mtime=hours), taken)
    series = {"name": "shop", "pattern": f"{folder}/shop-*", "every": "1h"}
    options: Result = {"series": [series], "select": "all", "state_file": str(tmp_path / "state")}
    options["rolling"] = {"reverify_after": "7d"}
    back = verify(now - timedelta(days=400), **options)
    assert ("future_dated", "unknown") in told(back)
    ahead = verify(now + timedelta(days=400), **options)
    assert ("stale", "critical") in told(ahead)
    # What a clock that ran ahead has remembered lets nothing be passed over when it is right again.
    right = verify(now, **options)
    assert len(right["files"]) == 3
    assert right["summary"]["worst"] == "info"
    assert [record["level_reached"] for record in right["files"]] == ["structure"] * 3


def test_a_file_that_is_touched_is_as_old_as_its_name_says(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    old = now - timedelta(days=30)
    put(tmp_path / "b", f"shop-{old:%Y%m%dT%H%M%SZ}.sql.gz", gzip.compress(SQL), now)
    result = verify(series=[{"name": "shop", "pattern": f"{tmp_path}/b/shop-*"}])
    assert ("stale", "critical") in told(result)


# --- files that are in the way


def test_a_link_out_of_the_tree_is_followed_to_a_backup_and_to_nothing_else(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    real = put(tmp_path / "elsewhere", "real.sql.gz", gzip.compress(SQL), now - timedelta(days=7))
    secret = put(tmp_path / "elsewhere", "secret", b"root:x:0:0:canary\n", now - timedelta(days=7))
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "shop-1.sql.gz").symlink_to(real)
    (folder / "shop-2.sql.gz").symlink_to(secret)
    (folder / "shop-3.sql.gz").symlink_to("/dev/zero")
    (folder / "shop-4.sql.gz").symlink_to("shop-4.sql.gz")
    (folder / "shop-5.sql.gz").symlink_to("/proc/self/environ")
    result = verify(paths=[f"{folder}/shop-*"], select="all")
    status = {Path(record["path"]).name: record["status"] for record in result["files"]}
    assert status["shop-1.sql.gz"] == "ok"
    assert status["shop-2.sql.gz"] == "critical"  # it is named like gzip, and is none
    assert status["shop-3.sql.gz"] == "critical"  # a device, which is not opened
    assert status["shop-5.sql.gz"] in ("critical", "unknown")
    assert ("unreadable", "unknown") in told(result)  # the one that leads to itself
    assert "canary" not in json.dumps(result)


def test_a_file_that_is_written_while_it_is_read_is_neither_good_nor_bad(tmp_path: Path) -> None:
    rows = b"".join(b"%d\t%s\n" % (number, os.urandom(16).hex().encode()) for number in range(60_000))
    table = SQL.index(b"\n", SQL.index(b"COPY public.customers")) + 1
    data = gzip.compress(SQL[:table] + rows, 1)
    path = put(tmp_path / "b", "shop.sql.gz", data[:5000], datetime.now(UTC))
    stop = threading.Event()

    def write() -> None:
        """Far longer than anybody takes to read what there is."""
        with open(path, "ab", buffering=0) as file:
            for at in range(5000, len(data) - 100, 100):
                if stop.wait(0.02):
                    return
                file.write(data[at : at + 100])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = verify(paths=[str(path)])
    finally:
        stop.set()
        writer.join()
    assert ("partial_upload", "unknown") in told(result)
    assert result["files"][0]["status"] == "unknown"


@pytest.mark.soak
def test_a_hundred_thousand_files_are_told_in_a_small_result(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for hours in range(100_000):
        (tmp_path / f"shop-{now - timedelta(hours=hours + 1):%Y%m%dT%H%M%SZ}.sql.gz").write_bytes(b"x")
    series = {"name": "shop", "pattern": f"{tmp_path}/shop-*", "every": "1h"}
    result = verify(series=[series], level="presence", select="all")
    assert sum(result["summary"]["counts"].values()) == 100_001
    assert result["series"][0]["count"] == 100_000
    assert result["series"][0]["gaps"] == []
    assert len(json.dumps(result)) < 100_000
