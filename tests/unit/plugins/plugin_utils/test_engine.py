"""The action plugins, with Ansible's own inventory, variables and templates, but no host at the other end.

What they send to a host is run in this process by the code that the module there would run; that it really travels is
for the integration tests.
"""

from __future__ import annotations

import json
import os
import stat

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task as AnsibleTask
from ansible.plugins.loader import connection_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.cadence.upkeep.plugins.action import run_checks, run_plan, run_record, run_report, run_request
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup import registry
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.argspec import CHECKUP_SPEC, RECORD_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.checkup import record_tasks, run_checkup
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check, validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import read_catalogue
from ansible_collections.cadence.upkeep.plugins.plugin_utils.engine import read_severities, require_roles, write_report
from ansible_collections.cadence.upkeep.plugins.plugin_utils.request import read_request

RUN = {"id": "20261122T041300Z-weekly-3fa2", "cadence": "weekly", "started_at": "2026-11-22T04:13:00Z"}
NOW = "2026-11-22T04:14:00Z"
ANYTHING = {
    "names": {"type": "list", "elements": "str", "default": ["a"]},
    "severity": {"type": "str", "default": "ok"},
}


def look(params, now):
    severity = Severity.from_word(params["severity"])
    found = [Finding("toy.found", name, severity, f"{name} is {severity}.", {}, "Mend it.") for name in params["names"]]
    return Outcome("toy", params["names"], found if severity > Severity.OK else [], now)


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    """Every check of the catalogue is one that looks at what it is told, so that the tests choose what is found."""
    monkeypatch.setattr(registry, "CHECKS", {name: lambda: Check("toy", ANYTHING, look) for name in registry.CHECKS})


# The shipped checks have options of their own: here they are replaced by three tasks of ours, and the acting one stays.
OVERRIDES = {
    **{task_id: False for task_id in read_catalogue({}) if task_id != "postgres.vacuum"},
    "postgres.vacuum": {"role": "mine", "entry": "main"},
    "toy.always": {"cadence": "daily", "check": "host_health_info", "order": 1},
    "toy.given": {
        "cadence": "weekly",
        "check": "cert_expiry",
        "from": "toy_options",
        "policy": "toy_policy",
        "order": 2,
    },
}
IDS = {"postgres.vacuum", "toy.always", "toy.given"}


def travelled(value):
    """Return *value* as it arrives at the other end."""
    return json.loads(json.dumps(value, default=str))


class Here:
    """Does here what the module does there."""

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        assert task_vars["inventory_hostname"]
        arguments = travelled(module_args)
        if module_name == "cadence.upkeep.checkup":
            params = validate("checkup", CHECKUP_SPEC, arguments).params
            return travelled(run_checkup(params, True, lambda secrets: None))
        assert module_name == "cadence.upkeep.run_record"
        return travelled(
            record_tasks(validate("run_record", RECORD_SPEC, arguments).params, True, lambda secrets: None)
        )


class Nowhere:
    """The connection broke."""

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        raise AnsibleConnectionFailure("Connection reset by peer")


class NoPython:
    """The host answers, but cannot run the module."""

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        return {"failed": True, "changed": False, "msg": "MODULE FAILURE\npython3: not found", "rc": 127}


class Silent:
    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        return {"failed": True, "changed": False}


