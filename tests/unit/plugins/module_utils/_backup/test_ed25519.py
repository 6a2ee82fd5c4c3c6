"""Ed25519 by the vectors of RFC 8032, 7.1, and what must not pass."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.ed25519 import verify

VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
        "eeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
        "8dc027beceea1ec40a",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_what_is_signed_verifies_and_nothing_else_does(key: str, message: str, signature: str) -> None:
    public, signed, packet = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify(public, signed, packet)
    assert not verify(public, signed + b"x", packet)
    for place in (0, 31, 32, 63):
        bad = bytearray(packet)
        bad[place] ^= 1
        assert not verify(public, signed, bytes(bad))
    bad_key = bytearray(public)
    bad_key[3] ^= 1
    assert not verify(bytes(bad_key), signed, packet)


def test_a_second_form_of_a_signature_is_refused() -> None:
    """The scalar must be the smallest: otherwise anybody could make another signature of one."""
    key, message, signature = (bytes.fromhex(part) for part in VECTORS[0])
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not verify(key, message, signature[:32] + scalar.to_bytes(32, "little"))


def test_what_is_no_key_or_signature_is_refused() -> None:
    key, _message, signature = (bytes.fromhex(part) for part in VECTORS[0])
    assert not verify(key[:-1], b"", signature)
    assert not verify(key, b"", signature[:-1])
    assert not verify(b"\xff" * 32, b"", signature)
    assert not verify((2**255 - 19).to_bytes(32, "little"), b"", signature)
