"""The pages that are made from the code are those that the code makes."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import read_catalogue
from tests.contract.collection import ROOT

GENERATOR = "docs/generate.py"


def generate(*arguments, root=ROOT):
    return subprocess.run(
        [sys.executable, str(root / GENERATOR), *arguments], capture_output=True, text=True, check=False
    )


def test_the_generated_pages_are_up_to_date():
    ended = generate("--check")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("task_id", sorted(read_catalogue({})))
def test_the_readme_lists_every_task(task_id):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- tasks:begin -->")[2].partition("<!-- tasks:end -->")[0]
    assert table, "README.md lacks the markers tasks:begin and tasks:end"
    assert f"| `{task_id}` |" in table


@pytest.fixture
def copy(tmp_path):
    """A copy of what the generator reads and writes."""
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "playbooks" / "collections", tmp_path / "playbooks" / "collections", symlinks=True)
    shutil.copy(ROOT / "README.md", tmp_path / "README.md")
    generate(root=tmp_path)
    return tmp_path


def test_making_the_pages_again_changes_nothing(copy):
    before = {path: path.read_bytes() for path in (copy / "README.md", copy / "docs" / "findings.md")}
    assert generate(root=copy).returncode == 0
    assert {path: path.read_bytes() for path in before} == before
    assert generate("--check", root=copy).returncode == 0


@pytest.mark.parametrize(
    ("page", "old", "new"),
    [
        ("docs/findings.md", "`run.unreachable`", "`run.unreached`"),
        ("README.md", "`host.memory`", "`host.memry`"),
        ("README.md", "<!-- tasks:end -->", ""),
    ],
)
def test_a_page_that_is_out_of_date_is_one_line_and_is_not_touched(copy, page, old, new):
    path = copy / page
    assert old in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    before = path.read_bytes()
    ended = generate("--check", root=copy)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert page in line
    assert path.read_bytes() == before
