# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private key that belongs to a certificate: where it lies, who may read it, whether it fits.

Only its place is looked at, unless it is asked whether it fits: then it is read, and of it nothing is kept but the
SHA-256 of its public half.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import Content, read_regular, shown
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.git import WorkTrees
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, Failure, KeyFile

_KEY_BYTES = 1024 * 1024
_KEY_BLOCK = re.compile(
    rb"-----BEGIN ((?:[A-Z0-9]{1,20} )?(?:ENCRYPTED )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
)
# certbot: cert.pem, fullchain.pem and privkey.pem in `live`, cert7.pem and privkey7.pem in `archive`.
_LINEAGE = re.compile(r"(?:cert|fullchain)(\d*)")
# What is often added to the name of a certificate that is stored with its chain.
_ADDED = re.compile(r"[._-](?:full[._-]?chain|chain|bundle|cert|crt|certificate|full|ca-bundle)$")


def names_of_keys(path: str) -> Iterator[str]:
    """Yield where the key of the certificate *path* usually lies."""
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    stems = dict.fromkeys((stem, _ADDED.sub("", stem)))
    for each in stems:
        yield from (f"{folder}/{each}.key", f"{folder}/{each}-key.pem", f"{folder}/{each}.key.pem")
    lineage = _LINEAGE.fullmatch(stem)
    if lineage is not None:
        yield f"{folder}/privkey{lineage[1]}.pem"
    if stem in ("cert", "certificate", "fullchain", "server", "tls"):
        yield f"{folder}/key.pem"
    if os.path.basename(folder) == "certs":
        yield from (f"{os.path.dirname(folder)}/private/{each}.key" for each in stems)


class KeyKeeper:
    """Finds keys and looks at them, from several threads. With *check* their public halves are computed."""

    def __init__(self, check: bool, passphrases: tuple[str, ...]) -> None:
        self._check = check
        self._passphrases = passphrases
        self._trees = WorkTrees()
        # Whether everyone may pass a directory: written by several threads, each of which would write the same.
        self._open: dict[str, bool] = {}

    def of_file(self, path: str, content: Content) -> Optional[KeyFile]:
        """Return the key of the certificate file *path* that held *content*, or None when there is none."""
        if content.holds_key:
            return self._look(path, content.key)
        for candidate in names_of_keys(path):
            try:
                status = os.stat(candidate)
            except (OSError, ValueError):
                continue  # most of them are not there; of one that may not be reached nothing can be said
            if stat.S_ISREG(status.st_mode) and candidate != path:
                return self._look(candidate)
        return None

    def of_content(self, name: str, text: str, content: Content) -> Optional[KeyFile]:
        """Return the key that inline content holds, or None."""
        if not content.holds_key:
            return None
        if content.key or not self._check:
            return KeyFile(name, spki=content.key)
        return self._read(KeyFile(name), text.encode())

    def _look(self, path: str, spki: str = "") -> KeyFile:
        real = os.path.realpath(path)
        try:
            readable = bool(os.stat(real).st_mode & stat.S_IROTH) and self._is_open(os.path.dirname(real))
        except OSError:
            readable = False  # it went away just now
        tree = self._trees.of(os.path.dirname(real))
        key = KeyFile(
            shown(path),
            world_readable=readable,
            work_tree=shown(tree or ""),
            tracked=self._trees.tracks(tree, real) if tree else None,
            spki=spki,
        )
        if spki or not self._check:
            return key
        try:
            return self._read(key, read_regular(path, _KEY_BYTES))
        except CannotLook as error:
            return _with(key, failure=error.failure)

    def _read(self, key: KeyFile, data: bytes) -> KeyFile:
        block = _KEY_BLOCK.search(data)
        try:
            return _with(key, spki=library.public_half(block.group() if block else data, self._passphrases))
        except library.NoPassphrase:
            kind = "bad_passphrase" if self._passphrases else "encrypted_need_passphrase"
            message = f"The private key in {key.path} is encrypted, and no passphrase opens it."
            failure = Failure(kind, message, "Give its passphrase in passphrases.", {"path": key.path})
        except ValueError:
            # The library's own words could show parts of what it was given.
            message = f"The private key in {key.path} cannot be read."
            failure = Failure("parse", message, "Put the right key in its place.", {"path": key.path})
        return _with(key, failure=failure)

    def _is_open(self, folder: str) -> bool:
        """True when everyone may pass *folder* and all above it."""
        known = self._open.get(folder)
        if known is None:
            above = os.path.dirname(folder)
            known = bool(os.stat(folder).st_mode & stat.S_IXOTH) and (above == folder or self._is_open(above))
            self._open[folder] = known
        return known


def _with(key: KeyFile, spki: str = "", failure: Optional[Failure] = None) -> KeyFile:
    return KeyFile(key.path, key.world_readable, key.work_tree, key.tracked, spki, failure)
