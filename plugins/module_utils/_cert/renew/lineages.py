# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lineages there are, and the commands that renew each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import read_regular
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.model import CERTBOT, COMMAND, Lineage
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

_LONGEST = 1 << 20


def lineages_of(params: Mapping[str, Any]) -> list[Lineage]:
    """Return the lineages that are named, else all of certbot's. Raises ``InvalidInput``."""
    entries = params["lineages"]
    if entries is None:
        entries = [{"name": name, "renew_command": None} for name in _names(params["config_dir"])]
    names = [entry["name"] for entry in entries]
    for name in names:
        if not name or os.sep in name or name.startswith((".", "-")) or not name.isprintable():
            raise InvalidInput(
                f"lineages: {name!r} is not the name of a lineage.", "`certbot certificates` lists them."
            )
        if names.count(name) > 1:
            raise InvalidInput(f"lineages: {name} is there twice.", "Name it once.")
    return [_by_command(entry) if entry["renew_command"] else _by_certbot(entry["name"], params) for entry in entries]


def _names(config_dir: str) -> list[str]:
    try:
        found = os.listdir(os.path.join(config_dir, "renewal"))
    except OSError:
        return []  # nothing was ever issued here, which the result says
    return sorted(name[: -len(".conf")] for name in found if name.endswith(".conf"))


def _by_command(entry: Mapping[str, Any]) -> Lineage:
    return Lineage(
        name=entry["name"],
        client=COMMAND,
        fullchain=entry["fullchain"],
        renew=tuple(entry["renew_command"]),
        dry_run=tuple(entry["dry_run_command"] or ()),
    )


def _by_certbot(name: str, params: Mapping[str, Any]) -> Lineage:
    """Return one of certbot's, with no command when certbot does not know it."""
    config_dir = params["config_dir"]
    try:
        settings = _settings(os.path.join(config_dir, "renewal", f"{name}.conf"))
    except CannotLook:
        return Lineage(name, CERTBOT, "")
    live = os.path.join(config_dir, "live", name)
    # Its own delay of some minutes is for timers that start on all hosts at once; a run has a budget of time.
    argv = [params["certbot"], "renew", "--cert-name", name, "--non-interactive", "--no-random-sleep-on-renew"]
    for option in ("config_dir", "work_dir", "logs_dir"):
        argv += [f"--{option.replace('_', '-')}", params[option]] if params[option] else []
    argv += params["arguments"]
    return Lineage(
        name=name,
        client=CERTBOT,
        fullchain=settings.get("fullchain") or os.path.join(live, "fullchain.pem"),
        privkey=settings.get("privkey") or os.path.join(live, "privkey.pem"),
        renew=(*argv, *(["--force-renewal"] if params["force"] else [])),
        dry_run=(*argv, "--dry-run", *_server(settings.get("server", ""))),
    )


def _server(url: str) -> list[str]:
    """Name the authority of a lineage for a dry run, which certbot else does with Let's Encrypt, whoever issued it."""
    host = urlsplit(url).hostname or ""
    return [] if not host or host.endswith(".letsencrypt.org") else ["--server", url]


def _settings(path: str) -> dict[str, str]:
    """Return the settings of a lineage, of all sections. Raises ``CannotLook``."""
    found = {}
    for line in read_regular(path, _LONGEST).decode("utf-8", errors="replace").splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.lstrip().startswith("#"):
            found[name.strip()] = value.strip()
    return found
