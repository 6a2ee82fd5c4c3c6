"""Who may import whom, what may stand in the code, and where."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.collection import DOMAINS, PACKAGE, PLUGINS, ROOT, name_of, python_files, tree_of

HEADER = """\
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""


def imports_of(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Yield every module that *path* imports from, and each name of it, wherever the import stands."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def own_parts(path: Path) -> set[str]:
    """Return the parts of the collection that *path* imports: ``module_utils._core``, ``plugin_utils`` ..."""
    own = {name.removeprefix(f"{PACKAGE}.") for name, _node in imports_of(path) if name.startswith(f"{PACKAGE}.")}
    return {".".join(name.split(".")[: 2 if name.startswith("module_utils.") else 1]) for name in own}


def domain_files(domain: str) -> list[Path]:
    return sorted((PLUGINS / "module_utils" / domain).glob("**/*.py"))


@pytest.mark.parametrize("path", domain_files("_core"), ids=name_of)
def test_the_core_knows_no_domain(path):
    assert own_parts(path) <= {"module_utils._core"}


# Whoever dumps or restores a database logs in as every other job does, and a certificate in a backup is read as any
# other: what is known of that is known once.
LOGS_IN_BY = {"_backup": {"module_utils._postgres"}}
READS_CERTIFICATES_BY = {"certificates.py": {"chain", "keys", "library", "model", "pem"}}


@pytest.mark.parametrize("domain", [domain for domain in DOMAINS if domain != "_checkup"])
def test_a_domain_knows_no_other(domain):
    known = {f"module_utils.{domain}", "module_utils._core"} | LOGS_IN_BY.get(domain, set())
    for path in domain_files(domain):
        reads = {"module_utils._cert"} if domain == "_backup" and path.name in READS_CERTIFICATES_BY else set()
        assert sorted(own_parts(path) - known - reads) == [], name_of(path)


def test_what_a_domain_may_know_of_another_is_how_to_log_in():
    log_in = {"adapter", "argspec", "cluster", "container_facts", "errors", "model", "names", "options"}
    for domain, others in LOGS_IN_BY.items():
        for path in domain_files(domain):
            names = (name.removeprefix(f"{PACKAGE}.") for name, _node in imports_of(path))
            used = {name.split(".")[2] for name in names if name.startswith(tuple(f"{other}." for other in others))}
            assert used <= log_in, name_of(path)


def test_what_backups_know_of_certificates_is_how_to_read_them():
    for name, allowed in READS_CERTIFICATES_BY.items():
        path = PLUGINS / "module_utils" / "_backup" / name
        names = (name.removeprefix(f"{PACKAGE}.") for name, _node in imports_of(path))
        used = {part[2] for part in (name.split(".") for name in names) if part[:2] == ["module_utils", "_cert"]}
        assert used <= allowed


def test_only_the_registry_knows_the_domains_and_only_when_they_are_used():
    for path in domain_files("_checkup"):
        if path.name != "registry.py":
            assert own_parts(path) <= {"module_utils._core", "module_utils._checkup"}, name_of(path)
    registry = tree_of(PLUGINS / "module_utils" / "_checkup" / "registry.py")
    at_once = [node.module for node in registry.body if isinstance(node, ast.ImportFrom)]
    assert [name for name in at_once if name and re.search(r"module_utils\._(?!core|checkup)", name)] == []


@pytest.mark.parametrize("path", python_files("module_utils", "modules"), ids=name_of)
def test_what_runs_on_hosts_imports_nothing_of_the_control_node(path):
    for name, node in imports_of(path):
        assert not name.startswith(f"{PACKAGE}.") or name.startswith(f"{PACKAGE}.module_utils."), (
            f"line {node.lineno}: {name}"
        )
        assert not name.startswith("ansible.") or name.startswith("ansible.module_utils."), (
            f"line {node.lineno}: {name}"
        )


@pytest.mark.parametrize("path", python_files("plugin_utils", "action"), ids=name_of)
def test_the_control_node_knows_the_core_and_the_run_and_no_domain(path):
    assert own_parts(path) <= {"plugin_utils", "module_utils._core", "module_utils._checkup"}


@pytest.mark.parametrize("path", python_files("plugin_utils"), ids=name_of)
def test_only_the_engine_knows_ansible(path):
    known = {name for name, _node in imports_of(path) if name.split(".")[0] == "ansible"}
    assert path.name == "engine.py" or known == set()


@pytest.mark.parametrize("path", python_files("."), ids=name_of)
def test_nobody_imports_the_private_names_of_another_file(path):
    private = [
        name
        for name, _node in imports_of(path)
        if name.startswith(f"{PACKAGE}.") and name.rpartition(".")[2].startswith("_")
    ]
    assert private == []


# --- third-party libraries --------------------------------------------------------------------------------------------


def foreign(path: Path) -> list[tuple[str, ast.stmt]]:
    ours = {"ansible", "ansible_collections", "__future__"}
    return [
        (name.split(".")[0], node)
        for name, node in imports_of(path)
        if name.split(".")[0] not in ours | sys.stdlib_module_names
    ]


def guarded_lines(path: Path) -> set[int]:
    """Return the lines that stand in a `try` with `except ImportError`, or under `if TYPE_CHECKING`."""
    lines: set[int] = set()
    for node in ast.walk(tree_of(path)):
        body: list[ast.stmt] = []
        if isinstance(node, ast.Try) and any(
            "ImportError" in ast.unparse(handler.type or ast.Tuple([])) for handler in node.handlers
        ):
            body = node.body
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            body = node.body
        for statement in body:
            lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return lines


@pytest.mark.parametrize("domain", ["_core", *DOMAINS])
def test_a_third_party_library_has_one_adapter_in_its_domain(domain):
    adapters = {
        path.name
        for path in domain_files(domain)
        if any(node.lineno not in type_only(path) for _name, node in foreign(path))
    }
    assert len(adapters) <= 1, adapters
    # Containers are every domain's: the one library of the core.
    assert domain not in ("_core", "_checkup") or adapters <= {"daemon.py"}


def type_only(path: Path) -> set[int]:
    return {
        line
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


@pytest.mark.parametrize("path", python_files("module_utils", "modules"), ids=name_of)
def test_a_library_that_is_missing_is_no_traceback(path):
    guarded = guarded_lines(path)
    assert [f"line {node.lineno}: {name}" for name, node in foreign(path) if node.lineno not in guarded] == []
    assert not foreign(path) or path.parent.parent.name == "module_utils"


@pytest.mark.parametrize("path", python_files("plugin_utils", "action"), ids=name_of)
def test_the_control_node_needs_only_what_ansible_brings(path):
    assert {name for name, _node in foreign(path)} <= {"yaml"}


# --- how the code is written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in python_files(".") if path.name != "__init__.py"], ids=name_of)
def test_a_file_says_whose_it_is_and_reads_the_same_on_every_python(path):
    text = path.read_text(encoding="utf-8").removeprefix("#!/usr/bin/python\n")
    assert text.startswith(HEADER)
    first = next(node for node in tree_of(path).body if not isinstance(node, ast.Expr))
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "__future__"


@pytest.mark.parametrize(
    "path", [path for path in python_files("module_utils") if path.name == "__init__.py"], ids=name_of
)
def test_a_package_is_empty(path):
    assert path.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("path", python_files("."), ids=name_of)
def test_any_exception_is_caught_in_one_place_alone(path):
    broad = [
        f"line {node.lineno}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        if not any(isinstance(part, ast.Raise) and part.exc is None for part in ast.walk(node))
    ]
    assert broad == [] or name_of(path) == "plugins/module_utils/_core/isolate.py"


@pytest.mark.parametrize("path", [*python_files("."), *sorted((ROOT / "tests").rglob("*.py"))], ids=name_of)
def test_a_silenced_warning_has_its_reason_beside_it(path):
    before = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = re.search(r"#\s*(noqa:[\sA-Z0-9,]*|noqa|type: ignore(?:\[[\w, -]+\])?)(.*)$", line)
        if match and path.name != "test_layers.py":
            rule, reason = match.groups()
            assert rule[-1] in "0123456789]" or rule.endswith(" "), f"line {number} silences everything"
            # Of several lines in a row, the first says it for all.
            assert re.search(r"\w+ \w+", reason) or rule.strip() in before, f"line {number}: {line.strip()}"
        before = line


def files_of_the_checkout() -> Iterator[Path]:
    """Yield every file but those that .gitignore leaves to the tools, and those behind the link to the checkout."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = {ROOT / line.strip("/") for line in lines if re.fullmatch(r"/[^*]+/", line)}
    ignored |= {ROOT / ".git", ROOT / "playbooks" / "collections"}
    anywhere = {line.strip("/") for line in lines if re.fullmatch(r"[\w.]+/?", line)}
    waiting = [ROOT]
    while waiting:
        for path in waiting.pop().iterdir():
            if path in ignored or path.name in anywhere or path.is_symlink():
                continue
            if path.is_dir():
                waiting.append(path)
            else:
                yield path


def test_no_file_names_a_path_of_the_machine_on_which_it_was_written():
    # A test or a page may speak of a home that is plainly nobody's.
    folders = "|".join(("root", "work", "tmp/dev", "home/(?!somebody|alice|bob|user|app)[a-z]+", "Users/[A-Za-z]+"))
    path_of_a_machine = re.compile(rf"(?<![\w.~/-])/(?:{folders})/")
    files = sorted(files_of_the_checkout())
    assert len(files) > 100
    told = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a recorded archive or the like
        told += [f"{name_of(path)}: {match[0]}" for match in path_of_a_machine.finditer(text)]
    assert told == []