class World:
    """An inventory in a folder, and the plugins run over it."""

    def __init__(self, folder, hosts):
        self.folder = folder
        (folder / "roles" / "mine" / "tasks").mkdir(parents=True)
        (folder / "roles" / "mine" / "tasks" / "main.yml").write_text("[]\n")
        path = folder / "inventory.json"
        path.write_text(
            json.dumps({"all": {"hosts": {name: {**self.common(), **facts} for name, facts in hosts.items()}}})
        )
        self.loader = DataLoader()
        self.loader.set_basedir(str(folder))
        self.inventory = InventoryManager(loader=self.loader, sources=[str(path)])
        self.manager = VariableManager(loader=self.loader, inventory=self.inventory)

    def common(self):
        return {"ansible_connection": "local", "toy_state": str(self.folder / "state")}

    def register(self, host, name, value):
        self.manager.set_nonpersistent_facts(host, {name: value})

    def variables(self, host, **more):
        facts = self.manager.get_vars(host=self.inventory.get_host(host))
        hostvars = HostVars(inventory=self.inventory, variable_manager=self.manager, loader=self.loader)
        names = [each.name for each in self.inventory.get_hosts()]
        return {
            **facts,
            "hostvars": hostvars,
            "ansible_play_hosts_all": names,
            "playbook_dir": str(self.folder),
            "ansible_version": {"full": "2.19.0"},
            "ansible_check_mode": False,
            **more,
        }

    def do(self, plugin, host="db1", there=Here, variables=None, **args):
        task = AnsibleTask()
        task.args = args
        # Ansible's loader gives a plugin the name under which it was found.
        action = type("ActionModule", (there, plugin.ActionModule), {"_load_name": plugin.__name__.rpartition(".")[2]})(
            task=task,
            connection=connection_loader.get("local", PlayContext(), os.devnull),
            play_context=PlayContext(),
            loader=self.loader,
            templar=Templar(loader=self.loader, variables=self.variables(host)),
            shared_loader_obj=None,
        )
        return action.run(task_vars=self.variables(host, **(variables or {})))

    def look(self, host="db1", there=Here, run=RUN, **args):
        request = {"cadence": "weekly", "overrides": OVERRIDES, "run": run, "state_dir": str(self.folder / "state")}
        result = self.do(run_checks, host, there, **{**request, **args})
        self.register(host, "run_checkup", result)
        return result

    def report(self, **args):
        return self.do(run_report, "db1", run=RUN, **{"dir": str(self.folder / "reports"), **args})


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, {"db1": {"toy_options": {"names": ["x", "y"]}, "postgres_clusters": [{"name": "main"}]}})


@pytest.fixture
def fleet(tmp_path):
    return World(tmp_path, {"db1": {}, "web1": {}, "web2": {}})


# --- run_request ------------------------------------------------------------------------------------------------------


def test_a_request_opens_a_run(world):
    result = world.do(run_request, cadence="weekly", hosts=["db1"], overrides=OVERRIDES, now="2026-11-22T04:13:00Z")
    assert result["changed"] is False
    assert result["run"]["id"].startswith("20261122T041300Z-weekly-")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"cadence": "weekyl"}, "Did you mean weekly?"),
        ({"only": "postgres.vacum"}, "Did you mean postgres.vacuum"),
        ({"overrides": "{a: "}, "upkeep_overrides cannot be read"),
        ({"hosts": ["elsewhere"]}, "No host is left"),
        ({"hosts": []}, "No host is left"),
        (
            {"overrides": {"postgres.vacuum": {"role": "yours"}}},
            "The role 'yours' of the task postgres.vacuum was not found",
        ),
        ({"overrides": {"postgres.vacuum": {"role": "mine", "entry": "tidy"}}}, "has no entry point 'tidy'"),
        (
            {"overrides": {"postgres.vacuum": {"role": "acme.shop.cart"}}},
            "the collection acme.shop, which is not installed",
        ),
        ({"overrides": {"postgres.vacuum": {"role": "cadence.upkeep.nothing"}}}, "was not found in "),
        ({"now": "tomorrow", "overrides": OVERRIDES}, "'tomorrow' is not an instant"),
    ],
)
def test_a_request_that_cannot_be_understood_fails_with_one_message_and_the_next_step(world, args, words):
    result = world.do(run_request, **{"cadence": "weekly", "hosts": ["db1"], **args})
    assert result["failed"] is True
    assert words in result["msg"]
    assert result["remedy"]
    assert "exception" not in result


@pytest.mark.parametrize(
    "args", [{"hosts": ["db1"]}, {"cadence": "weekly"}, {"cadence": "weekly", "hosts": ["db1"], "cadense": 1}]
)
def test_an_option_that_is_missing_or_misspelt_is_named(world, args):
    with pytest.raises(AnsibleError, match=r"cadence|hosts|cadense"):
        world.do(run_request, **args)


@pytest.mark.parametrize("role", ["mine", "cadence.upkeep.report"])
def test_a_role_is_found_beside_the_playbook_and_in_a_collection(world, role):
    entries = {"shop.carts": {"cadence": "daily", "role": role}}
    request = read_request({"cadence": "daily", "overrides": entries, "only": "shop"}, {})
    require_roles(request, {"playbook_dir": str(world.folder)})


