"""What `compose_downtime` takes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput


@pytest.mark.parametrize(
    "params", [{}, {"project_name": "shop"}, {"project_name": "shop", "state": "begun"}, {"state": "ended"}]
)
def test_a_downtime_is_of_services_of_a_project(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"missing|required"):
        validate("compose_downtime", ARGUMENT_SPEC, params, RULES)


def test_its_end_needs_no_services() -> None:
    valid = validate("compose_downtime", ARGUMENT_SPEC, {"project_name": "shop", "state": "ended"}, RULES)
    assert valid.params["services"] is None
