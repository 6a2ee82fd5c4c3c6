"""Taking a file apart: one rotten block hides nothing."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.pem import Block, blocks

DER = bytes([0x30, 0x03, 0x02, 0x01, 0x05])


def pem(der: bytes = DER, label: str = "CERTIFICATE", ends: bytes = b"\n") -> bytes:
    lines = [f"-----BEGIN {label}-----".encode(), base64.b64encode(der), f"-----END {label}-----".encode()]
    return ends.join(lines) + ends


@pytest.mark.parametrize(
    "data",
    [
        pem(),
        pem(ends=b"\r\n"),
        b"\xef\xbb\xbf" + pem(),
        b"subject=CN = a\nissuer=CN = b\n" + pem() + b"the end\n",
        pem(label="X509 CERTIFICATE"),
        pem(DER + b"what it is trusted for", label="TRUSTED CERTIFICATE"),
        pem().rstrip(b"\n"),
        pem().replace(base64.b64encode(DER), b"\n  ".join(base64.b64encode(DER)[i : i + 2] for i in range(0, 8, 2))),
    ],
    ids=["plain", "crlf", "bom", "text-around", "old-label", "trusted", "no-newline-at-the-end", "broken-lines"],
)
def test_every_form_of_a_certificate_is_read(data: bytes) -> None:
    assert [block.der for block in blocks(data)] == [DER]


def test_a_damaged_block_hides_neither_neighbour() -> None:
    damaged = pem().replace(base64.b64encode(DER), b"MAMC*QU=")
    first, second, third = blocks(pem() + damaged + pem())
    assert (first.der, third.der) == (DER, DER)
    assert second.der == b""
    assert second.line == 4
    assert "base64" in second.error


@pytest.mark.parametrize(
    "cut",
    [
        pem().split(b"-----END")[0],
        pem().replace(b"END CERTIFICATE", b"END X509 CRL"),
    ],
)
def test_a_block_that_was_cut_off_does_not_swallow_the_next(cut: bytes) -> None:
    first, second = blocks(cut + pem())
    assert first.der == b""
    assert "END" in first.error
    assert second.der == DER


def test_a_trusted_certificate_that_is_cut_off_is_damaged() -> None:
    (only,) = blocks(pem(DER[:3], label="TRUSTED CERTIFICATE"))
    assert only.der == b""
    assert "middle of an element" in only.error


def test_of_other_blocks_only_the_label_is_kept() -> None:
    key = pem(b"very secret", label="PRIVATE KEY")
    assert list(blocks(key + pem())) == [Block("PRIVATE KEY", 1), Block("CERTIFICATE", 4, DER)]


@given(st.binary(max_size=400))
def test_noise_holds_no_certificate_and_breaks_nothing(noise: bytes) -> None:
    assert all(block.der or block.error or block.label for block in blocks(noise))


@given(st.lists(st.sampled_from([pem(), pem(label="PRIVATE KEY"), b"-----BEGIN CERTIFICATE-----\n", b"text\n"])))
def test_each_whole_certificate_is_found_once(parts: list[bytes]) -> None:
    found = [block for block in blocks(b"".join(parts)) if block.der]
    assert len(found) == parts.count(pem())