def test_a_role_that_is_not_wanted_need_not_exist(world):
    entries = {"shop.carts": {"cadence": "yearly", "role": "gone"}}
    require_roles(read_request({"cadence": "daily", "overrides": entries}, {}), {"playbook_dir": str(world.folder)})


# --- run_checks -------------------------------------------------------------------------------------------------------


def test_a_host_is_looked_at_and_told_what_is_due(world):
    result = world.look()
    assert [entry["id"] for entry in result["checks"]] == ["toy.always", "toy.given"]
    assert result["summary"]["counts"]["ok"] == 3
    assert result["due"] == [
        {
            "id": "postgres.vacuum",
            "period": "2026-W47",
            "digest": result["due"][0]["digest"],
            "role": "mine",
            "entry": "main",
            "budget": "30m",
            "registers": "mine_main",
        }
    ]
    assert result["left_out"] == []
    assert [task["id"] for task in result["planned"]] == ["postgres.vacuum"]


def test_a_plan_names_every_task_that_would_run_in_order_with_its_limit(world):
    result = world.look(plan_only=True)
    assert [(task["id"], task["acts"], task["limit"]) for task in result["planned"]] == [
        ("toy.always", False, "60s"),
        ("toy.given", False, "60s"),
        ("postgres.vacuum", True, "30m"),
    ]
    assert not (world.folder / "state").exists()


def test_what_is_settled_is_left_out_of_the_plan_with_the_time_it_was_done(world):
    world.look()
    left_out = {left["id"]: left["reason"] for left in world.look(plan_only=True)["left_out"]}
    assert set(left_out) == {"toy.always", "toy.given"}
    assert left_out["toy.always"] == f"done at {RUN['started_at']} for 2026-11-22 (upkeep_force repeats it)"
    assert world.look(plan_only=True, force="true")["left_out"] == []


def test_templates_in_the_inventory_are_rendered(tmp_path):
    facts = {"toy_options": {"names": ["{{ shop }}-1"]}, "shop": "toys", "toy_policy": "{{ {'severity': 'warning'} }}"}
    world = World(tmp_path, {"db1": facts})
    assert [found["message"] for found in world.look()["findings"]] == ["toys-1 is warning."]


def test_a_variable_that_cannot_be_rendered_costs_its_task_and_no_other(tmp_path):
    world = World(tmp_path, {"db1": {"toy_options": {"names": ["{{ nowhere }}"]}}})
    result = world.look()
    assert [entry["id"] for entry in result["checks"]] == ["toy.always"]
    assert result["summary"]["worst"] == "unknown"
    assert result["summary"]["counts"] == {"ok": 1, "info": 0, "warning": 0, "unknown": 1, "critical": 0}
    (finding,) = result["findings"]
    assert (finding["code"], finding["subject"], finding["task"]) == ("run.variable_unusable", "toy.given", "toy.given")
    assert "nowhere" in finding["message"]
    assert "\n" not in finding["message"]
    assert finding["observed_at"]


def test_every_task_of_the_catalogue_is_accounted_for(tmp_path):
    for name, facts in {
        "all": {"toy_options": {}, "postgres_clusters": []},
        "none": {},
        "broken": {"toy_options": "{{ no }}"},
    }.items():
        (tmp_path / name).mkdir()
        result = World(tmp_path / name, {"db1": facts}).look()
        told = [entry["id"] for entry in result["checks"]] + [entry["id"] for entry in result["due"]]
        told += [left["id"] for left in result["left_out"]] + [finding["subject"] for finding in result["findings"]]
        assert sorted(told) == sorted(IDS)


def test_acting_tasks_that_the_state_holds_back_are_left_out_with_that_reason(world):
    (world.folder / "file").write_text("")
    result = world.look(state_dir=str(world.folder / "file" / "state"))
    assert result["due"] == []
    assert result["left_out"] == [
        {"id": "postgres.vacuum", "reason": "the host's state cannot be used, see the finding state.unusable"}
    ]


def test_an_acting_task_that_is_settled_is_left_out_once(world):
    looked = world.look()
    world.register("db1", "mine_main", {"changed": False})
    world.do(run_record, run=RUN, due=looked["due"], state_dir=str(world.folder / "state"))
    again = world.look()
    assert again["due"] == []
    assert sorted(left["id"] for left in again["left_out"]) == sorted(IDS)


