# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys as PEM: every block is whole, and what it encodes is as long as it says. Pure."""

from __future__ import annotations

import base64
import binascii
import re

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PEM
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import VALUES, Dump, Problem

_LARGEST = 16 << 20
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
        blocks = list(_BEGIN.finditer(self._text))
        for block in blocks:
            end = self._text.find(b"-----END " + block[1] + b"-----", block.end())
            if end < 0:
                what = f"ends inside of a {block[1].decode()} block"
                raise Damage(Problem("backup.truncated", PEM, what, len(self._text)))
            self._judge(block[1].decode(), self._text[block.end() : end], block.start())
        self._report.unproven.add(VALUES)
        self._report.dump = Dump(tables=len(blocks), complete=True)

    def _judge(self, label: str, body: bytes, offset: int) -> None:
        text = _HEADER.sub(b"", body)
        try:
            content = base64.b64decode(b"".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise self._bad(label, "is not base64", offset) from None
        if label == "OPENSSH PRIVATE KEY":
            if not content.startswith(b"openssh-key-v1\0"):
                raise self._bad(label, "is none", offset)
        elif b"Proc-Type" not in body and _length(content) != len(content):
            raise self._bad(label, "is not as long as it says", offset)

    def _bad(self, label: str, how: str, offset: int) -> Damage:
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
