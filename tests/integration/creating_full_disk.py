"""Back up files to a small disk: `python -m tests.integration.creating_full_disk DISK TREE WHEN` prints the result.

DISK is a file system of our own, see `mounts.py`. With WHEN `before` there is no room for the backup; with `meanwhile`
somebody else fills the disk while it is written; with `kept` only what is to stay free is left then.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import pump
from tests.integration.creating import Backups


def main() -> None:
    disk, tree, when = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    backups = Backups(
        disk,
        {"kind": "files", "series": "uploads", "paths": [tree], "compress": "none", "headroom": 1.0, "min_free": "0"},
    )
    backups.directory.mkdir()
    written = pump.File.feed
    if when != "before":

        def feed(file: pump.File, data: bytes) -> None:
            ballast = disk / "ballast"
            if file.size > 500_000 and not ballast.exists():
                room = shutil.disk_usage(disk).free - (3 << 20 if when == "kept" else 0)
                ballast.write_bytes(bytes(max(0, room)))
            written(file, data)

        pump.File.feed = feed  # type: ignore[method-assign]  # somebody else who fills the disk
    if when == "kept":
        pump._LOOK_BYTES = 1 << 18
    created = backups.create(**({"min_free": "4MiB"} if when == "kept" else {}))
    print(json.dumps({"failure": created.failure, "names": backups.names(), **created.as_result()}))


if __name__ == "__main__":
    main()
