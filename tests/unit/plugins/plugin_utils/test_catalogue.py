"""The catalogue, changed by the user's overrides, or refused with the id and the key that are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import needed_libraries, read_catalogue

SHIPPED = read_catalogue({})
MINE = {"cadence": "daily", "role": "acme.shop.cart", "entry": "tidy"}


def refused(overrides):
    with pytest.raises(InvalidInput) as caught:
        read_catalogue(overrides)
    return caught.value


def test_without_overrides_it_is_what_is_shipped():
    vacuum = SHIPPED["postgres.vacuum"]
    assert (vacuum.cadence, vacuum.role, vacuum.entry, vacuum.budget) == (
        "weekly",
        "cadence.upkeep.postgres",
        "vacuum",
        "30m",
    )
    assert vacuum.acts
    assert vacuum.domain == "postgres"
    expiry = SHIPPED["certificates.expiry"]
    assert (expiry.check, expiry.source, expiry.acts) == ("cert_expiry", "certificates_inventory", False)


def test_an_override_changes_the_named_keys_and_no_other():
    changed = read_catalogue({"certificates.expiry": {"cadence": "weekly", "deadline": "10m"}})
    expiry, shipped = changed["certificates.expiry"], SHIPPED["certificates.expiry"]
    assert (expiry.cadence, expiry.deadline) == ("weekly", "10m")
    assert (expiry.check, expiry.source, expiry.needs, expiry.does) == (
        shipped.check,
        shipped.source,
        shipped.needs,
        shipped.does,
    )
    assert {id_: entry for id_, entry in changed.items() if id_ != expiry.id} == {
        id_: entry for id_, entry in SHIPPED.items() if id_ != expiry.id
    }


def test_params_are_merged_key_by_key():
    changed = read_catalogue({"backups.latest": {"params": {"level": "presence", "timeout": "28m"}}})
    assert changed["backups.latest"].params == {"select": "latest", "level": "presence", "timeout": "28m"}


def test_a_list_in_an_override_stands_in_for_the_list_that_was_there():
    assert read_catalogue({"backups.all": {"covers": []}})["backups.all"].covers == ()


@pytest.mark.parametrize("nothing", [False, None])
def test_false_or_null_removes_a_task(nothing):
    assert set(read_catalogue({"host.memory": nothing})) == set(SHIPPED) - {"host.memory"}


def test_what_covered_a_removed_task_stays():
    assert "backups.all" in read_catalogue({"backups.latest": False})


def test_a_task_may_be_removed_that_is_not_there():
    assert read_catalogue({"no.such": False}) == SHIPPED


def test_a_new_id_adds_a_task():
    mine = read_catalogue({"shop.carts": MINE})["shop.carts"]
    assert (mine.id, mine.domain, mine.role, mine.entry, mine.order) == (
        "shop.carts",
        "shop",
        "acme.shop.cart",
        "tidy",
        100,
    )


def test_the_entry_of_a_role_is_main_unless_said():
    assert read_catalogue({"shop.carts": {"cadence": "daily", "role": "shop"}})["shop.carts"].entry == "main"


def test_a_check_may_be_replaced_by_a_role_of_ones_own_and_a_role_by_a_check():
    acting = read_catalogue({"certificates.expiry": {"role": "acme.shop.renew"}})["certificates.expiry"]
    assert (acting.check, acting.role, acting.acts) == ("", "acme.shop.renew", True)
    looking = read_catalogue({"postgres.vacuum": {"check": "cert_expiry"}})["postgres.vacuum"]
    assert (looking.check, looking.role, looking.acts) == ("cert_expiry", "", False)


def test_overrides_are_not_changed_by_reading_them():
    overrides = {"backups.latest": {"params": {"level": "presence"}}}
    read_catalogue(overrides)
    assert overrides == {"backups.latest": {"params": {"level": "presence"}}}


@pytest.mark.parametrize(
    ("override", "message", "remedy"),
    [
        ({"shop.carts": {**MINE, "cadense": "daily"}}, "unknown key 'cadense'", "Did you mean cadence"),
        ({"shop.carts": {**MINE, "form": "x"}}, "unknown key 'form'", "from"),
        ({"shop.carts": {**MINE, "source": "x"}}, "unknown key 'source'", "from"),  # our own word for `from`
        ({"shop.carts": {**MINE, "id": "x"}}, "unknown key 'id'", ""),
        ({"shop.carts": {**MINE, "cadence": "weekyl"}}, "unknown cadence 'weekyl'", "Did you mean weekly"),
        ({"shop.carts": {"role": "r"}}, "unknown cadence ''", "daily"),
        ({"shop.carts": {"cadence": "daily"}}, "needs either a check or a role", "role: NAME"),
        ({"shop.carts": {**MINE, "check": "cert_expiry"}}, "needs either a check or a role", "role: NAME"),
        ({"shop.carts": {"cadence": "daily", "check": "cert_expire"}}, "unknown check 'cert_expire'", "cert_expiry"),
        ({"shop.carts": {**MINE, "entry": "tidy.yml"}}, "names the entry 'tidy.yml'", "without its suffix"),
        ({"shop.carts": {**MINE, "entry": "tidy.yaml"}}, "names the entry 'tidy.yaml'", "without its suffix"),
        ({"shop.carts": {**MINE, "budget": "30"}}, "has a budget that is none: '30' has no unit", "90s, 5m"),
        ({"shop.carts": {**MINE, "budget": "10MiB"}}, "has a budget that is none: '10MiB' is a size", "90s, 5m"),
        ({"host.memory": {"deadline": "soon"}}, "has a deadline that is none", "90s, 5m"),
        ({"host.memory": {"deadline": 60}}, "has a number as 'deadline' where a text belongs", "deadline"),
        (
            {"backups.all": {"after": ["backups.creat"]}},
            "comes after the unknown task 'backups.creat'",
            "backups.create",
        ),
        ({"backups.all": {"after": ["host.memory"]}}, "comes after host.memory, which is a check", "act"),
        ({"host.memory": {"order": "first"}}, "has a text as 'order' where a whole number belongs", "order"),
        ({"host.memory": {"order": True}}, "has a boolean as 'order' where a whole number belongs", "order"),
        ({"host.memory": {"order": 1.5}}, "has a number as 'order' where a whole number belongs", "order"),
        ({"host.memory": {"params": ["a"]}}, "has a list as 'params' where a mapping belongs", "params"),
        ({"host.memory": {"params": None}}, "has a null as 'params' where a mapping belongs", "params"),
        ({"host.memory": {"needs": "psycopg2"}}, "has a text as 'needs' where a list belongs", "needs"),
        ({"host.memory": {"needs": [5]}}, "has something other than text in 'needs'", "needs"),
        ({"host.memory": {"covers": [["host.load"]]}}, "has something other than text in 'covers'", "covers"),
        ({"host.memory": ["a"]}, "is a list, not a mapping", "id: {key: value}"),
        ({"host.memory": True}, "is a boolean, not a mapping", "id: {key: value}"),
        ({"backups.all": {"covers": ["host.memry"]}}, "covers the unknown task 'host.memry'", "host.memory"),
        ({"host.memory": {"budget": "5m"}}, "is a check, which has no 'budget'", "Take budget out"),
        ({"postgres.vacuum": {"params": {}}}, "is a role, which has no 'params'", "Take params out"),
        ({"postgres.vacuum": {"needs_if": {"docker": "container"}}}, "needs docker if something that is no", "[KEY]"),
        ({"postgres.vacuum": {"shape": "eech"}}, "has the unknown shape 'eech'", "Did you mean each"),
        ({"host.memory": {"shape": "each"}}, "has the shape 'each' of nothing", "from: VARIABLE"),
        ({"backups.all": {"shape": "each"}}, "has both `shape: each` and `into`", "Take one"),
        ({"host.memory": {"part": "x"}}, "has a part, but no elements", "shape: each"),
        ({"host.memory": {"optional": True}}, "is optional without a part", "part: KEY"),
        ({"host.memory": {"optional": "yes"}}, "has a text as 'optional' where a boolean belongs", "optional"),
        (
            {"shop.vacuum": {"cadence": "daily", "role": "cadence.upkeep.postgres", "entry": "vacuum"}},
            "uses the entry 'vacuum' of the role 'cadence.upkeep.postgres', as postgres.vacuum does",
            "an entry point of its own",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_id_and_the_next_step(override, message, remedy):
    error = refused(override)
    (task_id,) = override
    assert error.message.startswith(f"The task {task_id} ")
    assert message in error.message
    assert remedy in error.remedy
    assert error.evidence == {"task": task_id}


@pytest.mark.parametrize(
    "overrides",
    [
        {"backups.all": {"covers": ["backups.all"]}},
        {"backups.latest": {"covers": ["backups.all"]}},
        {
            "host.memory": {"covers": ["host.load"]},
            "host.load": {"covers": ["host.units"]},
            "host.units": {"covers": ["host.memory"]},
        },
    ],
)
def test_tasks_that_cover_each_other_are_refused_because_none_would_run(overrides):
    assert "covers itself" in refused(overrides).message


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["cadence", "check", "role", "entry", "from", "params", "covers", "order", "budget", "deadline"])


@given(
    st.dictionaries(
        st.sampled_from([*SHIPPED, "shop.carts"]) | st.text(max_size=8), JUNK | st.dictionaries(KEYS, JUNK, max_size=4)
    )
)
def test_any_overrides_give_a_catalogue_or_one_refusal(overrides):
    try:
        catalogue = read_catalogue(overrides)
    except InvalidInput as error:
        catalogue, remedy = {}, error.remedy
    else:
        remedy = "none is needed"
    assert remedy
    assert all(bool(entry.check) != bool(entry.role) for entry in catalogue.values())
    assert {id_ for id_, override in overrides.items() if override in (None, False)}.isdisjoint(catalogue)


@pytest.mark.parametrize(
    ("variables", "libraries"),
    [
        ({}, []),
        ({"postgres_clusters": []}, []),
        ({"postgres_clusters": [{"name": "main"}]}, ["psycopg2"]),
        ({"certificates_inventory": {"files": ["/a.pem"]}, "postgres_clusters": [{}]}, ["cryptography", "psycopg2"]),
        ({"postgres_clusters": [{"name": "main"}, {"container": "db"}]}, ["docker", "psycopg2"]),
        ({"postgres_clusters": [{"compose_project": "shop", "compose_service": "db"}]}, ["docker", "psycopg2"]),
    ],
)
def test_a_host_needs_the_libraries_of_the_tasks_that_apply_to_it(variables, libraries):
    assert needed_libraries(variables) == libraries


def test_a_task_of_the_users_own_may_need_a_library_too():
    own = {"shop.scan": {"cadence": "daily", "role": "shop_scan", "needs": ["docker"]}}
    assert needed_libraries({}, own) == ["docker"]
    without = "\n".join(f"{task_id}: false" for task_id in SHIPPED if task_id.startswith("postgres."))
    assert needed_libraries({"postgres_clusters": [{}]}, without) == []


def test_a_check_that_becomes_a_role_leaves_what_belongs_to_checks():
    (entry,) = [read_catalogue({"backups.all": {"role": "acme.backups.all"}})["backups.all"]]
    assert (entry.acts, entry.params, entry.covers, entry.cadence) == (True, None, (), "weekly")
