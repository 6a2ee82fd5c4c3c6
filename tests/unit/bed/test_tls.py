"""The certificates have the days that were asked for, and each server behaves as its name says."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.bed.endpoint import Behaviour, TlsServer
from tests.bed.tls import Authority, Issued, KeyType

NAME = "shop.example.test"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(intermediate=True)


@contextmanager
def shaking_hands(server: TlsServer, ca: Path, timeout: float = 60.0) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection((server.host, server.port), timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as secured,
    ):
        yield secured


@pytest.mark.parametrize(
    ("days", "lifetime_seen"),
    [(80.0, 90.0), (5.0, 90.0), (0.5, 90.0), (-1.0, 90.0), (200.0, 200.0 + 1 / 24)],
)
def test_a_certificate_has_the_days_left_that_were_asked_for(
    authority: Authority, days: float, lifetime_seen: float
) -> None:
    certificate = authority.issue(NAME, days=days).certificate
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert left / DAY == pytest.approx(days, abs=0.001)
    assert lifetime / DAY == pytest.approx(lifetime_seen, abs=0.001)


def test_both_instants_can_be_given(authority: Authority) -> None:
    begin, end = datetime(2024, 2, 29, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    certificate = authority.issue(NAME, not_before=begin, not_after=end).certificate
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (begin, end)


@pytest.mark.parametrize("key_type", ["ec256", "ec384", "rsa1024", "rsa2048", "ed25519"])
def test_every_key_type_is_signed_by_the_authority(key_type: KeyType) -> None:
    authority = Authority()
    issued = authority.issue(NAME, key_type=key_type)
    issued.certificate.verify_directly_issued_by(authority.root.certificate)


def test_names_may_be_addresses_or_none(authority: Authority) -> None:
    both = authority.issue(NAME, names=(NAME, "127.0.0.1")).certificate
    names = both.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    with pytest.raises(x509.ExtensionNotFound):
        authority.issue(NAME, names=()).certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_files_hold_the_chain_and_a_key_for_us_alone(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue(NAME).write(tmp_path, "shop")
    assert len(x509.load_pem_x509_certificates(chain.read_bytes())) == 2
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    renewed = authority.issue(NAME)
    renewed.write(tmp_path, "shop")
    assert x509.load_pem_x509_certificate(chain.read_bytes()) == renewed.certificate
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop.key", "shop.pem"]


@pytest.fixture
def issued(authority: Authority) -> Issued:
    return authority.issue(NAME)


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> Path:
    return authority.write(tmp_path)


def test_a_server_serves_the_given_chain_and_a_page(issued: Issued, ca: Path, tmp_path: Path) -> None:
    with TlsServer(*issued.write(tmp_path, "served")) as server:
        for _ in range(2):
            with shaking_hands(server, ca) as connection:
                served = connection.getpeercert(binary_form=True)
                assert served == ssl.PEM_cert_to_DER_cert(issued.certificate_pem.decode())
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_a_silent_server_never_answers(ca: Path) -> None:
    with (
        TlsServer(behaviour=Behaviour.SILENT) as server,
        pytest.raises(TimeoutError),
        shaking_hands(server, ca, timeout=0.5),
    ):
        pass


def test_a_plain_server_answers_in_http(ca: Path) -> None:
    with (
        TlsServer(behaviour=Behaviour.PLAIN_HTTP) as server,
        pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number|record layer failure"),
        shaking_hands(server, ca),
    ):
        pass


def test_a_closing_server_ends_in_order(ca: Path) -> None:
    with (
        TlsServer(behaviour=Behaviour.CLOSE) as server,
        pytest.raises((ssl.SSLEOFError, ssl.SSLZeroReturnError)),  # the second before Python 3.11.5
        shaking_hands(server, ca),
    ):
        pass


def test_a_resetting_server_resets(ca: Path) -> None:
    with (
        TlsServer(behaviour=Behaviour.RESET) as server,
        pytest.raises(ConnectionResetError),
        shaking_hands(server, ca),
    ):
        pass


def test_a_stopped_server_refuses(issued: Issued, tmp_path: Path) -> None:
    with TlsServer(*issued.write(tmp_path, "served")) as server:
        address = (server.host, server.port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=60)


def test_a_server_that_serves_needs_a_chain() -> None:
    with pytest.raises(ValueError, match="needs a chain"):
        TlsServer()
