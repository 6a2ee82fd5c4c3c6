"""The main job on an embedded default: `make demo` twice, then `make demo-down`, in a copy of the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed.postgres import cache_directory
from tests.integration.playbook import CHECKOUT

PARTS = ("plugins", "roles", "playbooks", "inventories", "meta", "galaxy.yml", "requirements.txt", "tests/__init__.py")


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A copy of its own, so that a demo that a developer has running is not touched."""
    folder = tmp_path / "clone"
    for part in (*PARTS, "tests/bed"):
        source, target = CHECKOUT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    yield folder
    demo(folder, "down")


def demo(folder: Path, action: str) -> str:
    ended = subprocess.run(
        [sys.executable, "tests/bed/demo.py", action],
        cwd=folder,
        env={**os.environ, "UPKEEP_BED_CACHE": str(cache_directory())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_the_demo_finds_what_is_wrong_mends_what_it_may_and_has_nothing_left_to_change(clone: Path) -> None:
    first = demo(clone, "up")
    assert "Changed: postgres.statistics 3 steps, postgres.vacuum 2 steps." in first
    assert "a scheduler would page you now" in first
    report = json.loads((clone / ".demo" / "reports" / "latest.json").read_text())
    codes = {finding["code"] for finding in report["findings"] if finding["severity"] in ("critical", "warning")}
    assert {"backup.truncated", "backup.stale", "cert.expires_soon", "cert.served_differs"} <= codes
    second = demo(clone, "up")
    assert "Changed: nothing." in second and "done earlier in the period" in second
    again = json.loads((clone / ".demo" / "reports" / "latest.json").read_text())
    assert codes <= {finding["code"] for finding in again["findings"]}
    assert "stopped postgres" in demo(clone, "down")
