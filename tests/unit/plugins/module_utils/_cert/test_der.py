"""Reading DER by hand: strict about its edges, and never beyond them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import der
from tests.unit.plugins.module_utils._cert.corpus import CORPUS, GOOD, certificate, name_of, store, tlv


@pytest.mark.parametrize(
    ("tag", "text", "when"),
    [
        (0x17, b"261122041300Z", datetime(2026, 11, 22, 4, 13, tzinfo=UTC)),
        (0x17, b"2611220413Z", datetime(2026, 11, 22, 4, 13, tzinfo=UTC)),
        (0x17, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x17, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (0x17, b"261122051300+0100", datetime(2026, 11, 22, 4, 13, tzinfo=UTC)),
        (0x18, b"20261122041300Z", datetime(2026, 11, 22, 4, 13, tzinfo=UTC)),
        (0x18, b"20261122041300.25Z", datetime(2026, 11, 22, 4, 13, tzinfo=UTC)),
        (0x18, b"20261122031300-0100", datetime(2026, 11, 22, 4, 13, tzinfo=UTC)),
        (0x18, b"99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_every_form_of_an_instant(tag: int, text: bytes, when: datetime) -> None:
    assert der.instant(der.Element(tag, text, b"")) == when


@pytest.mark.parametrize(
    ("tag", "text"), [(0x17, b"261322041300Z"), (0x17, b"now"), (0x18, b""), (0x04, b"261122041300Z")]
)
def test_what_is_no_instant(tag: int, text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        der.instant(der.Element(tag, text, b""))


def test_the_outline_of_a_certificate() -> None:
    outline = der.outline(certificate(serial=b"\xf7", issuer=name_of("same"), subject=name_of("same")))
    assert (outline.serial, outline.same_names) == (-9, True)
    assert outline.not_after == datetime(2027, 9, 30, tzinfo=UTC)
    assert outline.key_info == der.key_info(GOOD)
    assert der.key_info(certificate(version=b"")) == outline.key_info


@pytest.mark.parametrize("cut", range(0, len(GOOD), 7))
def test_a_certificate_that_was_cut_off_is_none(cut: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        der.outline(GOOD[:cut])


@given(st.binary(max_size=300))
def test_noise_is_refused_and_breaks_nothing(noise: bytes) -> None:
    for read in (der.outline, der.pkcs7_certificates, der.key_info):
        with pytest.raises(ValueError, match=r".+"):
            read(noise)
    assert der.iterations(noise) >= 0


@given(st.sampled_from([case.content for case in CORPUS if case.content[:1] == b"\x30"]), st.data())
def test_a_flipped_byte_breaks_nothing(content: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :]
    for read in (der.outline, der.pkcs7_certificates):
        try:
            read(flipped)
        except ValueError:
            continue


def test_how_long_a_store_would_make_us_compute() -> None:
    assert 1000 < der.iterations(store(b"secret")) <= 10_000_000
    derivation = tlv(0x30, tlv(0x04, b"salt"), tlv(0x02, b"\x7f\xff\xff\xff"))
    assert der.iterations(tlv(0x30, tlv(0x02, b"\x03"), tlv(0x04, derivation))) == 0x7FFFFFFF
