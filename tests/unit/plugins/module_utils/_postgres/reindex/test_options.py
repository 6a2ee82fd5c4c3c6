"""Parameters as users write them become values, and what makes no sense is named."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import Policy, RunOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.options import policy_of, run_options_of
from tests.unit.plugins.module_utils._postgres.reindex.samples import params


def test_the_defaults_of_the_model_are_those_of_the_options() -> None:
    assert policy_of(params()) == Policy()
    options = run_options_of(params())
    assert options == RunOptions(databases=(None,), session=options.session)
    assert (options.session.job, options.session.lock_timeout) == ("pg_reindex", 2.0)


def test_sizes_and_times_have_units() -> None:
    policy = policy_of(params(min_size="8kB", max_size="2GiB", exact_max_size="0"))
    assert (policy.min_size, policy.max_size, policy.exact_max_size) == (8000, 2 * 1024**3, 0)
    options = run_options_of(params(time_limit="1h", hard_time_limit="90m", blocker_age="0", free_bytes="1GB"))
    assert (options.time_limit, options.hard_time_limit, options.blocker_age) == (3600.0, 5400.0, 0.0)
    assert options.free_bytes == 10**9


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 600.0),
        ({"lock_timeout": "1m"}, 60.0),
        ({"lock_timeout": "0", "hard_time_limit": "1h"}, 0.0),
        ({"method": "plain"}, 2.0),
        ({"method": "plain", "lock_timeout": "200ms"}, 0.2),
        ({"method": "plain", "lock_timeout": "0"}, 0.0),
    ],
)
def test_the_lock_timeout_depends_on_the_method(given: dict[str, Any], seconds: float) -> None:
    assert run_options_of(params(**given)).lock_timeout == seconds


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"lock_timeout": "59s"}, "a concurrent rebuild gets at least 1m"),
        ({"lock_timeout": "0"}, "without a hard_time_limit"),
        ({"lock_timeout": "soon"}, "lock_timeout: 'soon'"),
        ({"bloat_ratio": 0.0}, "bloat_ratio is 0"),
        ({"bloat_ratio": 1.1}, "bloat_ratio is 1.1"),
        ({"min_size": "1"}, "min_size: '1' has no unit"),
        ({"max_size": "1kB"}, "smaller than min_size"),
        ({"jobs": 0}, "jobs is 0"),
        ({"jobs": 65}, "at most 64"),
        ({"lock_retries": -1}, "lock_retries is -1"),
        ({"disk_headroom": 0.9}, "disk_headroom is 0.9"),
        ({"databases": []}, "databases is an empty list"),
        ({"time_limit": "2h", "hard_time_limit": "1h"}, "shorter than time_limit"),
    ],
)
def test_what_makes_no_sense_is_named(given: dict[str, Any], text: str) -> None:
    def both() -> None:
        policy_of(params(**given))
        run_options_of(params(**given))

    with pytest.raises(InvalidInput, match=text):
        both()
