"""The judgement of everything that can be seen of backups."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.evaluate import (
    evaluate,
    gaps,
    severity_of_age,
    unusual_size,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import level_reached, unproven
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    Failure,
    Found,
    Leftover,
    Problem,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from tests.unit.plugins.module_utils._backup.samples import (
    DAY,
    HOUR,
    NOW,
    backup,
    content,
    daily,
    found,
    policy,
    series,
    sidecar,
)

OK, INFO, WARNING, UNKNOWN, CRITICAL = Severity


def judge(*seen: Found, now: datetime = NOW) -> list[Finding]:
    return evaluate(Snapshot(seen), policy(*(one.series for one in seen)), now)


def told(*seen: Found) -> dict[str, Severity]:
    """Code and severity of each finding; no code twice."""
    findings = judge(*seen)
    assert len({finding.code for finding in findings}) == len(findings)
    return {finding.code.removeprefix("backup."): finding.severity for finding in findings}


def only(*seen: Found) -> Finding:
    (finding,) = judge(*seen)
    return finding


def of(**changes: Any) -> Found:
    """A healthy series, but for what is changed of its newest file."""
    newest, *others = daily(3)
    return found(replace(newest, **changes), *others)


# --- what is well


def test_nothing_is_said_of_a_series_that_is_as_it_should_be() -> None:
    assert judge(found(*daily(30))) == []


def test_every_finding_is_explained_and_says_what_to_do() -> None:
    seen = (
        found(),
        found(*daily(1, first_age=9 * DAY), partials=(Leftover("/b/x.partial", NOW),)),
        of(size=0),
        of(kind=model.FIFO),
        of(content=content(Problem("backup.truncated", "gzip", "ends"))),
    )
    findings = judge(*seen)
    assert findings
    for finding in findings:
        assert CODES[finding.code].remedy == finding.remedy
        assert finding.remedy
        assert finding.message.endswith(".")


# --- freshness


@pytest.mark.parametrize(
    ("hours", "severity"),
    [(0, OK), (24, OK), (26, OK), (26.01, WARNING), (48, WARNING), (48.01, CRITICAL), (900, CRITICAL)],
)
def test_severity_follows_the_age_of_the_newest(hours: float, severity: Severity) -> None:
    findings = told(found(*daily(2, first_age=hours * HOUR)))
    assert findings == ({} if severity is OK else {"stale": severity})


def test_a_stale_series_says_how_old_and_what_is_allowed() -> None:
    finding = only(found(*daily(2, first_age=51 * HOUR)))
    assert finding.subject == "shop"
    assert finding.message == (
        "The newest backup of shop was taken 2d 3h ago (one is due every 1d with 2h of grace, critical above 2d)."
    )
    assert finding.evidence["age_seconds"] == 51 * 3600
    assert finding.evidence["critical_seconds"] == 48 * 3600


@given(
    every=st.floats(0, 1e7),
    grace=st.floats(0, 1e6),
    max_age=st.floats(0, 1e7),
    ages=st.tuples(st.floats(0, 1e8), st.floats(0, 1e8)),
)
def test_older_is_never_better(every: float, grace: float, max_age: float, ages: tuple[float, float]) -> None:
    wanted = series(every=every, grace=grace, max_age=max_age)
    younger, older = sorted(ages)
    assert severity_of_age(wanted, younger) <= severity_of_age(wanted, older)


@given(every=st.floats(60, 1e7), grace=st.floats(0, 1e6), more=st.floats(0, 1e6), age=st.floats(0, 1e8))
def test_more_patience_is_never_stricter(every: float, grace: float, more: float, age: float) -> None:
    strict, lenient = series(every=every, grace=grace), series(every=every + more, grace=grace + more)
    assert severity_of_age(lenient, age) <= severity_of_age(strict, age)


def test_a_series_without_rhythm_is_never_late() -> None:
    assert told(found(*daily(2, first_age=900 * DAY), series=series(every=0.0))) == {}
    limited = series(every=0.0, max_age=3600.0)
    assert told(found(*daily(2, first_age=2 * HOUR), series=limited)) == {"stale": CRITICAL}
    assert "critical above 1h" in only(found(*daily(2, first_age=2 * HOUR), series=limited)).message


def test_no_backup_at_all_is_critical() -> None:
    assert only(found()).message == "There is no backup of the series shop at /b/shop-*.sql.gz: no file matches it."
    gone = only(found(missing_directory="/b"))
    assert (gone.code, gone.severity) == ("backup.missing", CRITICAL)
    assert gone.message.endswith("the directory /b does not exist.")
    path = only(found(series=series(named=False, name="/b/one.sql", every=0.0)))
    assert (path.subject, path.message) == ("/b/one.sql", "There is no backup of /b/one.sql: no file matches it.")


def test_a_directory_that_cannot_be_listed_is_unknown_and_not_missing() -> None:
    finding = only(found(failures=(Failure("unreadable", "cannot be listed: Permission denied", "/b"),)))
    assert (finding.code, finding.severity, finding.subject) == ("backup.unreadable", UNKNOWN, "/b")


def test_a_backup_in_the_future_is_not_believed() -> None:
    ahead = backup(-3 * HOUR, selected=False)
    assert told(found(ahead, *daily(3))) == {"future_dated": WARNING}
    assert told(found(ahead, *daily(3, first_age=3 * DAY))) == {"future_dated": WARNING, "stale": CRITICAL}
    assert told(found(ahead)) == {"future_dated": UNKNOWN}
    assert told(found(backup(-timedelta(minutes=9)), *daily(2)[1:])) == {}  # clocks differ


# --- gaps, number, sizes


def test_a_missing_day_is_a_gap() -> None:
    files = daily(6)
    finding = only(found(*files[:2], *files[3:]))
    assert (finding.code, finding.severity) == ("backup.gap", WARNING)
    assert finding.message == "shop has a gap in its last 7 periods, the longest of 2d (allowed: 1d 2h)."
    assert len(finding.evidence["gaps"]) == 1


def test_an_empty_file_closes_no_gap_and_is_not_counted() -> None:
    files = list(daily(6))
    files[2] = replace(files[2], size=0)
    assert told(found(*files, series=series(min_count=6))) == {"gap": WARNING, "retention_missing": WARNING}
    assert told(found(*daily(6), series=series(min_count=6))) == {}


def test_a_single_empty_file_has_no_gaps() -> None:
    assert told(found(backup(size=0), series=series(min_count=0))) == {"empty": CRITICAL}


def at(*days: float) -> list[datetime]:
    return sorted(NOW - day * DAY for day in days)


@pytest.mark.parametrize(
    ("days", "count"),
    [
        ((0, 1, 2, 3), 0),
        ((0, 1.08, 2), 0),  # within the grace
        ((0, 1.09, 2), 1),
        ((0, 2, 4), 2),
        ((0, 1, 2, 30, 60), 1),  # the step from the daily ones to those that retention keeps
        ((0, 1, 2, 3, 4, 5, 6, 7, 14, 21), 0),  # beyond the window
        ((0, 0.2, 0.4, 1, 2), 0),  # more than needed
        ((), 0),
        ((0,), 0),
    ],
)
def test_gaps_are_sought_in_the_last_periods(days: tuple[float, ...], count: int) -> None:
    assert len(gaps(series(), at(*days))) == count
    assert gaps(series(gap_window=0), at(*days)) == []
    assert gaps(series(every=0.0), at(*days)) == []


@given(st.lists(st.floats(0, 60), min_size=2, max_size=20), st.floats(0, 60))
def test_one_more_backup_in_between_never_makes_the_gaps_longer(days: list[float], more: float) -> None:
    wanted = series(gap_window=100)
    between = min(max(days), max(min(days), more))
    before = sum((later - earlier for earlier, later in gaps(wanted, at(*days))), timedelta())
    after = sum((later - earlier for earlier, later in gaps(wanted, at(*days, between))), timedelta())
    assert after <= before


def test_clocks_that_are_set_and_leap_days_are_no_gaps() -> None:
    """A job at 02:30 local time: in spring 23 hours apart, in autumn 25; and a leap day is a day."""
    assert gaps(series(), at(0, 23 / 24, 2)) == []
    assert gaps(series(), at(0, 25 / 24, 2)) == []


MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "before", "unusual"),
    [
        (100 * MIB, [100 * MIB] * 6, False),
        (111 * MIB, [100 * MIB] * 6, False),  # less than a fifth
        (130 * MIB, [100 * MIB] * 6, True),
        (70 * MIB, [100 * MIB] * 6, True),
        (130 * MIB, [100 * MIB] * 4, False),  # too few to tell
        (9 * MIB, [1 * MIB] * 6, False),  # below min_abs
        (100 * MIB, [60 * MIB, 140 * MIB, 90 * MIB, 40 * MIB, 160 * MIB, 100 * MIB], False),
        (0 + 220 * MIB, [100 * MIB + n * 10 * MIB for n in range(10)], False),  # it grows every day
        (900 * MIB, [100 * MIB + n * 10 * MIB for n in range(10)], True),
    ],
)
def test_a_size_is_unusual_by_what_was_usual(size: int, before: list[int], unusual: bool) -> None:
    band = model.SizeBand(14, 3.5, 10 * MIB, True)
    assert (unusual_size(band, size, before) is not None) is unusual
    if size > 100 * MIB:
        assert unusual_size(replace(band, both_sides=False), size, before) is None


def test_an_unusual_size_is_a_warning_of_the_newest_file() -> None:
    files = daily(9, size=100 * MIB)
    smaller = only(found(replace(files[0], size=20 * MIB), *files[1:]))
    assert (smaller.code, smaller.severity, smaller.subject) == ("backup.size_anomaly", WARNING, files[0].path)
    assert "20.0 MiB, far smaller than the 100.0 MiB" in smaller.message
    larger = only(found(replace(files[0], size=300 * MIB), *files[1:]))
    assert "far larger" in larger.message
    assert told(found(replace(files[0], size=20 * MIB), *files[1:], series=series(size_band=None))) == {}


# --- beside the backups


@pytest.mark.parametrize(
    ("idle", "grace", "severity"), [(10, 7200, INFO), (7200, 7200, INFO), (7201, 7200, WARNING), (9000, 0, WARNING)]
)
def test_an_unfinished_file_is_left_behind_after_the_grace(idle: float, grace: float, severity: Severity) -> None:
    partial = Leftover("/b/shop-x.sql.gz.partial", NOW - timedelta(seconds=idle))
    finding = only(found(*daily(2), partials=(partial,), series=series(grace=grace, every=0.0)))
    assert (finding.code, finding.severity, finding.subject) == ("backup.partial_upload", severity, partial.path)


def test_a_missing_series_names_what_was_begun() -> None:
    findings = {one.code: one for one in judge(found(partials=(Leftover("/b/shop-x.partial", NOW),)))}
    assert findings["backup.missing"].evidence["partial"] == ["/b/shop-x.partial"]


def test_backups_without_a_digest_are_one_info_of_the_series_and_no_finding_of_the_file() -> None:
    first, *others = daily(3)
    finding = only(found(replace(first, sidecar=None), *others))
    assert (finding.code, finding.severity, finding.subject) == ("backup.manifest_missing", INFO, "shop")


def test_digests_of_files_that_are_gone_are_one_info() -> None:
    finding = only(found(*daily(3), stale_sidecars=tuple(f"/b/shop-{n}.sql.sha256" for n in range(30))))
    assert (finding.code, finding.severity, finding.evidence["count"]) == ("backup.sidecar_stale", INFO, 30)
    assert len(finding.evidence["files"]) == 10


def test_files_that_everybody_can_read_are_one_warning() -> None:
    finding = only(found(*daily(3, exposed=True, mode=0o644)))
    assert (finding.code, finding.severity, finding.subject) == ("backup.insecure_mode", WARNING, "shop")
    assert "0644" in finding.message


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        (sidecar(), {}),
        (sidecar(other_name="renamed.sql.gz"), {}),
        (sidecar(sha256="b" * 64), {"digest_mismatch": CRITICAL}),
        (sidecar(sha256="b" * 64, other_name="other.sql.gz"), {"manifest_invalid": WARNING}),
        (sidecar(sha256="", problem="cannot be read: Permission denied"), {"manifest_invalid": WARNING}),
    ],
)
def test_the_digest_beside_a_file_is_compared(beside: model.Sidecar, expected: dict[str, Severity]) -> None:
    assert told(of(sidecar=beside)) == expected
    assert told(of(sidecar=beside, content=None)) == {
        code: severity for code, severity in expected.items() if beside.problem
    }


def test_a_file_that_was_changed_after_its_digest_is_said_to_be() -> None:
    other = sidecar(sha256="b" * 64, mtime=NOW - 9 * DAY)
    assert "changed after" in only(of(sidecar=other)).message
    assert "changed after" not in only(of(sidecar=sidecar(sha256="b" * 64))).message


# --- a file


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"size": 0}, {"empty": CRITICAL}),
        ({"kind": model.FIFO}, {"not_a_backup": CRITICAL}),
        ({"kind": model.SOCKET}, {"not_a_backup": CRITICAL}),
        ({"kind": model.DEVICE}, {"not_a_backup": CRITICAL}),
        ({"kind": model.DANGLING}, {"unreadable": UNKNOWN}),
        ({"kind": model.DIRECTORY, "size": 0}, {"empty": CRITICAL}),
        ({"kind": model.DIRECTORY}, {}),
        ({"failure": Failure(model.UNREADABLE, "cannot be read: Input/output error")}, {"unreadable": UNKNOWN}),
        ({"failure": Failure(model.TIMED_OUT, "was not begun")}, {"timeout": UNKNOWN}),
        ({"failure": Failure(model.CHANGING, "changed while it was read")}, {"partial_upload": UNKNOWN}),
        ({"failure": Failure(model.KILLED, "could not be judged")}, {"killed": UNKNOWN}),
    ],
)
def test_what_cannot_be_read_is_told_as_what_it_is(changes: dict[str, Any], expected: dict[str, Severity]) -> None:
    assert told(of(**changes)) == expected


@pytest.mark.parametrize(
    ("code", "fatal", "severity"),
    [
        ("truncated", True, CRITICAL),
        ("corrupt", True, CRITICAL),
        ("incomplete_dump", True, CRITICAL),
        ("toc_corrupt", True, CRITICAL),
        ("not_a_backup", True, CRITICAL),
        ("empty", True, CRITICAL),
        ("unexpected_format", True, CRITICAL),
        ("unexpected_format", False, WARNING),
        ("duplicate_dump", True, CRITICAL),
        ("duplicate_dump", False, WARNING),
        ("trailing_garbage", False, WARNING),
        ("line_endings", False, WARNING),
        ("unsupported", True, UNKNOWN),
        ("bomb", True, UNKNOWN),
    ],
)
def test_what_is_wrong_inside_has_its_severity(code: str, fatal: bool, severity: Severity) -> None:
    problem = Problem(f"backup.{code}", "gzip", "is wrong", 77, fatal, {"decoded_bytes": 9})
    finding = only(of(content=content(problem)))
    assert (finding.code, finding.severity) == (f"backup.{code}", severity)
    assert finding.message == f"{finding.subject} is wrong."
    assert (finding.evidence["layer"], finding.evidence["offset"], finding.evidence["decoded_bytes"]) == ("gzip", 77, 9)


def test_a_small_file_is_told_whatever_is_in_it() -> None:
    truncated = content(Problem("backup.truncated", "gzip", "ends"))
    small = replace(of(content=truncated), series=series(min_size=6000))
    assert told(small) == {"too_small": CRITICAL, "truncated": CRITICAL}
    assert told(replace(of(), series=series(min_size=5000))) == {}


def test_a_file_of_two_series_is_told_once() -> None:
    bad = of(content=content(Problem("backup.truncated", "gzip", "ends")))
    assert [one.code for one in judge(bad, replace(bad, series=series(name="other")))] == ["backup.truncated"]


# --- what a good verdict rests on


@pytest.mark.parametrize(
    ("changes", "level", "doubts"),
    [
        ({}, "integrity", ["completeness"]),
        ({"sidecar": None}, "integrity", ["completeness", "producer_digest"]),
        (
            {"content": content(unproven=("toc", "values"))},
            "integrity",
            ["completeness"],
        ),  # the digest vouches for them
        (
            {"content": content(unproven=("toc", "values")), "sidecar": None},
            "integrity",
            ["completeness", "producer_digest", "toc", "values"],
        ),
        (
            {"content": content(unproven=("values",)), "sidecar": sidecar(sha256="b" * 64)},
            "integrity",
            ["completeness", "producer_digest", "values"],
        ),
        ({"content": None}, "presence", ["completeness", "content", "producer_digest"]),
        ({"content": content(unproven=("content",), whole=False)}, "presence", ["completeness", "content"]),
        (
            {"content": content(Problem("backup.unsupported", "x", "is x"), unproven=("content",))},
            "presence",
            ["completeness", "content"],
        ),
    ],
)
def test_what_is_unproven_is_said(changes: dict[str, Any], level: str, doubts: list[str]) -> None:
    file = backup(**changes)
    assert level_reached(file, model.INTEGRITY) == level
    assert unproven(file) == doubts
