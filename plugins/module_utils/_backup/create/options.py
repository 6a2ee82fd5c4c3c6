# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated parameters into a job, once, or say in one sentence what is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Encryption, Job, Pod, Signing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.naming import is_series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Decrypt
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_size

_GRACE = 7200.0
_LEVELS = {model.ZSTD: 19, model.GZIP: 9, model.AUTO: 9}
_AGE_RECIPIENT = re.compile(r"(?:age1[0-9a-z]+|ssh-(?:rsa|ed25519) \S+.*)\Z")


def job_of(params: Mapping[str, Any]) -> Job:
    """Return what *params* ask for. Raises ``InvalidInput`` naming the option."""
    job = Job(
        series=params["series"],
        directory=params["directory"],
        kind=params["kind"],
        seconds=_positive(params, "time_limit"),
        databases=tuple(params["databases"] or ()),
        form=params["format"],
        compress=params["compress"],
        level=params["compress_level"],
        jobs=params["jobs"],
        globals=params["globals"],
        count_rows=params["count_rows"],
        fingerprint=params["fingerprint"] == "hash",
        encryption=_encryption(params["encrypt"]),
        signing=_signing(params["sign"]),
        decrypt=_decrypt(params["decrypt"]),
        paths=tuple(params["paths"] or ()),
        exclude=tuple(params["exclude"] or ()),
        always=params["when"] == model.ALWAYS,
        every=_read(params, "every", parse_duration),
        grace=_grace(params),
        pod=_pod(params["pod"]),
        inside=_inside(params),
        far_directory=params["far_directory"],
        copy_retries=params["copy_retries"],
        bin_dir=params["bin_dir"] or "",
        headroom=params["headroom"],
        min_free=int(_read(params, "min_free", parse_size)),
        lock_timeout=_read(params, "lock_timeout", parse_duration),
        mode=_mode(params["mode"]),
        run_id=params["run_id"],
        state_dir=params["state_dir"],
    )
    _require_sense(job, params)
    return job


def _require_sense(job: Job, params: Mapping[str, Any]) -> None:
    if not is_series(job.series):
        raise InvalidInput(
            f"series: {job.series!r} cannot be the name of a series.",
            "Use letters, digits, - and _, 64 at most, and no time in it: shop, or shop_db.",
        )
    for option, path in (("directory", job.directory), ("far_directory", job.far_directory)):
        if not os.path.isabs(path) or os.path.normpath(path) == "/":
            raise InvalidInput(f"{option}: {path!r} is no absolute path of a directory for backups.", "Correct it.")
    for option, number, least in (("jobs", job.jobs, 1), ("copy_retries", job.copy_retries, 0)):
        if number < least:
            raise InvalidInput(f"{option} is {number}; it cannot be less than {least}.")
    if not job.always and job.grace >= job.every:
        raise InvalidInput(
            f"grace is {params['grace']}, no less than every ({params['every']}): each run would make a backup.",
            "Shorten grace, or set when: always if that is meant.",
        )
    if job.headroom < 1:
        raise InvalidInput(f"headroom is {job.headroom:g}; it cannot be less than 1.")
    if job.level is not None and not 1 <= job.level <= _LEVELS.get(job.compress, 0):
        raise InvalidInput(
            f"compress_level is {job.level}, which {job.compress} does not have.",
            "gzip has 1 to 9, zstd 1 to 19; leave it out for none, and name one of them for more than 9.",
        )
    _require_kind(job, params)


def _require_kind(job: Job, params: Mapping[str, Any]) -> None:
    if job.kind == model.FILES and not job.paths:
        raise InvalidInput("kind is files, but paths names none.", "List the directories and files to back up.")
    if job.kind != model.FILES and (job.paths or job.exclude):
        raise InvalidInput(f"paths and exclude are for the kind files, and kind is {job.kind}.", "Leave them out.")
    for path in job.paths:
        if not os.path.isabs(path):
            raise InvalidInput(f"paths: {path!r} is not absolute.", "Write it from / on.")
    if job.kind != model.POSTGRES and job.databases and job.kind != model.MONGODB:
        raise InvalidInput(f"databases is given, but kind is {job.kind}.", "Leave it out.")
    if job.kind == model.MONGODB and (len(job.databases) > 1 or model.ALL_DATABASES in job.databases):
        raise InvalidInput(
            "databases names more than one database of MongoDB.",
            "Name one, or leave it out: then all of them are in one archive.",
        )
    if job.form != model.CUSTOM and job.kind != model.POSTGRES:
        raise InvalidInput(f"format is {job.form}, which is one of pg_dump, and kind is {job.kind}.", "Leave it out.")
    if job.form == model.DIRECTORY:
        for option, is_given in (
            ("encrypt", job.encrypted),
            ("pod", job.pod is not None),
            ("programs: container", job.inside),
        ):
            if is_given:
                raise InvalidInput(
                    f"format is directory, which is many files, and cannot go together with {option}.",
                    "Use the format custom.",
                )
    elif job.jobs > 1:
        raise InvalidInput(f"jobs is {job.jobs}, but only the format directory is written by several.", "Leave it out.")
    if job.pod is not None and any(
        params[option] for option in ("container", "compose_project", "compose_service", "login_host")
    ):
        raise InvalidInput("pod is given together with another place of the server.", "Leave one of them out.")
    if job.pod is not None and job.kind in (model.FILES, model.REDIS):
        raise InvalidInput(f"kind {job.kind} cannot be taken out of a pod.", "Run the task where the data are.")


