"""The page about the vocabulary says what the code does."""

from __future__ import annotations

import dataclasses
import inspect
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core import errors, units
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import OUTPUT_BYTES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    SEVERITY_WORDS,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import DIED, DONE, RAISED, TIMED_OUT
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock, read_holder
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import (
    COMMON_KEYS,
    ENTRY_BYTES,
    RESULT_BYTES,
    Outcome,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import SCHEMA, SYSTEM_DIRECTORY, HostState

PAGE = (Path(__file__).parents[5] / "docs" / "vocabulary.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_severities_stand_there_in_their_order():
    assert tuple(first_column(section("Severities"))) == SEVERITY_WORDS


def test_the_keys_of_a_result_and_of_a_finding_are_all_there():
    result, finding = section("What a module returns").split("**A finding**")
    assert set(first_column(result)) == COMMON_KEYS
    assert first_column(finding) == [field.name for field in dataclasses.fields(Finding)]
    outcome = Outcome("x", ["a"], [Finding("x.y", "a", Severity.INFO, "So.", task="t")], datetime.now(timezone.utc))
    assert set(outcome.as_result()) | {"truncated"} == COMMON_KEYS
    assert list(outcome.as_result()["findings"][0]) == first_column(finding)


@pytest.mark.parametrize("kind", [Action, Metric])
def test_the_keys_of_actions_and_metrics_are_all_there(kind):
    text = section("What a module returns")
    assert all(f"`{field.name}`" in text for field in dataclasses.fields(kind))


def test_every_error_of_the_family_is_there():
    family = [
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.UpkeepError) and kind is not errors.UpkeepError
    ]
    assert sorted(first_column(section("Errors"))) == sorted(family)


def test_every_unit_is_there():
    named = set(re.findall(r"`([A-Za-z%]+)`", section("Units")))
    assert set(units._UNITS) <= named


def test_the_limits_are_the_ones_of_the_code():
    assert f"At most {RESULT_BYTES:,} bytes" in PAGE
    assert f"entries of more than {ENTRY_BYTES:,} bytes" in PAGE
    assert f"{OUTPUT_BYTES // 1024} KiB each" in PAGE


def test_every_end_of_a_job_is_there():
    assert f"`{DONE}`, `{RAISED}`, `{TIMED_OUT}` or `{DIED}`" in PAGE


def test_the_files_of_the_state_are_the_ones_that_are_written(tmp_path):
    state = HostState(str(tmp_path / "state"), "db1")
    with state.update("run-1") as content:
        assert content == {"schema": SCHEMA, "tasks": {}}
    with state.update("run-2"):
        state.append_history({})
    with HostLock(state.lock_path("main"), "run-2"):
        holder = read_holder(state.lock_path("main"))
    written = {str(path.relative_to(state.directory)) for path in (tmp_path / "state").rglob("*") if path.is_file()}
    named = {
        path.replace("<name>.lock", "main.lock").replace("<name>", "db1")
        for path in first_column(section("The state directory"))
    }
    assert written == named
    assert f'{{"schema": {SCHEMA}, "tasks"' in PAGE
    assert f"`{SYSTEM_DIRECTORY}` for root" in PAGE
    assert all(f'"{key}": ...' in PAGE for key in holder)
