"""How long the next restore will take, by those before it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.evaluate import evaluate
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Snapshot
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.records import metrics, series_records
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.forecast import Rehearsal, forecast
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Wishes
from tests.unit.plugins.module_utils._backup.samples import DAY, HOUR, NOW, backup, found, policy

MIB = 1 << 20


def rehearsal(days: int, load: float, size: int = MIB, target: str = "initdb", prepare: float = 1.0) -> Rehearsal:
    return Rehearsal(NOW - days * DAY, size, target, {"prepare": prepare, "load": load, "total": 99.0})


def test_nothing_is_known_without_a_restore_to_that_target() -> None:
    assert forecast([], "initdb", MIB) is None
    assert forecast([rehearsal(1, 5.0, target="server")], "initdb", MIB) is None


def test_the_data_are_scaled_by_size_and_the_start_of_the_server_is_not() -> None:
    ahead = forecast([rehearsal(1, 10.0)], "initdb", 3 * MIB)
    assert ahead is not None
    assert (ahead.points, ahead.p50, ahead.p95) == (1, 31.0, 31.0)
    assert ahead.phases == {"prepare": (1.0, 1.0), "load": (30.0, 30.0)}


@pytest.mark.parametrize(("count", "p95"), [(1, 1.0), (2, 2.0), (19, 19.0), (20, 19.0), (40, 38.0)])
def test_what_19_of_20_do_not_exceed(count: int, p95: float) -> None:
    ahead = forecast([rehearsal(n, float(n), prepare=0.0) for n in range(1, count + 1)], "initdb", MIB)
    assert ahead is not None
    assert (ahead.points, ahead.p95) == (count, p95)


def test_only_the_newest_ninety_count() -> None:
    old = [rehearsal(day, 1000.0) for day in range(91, 200)]
    ahead = forecast([*old, *(rehearsal(day, 1.0) for day in range(1, 91))], "initdb", MIB)
    assert ahead is not None
    assert (ahead.points, ahead.p95) == (90, 2.0)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=60), st.integers(1, 1 << 40))
def test_the_middle_is_never_above_the_most(loads: list[float], size: int) -> None:
    runs = [Rehearsal(NOW - timedelta(hours=n), MIB, "initdb", {"load": load}) for n, load in enumerate(loads)]
    ahead = forecast(runs, "initdb", size)
    assert ahead is not None
    assert ahead.p50 <= ahead.p95 <= max(loads) * size / MIB * 1.000001
    assert forecast(runs[::-1], "initdb", size) == ahead


def judged(count: int, max_rto: float) -> tuple[list[str], dict[str, Any]]:
    """What is said of a series whose newest backup is as large as those of *count* restores of 11 s each."""
    newest = backup(HOUR, size=MIB)
    seen = found(newest, rehearsals=tuple(rehearsal(day, 10.0) for day in range(1, count + 1)))
    wanted = policy(seen.series, restore=Wishes(max_rto=max_rto))
    findings = evaluate(Snapshot((seen,)), wanted, NOW)
    (record,) = series_records(Snapshot((seen,)), findings, NOW)
    names = [metric.name for metric in metrics(Snapshot((seen,)), NOW)]
    assert ("backup_rto_p95_seconds" in names) is (count > 0)
    return [one.severity.word for one in findings if one.code == "backup.rto_at_risk"], record


def test_a_series_that_will_be_too_slow_is_told_before_it_is() -> None:
    said, record = judged(5, max_rto=10.0)
    assert said == ["warning"]
    assert record["rto"] == {
        "points": 5, "size_bytes": MIB, "p50": 11.0, "p95": 11.0,
        "phases": {"prepare": {"p50": 1.0, "p95": 1.0}, "load": {"p50": 10.0, "p95": 10.0}},
    }  # fmt: skip
    assert judged(5, max_rto=11.0)[0] == []
    assert judged(4, max_rto=10.0)[0] == []  # too few to warn
    assert judged(5, max_rto=0.0)[0] == []
    assert "rto" not in judged(0, max_rto=10.0)[1]
