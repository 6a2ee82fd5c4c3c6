"""Manifests: written and read to be the same, and refused with a reason when they cannot be used."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import (
    Manifest,
    Part,
    Source,
    Unusable,
    directory_sha256,
    parse,
    render,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from tests.unit.plugins.module_utils._backup.samples import NOW

A, B = "a" * 64, "b" * 64
WHOLE = Manifest(
    name="shop-20261122T020000Z.sql.gz",
    kind="postgres",
    series="shop",
    made_by="cadence.upkeep 0.1.0",
    taken_at=NOW,
    finished_at=NOW + timedelta(minutes=4),
    stored_size=5000,
    stored_sha256=A,
    plain_size=20000,
    plain_sha256=B,
    formats=("gzip", "pgdump-plain"),
    source=Source("db1", "shop", "17.11", "7400000000000000001", "UTF8", 123456789),
    tools={"pg_dump": "17.11", "gzip": "1.12"},
    statuses=(("pg_dump", 0), ("gzip", 0)),
    rows={"public.orders": 12, 'public."ünïcode"': 0},
    fingerprints={"public.orders": "123"},
    extensions=("plpgsql",),
    members=Members(3, 99, A),
    parts=(Part("toc.dat", 10, A), Part("sub/1.dat.gz", 20, B)),
    recipients=("age1...",),
)
LEAST = Manifest(name="x.sql", kind="files", taken_at=NOW, stored_size=0, stored_sha256=A)


@pytest.mark.parametrize("manifest", [WHOLE, LEAST])
def test_what_is_written_is_read(manifest: Manifest) -> None:
    assert parse(render(manifest)) == manifest
    assert render(parse(render(manifest))) == render(manifest)
    assert render(manifest).endswith(b"}\n")


def test_that_nothing_was_counted_is_not_that_there_was_nothing() -> None:
    assert parse(render(LEAST)).rows is None
    assert parse(render(Manifest(**{**vars(LEAST), "rows": {}}))).rows == {}


@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), st.integers(0, 1 << 40), max_size=5))
def test_a_table_may_be_called_anything(rows: dict[str, int]) -> None:
    assert parse(render(Manifest(**{**vars(LEAST), "rows": rows}))).rows == rows


def test_a_program_that_failed_is_named() -> None:
    assert WHOLE.failed == []
    failed = Manifest(**{**vars(LEAST), "statuses": (("pg_dump", 1), ("gzip", 0), ("age", -9))})
    assert parse(render(failed)).failed == ["pg_dump ended with 1", "age ended with -9"]


def changed(**changes: Any) -> bytes:
    plain = {**json.loads(render(WHOLE)), **changes}
    return json.dumps({key: value for key, value in plain.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (render(WHOLE)[:-30], "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a manifest"),
        (b"{}", "no schema number"),
        (b"[" * 100_000, "not JSON"),
        (changed(schema=2), "has schema 2, and this version reads 1"),
        (changed(schema=True), "no schema number"),
        (changed(name="../etc/passwd"), "not beside it"),
        (changed(name="/x"), "not beside it"),
        (changed(name=""), "not beside it"),
        (changed(name=...), "name"),
        (changed(name=5), "name"),
        (changed(taken_at="yesterday"), "taken_at"),
        (changed(taken_at=...), "taken_at"),
        (changed(stored=...), "stored.size"),
        (changed(stored={"size": -1, "sha256": A}), "stored.size"),
        (changed(stored={"size": 1 << 70, "sha256": A}), "stored.size"),
        (changed(stored={"size": True, "sha256": A}), "stored.size"),
        (changed(stored={"size": 1, "sha256": "abc"}), "stored.sha256"),
        (changed(plain={"size": 1}), "plain.sha256"),
        (changed(rows=[1]), "rows"),
        (changed(rows={"t": "many"}), "rows.t"),
        (changed(rows={"t": 1.5}), "rows.t"),
        (changed(tools={"x": 1}), "tools.x"),
        (changed(format="gzip"), "format"),
        (changed(format=[1]), "format"),
        (changed(programs=[{"program": "x"}]), "programs.status"),
        (changed(programs=["x"]), "programs"),
        (changed(files=[{"name": "../x", "size": 1, "sha256": A}]), "not beside it"),
        (changed(files=[{"name": "/x", "size": 1, "sha256": A}]), "not beside it"),
        (changed(source=[]), "source"),
        (changed(members={"count": 1, "bytes": 1, "sha256": "x"}), "members.sha256"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data: bytes, why: str) -> None:
    with pytest.raises(Unusable, match=why.replace("(", r"\(")):
        parse(data)


def test_what_is_not_known_is_left_alone() -> None:
    assert parse(changed(later={"x": 1})) == WHOLE


@given(st.binary(max_size=300))
def test_whatever_stands_there_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(Unusable):
        parse(data)


def test_a_directory_has_one_digest_whatever_the_order() -> None:
    parts = list(WHOLE.parts)
    assert directory_sha256(parts) == directory_sha256(parts[::-1])
    assert directory_sha256(parts) != directory_sha256(parts[:1])
