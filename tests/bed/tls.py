"""A small certificate authority. The servers that serve its certificates are in endpoint.py."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from .endpoint import Behaviour, TlsServer

__all__ = ["Authority", "Behaviour", "Issued", "TlsServer"]

KeyType = Literal["ec256", "ec384", "rsa1024", "rsa2048", "ed25519"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key and the certificates above it, the root left out."""

    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return _pem(self.certificate)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and what is above it, as a server sends it."""
        return b"".join(map(_pem, (self.certificate, *self.above)))

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8, not encrypted."""
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(encoding, form, serialization.NoEncryption())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower-case hex."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, directory: Path, stem: str) -> tuple[Path, Path]:
        """Write `stem`.pem (the chain) and `stem`.key (mode 0600), each by rename over an existing one; their paths."""
        chain, key = directory / f"{stem}.pem", directory / f"{stem}.key"
        for path, content, mode in ((key, self.key_pem, 0o600), (chain, self.chain_pem, 0o644)):
            fresh = path.with_name(f".{path.name}.new")
            fresh.touch(mode=mode)
            fresh.write_bytes(content)
            fresh.rename(path)
        return chain, key


class Authority:
    """A root, and with `intermediate` one more between it and what it issues."""

    def __init__(self, name: str = "Upkeep bed", *, intermediate: bool = False, key_type: KeyType = "ec256") -> None:
        """Make the keys and the certificates, valid from a year ago for eleven years."""
        self.root = _self_signed(f"{name} root", key_type)
        self._signer = self.root
        if intermediate:
            self._signer = self._certify(f"{name} intermediate", key_type)

    @property
    def certificate_pem(self) -> bytes:
        """The root: what a client is to trust."""
        return self.root.certificate_pem

    def write(self, directory: Path, name: str = "ca.pem") -> Path:
        """Write the root; its path."""
        path = directory / name
        path.write_bytes(self.certificate_pem)
        return path

    def issue(
        self,
        common_name: str,
        *,
        names: Sequence[str] | None = None,
        days: float = 60.0,
        lifetime: float = 90.0,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key_type: KeyType = "ec256",
    ) -> Issued:
        """A server certificate that has `days` left (negative: expired) of `lifetime` days.

        `names` are the subject alternative names, addresses among them (None: the common name; empty: no extension).
        `not_before` and `not_after` (aware) win over the two numbers; unless given, it began an hour ago at the latest.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        end = not_after or now + timedelta(days=days)
        begin = not_before or min(end - timedelta(days=lifetime), now - HOUR)
        key = _make_key(key_type)
        builder = _builder(common_name, key, self._signer.certificate.subject, begin, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._signer.key.public_key()), critical=False
        )
        wanted = [common_name] if names is None else names
        if wanted:
            names_extension = x509.SubjectAlternativeName([_general_name(name) for name in wanted])
            builder = builder.add_extension(names_extension, critical=False)
        above = () if self._signer is self.root else (self._signer.certificate,)
        return Issued(_sign(builder, self._signer.key), key, above)

    def _certify(self, name: str, key_type: KeyType) -> Issued:
        key, root = _make_key(key_type), self.root.certificate
        builder = _builder(name, key, root.subject, root.not_valid_before_utc, root.not_valid_after_utc)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.key.public_key()), critical=False
        )
        return Issued(_sign(_as_authority(builder, path_length=0), self.root.key), key)


def _self_signed(name: str, key_type: KeyType) -> Issued:
    now = datetime.now(UTC).replace(microsecond=0)
    key = _make_key(key_type)
    begin, end = now - timedelta(days=365), now + timedelta(days=3650)
    builder = _builder(name, key, _name(name), begin, end)
    return Issued(_sign(_as_authority(builder, path_length=None), key), key)


def _builder(name: str, key: PrivateKey, issuer: x509.Name, begin: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _as_authority(builder: x509.CertificateBuilder, path_length: int | None) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    limits = x509.BasicConstraints(ca=True, path_length=path_length)
    return builder.add_extension(limits, critical=True).add_extension(usage, critical=True)


def _make_key(key_type: KeyType) -> PrivateKey:
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if key_type.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(key_type[3:]))
    return ec.generate_private_key(ec.SECP256R1() if key_type == "ec256" else ec.SECP384R1())


def _sign(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
