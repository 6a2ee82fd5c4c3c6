"""A run's request is read once: whole, or refused by its first mistake."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, utc_now
from ansible_collections.cadence.upkeep.plugins.plugin_utils.request import open_run, read_request

NONE = {"overrides": None, "only": None, "skip": None, "force": None}


def wanted(options, variables=None):
    return {entry.id for entry in read_request({**NONE, **options}, variables or {}).wanted()}


def test_a_bare_request_wants_every_task_of_the_cadence():
    ids = wanted({"cadence": "daily"})
    assert {"host.memory", "certificates.expiry", "backups.latest"} <= ids
    assert "postgres.vacuum" not in ids


@pytest.mark.parametrize(
    "options",
    [
        {"only": ["host"], "skip": ["host.memory"], "overrides": {"host.load": False}, "force": True},
        {"only": "host", "skip": "host.memory", "overrides": '{"host.load": false}', "force": "true"},
        {"only": '["host"]', "skip": "[host.memory]", "overrides": "host.load: false", "force": "1"},
    ],
)
def test_each_input_is_a_value_or_the_text_of_a_survey(options):
    request = read_request({"cadence": "weekly", **options}, {})
    assert {entry.id for entry in request.wanted()} == {"host.filesystems", "host.units", "host.reboot", "host.clock"}
    assert request.force is True


def test_tags_of_the_command_line_narrow_the_run():
    tags = {"ansible_run_tags": ["host"], "ansible_skip_tags": ["host.memory", "host.load"]}
    assert wanted({"cadence": "daily"}, tags) == {"host.filesystems", "host.units", "host.reboot", "host.clock"}


def test_a_task_of_ones_own_can_be_asked_for_by_name():
    mine = {"shop.carts": {"cadence": "daily", "role": "acme.shop.cart"}}
    assert wanted({"cadence": "daily", "overrides": mine, "only": "shop"}) == {"shop.carts"}


def test_a_removed_task_is_not_known_any_more():
    with pytest.raises(InvalidInput, match=r"no task, domain or tag called 'host\.load'"):
        wanted({"cadence": "daily", "overrides": {"host.load": None}, "only": "host.load"})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cadence": "dayly"}, "dayly"),
        ({"cadence": None}, "cadence"),
        ({"cadence": "daily", "overrides": [1]}, "upkeep_overrides"),
        ({"cadence": "daily", "overrides": {"host.load": {"deadline": "60"}}}, "host.load"),
        ({"cadence": "daily", "only": {"a": 1}}, "upkeep_only"),
        ({"cadence": "daily", "skip": 5}, "upkeep_skip"),
        ({"cadence": "daily", "force": "perhaps"}, "upkeep_force"),
    ],
)
def test_a_mistake_is_refused_by_the_name_of_its_variable(options, named):
    with pytest.raises(InvalidInput, match=named):
        wanted(options)


def test_a_run_takes_the_given_instant_for_now():
    run = open_run(read_request({**NONE, "cadence": "weekly"}, {}), "2026-11-22T05:13:00+01:00")
    assert run["id"].startswith("20261122T041300Z-weekly-")
    assert (run["cadence"], run["started_at"]) == ("weekly", "2026-11-22T04:13:00Z")


def test_a_run_takes_the_clock_when_no_instant_is_given():
    before = utc_now().replace(microsecond=0)
    run = open_run(read_request({**NONE, "cadence": "daily"}, {}), "")
    assert before <= parse_rfc3339(run["started_at"]) <= utc_now()


def test_two_runs_of_the_same_second_have_different_ids():
    request = read_request({**NONE, "cadence": "daily"}, {})
    ids = {open_run(request, "2026-11-22T04:13:00Z")["id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize("now", ["yesterday", "2026-11-22", "2026-11-22T04:13:00"])
def test_an_instant_that_is_none_is_refused(now):
    with pytest.raises(InvalidInput, match=now):
        open_run(read_request({**NONE, "cadence": "daily"}, {}), now)
