"""The role knows every option of the module, with the same type, and gives it no default of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.argspec import ARGUMENT_SPEC

ROLE = Path(__file__).resolve().parents[5] / "roles" / "postgres"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["vacuum"]["options"]
CLUSTER = OPTIONS["postgres_clusters"]["options"]


def test_the_role_knows_the_same_options() -> None:
    assert set(CLUSTER) == set(ARGUMENT_SPEC)


@pytest.mark.parametrize("name", sorted(ARGUMENT_SPEC))
def test_an_option_is_the_same_in_both(name: str) -> None:
    for key in ("type", "elements", "choices"):
        assert CLUSTER[name].get(key) == ARGUMENT_SPEC[name].get(key)
    assert bool(CLUSTER[name].get("no_log")) == bool(ARGUMENT_SPEC[name].get("no_log"))
    assert "default" not in CLUSTER[name]
