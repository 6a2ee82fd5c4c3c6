# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands beside a backup: lists of digests, its manifest, signatures. What they name is never opened."""

from __future__ import annotations

import os
import stat
from datetime import datetime, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest as manifests
from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model, signature
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.find import Finder
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Described, Policy, Sidecar
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import (
    LARGEST,
    LISTS,
    SUFFIXES,
    Digests,
    parse,
)


class Beside:
    """Reads each list once, however many files it speaks of."""

    def __init__(self, policy: Policy, finder: Finder) -> None:
        self._policy = policy
        self._finder = finder
        self._lists: dict[str, Digests | str] = {}
        self._manifests: dict[str, Described | None] = {}

    def is_there(self, path: str) -> bool:
        directory, name = os.path.split(path)
        try:
            return name in self._finder.names(directory)
        except OSError:
            return False

    # --- manifests

    def described(self, path: str) -> Described | None:
        """Return the manifest of *path*, whether it can be used or not; ``None`` when there is none."""
        if path not in self._manifests:
            place = self._place_of(path)
            self._manifests[path] = _described(path, place) if place else None
        return self._manifests[path]

    def _place_of(self, path: str) -> str:
        """Return where the manifest of *path* is; an empty text when it is nowhere."""
        wanted = self._policy.manifest
        if wanted == "none":
            return ""
        beside = path + manifests.SUFFIX
        if wanted != "auto":
            beside = os.path.join(wanted, os.path.basename(beside)) if os.path.isdir(wanted) else wanted
            return beside if os.path.exists(beside) else ""
        return beside if self.is_there(beside) else ""

    # --- lists of digests

    def sidecar(self, file: BackupFile) -> Sidecar | None:
        """Return the first list of digests that there is for *file*, whether it can be used or not."""
        path = file.path
        directory = os.path.dirname(path)
        try:
            names = self._finder.names(directory)
        except OSError:
            return None
        if file.kind == model.DIRECTORY:
            return self._list_inside(path)
        for suffix in SUFFIXES:
            if os.path.basename(path) + suffix in names:
                return self._sidecar(path, path + suffix, own=True)
        for name in LISTS:
            if name in names:
                sidecar = self._sidecar(path, os.path.join(directory, name), own=False)
                if sidecar is not None:
                    return sidecar
        return None

    def _sidecar(self, path: str, sidecar: str, own: bool) -> Sidecar | None:
        """Return what *sidecar* says of *path*; ``None`` when it is a list that does not speak of it."""
        digests = self._digests(sidecar)
        mtime = _mtime_of(sidecar)
        if isinstance(digests, str):
            return Sidecar(sidecar, "", mtime, problem=digests)
        entry = digests.of(path, own)
        if entry is not None:
            other = entry.name if entry.name and entry.basename != os.path.basename(path) else ""
            return Sidecar(sidecar, entry.sha256, mtime, other_name=other)
        if own:
            return Sidecar(sidecar, "", mtime, problem="holds digests that contradict one another")
        return None

    def _list_inside(self, path: str) -> Sidecar | None:
        """Return the list of digests in a directory that is one backup, as one digest over all of them."""
        for name in LISTS:
            place = os.path.join(path, name)
            if os.path.lexists(place):
                digests = self._digests(place)
                if isinstance(digests, str):
                    return Sidecar(place, "", _mtime_of(place), problem=digests)
                parts = [manifests.Part(one, 0, sha256) for one, sha256 in digests.by_name(path).items()]
                return Sidecar(place, manifests.directory_sha256(parts), _mtime_of(place))
        return None

    def parts(self, file: BackupFile) -> dict[str, str]:
        """Return the digests of the files of a directory by name: those of its manifest, else of the list in it."""
        if file.kind != model.DIRECTORY:
            return {}
        if file.manifest is not None and file.manifest.parts:
            return {part.name: part.sha256 for part in file.manifest.parts}
        digests = self._digests(file.sidecar.path) if file.sidecar is not None else ""
        return {} if isinstance(digests, str) else digests.by_name(file.path)

    def _digests(self, path: str) -> Digests | str:
        if path not in self._lists:
            self._lists[path] = _digests_in(path)
        return self._lists[path]

    # --- signatures

    def signature(self, file: BackupFile) -> tuple[str, str, str] | None:
        """Return what is signed, the signature and its kind: of the manifest, else of the list, else of the file."""
        signed = [described.path for described in (file.described, file.sidecar) if described is not None]
        if file.kind == model.FILE:
            signed.append(file.path)
        for path in signed:
            directory, name = os.path.split(path)
            try:
                found = signature.find(self._finder.names(directory), directory, name)
            except OSError:
                continue
            if found is not None:
                return (path, *found)
        return None


def _described(path: str, place: str) -> Described:
    mtime = _mtime_of(place)
    try:
        manifest = manifests.parse(_content_of(place, manifests.LARGEST))
    except OSError as error:
        return Described(place, mtime, problem=f"cannot be read: {error.strerror}")
    except manifests.Unusable as error:
        return Described(place, mtime, problem=str(error))
    other = manifest.name if manifest.name != os.path.basename(path) else ""
    return Described(place, mtime, manifest, other_name=other)


def _content_of(path: str, largest: int) -> bytes:
    """Return at most one byte more than *largest*. Raises ``OSError``."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(0, "it is not a regular file")
        return stream.read(largest + 1)


def _digests_in(path: str) -> Digests | str:
    """Return what a sidecar says, or why it says nothing."""
    try:
        data = _content_of(path, LARGEST)
    except OSError as error:
        return "is not a regular file" if not error.errno else f"cannot be read: {error.strerror}"
    if len(data) > LARGEST:
        return "is far too large for a list of digests"
    entries = parse(data.decode("utf-8", "replace"))
    return Digests(entries) if entries else "holds no SHA-256 digest in the form of sha256sum"


def _mtime_of(path: str) -> datetime:
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, timezone.utc)
    except OSError:
        return datetime.fromtimestamp(0, timezone.utc)
