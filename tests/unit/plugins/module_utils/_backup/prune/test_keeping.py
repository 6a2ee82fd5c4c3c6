"""Which may go, against the definition written out by brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Keep
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.keeping import verdict
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import BAD, UNKNOWN, VERIFIED
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.retention import retained

BASE = datetime(2026, 11, 22, 2, tzinfo=UTC)
INSTANTS = st.lists(st.integers(0, 24 * 400), unique=True, max_size=24).map(
    lambda hours: [BASE - timedelta(hours=hour) for hour in sorted(hours)]
)
KEEPS = st.builds(
    Keep,
    last=st.integers(0, 8),
    daily=st.integers(0, 10),
    weekly=st.integers(0, 5),
    monthly=st.integers(0, 5),
    yearly=st.integers(0, 2),
)
AT_LEAST = st.integers(1, 4)


@st.composite
def stocks(draw: st.DrawFn) -> tuple[list[datetime], list[str]]:
    instants = draw(INSTANTS)
    states = draw(st.lists(st.sampled_from((VERIFIED, BAD, UNKNOWN)), min_size=len(instants), max_size=len(instants)))
    return instants, states


def going(instants: list[datetime], states: list[str], keep: Keep, least: int) -> set[int]:
    return {index for index, why in enumerate(verdict(instants, states, keep, least, UTC).why) if not why}


def by_definition(instants: list[datetime], states: list[str], keep: Keep, least: int) -> set[int]:
    """What the retention would not keep, were it whole, beside those that are known to be; never the newest ones."""
    verified = {index for index, state in enumerate(states) if state == VERIFIED}
    found = set()
    for index in range(len(instants)):
        together = sorted(verified | {index})
        surplus = {together[one] for one in retained([instants[each] for each in together], keep, UTC).surplus}
        if index in surplus and sum(other < index for other in verified) >= least:
            found.add(index)
    return found


@given(stocks(), KEEPS, AT_LEAST)
def test_a_backup_goes_exactly_when_the_verified_ones_stand_for_it(
    stock: tuple[list[datetime], list[str]], keep: Keep, least: int
) -> None:
    assert going(*stock, keep, least) == by_definition(*stock, keep, least)


@given(stocks(), KEEPS, AT_LEAST)
def test_the_newest_verified_ones_stay_and_all_that_is_newer(
    stock: tuple[list[datetime], list[str]], keep: Keep, least: int
) -> None:
    verified = [index for index, state in enumerate(stock[1]) if state == VERIFIED]
    border = verified[least - 1] if len(verified) >= least else len(stock[0])
    assert all(index > border for index in going(*stock, keep, least))


@given(stocks(), KEEPS, AT_LEAST)
def test_a_second_run_finds_nothing_more(stock: tuple[list[datetime], list[str]], keep: Keep, least: int) -> None:
    gone = going(*stock, keep, least)
    left = [index for index in range(len(stock[0])) if index not in gone]
    assert going([stock[0][one] for one in left], [stock[1][one] for one in left], keep, least) == set()


@given(stocks(), KEEPS, AT_LEAST, st.data())
def test_a_run_that_was_cut_off_is_finished_by_the_next(
    stock: tuple[list[datetime], list[str]], keep: Keep, least: int, data: st.DataObject
) -> None:
    gone = going(*stock, keep, least)
    done = set(data.draw(st.lists(st.sampled_from(sorted(gone)), unique=True))) if gone else set()
    left = [index for index in range(len(stock[0])) if index not in done]
    again = going([stock[0][one] for one in left], [stock[1][one] for one in left], keep, least)
    assert {left[one] for one in again} == gone - done


@given(stocks(), KEEPS, KEEPS, AT_LEAST, AT_LEAST)
def test_a_policy_that_keeps_more_removes_no_other(
    stock: tuple[list[datetime], list[str]], keep: Keep, more: Keep, least: int, besides: int
) -> None:
    larger = Keep(**{period: count + getattr(more, period) for period, count in vars(keep).items()})
    assert going(*stock, larger, least + besides) <= going(*stock, keep, least)


@given(stocks(), KEEPS, AT_LEAST)
def test_a_proof_lets_more_go_and_a_doubt_less(stock: tuple[list[datetime], list[str]], keep: Keep, least: int) -> None:
    """Of the same backups: what one does not know never lets one go that would stay if one knew."""
    instants, states = stock
    hopeful = [VERIFIED if state == UNKNOWN else state for state in states]
    worst = [BAD if state == UNKNOWN else state for state in states]
    verified = [index for index, state in enumerate(states) if state == VERIFIED]
    if verified[:1] == [index for index, state in enumerate(hopeful) if state == VERIFIED][:1]:
        assert going(instants, worst, keep, least) <= going(instants, hopeful, keep, least)


@given(stocks(), KEEPS, AT_LEAST, st.data())
def test_what_is_proven_step_by_step_is_all_that_matters(
    stock: tuple[list[datetime], list[str]], keep: Keep, least: int, data: st.DataObject
) -> None:
    instants, states = stock
    truth = [data.draw(st.sampled_from((VERIFIED, BAD))) if state == UNKNOWN else state for state in states]
    known = list(states)
    while wanted := verdict(instants, known, keep, least, UTC).prove:
        for index in wanted:
            assert known[index] == UNKNOWN
            known[index] = truth[index]
    assert going(instants, known, keep, least) == by_definition(instants, truth, keep, least)


def test_nothing_is_read_when_nothing_is_too_many() -> None:
    instants = [BASE - timedelta(days=number) for number in range(7)]
    assert verdict(instants, [UNKNOWN] * 7, Keep(daily=7), 3, UTC).prove == ()


def test_of_forty_days_only_those_are_read_that_stand_for_others() -> None:
    instants = [BASE - timedelta(days=number) for number in range(40)]
    states, read = [UNKNOWN] * 40, 0
    while wanted := verdict(instants, states, Keep(daily=30, weekly=4), 3, UTC).prove:
        for index in wanted:
            states[index] = VERIFIED
            read += 1
    assert read <= 5
    assert len(going(instants, states, Keep(daily=30, weekly=4), 3)) == 10
