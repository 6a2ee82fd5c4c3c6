"""Each question has as many places as parameters, on every version, whatever stands in a name."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health import cluster_sql, database_sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.ask import Question
from tests.unit.plugins.module_utils._postgres.health.samples import policy

VERSIONS = (140023, 150018, 160010, 170011, 180006)
NEW = ["total_exec_time", "mean_exec_time", "max_exec_time", "toplevel"]


def extension(columns=NEW, view='"per%cent".pg_stat_statements', info=True):
    return {"view": view, "schema": '"per%cent"', "version": "1.10", "columns": list(columns), "info": info}


def questions(version):
    wanted = policy()
    yield cluster_sql.facts()
    yield from cluster_sql.activity(wanted).values()
    yield cluster_sql.replication(version)
    yield cluster_sql.archiver(True)
    yield cluster_sql.archiver(False)
    yield cluster_sql.statements(extension(), wanted)
    yield cluster_sql.statements(extension(["total_time"], info=False), wanted)
    for name in ("DATABASES", "SHARED_CHECKSUMS", "SIZES", "EXTENSION"):
        yield Question(name, getattr(cluster_sql, name))
    yield database_sql.tables(version, wanted, 0.0)
    yield database_sql.autovacuum_off()
    yield database_sql.top_tables(8192, wanted)
    yield database_sql.oldest_tables()
    yield database_sql.unused_indexes(version, 8192, wanted)
    yield database_sql.duplicate_indexes(version, 8192)
    yield database_sql.invalid_indexes(8192)
    yield database_sql.sequences()
    yield database_sql.last_values([1, 2])
    yield database_sql.large_objects()
    yield database_sql.orphans([('"per%cent"."t"', '"c%"', False), ("public.t", "c", True)])


@pytest.mark.parametrize("version", VERSIONS)
def test_places_and_parameters_agree(version):
    for question in questions(version):
        places = re.findall(r"%(.)", question.sql)
        assert set(places) <= {"%", "s"}, question.name
        assert len(re.findall(r"%s", question.sql.replace("%%", ""))) == len(question.values), question.name
        assert not re.search(r"\{\w*\}", question.sql), question.name


@pytest.mark.parametrize("version", VERSIONS)
def test_only_what_a_version_has_is_asked(version):
    whole = " ".join(question.sql for question in questions(version))
    for word, since in (
        ("pg_stat_get_lastscan", 160000),
        ("conflicting", 160000),
        ("invalidation_reason", 170000),
        ("inactive_since", 170000),
        ("indnullsnotdistinct", 150000),
        ("autovacuum_vacuum_max_threshold", 180000),
    ):
        if word == "conflicting":
            assert (word in whole) == (160000 <= version < 170000)
        elif word == "autovacuum_vacuum_max_threshold":
            assert (word in database_sql.tables(version, policy(), 0.0).sql) == (version >= since)
        else:
            assert (word in whole) == (version >= since), word


def test_an_old_view_of_the_extension_is_asked_by_its_old_names():
    old = cluster_sql.statements(extension(["total_time", "mean_time", "max_time"], info=False), policy()).sql
    assert "s.total_time" in old
    assert "total_exec_time" not in old
    assert "toplevel" not in old
    assert "pg_stat_statements_info" not in old


def test_secret_settings_are_never_read():
    assert not set(cluster_sql.SETTINGS) & set(cluster_sql.HIDDEN_SETTINGS)
    assert {"archive_command", "primary_conninfo"} <= set(cluster_sql.HIDDEN_SETTINGS)
    hidden, all_names = cluster_sql.facts().values
    assert set(hidden) < set(all_names)
