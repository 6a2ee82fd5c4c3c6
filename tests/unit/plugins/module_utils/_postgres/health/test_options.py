"""Options of `pg_health_info` become values, and what makes no sense is said by its name."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import (
    CLUSTER_PARTS,
    DATABASE_PARTS,
    PARTS,
    SHARED_PARTS,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Limits
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.options import parts_of, run_options_of
from tests.unit.plugins.module_utils._postgres.health.samples import params, policy


@pytest.mark.parametrize(
    ("subset", "parts"),
    [
        (["all"], PARTS),
        ([], PARTS),
        (["all", "!bloat"], tuple(part for part in PARTS if part != "bloat")),
        (["!bloat", "!sizes"], tuple(part for part in PARTS if part not in ("bloat", "sizes"))),
        (["sizes", "connections"], ("connections", "sizes")),
        (["sizes", "sizes"], ("sizes",)),
        (["bloat", "sizes", "!sizes"], ("bloat",)),
    ],
)
def test_a_subset_names_what_to_look_at_and_what_not(subset, parts):
    assert parts_of(subset) == parts


def test_every_part_belongs_to_the_cluster_to_a_database_or_to_both():
    assert len(set(PARTS)) == len(PARTS) == len(CLUSTER_PARTS) + len(DATABASE_PARTS) + len(SHARED_PARTS)


def test_the_defaults_are_those_of_the_design():
    wanted = policy()
    assert wanted.connections == Limits(0.8, 0.9)
    assert wanted.cache_hit == Limits(0.99, 0.95)
    assert wanted.wraparound == Limits(0.5, 0.75)
    assert wanted.sequence == Limits(0.85, 0.95)
    assert (wanted.long_query, wanted.idle_in_transaction, wanted.lock_wait) == (300, 300, 60)
    assert (wanted.xmin_age, wanted.xmin_time) == (1_000_000, 3600)
    assert (wanted.bloat_ratio, wanted.bloat_min_size) == (0.5, 100_000_000)
    assert (wanted.unused_index_min_size, wanted.unused_index_period) == (1_000_000, 30 * 86400)
    assert (wanted.slow_query, wanted.cache_hit_min_blocks) == (1.0, 100_000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"subset": ["all", *(f"!{part}" for part in PARTS)]}, "subset leaves nothing"),
        ({"connections_warning": "91%"}, "connections_warning (91%) comes after connections_critical (90%)"),
        ({"cache_hit_critical": "100%"}, "cache_hit_warning (99%) comes after cache_hit_critical (100%)"),
        ({"lag_time_warning": "1h"}, "lag_time_warning (1h) comes after lag_time_critical (10m)"),
        ({"lag_bytes_critical": "1MB"}, "lag_bytes_warning (256MiB) comes after lag_bytes_critical (1MB)"),
        ({"archive_ready_critical": 1}, "archive_ready_warning (10) comes after archive_ready_critical (1)"),
        ({"wraparound_warning": "half"}, "wraparound_warning: 'half' cannot be read"),
        ({"bloat_min_size": "big"}, "bloat_min_size: 'big' cannot be read"),
        ({"bloat_ratio": 0.0}, "bloat_ratio is 0"),
        ({"bloat_ratio": 1.5}, "bloat_ratio is 1.5"),
        ({"top": -1}, "top is -1"),
        ({"xmin_age": -1}, "xmin_age is -1"),
    ],
)
def test_what_makes_no_sense_is_said_by_its_name(options, words):
    with pytest.raises(InvalidInput) as error:
        policy(**options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"databases": []}, "databases is an empty list"),
        ({"statement_timeout": "0"}, "statement_timeout is 0"),
        ({"time_limit": "0s"}, "time_limit is 0s"),
        ({"lock_timeout": "soon"}, "lock_timeout: 'soon' cannot be read"),
    ],
)
def test_how_to_look_must_make_sense_too(options, words):
    with pytest.raises(InvalidInput) as error:
        run_options_of(params(**options))
    assert words in str(error.value)


def test_sessions_are_read_only_and_say_who_they_are():
    options = run_options_of(params(run_id="nightly", lock_timeout="3s"))
    assert options.session.read_only
    assert options.session.application == "upkeep pg_health_info nightly"
    assert (options.session.lock_timeout, options.session.statement_timeout, options.time_limit) == (3, 30, 50)
    assert options.databases == ()
