# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
r"""Find commands of ``psql`` in the text of a dump: a line like ``\! rm`` would be run by whoever restores it. Pure.

A name with a newline in it, in a comment of the dump, was enough to smuggle one in (CVE-2025-8714). Strings and
function bodies may have such lines and mean nothing by them, so a line counts only where no quote is open.
"""

from __future__ import annotations

import re

# What pg_dump and pg_dumpall write themselves.
_CANDIDATE = re.compile(rb"\n\\(?!\.\r?\n|connect |restrict |unrestrict |encoding )([^\s\\]{1,20})(?=\s)")
_HEADER = re.compile(rb"\n--\n-- (?:TOC entry \d|Name: |Data for Name: |Database |Roles|PostgreSQL database)")
_OPENS = re.compile(rb"'|\"|--|/\*|\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$")
_LONGEST_ENTRY = 1 << 20


class MetaCommands:
    """Takes the text outside of table data; ``found`` are the first commands that are none of ``pg_dump``'s."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._entry = b"\n"  # from the last header of an entry on, where no quote is open
        self._lost = False  # the entry is too long to be kept

    def feed(self, text: bytes) -> None:
        if self._lost or len(self._entry) + len(text) > _LONGEST_ENTRY:
            self._feed_long(text)
            return
        seen = len(self._entry)
        text = self._entry + text
        start = 0
        for candidate in _CANDIDATE.finditer(text, max(0, seen - 24)):
            if candidate.end() < seen:
                continue  # it was judged with the piece before
            start = _last_header(text, start, candidate.start())
            if len(self.found) < 3 and not _is_quoted(text[start : candidate.start()]):
                self.found.append(candidate[1].decode("ascii", "replace"))
        self._entry = text[_last_header(text, start, len(text)) :]

    def _feed_long(self, text: bytes) -> None:
        """Go on at the next header: of an entry so long nobody can say where its quotes are."""
        headers = list(_HEADER.finditer(text))
        if not headers:
            self._lost, self._entry = True, b""
            return
        self._lost, self._entry = False, b"\n"
        for header, after in zip(headers, [*headers[1:], None]):
            part = text[header.start() : after.start() if after is not None else len(text)]
            if len(part) < _LONGEST_ENTRY:
                self._entry = b""
                self.feed(part)
            else:
                self._lost, self._entry = after is None, b""


def _last_header(text: bytes, start: int, end: int) -> int:
    last = start
    for header in _HEADER.finditer(text, start, end):
        last = header.start()
    return last


def _is_quoted(text: bytes) -> bool:
    """True when a quote, a comment or a body that begins in *text* is still open at its end."""
    at = 0
    while True:
        opens = _OPENS.search(text, at)
        if opens is None:
            return False
        what = opens[0]
        if what == b"--":
            end = text.find(b"\n", opens.end())
            # The newline that ends a comment is the one before the command.
            if end < 0:
                return False
            at = end + 1
        elif what == b"/*":
            end = text.find(b"*/", opens.end())
            at = end + 2
        elif what == b"'" and text[opens.start() - 1 : opens.start()] in (b"E", b"e"):
            end = _end_of_escaped(text, opens.end())
            at = end + 1
        else:
            end = text.find(what, opens.end())
            at = end + len(what)
        if end < 0:
            return True


def _end_of_escaped(text: bytes, at: int) -> int:
    """Return where a string ends in which a backslash takes the meaning from a quote; -1 when it does not."""
    while at < len(text):
        if text[at : at + 1] == b"\\":
            at += 1
        elif text[at : at + 1] == b"'":
            return at
        at += 1
    return -1
