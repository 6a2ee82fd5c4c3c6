"""Checks are found by the name of their module, and each brings the spec that its module has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.registry import CHECKS, find_check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

COLLECTIONS = Path(__file__).resolve().parents[5] / "playbooks" / "collections"


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_check_is_found_by_the_name_of_its_module(name):
    check = find_check(name)
    assert isinstance(check, Check)
    assert check.name == name
    assert callable(check.run)


def test_an_unknown_check_is_refused_with_those_that_exist():
    with pytest.raises(InvalidInput, match="no check called 'cert_expire'") as caught:
        find_check("cert_expire")
    assert all(name in caught.value.remedy for name in CHECKS)


def test_a_domain_is_loaded_only_when_it_is_used():
    """They ship with the module, but a run that needs two of them must not pay for all."""
    script = (
        f"import sys; sys.path.insert(0, {str(COLLECTIONS)!r})\n"
        "import ansible_collections.cadence.upkeep.plugins.module_utils._checkup.checkup\n"
        "print(*{name.split('.')[5] for name in sys.modules if '.upkeep.plugins.module_utils.' in name})\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(loaded) == ["_checkup", "_core"]
