"""What the domain adds to the daemon of the core. Real containers are in tests/integration/test_pg_containers.py."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core import daemon
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import MissingLibrary
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.container import Located, Wanted, locate


def test_without_the_sdk_the_way_without_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "IMPORT_ERROR", "Traceback\nModuleNotFoundError: No module named 'docker'\n")
    with pytest.raises(MissingLibrary, match="lacks the Docker SDK") as missing:
        locate(Wanted(container="db"))
    assert "login_host and login_port" in missing.value.remedy


def test_a_password_is_not_in_what_a_debugger_shows() -> None:
    assert "hunter2" not in repr(Located("db", "10.0.0.2", 5432, "u", "d", "hunter2"))
