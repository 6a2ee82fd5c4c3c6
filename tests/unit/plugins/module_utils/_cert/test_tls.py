"""What keeps from looking at an endpoint gets one word each. Real servers are in the integration tests."""

from __future__ import annotations

import errno
import queue
import socket
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import reach, tls, trust
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, Failure
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.bed.tls import Authority
from tests.unit.plugins.module_utils._cert.samples import spec


def ssl_error(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, f"[SSL: {reason}] words (_ssl.c:1000)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ssl_error("WRONG_VERSION_NUMBER"), "not_tls", "answers, but not in TLS"),
        (ssl_error("PACKET_LENGTH_TOO_LONG"), "not_tls", "answers, but not in TLS"),
        (ssl_error("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError), "reset", "closed the connection"),
        (ssl.SSLZeroReturnError(6, "closed"), "reset", "closed the connection"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "reset", "closed the connection"),
        (ssl_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "handshake", "sslv3 alert handshake failure"),
    ],
)
def test_a_handshake_that_fails_says_how(error: OSError, kind: str, words: str) -> None:
    failure = tls._refusal(spec(target="shop"), error).failure
    assert failure.kind == kind
    assert failure.message.startswith("shop (192.0.2.1:443) ")
    assert words in failure.message
    assert failure.remedy
    assert failure.evidence["port"] == 443


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused"),
        (socket.timeout("timed out"), "timeout"),  # noqa: UP041  # its name before Python 3.10
        (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
        (OSError("it has no address"), "unreachable"),
    ],
)
def test_a_connection_that_fails_says_how(error: OSError, kind: str) -> None:
    failure = reach._no_connection(spec(), error).failure
    assert failure.kind == kind
    assert failure.remedy


@pytest.mark.parametrize("phase", ["resolve", "connect", "proxy", "starttls", "handshake"])
def test_a_time_that_is_over_names_its_phase(phase: str) -> None:
    with pytest.raises(CannotLook) as raised:
        reach.patience(Deadline(0), spec(), phase)
    assert raised.value.evidence["phase"] == phase
    assert "within 5s" in raised.value.message
    assert reach.patience(Deadline(None), spec(), phase) > 0


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver is the system's; here it is one that never answers."""
    monkeypatch.setattr(reach.socket, "getaddrinfo", lambda *_arguments, **_options: queue.Queue().get())
    with pytest.raises(CannotLook) as raised:
        reach.addresses_of(spec(host="slow.example.org"), Deadline(0.05))
    assert raised.value.evidence["phase"] == "resolve"


def test_authorities_are_read_from_files_and_directories(authority: Authority, tmp_path: Path) -> None:
    path = authority.write(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(authority.certificate_pem.decode())
    (tmp_path / "ca.der").write_bytes(der)
    (tmp_path / "README").write_text("What stands here is no certificate.")
    assert trust.authorities(str(path)) == trust.authorities(str(tmp_path / "ca.der")) == der
    assert trust.authorities(str(tmp_path)) == der
    for check_time in (True, False):
        context = trust.ordinary(str(path), check_time)
        assert isinstance(context, ssl.SSLContext)
        assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (None, "not_found"),
        (b"", "no_certificate"),
        (b"\x30 and more", "parse"),
    ],
)
def test_authorities_that_cannot_be_read_are_named(content: bytes | None, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    problem = trust.ordinary(str(path), True)
    assert isinstance(problem, Failure)
    assert problem.kind == kind
    assert str(path) in problem.message


def test_a_certificate_that_only_openssl_can_read_hides_no_other(authority: Authority) -> None:
    good = authority.issue("www.example.org").certificate.public_bytes(serialization.Encoding.DER)
    certificates, failures = tls._load(spec(), (good, b"\x30\x00"))
    assert [certificate.subject for certificate in certificates] == ["CN=www.example.org"]
    assert [failure.kind for failure in failures] == ["parse"]
    assert "number 2 of 2" in failures[0].message
