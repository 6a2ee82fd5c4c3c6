"""`cert_expiry` through STARTTLS: every protocol, well and unwell, and a real PostgreSQL."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import STARTTLS
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.endpoint import TlsServer
from tests.bed.postgres import Cluster
from tests.bed.starttls import GREETS, TALKS, Fault, StarttlsServer
from tests.bed.tls import Authority

Result = dict[str, Any]
Start = Callable[..., StarttlsServer]


def run(*endpoints: Result, **params: Any) -> Result:
    given = {"endpoints": list(endpoints), "timeout": "20s", **params}
    validated = validate(CHECK.name, CHECK.argument_spec, given, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(intermediate=True)


@pytest.fixture
def start(authority: Authority, tmp_path: Path) -> Iterator[Start]:
    """A factory of servers for `mail.example.org`, each of one protocol, until the test ends."""
    chain, key = authority.issue("mail.example.org", days=40).write(tmp_path, "mail")
    authority.write(tmp_path)
    with ExitStack() as stack:
        yield lambda protocol, fault=Fault.NONE: stack.enter_context(StarttlsServer(protocol, chain, key, fault))


def endpoint(server: StarttlsServer, protocol: str, folder: Path, **options: Any) -> Result:
    return {
        "name": protocol, "host": "127.0.0.1", "port": server.port, "starttls": protocol,
        "server_name": "mail.example.org", "ca_path": str(folder / "ca.pem"), **options,
    }  # fmt: skip


def kinds(result: Result) -> dict[str, str]:
    return {finding["subject"]: finding["evidence"].get("kind", finding["code"]) for finding in result["findings"]}


def test_every_protocol_is_there() -> None:
    assert sorted(TALKS) == sorted(STARTTLS)


def test_every_protocol_shows_its_certificate(start: Start, tmp_path: Path) -> None:
    servers = {protocol: start(protocol) for protocol in STARTTLS}
    result = run(*(endpoint(server, protocol, tmp_path) for protocol, server in servers.items()))
    assert kinds(result) == dict.fromkeys(STARTTLS, "cert.valid")
    for record in result["certificates"]:
        assert record["starttls"] == record["target"]
        assert (record["verified"], record["hostname_ok"]) == (True, True)
        assert [link["role"] for link in record["chain"]] == ["leaf", "intermediate"]
    assert [server.mistakes for server in servers.values() if server.mistakes] == []


def test_one_that_refuses_says_so(start: Start, tmp_path: Path) -> None:
    servers = {protocol: start(protocol, Fault.REFUSES) for protocol in STARTTLS}
    result = run(*(endpoint(server, protocol, tmp_path) for protocol, server in servers.items()))
    assert kinds(result) == dict.fromkeys(STARTTLS, "starttls_refused")
    assert [server.mistakes for server in servers.values() if server.mistakes] == []


@pytest.mark.parametrize(
    "fault", [Fault.WRONG_GREETING, Fault.FLOOD, Fault.CLOSES, Fault.INJECTION], ids=lambda fault: fault.value
)
def test_one_that_does_not_keep_to_its_protocol(start: Start, tmp_path: Path, fault: Fault) -> None:
    servers = {protocol: start(protocol, fault) for protocol in STARTTLS}
    result = run(*(endpoint(server, protocol, tmp_path) for protocol, server in servers.items()))
    assert kinds(result) == dict.fromkeys(STARTTLS, "starttls_protocol")
    for finding in result["findings"]:
        assert finding["message"].startswith(f"{finding['subject']} (127.0.0.1:")
        assert len(finding["message"]) < 400
        assert finding["severity"] == "unknown"


def test_one_that_never_ends_is_left(start: Start, tmp_path: Path) -> None:
    servers = {protocol: start(protocol, Fault.ENDLESS) for protocol in GREETS}
    result = run(*(endpoint(server, protocol, tmp_path) for protocol, server in servers.items()))
    assert set(kinds(result).values()) <= {"starttls_protocol", "starttls_refused"}


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.DRIP], ids=lambda fault: fault.value)
def test_one_that_takes_its_time_costs_no_more_than_its_timeout(start: Start, tmp_path: Path, fault: Fault) -> None:
    servers = {protocol: start(protocol, fault) for protocol in ("smtp", "imap", "pop3", "ftp", "sieve")}
    started = time.monotonic()
    asked = [endpoint(server, protocol, tmp_path, timeout="1s") for protocol, server in servers.items()]
    result = run(*asked)
    assert time.monotonic() - started < 15
    for finding in result["findings"]:
        assert (finding["evidence"]["kind"], finding["evidence"]["phase"]) == ("timeout", "starttls")
        assert "leave starttls out" in finding["remedy"]
    assert len(result["findings"]) == len(servers)


def test_a_port_that_speaks_tls_from_the_start(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue("mail.example.org").write(tmp_path, "mail")
    authority.write(tmp_path)
    with TlsServer(chain, key) as server:
        asked = {"host": "127.0.0.1", "port": server.port, "starttls": "smtp", "timeout": "1s"}
        (finding,) = run(asked)["findings"]
    assert (finding["evidence"]["kind"], finding["evidence"]["phase"]) == ("timeout", "starttls")


def test_the_usual_port_is_that_of_the_protocol() -> None:
    with socket.socket() as probe:  # nobody listens on a port of LMTP here, and if so, it is a certificate
        taken = probe.connect_ex(("127.0.0.1", 24)) == 0
    record = run({"host": "127.0.0.1", "starttls": "lmtp"})["certificates"][0]
    assert record["target"] == "127.0.0.1:24"
    assert taken or record["error"]["kind"] == "refused"


def test_a_real_postgresql(postgres_cluster: Cluster) -> None:
    asked = {
        "host": "localhost", "port": postgres_cluster.port, "starttls": "postgres",
        "ca_path": str(postgres_cluster.ca_cert), "expect_file": str(postgres_cluster.home / "server.pem"),
    }  # fmt: skip
    result = run(asked)
    assert [finding["code"] for finding in result["findings"]] == ["cert.valid"], result["findings"]
    (record,) = result["certificates"]
    assert (record["verified"], record["hostname_ok"], record["served_matches_file"]) == (True, True, True)