@pytest.mark.parametrize("there", [NoPython, Silent])
def test_a_host_that_cannot_run_the_module_is_returned_as_it_failed(world, there):
    result = world.look(there=there)
    assert result["failed"] is True
    assert "due" not in result


def test_a_host_that_is_lost_is_for_ansible_to_say(world):
    with pytest.raises(AnsibleConnectionFailure):
        world.look(there=Nowhere)


def test_overrides_that_only_this_host_has_wrong_fail_only_this_host(world):
    result = world.look(overrides={"toy.always": {"cadence": "dayly"}})
    assert result["failed"] is True
    assert "toy.always" in result["msg"]
    assert result["evidence"] == {"task": "toy.always"}


def test_without_a_state_directory_the_host_chooses(world, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(world.folder / "xdg"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert world.look(state_dir="")["state"]["directory"] == str(world.folder / "xdg" / "upkeep")


# --- run_record -------------------------------------------------------------------------------------------------------


def recorded(world, there=Here, failures=None):
    due = world.look()["due"]
    result = world.do(
        run_record, there=there, run=RUN, due=due, failures=failures or {}, state_dir=str(world.folder / "state")
    )
    world.register("db1", "run_recorded", result)
    return result


def test_what_a_role_did_is_recorded_under_its_task(world):
    result = recorded(world)
    assert [(entry["id"], entry["status"]) for entry in result["checks"]] == [("postgres.vacuum", "done")]
    records = json.loads((world.folder / "state" / "hosts" / "db1" / "state.json").read_text())["tasks"]
    assert records["postgres.vacuum"]["settled"] is True


@pytest.mark.parametrize("there", [Here, Nowhere])
def test_remembering_is_no_change_of_its_own(world, there):
    world.register("db1", "mine_main", {"changed": True})
    result = recorded(world, there)
    assert result["changed"] is False
    assert result["checks"][0]["changed"] is True
    world.report()
    report = json.loads((world.folder / "reports" / "latest.json").read_text())
    assert report["verdict"]["hosts"]["changed"] == 1


def test_a_failed_role_is_recorded_as_not_done(world):
    result = recorded(world, failures={"postgres.vacuum": {"msg": "The shop is on fire."}})
    assert result["checks"][0]["status"] == "failed"
    assert world.look()["due"]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (Nowhere, "Connection reset by peer"),
        (NoPython, "MODULE FAILURE python3: not found"),
        (Silent, "the host did not answer"),
    ],
)
def test_what_was_done_reaches_the_report_when_the_host_cannot_remember_it(world, there, words):
    result = recorded(world, there)
    assert result["not_remembered"] == words
    assert [entry["id"] for entry in result["checks"]] == ["postgres.vacuum"]
    world.report()
    report = json.loads((world.folder / "reports" / "latest.json").read_text())
    assert [finding["code"] for finding in report["findings"]] == ["run.not_remembered"]
    assert [task["id"] for task in report["hosts"][0]["tasks"]] == ["toy.always", "toy.given", "postgres.vacuum"]


# --- run_report -------------------------------------------------------------------------------------------------------


def test_the_report_holds_every_host_of_the_play(fleet, capsys):
    fleet.look("db1")
    fleet.register("web1", "run_checkup", {"unreachable": True, "msg": "timed out"})
    result = fleet.report(fail_on=["critical", "unknown"])
    assert result["verdict"]["hosts"] == {
        "total": 3, "examined": 1, "unreachable": 1, "failed": 0, "not run": 1, "changed": 0,
    }  # fmt: skip
    assert result["passes"] is False
    assert result["stats"]["upkeep_verdict"] == "Incomplete"
    assert "INCOMPLETE: 2 unknown; 1 of 3 hosts examined" in capsys.readouterr().out
    report = json.loads((fleet.folder / "reports" / "latest.json").read_text())
    assert [row["host"] for row in report["hosts"]] == ["db1", "web1", "web2"]
    assert (report["run"]["ansible"], report["run"]["limit"], report["run"]["check_mode"]) == ("2.19.0", "", False)


