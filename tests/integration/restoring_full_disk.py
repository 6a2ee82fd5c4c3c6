"""Restore onto a disk that becomes full: `python -m tests.integration.restoring_full_disk DISK FOLDER WHAT` prints it.

DISK is a file system of our own, see `mounts.py`, FOLDER a directory besides. With WHAT `test` a dump is restored for a
test, and somebody else fills the disk when its data are to come; with `live` a live database is to be replaced, and the
tablespace in which it lives has no room for a second one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.run import recover
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.load import Loader
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.accounts import server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring

Result = dict[str, Any]


def fill(disk: Path, left: int = 0) -> None:
    (disk / "ballast").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - left)))


def dump(cluster: Cluster, folder: Path) -> Path:
    path = folder / "shop.dump"
    argv = [str(cluster.binaries.tool("pg_dump")), "-Fc", "-f", str(path), "shop"]
    subprocess.run(argv, check=True, env=cluster.client_environment())
    path.chmod(0o600)
    return path


def test(cluster: Cluster, disk: Path, folder: Path) -> Result:
    path, loaded = dump(cluster, folder), Loader.load

    def load(loader: Loader, database: str) -> None:
        fill(disk)
        loaded(loader, database)

    Loader.load = load  # type: ignore[method-assign]  # somebody else who fills the disk
    restore = {"scratch_dir": str(disk), "scratch_reserve": "0%", "jobs": 2}
    params = validate(CHECK.name, CHECK.argument_spec, {"paths": [str(path)], "level": "restore", "restore": restore})
    result = CHECK.run(params.params, datetime.now(UTC)).as_result()
    left = sorted(one.name for one in disk.iterdir())
    # With room again, the next run is none the wiser.
    Loader.load = loaded  # type: ignore[method-assign]  # as it was
    (disk / "ballast").unlink()
    again = CHECK.run(params.params, datetime.now(UTC)).as_result()
    return {"findings": result["findings"], "left": left, "again": again["files"][0]["level_reached"]}


def live(cluster: Cluster, disk: Path, folder: Path) -> Result:
    path = dump(cluster, folder)
    # An empty database has some 8 MB; the rows have more than what is left then.
    fill(disk, 12 << 20)
    given = {
        "path": str(path), "host": "db1", "confirm": "shop@db1", "login_host": "127.0.0.1", "login_port": cluster.port,
        "login_user": cluster.user, "login_password": cluster.password, "safety_directory": str(folder / "safety"),
        "bin_dir": str(cluster.binaries.directory),
    }  # fmt: skip
    done = recover(validate("backup_restore", ARGUMENT_SPEC, given).params, datetime.now(UTC))
    databases = [row[0] for row in cluster.execute("SELECT datname FROM pg_database WHERE datname LIKE 'shop%'")]
    return {**done.as_result(), "failure": done.failure, "databases": databases}


def main() -> None:
    disk, folder, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    server_account().give(disk)
    with Cluster(find_or_bring(None, cache_directory()), name="full") as cluster:
        space = disk / "space"
        space.mkdir()
        server_account().give(space)
        cluster.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        cluster.execute("CREATE DATABASE shop" + (" TABLESPACE small" if what == "live" else ""))
        cluster.execute("CREATE TABLE orders (n int, note text)", database="shop")
        cluster.execute(
            "INSERT INTO orders SELECT n, repeat('x', 400) FROM generate_series(1, 50000) n", database="shop"
        )
        result = (live if what == "live" else test)(cluster, disk, folder)
        ((rows,),) = cluster.execute("SELECT count(*) FROM orders", database="shop")
    print(json.dumps({**result, "rows": rows}))


if __name__ == "__main__":
    main()
