"""Certificates and files of every odd kind, built byte by byte: no library would issue most of them.

`CORPUS` has each case with the state and the codes that it gets at `AT`. The same files serve the tests of the check
and the comparison with openssl.
"""

from __future__ import annotations

import base64
import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import NameOID

AT = "2026-11-22T04:13:00Z"
OIDS = {
    "sha256rsa": "2a864886f70d01010b", "sha1rsa": "2a864886f70d010105", "md5rsa": "2a864886f70d010104",
    "sha256ec": "2a8648ce3d040302", "pss": "2a864886f70d01010a", "ed25519": "2b6570", "ed448": "2b6571",
    "mldsa44": "608648016503040311", "san": "551d11", "basic": "551d13", "ski": "551d0e", "aki": "551d23",
    "feature": "2b06010505070118", "aia": "2b06010505070101", "crl": "551d1f", "constraints": "551d1e",
    "unknown": "2a030405", "cn": "550403", "ocsp": "2b06010505073001",
}  # fmt: skip
INTEGER, OID, SEQUENCE, SET, UTC, GENERALIZED, UTF8 = 0x02, 0x06, 0x30, 0x31, 0x17, 0x18, 0x0C


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(name: str) -> bytes:
    return tlv(OID, bytes.fromhex(OIDS[name]))


def name_of(text: str | bytes, tag: int = UTF8) -> bytes:
    """A distinguished name of one common name; empty text is the empty name."""
    value = text.encode() if isinstance(text, str) else text
    return tlv(SEQUENCE, tlv(SET, tlv(SEQUENCE, oid("cn"), tlv(tag, value))) if value else b"")


def extension(name: str, value: bytes, critical: bool = False) -> bytes:
    return tlv(SEQUENCE, oid(name), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


def san(*names: bytes) -> bytes:
    return extension("san", tlv(SEQUENCE, *(tlv(0x82, entry) for entry in names)))


PSS_SHA256 = bytes.fromhex(
    "3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120"
)
CA = extension("basic", tlv(SEQUENCE, b"\x01\x01\xff"), critical=True)
MUST_STAPLE = extension("feature", tlv(SEQUENCE, tlv(INTEGER, b"\x05")))
OCSP = extension("aia", tlv(SEQUENCE, tlv(SEQUENCE, oid("ocsp"), tlv(0x86, b"http://ocsp.example.org"))))


@functools.cache
def key(kind: str = "ec") -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p192": lambda: ec.generate_private_key(ec.SECP192R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
    }
    return makers[kind]() if kind in makers else rsa.generate_private_key(65537, int(kind[3:]))


def spki(kind: str = "ec") -> bytes:
    if kind == "mldsa":
        return tlv(SEQUENCE, tlv(SEQUENCE, oid("mldsa44")), tlv(0x03, b"\0" + bytes(1312)))
    if kind == "rsa16384":  # to make one takes minutes; a modulus of that size is all that is looked at
        modulus = tlv(INTEGER, b"\0" + b"\xc3" * 2047 + b"\xc1")
        numbers = tlv(SEQUENCE, modulus, tlv(INTEGER, b"\x01\0\x01"))
        return tlv(SEQUENCE, bytes.fromhex("300d06092a864886f70d0101010500"), tlv(0x03, b"\0" + numbers))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key(kind).public_key().public_bytes(serialization.Encoding.DER, form))


def certificate(
    begin: bytes = b"261001000000Z",
    end: bytes = b"270930000000Z",
    *,
    subject: bytes = name_of("www.example.org"),
    issuer: bytes = name_of("Example CA"),
    serial: bytes = b"\x1f",
    extensions: bytes = san(b"www.example.org"),
    algorithm: str = "sha256ec",
    key_kind: str = "ec",
    version: bytes = b"\xa0\x03\x02\x01\x02",
    parameters: bytes = b"",
) -> bytes:
    """A certificate in DER. Dates of 15 bytes and more are GeneralizedTime; nobody looks at the signature."""
    signed_by = tlv(SEQUENCE, oid(algorithm), parameters)
    dates = [tlv(GENERALIZED if len(date) > 13 and date[:2] in (b"19", b"20", b"99") else UTC, date)
             for date in (begin, end)]  # fmt: skip
    tbs = tlv(
        SEQUENCE, version, tlv(INTEGER, serial), signed_by, issuer, tlv(SEQUENCE, *dates), subject, spki(key_kind),
        tlv(0xA3, tlv(SEQUENCE, extensions)) if extensions else b"",
    )  # fmt: skip
    return tlv(SEQUENCE, tbs, signed_by, tlv(0x03, b"\0" + bytes(64)))


