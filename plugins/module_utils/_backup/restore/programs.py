# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the PostgreSQL that a dump is restored into, of those that are installed."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import failed

_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_TOOLS = ("postgres", "initdb", "psql", "pg_restore")
_CLIENTS = ("psql", "pg_restore")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
_SECONDS = 20.0
# The minor releases of August 2025, from which on psql knows the \restrict that dumps of later ones begin with.
_RESTRICT_SINCE = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}


@dataclass(frozen=True)
class Programs:
    """The programs of one installed PostgreSQL."""

    directory: str
    major: int
    minor: int = 0

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def has(self, name: str) -> bool:
        return os.access(self.path(name), os.X_OK)

    @property
    def version(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def knows_restrict(self) -> bool:
        """True when its psql knows the commands that dumps begin and end with since August 2025."""
        return self.major >= 18 or self.minor >= _RESTRICT_SINCE.get(self.major, 1 << 30)


def installed(bin_dir: str = "", *, clients: bool = False, places: Iterable[str] = _PLACES) -> list[Programs]:
    """Return each PostgreSQL that this host has, the oldest first; only that in *bin_dir* when given.

    Those without a server are left out, unless *clients* will do.
    """
    tools = _CLIENTS if clients else _TOOLS
    if bin_dir:
        directories = [bin_dir]
    else:
        beside = shutil.which(tools[0])
        directories = [path for place in places for path in glob.glob(place)]
        directories += [os.path.dirname(os.path.realpath(beside))] if beside else []
    found: dict[str, Programs] = {}
    for directory in directories:
        real = os.path.realpath(directory)
        if real not in found and all(os.access(os.path.join(real, tool), os.X_OK) for tool in tools):
            programs = _looked_at(real, tools[0])
            if programs is not None:
                found[real] = programs
    return sorted(found.values(), key=lambda one: (one.major, one.minor, one.directory))


def _looked_at(directory: str, tool: str) -> Programs | None:
    try:
        said = subprocess.run(
            [os.path.join(directory, tool), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(said)
    return Programs(directory, int(match[1]), int(match[2] or 0)) if match else None


def major_of(version: str | None) -> int:
    """Return 17 of ``17.11``, 9 of ``9.6.24``, and 0 when it is not known."""
    match = re.match(r"\d+", version or "")
    return int(match[0]) if match else 0


def needed_major(server_version: str | None, tool_version: str | None) -> int:
    """Return the least major that takes a dump.

    The program that dumped writes what servers of its own major know, and what it dumped is of the server's.
    """
    return max(major_of(server_version), major_of(tool_version))


def choose(candidates: Sequence[Programs], needed: int, bin_dir: str = "") -> Programs:
    """Return the lowest of *candidates* that has *needed*. Raises ``Failed``."""
    if not candidates:
        where = f" in {bin_dir}" if bin_dir else ""
        what = f"was not restored: there is no PostgreSQL server{where} on this host"
        raise failed("backup.tool_missing", what, unknown=True, program="postgres", bin_dir=bin_dir)
    fitting = [one for one in candidates if one.major >= needed]
    if fitting:
        lowest = fitting[0].major
        return [one for one in fitting if one.major == lowest][-1]  # of that one the newest minor
    there = ", ".join(sorted({str(one.major) for one in candidates}, key=int))
    what = f"cannot be restored here: it needs PostgreSQL {needed} or newer, and this host has {there}"
    raise failed("backup.version_incompatible", what, needed=needed, installed=[one.version for one in candidates])


def choose_exactly(candidates: Sequence[Programs], major: int, bin_dir: str = "") -> Programs:
    """Return the newest minor of *major* among *candidates*, for no other reads its files. Raises ``Failed``."""
    exact = [one for one in candidates if one.major == major]
    if exact:
        return exact[-1]
    there = ", ".join(sorted({str(one.major) for one in candidates}, key=int)) or "none"
    where = bin_dir or "this host"
    what = (
        f"was not restored: it is a base backup of PostgreSQL {major}, of which {where} has no server (it has {there})"
    )
    evidence = {"needed": major, "installed": [one.version for one in candidates]}
    raise failed("backup.version_incompatible", what, unknown=True, **evidence)


def psql_for(chosen: Programs, candidates: Sequence[Programs], restricted: bool | None) -> str:
    """Return the psql that reads a plain dump for a server of *chosen*. Raises ``Failed``.

    *restricted* says whether it must know the \\restrict of August 2025; with None it is taken where there is one.
    """
    for one in (chosen, *reversed(candidates)):
        if restricted is False or one.knows_restrict:
            return one.path("psql")
    if restricted is None:
        return chosen.path("psql")
    what = (
        "cannot be restored here: it begins with \\restrict, as dumps do since August 2025, "
        f"and the psql of {chosen.version} does not know that"
    )
    raise failed("backup.version_incompatible", what, installed=[one.version for one in candidates])
