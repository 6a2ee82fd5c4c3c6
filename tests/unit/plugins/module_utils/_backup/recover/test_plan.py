"""What a restore would do and lose, in words and numbers, and what `backup_restore` takes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.model import (
    DATABASE,
    TREE,
    Backup,
    Present,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.plan import names_of, plan
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.run import job_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)
FILE = model.BackupFile(
    "/b/shop.dump", model.FILE, 1 << 20, NOW, 0o600, taken_at=NOW - timedelta(hours=2), taken_from=model.FROM_NAME
)


def job(**given):
    return job_of(validate("backup_restore", ARGUMENT_SPEC, {"path": "/b/shop.dump", "host": "db1", **given}).params)


def backup(**given):
    values = {"file": FILE, "kind": DATABASE, "chain": ("gzip", "pgdump-plain"), "decoded_bytes": 4 << 20,
              "rows": {"public.a": 10, "public.b": 5}, "source_bytes": 0, "database": "shop"}  # fmt: skip
    return Backup(**{**values, **given})


def test_the_plan_says_what_is_lost_and_how_to_confirm():
    rows = {"public.a": 17, "public.b": 5, "public.new": 3, "public.uncounted": None}
    present = Present(True, bytes=8 << 20, sessions=2, rows=rows, slots=("s",), prepared=1)
    made = plan(job(), backup(), present, names_of("shop", NOW), NOW)
    assert made.confirmation == "shop@db1"
    assert made.record["age_seconds"] == 7200
    assert made.record["lost"] == {"tables": ["public.new", "public.uncounted"], "rows": {"public.a": 7}}
    text = "\n".join(made.lines)
    for part in ("in the 2h since then", "2 tables that are there now are not in it", "About 7 rows more",
                 "2 sessions", "kept as shop_before_20261122T041300Z", "1 logical replication slots and 1 prepared",
                 "loaded as shop_restoring_20261122T041300Z", "pgdump-plain in gzip"):  # fmt: skip
        assert part in text


def test_there_may_be_nothing_to_replace():
    made = plan(job(), backup(rows=None), Present(False), names_of("shop", NOW), NOW)
    assert "There is no shop now." in made.lines
    assert (made.record["before_name"], made.record["lost"]) == (None, {})


def test_a_directory_keeps_its_name_in_front():
    names = names_of("/srv/app", NOW, ".")
    assert (names.fresh, names.before) == ("/srv/app.restoring-20261122T041300Z", "/srv/app.before-20261122T041300Z")
    made = plan(job(), backup(kind=TREE, chain=("tar",)), Present(True, bytes=5, files=2), names, NOW)
    assert made.confirmation == "/srv/app@db1"
    assert any("2 files" in line for line in made.lines)


@pytest.mark.parametrize("name", ["x" * 63, "ü" * 31, "shop"])
def test_names_of_databases_fit_the_server(name):
    names = names_of(name, NOW)
    assert max(len(one.encode()) for one in (names.fresh, names.before)) <= 63
    assert names.fresh != names.before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "shop.dump"}, "path: 'shop.dump' is not an absolute path"),
        ({"destination": "srv"}, "destination: 'srv' is not an absolute path"),
        ({"destination": "/srv", "database": "shop"}, "database and destination are both given"),
        ({"time_limit": "long"}, "time_limit: 'long'"),
        ({"jobs": -2}, "jobs is -2"),
    ],
)
def test_a_mistake_is_named(given, message):
    with pytest.raises(InvalidInput) as refused:
        job(**given)
    assert message in str(refused.value)
