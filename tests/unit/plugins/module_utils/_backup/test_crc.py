"""Check values against those that others have published."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crc import CASTAGNOLI, ECMA, JONES, Crc

KNOWN = [
    (JONES, False, 64, 0xE9C6D914C4B8D9CA),  # redis/src/crc64.c
    (ECMA, True, 64, 0x995DC9BBDF1939FA),  # CRC-64/XZ, which Go calls ECMA
    (CASTAGNOLI, True, 32, 0xE3069283),  # RFC 3720
]


@pytest.mark.parametrize("step", [1, 2, 3, 9])
@pytest.mark.parametrize(("polynomial", "inverted", "bits", "value"), KNOWN)
def test_the_value_of_nine_digits(polynomial: int, inverted: bool, bits: int, value: int, step: int) -> None:
    running = Crc(polynomial, inverted, bits)
    for at in range(0, 9, step):
        running.update(b"123456789"[at : at + step])
    assert running.value == value
