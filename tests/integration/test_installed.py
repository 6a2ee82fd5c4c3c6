"""The collection as a user gets it: built, installed into the default place, run by name from somewhere else.

The same runs are made from the checkout, through the committed link, with nothing installed. In both, the environment
holds PATH and HOME alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.bed.tls import Authority

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent

# What a user runs or reads. tests/config.yml tells ansible-test which Pythons the modules support.
WANTED = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "galaxy.yml",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "roles",
    "tests",
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_in(home: Path, directory: Path) -> Run:
    """Return a function that runs a program of Ansible in *directory* as a user whose home is *home*."""

    def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAMS / program), *map(str, arguments)]
        environment = {"PATH": f"{PROGRAMS}{os.pathsep}{os.defpath}", "HOME": str(home), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return run


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact, built from the checkout as it stands."""
    folder = tmp_path_factory.mktemp("artifact")
    answer = run_in(folder, folder)("ansible-galaxy", "collection", "build", ROOT, "--output-path", folder)
    assert answer.returncode == 0, answer.stderr
    (path,) = folder.glob("cadence-upkeep-*.tar.gz")
    return path


@pytest.fixture(scope="module")
def installed(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """How to run Ansible where the artifact is installed in the user's own home, and how its playbooks are called."""
    home = tmp_path_factory.mktemp("home")
    run = run_in(home, tmp_path_factory.mktemp("elsewhere"))
    answer = run("ansible-galaxy", "collection", "install", artifact, "--offline")
    assert answer.returncode == 0, answer.stderr
    assert (
        home / ".ansible" / "collections" / "ansible_collections" / "cadence" / "upkeep" / "MANIFEST.json"
    ).is_file()
    return run, "cadence.upkeep.{}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """How to run Ansible where nothing is installed, and how the playbooks of the checkout are called."""
    run = run_in(tmp_path_factory.mktemp("empty-home"), tmp_path_factory.mktemp("elsewhere"))
    return run, f"{ROOT}/playbooks/{{}}.yml"


@pytest.fixture(params=["installed", "checkout"])
def user(request: pytest.FixtureRequest) -> tuple[Run, str]:
    """Each of the two ways to have the collection."""
    return request.getfixturevalue(request.param)


def write_inventory(folder: Path, days: int) -> Path:
    """Write an inventory of this machine, on which a certificate with *days* days left lives."""
    certificate, _key = Authority().issue("shop.test", days=days).write(folder, "shop")
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(folder / "remote"),  # by default below the account's home, whatever HOME says
        "upkeep_state_dir": str(folder / "state"),
        "report_dir": str(folder / "reports"),
        "certificates_inventory": {"files": [str(certificate)]},
    }
    path = folder / "inventory.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": {"here": variables}}}), encoding="utf-8")
    return path


def test_the_artifact_holds_what_a_user_needs_and_nothing_else(artifact: Path):
    with tarfile.open(artifact) as archive:
        members = archive.getmembers()
    names = {member.name for member in members}
    assert {name.split("/")[0] for name in names} - WANTED == set()
    assert {name for name in names if name.startswith("tests/")} == {"tests/config.yml"}
    assert {
        "LICENSE",
        "README.md",
        "meta/runtime.yml",
        "playbooks/weekly.yml",
        "plugins/modules/checkup.py",
        "plugins/plugin_utils/catalogue.yml",
        "roles/report/tasks/main.yml",
    } <= names
    assert [member.name for member in members if member.issym() or member.islnk()] == []
    assert [name for name in names if "__pycache__" in name or name.startswith("playbooks/collections")] == []


@pytest.mark.matrix
def test_the_plan_names_what_is_due_and_why_the_rest_is_not(user, tmp_path):
    run, playbook = user
    inventory = write_inventory(tmp_path, days=60)
    answer = run("ansible-playbook", playbook.format("plan"), "-i", inventory, "-e", "upkeep_cadence=weekly")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "host.filesystems" in answer.stdout
    assert "certificates.expiry" in answer.stdout
    assert "postgres_clusters is not set" in answer.stdout
    assert not (tmp_path / "reports").exists()


@pytest.mark.matrix
@pytest.mark.parametrize(("days", "verdict", "code"), [(60, "ok", "cert.valid"), (-1, "critical", "cert.expired")])
def test_a_weekly_run_by_name_ends_in_a_report_and_an_honest_exit_code(user, tmp_path, days, verdict, code):
    run, playbook = user
    inventory = write_inventory(tmp_path, days)
    answer = run(
        "ansible-playbook", playbook.format("weekly"), "-i", inventory, "-e", "upkeep_only=certificates.expiry"
    )
    assert (answer.returncode == 0) == (verdict == "ok"), answer.stdout + answer.stderr
    report = json.loads((tmp_path / "reports" / "latest.json").read_text(encoding="utf-8"))
    assert report["verdict"]["worst"] == verdict
    assert code in {finding["code"] for finding in report["findings"]}


def test_each_playbook_is_found_by_its_name(installed):
    run, playbook = installed
    names = [playbook.format(path.stem) for path in sorted((ROOT / "playbooks").glob("*.yml"))]
    answer = run("ansible-playbook", *names, "--syntax-check", "-i", "localhost,")
    assert answer.returncode == 0, answer.stderr
    assert all(f"{name.rpartition('.')[2]}.yml" in answer.stdout for name in names), answer.stdout


def test_each_module_has_a_page_in_ansible_doc(installed):
    run, name = installed
    modules = [name.format(path.stem) for path in sorted((ROOT / "plugins" / "modules").glob("[!_]*.py"))]
    answer = run("ansible-doc", "--json", "-t", "module", *modules)
    assert answer.returncode == 0, answer.stderr
    assert sorted(json.loads(answer.stdout)) == sorted(modules)
