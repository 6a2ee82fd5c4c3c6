"""What a user may ask of mode full."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import SKIP_REASONS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.options import rewrite_policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.argspec import ARGUMENT_SPEC


def policy(**options: Any):
    return rewrite_policy_of(validate("pg_vacuum", ARGUMENT_SPEC, {"mode": "full", **options}).params)


def test_the_defaults_are_careful() -> None:
    made = policy(tables=["orders"])
    assert (made.bloat_ratio, made.bloat_min_size, made.headroom) == (0.5, 100_000_000, 1.2)
    assert (made.method, made.bloat_method, made.unchecked, made.free_bytes) == ("auto", "auto", False, None)
    assert not made.tables.include_catalogs
    assert not made.always
    assert policy(tables=["orders"], include_catalogs=True, when="always").always


@pytest.mark.parametrize("chosen", [{"tables": ["log_*"]}, {"schemas": ["a"]}, {"tables": ["*"], "schemas": ["a"]}])
def test_a_choice_is_a_choice(chosen: dict[str, Any]) -> None:
    assert policy(**chosen).tables.mode == "full"


@pytest.mark.parametrize("chosen", [{}, {"tables": []}, {"tables": ["*"]}, {"schemas": ["?*"]}, {"tables": ["*.*"]}])
def test_everything_is_no_choice(chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="only tables that are chosen"):
        policy(**chosen)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bloat_ratio": 1.5}, "between 0 and 1"),
        ({"bloat_ratio": -0.1}, "between 0 and 1"),
        ({"disk_headroom": 0.5}, "disk_headroom is 0.5"),
        ({"bloat_min_size": "100"}, "bloat_min_size: .* has no unit"),
        ({"free_bytes": "5m"}, "free_bytes: "),
        ({"skip_if_vacuumed_within": "1h"}, "has no use for it"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        policy(tables=["orders"], **options)


def test_sizes_are_bytes() -> None:
    made = policy(tables=["orders"], free_bytes="1GiB", bloat_min_size="0")
    assert (made.free_bytes, made.bloat_min_size) == (2**30, 0)


def test_a_task_may_fail_for_each_reason() -> None:
    assert set(SKIP_REASONS) <= set(ARGUMENT_SPEC["fail_on_skipped"]["choices"])
