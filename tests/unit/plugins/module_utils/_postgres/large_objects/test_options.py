"""What makes no sense is one error."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from tests.unit.plugins.module_utils._postgres.large_objects.samples import options


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"state": "absent"}, "confirm_no_text_references is not set"),
        ({"databases": []}, "databases is an empty list"),
        ({"sample_rows": -1}, "sample_rows is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_objects": 0}, "max_objects is 0"),
        ({"look_limit": "0"}, "look_limit is 0"),
        ({"look_limit": "long"}, "look_limit:"),
        ({"min_age": "old"}, "min_age:"),
    ],
)
def test_what_makes_no_sense(given: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        options(**given)


def test_defaults() -> None:
    asked = options()
    assert (asked.state, asked.databases, asked.min_age, asked.look_limit) == ("reported", ("shop",), 86400.0, 20.0)
    assert (asked.batch_size, asked.session.lock_timeout, asked.session.job) == (1000, 2.0, "pg_large_object")
