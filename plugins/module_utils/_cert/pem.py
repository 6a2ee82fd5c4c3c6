# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a file's bytes apart, block by block, so that one rotten block hides none of the others."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.der import first_element

CERTIFICATE_LABELS = frozenset(("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"))
PKCS7_LABELS = frozenset(("PKCS7", "PKCS #7 SIGNED DATA", "CMS"))
# OpenSSL's own format: the certificate is followed by what it is trusted for.
TRUSTED = "TRUSTED CERTIFICATE"

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----")
_NEXT = re.compile(rb"-----(?:BEGIN|END) [A-Z0-9 #]{1,40}-----")


@dataclass(frozen=True)
class Block:
    """One PEM block: its label, the line where it begins, and its content or why it has none.

    Content is kept of certificates alone, single or in PKCS #7: no byte of a private key goes further than this module.
    """

    label: str
    line: int
    der: bytes = b""
    error: str = ""


def blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of *data* in their order. Text around them is skipped; CRLF and a BOM do no harm."""
    line, counted = 1, 0
    for begin in _BEGIN.finditer(data):
        line += data.count(b"\n", counted, begin.start())
        counted = begin.start()
        label = begin.group(1).decode("ascii")
        end = _NEXT.search(data, begin.end())
        if label not in CERTIFICATE_LABELS and label not in PKCS7_LABELS:
            yield Block(label, line)
        elif end is None or end.group() != b"-----END " + begin.group(1) + b"-----":
            yield Block(label, line, error="it has no END line: the file was cut off, or two were mixed")
        else:
            yield _certificate(label, line, data[begin.end() : end.start()])


def _certificate(label: str, line: int, body: bytes) -> Block:
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        return Block(label, line, error=f"its base64 is damaged ({error})")
    if label != TRUSTED:
        return Block(label, line, der=der)
    try:
        return Block(label, line, der=first_element(der).whole)
    except ValueError as error:
        return Block(label, line, error=str(error))
