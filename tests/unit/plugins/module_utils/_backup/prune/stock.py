"""Directories full of real backups to prune: gzipped dumps, with manifests and digests as a maker writes them."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.report import Pruned
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.run import prune
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.unit.plugins.module_utils._backup.samples import DAY, NOW, recorded

PLAIN = recorded("18.sql")
WHOLE = gzip.compress(PLAIN, 6, mtime=0)
NEWEST = NOW - timedelta(hours=2, minutes=13)


def stamp(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%SZ")


def backup(
    folder: Path,
    at: datetime,
    name: str = "shop-{}.sql.gz",
    data: bytes = WHOLE,
    described: bool = True,
    series: str = "",
) -> Path:
    """Write one backup, as old as its name says, with a manifest and a digest when it is *described*."""
    path = folder / name.format(stamp(at))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    beside = []
    if described:
        digest = hashlib.sha256(data).hexdigest()
        told = manifest.Manifest(path.name, "postgres", at, len(data), digest, series=series, formats=("gzip", "sql"))
        told = manifest.Manifest(**{**vars(told), "formats": ()})
        beside = [path.with_name(path.name + manifest.SUFFIX), path.with_name(path.name + ".sha256")]
        beside[0].write_bytes(manifest.render(told))
        beside[1].write_text(f"{digest}  {path.name}\n")
    for each in (path, *beside):
        os.utime(each, (at.timestamp(), at.timestamp()))
    return path


def days(folder: Path, count: int, newest: datetime = NEWEST, **how: Any) -> list[Path]:
    """One backup a day, newest first."""
    return [backup(folder, newest - number * DAY, **how) for number in range(count)]


def broken(path: Path) -> Path:
    """Cut the end off, as a full disk does; the time stays."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-40])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return path


def series(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "shop", "pattern": f"{folder}/shop-*.sql.gz", "time_zone": "UTC", **changes}


def run(folder: Path, *wanted: dict[str, Any], now: datetime = NOW, check_mode: bool = False, **options: Any) -> Pruned:
    """Prune with everything in one process, the locks beside the folder."""
    params = {
        "series": list(wanted) or [series(folder)],
        "state_dir": str(folder.parent / "state"),
        "parallel": 1,
        "nice": 0,
        "max_remove": 1000,
        "max_remove_share": "100%",
        **options,
    }
    return prune(validate("backup_prune", ARGUMENT_SPEC, params).params, now, check_mode)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def removed(pruned: Pruned) -> set[str]:
    return {one["path"] for one in pruned.outcome.extra["files"] if one["what"] == "removed"}


def codes(pruned: Pruned) -> list[str]:
    return sorted(one.code.removeprefix("backup.") for one in pruned.outcome.findings)


def of_paths(paths: Iterable[Path]) -> set[str]:
    return {str(path) for path in paths}
