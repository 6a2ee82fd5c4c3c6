"""Which databases a run works in."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import choose
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Database


def database(name: str, **given: Any) -> Database:
    values: dict[str, Any] = {
        "accepts_connections": True,
        "template": False,
        "valid": True,
        "may_connect": True,
        **given,
    }
    return Database(name=name, frozen_age=100, **values)


ALL = [
    database("shop"),
    database("postgres"),
    database("template1", template=True),
    database("template0", template=True, accepts_connections=False),
    database("broken", valid=False),
    database("rdsadmin", may_connect=False),
]


@pytest.mark.parametrize(
    ("patterns", "chosen", "left"),
    [
        (["shop"], ["shop"], []),
        (["postgres", "shop"], ["shop", "postgres"], []),  # in the order of the server: oldest transactions first
        (["*"], ["shop", "postgres"], ["template1", "template0", "broken", "rdsadmin"]),
        (["s*", "template1"], ["shop", "template1"], []),  # a template that is named is meant
        (["template0"], [], ["template0"]),
        (["x*"], [], []),
    ],
)
def test_databases(patterns: list[str], chosen: list[str], left: list[str]) -> None:
    names, others = choose(ALL, patterns)
    assert names == chosen
    assert [name for name, _why in others] == left
    assert all(why for _name, why in others)


def test_the_database_of_the_login_is_meant_whatever_it_is_called() -> None:
    odd = database("odd[name]*", current=True)
    for patterns in ([None], ["odd[name]*"], [None, "odd[name]*"]):
        assert choose([*ALL, odd], patterns) == (["odd[name]*"], [])
    assert choose([*ALL, odd], [None, "shop"])[0] == ["shop", "odd[name]*"]
    template = database("template1", template=True, current=True)
    assert choose([template], [None])[0] == ["template1"]


def test_a_database_that_nobody_knows() -> None:
    with pytest.raises(InvalidInput, match='There is no database shap, "new\\\\nline"'):
        choose(ALL, ["shop", "shap", "new\nline"])
