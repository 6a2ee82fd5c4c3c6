# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell a format by its first bytes. Pure. The name of a file never decides."""

from __future__ import annotations

import re

HEAD_BYTES = 4096

GZIP, BZIP2, XZ = "gzip", "bzip2", "xz"
PGDUMP_PLAIN, PGDUMPALL, PGDUMP_CUSTOM, PGDUMP_TOC = "pgdump-plain", "pgdumpall", "pgdump-custom", "pgdump-directory"
TAR, TEXT, UNKNOWN = "tar", "text", "unknown"
WEB_PAGE, ERROR_MESSAGE = "web-page", "error-message"

# What no backup begins with: somebody saved the answer of a server, or of the program that should have dumped.
NO_BACKUPS = {
    WEB_PAGE: "a web page (HTML, XML or JSON), such as the error page of a server",
    ERROR_MESSAGE: "the error message of a program",
}

_MAGICS = (
    (GZIP, b"\x1f\x8b"),
    (XZ, b"\xfd7zXZ\x00"),
    (BZIP2, b"BZh"),
    (PGDUMP_CUSTOM, b"PGDMP"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("lz4", b"\x04\x22\x4d\x18"),
    ("age", b"age-encryption.org/v1"),
    ("age", b"-----BEGIN AGE ENCRYPTED FILE-----"),
    ("openpgp", b"-----BEGIN PGP MESSAGE-----"),
    ("openssl-enc", b"Salted__"),
    ("mongodump-archive", b"\x6d\xe2\x99\x81"),
    ("sqlite", b"SQLite format 3\x00"),
    ("redis-rdb", b"REDIS"),
    ("zip", b"PK\x03\x04"),
    ("7z", b"7z\xbc\xaf\x27\x1c"),
    ("lzip", b"LZIP"),
)
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_PGDUMP_FORMAT_BYTE, _PGDUMP_CUSTOM = 10, 1

# Both lines, so that a text which merely speaks of a dump is not taken for one.
DUMP_HEADER = re.compile(rb"(?:\A|\n)--\r?\n-- PostgreSQL database (cluster )?dump\r?\n--(\r?)\n")
_HEADERS = (b"--\n-- PostgreSQL database dump\n--\n", b"--\n-- PostgreSQL database cluster dump\n--\n")

_WEB_PAGE = re.compile(rb"\s*(?:<!doctype|<html|<\?xml|<error|\{\s*\"(?:error|message|code|status)\")", re.IGNORECASE)
_ERROR_MESSAGE = re.compile(
    rb"(?:(?:/\S*/)?(?:pg_dump|pg_dumpall|pg_restore|psql|docker|kubectl|ssh|sudo|bash|sh|su)(?:\[\d+\])?: "
    rb"|Error|error:|Password|FATAL|Permission denied|OCI runtime)"
)
# Control characters that no text has; a text dump may hold bytes of any encoding.
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def detect(head: bytes) -> str:
    """Return the format that begins with *head*, the first ``HEAD_BYTES`` of a file or stream, or all when shorter."""
    for name, magic in _MAGICS:
        if head.startswith(magic):
            return _pg_dump_of(head) if name == PGDUMP_CUSTOM else name
    if head[1:4] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5:
        return "zstd"
    if head[257:262] == b"ustar":
        return TAR
    header = DUMP_HEADER.search(head)
    if header is not None:
        return PGDUMPALL if header[1] else PGDUMP_PLAIN
    if _WEB_PAGE.match(head):
        return WEB_PAGE
    if _NOT_TEXT.search(head):
        return UNKNOWN
    return ERROR_MESSAGE if _ERROR_MESSAGE.match(head) else TEXT


def _pg_dump_of(head: bytes) -> str:
    """Custom, unless its format byte says that this is the table of contents of a directory."""
    long_enough = len(head) > _PGDUMP_FORMAT_BYTE
    return PGDUMP_TOC if long_enough and head[_PGDUMP_FORMAT_BYTE] != _PGDUMP_CUSTOM else PGDUMP_CUSTOM


def is_beginning_of(head: bytes, promised: str) -> bool:
    """True when *head*, all that there is, is how the *promised* format begins, cut before it can be told."""
    if promised == "sql":
        unixlike = head.replace(b"\r\n", b"\n").rstrip(b"\r")
        return bool(unixlike) and any(header.startswith(unixlike) for header in _HEADERS)
    magics = [magic for name, magic in _MAGICS if name == promised]
    return bool(head) and any(magic.startswith(head) for magic in magics)


def is_text(head: bytes) -> bool:
    return _NOT_TEXT.search(head) is None


def begins_with_message(head: bytes) -> bool:
    """True when a program's message stands first: its error output went where the dump went."""
    return _ERROR_MESSAGE.match(head) is not None


def keeps_promise(found: str, promised: str) -> bool:
    """True when a stream found to be *found* may carry a name that promises *promised*."""
    if promised == "sql":
        return found in (PGDUMP_PLAIN, PGDUMPALL, TEXT, ERROR_MESSAGE)
    return found == promised
