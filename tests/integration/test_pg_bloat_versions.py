"""The bloat estimator on every supported version, against the truth: what a rewrite then leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.collect import confirm
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.evaluate import UNREADABLE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import read_server
from tests.bed import bloat_cases
from tests.bed.bloat_cases import CASES, SHARES, Bench, entrance
from tests.bed.postgres import Cluster
from tests.integration.bloating import COUNTED, FIXED, KEYS, PASSWORD, QUICK, TEXTS, count, read, wrong


@pytest.fixture
def bench(postgres_cluster: Cluster) -> Iterator[Bench]:
    with bloat_cases.bench(postgres_cluster) as made:
        yield made


def test_it_is_within_three_points_of_the_truth(bench: Bench) -> None:
    """Five for indexes that share entries. Here each case once; the whole grid is below."""
    for number, case in enumerate(QUICK):
        bench.make(case, (50, 25, 80)[number % 3])
    rows = bench.judge()
    assert wrong(rows) == []
    assert len(rows) > 60
    assert min(row.megabytes for row in rows) > 1
    assert {row.method for row in rows} == {"estimate"}
    # What several statements did within a second of its ANALYZE may have been counted twice, and says so.
    assert {row.case for row in rows if row.confidence in ("low", "none")} <= {"updated", "truncated tail"}
    # The common formula fails on the same tables.
    assert max(abs(row.classic_error) for row in rows) > 50


def test_privileges_and_counting_are_known_to_the_version(bench: Bench) -> None:
    names = [bench.make(case, 50) for case in (FIXED, TEXTS, KEYS, COUNTED)]
    hidden = bench.make(TEXTS, 50)
    bench.run("CREATE EXTENSION pgstattuple")
    role = f"tester_{bench.database}"
    login = {"user": role, "password": PASSWORD}
    bench.run(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    try:
        for name in names:
            bench.run(f"GRANT SELECT ON {name.partition('_')[0]} TO {role}")
        bench.run(f"GRANT pg_stat_scan_tables TO {role}")
        ours, theirs = read(bench), read(bench, login=login)
        counted = [count(bench, theirs[name], login=login) for name in names[:3]]
    finally:
        bench.run(f"DROP OWNED BY {role}")
        bench.run(f"DROP ROLE {role}")
    assert [theirs[name] for name in names[:3]] == [ours[name] for name in names[:3]]
    assert all(one.ratio == pytest.approx(0.5, abs=0.05) for one in counted)
    assert {one.method for one in counted} == {"pgstattuple_approx", "pgstatindex"}
    assert (theirs[hidden].method, theirs[hidden].why) == ("none", UNREADABLE)
    # Extended statistics are shown to owners alone, since they were found to tell too much.
    assert ours[names[3]].confidence == "high"
    assert theirs[names[3]].bloat_bytes <= ours[names[3]].bloat_bytes


@pytest.mark.soak
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_whole_grid(postgres_cluster: Cluster, scale: float) -> None:
    rows = bloat_cases.measure(postgres_cluster, CASES, SHARES, scale)
    assert wrong(rows) == []
    assert len(rows) > 450


@pytest.mark.soak
@pytest.mark.parametrize("share", SHARES)
def test_what_is_counted_is_as_near(bench: Bench, share: int) -> None:
    bench.run("CREATE EXTENSION pgstattuple")
    for case in CASES:
        bench.make(case, share)
    estimates = bench.estimates()
    with entrance(bench.cluster).session(bench.database) as session:
        server = read_server(session)
        counted = {name: confirm(session, estimates[name], server) for name in bench.made}
    rows = bench.judge()
    off = {
        row.case: (100 * counted[row.relation].ratio, row.truth)
        for row in rows
        if row.megabytes > 1 and abs(100 * counted[row.relation].ratio - max(0.0, row.truth)) > row.limit
    }
    assert off == {}
    assert {counted[row.relation].method for row in rows} == {"pgstattuple_approx", "pgstatindex"}
