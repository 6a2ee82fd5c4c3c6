"""`cert_expiry` against Debian's own servers: nginx, exim, dovecot, OpenLDAP, MariaDB and vsftpd."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.services import Services
from tests.bed.tls import Authority

pytestmark = pytest.mark.soak

Result = dict[str, Any]


def run(*endpoints: Result, **params: Any) -> Result:
    given = {"endpoints": list(endpoints), "timeout": "30s", **params}
    validated = validate(CHECK.name, CHECK.argument_spec, given, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result()


def codes(result: Result) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in result["findings"]:
        found.setdefault(finding["subject"], []).append(finding["code"])
    return found


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services(Authority(intermediate=True)) as running:
        yield running


def test_every_server_shows_its_certificate_and_none_of_them_the_renewed_one(services: Services) -> None:
    ports = {
        **services.dovecot(), "ldap": services.slapd(), "mysql": services.mariadb(), "ftp": services.vsftpd(),
    }  # fmt: skip
    common = {"host": "localhost", "ca_path": services.ca_path, "expect_file": str(services.live)}
    asked = [{"name": name, "port": port, "starttls": name, **common} for name, port in ports.items()]
    result = run(*asked)
    assert codes(result) == {name: ["cert.valid"] for name in ports}, result["findings"]
    for record in result["certificates"]:
        assert (record["verified"], record["hostname_ok"], record["served_matches_file"]) == (True, True, True)
        assert [link["role"] for link in record["chain"]] == ["leaf", "intermediate"], record["target"]
    services.renew(days=80)
    stale = codes(run(*asked))
    assert stale == {name: ["cert.served_differs"] for name in ports}


def test_exim_which_watches_its_files(services: Services) -> None:
    asked = {
        "name": "mail", "host": "localhost", "port": services.exim(), "starttls": "smtp", "ca_path": services.ca_path,
        "expect_file": str(services.live),
    }  # fmt: skip
    result = run(asked)
    assert codes(result) == {"mail": ["cert.valid"]}, result["findings"]
    (record,) = result["certificates"]
    assert (record["verified"], record["hostname_ok"], record["served_matches_file"]) == (True, True, True)
    assert record["leaf"]["fingerprint_sha256"] != services.renew(days=85).fingerprint
    deadline = time.monotonic() + 30
    while codes(found := run(asked)) != {"mail": ["cert.valid"]}:
        assert codes(found) == {"mail": ["cert.served_differs"]} and time.monotonic() < deadline, found["findings"]
        time.sleep(0.1)


def test_nginx_until_it_is_reloaded(services: Services) -> None:
    asked = {
        "name": "shop", "host": "localhost", "port": services.nginx(), "ca_path": services.ca_path,
        "expect_file": str(services.live),
    }  # fmt: skip
    result = run(asked, hsts=True, tls_versions=True)
    assert codes(result) == {"shop": ["cert.valid"]}, result["findings"]
    (record,) = result["certificates"]
    assert record["hsts"] == {"max_age": 31536000, "include_subdomains": False, "preload": False}
    assert record["tls_versions"][-2:] == ["TLSv1.2", "TLSv1.3"]
    services.renew(days=89)
    assert codes(run(asked)) == {"shop": ["cert.served_differs"]}
    services.reload_nginx()
    deadline = time.monotonic() + 30
    while codes(run(asked)) != {"shop": ["cert.valid"]}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_one_protocol_on_the_port_of_another_is_no_certificate(services: Services) -> None:
    port = services.ports.get("slapd") or services.slapd()
    for protocol in ("smtp", "imap", "postgres", "xmpp"):
        (finding,) = run({"host": "localhost", "port": port, "starttls": protocol, "timeout": "2s"})["findings"]
        assert finding["evidence"]["kind"] in ("starttls_protocol", "timeout"), protocol
