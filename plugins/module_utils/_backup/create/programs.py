# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the client programs of PostgreSQL, and choose the one that can dump a server."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import VersionIncompatible
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded

_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/libexec/postgresql*",
)
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)(?:\.\d+)*)")
_SECONDS = 20.0


@dataclass(frozen=True)
class Client:
    """``pg_dump`` and its like of one version, in one directory (empty for those of a container)."""

    directory: str
    major: int
    version: str

    def path(self, program: str) -> str:
        return os.path.join(self.directory, program) if self.directory else program


def version_in(text: str) -> tuple[int, str] | None:
    """Return major and whole version of what ``pg_dump --version`` says."""
    found = _VERSION.search(text)
    return (int(found[2]), found[1]) if found else None


def installed(bin_dir: str = "") -> list[Client]:
    """Return what is here, the lowest version first. With *bin_dir* only what is there counts."""
    on_path = adapter.program("pg_dump")
    directories = [bin_dir] if bin_dir else [path for place in _PLACES for path in sorted(glob.glob(place))]
    if on_path and not bin_dir:
        # Debian's /usr/bin/pg_dump chooses a version by itself: it counts only where no other is.
        directories.append(os.path.dirname(on_path))
    clients: dict[int, Client] = {}
    for directory in dict.fromkeys(directories):
        path = os.path.join(directory, "pg_dump")
        if not os.access(path, os.X_OK):
            continue
        try:
            said = version_in(run([path, "--version"], _SECONDS).output)
        except (CommandFailed, DeadlineExceeded):
            continue  # a broken installation is not one
        if said is not None:
            clients.setdefault(said[0], Client(directory, *said))
    return [clients[major] for major in sorted(clients)]


def choose(clients: Sequence[Client], server_major: int) -> Client:
    """Return the lowest version that is not older than the server. Raises ``VersionIncompatible``.

    An older one refuses; a newer one than need be writes what older servers cannot read back.
    """
    for client in sorted(clients, key=lambda one: one.major):
        if client.major >= server_major:
            return client
    raise VersionIncompatible(server_major, [client.version for client in clients])
