"""What a driver hands out becomes what JSON has, or is refused by its place."""

from __future__ import annotations

import enum
import json
import math
import os
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import to_plain
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from tests.unit.plugins.module_utils._core.properties import unhurried

INSTANT = datetime(2026, 11, 22, 5, 13, tzinfo=timezone(timedelta(hours=1)))


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        ("text", "text"),
        (math.nan, None),
        (-math.inf, None),
        (Decimal("12"), 12),
        (Decimal("12.50"), 12.5),
        (Decimal("1E+30"), 1e30),
        (Decimal("NaN"), None),
        (Decimal("1E+9999"), None),
        (INSTANT, rfc3339(INSTANT)),
        (INSTANT.replace(tzinfo=None), "2026-11-22T05:13:00"),  # which instant that is nobody knows
        (date(2026, 11, 22), "2026-11-22"),
        (timedelta(minutes=1.5), 90.0),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({1}), [1]),
        ((1, (2,)), [1, [2]]),
        (b"caf\xc3\xa9 \xff", "café \\xff"),
        (bytearray(b"x"), "x"),
        (PurePosixPath("/a/b"), "/a/b"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_address("::1"), "::1"),
        (Severity.WARNING, "warning"),
        (Colour.RED, "red"),
        ({1: "a", None: "b", Severity.OK: "c"}, {"1": "a", "None": "b", "ok": "c"}),
        ({"deep": [{"at": INSTANT}]}, {"deep": [{"at": "2026-11-22T04:13:00Z"}]}),
    ],
)
def test_every_type_that_a_check_meets_has_a_plain_form(value, plain):
    assert to_plain(value) == plain
    assert type(to_plain(value)) is type(plain)


def test_a_file_name_in_another_encoding_can_be_written_to_a_report():
    name = os.fsdecode(b"d\xfcmp.sql")
    plain = to_plain({"file": name, name: 1})
    assert json.loads(json.dumps(plain, ensure_ascii=False).encode()) == plain
    assert plain["file"] == "d\\udcfcmp.sql"


def test_what_json_does_not_have_is_refused_by_its_place():
    with pytest.raises(TypeError, match=r"the value\['findings'\]\[1\]\['evidence'\] is a object, which JSON does not"):
        to_plain({"findings": [{}, {"evidence": object()}]})


def test_evidence_of_an_error_never_makes_another_error():
    assert to_plain({"of": [range(3)]}, strict=False) == {"of": ["range(0, 3)"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@unhurried
@given(JSON)
def test_what_is_plain_stays_as_it_is_and_can_always_be_encoded(value):
    plain = to_plain(value)
    json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    assert to_plain(plain) == plain
