"""What is said of a database whose ids run out."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import EMERGENCY_AGE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.wraparound import (
    Ages,
    out_of_reach,
    wraparound,
)
from tests.unit.plugins.module_utils._postgres.vacuum.samples import POLICY, holder

ALARM = Ages(1_200_000_000, 5)
SAFE = Ages(40, 5)
OLD = holder(kind="prepared", id="left", xid_age=1_199_999_000, hint="Finish it: ROLLBACK PREPARED 'left';")
SLOT = holder(kind="slot", id="s", database="", seconds=None, xid_age=900_000_000, hint="Drop it: slot s;")


@pytest.mark.parametrize(
    ("ages", "alarming"),
    [(Ages(EMERGENCY_AGE, 0), False), (Ages(EMERGENCY_AGE + 1, 0), True), (Ages(0, EMERGENCY_AGE + 1), True)],
)
def test_half_the_way_is_an_emergency(ages: Ages, alarming: bool) -> None:
    assert ages.alarming is alarming
    assert bool(wraparound("main: shop", ages, None, POLICY, (), {})) is alarming


def test_who_holds_it_is_told_first_with_the_step_for_each() -> None:
    young = holder(xid_age=149_999_999)
    blocked, emergency = wraparound("main: shop", ALARM, ALARM, POLICY, [OLD, SLOT, young], {})
    assert (blocked.code, blocked.severity) == ("pg.wraparound_blocked", Severity.CRITICAL)
    assert blocked.code < emergency.code, "findings of one severity are sorted by code"
    assert blocked.remedy == "Finish it: ROLLBACK PREPARED 'left'; Drop it: slot s;"
    assert [one["id"] for one in blocked.evidence["holders"]] == ["left", "s"]
    assert "the prepared transaction 'left'" in blocked.message
    assert (emergency.code, emergency.severity) == ("pg.wraparound_emergency", Severity.CRITICAL)
    assert "1200000000 old, and no data can be changed any more after 944483648 further ones" in emergency.message
    assert "pg.wraparound_blocked" in emergency.remedy
    assert {blocked.code, emergency.code} <= set(CODES)


def test_an_old_multixact_is_called_one() -> None:
    (finding,) = wraparound("main: shop", Ages(7, 2**31 - 1), None, POLICY, (), {})
    assert "its oldest multixact is 2147483647 old" in finding.message
    assert "after 0 further ones" in finding.message


def test_what_the_run_would_not_touch_is_named() -> None:
    (finding,) = wraparound("main: shop", ALARM, None, POLICY, (), {"public.left_out": 1_200_000_000})
    assert finding.evidence["left"] == {"public.left_out": 1_200_000_000}
    assert "public.left_out" in finding.remedy


def test_before_the_work_the_step_is_the_work() -> None:
    (finding,) = wraparound("main: shop", ALARM, None, POLICY, (), {})
    assert "without check mode" in finding.remedy
    (finding,) = wraparound("main: shop", ALARM, ALARM, POLICY, (), {})
    assert "time_limit" in finding.remedy


def test_what_is_over_was_near() -> None:
    (finding,) = wraparound("main: shop", ALARM, SAFE, POLICY, [OLD], {})
    assert (finding.code, finding.severity) == ("pg.wraparound_averted", Severity.WARNING)
    assert finding.message == (
        "main: shop was near the end of its transaction ids (1200000000 of 2147483648), and is 40 old now."
    )
    assert (finding.evidence["xid_age_before"], finding.evidence["xid_age"]) == (1_200_000_000, 40)


def test_a_database_in_which_nothing_is_done_is_told_too() -> None:
    finding = out_of_reach("main: template0", ALARM, "it does not accept connections")
    assert (finding.code, finding.severity) == ("pg.wraparound_emergency", Severity.CRITICAL)
    assert finding.message.endswith("This run does not work there: it does not accept connections.")
