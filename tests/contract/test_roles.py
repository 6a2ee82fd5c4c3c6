"""Roles and playbooks hold almost nothing, and what they hold is documented, prefixed and read by somebody."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import CADENCES
from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import read_catalogue
from tests.contract.collection import (
    ACTIONS,
    MODULES,
    PLAYBOOKS,
    PREFIX,
    ROLES,
    ROOT,
    argument_spec,
    mappings_in,
    name_of,
    playbook_and_role_files,
    role_file,
    role_specs,
    role_tasks,
    tasks_of,
    yaml_of,
)

SHELLS = ("shell", "command", "raw", "script", "expect", "win_shell", "win_command")
KEYWORDS = {
    *("name", "when", "vars", "register", "loop", "loop_control", "tags", "no_log", "notify", "environment", "timeout"),
    *("become", "become_user", "run_once", "delegate_to", "check_mode", "diff", "throttle", "module_defaults"),
    *("changed_when", "failed_when", "until", "retries", "delay", "ignore_unreachable", "block", "rescue", "always"),
}
# What the role of a task may read without having it as its own: the engine gives it to every role.
ENGINE = ("upkeep_",)


def found_in_tasks(path):
    """Return the mappings of a file of tasks or plays in which a key may be a keyword or a module."""
    return list(mappings_in(yaml_of(path)))


@pytest.mark.parametrize("path", playbook_and_role_files(), ids=name_of)
def test_no_shell_where_a_module_can_be(path):
    keys = {key for mapping in found_in_tasks(path) for key in mapping}
    assert (
        sorted(keys & {prefix + name for name in SHELLS for prefix in ("", "ansible.builtin.", "ansible.windows.")})
        == []
    )


@pytest.mark.parametrize("path", playbook_and_role_files(), ids=name_of)
def test_no_error_is_ignored(path):
    assert [mapping for mapping in found_in_tasks(path) if "ignore_errors" in mapping] == []


def texts_that_may_include_roles():
    folders = ("roles", "playbooks", "molecule", "inventories", "docs", "plugins", "tests")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".yml", ".yaml", ".md", ".py")
    ]
    outside = (ROOT / "playbooks" / "collections", ROOT / "tests" / "contract", ROOT / "tests" / "output")
    return [path for path in [*files, *ROOT.glob("*.md")] if not any(folder in path.parents for folder in outside)]


def what_runs(path):
    """Return the text of *path*, or of its blocks of code when it is a page for people."""
    text = path.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)) if path.suffix == ".md" else text


def test_no_entry_point_has_a_suffix():
    """With one, Ansible would not validate the role's arguments, and say nothing."""
    suffix = re.compile(r"""tasks_from["']?\s*[:=]\s*["']?[\w./-]+\.ya?ml""")
    files = texts_that_may_include_roles()
    assert len(files) > 50
    assert [name_of(path) for path in files if suffix.search(what_runs(path))] == []


# --- playbooks --------------------------------------------------------------------------------------------------------

PLAYS = [
    pytest.param(play, id=f"{path.name}: {play.get('name')}")
    for path in PLAYBOOKS
    for play in yaml_of(path)
    if "hosts" in play
]


@pytest.mark.parametrize("play", PLAYS)
def test_a_play_gathers_no_facts(play):
    assert play["gather_facts"] is False


@pytest.mark.parametrize("play", PLAYS)
def test_privileges_are_taken_by_the_task_that_needs_them(play):
    assert [key for key in play if key.startswith("become")] == []


@pytest.mark.parametrize("cadence", CADENCES)
def test_each_cadence_has_a_playbook_that_reads_like_what_it_is(cadence):
    (play,) = yaml_of(ROOT / "playbooks" / f"{cadence}.yml")
    assert play["ansible.builtin.import_playbook"] == "cadence.yml"
    assert play["vars"] == {"upkeep_cadence": cadence}


@pytest.mark.parametrize("path", PLAYBOOKS, ids=name_of)
def test_a_playbook_is_thin(path):
    """Plays include roles; a role has the tasks."""
    assert [task["name"] for play in yaml_of(path) for task in play.get("tasks", [])][2:] == []


@pytest.mark.parametrize("path", playbook_and_role_files(), ids=name_of)
def test_the_roles_and_entry_points_that_are_named_are_there(path):
    for mapping in found_in_tasks(path):
        for key in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
            named = mapping.get(key) or {}
            if isinstance(named, dict) and str(named.get("name", "")).startswith(PREFIX):
                role = named["name"].removeprefix(PREFIX)
                assert (ROOT / "roles" / role / "tasks" / f"{named.get('tasks_from', 'main')}.yml").is_file()


