"""`backup_create`: what is needed, what it is called, what fits."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import model, naming
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import VersionIncompatible
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Earlier, Facts, Job
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.plan import (
    expected_bytes,
    room_short,
    why_not_needed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.programs import Client, choose, version_in
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Manifest, Source
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.names import promised_formats, time_in
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import is_companion

NOW = datetime(2026, 11, 22, 2, 0, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def job(**changes):
    return Job(**{"series": "shop", "directory": "/b", "kind": model.POSTGRES, "seconds": 60.0, **changes})


def earlier(age=HOUR, size=1000, source_bytes=0):
    manifest = Manifest("x", "postgres", NOW - age, size, "0" * 64, source=Source(database="shop", bytes=source_bytes))
    return Earlier("/b/x", manifest)


# --- needed or not


@pytest.mark.parametrize(
    ("ages", "needed"),
    [
        ([], True),
        ([timedelta(0)], False),
        ([timedelta(hours=22) - timedelta(seconds=1)], False),
        ([timedelta(hours=22)], True),
        ([timedelta(days=9), HOUR], False),
        ([timedelta(minutes=-5)], False),  # the clocks of hosts differ by a little
        ([timedelta(hours=-5)], True),  # a clock that jumped: what lies in the future stands for nothing
        ([timedelta(hours=-5), HOUR], False),
    ],
)
def test_a_backup_is_needed_when_the_newest_is_too_old(ages, needed):
    reason = why_not_needed(job(), [earlier(age) for age in ages], NOW)
    assert (reason == "") is needed


def test_always_is_always():
    assert why_not_needed(job(always=True), [earlier(timedelta(0))], NOW) == ""


def test_a_grace_longer_than_the_rhythm_makes_one_each_time():
    assert why_not_needed(job(every=60.0, grace=3600.0), [earlier(timedelta(0))], NOW) == ""


@given(age=st.integers(0, 10**6), every=st.integers(1, 10**6), more=st.integers(0, 10**6))
def test_what_is_needed_at_a_rhythm_is_needed_at_a_faster_one(age, every, more):
    slow, fast = job(every=float(every + more)), job(every=float(every))
    one = [earlier(timedelta(seconds=age))]
    assert not (why_not_needed(slow, one, NOW) == "" and why_not_needed(fast, one, NOW) != "")


# --- how large


def test_the_last_one_tells_how_large_it_will_be():
    facts = Facts("s", NOW, bytes=3000)
    assert expected_bytes(job(), facts, [earlier(size=400, source_bytes=1000)], packed=True) == 1200
    assert expected_bytes(job(), facts, [earlier(size=400)], packed=True) == 400
    assert expected_bytes(job(), Facts("s", NOW, bytes=10), [earlier(size=400, source_bytes=1000)], packed=True) == 400


def test_without_one_the_data_tell():
    facts = Facts("s", NOW, bytes=1000)
    assert expected_bytes(job(), facts, [], packed=True) < 1000 < expected_bytes(job(), facts, [], packed=False)


def test_room_is_for_headroom_and_for_what_is_to_stay_free():
    tight = job(headroom=1.5, min_free=100)
    assert room_short(tight, 1000, 1600) == 0
    assert room_short(tight, 1000, 1599) == 1


# --- names

SERIES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,10}", fullmatch=True).filter(naming.is_series)
TEXT = st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text)


@given(series=SERIES, database=TEXT)
def test_the_time_can_be_read_out_of_every_name(series, database):
    for part in (series, naming.part_of(series, database), naming.globals_of(series)):
        name = naming.name_of(part, NOW, ".dump.zst.age", ())
        found = time_in([name])
        assert found is not None
        assert found.in_utc(None) == NOW
        assert promised_formats(name)[:2] == ["age", "zstd"]
        assert not is_companion(name)
        assert all(is_companion(name + end) for end in naming.COMPANIONS)


@given(one=TEXT, other=TEXT, series=SERIES)
def test_two_databases_have_two_series(one, other, series):
    parts = {naming.part_of(series, one), naming.part_of(series, other), naming.globals_of(series)}
    assert len(parts) == (3 if one != other else 2)
    assert all("/" not in part and part.startswith(f"{series}.") for part in parts)


@given(series=SERIES, other=SERIES, database=TEXT)
def test_only_its_own_leftovers_are_a_series_s(series, other, database):
    own = [naming.name_of(part, NOW, ".dump", ()) for part in (series, naming.part_of(series, database))]
    foreign = [naming.name_of(part, NOW, ".dump", ()) for part in (other, naming.part_of(other, database))]
    names = [f"{name}.partial" for name in {*own, *foreign}]
    expected = {f"{name}.partial" for name in own}
    assert set(naming.leftovers_of(series, names)) == expected


def test_what_describes_an_unfinished_backup_is_a_leftover_and_of_a_finished_one_not():
    name = "shop-20261122T020000Z.dump"
    described = [f"{name}.manifest.json", f"{name}.sha256", f"{name}.manifest.json.minisig"]
    assert naming.leftovers_of("shop", [f"{name}.partial", *described]) == sorted([f"{name}.partial", *described])
    assert naming.leftovers_of("shop", [f"{name}.partial", name, *described]) == [f"{name}.partial"]
    assert naming.leftovers_of("shop", [name, *described]) == []
    assert naming.leftovers_of("shop", [f"{name}.manifest.json.partial"]) == [f"{name}.manifest.json.partial"]


@given(series=st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True), directory=TEXT, host=TEXT)
def test_the_mark_of_a_series_fits_and_is_its_own(series, directory, host):
    mark = model.mark_of(series, directory, host)
    assert len(f"upkeep backup_create {mark}") <= 63
    others = {(f"{series}x", directory, host), (series, f"{directory}x", host), (series, directory, f"{host}x")}
    assert mark not in {model.mark_of(*other) for other in others}


def test_a_name_that_is_taken_in_any_way_is_not_taken_again():
    first = naming.name_of("shop", NOW, ".dump", ())
    for taken in ("", ".partial", ".manifest.json", ".sha256.partial"):
        assert naming.name_of("shop", NOW, ".dump", {first + taken}) == "shop-20261122T020000Z-2.dump"
    assert naming.name_of("shop", NOW, ".dump", {first, "shop-20261122T020000Z-2.dump"}).endswith("Z-3.dump")


def test_the_backups_of_a_series_newest_first():
    names = [
        *("shop-20261121T020000Z.dump", "shop-20261122T020000Z.dump", "shop-20261122T020000Z-2.dump"),
        *("shop-20261122T020000Z-10.dump", "shop.a-20261122T020000Z.dump", "shop-eu-20261122T020000Z.dump"),
        *("shop-20261122T020000Z.dump.manifest.json", "shop-20261122T020000Z.dump.partial", "shop-x.dump"),
    ]
    assert naming.backups_of("shop", names) == [
        *("shop-20261122T020000Z-10.dump", "shop-20261122T020000Z-2.dump", "shop-20261122T020000Z.dump"),
        "shop-20261121T020000Z.dump",
    ]


@pytest.mark.parametrize("name", ["", "a.b", "-a", "a/b", "a b", "a" * 65, "shop-20261122T020000Z", "ü"])
def test_what_no_series_is_called(name):
    assert not naming.is_series(name)


# --- programs


@pytest.mark.parametrize(("server", "chosen"), [(13, 14), (14, 14), (15, 17), (17, 17), (18, 18)])
def test_the_lowest_version_that_is_not_older_is_chosen(server, chosen):
    clients = [Client(f"/{major}", major, f"{major}.1") for major in (18, 14, 17)]
    assert choose(clients, server).major == chosen


def test_an_older_one_is_refused():
    with pytest.raises(VersionIncompatible) as refused:
        choose([Client("/14", 14, "14.23")], 15)
    assert refused.value.evidence == {"class": "version_incompatible", "server_major": 15, "found": ["14.23"]}


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", (15, "15.18")),
        ("pg_dump (PostgreSQL) 18beta1", (18, "18")),
        ("pg_dump (PostgreSQL) 9.6.24", (9, "9.6.24")),
        ("something else", None),
    ],
)
def test_a_version_is_read(said, version):
    assert version_in(said) == version
