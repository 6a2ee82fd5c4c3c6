"""`cert_expiry` and what else there is to an endpoint: client certificates, proxies, addresses, versions, HSTS."""

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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.endpoint import Behaviour, TlsServer
from tests.bed.tls import Authority, Issued

Result = dict[str, Any]
Handler = Callable[[socket.socket], None]


def run(*endpoints: Result, **params: Any) -> Result:
    given = {"endpoints": list(endpoints), "timeout": "20s", **params}
    validated = validate(CHECK.name, CHECK.argument_spec, given, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result()


def codes(result: Result) -> list[str]:
    return sorted(finding["code"] for finding in result["findings"])


def record(result: Result) -> Result:
    (entry,) = result["certificates"]
    return entry


def found(result: Result, code: str) -> Result:
    (finding,) = (finding for finding in result["findings"] if finding["code"] == code)
    return finding


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(intermediate=True)


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> str:
    return str(authority.write(tmp_path))


@contextlib.contextmanager
def listening(handle: Handler, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Call `handle` with each connection, in a thread of its own; the port."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
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

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def context_of(issued: Issued, folder: Path, name: str = "served") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(folder, name))
    return context


# --- client certificates ---


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls-1.2", "tls-1.3"])
def strict(request: pytest.FixtureRequest, authority: Authority, ca: str, tmp_path: Path) -> Iterator[TlsServer]:
    """A server that wants a client certificate of the authority."""
    chain, key = authority.issue("127.0.0.1").write(tmp_path, "strict")
    with TlsServer(chain, key, client_ca=Path(ca), maximum_version=request.param) as server:
        yield server


def test_a_client_certificate_is_shown(authority: Authority, ca: str, strict: TlsServer, tmp_path: Path) -> None:
    chain, key = authority.issue("client").write(tmp_path, "client")
    asked = {"host": "127.0.0.1", "port": strict.port, "ca_path": ca}
    result = run({**asked, "client_cert": str(chain), "client_key": str(key)})
    assert codes(result) == ["cert.valid"]
    assert record(result)["error"] is None
    # Without one, the certificate is shown all the same, in either version.
    without = record(run(asked))
    assert (without["state"], without["leaf"]["subject"], without["verified"]) == ("ok", "CN=127.0.0.1", True)


def test_a_client_certificate_with_an_encrypted_key(
    authority: Authority, ca: str, strict: TlsServer, tmp_path: Path
) -> None:
    client = authority.issue("client")
    chain, key = client.write(tmp_path, "client")
    scheme = serialization.BestAvailableEncryption(b"open sesame")
    key.write_bytes(client.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme))
    asked = {"host": "127.0.0.1", "port": strict.port, "ca_path": ca, "client_cert": str(chain), "client_key": str(key)}
    assert codes(run(asked, passphrases=["wrong", "open sesame"])) == ["cert.valid"]
    for passphrases in ([], ["wrong"]):
        result = run(asked, passphrases=passphrases)
        assert record(result)["error"]["kind"] == "client_cert"
        assert "passphrases" in result["findings"][0]["remedy"]
        assert "open sesame" not in json.dumps(result)


def test_a_client_certificate_of_a_stranger_is_refused(authority: Authority, ca: str, tmp_path: Path) -> None:
    server_chain, server_key = authority.issue("127.0.0.1").write(tmp_path, "strict")
    chain, key = Authority("Stranger").issue("client").write(tmp_path, "client")
    with TlsServer(server_chain, server_key, client_ca=Path(ca), maximum_version=ssl.TLSVersion.TLSv1_2) as server:
        asked = {"host": "127.0.0.1", "port": server.port, "ca_path": ca}
        result = run({**asked, "client_cert": str(chain), "client_key": str(key)})
    finding = found(result, "cert.client_cert_required")
    assert (finding["severity"], finding["evidence"]["kind"]) == ("warning", "client_cert_refused")
    assert record(result)["leaf"]["subject"] == "CN=127.0.0.1"


