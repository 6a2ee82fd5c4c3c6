# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read certificates from a file: PEM or DER, several in one, without ever waiting for a pipe or a device."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library, pem
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    FILE,
    CannotLook,
    Certificate,
    Failure,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_KINDS = {
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_found",
    errno.ELOOP: "symlink_loop",
}
_REMEDIES = {
    "permission": "Run the check as a user that may read it.",
    "not_found": "Correct the path, or take it out of the inventory.",
    "symlink_loop": "Mend the symbolic link.",
    "io": "Look for the cause in the kernel's log: the disk, or the server that it is mounted from.",
}
_NAME_ONE = "Name a file that holds a certificate."


class Content(NamedTuple):
    """What a file held: the certificates in their order, what of it could not be read, and its size in bytes."""

    certificates: tuple[Certificate, ...]
    failures: tuple[Failure, ...]
    size: int


def kind_of(error: OSError) -> str:
    """Return our word for why a path cannot be used."""
    return _KINDS.get(error.errno or 0, "io")


def sight_file(path: str, max_size: int) -> tuple[Sighting, int]:
    """Return what *path* shows, and how many bytes were read for it."""
    try:
        content = read_certificates(path, max_size)
    except CannotLook as error:
        return Sighting(path, FILE, failures=(error.failure,)), 0
    return Sighting(path, FILE, content.certificates, content.failures, realpath=os.path.realpath(path)), content.size


def read_certificates(path: str, max_size: int) -> Content:
    """Return the certificates in *path*. Raises ``CannotLook`` when there is not one, and nothing of one."""
    data = read_regular(path, max_size)
    if not data.strip():
        raise CannotLook("empty", f"{path} is empty.", "Write the certificate anew: it is gone.", path=path)
    found = list(pem.blocks(data))
    wanted = [block for block in found if block.label in pem.CERTIFICATE_LABELS]
    if not found:
        return Content((_der(path, data),), (), len(data))
    if not wanted:
        raise _other_content(path, {block.label for block in found})
    return _read_blocks(path, wanted, len(data))


def first_certificate(path: str, max_size: int) -> Certificate:
    """Return the certificate that a server given *path* serves: the first in it. Raises ``CannotLook``."""
    content = read_certificates(path, max_size)
    rotten = next((failure for failure in content.failures if failure.evidence["block"] == 1), None)
    if rotten is not None:
        raise CannotLook(rotten.kind, rotten.message, rotten.remedy, **rotten.evidence)
    return content.certificates[0]


def _read_blocks(path: str, wanted: list[pem.Block], size: int) -> Content:
    certificates, failures = [], []
    for number, block in enumerate(wanted, 1):
        try:
            if block.error:
                raise ValueError(block.error)
            certificates.append(library.load(block.der))
        except ValueError as error:
            which = f"Certificate {number} of {len(wanted)} in {path} (line {block.line})"
            failures.append(
                Failure(
                    "parse",
                    f"{which} cannot be read: {_one_line(error)}.",
                    f"Replace that certificate in {path}; the others in it were judged.",
                    {"path": path, "block": number, "blocks": len(wanted), "line": block.line},
                )
            )
    return Content(tuple(certificates), tuple(failures), size)


def read_regular(path: str, max_size: int) -> bytes:
    """Return the bytes of the regular file *path*; raises ``CannotLook``. A FIFO or a device is not even opened."""
    try:
        _require_regular(path, os.stat(path))
        # Should it be changed for a FIFO between the two calls, O_NONBLOCK keeps us from waiting for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            _require_regular(path, status)
            if status.st_size > max_size:
                raise _too_large(path, max_size)
            data = stream.read(max_size + 1)
    except OSError as error:
        kind = kind_of(error)
        dangling = kind == "not_found" and os.path.islink(path)
        words = f"it is a symbolic link to {os.readlink(path)}, which is not there" if dangling else error.strerror
        raise CannotLook(
            kind, f"{path} cannot be read: {words}.", _REMEDIES[kind], path=path, errno=error.errno
        ) from error
    if len(data) > max_size:
        raise _too_large(path, max_size)
    return data


def _require_regular(path: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise CannotLook("not_regular", f"{path} is a directory, not a file.", _NAME_ONE, path=path, type="directory")
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    word = kinds.get(stat.S_IFMT(status.st_mode), "no regular file")
    raise CannotLook("not_regular", f"{path} is {word}, not a file.", _NAME_ONE, path=path, type=word.split()[-1])


def _too_large(path: str, max_size: int) -> CannotLook:
    return CannotLook(
        "too_large",
        f"{path} is larger than {format_size(max_size)}: no certificate is.",
        "Name the certificate itself, or raise max_size.",
        path=path,
        max_size=max_size,
    )


def _other_content(path: str, labels: set[str]) -> CannotLook:
    listed = ", ".join(sorted(labels))
    if any(label.endswith("PRIVATE KEY") for label in labels):
        return CannotLook("is_a_key", f"{path} holds a private key and no certificate.", _NAME_ONE, path=path)
    if labels & {"PKCS7", "CMS"}:
        return _unsupported(path, "PKCS #7")
    return CannotLook(
        "no_certificate", f"{path} holds no certificate, but: {listed}.", _NAME_ONE, path=path, labels=sorted(labels)
    )


def _unsupported(path: str, form: str) -> CannotLook:
    return CannotLook(
        "unsupported_format",
        f"{path} is in the format {form}, which is not read.",
        "Name the PEM or DER form of the certificate, as the server that uses it does.",
        path=path,
        format=form,
    )


def _der(path: str, data: bytes) -> Certificate:
    """Return the one certificate of a file without PEM. Raises ``CannotLook`` saying what it is instead."""
    if data.startswith(b"\xfe\xed\xfe\xed"):
        raise _unsupported(path, "JKS")
    if not data.startswith(b"\x30"):
        raise CannotLook("no_certificate", f"{path} holds neither PEM nor DER.", _NAME_ONE, path=path)
    try:
        return library.load(data)
    except ValueError as error:
        reason = _one_line(error)
    inside = pem.content_of(data)
    if inside.startswith(b"\x02\x01\x03"):
        raise _unsupported(path, "PKCS #12")
    if inside.startswith(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"):
        raise _unsupported(path, "PKCS #7")
    if inside.startswith((b"\x02\x01\x00", b"\x02\x01\x01")):
        raise CannotLook("is_a_key", f"{path} holds a private key and no certificate.", _NAME_ONE, path=path)
    raise CannotLook(
        "parse", f"{path} cannot be read as a certificate: {reason}.", "Replace it by a whole certificate.", path=path
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]
