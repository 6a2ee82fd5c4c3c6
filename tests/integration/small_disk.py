"""A server with a tablespace and a WAL on disks that fill up: `python -m tests.integration.small_disk FOLDER`.

It runs within `mounts.py`, which gives it FOLDER/tables and FOLDER/wal as small file systems of its own, and prints one
line of JSON that says what happened.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bed.postgres import Cluster, cache_directory, find_or_bring

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "playbooks" / "collections"))

from tests.integration.rewriting import Rewriting

DATABASE = "postgres"


def free(at: Path) -> int:
    numbers = os.statvfs(at)
    return numbers.f_bavail * numbers.f_frsize


def give(cluster: Cluster, path: Path) -> None:
    if cluster._account.ids is not None:
        os.chown(path, *cluster._account.ids)


def tablespace_full(place: Rewriting, disk: Path) -> dict[str, Any]:
    """A table that has not room for a second copy of itself beside it."""
    own = disk / "own"
    own.mkdir(mode=0o700)
    give(place.cluster, own)
    place.execute(
        f"CREATE TABLESPACE little LOCATION '{own}'",
        "CREATE UNLOGGED TABLE large TABLESPACE little AS "
        "SELECT n AS id, repeat('x', 200) AS filler FROM generate_series(1, 60000) n",
        "CREATE TABLE small TABLESPACE little AS SELECT 1 AS n",
        "CHECKPOINT",
    )
    told: dict[str, Any] = {"rows": place.count("large"), "node": place.node_of("large"), "free": free(disk)}
    every = {"when": "always", "tables": ["large"]}
    told["planned"] = place.call(check=True, **every)
    told["refused"] = place.call(**every)
    told["forced"] = place.call(when="always", tables=["large", "small"], force_without_disk_check=True)
    place.execute("CHECKPOINT")
    told.update(rows_after=place.count("large"), node_after=place.node_of("large"), free_after=free(disk))
    subprocess.run(["mount", "-o", "remount,size=96m", str(disk)], check=True)
    told["with_room"] = place.call(when="always", tables=["large", "small"])
    return told


def wal_full(place: Rewriting, disk: Path) -> dict[str, Any]:
    """A rewrite whose WAL fills the disk, which the server does not survive."""
    place.execute(
        "CREATE TABLE logged AS SELECT n AS id, repeat('x', 1000) AS filler FROM generate_series(1, 60000) n",
        "CHECKPOINT",
    )
    told: dict[str, Any] = {}
    ballast = disk / "ballast"
    with open(ballast, "wb") as stream:
        stream.write(bytes(max(0, free(disk) - (4 << 20))))
    told["wal"] = place.call(when="always", tables=["logged"], force_without_disk_check=True)
    told["wal_free"] = free(disk)
    place.cluster.stop()
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)
    place.cluster.start()
    told["wal_rows"] = place.count("logged")
    told["wal_again"] = place.call(when="always", tables=["logged"], force_without_disk_check=True)
    return told


def main() -> None:
    folder = Path(sys.argv[1])
    cluster = Cluster(
        find_or_bring(None, cache_directory()),
        name="small-disk",
        # Full pages and no recycling ahead: what is written stays, and fills the disk.
        settings={"max_wal_size": "1GB", "wal_keep_size": "1GB", "restart_after_crash": "off"},
    )
    try:
        cluster.create()
        wal = folder / "wal" / "pg_wal"
        (cluster.data_directory / "pg_wal").rename(cluster.data_directory / "pg_wal.before")
        subprocess.run(["cp", "-a", str(cluster.data_directory / "pg_wal.before"), str(wal)], check=True)
        (cluster.data_directory / "pg_wal").symlink_to(wal)
        cluster.start()
        with tempfile.TemporaryDirectory() as state:
            place = Rewriting(cluster, DATABASE, Path(state))
            told = {**tablespace_full(place, folder / "tables"), **wal_full(place, folder / "wal")}
    finally:
        cluster.remove()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
