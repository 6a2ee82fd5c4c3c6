# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is trusted, and how a client behaves: the contexts of the ``ssl`` module that endpoints are asked with."""

from __future__ import annotations

import os
import ssl
from typing import Union

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import files, library, pem
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, EndpointSpec, Failure

# Flags that OpenSSL knows and the ssl module passes on; its names for the last two came with Python 3.10 and 3.12.
_NO_CHECK_TIME = 0x200000
_PARTIAL_CHAIN = 0x80000
_LEGACY_SERVER_CONNECT = 0x4
_CA_BYTES = 16 * 1024 * 1024
_IDENTITY_BYTES = 1024 * 1024
VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}

Trust = Union[ssl.SSLContext, Failure]


def permissive() -> ssl.SSLContext:
    """Accepts any certificate, old protocols and weak keys: it is for looking, and no secret is sent through it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= _LEGACY_SERVER_CONNECT
    try:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    except ssl.SSLError:
        pass  # LibreSSL has no security levels
    return context


def of_version(version: str) -> ssl.SSLContext | None:
    """Return a permissive context that speaks that one *version*, or None when this host cannot."""
    flag = "HAS_" + version.replace(".", "_")
    if not getattr(ssl, flag, False):
        return None
    context = permissive()
    try:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    except ValueError:
        return None  # the host's policy forbids it to all programs
    return context


def ordinary(ca_path: str, check_time: bool) -> Trust:
    """Return the context of a client that trusts *ca_path*, else the host's authorities; or why there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # judged by us, so that a wrong name does not hide whether the chain is trusted
    if not check_time:
        context.verify_flags |= _NO_CHECK_TIME
    try:
        if ca_path:
            # An intermediate given as authority is enough, as it is for curl.
            context.verify_flags |= _PARTIAL_CHAIN
            context.load_verify_locations(cadata=authorities(ca_path))
        else:
            _load_system_authorities(context)
    except CannotLook as error:
        return error.failure
    except ssl.SSLError as error:
        return Failure("parse", f"{ca_path} cannot be read as authorities: {reason(error)}.", "", {"path": ca_path})
    return context


def add_identity(context: ssl.SSLContext, spec: EndpointSpec, passphrases: tuple[str, ...]) -> None:
    """Let *context* show the client certificate of *spec*. Raises ``CannotLook`` when that cannot be used."""
    if not spec.client_cert:
        return
    key = spec.client_key or spec.client_cert
    for path in (spec.client_cert, key):
        files.read_regular(path, _IDENTITY_BYTES)  # or a FIFO would hold OpenSSL for ever
    problem = ""
    for passphrase in ("", *passphrases):
        try:
            # Without a word for it, OpenSSL would ask for a passphrase at the terminal.
            context.load_cert_chain(spec.client_cert, key, password=passphrase)
        except (ssl.SSLError, ValueError) as error:  # a passphrase that is too long is a ValueError
            problem = problem or (reason(error) if isinstance(error, ssl.SSLError) else "")
        else:
            return
    raise CannotLook(
        "client_cert",
        f"{spec.place} was not asked: the client certificate {spec.client_cert} with the key {key} cannot be used"
        f"{f' ({problem})' if problem else ''}.",
        "Correct client_cert and client_key; the passphrase of an encrypted key goes into passphrases.",
        path=spec.client_cert,
    )


def authorities(ca_path: str) -> bytes:
    """Return the certificates in the file or directory *ca_path*, one DER after the other. Raises ``CannotLook``."""
    paths = [ca_path]
    if os.path.isdir(ca_path):
        try:
            paths = [os.path.join(ca_path, name) for name in sorted(os.listdir(ca_path))]
        except OSError as error:
            raise CannotLook(files.kind_of(error), f"{ca_path} cannot be listed: {error.strerror}.", "") from error
    ders = []
    for path in paths:
        if path == ca_path or os.path.isfile(path):
            data = files.read_regular(path, _CA_BYTES)
            ders += [block.der for block in pem.blocks(data) if block.der] or [data] * data.startswith(b"\x30")
    if not ders:
        raise CannotLook("no_certificate", f"{ca_path} holds no certificate of an authority.", "", path=ca_path)
    return b"".join(dict.fromkeys(ders))


def anchors(ca_path: str) -> frozenset[str]:
    """Return the name of each authority that this host, or *ca_path*, trusts; none when unreadable."""
    try:
        if ca_path:
            data = authorities(ca_path)
        else:
            paths = ssl.get_default_verify_paths()
            place = paths.cafile or paths.capath
            data = authorities(place) if place else b""
    except CannotLook:
        return frozenset()
    return frozenset(entry.subject for entry in library.several(data)) - {""}


def reason(error: OSError) -> str:
    """Return what OpenSSL or the system says, without the file and line of its source."""
    return str(getattr(error, "reason", None) or error.strerror or error).replace("_", " ").lower()


def _load_system_authorities(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    folder = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (folder and os.listdir(folder)):
        raise CannotLook("not_found", "this host has no certificates of authorities (install ca-certificates)", "")
