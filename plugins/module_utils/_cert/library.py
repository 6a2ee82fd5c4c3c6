# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that knows the Python library ``cryptography``, with or without the ``*_utc`` dates of version 42."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import traceback
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import MissingLibrary

try:
    with warnings.catch_warnings():
        # It greets an old Python with a warning.
        warnings.simplefilter("ignore")
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
        from cryptography.utils import CryptographyDeprecationWarning
except ImportError:
    HAS_CRYPTOGRAPHY = False
    IMPORT_ERROR = traceback.format_exc()
else:
    HAS_CRYPTOGRAPHY = True
    IMPORT_ERROR = ""


def require_library() -> None:
    """Raise ``MissingLibrary`` when ``cryptography`` is not there, naming what to install and for which Python."""
    if HAS_CRYPTOGRAPHY:
        return
    raise MissingLibrary(
        f"Certificates cannot be read: the Python library cryptography is missing from {sys.executable}.",
        "Install python3-cryptography (apt), python3-cryptography (dnf) or cryptography (pip) for that interpreter.",
        {
            "library": "cryptography",
            "interpreter": sys.executable,
            "packages": {"apt": "python3-cryptography", "dnf": "python3-cryptography", "pip": "cryptography"},
            "import_error": IMPORT_ERROR.strip().splitlines()[-1],
        },
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what ``cryptography`` says of odd certificates (negative serials and such): we judge them ourselves.

    Filters belong to the process, so this goes around all of a run, not around one certificate in one thread.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


@functools.lru_cache(maxsize=256)  # the same few intermediates stand in every bundle
def load(der: bytes) -> Certificate:
    """Return the certificate of *der*. Raises ``ValueError`` when it is none or its dates cannot be read.

    Any other part that cannot be read leaves its field empty and is named in ``unread``.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error
    not_before, not_after = _validity(certificate)
    unread: list[str] = []
    names, is_ca = _extensions(certificate, unread)
    subject, issuer = _name(certificate, "subject", unread), _name(certificate, "issuer", unread)
    key_type, key_bits = _key(certificate)
    return Certificate(
        subject=subject,
        issuer=issuer,
        serial=f"{certificate.serial_number:x}",
        fingerprint=hashlib.sha256(der).hexdigest(),
        not_before=not_before,
        not_after=not_after,
        names=names,
        key_type=key_type,
        key_bits=key_bits,
        signature=_signature(certificate),
        self_issued=bool(subject) and subject == issuer,
        is_ca=is_ca,
        unread="; ".join(unread),
    )


def _validity(certificate: Any) -> tuple[datetime, datetime]:
    if hasattr(certificate, "not_valid_after_utc"):  # from 42 on
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        certificate.not_valid_before.replace(tzinfo=timezone.utc),
        certificate.not_valid_after.replace(tzinfo=timezone.utc),
    )


def _name(certificate: Any, part: str, unread: list[str]) -> str:
    try:
        return str(getattr(certificate, part).rfc4514_string())
    except ValueError as error:
        unread.append(f"its {part} ({error})")
        return ""


def _extensions(certificate: Any, unread: list[str]) -> tuple[tuple[str, ...], bool]:
    """Return the alternative names and whether it is a CA."""
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        unread.append(f"its extensions ({error})")
        return (), False
    names: list[str] = []
    is_ca = certificate.version is x509.Version.v1 and certificate.issuer == certificate.subject
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names += extension.value.get_values_for_type(x509.DNSName)
            names += map(str, extension.value.get_values_for_type(x509.IPAddress))
        elif isinstance(extension.value, x509.BasicConstraints):
            is_ca = bool(extension.value.ca)
    return tuple(names), is_ca


def _key(certificate: Any) -> tuple[str, int | None]:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown", None
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ec-{key.curve.name}", key.key_size
    if isinstance(key, dsa.DSAPublicKey):
        return "dsa", key.key_size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519", 256
    if isinstance(key, ed448.Ed448PublicKey):
        return "ed448", 456
    return "unknown", None


def _signature(certificate: Any) -> str:
    """Return the hash that the signature is made over, or the algorithm's identifier when it has none we know."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        algorithm = None
    return str(algorithm.name) if algorithm is not None else str(certificate.signature_algorithm_oid.dotted_string)
