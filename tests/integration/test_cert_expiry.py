"""`cert_expiry` against real TLS servers, well and unwell, in this process and through Ansible."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from tests.bed.endpoint import Behaviour, TlsServer
from tests.bed.tls import Authority, Issued

CHECKOUT = Path(__file__).resolve().parents[2]
Result = dict[str, Any]
Server = Callable[..., TlsServer]


def run(*endpoints: Result, **params: Any) -> Result:
    given = {"endpoints": list(endpoints), "timeout": "20s", **params}
    validated = validate(CHECK.name, CHECK.argument_spec, given, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result()


def codes(result: Result) -> list[str]:
    return sorted(finding["code"] for finding in result["findings"])


def only(result: Result) -> Result:
    (finding,) = result["findings"]
    return finding


def found(result: Result, code: str) -> Result:
    (finding,) = (finding for finding in result["findings"] if finding["code"] == code)
    return finding


def record(result: Result) -> Result:
    (entry,) = result["certificates"]
    return entry


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(intermediate=True)


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> str:
    return str(authority.write(tmp_path))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A factory: `server(issued)` serves it, `server(behaviour=...)` does something else; until the test ends."""
    with ExitStack() as stack:

        def start(issued: Issued | None = None, **options: Any) -> TlsServer:
            name = f"served-{time.monotonic_ns()}"
            files = (None, None) if issued is None else issued.write(tmp_path, name)
            behaviour = options.pop("behaviour", Behaviour.SERVE)
            return stack.enter_context(TlsServer(*files, behaviour=behaviour, **options))

        yield start


