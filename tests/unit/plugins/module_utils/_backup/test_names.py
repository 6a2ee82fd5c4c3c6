"""When a backup was taken, and what it claims to be, by its name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.names import (
    foreign_time,
    promised_formats,
    refined,
    time_in,
)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "instant"),
    [
        ("shop-20261122T020000Z.sql.gz", "2026-11-22T02:00:00+00:00"),
        ("shop-20261122t0200z.sql.gz", "2026-11-22T02:00:00+00:00"),
        ("shop-2026-11-22T02:00:00Z.dump", "2026-11-22T02:00:00+00:00"),
        ("shop-2026-11-22T02:00:00+0100.dump", "2026-11-22T02:00:00+01:00"),
        ("shop-20261122T020000-05:30.dump", "2026-11-22T02:00:00-05:30"),
        ("shop_2026-11-22_02-00UTC.sql", "2026-11-22T02:00:00+00:00"),
        ("backup_20261122_020000.sql.gz", "2026-11-22T02:00:00"),
        ("20261122020000.sql", "2026-11-22T02:00:00"),
        ("shop202611220201.sql", "2026-11-22T02:01:00"),
        ("shop-2026-11-22-02-05-09.sql.gz", "2026-11-22T02:05:09"),
        ("shop-2026-11-22_02-05-09-0001.sql.gz", "2026-11-22T02:05:09"),
        ("shop_2026.11.22_02.05.09.sql.gz", "2026-11-22T02:05:09"),
        ("shop 2026-11-22 02h05.sql", "2026-11-22T02:05:00"),
        ("2026_11_22__02_05_09_shop.tar", "2026-11-22T02:05:09"),
        ("2026-11-22--0205.sql", "2026-11-22T02:05:00"),
        ("shop-2028-02-29T00:00:00Z", "2028-02-29T00:00:00+00:00"),
        ("full-20261101-then-20261122T020000Z.sql", "2026-11-22T02:00:00+00:00"),  # the exact one
        ("20261122T020000Z-base-20261101.sql", "2026-11-22T02:00:00+00:00"),
        ("20261121T020000Z-20261122T020000Z.sql", "2026-11-22T02:00:00+00:00"),  # the last one
    ],
)
def test_a_time_in_a_name_is_found(name: str, instant: str) -> None:
    time = time_in([name])
    assert time is not None
    assert time.instant == datetime.fromisoformat(instant)
    assert time.instant.tzinfo == datetime.fromisoformat(instant).tzinfo
    assert not time.to_the_day


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("shop-20261122.sql.gz", (2026, 11, 22)),
        ("shop_2026-11-22.sql", (2026, 11, 22)),
        ("2026_11_22_16.11_gitlab_backup.tar", (2026, 11, 22)),  # a version, not a time
        ("1493107454_2026_11_22_10.6.4-ce_backup.tar", (2026, 11, 22)),
        ("shop-20261122-123.sql", (2026, 11, 22)),
        ("shop-2026-11-22-1.sql", (2026, 11, 22)),
        ("shop-20261122_256000.sql", (2026, 11, 22)),  # there is no such hour
        ("shop-20261122T020000+9900.sql", (2026, 11, 22)),  # nor such a zone
    ],
)
def test_a_day_in_a_name_is_found(name: str, day: tuple[int, int, int]) -> None:
    time = time_in([name])
    assert time is not None
    assert time.to_the_day
    assert time.instant == datetime(*day)  # noqa: DTZ001 (a day in a name has no zone)


@pytest.mark.parametrize(
    "name",
    [
        "shop.sql.gz",
        "shop-19991122.sql",
        "shop-20261322.sql",
        "shop-20260231.sql",
        "shop-120261122.sql",
        "1763776800.sql",
        "v15.18",
        "",
    ],
)
def test_other_numbers_are_no_time(name: str) -> None:
    assert time_in([name]) is None


def test_the_nearest_directory_that_has_a_time_is_asked_when_the_name_has_none() -> None:
    time = time_in(["shop.sql", "daily", "20261122_020000", "20250101"])
    assert time is not None
    assert time.instant == datetime(2026, 11, 22, 2)  # noqa: DTZ001 (a time in a name may have no zone)
    assert time_in(["shop.sql", "daily"]) is None


@pytest.mark.parametrize(
    ("name", "zone", "instant"),
    [
        ("a-20261122T0200Z", BERLIN, "2026-11-22T02:00:00Z"),
        ("a-20261122T0200+0300", BERLIN, "2026-11-21T23:00:00Z"),
        ("a-20261122_0200", timezone.utc, "2026-11-22T02:00:00Z"),
        ("a-20261122_0200", BERLIN, "2026-11-22T01:00:00Z"),
        ("a-20260622_0200", BERLIN, "2026-06-22T00:00:00Z"),
        ("a-20261025_0230", BERLIN, "2026-10-25T00:30:00Z"),  # the first of the two
        ("a-20260329_0230", BERLIN, "2026-03-29T01:30:00Z"),  # was never shown by a clock
    ],
)
def test_a_time_without_a_zone_is_in_the_zone_of_the_series(name: str, zone: ZoneInfo, instant: str) -> None:
    time = time_in([name])
    assert time is not None
    assert time.in_utc(zone) == datetime.fromisoformat(instant)


def test_a_time_without_any_zone_is_the_hosts() -> None:
    time = time_in(["a-20261122_0200"])
    assert time is not None
    assert time.in_utc(None) == datetime(2026, 11, 22, 2).astimezone(UTC)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31)))  # noqa: DTZ001 (hypothesis adds none)
def test_what_date_writes_is_read_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    for form in ("%Y%m%dT%H%M%SZ", "%Y%m%d_%H%M%S", "%Y-%m-%d_%H-%M-%S", "%Y%m%d%H%M%S", "%FT%T", "%F_%H.%M.%S"):
        time = time_in([f"shop-{whole.strftime(form)}.sql.gz"])
        assert time is not None
        assert time.instant.replace(tzinfo=None) == whole, form


@given(st.text(max_size=60))
def test_no_name_breaks_it(name: str) -> None:
    time = time_in([name])
    assert time is None or time.in_utc(UTC).tzinfo is not None
    assert isinstance(promised_formats(name), list)


def test_a_day_is_refined_by_the_time_of_the_file_when_both_agree() -> None:
    day = datetime(2026, 11, 22, tzinfo=UTC)
    at_two, next_morning, copied = day + timedelta(hours=2), day + timedelta(hours=29), day + timedelta(hours=40)
    assert refined(day, at_two) == at_two
    assert refined(day, next_morning) == next_morning  # begun before midnight
    assert refined(day, copied) == day
    assert refined(day, day - timedelta(seconds=1)) == day


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("shop.sql", ["sql"]),
        ("shop.SQL.GZ", ["gzip", "sql"]),
        ("shop.sql.xz.gpg", ["openpgp", "xz", "sql"]),
        ("shop.tgz", ["gzip", "tar"]),
        ("shop.tar.bz2", ["bzip2", "tar"]),
        ("shop.gz", ["gzip"]),
        ("shop.dump", []),
        ("shop.dump.gz", ["gzip"]),
        ("shop.pgdump", ["pgdump-custom"]),
        ("shop", []),
        (".gz", []),
        ("a.b.sql.zst", ["zstd", "sql"]),
    ],
)
def test_a_name_promises_formats(name: str, formats: list[str]) -> None:
    assert promised_formats(name) == formats


# --- what other programs write


@pytest.mark.parametrize(
    ("path", "instant", "exact"),
    [
        ("1763776800_2026_11_22_17.0.0_gitlab_backup.tar", "2025-11-22T02:00:00+00:00", True),
        ("backup-1763776800.sql.gz", "2025-11-22T02:00:00+00:00", True),
        ("PG_shop.22-November-2026.dmp", "2026-11-22", False),
        ("PG_shop.02-Mar-2026.dmp", "2026-03-02", False),
        ("shop_2026-11-22_02h00m.Sunday.sql.gz", "2026-11-22T02:00:00", True),
        ("weekly/shop-202647.sql.gz", "2026-11-16", False),
        ("monthly/shop-202611.sql.gz", "2026-11-01", False),
        ("shop-2026112202.sql.gz", None, False),
        ("shop-99-Foo-2026.dmp", None, False),
        ("weekly/shop-202659.sql.gz", None, False),
    ],
)
def test_the_names_that_other_programs_give(path: str, instant: str | None, exact: bool) -> None:
    time = foreign_time(path)
    if instant is None:
        assert time is None
        return
    assert time is not None
    assert time.instant.isoformat().startswith(instant)
    assert time.to_the_day is not exact


@pytest.mark.parametrize(
    ("path", "pattern", "instant"),
    [
        ("db-22.11.26.sql", r"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d\d)\.sql", "2026-11-22T00:00:00"),
        (
            "d2026/m11/d22/h02.dump",
            r"d(?P<year>\d{4})/m(?P<month>\d\d)/d(?P<day>\d\d)/h(?P<hour>\d\d)",
            "2026-11-22T02:00:00",
        ),
        ("x-1700000000.tar", r"-(?P<epoch>\d+)\.", "2023-11-14T22:13:20+00:00"),
        ("x-2026-13.tar", r"(?P<year>\d{4})-(?P<month>\d\d)", None),
        ("anything", r"(?P<year>\d{4})", None),
    ],
)
def test_a_pattern_of_ones_own(path: str, pattern: str, instant: str | None) -> None:
    time = foreign_time(path, pattern)
    assert (time.instant.isoformat() if time is not None else None) == instant


def test_a_week_or_a_month_is_refined_by_the_time_of_its_last_change() -> None:
    week = foreign_time("weekly/shop-202647.sql.gz")
    assert week is not None
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    assert refined(monday, monday + timedelta(days=5), week.span) == monday + timedelta(days=5)
    assert refined(monday, monday + timedelta(days=9), week.span) == monday