@pytest.mark.parametrize(
    ("severity", "fail_on", "passes"),
    [
        ("ok", ["critical", "unknown"], True),
        ("warning", ["critical", "unknown"], True),
        ("warning", ["critical", "unknown", "warning"], False),
        ("warning", "critical,warning", False),
        ("critical", ["critical"], False),
        ("critical", "unknown", True),
        ("critical", [], True),
        ("critical", "", True),
    ],
)
def test_the_gate_is_what_fail_on_says(tmp_path, severity, fail_on, passes):
    world = World(tmp_path, {"db1": {"toy_options": {"severity": severity}}})
    world.look()
    assert world.report(fail_on=fail_on)["passes"] is passes


def test_the_gate_does_not_open_when_the_worst_finding_was_cut_from_the_result(world):
    result = world.look()
    result["summary"]["counts"]["critical"] = 1
    world.register("db1", "run_checkup", {**result, "truncated": {"findings": 1}})
    assert world.report(fail_on="critical")["passes"] is False


def test_the_gate_does_not_open_for_a_host_on_which_nothing_was_examined(world):
    world.look(only="toy.given", overrides={**OVERRIDES, "toy.given": {**OVERRIDES["toy.given"], "from": "unset"}})
    assert world.report(fail_on="unknown")["passes"] is False


def test_a_run_in_check_mode_is_reported_as_one(world):
    world.look()
    world.do(
        run_report,
        run=RUN,
        dir=str(world.folder / "reports"),
        variables={"ansible_check_mode": True, "ansible_limit": "db1"},
    )
    run = json.loads((world.folder / "reports" / "latest.json").read_text())["run"]
    assert (run["check_mode"], run["limit"]) == (True, "db1")


def test_a_report_that_cannot_be_written_is_shown_and_fails(world, capsys):
    world.look()
    (world.folder / "file").write_text("")
    result = world.report(dir=str(world.folder / "file" / "reports"))
    assert result["failed"] is True
    assert "cannot be written" in result["msg"]
    assert "HEALTHY: " in capsys.readouterr().out


def test_a_severity_that_is_none_is_refused(world):
    world.look()
    result = world.report(fail_on="critcal")
    assert "Did you mean critical?" in result["msg"]


@pytest.mark.parametrize(
    ("value", "words"),
    [("critical,unknown", ["critical", "unknown"]), (["warning"], ["warning"]), ("", []), (None, []), ("[ok]", ["ok"])],
)
def test_severities_come_as_a_list_or_as_text(value, words):
    assert read_severities("report_fail_on", value) == words


@pytest.mark.parametrize("value", ["Critical", "bad", 5])
def test_what_is_no_severity_is_refused_by_the_name_of_its_variable(value):
    with pytest.raises(InvalidInput, match="report_fail_on"):
        read_severities("report_fail_on", value)


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(world):
    world.look()
    world.report()
    return json.loads((world.folder / "reports" / "latest.json").read_text())


def test_the_files_stand_under_the_run_and_as_the_latest(report, tmp_path):
    files, problem = write_report(report, str(tmp_path / "a" / "b"))
    assert problem == ""
    assert files == [str(tmp_path / "a" / "b" / "latest.md"), str(tmp_path / "a" / "b" / "latest.json")]
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == sorted(
        [f"{RUN['id']}.json", f"{RUN['id']}.md", "latest.json", "latest.md"]
    )
    assert json.loads((tmp_path / "a" / "b" / "latest.json").read_text()) == report
    assert (tmp_path / "a" / "b" / "latest.md").read_text().startswith("# Upkeep, weekly: Healthy")


def test_the_files_are_not_for_everybody(report, tmp_path):
    write_report(report, str(tmp_path / "reports"))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "reports").iterdir()}
    assert modes == {0o640}
    assert stat.S_IMODE((tmp_path / "reports").stat().st_mode) & 0o007 == 0


def test_a_later_report_takes_the_place_of_the_latest_and_keeps_the_earlier(report, tmp_path):
    write_report(report, str(tmp_path))
    later = {**report, "run": {**report["run"], "id": "later"}}
    write_report(later, str(tmp_path))
    assert json.loads((tmp_path / "latest.json").read_text())["run"]["id"] == "later"
    assert (tmp_path / f"{RUN['id']}.json").exists()


