"""Vacuum a table in a tablespace that is full: `python -m tests.integration.full_disk FOLDER STATE` prints the result.

FOLDER is a small file system of our own, see `mounts.py`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tests.bed.accounts import server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.vacuuming import Place

FILL = "INSERT INTO filling SELECT n, repeat('x', 400) FROM generate_series(1, 2000) n"


def main() -> None:
    folder, state = Path(sys.argv[1]), Path(sys.argv[2])
    server_account().give(folder)
    with Cluster(find_or_bring(None, cache_directory()), name="full") as cluster:
        place = Place(cluster, "postgres", state)
        place.execute(
            f"CREATE TABLESPACE small LOCATION '{folder}'",
            "CREATE TABLE filling (n int, filler text) TABLESPACE small",
            FILL,
            "DELETE FROM filling WHERE n % 2 = 0",
            "CHECKPOINT",
        )
        place.make_dirty("after")
        # VACUUM makes a new file, the visibility map: there is no room for its first page.
        (folder / "ballast").write_bytes(bytes(shutil.disk_usage(folder).free))
        result = place.call(mode="vacuum", include_catalogs=False, batch_pages=0)
        (folder / "ballast").unlink()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
