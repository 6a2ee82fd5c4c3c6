"""Files of every kind: each gives certificates, or one failure that names it and what to do."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import NameOID

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.discover import Finder, Search
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import (
    first_certificate,
    read_certificates,
    sight_file,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.bed.tls import Authority, Issued

MIB = 1 << 20


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue("www.example.org")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(serialization.Encoding.DER)


def failure(path: Path | str, max_size: int = MIB) -> CannotLook:
    with pytest.raises(CannotLook) as raised:
        read_certificates(str(path), max_size)
    assert str(path) in raised.value.message
    assert raised.value.remedy
    return raised.value


def test_a_chain_is_read_in_its_order(issued: Issued, tmp_path: Path) -> None:
    content = read_certificates(str(write(tmp_path / "chain.pem", issued.chain_pem)), MIB)
    assert [entry.subject for entry in content.certificates] == ["CN=www.example.org", "CN=Upkeep bed intermediate"]
    assert content.failures == ()
    assert content.size == len(issued.chain_pem)


def test_a_key_beside_the_certificate_is_passed_over(issued: Issued, tmp_path: Path) -> None:
    content = read_certificates(str(write(tmp_path / "both.pem", issued.key_pem + issued.certificate_pem)), MIB)
    assert [entry.fingerprint for entry in content.certificates] == [issued.fingerprint]


def test_der_is_read(issued: Issued, tmp_path: Path) -> None:
    content = read_certificates(str(write(tmp_path / "one.cer", der(issued))), MIB)
    assert [entry.fingerprint for entry in content.certificates] == [issued.fingerprint]


def test_one_rotten_certificate_hides_no_other(authority: Authority, tmp_path: Path) -> None:
    good = [authority.issue(f"{name}.example.org") for name in "ab"]
    rotten = b"-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n"
    path = write(tmp_path / "three.pem", good[0].certificate_pem + rotten + good[1].certificate_pem)
    content = read_certificates(str(path), MIB)
    assert [entry.fingerprint for entry in content.certificates] == [entry.fingerprint for entry in good]
    (problem,) = content.failures
    assert problem.kind == "parse"
    line = good[0].certificate_pem.count(b"\n") + 1
    assert problem.message.startswith(f"Certificate 2 of 3 in {path} (line {line}) cannot be read: ")
    assert problem.evidence["block"] == 2


def test_a_file_of_rotten_certificates_alone_has_only_failures(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.pem", b"-----BEGIN CERTIFICATE-----\nMAMC")
    sighting, _size = sight_file(str(path), MIB)
    assert sighting.certificates == ()
    assert [entry.kind for entry in sighting.failures] == ["parse"]


def test_the_first_certificate_is_the_one_a_server_serves(issued: Issued, tmp_path: Path) -> None:
    path = write(tmp_path / "chain.pem", issued.chain_pem)
    assert first_certificate(str(path), MIB).fingerprint == issued.fingerprint
    rotten = b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"
    with pytest.raises(CannotLook, match="Certificate 1 of 3"):
        first_certificate(str(write(tmp_path / "rotten.pem", rotten + issued.chain_pem)), MIB)
    behind = write(tmp_path / "behind.pem", issued.chain_pem + rotten)
    assert first_certificate(str(behind), MIB).fingerprint == issued.fingerprint


def request(issued: Issued) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(issued.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def key_der(issued: Issued, form: serialization.PrivateFormat) -> bytes:
    return issued.key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def pkcs7_of(issued: Issued, encoding: serialization.Encoding = serialization.Encoding.DER) -> bytes:
    return pkcs7.serialize_certificates([issued.certificate, *issued.above], encoding)


def pkcs12_of(issued: Issued, passphrase: bytes = b"") -> bytes:
    scheme = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"a", issued.key, issued.certificate, issued.above, scheme)


def encrypted(issued: Issued) -> bytes:
    scheme = serialization.BestAvailableEncryption(b"x")
    return issued.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("empty", lambda issued: b""),
        ("empty", lambda issued: b" \n\n"),
        ("no_certificate", lambda issued: b"# not yet\n"),
        ("no_certificate", lambda issued: b"\x00" * 4096),
        ("no_certificate", request),
        ("is_a_key", lambda issued: issued.key_pem),
        ("is_a_key", encrypted),
        ("is_a_key", lambda issued: key_der(issued, serialization.PrivateFormat.PKCS8)),
        ("is_a_key", lambda issued: key_der(issued, serialization.PrivateFormat.TraditionalOpenSSL)),
        ("parse", lambda issued: der(issued)[:-1]),
        ("parse", lambda issued: der(issued) + b"\n"),
        ("parse", lambda issued: b"\x30\x03\x02\x01\x07"),
        ("parse", lambda issued: pkcs7_of(issued)[:-1]),
        ("encrypted_need_passphrase", lambda issued: pkcs12_of(issued, b"secret")),
        ("unsupported_format", lambda issued: b"\xce\xce\xce\xce\x00\x00\x00\x02"),
        ("unsupported_format", lambda issued: b"\xfe\xed\xfe\xed\x00\x00\x00\x02"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_certificate_is_called_by_its_name(kind, content, issued: Issued, tmp_path: Path) -> None:
    assert failure(write(tmp_path / "what.pem", content(issued))).failure.kind == kind


def test_what_stands_there_instead_is_listed(issued: Issued, tmp_path: Path) -> None:
    assert "CERTIFICATE REQUEST" in failure(write(tmp_path / "request.pem", request(issued))).message


def test_no_byte_of_a_key_is_in_what_is_said(issued: Issued, tmp_path: Path) -> None:
    problem = failure(write(tmp_path / "key.pem", issued.key_pem))
    said = repr((problem.message, problem.remedy, problem.evidence))
    assert all(line.decode() not in said for line in issued.key_pem.splitlines()[1:-1])


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.pem"
    with path.open("wb") as stream:
        stream.truncate(100 * MIB)
    assert failure(path).failure.kind == "too_large"
    assert failure(write(path, b"x" * 11), max_size=10).failure.kind == "too_large"


def test_a_fifo_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe.pem"
    os.mkfifo(path)
    problem = failure(path)
    assert problem.failure.kind == "not_regular"
    assert "is a FIFO" in problem.message


@contextlib.contextmanager
def bound_socket() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="s") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s.pem")
        yield f"{folder}/s.pem"


def test_directories_sockets_and_devices_are_no_certificates(tmp_path: Path) -> None:
    assert "is a directory" in failure(tmp_path).message
    assert "is a device" in failure("/dev/zero").message
    with bound_socket() as path:
        assert "is a socket" in failure(path).message


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert failure(tmp_path / "none.pem").failure.kind == "not_found"
    assert failure(write(tmp_path / "file", b"") / "below.pem").failure.kind == "not_found"
    dangling = tmp_path / "dangling.pem"
    dangling.symlink_to("gone.pem")
    problem = failure(dangling)
    assert problem.failure.kind == "not_found"
    assert "a symbolic link to gone.pem, which is not there" in problem.message
    loop = tmp_path / "loop.pem"
    loop.symlink_to(loop)
    assert failure(loop).failure.kind == "symlink_loop"
    assert failure(f"/proc/self/task/{2**22}").failure.kind == "not_found"
    assert failure(tmp_path / ("x" * 300)).failure.kind == "io"


def test_where_a_link_leads_is_kept(issued: Issued, tmp_path: Path) -> None:
    real = write(tmp_path / "fullchain7.pem", issued.chain_pem)
    link = tmp_path / "fullchain.pem"
    link.symlink_to(real.name)
    sighting, content = sight_file(str(link), MIB)
    assert (sighting.target, sighting.realpath, content.size) == (str(link), str(real.resolve()), len(issued.chain_pem))


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """For root, nothing is forbidden."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_may_not_be_read_is_said(issued: Issued) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: nobody but its owner may look into that
        root = Path(folder)
        root.chmod(0o755)
        path = write(root / "secret.pem", issued.chain_pem)
        path.chmod(0)
        (root / "live").mkdir(mode=0)
        finder = Finder(Search(True, 8, True, ("*.cer",), (), 10), Deadline(None))
        with unprivileged():
            assert failure(path).failure.kind == "permission"
            finder.find([f"{root}/live", f"{root}/l*/*.pem"])
        (root / "live").chmod(0o700)
    assert {subject: problem.kind for subject, problem in finder.failures.items()} == {f"{root}/live": "permission"}
    assert finder.paths == []