def pem(der: bytes, label: str = "CERTIFICATE", width: int = 64, ends: str = "\n") -> bytes:
    body = base64.b64encode(der).decode()
    lines = [f"-----BEGIN {label}-----", *(body[i : i + width] for i in range(0, len(body), width))]
    return (ends.join([*lines, f"-----END {label}-----"]) + ends).encode()


GOOD = certificate()
SIGNER = certificate(b"200101000000Z", b"400101000000Z", subject=name_of("Example CA"), issuer=name_of("Example root"),
                     serial=b"\x02", extensions=CA)  # fmt: skip
ROOT = certificate(b"200101000000Z", b"400101000000Z", subject=name_of("Example root"), issuer=name_of("Example root"),
                   serial=b"\x01", extensions=CA)  # fmt: skip
STRANGER = certificate(b"200101000000Z", b"250101000000Z", subject=name_of("Another CA"), serial=b"\x09",
                       issuer=name_of("Another root"), extensions=CA)  # fmt: skip
KEY = key().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)  # fmt: skip


def library_certificate() -> x509.Certificate:
    """The good one again, properly signed: the containers of the library take no other."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example.org")])
    begin = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key().public_key(), 0x1F, begin, begin.replace(year=2027))
    names = x509.SubjectAlternativeName([x509.DNSName("www.example.org")])
    return builder.add_extension(names, critical=False).sign(key(), hashes.SHA256())


def store(passphrase: bytes = b"") -> bytes:
    scheme = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"a", key(), library_certificate(), None, scheme)


def old_store(passphrase: bytes) -> bytes:
    """As Java 8 and Windows wrote them: 3DES and SHA-1."""
    scheme = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2048)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(passphrase)
    )
    return pkcs12.serialize_key_and_certificates(b"a", key(), library_certificate(), None, scheme)


def request() -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key(), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def encrypted_key() -> bytes:
    scheme = serialization.BestAvailableEncryption(b"secret")
    return key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme)


def damaged(der: bytes) -> bytes:
    """PEM with one character of its base64 replaced."""
    text = bytearray(pem(der))
    text[200] = ord("*")
    return bytes(text)


@dataclass(frozen=True)
class Case:
    """One file: its content, and the state, codes and kind of failure that it gets."""

    name: str
    content: bytes
    state: str = "ok"
    codes: tuple[str, ...] = ("cert.valid",)
    kind: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def _dates() -> list[Case]:
    soon, expired = ("cert.expires_soon",), ("cert.expired",)
    return [
        Case("expired", pem(certificate(end=b"261121000000Z")), "expired", expired),
        Case("not-yet-valid", pem(certificate(b"261201000000Z")), "not_yet_valid", ("cert.not_yet_valid",)),
        Case("begins-in-a-minute", pem(certificate(b"261122041400Z")), "warning", ("cert.clock_skew",)),
        Case("one-second-left", pem(certificate(end=b"261122041301Z")), "critical", soon),
        Case("ends-now", pem(certificate(end=b"261122041300Z")), "expired", expired),
        Case("leap", pem(certificate(b"240229000000Z", b"280229235959Z"))),
        Case("last-utc-time", pem(certificate(end=b"491231235959Z"))),
        Case("first-generalized-time", pem(certificate(end=b"20500101000000Z"))),
        Case("no-expiry", pem(certificate(end=b"99991231235959Z"))),
        Case("1950", pem(certificate(b"500101000000Z", b"500102000000Z")), "expired", expired),
        Case("without-seconds", pem(certificate(b"2610010000Z", b"2709300000Z")), "unknown", ("cert.unreadable",)),
        Case("fraction", pem(certificate(b"261001000000Z", b"20270930000000.5Z")), "unknown", ("cert.unreadable",)),
        Case("offset", pem(certificate(b"261001000000Z", b"20270930000000+0200")), "unknown", ("cert.unreadable",)),
        Case("begins-after-its-end", pem(certificate(b"270930000000Z", b"260930000000Z")), "expired", expired),
        Case("no-such-day", pem(certificate(end=b"270231000000Z")), "unknown", ("cert.unreadable",), "parse"),
    ]


def _fields() -> list[Case]:
    weak_key, weak_signature = ("cert.valid", "cert.weak_key"), ("cert.valid", "cert.weak_signature")
    unread, plain = ("cert.unreadable",), ("cert.valid",)
    many = [f"n{number}.example.org".encode() for number in range(2000)]
    rsa_signed = {"parameters": b"\x05\0"}
    return [
        Case("serial-negative", pem(certificate(serial=b"\xf7")), "warning", ("cert.negative_serial",)),
        Case("serial-zero", pem(certificate(serial=b"\0")), "warning", ("cert.negative_serial",)),
        Case("serial-20-octets", pem(certificate(serial=b"\x7f" + bytes(19)))),
        Case("serial-21-octets", pem(certificate(serial=b"\x7f" + bytes(20)))),
        Case("empty-subject", pem(certificate(subject=name_of("")))),
        Case("no-names", pem(certificate(extensions=b"")), "ok", ("cert.no_san", "cert.valid")),
        Case("2000-names", pem(certificate(extensions=san(*many)))),
        Case("idn", pem(certificate(subject=name_of("bücher.example"), extensions=san(b"xn--bcher-kva.example")))),
        Case("subject-no-text", pem(certificate(subject=name_of(b"\xff\xfe\xfd"))), "unknown", unread),
        Case("nul-in-subject", pem(certificate(subject=name_of(b"www.example.org\0.evil.example")))),
        Case("nul-in-name", pem(certificate(extensions=san(b"www.example.org\0.evil.example")))),
        Case("name-constraints", pem(certificate(subject=name_of("Sub CA"), serial=b"\x03", extensions=CA + extension(
            "constraints", tlv(SEQUENCE, tlv(0xA0, tlv(SEQUENCE, tlv(0x82, b"example.org")))), critical=True)))),
        Case("unknown-critical", pem(certificate(
            extensions=san(b"www.example.org") + extension("unknown", b"\x05\0", critical=True)))),
        Case("extension-twice", pem(certificate(extensions=san(b"a") + san(b"b"))), "unknown", unread),
        Case("version-1", pem(certificate(version=b"", extensions=b"")), "ok", ("cert.no_san", "cert.valid")),
        Case("version-9", pem(certificate(version=b"\xa0\x03\x02\x01\x09")), "unknown", unread, "parse"),
        Case("rsa-1024", pem(certificate(key_kind="rsa1024")), "warning", weak_key[1:]),
        Case("rsa-16384", pem(certificate(key_kind="rsa16384")), "ok", plain),
        Case("p-192", pem(certificate(key_kind="p192")), "warning", weak_key[1:]),
        Case("ed25519", pem(certificate(key_kind="ed25519", algorithm="ed25519"))),
        Case("ed448", pem(certificate(key_kind="ed448", algorithm="ed448"))),
        Case("ml-dsa", pem(certificate(key_kind="mldsa", algorithm="mldsa44"))),
        # Without parameters, its hash is SHA-1.
        Case("rsa-pss", pem(certificate(key_kind="rsa2048", algorithm="pss", parameters=tlv(SEQUENCE))), "warning",
             weak_signature[1:]),
        Case("rsa-pss-sha256", pem(certificate(key_kind="rsa2048", algorithm="pss", parameters=PSS_SHA256))),
        Case("md5", pem(certificate(algorithm="md5rsa", **rsa_signed)), "warning", weak_signature[1:]),
        Case("sha1", pem(certificate(algorithm="sha1rsa", **rsa_signed)), "warning", weak_signature[1:]),
        Case("sha1-root", pem(certificate(subject=name_of("R"), issuer=name_of("R"), algorithm="sha1rsa",
                                          extensions=CA, **rsa_signed))),
        Case("must-staple", pem(certificate(extensions=san(b"a.example.org") + MUST_STAPLE)), "critical",
             ("cert.must_staple_without_ocsp",)),
        Case("must-staple-with-responder", pem(certificate(extensions=san(b"a.example.org") + MUST_STAPLE + OCSP))),
        Case("lives-long", pem(certificate(b"260401000000Z", b"270501000000Z")), "warning",
             ("cert.lifetime_too_long",), options={"max_lifetime": "public"}),
        Case("renewal-overdue", pem(certificate(b"261001000000Z", b"261230000000Z")), "ok", plain,
             options={"renew_grace": "30d"}),
        Case("renewal-overdue-now", pem(certificate(b"260901000000Z", b"261220000000Z")), "warning",
             ("cert.renew_overdue",), options={"renew_grace": "5d"}),
    ]  # fmt: skip


def _pem() -> list[Case]:
    text = b"subject=CN = a\nissuer=CN = b\n"
    good = pem(GOOD)
    in_chain = ("cert.root_in_chain", "cert.valid")
    return [
        Case("crlf", pem(GOOD, ends="\r\n")),
        Case("bom", b"\xef\xbb\xbf" + good),
        Case("text-around", text + good + b"the end\n"),
        Case("trusted", pem(GOOD + bytes.fromhex("300c300a06082b06010505070301"), "TRUSTED CERTIFICATE")),
        Case("old-label", pem(GOOD, "X509 CERTIFICATE")),
        Case("long-lines", pem(GOOD, width=4096)),
        Case("key-and-certificate", KEY + good),
        Case("chain", good + pem(SIGNER)),
        Case("chain-with-root", good + pem(SIGNER) + pem(ROOT), "ok", in_chain),
        Case("chain-reversed", pem(ROOT) + pem(SIGNER) + good, "warning", ("cert.chain_order", "cert.root_in_chain")),
        Case("chain-shuffled", good + pem(ROOT) + pem(SIGNER), "warning", ("cert.chain_order", "cert.root_in_chain")),
        Case("chain-with-stranger", good + pem(SIGNER) + pem(STRANGER), "ok", ("cert.chain_order", "cert.valid")),
        Case("chain-without-signer", good + pem(STRANGER), "warning", ("cert.chain_incomplete", "cert.chain_order")),
        Case("signer-expired", good + pem(certificate(b"200101000000Z", b"261101000000Z", serial=b"\x02",
             subject=name_of("Example CA"), issuer=name_of("Example root"), extensions=CA)), "expired",
             ("cert.expired",)),
        Case("signer-ends-first", good + pem(certificate(b"200101000000Z", b"270801000000Z", serial=b"\x02",
             subject=name_of("Example CA"), issuer=name_of("Example root"), extensions=CA)), "ok",
             ("cert.chain_expires_before_leaf", "cert.valid")),
        Case("cross-signed", good + pem(SIGNER) + pem(certificate(b"200101000000Z", b"250101000000Z", serial=b"\x06",
             subject=name_of("Example CA"), issuer=name_of("Gone"), extensions=CA)), "ok",
             ("cert.chain_order", "cert.valid")),
        Case("1000-certificates", good + pem(SIGNER) * 999, "ok", options={"max_size": "10MiB"}),
        Case("truncated", good[:-60], "unknown", ("cert.unreadable",), "parse"),
        Case("second-of-three-rotten", good + damaged(SIGNER) + pem(SIGNER), "unknown", ("cert.unreadable",), "parse"),
        Case("expired-beside-rotten", damaged(GOOD) + pem(certificate(end=b"261101000000Z")), "expired",
             ("cert.expired", "cert.unreadable"), "parse"),
        Case("crl", pem(b"\x30\0", "X509 CRL"), "unknown", ("cert.unreadable",), "no_certificate"),
        Case("request", request(), "unknown", ("cert.unreadable",), "no_certificate"),
        Case("key", KEY, "unknown", ("cert.unreadable",), "is_a_key"),
        Case("key-encrypted", encrypted_key(), "unknown", ("cert.unreadable",), "is_a_key"),
    ]  # fmt: skip


def _binary() -> list[Case]:
    unread = ("cert.unreadable",)
    signed = pkcs7.serialize_certificates([library_certificate()], serialization.Encoding.DER)
    secret = {"passphrases": ["other", "secret"]}
    wrong = {"passphrases": ["wrong"]}
    return [
        Case("der", GOOD),
        Case("der-and-more", GOOD + b"\n", "unknown", unread, "parse"),
        Case("pkcs7-der", signed),
        Case("pkcs7-pem", pkcs7.serialize_certificates([library_certificate()], serialization.Encoding.PEM)),
        Case("pkcs7-cut", signed[:-4], "unknown", unread, "parse"),
        Case("pkcs12-open", store()),
        Case("pkcs12", store(b"secret"), options=secret),
        Case("pkcs12-old", old_store(b"secret"), options=secret),
        Case("pkcs12-no-passphrase", store(b"secret"), "unknown", unread, "encrypted_need_passphrase"),
        Case("pkcs12-wrong-passphrase", store(b"secret"), "unknown", unread, "bad_passphrase", wrong),
        Case("jks", b"\xfe\xed\xfe\xed\0\0\0\x02" + bytes(40), "unknown", unread, "unsupported_format"),
        Case("jceks", b"\xce\xce\xce\xce\0\0\0\x02" + bytes(40), "unknown", unread, "unsupported_format"),
        Case("empty", b"", "unknown", unread, "empty"),
        Case("noise", bytes(range(256)) * 16, "unknown", unread, "no_certificate"),
        Case("zeros", bytes(4096), "unknown", unread, "no_certificate"),
        Case("too-large", bytes(2 << 20), "unknown", unread, "too_large"),
    ]


CORPUS: tuple[Case, ...] = (*_dates(), *_fields(), *_pem(), *_binary())
