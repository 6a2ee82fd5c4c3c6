"""What a module takes and returns is what its page says, and it is tested at both levels."""

from __future__ import annotations

import ast
import re

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import SEVERITY_WORDS
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import ANSIBLE_KEYS
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339
from tests.contract.collection import (
    ACTIONS,
    DOMAINS,
    MODULES,
    PLAYBOOKS,
    PLUGINS,
    PREFIX,
    ROLES,
    ROOT,
    argument_spec,
    codes_of,
    constants_of,
    documented,
    documented_options,
    load,
    role_tasks,
    runs_on_hosts,
    tree_of,
)

ON_HOSTS = [module for module in MODULES if runs_on_hosts(module)]
EVERY_CODE = {
    code
    for domain in DOMAINS
    if (PLUGINS / "module_utils" / domain / "codes.py").is_file()
    for code in codes_of(domain)
}


def disagreements(spec, pages, place=""):
    """Yield every way in which the options of *spec* and their pages differ."""
    for name in sorted(set(spec) ^ set(pages)):
        yield f"{place}{name} is {'not documented' if name in spec else 'documented but not taken'}"
    for name in sorted(set(spec) & set(pages)):
        option, page = spec[name], pages[name]
        for key, otherwise in (("type", "str"), ("required", False), ("default", None), ("elements", None)):
            taken, told = option.get(key, otherwise), page.get(key, otherwise)
            if taken != told or type(taken) is not type(told):
                yield f"{place}{name}: {key} is {taken!r}, documented as {told!r}"
        for key in ("choices", "aliases"):
            taken, told = option.get(key) or [], page.get(key) or []
            if sorted(taken) != sorted(told):
                yield f"{place}{name}: {key} are {sorted(taken)}, documented as {sorted(told)}"
        if not page.get("description"):
            yield f"{place}{name} has no description"
        yield from disagreements(option.get("options") or {}, page.get("suboptions") or {}, f"{place}{name}.")


@pytest.mark.parametrize("module", MODULES)
def test_every_option_is_documented_as_it_is(module, monkeypatch):
    spec, _others = argument_spec(module, monkeypatch)
    assert list(disagreements(spec, documented_options(module))) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_every_option_of_an_action_plugin_is_documented(action):
    pages = documented_options(action)
    assert [name for name in load(f"action.{action}").ActionModule.OPTIONS if name not in pages] == []


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_plugin_is_one_line_and_has_a_module_that_documents_it(action):
    assert action in MODULES
    statements = [node for node in tree_of(PLUGINS / "action" / f"{action}.py").body if not isinstance(node, ast.Expr)]
    assert all(isinstance(node, (ast.ImportFrom, ast.Assign)) for node in statements)


