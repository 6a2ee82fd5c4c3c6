# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the validated parameters of ``cert_deploy`` into values, once. Every mistake names its option."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.consumers import consumer_of
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import DEPLOYED, Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import (
    SECRET,
    Keep,
    Store,
    real_place,
    store_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import shown
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import parse_limit
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration

_MODE = re.compile(r"0?[0-7]{3}")


def wanted_of(params: Mapping[str, Any], environ: Mapping[str, str]) -> Wanted:
    """Return what *params* ask for. Raises ``InvalidInput``, which names the option."""
    places = {key: path for key, path in params["deploy"].items() if path}
    store = store_of(params["name"], places, params["store"] or "", params["layout"])
    sources = _sources(params, store)
    if params["backup_keep"] < 1:
        raise InvalidInput("backup_keep: at least one backup stays.", "Write 1 or more.")
    for text in params["min_remaining"]:
        _of("min_remaining", parse_limit, text)
    seconds = _of("consumer_timeout", parse_duration, params["consumer_timeout"])
    return Wanted(
        name=params["name"],
        store=store,
        state=params["state"],
        sources=sources,
        origin=shown(sources.get("fullchain", "")),
        names=tuple(params["names"]),
        ca_path=params["ca_path"] or "",
        verify=params["verify"],
        min_remaining=tuple(params["min_remaining"]),
        force=params["force"],
        consumers=tuple(consumer_of(entry, seconds) for entry in params["consumers"]),
        endpoints=tuple(
            {key: value for key, value in entry.items() if value is not None} for entry in params["endpoints"]
        ),
        settle=_of("settle", parse_duration, params["settle"]),
        backup_dir=params["backup_dir"] or os.path.join(_state_dir(params, environ), "certificates"),
        backup_keep=params["backup_keep"],
        backup=params["backup"],
        uid=_id_of("owner", params["owner"]),
        gid=_id_of("group", params["group"]),
        mode=_mode("mode", params["mode"]),
        key_mode=_mode("key_mode", params["key_mode"]),
    )


def locks_of(params: Mapping[str, Any], store: Store, environ: Mapping[str, str]) -> list[HostLock]:
    """Return one lock for each path of the destination: whoever deploys there, under whatever name, takes the same.

    They are sorted, so that two runs with paths in common never wait for one another.
    """
    wait = _of("lock_timeout", parse_duration, params["lock_timeout"])
    folder = os.path.join(_state_dir(params, environ), "locks")
    names = sorted(f"certificate {real_place(path)}" for path in store.places.values())
    return [HostLock(os.path.join(folder, f"{folder_name(name)}.lock"), params["run_id"], wait) for name in names]


def keep_of_wanted(wanted: Wanted, key: str, present: Keep | None) -> Keep:
    """Return whose the file *key* is to be: as was said, else as it is, else ours, the key for nobody else."""
    secret = key in SECRET
    said = wanted.key_mode if secret else wanted.mode
    base = present or Keep(os.geteuid(), os.getegid(), 0o600 if secret else 0o644)
    return Keep(
        base.uid if wanted.uid is None else wanted.uid,
        base.gid if wanted.gid is None else wanted.gid,
        base.mode if said is None else said,
        # An access list would say otherwise than the mode that was asked for.
        base.attributes if said is None else {k: v for k, v in base.attributes.items() if "acl" not in k},
    )


def _sources(params: Mapping[str, Any], store: Store) -> dict[str, str]:
    if params["state"] != DEPLOYED:
        return {}
    if params["lineage"]:
        if os.sep in params["lineage"] or params["lineage"].startswith("."):
            raise InvalidInput(
                f"lineage: {params['lineage']!r} is not the name of a lineage.", "See certbot certificates."
            )
        folder = os.path.join(params["config_dir"], "live", params["lineage"])
        sources = {key: os.path.join(folder, f"{key}.pem") for key in ("fullchain", "privkey")}
    elif params["source"]:
        sources = dict(params["source"])
    else:
        raise InvalidInput("Nothing says what is to be deployed.", "Give lineage or source.")
    taken = set(map(real_place, store.places.values()))
    for key, path in sources.items():
        if real_place(path) in taken:
            raise InvalidInput(
                f"deploy: {path} is also the {key} of the source.",
                "Deploy to a path of its own, which the server reads.",
            )
    return sources


def _state_dir(params: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    return directory_of(params["state_dir"], environ, os.geteuid())


def _of(option: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None


def _mode(option: str, text: Any) -> int | None:
    if text is None:
        return None
    remedy = "Write it as a text of octal digits: '0640'."
    if not isinstance(text, str):
        raise InvalidInput(f"{option}: {text!r} is no text: without quotes, YAML makes another number of 0640.", remedy)
    if not _MODE.fullmatch(text):
        raise InvalidInput(f"{option}: {text!r} is no mode.", remedy)
    return int(text, 8)


def _id_of(option: str, name: str | None) -> int | None:
    """Return the number of an account or a group, which may be written as one."""
    if not name:
        return None
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if option == "owner" else grp.getgrnam(name).gr_gid
    except KeyError:
        raise InvalidInput(f"{option}: {name!r} is not known on this host.", "Correct its name.") from None
