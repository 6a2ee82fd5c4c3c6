"""Whether certificates and keys in a backup belong together: bundles of PEM, and archives of files."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import certificates, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import of_file, unproven
from tests.unit.plugins.module_utils._backup.samples import look

TAKEN = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
POLICY = model.Policy((), model.ALL, 9.0, 9.0, model.Limits(1 << 30, 99.0, 6))
DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def issue(subject: str, key: Key, issuer: str, by: Key, days: int = 90, ca: bool = False) -> bytes:
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # noqa: E731  it is for here alone
    built = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TAKEN - 400 * DAY)
        .not_valid_after(TAKEN + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(by, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


def pem(key: Key, passphrase: bytes | None = None) -> bytes:
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


class Chain:
    """A leaf, who issued it, and the root."""

    def __init__(self) -> None:
        self.key, self.above, self.top = new_key(), new_key(), new_key()
        self.root = issue("root", self.top, "root", self.top, 3000, ca=True)
        self.intermediate = issue("issuer", self.above, "root", self.top, 900, ca=True)
        self.leaf = self.renewed(90)
        self.expired = self.renewed(-3)
        self.private = pem(self.key)

    def renewed(self, days: int) -> bytes:
        return issue("shop.test", self.key, "issuer", self.above, days)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


def told(name: str, data: bytes) -> dict[str, str]:
    """Each code with its severity."""
    content = look(name, data)
    file = model.BackupFile(name, model.FILE, len(data), TAKEN, 0o600, TAKEN, model.FROM_NAME, content=content)
    series = model.Series("s", name, level=model.STRUCTURE)
    return {one.code.removeprefix("backup."): one.severity.word for one in of_file(file, series, POLICY)}


def tar(**members: tuple[bytes, int]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, (data, mode) in members.items():
            one = tarfile.TarInfo(name)
            one.size, one.mode = len(data), mode
            archive.addfile(one, io.BytesIO(data))
    return packed.getvalue()


def test_a_bundle_in_its_order_with_its_key_says_nothing(chain: Chain) -> None:
    for parts in (
        (chain.leaf, chain.private),
        (chain.private, chain.leaf, chain.intermediate),
        (chain.leaf, chain.intermediate, chain.root, chain.private),
        (chain.leaf,),
        (chain.private,),
    ):
        assert told("site.pem", b"".join(parts)) == {}


def test_a_key_of_another_is_critical(chain: Chain) -> None:
    assert told("site.pem", chain.leaf + pem(new_key())) == {"key_mismatch": "critical"}
    assert told("site.pem", chain.leaf + chain.intermediate + pem(new_key())) == {"key_mismatch": "critical"}


def test_the_order_of_a_chain_is_told(chain: Chain) -> None:
    swapped = chain.leaf + chain.root + chain.intermediate + chain.private
    assert told("site.pem", swapped) == {"chain_disordered": "warning"}
    upside_down = chain.root + chain.intermediate + chain.leaf
    assert told("site.pem", upside_down) == {"chain_disordered": "warning"}


def test_what_had_ended_when_it_was_taken_is_told_and_not_what_ends_since(chain: Chain) -> None:
    assert told("site.pem", chain.expired + chain.private) == {"certificate_expired": "warning"}
    assert told("site.pem", chain.renewed(0) + chain.private) == {"certificate_expired": "warning"}
    assert told("site.pem", chain.renewed(1) + chain.private) == {}


def test_a_store_of_whom_to_trust_may_hold_anything_in_any_order(chain: Chain) -> None:
    old = issue("old root", chain.top, "old root", chain.top, -300, ca=True)
    assert told("ca-certificates.crt", chain.intermediate + old + chain.root) == {}


def test_a_key_that_is_sealed_is_not_proven(chain: Chain) -> None:
    data = chain.leaf + pem(chain.key, b"a passphrase")
    assert told("site.pem", data) == {}
    assert model.CERTIFICATES in look("site.pem", data).unproven


def test_a_block_that_is_whole_and_holds_nothing_is_corrupt(chain: Chain) -> None:
    empty = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    assert told("site.pem", empty) == {"corrupt": "critical"}
    no_key = b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"
    assert told("site.pem", chain.leaf + no_key) == {"corrupt": "critical"}


def test_without_the_library_it_is_said_that_nobody_looked(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "can_read", lambda: False)
    content = look("site.pem", chain.leaf + pem(new_key()))
    assert content.problems == ()
    assert content.certified is None
    assert model.CERTIFICATES in content.unproven


def test_of_an_archive_each_certificate_is_compared_with_the_key_beside_it(chain: Chain) -> None:
    site: Any = {
        "etc/ssl/site.crt": (chain.leaf + chain.intermediate, 0o644),
        "etc/ssl/site.key": (chain.private, 0o600),
    }
    assert told("etc.tar", tar(**site)) == {}
    other = {**site, "etc/ssl/site.key": (pem(new_key()), 0o600)}
    assert told("etc.tar", tar(**other)) == {"key_mismatch": "warning"}
    assert look("etc.tar", tar(**other)).certified["mismatched"] == ["etc/ssl/site.crt"]  # type: ignore[index]  it is there
    open_to_all = {**site, "etc/ssl/site.key": (chain.private, 0o644)}
    assert told("etc.tar", tar(**open_to_all)) == {"key_exposed": "info"}


def test_what_was_renewed_in_the_same_archive_may_have_ended(chain: Chain) -> None:
    folder = "etc/letsencrypt/archive/shop.test"
    lineage: Any = {
        f"{folder}/fullchain1.pem": (chain.expired + chain.intermediate, 0o644),
        f"{folder}/privkey1.pem": (chain.private, 0o600),
        f"{folder}/fullchain2.pem": (chain.leaf + chain.intermediate, 0o644),
        f"{folder}/privkey2.pem": (chain.private, 0o600),
    }
    assert told("le.tar", tar(**lineage)) == {}
    lineage.pop(f"{folder}/fullchain2.pem")
    assert told("le.tar", tar(**lineage)) == {"certificate_expired": "info"}


def test_damaged_or_other_files_under_such_names_are_no_concern_of_an_archive(chain: Chain) -> None:
    members: Any = {
        "a.pem": (chain.leaf[:-40], 0o644),
        "b.key": (b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", 0o644),
        "slides.key": (b"PK\x03\x04", 0o644),
        "c.crt": (b"x" * 300_000, 0o644),
    }
    assert told("home.tar", tar(**members)) == {}


def test_more_files_than_are_looked_at_are_not_proven(chain: Chain) -> None:
    members: Any = {f"{number}.pem": (chain.leaf, 0o644) for number in range(501)}
    content = look("many.tar", tar(**members))
    assert model.CERTIFICATES in content.unproven
    assert content.certified is not None
    assert content.certified["certificates"] == 500


def test_no_byte_of_a_key_is_in_what_is_told(chain: Chain) -> None:
    content = look("site.pem", chain.leaf + chain.private)
    secret = chain.private.split(b"\n")[1].decode()
    assert secret not in repr(content)


def test_a_digest_by_its_maker_leaves_nothing_to_doubt(chain: Chain) -> None:
    data = chain.leaf + pem(chain.key, b"a passphrase")
    content = look("site.pem", data)
    file = model.BackupFile("site.pem", model.FILE, len(data), TAKEN, 0o600, TAKEN, model.FROM_NAME, content=content)
    assert model.CERTIFICATES in unproven(file)
