"""What is to be renewed of what is deployed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cadence.upkeep.plugins.filter.lineages import FilterModule

lineages = FilterModule().filters()["lineages"]


def test_a_lineage_that_is_deployed_twice_is_renewed_once() -> None:
    assert lineages([{"name": "a", "lineage": "shop"}, {"name": "b", "lineage": "shop"}]) == [{"name": "shop"}]


def test_another_client_brings_its_commands_and_its_file() -> None:
    deployment = {
        "name": "api",
        "source": {"fullchain": "/acme/api.pem", "privkey": "/acme/api.key"},
        "renew": {"renew_command": ["acme.sh", "--renew"]},
    }
    expected = {"name": "api", "fullchain": "/acme/api.pem", "renew_command": ["acme.sh", "--renew"]}
    assert lineages([deployment]) == [expected]
    assert lineages([{**deployment, "renew": {"fullchain": "/x", "renew_command": ["x"], "name": "y"}}]) == [
        {"name": "y", "fullchain": "/x", "renew_command": ["x"]}
    ]


def test_what_somebody_else_renews_is_left_to_them() -> None:
    assert lineages([{"name": "bought", "source": {"fullchain": "/a", "privkey": "/b"}}]) == []
    assert lineages([]) == []


@pytest.mark.parametrize("value", ["text", {"a": 1}, ["a"]])
def test_what_is_no_list_of_mappings_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="not a list of mappings"):
        lineages(value)
