# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read certificates from a file: PEM, DER, PKCS #7, PKCS #12, without ever waiting for a pipe or a device."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import der, library, pem
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    CONTENT,
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
# Java's own stores, by their first bytes.
_JAVA = {b"\xfe\xed\xfe\xed": "JKS", b"\xce\xce\xce\xce": "JCEKS"}
# What an encrypted private key in PKCS #8 begins with: password-based encryption.
_PBES = bytes.fromhex("06092a864886f70d0105")
# One derivation of OpenSSL's default takes a millisecond; beyond this it is an attack on whoever opens the store.
_MOST_ITERATIONS = 10_000_000


class Content(NamedTuple):
    """What a file held: the certificates in their order, what of it could not be read, and its size in bytes.

    ``key`` is the SHA-256 of the public half of the private key that lies with them (of PKCS #12), or empty;
    ``holds_key`` says whether one does at all. No byte of the key itself is kept.
    """

    certificates: tuple[Certificate, ...]
    failures: tuple[Failure, ...]
    size: int
    holds_key: bool = False
    key: str = ""


def kind_of(error: OSError) -> str:
    """Return our word for why a path cannot be used."""
    return _KINDS.get(error.errno or 0, "io")


def shown(path: str) -> str:
    """Return *path* as a line of text that every reader can decode: bytes that are no text, and newlines, escaped."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class RealPaths:
    """Where paths really lead. Each directory is resolved once: that costs a look at each directory above it."""

    def __init__(self) -> None:
        # Written by several threads, each of which would write the same.
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        folder, name = os.path.split(path)
        if name in ("", ".", "..") or os.path.islink(path):
            return os.path.realpath(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], name)


def sight_file(
    path: str, max_size: int, passphrases: tuple[str, ...] = (), real_paths: RealPaths | None = None
) -> tuple[Sighting, Content]:
    """Return what *path* shows, and what it held."""
    target = shown(path)
    try:
        content = read_certificates(path, max_size, passphrases)
    except CannotLook as error:
        return Sighting(target, FILE, failures=(error.failure,)), Content((), (), 0)
    real = shown((real_paths or RealPaths()).of(path))
    return Sighting(target, FILE, content.certificates, content.failures, realpath=real), content


def sight_content(name: str, text: str, max_size: int, passphrases: tuple[str, ...] = ()) -> tuple[Sighting, Content]:
    """Return what *text* shows: PEM, or any other format in base64, as a Kubernetes secret holds it."""
    try:
        data = text.encode()
        if b"-----BEGIN " not in data:
            try:
                data = base64.b64decode(b"".join(data.split()), validate=True)
            except (binascii.Error, ValueError):
                message = f"The content {name} is neither PEM nor base64."
                raise CannotLook("no_certificate", message, "Give the certificate in PEM.") from None
        if len(data) > max_size:
            raise _too_large(f"The content {name}", max_size)
        content = parse_certificates(f"the content {name}", data, passphrases)
    except CannotLook as error:
        return Sighting(name, CONTENT, failures=(error.failure,)), Content((), (), 0)
    return Sighting(name, CONTENT, content.certificates, content.failures), content


def read_certificates(path: str, max_size: int, passphrases: tuple[str, ...] = ()) -> Content:
    """Return the certificates in the file *path*. Raises ``CannotLook`` when there is none, and nothing of one."""
    return parse_certificates(shown(path), read_regular(path, max_size), passphrases)


def parse_certificates(path: str, data: bytes, passphrases: tuple[str, ...] = ()) -> Content:
    """Return the certificates in *data*, which sentences call *path*. Raises ``CannotLook``."""
    if not data.strip():
        raise CannotLook("empty", f"{path} is empty.", "Write the certificate anew: it is gone.", path=path)
    found = list(pem.blocks(data))
    wanted = [block for block in found if block.label in pem.CERTIFICATE_LABELS | pem.PKCS7_LABELS]
    holds_key = any(block.label.endswith("PRIVATE KEY") for block in found)
    if not found:
        return _binary(path, data, passphrases)
    if not wanted:
        raise _other_content(path, {block.label for block in found})
    certificates, failures = _read_blocks(path, list(_flat(wanted)))
    if not certificates and not failures:
        raise CannotLook("no_certificate", f"{path} is PKCS #7 without a certificate.", _NAME_ONE, path=path)
    return Content(certificates, failures, len(data), holds_key)


def first_certificate(path: str, max_size: int, passphrases: tuple[str, ...] = ()) -> Certificate:
    """Return the certificate that a server given *path* serves: the first in it. Raises ``CannotLook``."""
    content = read_certificates(path, max_size, passphrases)
    rotten = next((failure for failure in content.failures if failure.evidence["block"] == 1), None)
    if rotten is not None:
        raise CannotLook(rotten.kind, rotten.message, rotten.remedy, **rotten.evidence)
    return content.certificates[0]


def _flat(blocks: Iterable[pem.Block]) -> Iterable[pem.Block]:
    """Yield one block for each certificate: one of PKCS #7 holds any number."""
    for block in blocks:
        if block.error or block.label not in pem.PKCS7_LABELS:
            yield block
            continue
        try:
            ders = der.pkcs7_certificates(block.der)
        except ValueError as error:
            yield pem.Block(block.label, block.line, error=str(error))
        else:
            yield from (pem.Block(block.label, block.line, entry) for entry in ders)


