# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a finished dump as ``backup_verify`` would, describe it, sign that, and only then give it its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest as manifests
from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model as verify
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.content import Inspection
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Job
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.naming import PARTIAL
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.sign import SUFFIX as SIGNATURE_SUFFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.sign import sign
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.store import Store
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import of_file
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import MEMBERS_SUFFIX, SUFFIX, Manifest
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    BackupFile,
    Content,
    Described,
    Failure,
    Limits,
    Policy,
    Reading,
    Series,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import Wanted, read_content
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import read_directory
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity

# What we have just written ourselves is no bomb, and links and devices were put in on purpose.
LIMITS = Limits(
    max_expanded=1 << 60,
    max_ratio=1e15,
    max_depth=6,
    max_members=1 << 40,
    allow=frozenset(verify.ALLOWANCES),
)
DIGESTS_SUFFIX = ".sha256"
_DIGESTS_INSIDE = "SHA256SUMS"
_NO_KEY = "backup.no_key"


@dataclass(frozen=True)
class Checked:
    """What the look at the stored bytes showed. ``how`` is ``stored``, or ``stream`` where only that could be read."""

    findings: tuple[Finding, ...]
    how: str


def inspection(name: str, deadline: Deadline, counting: bool, members: bool) -> Inspection:
    """Return what looks at a dump while it passes, before it is encrypted for somebody else."""
    reading = Reading(LIMITS, level=verify.STRUCTURE, count_rows=counting)
    return Inspection(name, reading, deadline, listing=Listing(members), counting=counting)


def check(
    store: Store, partial: str, manifest: Manifest, job: Job, passed: Content | None, deadline: Deadline
) -> Checked:
    """Read *partial* from the disk and judge it by *manifest*. Raises ``BackupFailed`` for what is no good backup.

    *passed* is what was seen of the dump before it was encrypted, where nobody here can decrypt it.
    """
    content, failure = _read(store, partial, manifest, job, deadline)
    if failure is not None:
        raise BackupFailed(f"The backup that was written {failure.reason}.", "Look at the disk; start again.")
    found = list(_judged(store.path(partial), manifest, content))
    how = "stored"
    if job.encrypted and not job.opens:
        how = "stream"
        found = [one for one in found if one.code != _NO_KEY]
        if passed is not None:
            plain = replace(
                manifest,
                formats=manifest.formats[1:],
                stored_size=manifest.plain_size or 0,
                stored_sha256=manifest.plain_sha256,
            )
            seen = replace(passed, stored_sha256=manifest.plain_sha256)
            # The compression comes after the look: only what is inside has passed.
            plain = replace(plain, formats=seen.chain)
            found += list(_judged(store.path(partial), plain, seen))
    bad = [one for one in found if one.severity >= Severity.UNKNOWN]
    if bad:
        raise BackupFailed(
            f"The backup that was written is not good, and was not kept: {bad[0].message}",
            bad[0].remedy,
            {"findings": [{"code": one.code, "message": one.message} for one in bad[:10]]},
        )
    return Checked(tuple(found), how)


def _read(
    store: Store, partial: str, manifest: Manifest, job: Job, deadline: Deadline
) -> tuple[Content | None, Failure | None]:
    path = store.path(partial)
    reading = Reading(LIMITS, job.decrypt, verify.STRUCTURE, count_rows=manifest.rows is not None)
    wanted = Wanted(
        sha256=manifest.stored_sha256,
        plain_sha256="" if job.encrypted and not job.opens else manifest.plain_sha256,
        counting=manifest.rows is not None,
        digest_members=manifest.members is not None,
        members_path=store.path(manifest.name + MEMBERS_SUFFIX + PARTIAL) if manifest.members is not None else "",
        parts=tuple((part.name, part.sha256) for part in manifest.parts),
    )
    return (read_directory if os.path.isdir(path) else read_content)(path, reading, deadline, wanted)


def _judged(path: str, manifest: Manifest, content: Content | None) -> Iterator[Finding]:
    found = os.lstat(path)
    mtime = datetime.fromtimestamp(found.st_mtime, timezone.utc)
    file = BackupFile(
        path=path,
        kind=verify.DIRECTORY if stat.S_ISDIR(found.st_mode) else verify.FILE,
        size=manifest.stored_size,
        mtime=mtime,
        mode=stat.S_IMODE(found.st_mode),
        taken_at=manifest.taken_at,
        taken_from=verify.FROM_MANIFEST,
        content=content,
        described=Described(path + SUFFIX, mtime, manifest),
    )
    policy = Policy(series=(), select=verify.LATEST, seconds=0.0, seconds_per_file=0.0, limits=LIMITS)
    return of_file(file, Series(manifest.series, path), policy)


def seal(store: Store, partial: str, manifest: Manifest, job: Job, deadline: Deadline, named: list[str]) -> list[str]:
    """Write what describes the backup, then give all of it its final name, the backup last; return the paths.

    Until then nothing has a name that anybody takes for a backup. *named* gets what has its final name already.
    """
    name = manifest.name
    written = [name + SUFFIX]
    _write(store, name + SUFFIX + PARTIAL, manifests.render(manifest), job.mode)
    if job.signing.kind:
        signature = name + SUFFIX + SIGNATURE_SUFFIX[job.signing.kind]
        comment = f"{name} {manifest.stored_sha256}"
        place = store.path(signature + PARTIAL)
        sign(job.signing, store.path(name + SUFFIX + PARTIAL), place, comment, deadline)
        os.chmod(place, job.mode)
        _sync_file(place)
        written.append(signature)
    lines = "".join(f"{part.sha256}  {part.name}\n" for part in manifest.parts)
    if manifest.parts:
        _write(store, os.path.join(partial, _DIGESTS_INSIDE), lines.encode("utf-8", "surrogateescape"), job.mode)
    else:
        digest = f"{manifest.stored_sha256}  {name}\n".encode()
        _write(store, name + DIGESTS_SUFFIX + PARTIAL, digest, job.mode)
        written.append(name + DIGESTS_SUFFIX)
    if manifest.members is not None:
        written.append(name + MEMBERS_SUFFIX)
    deadline.require("The backup")
    for one in written:
        store.name(one + PARTIAL, one)
        named.append(one)
    store.sync()
    store.name(partial, name)
    named.clear()  # it is there, whatever happens now
    store.sync()
    return [store.path(one) for one in written]


def _write(store: Store, name: str, content: bytes, mode: int) -> None:
    descriptor = store.create(name, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise BackupFailed(f"{store.path(name)} cannot be written: {error.strerror}.", "Look at the disk.") from None


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
