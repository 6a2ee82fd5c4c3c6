"""Parameters become a policy, or one sentence that names the option."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Policy, SizeBand
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.policy import policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

SHOP = {"name": "shop", "pattern": "/b/shop-*.sql.gz"}


def policy(**params: Any) -> Policy:
    return policy_of(validate("backup_verify", ARGUMENT_SPEC, params, RULES).params)


def test_the_defaults_are_those_of_a_nightly_dump() -> None:
    made = policy(series=[SHOP])
    (shop,) = made.series
    assert (shop.every, shop.grace, shop.warning_age, shop.critical_age) == (86400, 7200, 26 * 3600, 48 * 3600)
    assert (shop.max_age, shop.min_size, shop.min_count, shop.gap_window) == (0, 0, 1, 7)
    assert (shop.level, shop.time_from, shop.zone, shop.named) == ("structure", "name", None, True)
    assert shop.size_band == SizeBand(14, 3.5, 10 << 20, True)
    assert (made.select, made.seconds, made.seconds_per_file) == ("latest", 3600, 1800)
    assert (made.limits.max_expanded, made.limits.max_ratio, made.limits.max_depth) == (1 << 40, 250, 6)


def test_a_path_has_no_rhythm() -> None:
    (path,) = policy(paths=["/b/one.sql"], max_age="1h", min_size="5kB").series
    assert (path.named, path.name, path.pattern) == (False, "/b/one.sql", "/b/one.sql")
    assert (path.every, path.warning_age, path.critical_age, path.max_age, path.min_size) == (0, 0, 3600, 3600, 5000)


def test_what_a_series_says_wins_over_what_is_said_for_all() -> None:
    own = {
        "max_age": "3h",
        "min_size": "1MiB",
        "level": "presence",
        "size_band": {"window": 3},
        "time_zone": "Europe/Berlin",
    }
    mine, other = policy(
        series=[{**SHOP, **own}, {**SHOP, "name": "other"}], max_age="9h", min_size="2MiB", size_band={"factor": 9}
    ).series
    assert (mine.max_age, mine.min_size, mine.level) == (3 * 3600, 1 << 20, "presence")
    assert (other.max_age, other.min_size, other.level) == (9 * 3600, 2 << 20, "structure")
    assert mine.size_band == SizeBand(3, 3.5, 10 << 20, True)
    assert other.size_band == SizeBand(14, 9, 10 << 20, True)
    assert mine.zone == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("options", "warning", "critical"),
    [
        ({}, 26, 48),
        ({"every": "6h", "grace": "30m"}, 6.5, 12),
        ({"every": "1h", "grace": "3h"}, 4, 4),  # never critical before it is late
        ({"every": "0"}, 0, 0),
        ({"every": "0", "max_age": "5h"}, 0, 5),
        ({"max_age": "30h"}, 26, 30),
        ({"max_age": "100h"}, 26, 48),
        ({"max_age": "10h"}, 26, 10),
    ],
)
def test_when_a_backup_is_late(options: dict[str, str], warning: float, critical: float) -> None:
    (shop,) = policy(series=[{**SHOP, **options}]).series
    assert (shop.warning_age, shop.critical_age) == (warning * 3600, critical * 3600)


@pytest.mark.parametrize("name", ["local", "Local", "UTC", "utc", "Z"])
def test_zones(name: str) -> None:
    (shop,) = policy(series=[{**SHOP, "time_zone": name}]).series
    assert shop.zone == (None if name.lower() == "local" else UTC)


def test_a_size_band_can_be_switched_off() -> None:
    (shop,) = policy(series=[SHOP], size_band={"window": 0}).series
    assert shop.size_band is None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "one of the following is required: paths, series"),
        ({"paths": ["b/shop.sql"]}, "The path 'b/shop.sql' is not absolute."),
        ({"series": [{**SHOP, "pattern": "b/*"}]}, "The pattern 'b/*' of the series shop is not absolute."),
        ({"series": [{"pattern": "/b/*"}]}, "missing required arguments: name found in series"),
        ({"series": [{"name": "shop"}]}, "missing required arguments: pattern found in series"),
        ({"series": [{**SHOP, "name": " "}]}, "A series has an empty name."),
        ({"series": [SHOP, {**SHOP, "pattern": "/c/*"}]}, "More than one series is called shop."),
        ({"series": [{**SHOP, "every": "24"}]}, "every of the series shop: '24' has no unit"),
        (
            {"series": [{**SHOP, "grace": "2 fortnights"}]},
            "grace of the series shop: '2 fortnights' has the unknown unit",
        ),
        ({"series": [{**SHOP, "max_age": "10MiB"}]}, "max_age of the series shop: '10MiB' is a size"),
        ({"series": [SHOP], "max_age": "3"}, "max_age: '3' has no unit"),
        ({"series": [{**SHOP, "min_size": "10"}]}, "min_size of the series shop: '10' has no unit"),
        ({"series": [{**SHOP, "min_count": -1}]}, "min_count of the series shop is -1, which is below 0."),
        ({"series": [{**SHOP, "gap_window": -1}]}, "gap_window of the series shop is -1"),
        (
            {"series": [{**SHOP, "time_zone": "Mars/Olympus"}]},
            "time_zone of the series shop: 'Mars/Olympus' is no time zone",
        ),
        ({"series": [{**SHOP, "time_zone": "../etc/passwd"}]}, "is no time zone that this host knows"),
        ({"series": [{**SHOP, "time_form": "name"}]}, "Unsupported parameters"),
        (
            {"series": [{**SHOP, "level": "deep"}]},
            "value of level must be one of: presence, integrity, structure, restore, got: deep",
        ),
        (
            {"series": [SHOP], "level": "restored"},
            "value of level must be one of: presence, integrity, structure, restore, got: restored",
        ),
        ({"series": [SHOP], "select": "some"}, "value of select must be one of: latest, all"),
        ({"series": [SHOP], "timeout": "0"}, "timeout is 0."),
        ({"series": [SHOP], "timeout_per_file": "1"}, "timeout_per_file: '1' has no unit"),
        ({"series": [SHOP], "limits": {"max_expanded": "big"}}, "limits.max_expanded: 'big' cannot be read"),
        ({"series": [SHOP], "limits": {"max_ratio": 0}}, "limits.max_ratio is 0"),
        ({"series": [SHOP], "limits": {"max_depth": 0}}, "limits.max_depth is 0"),
        ({"series": [SHOP], "size_band": {"factor": 0}}, "factor of size_band is 0"),
        ({"series": [{**SHOP, "size_band": {"window": -2}}]}, "window of size_band of the series shop is -2"),
        (
            {"series": [{**SHOP, "size_band": {"min_abs": "1h"}}]},
            "min_abs of size_band of the series shop: '1h' is a duration",
        ),
        ({"series": "shop"}, "unable to convert to dict"),
    ],
)
def test_a_mistake_is_named(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy(**params)
    assert message in refused.value.message
    assert refused.value.remedy
