"""What a page about backups shows as an example is taken by the modules that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import argspec as verify
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import argspec as create
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite import argspec as offsite
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.policy import policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.contract.collection import ROOT

PAGES = [ROOT / "docs" / "backups.md", *sorted((ROOT / "docs" / "backups").glob("*.md"))]
PAGES += [ROOT / "roles" / "backups" / "README.md", ROOT / "README.md"]
SERIES = {"series": [{"name": "shop", "pattern": "/var/backups/shop-*"}]}
OF_A_JOB = {"account"}  # an option of the role


def examples() -> Iterator[Any]:
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
            for variable, value in variables(yaml.safe_load(block)):
                yield pytest.param(variable, value, id=f"{page.name}-{number}-{variable}")


def variables(plain: Any) -> Iterator[tuple[str, Any]]:
    """Yield the variables of backups, and the calls of their modules, wherever they stand."""
    for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ():
        if isinstance(key, str) and key.removeprefix("cadence.upkeep.").startswith("backup"):
            yield key.removeprefix("cadence.upkeep."), value
        yield from variables(value)


def checked(variable: str, value: Any) -> bool:
    """Validate *value*; false when nothing is known of *variable*."""
    if variable in ("backups_series", "backups_restore_tests"):
        policy_of(validate("backup_verify", verify.ARGUMENT_SPEC, {"series": value}, verify.RULES).params)
    elif variable == "backups_policy":
        validate("backup_verify", verify.ARGUMENT_SPEC, {**SERIES, **value}, verify.RULES)
    elif variable == "backup_verify":
        policy_of(validate("backup_verify", verify.ARGUMENT_SPEC, value, verify.RULES).params)
    elif variable == "backups_jobs":
        for job in value:
            own = {key: option for key, option in job.items() if key not in OF_A_JOB}
            validate("backup_create", create.ARGUMENT_SPEC, own, {})
    elif variable == "backups_sites":
        for site in value:
            validate("backup_offsite", offsite.ARGUMENT_SPEC, {**SERIES, **site}, offsite.RULES)
    else:
        return False
    return True


@pytest.mark.parametrize(("variable", "value"), list(examples()))
def test_an_example_is_taken(variable: str, value: Any) -> None:
    assert checked(variable, value) or variable.startswith(("backups_", "backup_"))


def test_there_are_examples_of_each() -> None:
    seen = {example.values[0] for example in examples()}
    assert {"backups_series", "backups_jobs", "backups_sites", "backup_verify"} <= seen
