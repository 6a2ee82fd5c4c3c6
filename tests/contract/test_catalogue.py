"""Each task of the catalogue leads to a check or a role that is there, takes what it is given, and is documented."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.registry import CHECKS, find_check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import CADENCES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration
from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import read_catalogue
from ansible_collections.cadence.upkeep.plugins.plugin_utils.resolver import Selection, resolve
from tests.contract.collection import (
    CODE,
    DOMAINS,
    MODULES,
    PLUGINS,
    PREFIX,
    ROLES,
    ROOT,
    argument_spec,
    least,
    role_specs,
)

CATALOGUE = read_catalogue({})
LOOKING = [entry for entry in CATALOGUE.values() if not entry.acts]
ACTING = [entry for entry in CATALOGUE.values() if entry.acts]
SOURCES = sorted({name for entry in CATALOGUE.values() for name in (entry.source, entry.policy, entry.account) if name})
NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)


def by_id(entry):
    return getattr(entry, "id", entry)


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=by_id)
def test_a_task_has_a_name_a_purpose_and_its_times(entry):
    assert CODE.fullmatch(entry.id), "an id is DOMAIN.TASK"
    assert entry.does, "the plan and the README say what it does"
    assert not entry.does.endswith(".")
    assert parse_duration(entry.budget if entry.acts else entry.deadline) > 0
    assert [covered for covered in entry.covers if covered not in CATALOGUE] == []


def test_no_two_tasks_share_their_place_in_the_order():
    assert len({entry.order for entry in CATALOGUE.values()}) == len(CATALOGUE)


def test_what_a_run_mends_it_looks_at_afterwards():
    """A certificate that is renewed and a backup that is made in this run are no news of this run."""
    for check, mends in (("certificates.expiry", "certificates.renew"), ("backups.latest", "backups.create")):
        for entry in (CATALOGUE[check], *(entry for entry in CATALOGUE.values() if check in entry.covers)):
            assert mends in entry.after, entry.id


def test_ids_domains_and_cadences_are_different_words():
    """Each can be asked for by `upkeep_only` and by tag."""
    assert not set(CATALOGUE) & {entry.domain for entry in CATALOGUE.values()}
    assert not set(CADENCES) & ({entry.domain for entry in CATALOGUE.values()} | set(CATALOGUE))


@pytest.mark.parametrize("entry", LOOKING, ids=by_id)
def test_a_looking_task_is_a_check_and_a_module_of_that_name_with_the_same_spec(entry, monkeypatch):
    check = find_check(entry.check)
    assert check.name == entry.check
    assert entry.check in MODULES
    spec, others = argument_spec(entry.check, monkeypatch)
    assert check.argument_spec == spec
    assert dict(check.rules) == {
        key: value for key, value in others.items() if key not in ("supports_check_mode", "no_log")
    }


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_every_check_of_the_registry_is_in_the_catalogue(name):
    assert name in {entry.check for entry in LOOKING}


@pytest.mark.parametrize("entry", LOOKING, ids=by_id)
def test_a_looking_task_takes_the_least_that_a_user_can_write(entry):
    check = find_check(entry.check)
    variables = {}
    if entry.source:
        option = {"options": check.argument_spec, **check.rules, "type": "dict"}
        whole = least({"it": {**(check.argument_spec[entry.into] if entry.into else option), "required": True}})
        variables[entry.source] = [whole["it"]] if entry.shape == "each" else whole["it"]
    (task,) = resolve({entry.id: entry}, Selection(entry.cadence), variables, NOW).tasks
    for options in task.each or [{}]:
        validate(entry.check, check.argument_spec, {**task.params, **options}, dict(check.rules))


@pytest.mark.parametrize("entry", [entry for entry in LOOKING if entry.policy], ids=by_id)
def test_a_policy_may_set_every_other_option_of_the_check(entry):
    """The catalogue's own params come first: a policy that names one of them would change what the task is."""
    spec = find_check(entry.check).argument_spec
    assert set(spec) - set(entry.params or {})


@pytest.mark.parametrize("entry", ACTING, ids=by_id)
def test_an_acting_task_is_a_role_with_that_entry_point_and_its_argument_spec(entry):
    assert entry.role.startswith(PREFIX)
    role = entry.role.removeprefix(PREFIX)
    assert role in ROLES
    assert (ROOT / "roles" / role / "tasks" / f"{entry.entry}.yml").is_file()
    assert entry.entry in role_specs(role)


@pytest.mark.parametrize("entry", ACTING, ids=by_id)
def test_an_acting_task_registers_its_result_and_takes_its_budget(entry):
    role = entry.role.removeprefix(PREFIX)
    text = (ROOT / "roles" / role / "tasks" / f"{entry.entry}.yml").read_text(encoding="utf-8")
    name = f"{role}_{entry.entry}"
    # A role of several tasks brings their results together under that name.
    assert f"register: {name}\n" in text or f"  {name}:\n" in text
    assert "upkeep_budget" in text + (ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SOURCES)
def test_an_inventory_variable_is_documented(name):
    options = {option for role in ROLES for spec in role_specs(role).values() for option in spec.get("options", {})}
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
    assert name in options or f"`{name}`" in pages


@pytest.mark.parametrize("name", SOURCES)
def test_an_inventory_variable_is_in_the_table_of_the_cadences(name):
    assert f"| `{name}` |" in (ROOT / "docs" / "cadences.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("library", sorted({library for entry in CATALOGUE.values() for library in entry.needs}))
def test_a_library_that_a_task_needs_is_known_to_its_domain_and_installed_by_bootstrap(library):
    adapters = "".join(
        path.read_text(encoding="utf-8")
        for domain in (*DOMAINS, "_core")
        for path in (PLUGINS / "module_utils" / domain).glob("*.py")
    )
    assert f"import {library}" in adapters or f"from {library}" in adapters
    folder = ROOT / "roles" / "prerequisites"
    assert folder.is_dir(), "the role that installs libraries is not there"
    sources = [*folder.rglob("*.yml"), *(PLUGINS / "module_utils" / "_prerequisites").glob("*.py")]
    assert any(library in path.read_text(encoding="utf-8") for path in sources)
