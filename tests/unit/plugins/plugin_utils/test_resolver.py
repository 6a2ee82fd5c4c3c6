"""Which tasks run on a host, in which order, and why not the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import CADENCES
from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import Entry, read_catalogue
from ansible_collections.cadence.upkeep.plugins.plugin_utils.resolver import (
    Selection,
    Unusable,
    resolve,
    select,
    why_not,
)

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)  # a Sunday


def catalogue_of(*entries):
    return {entry.id: entry for entry in entries}


DISKS = Entry(
    "host.disks", "daily", check="host_health_info", params={"subset": ["filesystems"]}, policy="host_policy", order=10
)
CLOCK = Entry("host.clock", "daily", check="host_health_info", params={"subset": ["clock"]}, order=11)
EXPIRY = Entry("certificates.expiry", "daily", check="cert_expiry", source="certificates_inventory", order=40)
LATEST = Entry("backups.latest", "daily", check="backup_verify", source="backups_series", into="series", order=50)
ALL = Entry(
    "backups.all",
    "weekly",
    check="backup_verify",
    source="backups_series",
    into="series",
    covers=("backups.latest",),
    order=51,
)
VACUUM = Entry(
    "postgres.vacuum", "weekly", role="cadence.upkeep.postgres", entry="vacuum", source="postgres_clusters", order=60
)
REINDEX = Entry(
    "postgres.reindex", "monthly", role="cadence.upkeep.postgres", entry="reindex", source="postgres_clusters", order=61
)
DRILL = Entry("backups.drill", "yearly", role="acme.backups.drill", order=90)
TASKS = catalogue_of(DISKS, CLOCK, EXPIRY, LATEST, ALL, VACUUM, REINDEX, DRILL)

EVERYTHING = {
    "certificates_inventory": {"files": ["/etc/ssl/shop.pem"]},
    "backups_series": [{"name": "onsite", "pattern": "/backups/*.gz"}],
    "postgres_clusters": [{"name": "main"}],
}


def chosen(cadence, only=(), skip=(), tags=(), skip_tags=()):
    selection = select(cadence, only, skip, tags, skip_tags, TASKS)
    return {entry.id for entry in TASKS.values() if why_not(entry, selection) is None}


def resolved(variables, cadence="yearly", catalogue=None, now=NOW, only=(), skip=()):
    return resolve(TASKS if catalogue is None else catalogue, Selection(cadence, only, skip), variables, now)


def reasons(resolution):
    return {left.id: left.reason for left in resolution.left_out}


# --- what was asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cadence", "cadences"),
    [
        ("daily", {"daily"}),
        ("weekly", {"daily", "weekly"}),
        ("monthly", {"daily", "weekly", "monthly"}),
        ("quarterly", {"daily", "weekly", "monthly", "quarterly"}),
        ("yearly", set(CADENCES)),
    ],
)
def test_the_run_of_a_longer_cadence_includes_the_shorter_ones(cadence, cadences):
    assert chosen(cadence) == {id_ for id_, entry in TASKS.items() if entry.cadence in cadences}


HOST = {"host.disks", "host.clock"}
POSTGRES = {"postgres.vacuum", "postgres.reindex"}
BACKUPS = {"backups.latest", "backups.all", "backups.drill"}


@pytest.mark.parametrize(
    ("only", "left"),
    [
        (["host.disks"], {"host.disks"}),
        (["host"], HOST),
        (["host", "postgres"], HOST | POSTGRES),
        (["weekly"], {"backups.all", "postgres.vacuum"}),  # the weekly tasks without the daily ones
        (["backups", "postgres.vacuum"], BACKUPS | {"postgres.vacuum"}),
    ],
)
def test_only_and_tags_choose_by_id_domain_and_cadence(only, left):
    assert chosen("yearly", only=only) == left
    assert chosen("yearly", tags=only) == left


@pytest.mark.parametrize(
    ("skip", "gone"),
    [
        (["host.disks"], {"host.disks"}),
        (["host"], HOST),
        (["monthly", "backups.all"], {"postgres.reindex", "backups.all"}),
    ],
)
def test_skip_and_skip_tags_leave_out_by_id_domain_and_cadence(skip, gone):
    assert chosen("yearly", skip=skip) == set(TASKS) - gone
    assert chosen("yearly", skip_tags=skip) == set(TASKS) - gone


def test_skip_wins_over_only():
    assert chosen("yearly", only=["host"], skip=["host.clock"]) == {"host.disks"}


def test_only_and_tags_add_up():
    assert chosen("yearly", only=["host.disks"], tags=["host.clock"]) == HOST


@pytest.mark.parametrize("tags", [["all"], ["always"], ["tagged", "untagged"], []])
def test_tags_that_belong_to_ansible_select_nothing(tags):
    assert chosen("yearly", tags=tags, skip_tags=["never"]) == set(TASKS)


@pytest.mark.parametrize("place", ["only", "skip", "tags"])
def test_an_unknown_name_is_refused_with_what_was_meant(place):
    with pytest.raises(InvalidInput, match=r"no task, domain or tag called 'host\.disk'") as caught:
        chosen("yearly", **{place: ["host", "host.disk"]})
    assert "Did you mean host.disks" in caught.value.remedy


def test_a_tag_to_skip_that_no_task_has_skips_nothing():
    assert chosen("yearly", skip_tags=["molecule-notest"]) == set(TASKS)


@pytest.mark.parametrize(
    ("cadence", "remedy"), [("weekyl", "Did you mean weekly?"), ("", "daily"), ("hourly", "daily")]
)
def test_an_unknown_cadence_is_refused_with_those_that_exist(cadence, remedy):
    with pytest.raises(InvalidInput, match="no cadence called") as caught:
        chosen(cadence)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("only", "remedy"),
    [
        (["postgres.vacuum"], "postgres.vacuum is weekly: run the weekly playbook."),
        (["postgres.reindex"], "postgres.reindex is monthly: run the monthly playbook."),
        (["postgres"], "postgres.vacuum is weekly: run the weekly playbook."),
        (["weekly"], "backups.all is weekly: run the weekly playbook."),
    ],
)
def test_when_nothing_is_left_the_error_names_the_playbook_that_has_it(only, remedy):
    with pytest.raises(InvalidInput, match="Nothing is left to do: no task of the daily run") as caught:
        chosen("daily", only=only)
    assert caught.value.remedy == remedy


def test_when_only_and_skip_leave_nothing_the_error_names_both():
    with pytest.raises(InvalidInput, match=r"is in host\.disks and not in host\.") as caught:
        chosen("daily", only=["host.disks"], skip=["host"])
    assert "plan.yml" in caught.value.remedy


def test_an_empty_catalogue_leaves_nothing_to_do():
    with pytest.raises(InvalidInput, match="no task of the daily run is in the catalogue"):
        select("daily", (), (), (), (), {})


# --- what applies to the host -----------------------------------------------------------------------------------------


def test_tasks_run_in_the_order_of_the_catalogue_and_then_by_id():
    twin = replace(CLOCK, id="host.a", order=10)
    order = [task.id for task in resolved(EVERYTHING, catalogue={**TASKS, "host.a": twin}).tasks]
    assert order == [
        "host.a", "host.disks", "host.clock", "certificates.expiry", "backups.latest", "backups.all",
        "postgres.vacuum", "postgres.reindex", "backups.drill",
    ]  # fmt: skip


def test_a_task_without_a_variable_runs_on_every_host():
    assert [task.id for task in resolved({}).tasks] == ["host.disks", "host.clock", "backups.drill"]


@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_an_empty_variable_means_that_the_task_does_not_apply(nothing):
    left_out = reasons(resolved({**EVERYTHING, "certificates_inventory": nothing}))
    assert left_out["certificates.expiry"] == "certificates_inventory is empty for this host"


def test_an_absent_variable_means_that_the_task_does_not_apply():
    assert reasons(resolved({}))["postgres.vacuum"] == "postgres_clusters is not set for this host"


def test_every_reason_for_leaving_a_task_out_is_said():
    resolution = resolved({}, cadence="weekly", only=("host", "backups"), skip=("host.clock",))
    assert reasons(resolution) == {
        "host.clock": "host.clock was asked to be skipped",
        "certificates.expiry": "only host, backups was asked for",
        "backups.latest": "backups_series is not set for this host",
        "backups.all": "backups_series is not set for this host",
        "postgres.vacuum": "only host, backups was asked for",
        "postgres.reindex": "it is monthly, this run is weekly",
        "backups.drill": "it is yearly, this run is weekly",
    }


def test_a_variable_that_cannot_be_rendered_costs_its_tasks_and_no_other():
    resolution = resolved({**EVERYTHING, "backups_series": Unusable("'where' is undefined")}, cadence="daily")
    assert [task.id for task in resolution.tasks] == ["host.disks", "host.clock", "certificates.expiry"]
    (problem,) = resolution.problems
    assert (problem.code, problem.subject, problem.severity, problem.task) == (
        "run.variable_unusable",
        "backups.latest",
        Severity.UNKNOWN,
        "backups.latest",
    )
    assert problem.message == "The variable backups_series cannot be rendered: 'where' is undefined."
    assert problem.remedy == "Correct backups_series."


def test_an_acting_task_is_not_started_with_a_variable_that_cannot_be_rendered():
    resolution = resolved({"postgres_clusters": Unusable("'secret' is undefined")})
    assert {problem.subject for problem in resolution.problems} == POSTGRES
    assert not POSTGRES & {task.id for task in resolution.tasks}


@pytest.mark.parametrize(
    ("value", "kind"), [(["/a.pem"], "list"), ("/a.pem", "text"), (5, "number"), (True, "boolean")]
)
def test_a_variable_of_the_wrong_type_is_a_problem_that_says_which_is_right(value, kind):
    (problem,) = resolved({"certificates_inventory": value}).problems
    assert (
        problem.message
        == f"The variable certificates_inventory is a {kind}, it must be a mapping of options of cert_expiry."
    )
    assert "ansible-doc cadence.upkeep.cert_expiry" in problem.remedy


def test_a_policy_of_the_wrong_type_is_a_problem_too():
    (problem,) = resolved({"host_policy": ["90%"]}, cadence="daily").problems
    assert (problem.subject, problem.severity) == ("host.disks", Severity.UNKNOWN)


def params_of(resolution, task_id):
    return next(task.params for task in resolution.tasks if task.id == task_id)


def test_the_variable_becomes_the_options_of_the_check():
    assert params_of(resolved(EVERYTHING), "certificates.expiry") == {"files": ["/etc/ssl/shop.pem"]}


def test_the_variable_goes_into_the_option_that_the_entry_names():
    assert params_of(resolved(EVERYTHING), "backups.all") == {"series": EVERYTHING["backups_series"]}


def test_the_policy_of_the_host_is_added_to_the_params_of_the_catalogue():
    options = params_of(resolved({"host_policy": {"disk_warning": "70%"}}), "host.disks")
    assert options == {"subset": ["filesystems"], "disk_warning": "70%"}
    assert DISKS.params == {"subset": ["filesystems"]}


def test_a_role_reads_its_variable_itself():
    assert params_of(resolved(EVERYTHING), "postgres.vacuum") == {}


@pytest.mark.parametrize("narrowed", [{"cadence": "daily"}, {"cadence": "weekly", "skip": ("backups.all",)}])
def test_a_task_that_does_not_run_covers_nothing(narrowed):
    assert "backups.latest" in {task.id for task in resolved(EVERYTHING, **narrowed).tasks}


@pytest.mark.parametrize(
    ("task_id", "period"),
    [
        ("host.disks", "2026-11-22"),
        ("postgres.vacuum", "2026-W47"),
        ("postgres.reindex", "2026-11"),
        ("backups.drill", "2026"),
    ],
)
def test_each_task_belongs_to_the_period_of_its_own_cadence(task_id, period):
    assert {task.id: task.period for task in resolved(EVERYTHING).tasks}[task_id] == period


# --- the fingerprint --------------------------------------------------------------------------------------------------


def digest(entry, variables, now=NOW):
    (task,) = resolved(variables, catalogue=catalogue_of(entry), now=now).tasks
    return task.digest


CLUSTER = {"postgres_clusters": [{"name": "main", "login_port": 5432}]}


@pytest.mark.parametrize(
    ("entry", "variables"),
    [
        (replace(VACUUM, entry="analyze"), CLUSTER),
        (replace(VACUUM, role="acme.shop.postgres"), CLUSTER),
        (VACUUM, {"postgres_clusters": [{"name": "main", "login_port": 5433}]}),
        (VACUUM, {"postgres_clusters": [{"name": "main", "login_port": "5432"}]}),
        (VACUUM, {"postgres_clusters": [{"name": "main", "login_port": 5432}, {"name": "second"}]}),
    ],
)
def test_a_task_that_is_told_something_else_is_another_task(entry, variables):
    assert digest(entry, variables) != digest(VACUUM, CLUSTER)


@pytest.mark.parametrize(
    ("entry", "variables"),
    [
        (VACUUM, {"postgres_clusters": [{"login_port": 5432, "name": "main"}]}),
        (VACUUM, {**CLUSTER, "backups_series": ["x"], "host_policy": {}}),
        (replace(VACUUM, does="Another text", order=1, budget="1h", needs=("psycopg",)), CLUSTER),
    ],
)
def test_order_wording_and_the_time_allowed_do_not_make_another_task(entry, variables):
    assert digest(entry, variables) == digest(VACUUM, CLUSTER)


def test_the_instant_does_not_make_another_task():
    assert digest(VACUUM, CLUSTER, NOW.replace(year=2027)) == digest(VACUUM, CLUSTER)


def test_a_changed_policy_or_catalogue_param_makes_another_task():
    plain = digest(DISKS, {})
    assert digest(DISKS, {"host_policy": {"disk_warning": "70%"}}) != plain
    assert digest(replace(DISKS, params={"subset": ["filesystems", "memory"]}), {}) != plain


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES.filter(lambda value: value not in (None, [], {}, "")))
def test_whatever_yaml_can_hold_has_a_fingerprint(value):
    assert digest(VACUUM, {"postgres_clusters": value}) == digest(VACUUM, {"postgres_clusters": value})


# --- the rule over all of it ------------------------------------------------------------------------------------------

SHIPPED = read_catalogue({})
NAMES = sorted({name for entry in SHIPPED.values() for name in (entry.source, entry.policy) if name})
WORDS = sorted(set(SHIPPED) | {entry.domain for entry in SHIPPED.values()} | set(CADENCES))


@given(
    cadence=st.sampled_from(CADENCES),
    only=st.lists(st.sampled_from(WORDS), max_size=3),
    skip=st.lists(st.sampled_from(WORDS), max_size=3),
    variables=st.dictionaries(st.sampled_from(NAMES), VALUES | st.just(Unusable("it is torn"))),
    removed=st.sets(st.sampled_from(sorted(SHIPPED))),
)
def test_every_task_of_the_catalogue_runs_is_left_out_or_is_a_problem_and_just_one_of_them(
    cadence, only, skip, variables, removed
):
    catalogue = read_catalogue(dict.fromkeys(removed, False))
    resolution = resolve(catalogue, Selection(cadence, tuple(only), tuple(skip)), variables, NOW)
    told = [task.id for task in resolution.tasks]
    told += [left.id for left in resolution.left_out]
    told += [problem.subject for problem in resolution.problems]
    assert sorted(told) == sorted(catalogue)
    assert all(left.reason for left in resolution.left_out)
    orders = [catalogue[task.id].order for task in resolution.tasks]
    assert orders == sorted(orders)


def test_a_role_that_takes_a_list_is_not_started_with_anything_else():
    vacuum = Entry(
        "postgres.vacuum", "weekly", role="cadence.upkeep.postgres", source="postgres_clusters", shape="list"
    )
    resolution = resolved({"postgres_clusters": {"name": "main"}}, catalogue=catalogue_of(vacuum))
    assert resolution.tasks == ()
    assert resolution.problems[0].message == "The variable postgres_clusters is a mapping, it must be a list."


def test_a_task_knows_which_variables_told_it():
    told = {task.id: task.variables for task in resolved(EVERYTHING).tasks}
    assert told["certificates.expiry"] == ("certificates_inventory",)
    assert told["host.clock"] == ()


# --- a check for each element -----------------------------------------------------------------------------------------

HEALTH = Entry(
    "postgres.health",
    "daily",
    check="pg_health_info",
    params={"subset": ["connections"]},
    source="postgres_clusters",
    shape="each",
    part="health",
    account="postgres_account",
)
FULL = replace(VACUUM, id="postgres.full", entry="full", shape="list", part="full", optional=True)
CLUSTERS = [
    {"name": "main", "login_host": "db1", "health": {"bloat_ratio": 0.3}, "full": {"tables": ["orders"]}},
    {"name": "side", "login_host": "db2"},
]


def test_a_check_gets_what_all_share_and_what_is_its_own_part():
    (task,) = resolved(
        {"postgres_clusters": CLUSTERS}, catalogue=catalogue_of(HEALTH, FULL), only=["postgres.health"]
    ).tasks
    assert task.params == {"subset": ["connections"]}
    assert task.each == (
        {"name": "main", "login_host": "db1", "bloat_ratio": 0.3},
        {"name": "side", "login_host": "db2"},
    )
    assert task.account == ""


def test_a_check_runs_as_the_account_that_the_inventory_names():
    variables = {"postgres_clusters": CLUSTERS, "postgres_account": "postgres"}
    (task,) = resolved(variables, catalogue=catalogue_of(HEALTH)).tasks
    assert task.account == "postgres"
    assert task.variables == ("postgres_clusters", "postgres_account")


def test_another_account_is_another_task():
    digests = {
        resolved({"postgres_clusters": CLUSTERS, **more}, catalogue=catalogue_of(HEALTH)).tasks[0].digest
        for more in ({}, {"postgres_account": "postgres"})
    }
    assert len(digests) == 2


def test_an_optional_part_that_nothing_has_leaves_the_task_out():
    resolution = resolved({"postgres_clusters": CLUSTERS[1:]}, catalogue=catalogue_of(FULL))
    assert reasons(resolution) == {"postgres.full": "nothing in postgres_clusters has `full`"}
    assert resolved({"postgres_clusters": CLUSTERS}, catalogue=catalogue_of(FULL)).left_out == ()


def test_only_elements_with_an_optional_part_are_meant():
    optional = replace(HEALTH, optional=True)
    (task,) = resolved({"postgres_clusters": CLUSTERS}, catalogue=catalogue_of(optional)).tasks
    assert [element["name"] for element in task.each] == ["main"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"postgres_clusters": {"name": "main"}}, "The variable postgres_clusters is a mapping, it must be a list."),
        ({"postgres_clusters": ["main"]}, "has a text as element 1, it must be a mapping"),
        ({"postgres_clusters": [{}, {"health": [1]}]}, "has a list as health of element 2, it must be a mapping"),
        ({"postgres_clusters": [{}], "postgres_account": 5}, "The variable postgres_account is a number"),
        (
            {"postgres_clusters": [{}], "postgres_account": Unusable("no such key")},
            "postgres_account cannot be rendered",
        ),
    ],
)
def test_what_is_no_list_of_mappings_is_a_problem_of_the_host(variables, message):
    resolution = resolved(variables, catalogue=catalogue_of(HEALTH))
    assert resolution.tasks == ()
    (problem,) = resolution.problems
    assert message in problem.message
