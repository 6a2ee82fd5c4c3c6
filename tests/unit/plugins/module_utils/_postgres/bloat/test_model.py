"""An estimate as others see it."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate

ESTIMATE = Estimate(1, "table", "public", "a\nb", 'public."a\nb"', 1, "a\nb", 10_000, 4000)


def test_what_a_rewrite_would_free() -> None:
    assert (ESTIMATE.bloat_bytes, ESTIMATE.ratio) == (6000, 0.6)
    assert ESTIMATE.title == 'public."a\\nb"'


def test_nothing_is_never_less_than_nothing() -> None:
    larger = replace(ESTIMATE, expected_bytes=20_000)
    assert (larger.bloat_bytes, larger.ratio) == (0, 0.0)
    empty = replace(ESTIMATE, bytes=0, expected_bytes=0)
    assert (empty.bloat_bytes, empty.ratio) == (0, 0.0)


def test_a_record_has_plain_values() -> None:
    assert ESTIMATE.as_dict() == {
        "oid": 1, "kind": "table", "schema": "public", "name": "a\nb", "table": "a\nb", "bytes": 10_000,
        "expected_bytes": 4000, "bloat_bytes": 6000, "ratio": 0.6, "method": "estimate", "confidence": "high",
        "why": "",
    }  # fmt: skip