def at(server: TlsServer, **options: Any) -> Result:
    return {"host": server.host, "port": server.port, **options}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def listening(
    handle: Callable[[socket.socket], None], family: socket.AddressFamily = socket.AF_INET, address: str = "127.0.0.1"
) -> Iterator[int]:
    """Call `handle` with each connection, in a thread of its own; the port."""
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen(16)

        def accept() -> None:
            with contextlib.suppress(OSError):  # the listener was closed: the end
                while True:
                    connection, _peer = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):  # the client went
                connection.settimeout(10)
                handle(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


# --- well ---


def test_a_healthy_endpoint_by_its_address(authority: Authority, ca: str, server: Server) -> None:
    running = server(authority.issue("shop.example.org", names=["shop.example.org", "127.0.0.1"]))
    result = run(at(running, ca_path=ca))
    entry = record(result)
    assert only(result)["code"] == "cert.valid"
    assert (entry["state"], entry["kind"], entry["target"]) == ("ok", "endpoint", f"127.0.0.1:{running.port}")
    assert (entry["verified"], entry["hostname_ok"], entry["peer_ip"]) == (True, True, "127.0.0.1")
    assert entry["tls_version"] == "TLSv1.3"
    assert [link["role"] for link in entry["chain"]] == ["leaf", "intermediate"]
    assert entry["leaf"]["remaining_days"] == pytest.approx(60, abs=0.1)
    assert result["scanned"]["endpoints"] == 1
    assert result["degraded"] == []


def test_an_old_protocol_is_no_obstacle(authority: Authority, ca: str, server: Server) -> None:
    running = server(authority.issue("127.0.0.1"), maximum_version=ssl.TLSVersion.TLSv1_2)
    entry = record(run(at(running, ca_path=ca)))
    assert (entry["state"], entry["tls_version"]) == ("ok", "TLSv1.2")


def test_the_second_address_of_a_name_is_tried_too(authority: Authority, ca: str, server: Server) -> None:
    """`localhost` is ::1 first on most systems, where nobody listens here."""
    running = server(authority.issue("localhost"))
    entry = record(run(at(running, host="localhost", ca_path=ca)))
    assert (entry["state"], entry["peer_ip"]) == ("ok", "127.0.0.1")


@pytest.mark.parametrize(
    ("options", "asked", "state"),
    [
        ({"server_name": "b.example.org"}, "b.example.org", "ok"),
        ({"server_name": ""}, None, "critical"),
        ({}, None, "critical"),  # an address is not sent
        ({"server_name": "127.0.0.1"}, None, "critical"),
        ({"host": "localhost"}, "localhost", "critical"),
    ],
)
def test_the_server_name_decides_which_certificate_is_shown(
    authority: Authority, ca: str, tmp_path: Path, options: Result, asked: str | None, state: str
) -> None:
    contexts, heard = {}, []
    for name in ("default.example.org", "b.example.org"):
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(*authority.issue(name).write(tmp_path, name))

    def choose(connection: ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        heard.append(name)
        connection.context = contexts.get(name or "", contexts["default.example.org"])

    contexts["default.example.org"].sni_callback = choose

    def handle(connection: socket.socket) -> None:
        contexts["default.example.org"].wrap_socket(connection, server_side=True).recv(1)

    with listening(handle) as port:
        entry = record(run({"host": "127.0.0.1", "port": port, "ca_path": ca, **options}))
    assert entry["state"] == state
    assert heard == [asked]


def test_ipv6(authority: Authority, ca: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("::1").write(tmp_path, "six"))

    def handle(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).recv(1)

    with listening(handle, socket.AF_INET6, "::1") as port:
        entry = record(run({"host": "::1", "port": port, "ca_path": ca}))
    assert (entry["state"], entry["target"], entry["hostname_ok"]) == ("ok", f"[::1]:{port}", True)


def test_one_that_wants_a_client_certificate_still_shows_its_own(authority: Authority, ca: str, server: Server) -> None:
    running = server(authority.issue("127.0.0.1"), client_ca=Path(ca))
    assert record(run(at(running, ca_path=ca)))["state"] == "ok"


# --- unwell, with its dates ---


@pytest.mark.parametrize("verify", ["chain", "none"])
def test_an_expired_certificate_shows_its_dates(authority: Authority, ca: str, server: Server, verify: str) -> None:
    running = server(authority.issue("127.0.0.1", days=-3))
    result = run(at(running, ca_path=ca, verify=verify))
    assert codes(result) == ["cert.expired"]
    entry = record(result)
    assert (entry["state"], entry["verified"]) == ("expired", False if verify == "chain" else None)
    assert entry["leaf"]["remaining_days"] == pytest.approx(-3, abs=0.1)


def test_one_with_five_days_left(authority: Authority, ca: str, server: Server) -> None:
    finding = only(run(at(server(authority.issue("127.0.0.1", days=5)), ca_path=ca, name="shop")))
    assert (finding["code"], finding["severity"], finding["subject"]) == ("cert.expires_soon", "critical", "shop")


def test_an_unknown_issuer(authority: Authority, server: Server, tmp_path: Path) -> None:
    other = str(Authority("Another").write(tmp_path, "other.pem"))
    running = server(authority.issue("127.0.0.1"))
    for options in ({}, {"ca_path": other}):
        result = run(at(running, **options))
        assert only(result)["code"] == "cert.untrusted"
        assert only(result)["severity"] == "critical"
        assert (record(result)["verified"], record(result)["leaf"]["issuer"]) == (False, "CN=Upkeep bed intermediate")


def test_a_chain_without_its_intermediate(authority: Authority, ca: str, server: Server) -> None:
    whole = authority.issue("127.0.0.1")
    result = run(at(server(Issued(whole.certificate, whole.key)), ca_path=ca))
    assert only(result)["code"] == "cert.chain_incomplete"
    assert only(result)["evidence"]["missing"] == "CN=Upkeep bed intermediate"
    assert "fullchain.pem" in only(result)["remedy"]


def test_an_intermediate_is_authority_enough(authority: Authority, server: Server, tmp_path: Path) -> None:
    issued = authority.issue("127.0.0.1")
    path = tmp_path / "intermediate.pem"
    path.write_bytes(issued.above[0].public_bytes(serialization.Encoding.PEM))
    assert record(run(at(server(issued), ca_path=str(path))))["verified"] is True


def below_an_expired_intermediate(authority: Authority, name: str) -> Issued:
    """A certificate that is well, of an authority between it and the root that ended yesterday."""
    above, issued, now = ec.generate_private_key(ec.SECP256R1()), authority.issue(name), datetime.now(UTC)
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Expired intermediate")])

    def certify(
        subject: x509.Name, issuer: x509.Name, key: Any, signer: Any, days: int, is_ca: bool
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=90)).not_valid_after(now + timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        if not is_ca:
            names = issued.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    root = authority.root
    middle = certify(title, root.certificate.subject, above.public_key(), root.key, -1, True)
    leaf = certify(issued.certificate.subject, title, issued.key.public_key(), above, 60, False)
    return Issued(leaf, issued.key, (middle,))


def test_an_intermediate_that_has_ended(authority: Authority, ca: str, server: Server) -> None:
    running = server(below_an_expired_intermediate(authority, "127.0.0.1"))
    result = run(at(running, ca_path=ca))
    assert only(result)["code"] == "cert.expired"
    assert only(result)["evidence"]["certificate"] == "CN=Expired intermediate"
    assert [link["state"] for link in record(result)["chain"]] == ["ok", "expired"]
    # Where the chain is not looked at, or cannot be, the handshake says it.
    result = run(at(running, ca_path=ca), chain="leaf")
    assert codes(result) == ["cert.chain_expires_before_leaf", "cert.untrusted"]
    assert "expired" in found(result, "cert.untrusted")["message"]


def self_signed(name: str) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    begin, end = now - timedelta(days=1), now + timedelta(days=99)
    builder = builder.serial_number(7).not_valid_before(begin).not_valid_after(end)
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    return Issued(builder.add_extension(names, critical=False).sign(key, hashes.SHA256()), key)


def test_a_self_signed_certificate_until_it_is_trusted(server: Server, tmp_path: Path) -> None:
    issued = self_signed("localhost")
    running = server(issued)
    result = run(at(running, server_name="localhost"))
    assert only(result)["code"] == "cert.self_signed"
    assert record(result)["leaf"]["self_signed"] is True
    trusted, _key = issued.write(tmp_path, "trusted")
    assert codes(run(at(running, server_name="localhost", ca_path=str(trusted)))) == ["cert.valid"]


def test_a_wrong_host_name(authority: Authority, ca: str, server: Server) -> None:
    running = server(authority.issue("a.example.org"))
    result = run(at(running, server_name="b.example.org", ca_path=ca))
    assert only(result)["code"] == "cert.hostname_mismatch"
    assert only(result)["evidence"].items() >= {"missing": ["b.example.org"], "san": ["a.example.org"]}.items()
    assert (record(result)["hostname_ok"], record(result)["verified"]) == (False, True)
    assert codes(run(at(running, server_name="b.example.org", verify="none"))) == ["cert.valid"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("fifo", "is a FIFO"),
        (b"", "holds no certificate of an authority"),
    ],
)
def test_authorities_that_cannot_be_read_leave_the_dates(
    authority: Authority, server: Server, tmp_path: Path, content: Any, words: str
) -> None:
    path = tmp_path / "authorities.pem"
    if content == "fifo":
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
    result = run(at(server(authority.issue("127.0.0.1", days=5)), ca_path=str(path)))
    assert codes(result) == ["cert.expires_soon", "cert.unverified"]
    unverified = next(finding for finding in result["findings"] if finding["code"] == "cert.unverified")
    assert words in unverified["message"]
    assert str(path) in unverified["message"]
    assert record(result)["verified"] is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_what_no_ordinary_client_can_talk_to_still_shows_its_dates(
    authority: Authority, ca: str, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.load_cert_chain(*authority.issue("127.0.0.1").write(tmp_path, "old"))

    def handle(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).recv(1)

    with listening(handle) as port:
        result = run({"host": "127.0.0.1", "port": port, "ca_path": ca})
    assert codes(result) == ["cert.tls_version_low", "cert.unverified"]
    assert "an ordinary handshake fails" in found(result, "cert.unverified")["message"]
    assert record(result)["tls_version"] == "TLSv1"
    assert record(result)["leaf"]["subject"] == "CN=127.0.0.1"


def test_another_day(authority: Authority, ca: str, server: Server) -> None:
    running = server(authority.issue("127.0.0.1", days=60))
    entry = record(run(at(running, ca_path=ca), at=rfc3339(datetime.now(UTC) + timedelta(days=61))))
    assert (entry["state"], entry["verified"]) == ("expired", True)
    ended = at(server(authority.issue("127.0.0.1", days=-3)), ca_path=ca)
    before = record(run(ended, at=rfc3339(datetime.now(UTC) - timedelta(days=60))))
    assert (before["state"], before["verified"]) == ("ok", True)
    assert record(run(ended, at="2020-01-01T00:00:00Z"))["state"] == "not_yet_valid"


# --- served equals file ---


def test_what_is_served_is_what_lies_there(authority: Authority, ca: str, server: Server, tmp_path: Path) -> None:
    issued = authority.issue("127.0.0.1")
    path, _key = issued.write(tmp_path, "live")
    result = run(at(server(issued), ca_path=ca, expect_file=str(path), expect_fingerprint=issued.fingerprint))
    assert codes(result) == ["cert.valid"]
    assert record(result)["served_matches_file"] is True


def test_renewed_but_not_reloaded_until_it_is(authority: Authority, ca: str, server: Server, tmp_path: Path) -> None:
    old, new = authority.issue("127.0.0.1", days=40), authority.issue("127.0.0.1", days=89)
    path, _key = old.write(tmp_path, "live")
    running = server(old)
    wanted = {"ca_path": ca, "expect_file": str(path), "name": "shop"}
    assert codes(run(at(running, **wanted))) == ["cert.valid"]
    new.write(tmp_path, "live")
    result = run(at(running, **wanted))
    finding = only(result)
    assert (finding["code"], finding["severity"]) == ("cert.served_differs", "warning")
    assert finding["evidence"]["newer"] == "file"
    assert finding["evidence"]["served"]["fingerprint_sha256"] == old.fingerprint
    assert finding["evidence"]["file"]["fingerprint_sha256"] == new.fingerprint
    assert "not reloaded" in finding["message"]
    assert "Reload the server" in finding["remedy"]
    assert record(result)["served_matches_file"] is False
    assert codes(run(at(server(new), **wanted))) == ["cert.valid"]


def test_a_stale_file(authority: Authority, ca: str, server: Server, tmp_path: Path) -> None:
    path, _key = authority.issue("127.0.0.1", days=40).write(tmp_path, "copy")
    finding = only(run(at(server(authority.issue("127.0.0.1", days=89)), ca_path=ca, expect_file=str(path))))
    assert finding["evidence"]["newer"] == "served"
    assert "stale file" in finding["message"]


def test_a_directory_is_no_file_to_compare_with(authority: Authority, ca: str, server: Server, tmp_path: Path) -> None:
    finding = only(run(at(server(authority.issue("127.0.0.1")), ca_path=ca, expect_file=str(tmp_path))))
    assert (finding["code"], finding["severity"]) == ("cert.served_unknown", "unknown")
    assert finding["evidence"]["kind"] == "not_regular"
    assert f"{tmp_path} is a directory" in finding["message"]
    assert finding["remedy"]


# --- no certificate to be had ---


@pytest.mark.parametrize(
    ("behaviour", "kind", "timeout"),
    [
        (Behaviour.PLAIN_HTTP, "not_tls", "20s"),
        (Behaviour.CLOSE, "reset", "20s"),
        (Behaviour.RESET, "reset", "20s"),
        (Behaviour.SILENT, "timeout", "0.5s"),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_one_that_shows_none_is_one_unknown(server: Server, behaviour: Behaviour, kind: str, timeout: str) -> None:
    running = server(behaviour=behaviour)
    started = time.monotonic()
    result = run(at(running, timeout=timeout))
    assert time.monotonic() - started < 10
    finding = only(result)
    assert (finding["code"], finding["severity"]) == ("cert.unreachable", "unknown")
    assert finding["evidence"]["kind"] == kind
    assert finding["message"].startswith(f"127.0.0.1:{running.port} ")
    assert finding["remedy"]
    assert record(result)["state"] == "unknown"
    assert record(result)["error"]["kind"] == kind


def test_nobody_listens() -> None:
    finding = only(run({"host": "127.0.0.1", "port": free_port()}))
    assert finding["evidence"]["kind"] == "refused"
    assert "Start its server" in finding["remedy"]


def test_no_way_leads_there() -> None:
    assert only(run({"host": "255.255.255.255"}))["evidence"]["kind"] == "unreachable"


def test_a_name_that_is_none() -> None:
    finding = only(run({"host": "no-such-host.invalid"}, timeout="10s"))
    # A machine without any resolver may only notice by its patience.
    assert finding["evidence"]["kind"] == "dns" or finding["evidence"]["phase"] == "resolve"
    assert "no-such-host.invalid" in finding["message"]


def test_a_server_that_speaks_first() -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example.org ESMTP\r\n")
        connection.recv(1)

    with listening(greet) as port:
        assert only(run({"host": "127.0.0.1", "port": port}))["evidence"]["kind"] == "not_tls"


def test_a_byte_a_time_is_not_patience_without_end() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in b"\x16\x03\x03\x20\x00" + bytes(1000):
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    started = time.monotonic()
    with listening(drip) as port:
        finding = only(run({"host": "127.0.0.1", "port": port, "timeout": "1s"}))
    assert time.monotonic() - started < 40
    assert (finding["evidence"]["kind"], finding["evidence"]["phase"]) == ("timeout", "handshake")


@contextlib.contextmanager
def full_queue() -> Iterator[tuple[str, int]]:
    """An address that takes no more connections and does not say so, like one behind a firewall that drops."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _number in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()


kernel_drops = pytest.mark.skipif(sys.platform != "linux", reason="a full queue of connections refuses on this kernel")


@kernel_drops
def test_a_connection_that_is_never_taken() -> None:
    with full_queue() as (host, port):
        finding = only(run({"host": host, "port": port, "timeout": "0.5s"}))
    assert (finding["evidence"]["kind"], finding["evidence"]["phase"]) == ("timeout", "connect")


@kernel_drops
def test_the_first_of_two_addresses_does_not_take_all_the_time(
    authority: Authority, ca: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver is made to know a name with a dead and a living address."""
    running = server(authority.issue("shop.example.org"))
    with full_queue() as dead:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in (dead, (running.host, running.port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: addresses)
        entry = record(run({"host": "shop.example.org", "ca_path": ca, "timeout": "2s"}))
    assert (entry["state"], entry["peer_ip"]) == ("ok", "127.0.0.1")


def test_one_that_refuses_strangers_in_an_old_protocol(authority: Authority, ca: str, server: Server) -> None:
    issued = authority.issue("127.0.0.1")
    running = server(issued, client_ca=Path(ca), maximum_version=ssl.TLSVersion.TLSv1_2)
    result = run(at(running, ca_path=ca))
    finding = found(result, "cert.client_cert_required")
    assert (finding["severity"], finding["evidence"]["kind"]) == ("info", "client_cert_required")
    assert "client_cert" in finding["remedy"]
    entry = record(result)
    assert (entry["state"], entry["error"]["kind"], entry["verified"]) == ("ok", "client_cert_required", True)
    assert [link["role"] for link in entry["chain"]] == ["leaf", "intermediate"]


def test_those_that_hang_hold_up_nobody(authority: Authority, ca: str, server: Server) -> None:
    well, silent = server(authority.issue("127.0.0.1")), server(behaviour=Behaviour.SILENT)
    hanging = [at(silent, name=f"silent{number}", timeout="1s") for number in range(20)]
    started = time.monotonic()
    result = run(*hanging, *(at(well, name=f"well{number}", ca_path=ca) for number in range(20)), timeout="20s")
    assert time.monotonic() - started < 10  # one after the other they would take 20
    assert result["summary"]["counts"] == {"ok": 20, "info": 0, "warning": 0, "unknown": 20, "critical": 0}


def test_at_the_deadline_what_was_done_is_returned(authority: Authority, ca: str, server: Server) -> None:
    well, silent = server(authority.issue("127.0.0.1")), server(behaviour=Behaviour.SILENT)
    started = time.monotonic()
    result = run(at(well, name="well", ca_path=ca), at(silent, name="silent"), timeout="60s", deadline="2s")
    assert time.monotonic() - started < 20
    assert {entry["target"]: entry["state"] for entry in result["certificates"]} == {"well": "ok", "silent": "unknown"}
    late = next(finding for finding in result["findings"] if finding["subject"] == "silent")
    assert late["evidence"] == {"kind": "deadline", "deadline_seconds": 2.0}


# --- through Ansible ---


def play(folder: Path, interpreter: str, tasks: list[Result], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine as a managed host whose Python is `interpreter`."""
    playbook = folder / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "playbooks" / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_HOME": str(folder / "ansible"),
    }
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "web1,", "-c", "local"]
    return subprocess.run(
        [*command, "-e", f"ansible_python_interpreter={interpreter}", *arguments, str(playbook)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def kept(variable: str, path: Path) -> Result:
    """A task that writes a registered result where the test can read it."""
    return {
        "name": "Keep the result",
        "ansible.builtin.copy": {"content": f"{{{{ {variable} | to_json }}}}", "dest": str(path), "mode": "0600"},
        "check_mode": False,
    }


def inventory(authority: Authority, ca: str, server: Server, folder: Path) -> Result:
    """One each: well, ending soon, renewed but not reloaded, below an expired one, rotten, and a directory."""
    old, new = authority.issue("127.0.0.1", days=40), authority.issue("127.0.0.1", days=89)
    live, _key = new.write(folder, "live")
    (folder / "site.pem").write_bytes(authority.issue("soon.example.org", days=5).chain_pem)
    (folder / "rotten.pem").write_bytes(
        b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n" + authority.issue("a").certificate_pem
    )
    (folder / "empty.pem").mkdir()
    stale = below_an_expired_intermediate(authority, "127.0.0.1")
    return {
        "files": [str(folder / "site.pem"), str(folder / "rotten.pem"), str(folder / "empty.pem")],
        "endpoints": [
            {"name": "well", **at(server(authority.issue("127.0.0.1")), ca_path=ca)},
            {"name": "shop", **at(server(old), ca_path=ca, expect_file=str(live))},
            {"name": "middle", **at(server(stale), ca_path=ca)},
        ],
    }


EXPECTED = {
    "site.pem": ["cert.expires_soon"],
    "rotten.pem": ["cert.unreadable"],
    "empty.pem": ["cert.unreadable"],
    "well": ["cert.valid"],
    "shop": ["cert.served_differs"],
    "middle": ["cert.expired"],
}


def by_subject(result: Result) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in result["findings"]:
        found.setdefault(Path(finding["subject"]).name, []).append(finding["code"])
    return found


def interpreters() -> list[str]:
    return [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]


@pytest.mark.parametrize("arguments", [(), ("--check", "--diff")], ids=["run", "check"])
def test_the_role_registers_the_same(
    authority: Authority, ca: str, server: Server, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    wanted = inventory(authority, ca, server, tmp_path)
    include = {
        "name": "Judge the certificates",
        "ansible.builtin.include_role": {"name": "cadence.upkeep.certificates", "tasks_from": "check"},
        "vars": {"certificates_inventory": wanted},
    }
    out = tmp_path / "result.json"
    ran = play(tmp_path, sys.executable, [include, kept("certificates_check", out)], *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads(out.read_text())
    assert by_subject(result) == EXPECTED
    assert result["changed"] is False


def test_a_mistake_in_the_inventory_is_one_sentence(tmp_path: Path) -> None:
    task = {"name": "Judge", "cadence.upkeep.cert_expiry": {"files": ["/etc/ssl/a.pem"], "warning": ["30"]}}
    ran = play(tmp_path, sys.executable, [task])
    assert ran.returncode == 2
    assert "warning: '30' has no unit where a duration is expected." in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


def test_a_host_without_the_library_is_told_what_to_install(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True, timeout=60)
    task = {"name": "Judge", "cadence.upkeep.cert_expiry": {"files": ["/etc/ssl/a.pem"]}}
    ran = play(tmp_path, str(bare / "bin" / "python"), [task])
    assert ran.returncode == 2
    assert "Install python3-cryptography (apt), python3-cryptography (dnf) or cryptography (pip)" in ran.stdout
    assert str(bare) in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.target_python
def test_every_python_of_a_managed_host_sees_the_same(
    authority: Authority, ca: str, server: Server, tmp_path: Path
) -> None:
    wanted = inventory(authority, ca, server, tmp_path)
    odd = self_signed("odd.example.org").certificate.public_bytes(serialization.Encoding.DER)
    (tmp_path / "negative.cer").write_bytes(odd.replace(b"\x02\x01\x07", b"\x02\x01\xf7", 1))
    wanted["files"].append(str(tmp_path / "negative.cer"))
    assert interpreters(), "UPKEEP_TARGET_PYTHONS names no interpreter"
    for interpreter in interpreters():
        out = tmp_path / "result.json"
        task = {"name": "Judge", "cadence.upkeep.cert_expiry": wanted, "register": "judged"}
        ran = play(tmp_path, interpreter, [task, kept("judged", out)])
        assert ran.returncode == 0, (interpreter, ran.stdout + ran.stderr)
        assert "serial" not in ran.stderr, interpreter
        result = json.loads(out.read_text())
        assert result["degraded"] == [], interpreter
        assert by_subject(result) == {**EXPECTED, "negative.cer": ["cert.negative_serial"]}, interpreter
        shown = {entry["target"]: len(entry["chain"]) for entry in result["certificates"]}
        assert shown["well"] == 2, interpreter
