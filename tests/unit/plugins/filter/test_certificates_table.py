"""Certificates as a table for people."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cadence.upkeep.plugins.filter.certificates_table import FilterModule

table = FilterModule().filters()["certificates_table"]


def record(target: str, state: str, issuer: str = "CN=R11,O=Let's Encrypt,C=US", days: float = 60.24) -> dict[str, Any]:
    leaf = {"issuer": issuer, "not_after": "2027-01-21T09:41:14Z", "remaining_days": days}
    return {"target": target, "state": state, "leaf": leaf}


def test_one_line_for_each() -> None:
    lines = table(
        [
            record("/etc/ssl/old.pem", "expired", "O=Acme\\, Inc.,CN=Acme \\+ Sons", -3.0),
            record("shop", "ok"),
            record("nameless", "ok", "O=Acme", 1000),
            {"target": "dead", "state": "unknown", "leaf": None},
        ],
        "web1",
    )
    assert lines == [
        "HOST  NAME              ISSUER       UNTIL         DAYS  STATE",
        "web1  /etc/ssl/old.pem  Acme + Sons  2027-01-21    -3.0  expired",
        "web1  shop              R11          2027-01-21    60.2  ok",
        "web1  nameless          O=Acme       2027-01-21  1000.0  ok",
        "web1  dead              -            -                -  unknown",
    ]


def test_nothing_is_a_head() -> None:
    assert table([], "web1") == ["HOST  NAME  ISSUER  UNTIL  DAYS  STATE"]


@pytest.mark.parametrize("records", ["text", [1], [{"target": "a"}], {"a": 1}, None])
def test_what_is_no_list_of_records_is_refused(records: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="not the records of cert_expiry"):
        table(records, "web1")
