"""Over random databases: what check mode plans is what a run does, and a second run finds nothing to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import report
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.run import vacuum
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.sql import CLOSING_STATEMENT
from tests.bed.postgres import Cluster
from tests.integration import random_database
from tests.integration.vacuuming import Place

OF_THE_PLAN = ("schema", "table", "actions", "reason", "reason_text", "sql", "skipped_reason")


@pytest.fixture
def place(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # All tables are to be seen, however many there are.
    for limit in ("LISTED", "LISTED_QUERIES"):
        monkeypatch.setattr(report, limit, 10_000)
    return Place(postgres_cluster, postgres_database, tmp_path)


def call(place: Place, options: dict[str, Any], *, check: bool = False) -> tuple[dict[str, Any], bool]:
    """Return all records and statements, and whether something changed."""
    outcome = vacuum(place.params(**options), utc_now(), check_mode=check).outcome
    place.calm()
    return dict(outcome.extra), outcome.changed


def plan_of(result: dict[str, Any]) -> list[list[Any]]:
    """Who reads a catalog may clean its pages in passing, and so lower the number of its dead rows: not those."""
    return [
        [record[key] for key in OF_THE_PLAN] for record in result["tables"] if not record["schema"].startswith("pg_")
    ]


def check(place: Place, seed: int) -> None:
    options = random_database.make(place, seed)
    planned, would_change = call(place, options, check=True)
    done, changed = call(place, options)
    again, changed_again = call(place, options)
    told = json.dumps({"seed": seed, "options": options})
    assert plan_of(planned) == plan_of(done), told
    if not options["include_catalogs"]:
        sent = [query for query in done["queries"] if query != CLOSING_STATEMENT]
        assert sorted(sent) == sorted(planned["queries"]), told
        assert would_change == changed == bool(sent), told
    assert {record["status"] for record in done["tables"] if record["sql"]} <= {"done"}, told
    assert [(record["table"], record["reason_text"]) for record in again["tables"] if record["sql"]] == [], told
    assert (changed_again, again["queries"]) == (False, []), told


@pytest.mark.parametrize("seed", range(3))
def test_a_run_does_what_was_planned_and_ends_the_need(place: Place, seed: int) -> None:
    check(place, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, 103))
def test_a_run_does_what_was_planned_and_ends_the_need_in_many_databases(place: Place, seed: int) -> None:
    check(place, seed)
