"""Parameters become values once; each mistake names its option and its text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.options import Options, read_options
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import Limit
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput


def options(**params: Any) -> Options:
    return read_options(validate("cert_expiry", ARGUMENT_SPEC, {"files": [], **params}, RULES).params)


def endpoint(**params: Any):
    (spec,) = options(endpoints=[{"host": "www.example.org", **params}]).endpoints
    return spec


def test_defaults() -> None:
    read = options(files=["/etc/ssl/a.pem"])
    assert read.files == ("/etc/ssl/a.pem",)
    assert read.policy.limits.warning == (Limit(seconds=30 * 86400.0), Limit(share=0.25))
    assert read.policy.limits.critical == (Limit(seconds=7 * 86400.0), Limit(share=0.1))
    assert read.policy.renew_at is None
    assert read.policy.decide == "chain"
    assert (read.at, read.workers, read.deadline, read.max_size) == (None, 64, 300.0, 1 << 20)
    assert not read.problems_only
    spec = endpoint()
    assert (spec.target, spec.port, spec.seconds, spec.verify) == ("www.example.org:443", 443, 5.0, True)
    assert spec.limits is None


def test_everything_is_read() -> None:
    read = options(
        recurse=True, max_depth=2, follow=False, patterns=["*.x"], excludes=[], max_files=5, max_size="2KiB",
        warning="60d,50%", critical=["1d"], renew_at="20%", names=["bücher.example"], chain="leaf",
        at="2027-01-07T08:00:00+01:00", workers=4, deadline="90s", report="problems",
    )  # fmt: skip
    assert read.search.recurse
    assert (read.search.max_depth, read.search.follow, read.search.patterns) == (2, False, ("*.x",))
    assert (read.search.max_files, read.max_size) == (5, 2048)
    assert read.policy.limits.warning == (Limit(seconds=60 * 86400.0), Limit(share=0.5))
    assert read.policy.renew_at == Limit(share=pytest.approx(0.2))
    assert read.policy.names == ("xn--bcher-kva.example",)
    assert read.policy.decide == "leaf"
    assert read.at == datetime(2027, 1, 7, 7, tzinfo=UTC)
    assert (read.workers, read.deadline, read.problems_only) == (4, 90.0, True)


@pytest.mark.parametrize(
    ("host", "server_name", "sent", "checked"),
    [
        ("www.example.org", None, "www.example.org", "www.example.org"),
        ("WWW.Example.org.", None, "www.example.org", "www.example.org"),
        ("192.0.2.1", None, None, "192.0.2.1"),  # an address is never sent
        ("192.0.2.1", "www.example.org", "www.example.org", "www.example.org"),
        ("www.example.org", "", None, "www.example.org"),
        ("www.example.org", "192.0.2.1", None, "192.0.2.1"),
        ("[2001:db8::1]", None, None, "2001:db8::1"),
        ("bücher.example", None, "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_which_name_is_sent_and_which_is_looked_for(
    host: str, server_name: str | None, sent: str | None, checked: str
) -> None:
    spec = endpoint(host=host, **({} if server_name is None else {"server_name": server_name}))
    assert (spec.server_name, spec.checked_name) == (sent, checked)


@pytest.mark.parametrize(
    ("params", "target"),
    [
        ({}, "www.example.org:443"),
        ({"name": "shop", "port": 8443}, "shop"),
        ({"host": "::1"}, "[::1]:443"),
        ({"server_name": "b.example.org"}, "www.example.org:443 (b.example.org)"),
    ],
)
def test_what_an_endpoint_is_called(params: dict[str, Any], target: str) -> None:
    assert endpoint(**params).target == target


def test_an_endpoint_overrules_what_is_said_for_all() -> None:
    read = options(
        ca_path="/all.pem",
        timeout="2s",
        endpoints=[
            {"host": "a"},
            {"host": "b", "ca_path": "/b.pem", "timeout": "1s", "warning": ["1d"], "verify": "none"},
        ],
    )
    a, b = read.endpoints
    assert (a.ca_path, a.seconds, a.limits) == ("/all.pem", 2.0, None)
    assert (b.ca_path, b.seconds, b.verify) == ("/b.pem", 1.0, False)
    assert b.limits is not None
    assert b.limits.warning == (Limit(seconds=86400.0),)
    assert b.limits.critical == read.policy.limits.critical


@pytest.mark.parametrize("text", ["AB:" * 31 + "AB", "ab" * 32, " " + "AB" * 32])
def test_a_fingerprint_is_read_as_openssl_prints_it(text: str) -> None:
    assert endpoint(expect_fingerprint=text).expect_fingerprint == "ab" * 32


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"warning": ["30"]}, "warning: '30' has no unit"),
        ({"critical": ["7days"]}, "critical: '7days' has the unknown unit 'days'"),
        ({"renew_at": "120%"}, "renew_at: '120%' is more than the whole lifetime"),
        ({"files": ["etc/a.pem"]}, "files: 'etc/a.pem' is not an absolute path"),
        ({"files": ["/etc/a\0.pem"]}, "files: '/etc/a\\x00.pem' is not an absolute path"),
        ({"max_depth": -1}, "max_depth: -1 is too small"),
        ({"max_files": 0}, "max_files: 0 is too small"),
        ({"max_size": "1"}, "max_size: '1' has no unit"),
        ({"workers": 0}, "workers: 0 is too small"),
        ({"deadline": "soon"}, "deadline: 'soon' cannot be read"),
        ({"timeout": "0s", "endpoints": [{"host": "a"}]}, "timeout: '0s' leaves no time"),
        ({"at": "tomorrow"}, "at: 'tomorrow' is not an instant"),
        ({"names": ["a b"]}, "names: 'a b' is not a host name or address"),
        ({"endpoints": [{"host": ""}]}, "host: '' is not a host name or address"),
        ({"endpoints": [{"host": "a", "port": 0}]}, "port: 0 is not a port"),
        ({"endpoints": [{"host": "a", "port": 65536}]}, "port: 65536 is not a port"),
        ({"endpoints": [{"host": "a", "server_name": "a\nb"}]}, "server_name: 'a\\nb' is not a host name"),
        ({"endpoints": [{"host": "a", "ca_path": "ca.pem"}]}, "ca_path: 'ca.pem' is not an absolute path"),
        ({"endpoints": [{"host": "a", "expect_file": "a.pem"}]}, "expect_file: 'a.pem' is not an absolute path"),
        ({"endpoints": [{"host": "a", "expect_fingerprint": "ab:cd"}]}, "'ab:cd' is not a SHA-256 fingerprint"),
        ({"endpoints": [{"host": "a"}, {"host": "a"}]}, "two of them are called 'a:443'"),
        ({"endpoints": [{"host": "a", "name": "b\nc"}]}, "endpoints: a name has characters that cannot be shown"),
        ({"timeout": "9999999d", "endpoints": [{"host": "a"}]}, "timeout: '9999999d' is more than a thousand years"),
        ({"deadline": "9999999d"}, "deadline: '9999999d' is more than a thousand years"),
        ({"max_lifetime": "9999999d"}, "max_lifetime: '9999999d' is more than a thousand years"),
        ({"chain": "whole"}, "chain must be one of"),
        ({"endpoints": [{"port": 443}]}, "missing required arguments: host"),
        ({"endpoints": [{"host": "a", "prot": 443}]}, "prot"),
    ],
)
def test_a_mistake_names_its_option_and_its_text(params: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        options(**params)
    assert words in raised.value.message
    assert raised.value.remedy


def test_files_or_endpoints_are_needed() -> None:
    with pytest.raises(InvalidInput, match="one of the following is required: files, endpoints, content"):
        validate("cert_expiry", ARGUMENT_SPEC, {"recurse": True}, RULES)