def _read_blocks(path: str, wanted: list[pem.Block]) -> tuple[tuple[Certificate, ...], tuple[Failure, ...]]:
    certificates, failures = [], []
    for number, block in enumerate(wanted, 1):
        try:
            if block.error:
                raise ValueError(block.error)
            certificates.append(library.load(block.der))
        except ValueError as error:
            line = f" (line {block.line})" if block.line else ""
            which = f"Certificate {number} of {len(wanted)} in {path}{line}"
            failures.append(
                Failure(
                    "parse",
                    f"{which} cannot be read: {_one_line(error)}.",
                    f"Replace that certificate in {path}; the others in it were judged.",
                    {"path": path, "block": number, "blocks": len(wanted), "line": block.line},
                )
            )
    return tuple(certificates), tuple(failures)


def read_regular(path: str, max_size: int) -> bytes:
    """Return the bytes of the regular file *path*; raises ``CannotLook``. A FIFO or a device is not even opened."""
    try:
        _require_regular(shown(path), os.stat(path))
        # Should it be changed for a FIFO between the two calls, O_NONBLOCK keeps us from waiting for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            _require_regular(shown(path), status)
            if status.st_size > max_size:
                raise _too_large(shown(path), max_size)
            data = _read_at_most(descriptor, max_size + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        kind = kind_of(error)
        dangling = kind == "not_found" and os.path.islink(path)
        link = f"it is a symbolic link to {shown(os.readlink(path))}, which is not there" if dangling else ""
        words = link or error.strerror
        raise CannotLook(
            kind, f"{shown(path)} cannot be read: {words}.", _REMEDIES[kind], path=shown(path), errno=error.errno
        ) from error
    if len(data) > max_size:
        raise _too_large(shown(path), max_size)
    return data


def _read_at_most(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    more = data
    while more and len(data) < size:  # a file may also grow while it is read, or come in pieces
        more = os.read(descriptor, size - len(data))
        data += more
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
    return CannotLook(
        "no_certificate", f"{path} holds no certificate, but: {listed}.", _NAME_ONE, path=path, labels=sorted(labels)
    )


def _binary(path: str, data: bytes, passphrases: tuple[str, ...]) -> Content:
    """Return what a file without PEM holds. Raises ``CannotLook`` saying what it is instead of certificates."""
    if data[:4] in _JAVA:
        raise _java(path, _JAVA[data[:4]])
    if not data.startswith(b"\x30"):
        raise CannotLook("no_certificate", f"{path} holds neither PEM nor DER.", _NAME_ONE, path=path)
    try:
        return Content((library.load(data),), (), len(data))
    except ValueError as error:
        reason = _one_line(error)
    inside = _inside(data)
    if inside.startswith(b"\x02\x01\x03"):
        return _pkcs12(path, data, passphrases)
    if der.is_signed_data(data):
        return _pkcs7(path, data)
    if inside.startswith((b"\x02\x01\x00", b"\x02\x01\x01")) or _PBES in data[:32]:
        raise CannotLook("is_a_key", f"{path} holds a private key and no certificate.", _NAME_ONE, path=path)
    raise CannotLook(
        "parse", f"{path} cannot be read as a certificate: {reason}.", "Replace it by a whole certificate.", path=path
    )


def _inside(data: bytes) -> bytes:
    try:
        return der.first_element(data).content
    except ValueError:
        return b""


def _pkcs7(path: str, data: bytes) -> Content:
    try:
        ders = der.pkcs7_certificates(data)
    except ValueError as error:
        message = f"{path} cannot be read as PKCS #7: {_one_line(error)}."
        raise CannotLook("parse", message, "Write it anew, in DER or PEM.", path=path) from error
    if not ders:
        raise CannotLook("no_certificate", f"{path} is PKCS #7 without a certificate.", _NAME_ONE, path=path)
    return Content(*_read_blocks(path, [pem.Block("PKCS7", 0, entry) for entry in ders]), len(data))


def _pkcs12(path: str, data: bytes, passphrases: tuple[str, ...]) -> Content:
    if der.iterations(data) > _MOST_ITERATIONS:
        message = f"{path} asks for more than {_MOST_ITERATIONS} rounds of key derivation, and is not opened."
        raise CannotLook("unsupported_format", message, "Export it anew with an ordinary count.", path=path)
    try:
        ders, key = library.load_pkcs12(data, passphrases)
    except library.Unsupported as error:
        message = f"{path} is PKCS #12 in a form that is not read: {_one_line(error)}."
        remedy = "Export it anew with AES (`openssl pkcs12 -export`)."
        raise CannotLook("unsupported_format", message, remedy, path=path) from error
    except library.NoPassphrase as error:
        if passphrases:
            message = f"{path} is PKCS #12 that none of the {len(passphrases)} passphrases opens, or is damaged."
            raise CannotLook("bad_passphrase", message, "Correct passphrases.", path=path) from error
        message = f"{path} is PKCS #12 that the empty passphrase does not open."
        remedy = "Give its passphrase in passphrases."
        raise CannotLook("encrypted_need_passphrase", message, remedy, path=path) from error
    if not ders:
        raise CannotLook("no_certificate", f"{path} is PKCS #12 without a certificate.", _NAME_ONE, path=path)
    certificates, failures = _read_blocks(path, [pem.Block("PKCS12", 0, entry) for entry in ders])
    return Content(certificates, failures, len(data), bool(key), key)


def _java(path: str, form: str) -> CannotLook:
    return CannotLook(
        "unsupported_format",
        f"{path} is a Java key store of the type {form}, which only Java reads.",
        f"Convert it: `keytool -importkeystore -srckeystore {path} -destkeystore store.p12 -deststoretype PKCS12`; "
        "Java reads that too.",
        path=path,
        format=form,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]
