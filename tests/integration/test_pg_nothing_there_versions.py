"""A cluster in which there is nothing yet, and choices that leave nothing: what each job says of it, by version."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.run import rewrite
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.run import vacuum
from tests.bed.postgres import Cluster
from tests.integration.large_objects import Objects
from tests.integration.module import run_module
from tests.integration.reindexing import Indexed
from tests.integration.vacuuming import Place, Result

# What a weekly and a monthly run look at in each database.
WEEKLY = ["unused_indexes", "duplicate_indexes", "bloat", "temp_files"]
MONTHLY = ["large_objects", "sizes", "last_vacuum", "sequences", "invalid_indexes"]


@pytest.fixture
def place(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path) -> Place:
    return Place(postgres_cluster, postgres_database, tmp_path)


@pytest.fixture
def indexed(place: Place) -> Indexed:
    return Indexed(place.cluster, place.database, place.folder)


def verdict(result: Result) -> tuple[str, list[str]]:
    return result["summary"]["worst"], [finding["code"] for finding in result["findings"]]


def healthy(place: Place, *subset: str, **options: Any) -> Result:
    params = place.options(**{"subset": list(subset), "databases": [place.database], **options})
    del params["state_dir"]  # it keeps nothing
    return check(validate("pg_health_info", ARGUMENT_SPEC, params).params, utc_now()).as_result()


def orphans(place: Place, **options: Any) -> Result:
    return Objects(place.cluster, place.database, place.folder).call(**options)


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_database_without_tables_needs_nothing(place: Place, indexed: Indexed, check_mode: bool) -> None:
    for mode in ("vacuum_analyze", "vacuum", "analyze", "freeze"):
        for catalogs in (True, False):
            result = place.call(mode=mode, include_catalogs=catalogs, xid_age=2**30, mxid_age=2**30, check=check_mode)
            assert result["summary"]["worst"] == "ok", (mode, catalogs, result["findings"])
    assert verdict(indexed.call(check=check_mode)) == ("ok", [])
    assert verdict(indexed.call(check=check_mode, databases=[place.database], schemas=["*"])) == ("ok", [])
    assert verdict(orphans(place, databases=[place.database])) == ("ok", [])
    seen = healthy(place, *WEEKLY, *MONTHLY)
    assert seen["summary"]["worst"] in ("ok", "info"), seen["findings"]


@pytest.mark.parametrize("job", [vacuum, rewrite])
def test_a_pattern_that_chooses_no_table_says_so(place: Place, job: Callable[..., Ended]) -> None:
    mode = "full" if job is rewrite else "vacuum_analyze"
    result = job(place.params(mode=mode, tables=["app_*"]), utc_now()).as_result()
    assert verdict(result) == ("unknown", ["pg.nothing_examined"])
    (found,) = result["findings"]
    assert f"no table of {place.database} is chosen by app_*" in found["message"]
    assert "Correct the names and patterns" in found["remedy"]


def test_a_pattern_that_chooses_no_index_says_so(indexed: Indexed) -> None:
    result = indexed.call(indexes=["app_*"])
    assert verdict(result) == ("unknown", ["pg.nothing_examined"])
    assert f"no index of {indexed.database} is chosen by app_*" in result["findings"][0]["message"]


def test_databases_that_nobody_may_enter_are_named(place: Place, indexed: Indexed) -> None:
    place.execute(f"REVOKE CONNECT ON DATABASE {place.database} FROM PUBLIC")
    with place.role() as login:
        elsewhere = {**login, "login_db": "postgres", "databases": [f"{place.database}*"]}
        seen = healthy(place, "bloat", **elsewhere)
        for result in (place.call(**elsewhere), indexed.call(**elsewhere), orphans(place, **elsewhere), seen):
            assert verdict(result) == ("unknown", ["pg.nothing_examined"])
            (found,) = result["findings"]
            assert f"{place.database} (the role may not connect to it)" in found["message"]
            assert "GRANT CONNECT" in found["remedy"]
        (none,) = place.call(**{**elsewhere, "databases": ["no_such_*"]})["findings"]
        assert none["code"] == "pg.nothing_examined" and "no database is chosen" in none["message"]


def test_a_failure_without_a_name_tells_which_server_it_is_about(place: Place) -> None:
    address = f"{place.cluster.host}:{place.cluster.port}"
    wrong = {**place.options(login_password="wrong"), "name": None}
    wrong = {key: value for key, value in wrong.items() if value is not None}
    answer = run_module(place.folder, "pg_reindex", wrong)
    assert (answer.how, answer.result["evidence"]["subject"]) == ("FAILED", address)


def test_the_least_is_told_with_a_refusal(place: Place) -> None:
    with pytest.raises(UpkeepError, match="jobs is 0; it cannot be less than 1") as caught:
        place.call(jobs=0)
    assert caught.value.remedy == "Give jobs as 1 or more, or leave it out."


def test_numbers_and_times_beyond_all_bounds_are_refused_or_do_no_harm(place: Place, indexed: Indexed) -> None:
    place.execute("CREATE TABLE orders (id integer PRIMARY KEY)", "ANALYZE orders")
    for job, options in (
        (indexed.call, {"disk_headroom": 1e308}),
        (indexed.call, {"tablespace": "a\0b"}),
        (partial(healthy, place, "sizes"), {"top": 2**63}),
        (partial(orphans, place), {"max_objects": 2**63}),
    ):
        with pytest.raises(InvalidInput, match=next(iter(options))) as caught:
            job(**options)
        assert caught.value.remedy
    seen = healthy(place, "last_vacuum", vacuum_overdue="900000000000s", statement_timeout="3000d", lock_timeout="90d")
    assert "pg.health_unreadable" not in verdict(seen)[1]
    assert place.call(lock_timeout="90d", statement_timeout="3000d")["summary"]["worst"] == "ok"


def test_what_only_the_role_cannot_measure_is_unknown(indexed: Indexed) -> None:
    indexed.make_bloated("orders")
    with indexed.role() as login:
        result = indexed.call(**login)
        assert verdict(result) == ("unknown", ["pg.bloat_unknown"])
        assert "public.orders_pkey" in result["findings"][0]["message"]
        indexed.execute(f"GRANT SELECT ON orders TO {login['login_user']}")
        assert verdict(indexed.call(**login))[1] == ["pg.not_permitted"]
