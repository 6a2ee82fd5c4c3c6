"""Programs that backups are made with and that few machines have: age, minisign and a Redis server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .packages import runs, settings_of, unpacked

_PACKAGES = ("age", "minisign", "redis-server")
_WANTED = ("age", "age-keygen", "minisign", "redis-server", "redis-cli")


def environment(cache: Path) -> dict[str, str]:
    """`PATH` (and, for unpacked ones, `LD_LIBRARY_PATH`) with which all of them are found. Raises BedError."""
    path = os.environ.get("PATH", "")
    if all(shutil.which(name, path=path) for name in _WANTED):
        return {"PATH": path}
    home = unpacked(
        "backup-tools",
        _PACKAGES,
        cache,
        lambda home: runs(
            home, ("usr/bin/age", "--version"), ("usr/bin/minisign", "-v"), ("usr/bin/redis-server", "--version")
        ),
    )
    settings = settings_of(home)
    return {**settings, "PATH": os.pathsep.join([path, settings["PATH"]])}
