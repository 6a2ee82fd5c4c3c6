# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment is told, and what may become of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import Store
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import Place

# What is wanted.
DEPLOYED, BACKED_UP, RESTORED = "deployed", "backed_up", "restored"
STATES = (DEPLOYED, BACKED_UP, RESTORED)

# What became of it: `changed` also for what check mode plans, `reloaded` when the files were right, but not served.
UNCHANGED, CHANGED, RELOADED, REFUSED, PUT_BACK, BROKEN = (
    "unchanged",
    "changed",
    "reloaded",
    "refused",
    "put_back",
    "broken",
)
FAILURES = (REFUSED, PUT_BACK, BROKEN)


@dataclass(frozen=True)
class Consumer:
    """A server that reads the files, on this host or in a container; ``seconds`` is for each of its programs.

    ``validate`` and ``reload`` are argument lists. Where ``signal`` is given it reloads: it goes to the container's
    first process, or on the host to the one in ``pid_file``.
    """

    label: str
    place: Place = field(default_factory=Place)
    validate: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    signal: str = ""
    pid_file: str = ""
    seconds: float = 30.0


@dataclass(frozen=True)
class Wanted:
    """Everything that one deployment is told.

    ``sources`` are the candidate's files, and ``origin`` what messages call it. ``uid``, ``gid``, ``mode`` and
    ``key_mode`` are ``None`` where that is to stay as it is. ``endpoints`` are options of ``cert_expiry`` for what must
    serve the certificate afterwards, ``settle`` how long they may take. ``force`` lets an older certificate replace a
    newer one, and one that ends soon. Times are in seconds.
    """

    name: str
    store: Store
    state: str = DEPLOYED
    sources: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    names: tuple[str, ...] = ()
    ca_path: str = ""
    verify: bool = True
    min_remaining: tuple[str, ...] = ("7d", "10%")
    force: bool = False
    consumers: tuple[Consumer, ...] = ()
    endpoints: tuple[Mapping[str, Any], ...] = ()
    settle: float = 10.0
    backup_dir: str = ""
    backup_keep: int = 10
    backup: str = "latest"
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    key_mode: int | None = None

    @property
    def lenient(self) -> bool:
        """Whether it may be older than what is in place, or end soon: where that is meant, as of a backup."""
        return self.force or self.state == RESTORED
