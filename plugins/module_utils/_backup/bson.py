# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check BSON documents: their lengths, and each element in them. Pure.

Nothing is decoded into objects. Two thirds of all single changed bits leave a document that can still be read, so what
passes here is well formed and no more.
"""

from __future__ import annotations

import re
import struct

LONGEST = (16 << 20) + (16 << 10)
_DEEPEST = 200  # MongoDB itself refuses what is nested deeper than 100
_FIXED = {
    0x01: 8, 0x06: 0, 0x07: 12, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0xFF: 0, 0x7F: 0,
}  # fmt: skip
_TEXTS = (0x02, 0x0D, 0x0E)
_DOCUMENTS = (0x03, 0x04)
_INTEGER = struct.Struct("<i")
_OPTIONS = re.compile(rb"[ilmsux]*\Z")


class Malformed(Exception):
    """A document breaks the rules of BSON; the text says how, without quoting it."""


def check(document: bytes) -> None:
    """Raise ``Malformed`` unless *document* is one well-formed document, all of it."""
    if _INTEGER.unpack_from(document)[0] != len(document):
        raise Malformed("its length is another than it says")
    _document(document, 0, len(document), 0)


def _document(data: bytes, start: int, end: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise Malformed("it is nested too deep")
    if data[end - 1]:
        raise Malformed("a document in it does not end where it says")
    at, last = start + 4, end - 1
    while at < last:
        kind = data[at]
        named = data.find(b"\0", at + 1, last)
        if named < 0:
            raise Malformed("the name of a field does not end")
        _require_utf8(data[at + 1 : named])
        at = named + 1
        fixed = _FIXED.get(kind)
        if fixed is not None:
            at += fixed
        elif kind == 0x08:
            if data[at] > 1:
                raise Malformed("a boolean is neither true nor false")
            at += 1
        elif kind in _TEXTS:
            at = _text(data, at, last)
        elif kind in _DOCUMENTS:
            size = _size(data, at, last, 5)
            _document(data, at, at + size, depth + 1)
            at += size
        else:
            at = _rare(data, at, last, kind, depth)
        if at > last:
            raise Malformed("a field goes on past the end of its document")


def _size(data: bytes, at: int, last: int, least: int) -> int:
    if at + 4 > last:
        raise Malformed("a field goes on past the end of its document")
    size: int = _INTEGER.unpack_from(data, at)[0]
    if size < least or at + size > last:
        raise Malformed("a field goes on past the end of its document")
    return size


def _text(data: bytes, at: int, last: int) -> int:
    """Check a text: its length with the zero behind it, and that zero."""
    end = at + 4 + _size(data, at, last, 1)
    if end > last or data[end - 1]:
        raise Malformed("a text does not end where it says")
    _require_utf8(data[at + 4 : end - 1])
    return end


def _require_utf8(text: bytes) -> None:
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None


def _rare(data: bytes, at: int, last: int, kind: int, depth: int) -> int:
    """Check an element of a kind that is seldom; return where the next one begins."""
    if kind == 0x05:  # binary: length, subtype, bytes
        size = _INTEGER.unpack_from(data, at)[0] if at + 5 <= last else -1
        if size < 0 or at + 5 + size > last:
            raise Malformed("a field goes on past the end of its document")
        return at + 5 + int(size)
    if kind == 0x0B:  # regular expression: two texts that end in a zero
        middle = data.find(b"\0", at, last)
        end = data.find(b"\0", middle + 1, last) if middle >= 0 else -1
        if end < 0 or not _OPTIONS.match(data[middle + 1 : end]):
            raise Malformed("a regular expression does not end")
        _require_utf8(data[at:middle])
        return end + 1
    if kind == 0x0C:  # the pointer of old
        return _text(data, at, last) + 12
    if kind == 0x0F:  # code with its scope: length, text, document
        size = _size(data, at, last, 14)
        scope = _text(data, at + 4, at + size)
        if scope + 5 > at + size or _INTEGER.unpack_from(data, scope)[0] != at + size - scope:
            raise Malformed("a code's scope does not end where it says")
        _document(data, scope, at + size, depth + 1)
        return at + size
    raise Malformed(f"there is no kind {kind:#x} of field")
