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


def test_a_path_that_two_deployments_have_is_refused() -> None:
    shop = {"name": "shop", "lineage": "shop", "deploy": {"fullchain": "/tls/a.crt", "privkey": "/tls/a.key"}}
    other = {"name": "other", "lineage": "other", "deploy": {"bundle": "/tls/../tls/a.key", "cert": None}}
    with pytest.raises(AnsibleFilterError, match=r"shop and other both have /tls/\.\./tls/a\.key"):
        lineages([shop, other])
    assert len(lineages([shop, {**other, "deploy": {"bundle": "/tls/b.pem", "cert": None}}])) == 2


@pytest.mark.parametrize("value", ["text", {"a": 1}, ["a"]])
def test_what_is_no_list_of_mappings_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="not a list of mappings"):
        lineages(value)
