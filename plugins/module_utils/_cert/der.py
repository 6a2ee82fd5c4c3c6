# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walk through DER by hand, for what no library reads for us.

The dates of a certificate that the library refuses (a negative serial, a time without seconds), the certificates in
PKCS #7 one by one, and how long PKCS #12 would make us compute. Every function raises ``ValueError`` for what is cut
off or is no DER; none ever reads beyond its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

INTEGER, OCTETS, SEQUENCE = 0x02, 0x04, 0x30
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
CONTEXT_0 = 0xA0

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_UTC = re.compile(rb"(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(Z|[+-]\d{4})")
_GENERALIZED = re.compile(rb"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:[.,](\d+))?(Z|[+-]\d{4})?")
# Deeper than this is nothing that we look for.
_DEPTH = 12


class Element(NamedTuple):
    """One element: its tag, its content, and all of it with its header."""

    tag: int
    content: bytes
    whole: bytes


class Outline(NamedTuple):
    """What can be read of a certificate without understanding its names, keys or extensions."""

    serial: int
    not_before: datetime
    not_after: datetime
    same_names: bool
    key_info: bytes


def first_element(data: bytes, at: int = 0) -> Element:
    """Return the element of *data* that begins *at* that position, whatever follows it."""
    if len(data) < at + 2:
        raise ValueError("it ends in the middle of an element")
    tag, size, begin = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("it has a tag of several bytes")
    if size & 0x80:
        begin += size & 0x7F
        if not 3 <= begin - at <= 6:
            raise ValueError("it has an element without a length")
        size = int.from_bytes(data[at + 2 : begin], "big")
    end = begin + size
    if len(data) < end:
        raise ValueError("it ends in the middle of an element")
    return Element(tag, data[begin:end], data[at:end])


def elements(data: bytes) -> Iterator[Element]:
    """Yield the elements that *data* is made of."""
    position = 0
    while position < len(data):
        element = first_element(data, position)
        position += len(element.whole)
        yield element


def sole(data: bytes, tag: int = SEQUENCE) -> bytes:
    """Return the content of *data*, which must be one element of that *tag* and nothing more."""
    element = first_element(data)
    if element.tag != tag or len(element.whole) != len(data):
        raise ValueError("it is not what it should be, or something follows it")
    return element.content


def outline(certificate: bytes) -> Outline:
    """Return the outline of a certificate in DER. Raises ``ValueError`` when even that cannot be read."""
    serial, issuer, validity, subject, key = _fields(certificate)
    dates = list(elements(validity.content))
    if len(dates) != 2:
        raise ValueError("it has no dates")
    return Outline(
        serial=int.from_bytes(serial.content, "big", signed=True),
        not_before=instant(dates[0]),
        not_after=instant(dates[1]),
        same_names=issuer.whole == subject.whole,
        key_info=key.whole,
    )


def key_info(certificate: bytes) -> bytes:
    """Return the public key of a certificate as it stands there (``SubjectPublicKeyInfo``).

    It is the seventh field of the inner part, or the sixth of a certificate of the first version; what is before it is
    passed over, because this is done for each of many thousand certificates.
    """
    position = _span(certificate, _span(certificate, 0)[0])[0]
    passed = 6 if certificate[position : position + 1] == bytes([CONTEXT_0]) else 5
    for _field in range(passed):
        position = _span(certificate, position)[1]
    return certificate[position : _span(certificate, position)[1]]


def _span(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at that position begins and ends."""
    if len(data) < at + 2:
        raise ValueError("it ends in the middle of an element")
    size, begin = data[at + 1], at + 2
    if size & 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[at + 2 : begin], "big")
    if len(data) < begin + size:
        raise ValueError("it ends in the middle of an element")
    return begin, begin + size


def _fields(certificate: bytes) -> tuple[Element, Element, Element, Element, Element]:
    """Return serial, issuer, validity, subject and public key."""
    parts = list(elements(sole(certificate)))
    if len(parts) != 3 or parts[0].tag != SEQUENCE:
        raise ValueError("it is no certificate")
    fields = [field for field in elements(parts[0].content) if field.tag != CONTEXT_0]
    if len(fields) < 6 or fields[0].tag != INTEGER or any(field.tag != SEQUENCE for field in fields[1:6]):
        raise ValueError("it is no certificate")
    return fields[0], fields[2], fields[3], fields[4], fields[5]


def instant(element: Element) -> datetime:
    """Return the instant of a UTCTime or GeneralizedTime, also without seconds, with a fraction or an offset."""
    pattern = _UTC if element.tag == UTC_TIME else _GENERALIZED if element.tag == GENERALIZED_TIME else None
    match = pattern.fullmatch(element.content) if pattern is not None else None
    if match is None:
        raise ValueError("it has a date that cannot be read")
    year, month, day, hour, minute = (int(match[index]) for index in range(1, 6))
    if element.tag == UTC_TIME:
        year += 1900 if year >= 50 else 2000
    moment = datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=timezone.utc)
    zone = (match[match.re.groups] or b"Z").decode("ascii")
    if zone == "Z":
        return moment
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
    return moment - offset if zone[0] == "+" else moment + offset


def pkcs7_certificates(data: bytes) -> list[bytes]:
    """Return the certificates of PKCS #7 signed data, each in DER. Raises ``ValueError`` when it is something else."""
    kind, *rest = elements(sole(data))
    if kind.whole != _SIGNED_DATA or not rest or rest[0].tag != CONTEXT_0:
        raise ValueError("it is no PKCS #7 with certificates")
    signed = sole(rest[0].content)
    return [
        certificate.whole
        for field in elements(signed)
        if field.tag == CONTEXT_0
        for certificate in elements(field.content)
        if certificate.tag == SEQUENCE
    ]


def is_signed_data(data: bytes) -> bool:
    """True when *data* begins like PKCS #7 signed data."""
    return _SIGNED_DATA in data[:24]


def iterations(data: bytes, depth: int = 0) -> int:
    """Return the highest count of iterations that a key derivation in PKCS #12 *data* asks for.

    Salt and count stand beside one another wherever there is one, so its form need not be understood.
    """
    highest = 0
    before = 0
    try:
        for element in elements(data):
            if element.tag == INTEGER and before == OCTETS:
                highest = max(highest, int.from_bytes(element.content, "big"))
            before = element.tag
            if depth < _DEPTH and (element.tag & 0x20 or (element.tag == OCTETS and element.content[:1] == b"\x30")):
                highest = max(highest, iterations(element.content, depth + 1))
    except ValueError:
        pass  # encrypted or foreign bytes: whoever reads them says what is wrong
    return highest
