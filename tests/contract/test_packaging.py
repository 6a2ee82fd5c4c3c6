"""What galaxy.yml, meta/runtime.yml and the changelog promise is what is there."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LINK = ROOT / "playbooks" / "collections" / "ansible_collections" / "cadence" / "upkeep"
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
RUNTIME = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))


def plugin_names(kind: str) -> set[str]:
    return {path.stem for path in (ROOT / "plugins" / kind).glob("[!_]*.py")}


def test_no_collection_is_required():
    assert GALAXY["dependencies"] == {}


def test_the_license_is_the_one_that_galaxy_yml_names():
    assert GALAXY["license"] == ["GPL-3.0-or-later"]
    assert "GNU GENERAL PUBLIC LICENSE" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:200]


def test_what_galaxy_yml_points_to_exists():
    folder = GALAXY["documentation"].removeprefix(f"{GALAXY['repository']}/tree/main/")
    assert (ROOT / folder).is_dir()
    assert (ROOT / GALAXY["readme"]).is_file()


def test_the_link_leads_back_to_the_checkout_and_stays_out_of_the_artifact():
    assert os.readlink(LINK) == "../../../.."
    assert LINK.resolve() == ROOT
    assert "playbooks/collections" in GALAXY["build_ignore"]


def test_what_git_ignores_in_the_root_stays_out_of_the_artifact():
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    names = [line.strip("/") for line in lines if re.fullmatch(r"/[^/*]+/", line)]
    assert len(names) > 5
    assert [
        name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in GALAXY["build_ignore"])
    ] == []


def test_the_action_group_holds_every_module_and_nothing_else():
    assert RUNTIME["action_groups"] == {"all": sorted(plugin_names("modules"))}


def test_the_documentation_names_the_action_group():
    fragment = (ROOT / "plugins" / "doc_fragments" / "attributes.py").read_text(encoding="utf-8")
    group = f"{GALAXY['namespace']}.{GALAXY['name']}.all"
    assert f"group/{group}" in fragment


def test_supported_versions_are_the_same_everywhere():
    oldest_core = re.search(r"\d+\.\d+", RUNTIME["requires_ansible"])[0]
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert f"ansible-core>={oldest_core}," in requirements
    interpreters = (ROOT / "tests" / "interpreters.py").read_text(encoding="utf-8")
    assert re.search(r'CORES = \{\s*"([\d.]+)"', interpreters)[1] == oldest_core
    oldest_target = re.search(r'TARGETS = \("([\d.]+)"', interpreters)[1]
    config = yaml.safe_load((ROOT / "tests" / "config.yml").read_text(encoding="utf-8"))
    assert config["modules"]["python_requires"] == f">={oldest_target}"


def test_the_changelog_knows_this_version():
    changes = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))
    assert GALAXY["version"] in changes["releases"]


def test_nothing_that_ansible_test_reports_is_ignored():
    assert not list(ROOT.glob("tests/sanity/ignore*.txt"))


def test_continuous_integration_runs_the_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert commands[-1] == "exec make test"
    assert os.access(script, os.X_OK)
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
