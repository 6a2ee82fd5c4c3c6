"""What the contract tests read of the collection: its files, its specs and its documentation. Nothing is cached between
runs and nothing is listed here: whatever lies in the checkout is held to the contracts."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections.cadence.upkeep.plugins"
PREFIX = "cadence.upkeep."
PLUGINS = ROOT / "plugins"

MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("[!_]*.py"))
ACTIONS = sorted(path.stem for path in (PLUGINS / "action").glob("[!_]*.py"))
DOMAINS = sorted(
    path.name for path in (PLUGINS / "module_utils").glob("_[a-z]*") if path.name != "_core" and path.is_dir()
)
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))


def name_of(path: Path) -> str:
    """Return *path* as a person names it: from the root of the checkout on."""
    return str(path.relative_to(ROOT))


def load(dotted: str) -> ModuleType:
    """Return the Python module of the collection called *dotted*, such as ``module_utils._core.units``."""
    return importlib.import_module(f"{PACKAGE}.{dotted}")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PLUGINS / folder).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def yaml_of(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# --- what Ansible calls things ----------------------------------------------------------------------------------------


@cache
def constants_of(path: Path) -> dict[str, str]:
    """Return the texts that a Python file assigns to names, such as ``DOCUMENTATION``."""
    return {
        target.id: node.value.value
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def documented(module: str, part: str) -> Any:
    """Return DOCUMENTATION, EXAMPLES or RETURN of *module* as data."""
    return yaml.safe_load(constants_of(PLUGINS / "modules" / f"{module}.py").get(part, ""))


def documented_options(module: str) -> dict[str, Any]:
    """Return the options of *module* with those of its documentation fragments."""
    page = documented(module, "DOCUMENTATION")
    options: dict[str, Any] = {}
    for name in page.get("extends_documentation_fragment", []):
        if name.startswith(PREFIX):
            file, _, part = name.removeprefix(PREFIX).partition(".")
            fragment = constants_of(PLUGINS / "doc_fragments" / f"{file}.py")[(part or "documentation").upper()]
            options |= (yaml.safe_load(fragment) or {}).get("options") or {}
    return options | (page.get("options") or {})


class Captured(BaseException):
    """Ends ``main()`` of a module as soon as it has said what it takes."""


def argument_spec(module: str, monkeypatch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the argument spec of *module*, and what else it passes to ``AnsibleModule``.

    A module that only documents an action plugin has the spec of that plugin.
    """
    loaded = load(f"modules.{module}")
    if not hasattr(loaded, "main"):
        return dict(load(f"action.{module}").ActionModule.OPTIONS), {}
    seen: dict[str, Any] = {}

    def capture(argument_spec: dict[str, Any], **others: Any) -> None:
        seen.update(spec=argument_spec, others=others)
        raise Captured

    monkeypatch.setattr(loaded, "AnsibleModule", capture)
    try:
        loaded.main()
    except Captured:
        pass
    return dict(seen["spec"]), seen["others"]


def runs_on_hosts(module: str) -> bool:
    """True when *module* has code of its own; false when it only documents an action plugin."""
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "main"
        for node in tree_of(PLUGINS / "modules" / f"{module}.py").body
    )


# --- YAML that Ansible runs -------------------------------------------------------------------------------------------


def playbook_and_role_files() -> list[Path]:
    return sorted(PLAYBOOKS + [path for role in ROLES for path in (ROOT / "roles" / role).rglob("*.yml")])


def mappings_in(data: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in *data*, however deep."""
    if isinstance(data, dict):
        yield data
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from mappings_in(value)


def tasks_of(path: Path) -> list[dict[str, Any]]:
    """Return every task of a playbook or of a role's file, those inside blocks too, and the blocks themselves."""
    data = yaml_of(path)
    return list(_tasks_in(data)) if isinstance(data, list) else []


def _tasks_in(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if not set(entry) & {"hosts", "ansible.builtin.import_playbook"}:
            yield entry
        for key in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from _tasks_in(entry.get(key) or [])


def role_tasks(role: str) -> list[Path]:
    return sorted((ROOT / "roles" / role / "tasks").glob("*.yml"))


def role_specs(role: str) -> dict[str, Any]:
    """Return ``{entry point: {options, ...}}`` of *role*."""
    path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    return (yaml_of(path) or {}).get("argument_specs", {}) if path.is_file() else {}


def role_file(role: str, folder: str) -> dict[str, Any]:
    path = ROOT / "roles" / role / folder / "main.yml"
    return (yaml_of(path) or {}) if path.is_file() else {}


# --- finding codes ----------------------------------------------------------------------------------------------------

CODE = re.compile(r"[a-z]+\.[a-z][a-z0-9_]*")


def codes_of(domain: str) -> dict[str, Any]:
    return dict(load(f"module_utils.{domain}.codes").CODES)


def texts_in(path: Path) -> Iterator[str]:
    """Yield the text constants of a Python file that are no docstrings, and the texts that its names stand for."""
    tree = tree_of(path)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value
        elif isinstance(node, ast.Name):
            yield f"${node.id}"
        elif isinstance(node, ast.Attribute):
            yield f"${node.attr}"


def codes_used(domain: str) -> set[str]:
    """Return the finding codes that the source of *domain* names, literally or by a constant of its ``codes.py``."""
    folder = PLUGINS / "module_utils" / domain
    constants = {f"${name}": text for name, text in constants_of(folder / "codes.py").items()}
    prefixes = {code.partition(".")[0] for code in codes_of(domain)}
    files = [path for path in folder.rglob("*.py") if path.name != "codes.py"]
    if domain == "_checkup":  # the run itself: the control node has its part in it
        files += python_files("plugin_utils")
    texts = {constants.get(text, text) for path in files for text in texts_in(path)}
    used = {text for text in texts if CODE.fullmatch(text) and text.partition(".")[0] in prefixes}
    return used | {f"{name}.nothing_examined" for name in outcome_domains(domain)}


def outcome_domains(domain: str) -> set[str]:
    """Return the names under which the source of *domain* makes its outcomes: each can examine nothing."""
    return {
        keyword.value.value
        for path in (PLUGINS / "module_utils" / domain).rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Outcome"
        for keyword in node.keywords
        if keyword.arg == "domain" and isinstance(keyword.value, ast.Constant)
    }


# --- specs ------------------------------------------------------------------------------------------------------------

_LEAST: dict[str, Any] = {
    "str": "x",
    "path": "/x",
    "raw": "x",
    "int": 1,
    "float": 1.0,
    "bool": True,
    "bytes": "1KiB",
    "bits": "1kb",
}


def least(spec: dict[str, Any], rules: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the smallest parameters that *spec* and *rules* accept: what a user must write at the least."""
    wanted = [name for name, option in spec.items() if option.get("required")]
    for group in (rules or {}).get("required_one_of", []):
        if not set(group) & set(wanted):
            wanted.append(group[0])
    for group in (rules or {}).get("required_together", []):
        if set(group) & set(wanted):
            wanted += [name for name in group if name not in wanted]
    return {name: _least_value(spec[name]) for name in wanted}


def _least_value(option: dict[str, Any]) -> Any:
    if "choices" in option:
        return option["choices"][0]
    kind = option.get("type", "str")
    rules = {rule: option[rule] for rule in ("required_one_of", "required_together") if rule in option}
    if kind == "list":
        element = {**option, "type": option.get("elements", "str")}
        return [_least_value(element)]
    if kind == "dict":
        return least(option.get("options", {}), rules)
    return _LEAST[kind]