def test_a_relative_directory_stands_below_the_one_of_the_command(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, _problem = write_report(report, "mine")
    assert files[0] == str(tmp_path / "mine" / "latest.md")


def test_no_directory_writes_no_file(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert write_report(report, "") == ([], "")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_directory_that_cannot_be_made_is_one_sentence(report, tmp_path, place):
    (tmp_path / "file").write_text("")
    files, problem = write_report(report, str(tmp_path / place))
    assert files == []
    assert problem.startswith(f"The report cannot be written to {tmp_path / place}: ")
    assert problem.endswith(".")


def test_a_report_that_cannot_be_put_in_place_leaves_nothing_half_done(report, tmp_path):
    (tmp_path / "other" / "latest.json").mkdir(parents=True)
    files, problem = write_report(report, str(tmp_path / "other"))
    assert files == []
    assert "cannot be written" in problem
    assert not [path for path in (tmp_path / "other").iterdir() if path.name.startswith(".")]


def test_a_file_name_that_is_no_utf_8_does_not_cost_the_report(report, tmp_path):
    finding = {
        "code": "toy.found", "subject": "/srv/caf\udce9", "severity": "warning", "message": "/srv/caf\udce9 is bad.",
        "remedy": "", "host": "db1", "observed_at": NOW,
    }  # fmt: skip
    files, problem = write_report({**report, "findings": [finding]}, str(tmp_path / "other"))
    assert (len(files), problem) == (2, "")
    assert "/srv/caf" in (tmp_path / "other" / "latest.md").read_text(encoding="utf-8")


# --- run_plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_of_each_host_is_shown(world, capsys):
    world.look(plan_only=True)
    result = world.do(run_plan, run=RUN)
    assert result["changed"] is False
    (row,) = result["hosts"]
    assert [task["id"] for task in row["tasks"]] == ["toy.always", "toy.given", "postgres.vacuum"]
    assert row["problems"] == []
    out = capsys.readouterr().out
    assert "PLAN weekly" in out
    assert "db1: 3 tasks to run" in out


def test_a_plan_with_nothing_left_to_run_is_whole(fleet):
    for host in ("db1", "web1", "web2"):
        fleet.look(host)
        fleet.look(host, plan_only=True)
    result = fleet.do(run_plan, run=RUN)
    assert "failed" not in result
    assert [row["tasks"] for row in result["hosts"]] == [[], [], []]


def test_a_plan_that_lacks_a_host_fails_after_it_was_shown(fleet, capsys):
    fleet.look("db1", plan_only=True)
    fleet.register("web1", "run_checkup", {"unreachable": True, "msg": "timed out"})
    result = fleet.do(run_plan, run=RUN)
    assert result["failed"] is True
    assert "web1, web2" in result["msg"]
    out = capsys.readouterr().out
    assert "  ! Nothing is known about web1: timed out." in out
    assert "  ! Nothing is known about web2: the run never came to it." in out
    assert "db1: 1 task to run" in out


def test_a_plan_names_the_variable_that_cannot_be_used(tmp_path, capsys):
    world = World(tmp_path, {"db1": {"toy_options": [1]}})
    world.look(plan_only=True)
    assert world.do(run_plan, run=RUN)["failed"] is True
    assert "  ! The variable toy_options is a list, it must be a mapping" in capsys.readouterr().out


# --- what looks when all that acts is over ----------------------------------------------------------------------------

LATE = {**OVERRIDES, "toy.late": {"cadence": "weekly", "check": "host_health_info", "after": ["postgres.vacuum"]}}


def look_and_record(world, there=Here, **changes):
    looked = world.look(overrides=LATE)
    return looked, world.do(
        run_record,
        there=there,
        **{"run": RUN, "due": looked["due"], "later": looked["later"], "overrides": LATE, **changes},
        state_dir=str(world.folder / "state"),
    )


def test_a_check_that_comes_after_a_task_looks_once_it_is_done(world):
    looked, result = look_and_record(world)
    assert looked["later"] == ["toy.late"]
    assert "toy.late" not in [entry["id"] for entry in looked["checks"]]
    assert [(entry["id"], entry["status"]) for entry in result["checks"]] == [
        ("postgres.vacuum", "done"),
        ("toy.late", "done"),
    ]


@pytest.mark.parametrize("there", [Nowhere, NoPython, Silent])
def test_a_check_that_could_not_look_any_more_is_unknown(world, there):
    _looked, result = look_and_record(world, there)
    (late,) = [entry for entry in result["checks"] if entry["id"] == "toy.late"]
    assert (late["status"], late["worst"]) == ("failed", "unknown")
    assert [finding["task"] for finding in result["findings"]] == ["toy.late"]
