# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what was in place: one archive for each state that differed, with a manifest, readable by its owner alone."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import (
    FILES,
    Keep,
    Store,
    StoreError,
    keep_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own

LATEST = "latest"
_MANIFEST = "manifest.json"
_SCHEMA = 1
# What a restoration replaced is kept like everything else, but is not what the next one means by the latest.
_REPLACED = "-replaced"
_STAMP = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?(-replaced)?")
_LARGEST = 4 << 20


@dataclass(frozen=True)
class Kept:
    """What one archive holds: the files by the keys of ``store.FILES``, and whose each is."""

    path: str
    files: Mapping[str, bytes]
    keep: Mapping[str, Keep]


class Archives:
    """The archives of one store below *folder*, the *most* newest of which stay."""

    def __init__(self, folder: str, store: Store, most: int) -> None:
        self.folder = folder
        self._store = store
        self._most = most

    def stamps(self) -> list[str]:
        """Return the stamps of all archives, the newest first."""
        pattern = re.compile(rf"{re.escape(self._store.name)}-({_STAMP.pattern})\.tar")
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _refused(self.folder, error) from error
        matches = [match for match in map(pattern.fullmatch, names) if match]
        matches.sort(key=lambda match: (match[2], int(match[3] or 0)), reverse=True)
        return [match[1] for match in matches]

    def same(self, files: Mapping[str, bytes]) -> str:
        """Return the path of the newest archive if it holds just *files*, or nothing."""
        newest = self.stamps()[:1]
        with contextlib.suppress(StoreError):
            if newest and dict(self.load(newest[0]).files) == dict(files):
                return self._path(newest[0])
        return ""

    def add(self, files: Mapping[str, bytes], stamp: str, replaced: bool = False) -> str:
        """Write an archive of *files*, which are in place; return its path. Raises ``StoreError``.

        *replaced* says that a restoration replaces them.
        """
        stamps = (stamp if not number else f"{stamp}-{number}" for number in range(1000))
        suffix = _REPLACED if replaced else ""
        taken = {one.replace(_REPLACED, "") for one in self.stamps()}
        path = self._path(next(one for one in stamps if one not in taken) + suffix)
        content = _packed(self._store, files)
        try:
            ensure_directory(self.folder)
            _write(path, content)
            for old in self.stamps()[self._most :]:
                os.unlink(self._path(old))
        except OSError as error:
            raise _refused(path, error) from error
        return path

    def load(self, stamp: str) -> Kept:
        """Return what the archive of *stamp* holds (``latest``: the newest that no restoration replaced), verified.

        Raises ``InvalidInput`` when there is none, ``StoreError`` when it is damaged.
        """
        known = self.stamps()
        latest = [one for one in known if not one.endswith(_REPLACED)][:1]
        chosen = latest[0] if stamp == LATEST and latest else stamp
        if chosen not in known:
            raise InvalidInput(
                f"{self.folder} has no backup {stamp} of {self._store.name}.",
                f"There are {', '.join(known)}." if known else "Correct backup_dir or name.",
            )
        path = self._path(chosen)
        try:
            return _unpacked(path)
        except OSError as error:
            raise _refused(path, error) from error
        except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"The backup {path} cannot be trusted: {error}.", "Use another of the backups.", {"path": path}
            ) from None

    def _path(self, stamp: str) -> str:
        return os.path.join(self.folder, f"{self._store.name}-{stamp}.tar")


def _refused(path: str, error: OSError) -> StoreError:
    return StoreError(
        f"The backup {path} cannot be read or written: {error.strerror}.",
        "Make room, or correct backup_dir.",
        {"path": path, "errno": error.errno},
    )


def _packed(store: Store, files: Mapping[str, bytes]) -> bytes:
    kept = {key: keep_of(store.places[key]) for key in files}
    manifest = {
        "schema": _SCHEMA,
        "name": store.name,
        "files": {
            key: {
                "path": store.places[key],
                "sha256": hashlib.sha256(content).hexdigest(),
                "uid": kept[key].uid,
                "gid": kept[key].gid,
                "mode": kept[key].mode,
            }
            for key, content in files.items()
        },
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _pack(archive, _MANIFEST, json.dumps(manifest, sort_keys=True).encode(), Keep(0, 0, 0o600))
        for key, content in files.items():
            _pack(archive, FILES[key], content, kept[key])
    return buffer.getvalue()


def _pack(archive: tarfile.TarFile, name: str, content: bytes, keep: Keep) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uid, entry.gid = len(content), keep.mode, keep.uid, keep.gid
    archive.addfile(entry, io.BytesIO(content))


def _write(path: str, content: bytes) -> None:
    temporary = f"{path}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        with os.fdopen(open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _unpacked(path: str) -> Kept:
    members: dict[str, bytes] = {}
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        # Read by name into memory: nothing is extracted, so no path of a member can lead anywhere.
        for member in archive:
            opened = archive.extractfile(member) if member.isreg() and member.size <= _LARGEST else None
            if opened is not None:
                members[member.name] = opened.read()
    if _MANIFEST not in members:
        raise ValueError("it has no manifest")
    manifest = json.loads(members[_MANIFEST])
    if manifest["schema"] != _SCHEMA:
        raise ValueError(f"its manifest has schema {manifest['schema']}")
    files, kept = {}, {}
    for key, entry in manifest["files"].items():
        content = members.get(FILES[key], b"")
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"{FILES[key]} is not what the manifest says")
        files[key] = content
        kept[key] = Keep(int(entry["uid"]), int(entry["gid"]), int(entry["mode"]))
    return Kept(path, files, kept)