@pytest.mark.parametrize("module", MODULES)
def test_a_page_is_complete(module):
    page = documented(module, "DOCUMENTATION")
    assert page["module"] == module
    assert not page["short_description"].endswith(".")
    assert page["description"]
    assert page["author"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", page["version_added"])
    fragments = page["extends_documentation_fragment"]
    assert {f"{PREFIX}attributes", f"{PREFIX}attributes.action_groups"} <= set(fragments)
    assert f"{PREFIX}attributes.read_only" in fragments or {"check_mode", "diff_mode"} <= set(page["attributes"])


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_tasks_that_the_module_takes(module, monkeypatch):
    spec, others = argument_spec(module, monkeypatch)
    action = load(f"action.{module}").ActionModule.OPTIONS if module in ACTIONS else {}
    rules = {key: value for key, value in others.items() if key.startswith(("required", "mutually"))}
    own = [task for task in documented(module, "EXAMPLES") if f"{PREFIX}{module}" in task]
    assert own, "no example calls it"
    for task in own:
        params = task[f"{PREFIX}{module}"] or {}
        assert sorted(set(params) - set(spec) - set(action)) == []
        if "{{" not in str(params) and module not in ACTIONS:
            assert ArgumentSpecValidator(spec, **rules).validate(params).error_messages == []


@pytest.mark.parametrize("module", ON_HOSTS)
def test_check_mode_is_supported(module, monkeypatch):
    _spec, others = argument_spec(module, monkeypatch)
    assert others.get("supports_check_mode") is True


def secrets_in(spec):
    for name, option in spec.items():
        if re.search(r"pass(word|phrase|wd)?$|secret|token$|private_key$", name) and option.get("type", "str") == "str":
            yield name, option.get("no_log")
        yield from secrets_in(option.get("options") or {})


@pytest.mark.parametrize("module", MODULES)
def test_an_option_that_holds_a_secret_is_kept_out_of_logs(module, monkeypatch):
    spec, _others = argument_spec(module, monkeypatch)
    assert [name for name, no_log in secrets_in(spec) if no_log is not True] == []


# --- what it returns --------------------------------------------------------------------------------------------------

VOCABULARY = ("summary", "findings", "actions", "metrics", "truncated")


@pytest.mark.parametrize("module", ON_HOSTS)
def test_the_common_words_are_documented_first_and_with_samples(module):
    returned = documented(module, "RETURN")
    assert tuple(returned)[: len(VOCABULARY)] == VOCABULARY
    assert [key for key in returned if "sample" not in returned[key]] == []


@pytest.mark.parametrize("module", MODULES)
def test_what_is_returned_is_described(module):
    for key, value in documented(module, "RETURN").items():
        assert value["description"], key
        assert value["returned"], key
        assert value["type"] != "list" or value["elements"], key
        assert key not in ANSIBLE_KEYS


@pytest.mark.parametrize("module", ON_HOSTS)
def test_the_samples_are_such_as_the_module_returns(module):
    returned = documented(module, "RETURN")
    summary = returned["summary"]["sample"]
    assert set(summary) == {"worst", "counts", "seconds"}
    assert set(summary["counts"]) == set(SEVERITY_WORDS)
    assert summary["worst"] in SEVERITY_WORDS
    assert returned["findings"]["sample"]
    for finding in returned["findings"]["sample"]:
        assert set(finding) - {"task"} == {
            "code",
            "subject",
            "severity",
            "message",
            "evidence",
            "remedy",
            "observed_at",
        }
        assert finding["severity"] in SEVERITY_WORDS
        assert finding["code"] in EVERY_CODE
        assert parse_rfc3339(finding["observed_at"])
    for action in returned["actions"].get("sample") or []:
        assert set(action) - {"task"} == {"id", "description", "status", "reason", "seconds"}
        assert action["status"] in ("planned", "done", "skipped", "failed")
    for metric in returned["metrics"].get("sample") or []:
        assert set(metric) - {"task"} == {"name", "value", "unit", "labels"}


# --- how it is made ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_wiring(module):
    """At most 80 lines besides its documentation: logic belongs into the domain."""
    path = PLUGINS / "modules" / f"{module}.py"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    pages = sum(
        text.count("\n") for name, text in constants_of(path).items() if name in ("DOCUMENTATION", "EXAMPLES", "RETURN")
    )
    assert lines - pages <= 80


def ways_to(module):
    """Return how a test may name *module*: by its name; those that only the engine calls, by a playbook that does."""
    yield rf"\b{module}\b"
    if module in ACTIONS:
        roles = {
            path.parents[1].name
            for role in ROLES
            for path in role_tasks(role)
            if f"{PREFIX}{module}:" in path.read_text(encoding="utf-8")
        }
        leading = {
            path.stem
            for path in PLAYBOOKS
            if any(f"name: {PREFIX}{role}\n" in path.read_text(encoding="utf-8") for role in roles)
        }
        for _depth in PLAYBOOKS:
            leading |= {
                path.stem
                for path in PLAYBOOKS
                if any(f"import_playbook: {name}.yml" in path.read_text(encoding="utf-8") for name in leading)
            }
        yield from (rf"""\.play\(\s*["']{name}["']""" for name in leading)


@pytest.mark.parametrize("level", ["unit", "integration"])
@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_tests(module, level):
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / level).rglob("test_*.py"))]
    assert any(re.search(way, text) for way in ways_to(module) for text in texts)
