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

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import der as der_walk
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import is_ip
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import MissingLibrary

try:
    with warnings.catch_warnings():
        # It greets an old Python with a warning.
        warnings.simplefilter("ignore")
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import pkcs12
        from cryptography.utils import CryptographyDeprecationWarning
        from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
except ImportError:
    HAS_CRYPTOGRAPHY = False
    IMPORT_ERROR = traceback.format_exc()
else:
    HAS_CRYPTOGRAPHY = True
    IMPORT_ERROR = ""


# How the algorithm of nearly every public key begins: RSA, and a named curve. Writing a key anew to compare it takes
# longer than reading the whole certificate, so that it is done for the others alone.
_USUAL_FORMS = (bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06072a8648ce3d020106"))
_ALGORITHM = 24


class NoPassphrase(ValueError):
    """It is encrypted, and none of the passphrases fits."""


class Unsupported(ValueError):
    """It uses an algorithm that the library does not know."""


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
        # So Python comments on every context that still knows an old protocol; ours only look.
        warnings.filterwarnings("ignore", message="ssl", category=DeprecationWarning)
        yield


@functools.lru_cache(maxsize=256)  # the same few intermediates stand in every bundle
def load(der: bytes) -> Certificate:
    """Return the certificate of *der*. Raises ``ValueError`` when it is none or its dates cannot be read.

    Any other part that cannot be read leaves its field empty and is named in ``unread``.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        not_before, not_after = _validity(certificate)
        serial = certificate.serial_number
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error
    except ValueError as error:
        return _outlined(der, error)
    unread: list[str] = []
    extensions = _extensions(certificate, unread)
    subject, issuer = _name(certificate, "subject", unread), _name(certificate, "issuer", unread)
    key_info = _key_info(der)
    key_type, key_bits, plain = _key(certificate, key_info)
    return Certificate(
        subject=subject,
        issuer=issuer,
        serial=f"{serial:x}",
        fingerprint=hashlib.sha256(der).hexdigest(),
        not_before=not_before,
        not_after=not_after,
        key_type=key_type,
        key_bits=key_bits,
        signature=_signature(certificate),
        self_issued=bool(subject) and subject == issuer,
        unread="; ".join(unread),
        common_name=_common_name(certificate) if subject else "",
        spki=hashlib.sha256(key_info).hexdigest() if key_info else "",
        plain_spki=plain,
        **extensions,
    )


def _outlined(der: bytes, error: ValueError) -> Certificate:
    """Return what can be read by hand of a certificate that the library refuses: its dates, above all."""
    try:
        outline = der_walk.outline(der)
    except ValueError:
        raise error from None
    return Certificate(
        subject="",
        issuer="",
        serial=f"{outline.serial:x}",
        fingerprint=hashlib.sha256(der).hexdigest(),
        not_before=outline.not_before,
        not_after=outline.not_after,
        self_issued=outline.same_names,
        unread=f"all but its dates and serial ({' '.join(str(error).split())[:120]})",
        spki=hashlib.sha256(outline.key_info).hexdigest(),
    )


def several(ders: bytes) -> list[Certificate]:
    """Return the certificates that *ders* is made of, one after the other; those that cannot be read are left out."""
    found = []
    try:
        for element in der_walk.elements(ders):
            try:
                found.append(load(element.whole))
            except ValueError:
                continue
    except ValueError:
        pass  # something else stands behind them
    return found


def load_pkcs12(data: bytes, passphrases: tuple[str, ...]) -> tuple[list[bytes], str]:
    """Return the certificates of PKCS #12 *data* in DER, its own one first, and the SHA-256 of its key's public half.

    That is empty when there is no key in it. The empty passphrase is tried first. Raises ``NoPassphrase`` when none
    fits (a damaged store says the same), ``Unsupported`` for what it is encrypted with.
    """
    for passphrase in ("", *passphrases):
        try:
            store = pkcs12.load_pkcs12(data, passphrase.encode())
        except UnsupportedAlgorithm as error:
            raise Unsupported(str(error)) from error
        except ValueError:
            continue
        chain = ([store.cert] if store.cert else []) + list(store.additional_certs)
        ders = [entry.certificate.public_bytes(serialization.Encoding.DER) for entry in chain]
        return ders, "" if store.key is None else _spki_of(store.key.public_key())
    raise NoPassphrase("none of the passphrases fits")


def public_half(data: bytes, passphrases: tuple[str, ...]) -> str:
    """Return the SHA-256 of the public key that belongs to the private key in *data* (PEM or DER).

    Raises ``NoPassphrase`` when it is encrypted, ``Unsupported`` for a kind of key that the library does not know, and
    ``ValueError`` when there is no key.
    """
    load_key: Any = serialization.load_pem_private_key if b"-----BEGIN " in data else serialization.load_der_private_key
    encrypted = False
    for passphrase in (None, *(text.encode() for text in passphrases)):
        try:
            return _spki_of(load_key(data, passphrase).public_key())
        except TypeError:
            # It says so when a passphrase is needed and none was given, and the other way round.
            encrypted = encrypted or passphrase is None
        except UnsupportedAlgorithm as error:
            raise Unsupported(str(error)) from error
        except ValueError:
            if not encrypted:
                raise
    raise NoPassphrase("it is encrypted, and no passphrase fits")


def _spki_of(public_key: Any) -> str:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public_key.public_bytes(encoding, form)).hexdigest()


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


def _common_name(certificate: Any) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _extensions(certificate: Any, unread: list[str]) -> dict[str, Any]:
    """Return the fields of a certificate that its extensions give."""
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        unread.append(f"its extensions ({error})")
        return {}
    # One of the first version has no extension to say that it is no authority.
    fields: dict[str, Any] = {
        "is_ca": certificate.version is x509.Version.v1 and certificate.issuer == certificate.subject
    }
    for extension in extensions:
        read = _READERS.get(type(extension.value))
        if read is not None:
            fields.update(read(extension.value))
    return fields


def _alternative_names(value: Any) -> dict[str, Any]:
    # An address that is written where a name should be stands for nothing: clients look among the addresses.
    names = [f"DNS:{name}" if _like_address(name) else name for name in value.get_values_for_type(x509.DNSName)]
    return {"names": (*names, *map(str, value.get_values_for_type(x509.IPAddress)))}


def _like_address(name: str) -> bool:
    # The first two are for speed: there are many names, and hardly one is an address.
    return (name[-1:].isdigit() or ":" in name) and is_ip(name)


def _access(value: Any) -> dict[str, Any]:
    return {"has_ocsp_url": any(entry.access_method == AuthorityInformationAccessOID.OCSP for entry in value)}


def _features(value: Any) -> dict[str, Any]:
    return {"must_staple": x509.TLSFeatureType.status_request in value}


_READERS: dict[Any, Any] = {}
if HAS_CRYPTOGRAPHY:
    _READERS = {
        x509.SubjectAlternativeName: _alternative_names,
        x509.BasicConstraints: lambda value: {"is_ca": bool(value.ca)},
        x509.SubjectKeyIdentifier: lambda value: {"key_id": value.digest.hex()},
        x509.AuthorityKeyIdentifier: lambda value: {"issuer_key_id": (value.key_identifier or b"").hex()},
        x509.AuthorityInformationAccess: _access,
        x509.TLSFeature: _features,
        x509.CRLDistributionPoints: lambda value: {"has_crl_url": len(value) > 0},
    }


def _key(certificate: Any, key_info: bytes) -> tuple[str, int | None, str]:
    """Return kind and size of the public key, and its SHA-256 in the usual form if *key_info* is in another one."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown", None, ""
    usual = any(form in key_info[:_ALGORITHM] for form in _USUAL_FORMS)
    return (*_kind_of_key(key), "" if usual else _spki_of(key))


def _key_info(der: bytes) -> bytes:
    try:
        return der_walk.key_info(der)
    except ValueError:
        return b""


def _kind_of_key(key: Any) -> tuple[str, int | None]:
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
