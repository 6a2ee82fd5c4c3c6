"""What is read of a certificate, and what happens to one that is odd."""

from __future__ import annotations

import base64
import importlib.util
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.x509.oid import NameOID

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import covers
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import MissingLibrary
from tests.bed.tls import Authority

# openssl x509 -req -signkey key.pem -days 36500 -in request.pem, which makes version 1
V1 = (
    "MIIBFzCBvQIUPXrRoKWrQLWPxwdRmZ0LO+ZfgegwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCdjEwIBcNMjYxMTIyMDUwNTQ1WhgP"
    "MjEyNjEwMjkwNTA1NDVaMA0xCzAJBgNVBAMMAnYxMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPGJ79I/MyI5ueNXO8foNXuT5"
    "6pGAa6Ev8Bnwu/dw4oksotA72sUF5t27m9ORqwzYaEYqvN/pWBlHd6Fre1aqpTAKBggqhkjOPQQDAgNJADBGAiEAnb9hW4Km2jDu"
    "YHPM0hgOPZpH99orWtN+CA57/hwIdigCIQCbu5t/jFy1c36aUrviEA7YTx9eJQdoFHgW40swDv1xaw=="
)
BEGIN, END = datetime(2024, 2, 29, tzinfo=UTC), datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)


def build(key: Any = None, signer: Any = None, name: str = "odd", **dates: datetime) -> bytes:
    """A self-issued certificate in DER; `signer` signs, else the key itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) if name else x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(names)
        .issuer_name(names)
        .public_key(key.public_key())
        .serial_number(0x1F)
        .not_valid_before(dates.get("begin", BEGIN))
        .not_valid_after(dates.get("end", END))
    )
    signer = signer or key
    plain = isinstance(signer, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(signer, None if plain else hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_an_address_among_the_names_is_no_address() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("192.0.2.1"), x509.DNSName("2001:db8::1"), x509.DNSName("1.2.3")]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    read = library.load(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)).names
    assert read == ("DNS:192.0.2.1", "DNS:2001:db8::1", "1.2.3")
    assert not covers(read, "192.0.2.1") and not covers(read, "2001:db8::1") and covers(read, "1.2.3")


def test_everything_is_read(authority: Authority) -> None:
    issued = authority.issue("www.example.org", names=["www.example.org", "*.example.org", "192.0.2.1", "2001:db8::1"])
    certificate = library.load(issued.certificate.public_bytes(serialization.Encoding.DER))
    assert certificate.subject == "CN=www.example.org"
    assert certificate.issuer == "CN=Upkeep bed intermediate"
    assert certificate.serial == f"{issued.certificate.serial_number:x}"
    assert certificate.fingerprint == issued.fingerprint
    assert certificate.not_after == issued.certificate.not_valid_after_utc
    assert certificate.not_before == issued.certificate.not_valid_before_utc
    assert certificate.names == ("www.example.org", "*.example.org", "192.0.2.1", "2001:db8::1")
    assert (certificate.key_type, certificate.key_bits) == ("ec-secp256r1", 256)
    assert certificate.signature == "sha256"
    assert not certificate.self_issued
    assert not certificate.is_ca
    assert certificate.unread == ""
    root = library.load(authority.root.certificate.public_bytes(serialization.Encoding.DER))
    assert root.self_issued
    assert root.is_ca


@pytest.mark.parametrize(
    ("key", "key_type", "bits", "signature"),
    [
        (rsa.generate_private_key(65537, 1024), "rsa", 1024, "sha256"),
        (ec.generate_private_key(ec.SECP192R1()), "ec-secp192r1", 192, "sha256"),
        (dsa.generate_private_key(1024), "dsa", 1024, "sha256"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519", 256, "1.3.101.112"),
        (ed448.Ed448PrivateKey.generate(), "ed448", 456, "1.3.101.113"),
    ],
    ids=["rsa", "ec", "dsa", "ed25519", "ed448"],
)
def test_every_kind_of_key_is_named(key: Any, key_type: str, bits: int, signature: str) -> None:
    certificate = library.load(build(key))
    assert (certificate.key_type, certificate.key_bits, certificate.signature) == (key_type, bits, signature)


def test_a_key_of_another_kind_does_not_hide_the_dates() -> None:
    exchange = library.load(build(x25519.X25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())))
    unknown = library.load(build(ed25519.Ed25519PrivateKey.generate()).replace(b"\x2b\x65\x70", b"\x2b\x65\x1f"))
    for certificate in (exchange, unknown):
        assert (certificate.key_type, certificate.key_bits) == ("unknown", None)
        assert certificate.not_after == END
    assert unknown.signature == "1.3.101.31"


@pytest.mark.parametrize(
    "end",
    [
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        BEGIN + timedelta(seconds=1),
    ],
)
def test_all_ends_are_read(end: datetime) -> None:
    assert library.load(build(end=end)).not_after == end


@pytest.mark.parametrize("serial", [b"\x00", b"\xe1"], ids=["zero", "negative"])
def test_an_odd_serial_is_read_without_a_word(serial: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    der = build().replace(b"\x02\x01\x1f", b"\x02\x01" + serial, 1)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with library.quiet():
            assert library.load(der).not_after == END
    assert heard == []
    assert capfd.readouterr() == ("", "")


def test_names_that_are_no_text_leave_the_dates() -> None:
    certificate = library.load(build().replace(b"\x0c\x03odd", b"\x0c\x03\xff\xfe\xfd"))
    assert certificate.subject == ""
    assert "its subject" in certificate.unread
    assert "its issuer" in certificate.unread
    assert certificate.not_after == END
    assert not certificate.self_issued


def test_an_empty_subject_is_no_mistake() -> None:
    certificate = library.load(build(name=""))
    assert (certificate.subject, certificate.unread, certificate.self_issued) == ("", "", False)


def test_extensions_that_cannot_be_read_leave_the_dates(authority: Authority) -> None:
    der = authority.issue("www.example.org").certificate.public_bytes(serialization.Encoding.DER)
    certificate = library.load(der.replace(b"\x82\x0fwww", b"\x85\x0fwww"))  # no kind of name has that tag
    assert certificate.names == ()
    assert "its extensions" in certificate.unread


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30\x82\xff\xff", build() + b"\x00", build()[:-1]])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        library.load(der)


def test_an_unknown_version_is_refused() -> None:
    der = build()
    assert der.count(b"\xa0\x03\x02\x01\x02") == 1
    with pytest.raises(ValueError, match="version"):
        library.load(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09"))


def test_the_library_that_is_there_is_enough() -> None:
    library.require_library()


def test_without_the_library_the_packages_and_the_interpreter_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    source = Path(str(library.__file__))
    spec = importlib.util.spec_from_file_location("library_without_cryptography", source)
    assert spec is not None
    assert spec.loader is not None
    bare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bare)
    with pytest.raises(MissingLibrary) as raised:
        bare.require_library()
    assert sys.executable in raised.value.message
    assert raised.value.evidence["packages"] == {
        "apt": "python3-cryptography",
        "dnf": "python3-cryptography",
        "pip": "cryptography",
    }
    assert "apt" in raised.value.remedy
    assert "dnf" in raised.value.remedy
    assert "pip" in raised.value.remedy


def test_dates_without_a_zone_are_those_of_old_versions() -> None:
    """Before version 42 the library has naive dates alone; it is the very branch that Debian 12 takes."""

    class Old:
        not_valid_before = BEGIN.replace(tzinfo=None)
        not_valid_after = END.replace(tzinfo=None)

    assert library._validity(Old()) == (BEGIN, END)


def test_a_certificate_of_the_first_version_is_read() -> None:
    certificate = library.load(base64.b64decode(V1))
    assert certificate.subject == "CN=v1"
    assert certificate.names == ()
    assert certificate.is_ca  # it has no extension to say that it is not