@pytest.mark.parametrize(("content", "kind"), [(None, "not_found"), ("fifo", "not_regular"), (b"x", "client_cert")])
def test_a_client_certificate_that_cannot_be_used(
    authority: Authority, tmp_path: Path, content: bytes | str | None, kind: str
) -> None:
    path = tmp_path / "client.pem"
    if content == "fifo":
        os.mkfifo(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    chain, key = authority.issue("127.0.0.1").write(tmp_path, "served")
    with TlsServer(chain, key) as server:
        result = run({"host": "127.0.0.1", "port": server.port, "client_cert": str(path)}, timeout="20s")
    assert record(result)["error"]["kind"] == kind
    assert record(result)["state"] == "unknown"


# --- proxies ---


def proxy(answer: bytes | None = None, heard: list[bytes] | None = None) -> Handler:
    """An HTTP proxy that knows CONNECT, or one that always gives the same answer."""

    def handle(client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(1024)
        if heard is not None:
            heard.append(request)
        if answer is not None:
            client.sendall(answer)
            return
        host, _, port = request.split()[1].rpartition(b":")
        with socket.create_connection((host.decode().strip("[]"), int(port)), timeout=10) as upstream:
            client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: bed\r\n\r\n")
            back = threading.Thread(target=pump, args=(upstream, client), daemon=True)
            back.start()
            pump(client, upstream)
            back.join(10)

    return handle


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_proxy_is_used_when_it_is_named_and_never_else(
    authority: Authority, ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = authority.issue("shop.example.org").write(tmp_path, "served")
    heard: list[bytes] = []
    with TlsServer(chain, key) as server, listening(proxy(heard=heard)) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        asked = {"host": "127.0.0.1", "port": server.port, "server_name": "shop.example.org", "ca_path": ca}
        assert codes(run(asked)) == ["cert.valid"]
        assert heard == []
        result = run({**asked, "proxy": f"http://127.0.0.1:{port}"})
    assert codes(result) == ["cert.valid"]
    assert record(result)["peer_ip"] == ""
    assert heard[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication Required"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer like an HTTP proxy"),
        (b"", "does not answer like an HTTP proxy"),
        (b"HTTP/1.1 200 OK\r\n\r\ninjected", "does not answer like an HTTP proxy"),
    ],
)
def test_a_proxy_that_does_not_let_us_through(answer: bytes, words: str) -> None:
    with listening(proxy(answer)) as port:
        (finding,) = run({"host": "192.0.2.1", "proxy": f"127.0.0.1:{port}"})["findings"]
    assert finding["evidence"]["kind"] == "proxy"
    assert words in finding["message"]


def test_a_proxy_that_is_not_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (finding,) = run({"host": "192.0.2.1", "proxy": f"127.0.0.1:{port}"})["findings"]
    assert finding["evidence"]["kind"] == "proxy"
    assert f"127.0.0.1:{port}" in finding["message"]


# --- several addresses ---


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The resolver is made to know a name with these addresses; everything else is real."""
    real = socket.getaddrinfo

    def know(name: str, *places: tuple[str, int]) -> None:
        def answer(host: Any, *arguments: Any, **options: Any) -> Any:
            if host != name:
                return real(host, *arguments, **options)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return know


def test_each_address_of_a_name_has_a_record(
    authority: Authority, ca: str, tmp_path: Path, two_addresses: Callable[..., None]
) -> None:
    old, new = authority.issue("shop.example.org", days=40), authority.issue("shop.example.org", days=80)
    live, _key = new.write(tmp_path, "live")

    def serve(issued: Issued, name: str) -> Handler:
        context = context_of(issued, tmp_path, name)
        return lambda connection: context.wrap_socket(connection, server_side=True).recv(1) and None

    with listening(serve(new, "new"), "127.0.0.2") as port, listening(serve(old, "old"), "127.0.0.3", port):
        places = [("127.0.0.2", port), ("127.0.0.3", port), ("127.0.0.4", port)]
        two_addresses("shop.example.org", *places)
        asked = {"name": "shop", "host": "shop.example.org", "port": port, "ca_path": ca, "expect_file": str(live)}
        result = run({**asked, "addresses": "all"})
        assert codes(run(asked)) == ["cert.valid"]  # the first address is enough for it
    states = {entry["target"]: entry["state"] for entry in result["certificates"]}
    assert states == {"shop at 127.0.0.2": "ok", "shop at 127.0.0.3": "warning", "shop at 127.0.0.4": "unknown"}
    by_target = {
        target: sorted(finding["code"] for finding in result["findings"] if finding["subject"] == target)
        for target in states
    }
    assert by_target == {
        "shop at 127.0.0.2": ["cert.valid"],
        "shop at 127.0.0.3": ["cert.addresses_differ", "cert.served_differs"],
        "shop at 127.0.0.4": ["cert.unreachable"],
    }
    assert result["summary"]["counts"] == {"ok": 1, "info": 0, "warning": 1, "unknown": 1, "critical": 0}


def test_a_name_with_one_address_keeps_its_name(authority: Authority, ca: str, tmp_path: Path) -> None:
    chain, key = authority.issue("127.0.0.1").write(tmp_path, "served")
    with TlsServer(chain, key) as server:
        asked = {"host": "127.0.0.1", "port": server.port, "ca_path": ca, "addresses": "all"}
        assert record(run(asked))["target"] == f"127.0.0.1:{server.port}"


# --- versions of TLS, HSTS ---


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_the_versions_that_are_accepted(authority: Authority, ca: str, tmp_path: Path) -> None:
    old = context_of(authority.issue("127.0.0.1"), tmp_path, "old")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    new = context_of(authority.issue("127.0.0.1"), tmp_path, "new")
    new.minimum_version = ssl.TLSVersion.TLSv1_2

    def serve(context: ssl.SSLContext) -> Handler:
        return lambda connection: context.wrap_socket(connection, server_side=True).recv(1) and None

    with listening(serve(old)) as old_port, listening(serve(new)) as new_port:
        ports = {"old": old_port, "new": new_port}
        asked = [{"name": name, "host": "127.0.0.1", "port": port, "ca_path": ca} for name, port in ports.items()]
        quiet = run(*asked)
        result = run(*asked, tls_versions=True)
        strict = run(asked[1], tls_versions=True, min_tls="TLSv1.3")
    assert codes(quiet) == ["cert.valid", "cert.valid"]  # both agree on the newest with an ordinary client
    assert {entry["target"]: entry["tls_versions"] for entry in quiet["certificates"]} == {"old": None, "new": None}
    versions = {entry["target"]: entry["tls_versions"] for entry in result["certificates"]}
    assert versions == {"old": ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"], "new": ["TLSv1.2", "TLSv1.3"]}
    finding = found(result, "cert.tls_version_low")
    assert (finding["subject"], finding["evidence"]["accepted"]) == ("old", ["TLSv1", "TLSv1.1"])
    assert found(strict, "cert.tls_version_low")["evidence"]["accepted"] == ["TLSv1.2"]


@pytest.mark.parametrize(
    ("answer", "code", "hsts"),
    [
        (
            b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n\r\nhi",
            "cert.valid",
            {"max_age": 31536000, "include_subdomains": True, "preload": True},
        ),
        (
            b'HTTP/1.1 301 Moved\r\nstrict-transport-security:max-age="300"\r\n\r\n',
            "cert.hsts_short",
            {"max_age": 300, "include_subdomains": False, "preload": False},
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nStrict-Transport-Security: max-age=31536000",
            "cert.hsts_missing",
            {"max_age": None, "include_subdomains": False, "preload": False},
        ),
        (b"220 this is no web server\r\n", "cert.valid", None),
        (b"", "cert.valid", None),
    ],
    ids=["well", "short", "missing", "no-http", "silence"],
)
def test_hsts(
    authority: Authority, ca: str, tmp_path: Path, answer: bytes, code: str, hsts: dict[str, Any] | None
) -> None:
    context = context_of(authority.issue("shop.example.org"), tmp_path)
    asked: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            asked.append(tls.recv(4096))
            tls.sendall(answer)

    with listening(handle) as port:
        endpoint = {"host": "127.0.0.1", "port": port, "server_name": "shop.example.org", "ca_path": ca}
        result = run(endpoint, hsts=True)
        assert record(run({**endpoint, "hsts": False}, hsts=True))["hsts"] is None
    assert codes(result) == [code]
    assert record(result)["hsts"] == hsts
    assert asked[0].startswith(f"GET / HTTP/1.1\r\nHost: shop.example.org:{port}\r\n".encode())


def test_a_page_that_comes_byte_by_byte_is_not_waited_for(authority: Authority, ca: str, tmp_path: Path) -> None:
    context, ended = context_of(authority.issue("shop.example.org"), tmp_path), threading.Event()

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            while not ended.wait(0.2):  # a new byte well within the time that a single wait has
                tls.sendall(b"H")

    with listening(handle) as port:
        endpoint = {"host": "127.0.0.1", "port": port, "server_name": "shop.example.org", "ca_path": ca}
        started = time.monotonic()
        result = run({**endpoint, "timeout": "2s"}, hsts=True, deadline="5m")
        ended.set()
    assert codes(result) == ["cert.valid"] and record(result)["hsts"] is None
    assert time.monotonic() - started < 60


# --- all of it together ---


def test_a_hundred_endpoints_of_which_five_hang(authority: Authority, ca: str, tmp_path: Path) -> None:
    chain, key = authority.issue("127.0.0.1").write(tmp_path, "served")
    with ExitStack() as stack:
        well = stack.enter_context(TlsServer(chain, key))
        silent = stack.enter_context(TlsServer(behaviour=Behaviour.SILENT))
        endpoints = [
            {"name": f"e{n}", "host": "127.0.0.1", "port": (well if n % 20 else silent).port, "ca_path": ca,
             **({} if n % 20 else {"timeout": "2s"})}
            for n in range(100)
        ]  # fmt: skip
        result = run(*endpoints, report="problems")
    assert result["summary"]["counts"] == {"ok": 95, "info": 0, "warning": 0, "unknown": 5, "critical": 0}
    assert {finding["evidence"]["kind"] for finding in result["findings"]} == {"timeout"}
    assert result["summary"]["seconds"] < 20  # one after the other those that hang would take ten of them


@pytest.mark.soak
def test_a_thousand_endpoints_of_which_fifty_hang(tmp_path: Path) -> None:
    """The benchmark, which stops by itself when one endpoint got another verdict than it should."""
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "certificates.py"
    ended = subprocess.run(
        [sys.executable, str(script), "--endpoints", "1000", "--files", "200", "--rounds", "1", "--output",
         str(tmp_path / "result.json")], capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = {row["what"]: row for row in json.loads((tmp_path / "result.json").read_text())["rows"]}
    assert rows["endpoints"]["examined"] == 1000
    assert rows["endpoints, 5 % hanging"]["unknown"] == 50
