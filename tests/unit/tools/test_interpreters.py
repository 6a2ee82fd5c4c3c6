"""Finding the Pythons of a machine: those that run, and not the stubs that a version manager puts before them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def interpreters(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    module = importlib.import_module("interpreters")
    cached = (module.find, module.honest_path)
    for function in cached:
        function.cache_clear()
    yield module
    for function in cached:
        function.cache_clear()


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A folder first on PATH whose python3.N exist and fail, as shims do."""
    folder = tmp_path / "shims"
    folder.mkdir()
    for name in (f"python{HERE}", "python3.99"):
        (folder / name).write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def test_a_stub_before_the_real_python_is_passed_over(interpreters, stubs, tmp_path, monkeypatch):
    real = tmp_path / "real"
    real.mkdir()
    (real / f"python{HERE}").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", os.pathsep.join([str(stubs), str(real)]))
    monkeypatch.setattr(interpreters, "MANAGED", ())
    found = interpreters.find(HERE)
    assert found is not None
    assert not found.startswith(str(stubs))


def test_a_version_that_only_a_stub_claims_to_be_is_not_there(interpreters, stubs, monkeypatch):
    monkeypatch.setenv("PATH", str(stubs))
    assert interpreters.find("3.99") is None
    assert interpreters.first(("3.99",)) is None


def test_a_python_that_says_another_version_is_not_taken(interpreters, tmp_path, monkeypatch):
    (tmp_path / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreters.find("3.99") is None


def test_a_folder_of_stubs_is_dropped_from_the_path_and_the_others_stay_in_order(
    interpreters, stubs, tmp_path, monkeypatch
):
    first, last = tmp_path / "first", tmp_path / "last"
    first.mkdir()
    last.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(first), str(stubs), str(last)]))
    assert interpreters.honest_path() == os.pathsep.join([str(first), str(last)])


def test_each_row_and_target_that_cannot_run_is_named(interpreters, monkeypatch):
    monkeypatch.setattr(interpreters, "CORES", {"2.18": (HERE,), "2.99": ("3.98", "3.99")})
    monkeypatch.setattr(interpreters, "TARGETS", ("3.97",))
    monkeypatch.setattr(interpreters, "find", lambda version: sys.executable if version == HERE else None)
    assert interpreters.missing() == [
        "ansible-core 2.99: none of Python 3.98, 3.99 is on this machine",
        "modules on Python 3.97: it is not on this machine",
    ]
