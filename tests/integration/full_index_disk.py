"""Rebuild an index where there is no room for two: `python -m tests.integration.full_index_disk FOLDER STATE`.

FOLDER is a small file system of our own, see `mounts.py`. What `pg_reindex` said is printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bed.accounts import server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.reindexing import Indexed


def main() -> None:
    folder, state = Path(sys.argv[1]), Path(sys.argv[2])
    server_account().give(folder)
    with Cluster(find_or_bring(None, cache_directory()), name="full") as cluster:
        place = Indexed(cluster, "postgres", state)
        place.make_bloated("after")
        place.execute(
            f"CREATE TABLESPACE small LOCATION '{folder}'",
            "CREATE TABLE filling AS SELECT n, md5(n::text) AS m FROM generate_series(1, 120000) n",
            "CREATE INDEX filling_m ON filling (m) TABLESPACE small",
            "VACUUM (ANALYZE) filling",
        )
        wanted = {"when": "always", "indexes": ["filling_m", "after_pkey"]}
        told = {
            "planned": place.call(check=True, **wanted),
            "refused": place.call(**wanted),
            "forced": place.call(force_without_disk_check=True, **wanted),
            "invalid": place.invalid(),
            "used": place.execute("SELECT count(*) FROM filling WHERE m = md5('7')")[0][0],
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