def _inside(params: Mapping[str, Any]) -> bool:
    """Whether the programs of the container are used: by default they are, for they are of its server's version."""
    named = bool(params["container"] or params["compose_service"])
    if params["programs"] == "container" and not named:
        raise InvalidInput("programs is container, but none is named.", "Give container, or compose_service.")
    if params["format"] == model.DIRECTORY and params["programs"] == "auto":
        return False
    return named and params["programs"] != "host" and params["kind"] in (model.POSTGRES, model.GLOBALS, model.MONGODB)


def _encryption(encrypt: Mapping[str, Any] | None) -> Encryption:
    if encrypt is None:
        return Encryption()
    found = Encryption(
        age_recipients=tuple(encrypt["age_recipients"] or ()),
        age_recipients_file=encrypt["age_recipients_file"] or "",
        gpg_recipients=tuple(encrypt["gpg_recipients"] or ()),
        gpg_homedir=encrypt["gpg_homedir"] or "",
    )
    if not found.by:
        raise InvalidInput("encrypt names no recipient.", "Give age_recipients, age_recipients_file or gpg_recipients.")
    if found.by == "age" and found.gpg_recipients:
        raise InvalidInput("encrypt names recipients of age and of gpg.", "Choose one of the two.")
    for text in found.age_recipients:
        if "SECRET" in text.upper() or not _AGE_RECIPIENT.match(text):
            raise InvalidInput(
                "encrypt.age_recipients has an entry that is no public key of age.",
                "A recipient begins with age1 (age-keygen -y prints it), or is a line of an ssh public key.",
            )
    for text in found.gpg_recipients:
        if not text.strip() or text.startswith("-"):
            raise InvalidInput(f"encrypt.gpg_recipients: {text!r} names no key.", "Give its fingerprint.")
    return found


def _signing(sign: Mapping[str, Any] | None) -> Signing:
    if sign is None:
        return Signing()
    if sign["kind"] != model.OPENPGP and not os.path.isabs(sign["key"]):
        raise InvalidInput(
            f"sign.key: {sign['key']!r} is not an absolute path.", "Give the file of the secret key, from / on."
        )
    if sign["kind"] == model.OPENPGP and (not sign["key"].strip() or sign["key"].startswith("-")):
        raise InvalidInput("sign.key names no key of gpg.", "Give its fingerprint.")
    if sign["kind"] == model.SSH and sign["passphrase_file"]:
        raise InvalidInput("sign.passphrase_file is not for ssh.", "Use a key without a passphrase, mode 0600.")
    return Signing(
        sign["kind"], sign["key"], sign["gpg_homedir"] or "", sign["passphrase_file"] or "", sign["ssh_namespace"]
    )


def _decrypt(decrypt: Mapping[str, Any] | None) -> Decrypt:
    if decrypt is None:
        return Decrypt()
    return Decrypt(
        gpg_homedir=decrypt["gpg_homedir"] or "",
        passphrase_file=decrypt["passphrase_file"] or "",
        age_identity_file=decrypt["age_identity_file"] or "",
    )


def _pod(pod: Mapping[str, Any] | None) -> Pod | None:
    if pod is None:
        return None
    for option in ("name", "namespace", "container", "context"):
        if (pod[option] or "").startswith("-") or (option == "name" and not pod["name"].strip()):
            raise InvalidInput(f"pod.{option}: {pod[option]!r} is no name.", "Correct it.")
    return Pod(
        pod["name"],
        pod["namespace"] or "",
        pod["container"] or "",
        pod["context"] or "",
        pod["kubeconfig"] or "",
        pod["kubectl"],
    )


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        raise InvalidInput(f"mode: {text!r} is no mode.", 'Write it in octal, in quotes: "0600".') from None
    if mode & 0o007 or not 0 < mode <= 0o770 or mode & 0o600 != 0o600:
        raise InvalidInput(
            f"mode: {text} lets everybody read the backup, or its owner not.", "Use 0600, or 0640 for a group."
        )
    return mode & 0o660


def _positive(params: Mapping[str, Any], option: str) -> float:
    seconds = _read(params, option, parse_duration)
    if not seconds:
        raise InvalidInput(f"{option} is 0.", "Give it a time, like 1h.")
    return seconds


def _grace(params: Mapping[str, Any]) -> float:
    """Return by how much a run may come early: unless given two hours, and never more than half the rhythm."""
    if params["grace"] is not None:
        return _read(params, "grace", parse_duration)
    return min(_GRACE, _read(params, "every", parse_duration) / 2)


def _read(params: Mapping[str, Any], option: str, parse: Callable[[object], float]) -> float:
    try:
        return parse(params[option])
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None