# --- roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_a_role_introduces_itself(role):
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {role}\n")
    assert len(readme.splitlines()) > 2
    meta = role_file(role, "meta")
    assert meta.get("dependencies", []) == []
    info = meta["galaxy_info"]
    assert info["description"]
    assert info["license"] == "GPL-3.0-or-later"
    oldest = re.search(r"\d+\.\d+", yaml_of(ROOT / "meta" / "runtime.yml")["requires_ansible"])
    assert oldest
    assert info["min_ansible_version"] == oldest[0]


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_with_a_spec_has_its_tasks(role):
    specs = role_specs(role)
    assert specs
    assert sorted(set(specs) - {path.stem for path in role_tasks(role)}) == []
    for entry, spec in specs.items():
        assert spec["short_description"], entry
        for name, option in (spec.get("options") or {}).items():
            assert option.get("description"), name
            assert option.get("type"), name


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_specs_say_the_same(role):
    defaults = role_file(role, "defaults")
    specs = role_specs(role)
    options = {name: option for spec in specs.values() for name, option in (spec.get("options") or {}).items()}
    assert sorted(set(defaults) - set(options)) == [], "a default that no spec has"
    own = {name: option for name, option in options.items() if name.startswith(f"{role}_")}
    assert {name: option["default"] for name, option in own.items() if "default" in option} == {
        name: value for name, value in defaults.items() if "default" in options[name]
    }
    assert sorted(name for name in defaults if "default" not in options[name]) == [], "a spec that hides its default"


def variables_set_by(role):
    """Yield the names of the variables that *role* sets."""
    yield from role_file(role, "defaults")
    yield from role_file(role, "vars")
    for path in role_tasks(role):
        for mapping in found_in_tasks(path):
            for key in ("register", "loop_var"):
                if isinstance(mapping.get(key), str):
                    yield mapping[key]
            yield from (name for name in mapping.get("ansible.builtin.set_fact") or {} if name != "cacheable")


@pytest.mark.parametrize("role", ROLES)
def test_the_variables_of_a_role_begin_with_its_name(role):
    assert [name for name in variables_set_by(role) if not re.match(rf"_{{0,2}}{role}_", name)] == []
    options = {name for spec in role_specs(role).values() for name in spec.get("options") or {}}
    assert [name for name in options if not name.startswith((f"{role}_", *ENGINE))] == []


@pytest.mark.parametrize("role", ROLES)
def test_the_variables_that_a_role_reads_are_its_own_and_documented(role):
    known = set(variables_set_by(role)) | {
        name for spec in role_specs(role).values() for name in spec.get("options") or {}
    }
    known |= {name for path in role_tasks(role) for task in tasks_of(path) for name in task.get("vars") or {}}
    known |= {"run_once"}  # a keyword of Ansible that looks like a variable of the role `run`
    texts = [path.read_text(encoding="utf-8") for path in role_tasks(role)]
    used = {name for text in texts for name in re.findall(rf"\b{role}_\w+", re.sub(r"cadence\.upkeep\.\w+", "", text))}
    assert sorted(used - known) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_with_more_than_a_few_tasks_has_leaked_logic(role):
    for path in role_tasks(role):
        steps = [
            task
            for task in tasks_of(path)
            if not set(task) & {"block", "ansible.builtin.meta", "ansible.builtin.import_tasks"}
        ]
        assert len(steps) <= 5, name_of(path)


def calls():
    for role in ROLES:
        for path in role_tasks(role):
            for task in tasks_of(path):
                for key, params in task.items():
                    if str(key).startswith(PREFIX):
                        yield pytest.param(
                            str(key).removeprefix(PREFIX),
                            params or {},
                            (task.get("module_defaults") or {}).get(key),
                            id=f"{role}/{path.name}: {key}",
                        )


@pytest.mark.parametrize(("module", "params", "defaults"), list(calls()))
def test_a_role_hands_on_every_option_of_its_module(module, params, defaults, monkeypatch):
    """One by one, or as the whole mapping that the user wrote, in which the module itself refuses what it lacks."""
    assert module in MODULES
    spec, _others = argument_spec(module, monkeypatch)
    if defaults is not None:
        assert re.fullmatch(r"\{\{ \w+ \}\}", defaults), "a mapping of the user's, and nothing besides"
    if module in ACTIONS or defaults is not None:
        assert sorted(set(params) - set(spec)) == []
    else:
        assert sorted(set(params) ^ set(spec)) == []


@pytest.mark.parametrize("path", [path for path in playbook_and_role_files() if tasks_of(path)], ids=name_of)
def test_every_task_says_what_it_does_and_names_its_module_in_full(path):
    for task in tasks_of(path):
        assert task["name"][0].isupper()
        modules = sorted(set(task) - KEYWORDS)
        assert "block" in task or len(modules) == 1, task["name"]
        assert all(len(module.split(".")) >= 3 for module in modules), f"{task['name']}: {modules}"


def inventory_variables():
    return sorted(
        path for folder in ("host_vars", "group_vars") for path in (ROOT / "inventories").rglob(f"{folder}/**/*.yml")
    )


@pytest.mark.parametrize("path", inventory_variables(), ids=name_of)
def test_an_example_inventory_sets_what_somebody_reads(path):
    entries = read_catalogue({}).values()
    read = {name for entry in entries for name in (entry.source, entry.policy, entry.account)}
    read |= {name for role in ROLES for spec in role_specs(role).values() for name in spec.get("options") or {}}
    own = path.relative_to(ROOT / "inventories").parts[0]
    assert [name for name in yaml_of(path) if name not in read and not name.startswith((f"{own}_", "ansible_"))] == []
