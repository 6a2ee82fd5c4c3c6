"""Which names a certificate stands for."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import ascii_name, covers, is_ip


@pytest.mark.parametrize(
    ("names", "wanted", "covered"),
    [
        (["www.example.org"], "www.example.org", True),
        (["WWW.Example.ORG"], "www.example.org", True),
        (["www.example.org"], "www.example.org.", True),
        (["www.example.org."], "www.example.org", True),
        (["example.org"], "www.example.org", False),
        (["*.example.org"], "www.example.org", True),
        (["*.example.org"], "example.org", False),
        (["*.example.org"], "a.b.example.org", False),  # one label
        (["w*.example.org"], "www.example.org", False),  # the whole label
        (["*.org"], "example.org", False),
        (["*"], "localhost", False),
        (["localhost"], "localhost", True),
        (["xn--bcher-kva.example"], "bücher.example", True),
        (["xn--strae-oqa.example"], "Straße.example", True),  # by the rules of 2008, as clients have it
        (["strasse.example"], "straße.example", False),
        (["xn--nxasmm1c.example"], "βόλος.example", True),
        (["*.xn--bcher-kva.example"], "*.bücher.example", True),
        (["xn--r8jz45g.xn--zckzah"], "例え。テスト", True),
        (["*.example.org"], "*.example.org", True),  # to ask whether the wildcard itself is in it
        (["www.example.org"], "*.example.org", False),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.2", False),
        (["*.0.2.1"], "192.0.2.1", False),
        (["2001:db8::1"], "2001:0db8:0:0::1", True),
        (["fe80::1"], "fe80::1%eth0", True),
        ([], "www.example.org", False),
    ],
)
def test_a_name_is_covered_by_subject_alternative_names(names: list[str], wanted: str, covered: bool) -> None:
    assert covers(names, wanted) is covered


@pytest.mark.parametrize("name", ["", ".", "a b", "a\nb", "a\0b", "a" * 64 + ".example", "..example", "a..b", "ß" * 63])
def test_what_cannot_be_a_host_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ascii_name(name)


@pytest.mark.parametrize(("text", "address"), [("::1", True), ("127.0.0.1", True), ("1.2.3", False), ("a", False)])
def test_addresses_are_told_from_names(text: str, address: bool) -> None:
    assert is_ip(text) is address
