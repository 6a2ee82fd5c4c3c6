"""What several calls have left of one budget."""

from __future__ import annotations

import time

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cadence.upkeep.plugins.filter.time_left import FilterModule

time_left = FilterModule().filters()["time_left"]


def test_what_was_used_is_gone() -> None:
    left = int(time_left("30m", time.time() - 600).removesuffix("s"))
    assert 1190 <= left <= 1200


def test_nothing_is_left_of_a_budget_that_is_spent() -> None:
    assert time_left("5m", time.time() - 301) == "0s"


def test_a_fact_may_come_as_text() -> None:
    assert time_left("1h", str(time.time() - 3601)) == "0s"


def test_what_is_no_budget_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="'30'"):
        time_left("30", 0)
