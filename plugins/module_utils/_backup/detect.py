# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell a format by its first bytes. Pure. The name of a file never decides."""

from __future__ import annotations

import re

HEAD_BYTES = 4096

GZIP, BZIP2, XZ = "gzip", "bzip2", "xz"
PGDUMP_PLAIN, PGDUMPALL, PGDUMP_CUSTOM, PGDUMP_TOC = "pgdump-plain", "pgdumpall", "pgdump-custom", "pgdump-directory"
PGDUMP_DIRECTORY, PGDUMP_TAR = PGDUMP_TOC, "pgdump-tar"
ZSTD, LZ4, AGE, OPENPGP, OPENSSL = "zstd", "lz4", "age", "openpgp", "openssl-enc"
MONGODUMP, BSON, SQLITE, REDIS, PEM = "mongodump-archive", "bson", "sqlite", "redis-rdb", "pem"
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
    (PGDUMP_CUSTOM, b"PGDMP"),
    (ZSTD, b"\x28\xb5\x2f\xfd"),
    (LZ4, b"\x04\x22\x4d\x18"),
    (AGE, b"age-encryption.org/v1"),
    (AGE, b"-----BEGIN AGE ENCRYPTED FILE-----"),
    (OPENPGP, b"-----BEGIN PGP MESSAGE-----"),
    (OPENSSL, b"Salted__"),
    (MONGODUMP, b"\x6d\xe2\x99\x81"),
    (SQLITE, b"SQLite format 3\x00"),
    (REDIS, b"REDIS"),
    ("zip", b"PK\x03\x04"),
    ("7z", b"7z\xbc\xaf\x27\x1c"),
    ("lzip", b"LZIP"),
)
# After the size of its blocks: a block, or the end of a stream that holds nothing.
_BZIP2_GOES_ON = (b"1AY&SY", b"\x17rE8P\x90")
_PEM = re.compile(rb"(?:\A|\n)-----BEGIN [A-Z0-9 ]*(?:CERTIFICATE|KEY|PARAMETERS|CRL)-----")
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
    if _is_bzip2(head):
        return BZIP2
    if head[1:4] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5:
        return _behind_skippable(head)
    if _is_tar(head):
        return PGDUMP_TAR if head.startswith(b"toc.dat\0") else TAR
    if _is_openpgp(head):
        return OPENPGP
    if _is_bson(head):
        return BSON
    header = DUMP_HEADER.search(head)
    if header is not None:
        return PGDUMPALL if header[1] else PGDUMP_PLAIN
    if _PEM.search(head):
        return PEM
    if _WEB_PAGE.match(head):
        return WEB_PAGE
    if _ERROR_MESSAGE.match(head):
        return ERROR_MESSAGE  # whatever comes after it
    return UNKNOWN if _NOT_TEXT.search(head) else TEXT


def _is_bzip2(head: bytes) -> bool:
    goes_on = head[4:10]
    begun = head.startswith(b"BZh") and head[3:4] in (b"", *(b"%d" % size for size in range(1, 10)))
    return begun and any(magic.startswith(goes_on) for magic in _BZIP2_GOES_ON)


def _behind_skippable(head: bytes) -> str:
    """zstd and lz4 share their skippable frames: what follows the first ones decides, zstd when that is too far."""
    at = 0
    while head[at + 1 : at + 4] == _ZSTD_SKIPPABLE and head[at] >> 4 == 5:
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
    return LZ4 if head[at : at + 4] == b"\x04\x22\x4d\x18" else ZSTD


def _is_tar(head: bytes) -> bool:
    """True for a header with the magic, or, as before POSIX, with the checksum that a header must have."""
    if head[257:262] == b"ustar":
        return True
    stored = head[148:156].strip(b"\0 ")
    if len(head) < 512 or not stored or not head[0] or stored.strip(b"01234567"):
        return False
    return int(stored, 8) == sum(head[:148]) + 8 * 32 + sum(head[156:512])


def _is_openpgp(head: bytes) -> bool:
    """True for a packet that begins a message: a session key (tags 1 and 3) or encrypted data (18 and 20)."""
    if len(head) < 4 or not head[0] & 0x80:
        return False
    new = head[0] & 0x40
    tag = head[0] & 0x3F if new else head[0] >> 2 & 0x0F
    if tag in (18, 20):
        return bool(new) and (head[1] >= 192 or tag == 20)
    if tag not in (1, 3):
        return False
    size = 2 if new and head[1] < 192 else 3 if new else 1 + (1, 2, 4, 9)[head[0] & 3]
    version = head[size] if len(head) > size else 0
    return version == 3 if tag == 1 else version in (4, 5, 6)


def _is_bson(head: bytes) -> bool:
    """True for a document: its length, then the type and the name of its first element, or its end."""
    length = int.from_bytes(head[:4], "little")
    if len(head) < 5 or not 5 <= length <= (16 << 20) + (16 << 10):
        return False
    if length == 5:
        return head[4] == 0
    kind = head[4]
    named = head.find(b"\0", 5, 5 + 256)
    known = 1 <= kind <= 19 or kind in (0x7F, 0xFF)
    return known and named > 0 and (length > len(head) or head[length - 1] == 0) and not head[5:named].isspace()


def _pg_dump_of(head: bytes) -> str:
    """Custom, unless its format byte says that this is the table of contents of a directory."""
    long_enough = len(head) > _PGDUMP_FORMAT_BYTE
    return PGDUMP_TOC if long_enough and head[_PGDUMP_FORMAT_BYTE] != _PGDUMP_CUSTOM else PGDUMP_CUSTOM


def is_beginning_of(head: bytes, promised: str) -> bool:
    """True when *head*, all that there is, is how the *promised* format begins, cut before it can be told."""
    if promised == "sql":
        unixlike = head.replace(b"\r\n", b"\n").rstrip(b"\r")
        return bool(unixlike) and any(header.startswith(unixlike) for header in _HEADERS)
    magics = [b"BZh"] if promised == BZIP2 else [magic for name, magic in _MAGICS if name == promised]
    return bool(head) and any(magic.startswith(head) for magic in magics)


def is_text(head: bytes) -> bool:
    return _NOT_TEXT.search(head) is None


def archive_behind_message(head: bytes) -> bool:
    """True when an archive of pg_dump follows a line of text: a prompt, or a message of the program that made it."""
    return is_text(head.partition(b"PGDMP")[0]) and b"\nPGDMP\x01" in head


def begins_with_message(head: bytes) -> bool:
    """True when a program's message stands first: its error output went where the dump went."""
    return _ERROR_MESSAGE.match(head) is not None


def keeps_promise(found: str, promised: str) -> bool:
    """True when a stream found to be *found* may carry a name that promises *promised*."""
    if promised == "sql":
        return found in (PGDUMP_PLAIN, PGDUMPALL, TEXT, ERROR_MESSAGE)
    if promised == TAR:
        return found in (TAR, PGDUMP_TAR)
    return found == promised
