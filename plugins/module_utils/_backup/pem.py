# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys as PEM: every block is whole, what it encodes is as long as it says, and all fits together."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import certificates
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.certificates import Held, Unreadable, Verdict
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PEM
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    CERTIFICATES,
    VALUES,
    Dump,
    Problem,
)

_LARGEST = 16 << 20
# Of an archive: no certificate with its chain is larger, and so many files and bytes of them are looked at.
_SUFFIXES = (".pem", ".crt", ".cer", ".key")
_LARGEST_MEMBER = 1 << 18
_MOST_MEMBERS, _MOST_BYTES = 500, 4 << 20
_READABLE_BY_ALL = 0o004
_BEGIN = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----\s*$", re.MULTILINE)
_HEADER = re.compile(rb"^[A-Za-z-]+: .*$", re.MULTILINE)


class PemBundle:
    """The sink for a file of PEM blocks."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._text = b""

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)
        self._text += data
        if len(self._text) > _LARGEST:
            raise Damage(Problem("backup.unsupported", PEM, "is far too large for certificates and keys"))

    def finish(self) -> None:
        blocks = list(blocks_of(self._text))
        self._report.unproven.add(VALUES)
        self._report.dump = Dump(tables=len(blocks), complete=True)
        if not self._report.structure:
            return
        if not certificates.can_read():
            self._report.unproven.add(CERTIFICATES)
            return
        try:
            bundle = certificates.held("", blocks)
        except Unreadable as error:
            raise Damage(Problem("backup.corrupt", PEM, str(error))) from None
        if bundle.sealed:
            self._report.unproven.add(CERTIFICATES)
        self._report.certified = certificates.together({"": bundle}).as_plain()


class Shelf:
    """Collects the files of PEM of an archive. ``full`` turns true when some had to be left out."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[bytes, bool]] = {}
        self._bytes = 0
        self.full = False

    def wants(self, path: str, size: int) -> bool:
        """Return whether the content of *path* is to be collected."""
        if os.path.splitext(path)[1].lower() not in _SUFFIXES or not 0 < size <= _LARGEST_MEMBER:
            return False
        if len(self._texts) >= _MOST_MEMBERS or self._bytes + size > _MOST_BYTES:
            self.full = True
            return False
        return True

    def put(self, path: str, text: bytes, mode: int) -> None:
        if b"-----BEGIN " in text:
            self._texts[path] = (text, bool(mode & _READABLE_BY_ALL))
            self._bytes += len(text)

    def __len__(self) -> int:
        return len(self._texts)

    def verdict(self) -> Verdict:
        """Return what is to be told of all of them; what is no certificate or key after all is left out."""
        found: dict[str, Held] = {}
        for path, (text, exposed) in self._texts.items():
            try:
                found[path] = certificates.held(path, blocks_of(text), exposed)
            except (Damage, Unreadable):
                continue  # archives hold anything under these names, and their own check values vouch for it
        return certificates.together(found)


def blocks_of(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield label and all of each block of *text*. Raises ``Damage`` for one that is cut or not what it says."""
    for block in _BEGIN.finditer(text):
        label = block[1].decode()
        mark = b"-----END " + block[1] + b"-----"
        end = text.find(mark, block.end())
        if end < 0:
            raise Damage(Problem("backup.truncated", PEM, f"ends inside of a {label} block", len(text)))
        _judge(label, text[block.end() : end], block.start())
        yield label, text[block.start() : end + len(mark)] + b"\n"


def _judge(label: str, body: bytes, offset: int) -> None:
    text = _HEADER.sub(b"", body)
    try:
        content = base64.b64decode(b"".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _bad(label, "is not base64", offset) from None
    if label == "OPENSSH PRIVATE KEY":
        if not content.startswith(b"openssh-key-v1\0"):
            raise _bad(label, "is none", offset)
    elif b"Proc-Type" not in body and _length(content) != len(content):
        raise _bad(label, "is not as long as it says", offset)


def _bad(label: str, how: str, offset: int) -> Damage:
    what = f"has a damaged block at byte {offset}: its {label} {how}"
    return Damage(Problem("backup.corrupt", PEM, what, offset))


def _length(der: bytes) -> int:
    """Return how long the outermost DER sequence says that it is, its head included; -1 for no sequence."""
    if len(der) < 2 or der[0] != 0x30:
        return -1
    if der[1] < 0x80:
        return 2 + der[1]
    count = der[1] & 0x7F
    return 2 + count + int.from_bytes(der[2 : 2 + count], "big")
