"""Which types can hold the number of a large object."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.kinds import Leaf, kinds_of

OID = ("oid", "N", True)
INT = ("int4", "N", True)
NUMERIC = ("numeric", "N", True)
TEXT = ("text", "S", True)
JSONB = ("jsonb", "U", True)
UUID = ("uuid", "U", True)
BYTEA = ("bytea", "U", True)
FLOAT = ("float8", "N", True)
HSTORE = ("hstore", "U", False)
CITEXT = ("citext", "S", False)
OWN_OID = ("oid", "U", False)  # somebody's own type of that name


@pytest.mark.parametrize(
    ("leaves", "kind"),
    [
        ([("direct", OID)], "direct"),
        ([("array", OID)], "array"),
        ([("nested", OID)], "nested"),
        ([("nested", INT), ("nested", OID)], "nested"),
        ([("array", OID), ("direct", OID)], "nested"),
        ([("direct", INT)], "number"),
        ([("direct", NUMERIC)], "numeric"),
        ([("direct", TEXT)], "words"),
        ([("direct", CITEXT)], "words"),
        ([("direct", JSONB)], "words"),
        ([("direct", HSTORE)], "words"),
        ([("array", INT)], "words"),
        ([("nested", TEXT), ("nested", UUID)], "words"),
        ([("direct", UUID)], None),
        ([("direct", BYTEA)], None),
        ([("direct", FLOAT)], None),
        ([("nested", UUID)], None),
        ([("direct", OWN_OID)], None),
    ],
)
def test_how_a_type_may_hold_a_number(leaves, kind):
    found = kinds_of(Leaf(1, how, *what) for how, what in leaves)
    assert found == ({} if kind is None else {1: kind})


def test_each_type_for_itself():
    found = kinds_of([Leaf(1, "direct", *OID), Leaf(2, "direct", *UUID), Leaf(3, "array", *TEXT)])
    assert found == {1: "direct", 3: "words"}
