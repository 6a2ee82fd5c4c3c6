"""The engine on real runs of ansible-playbook: isolation, selection, periods, bad input, exit codes."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.playbook import Fleet, Ran

# Roles of a user's own: one appends a line to a file, one fails, one needs a host that answers.
ROLES = {
    "count": [
        {
            "name": "Count",
            "ansible.builtin.lineinfile": {
                "path": "{{ count_file }}",
                "line": "{{ run_request.run.id }}",
                "create": True,
                "mode": "0644",
            },
        }
    ],
    "break": [
        {"name": "Count", "ansible.builtin.import_role": {"name": "count"}},
        {"name": "Break", "ansible.builtin.fail": {"msg": "the disk of postgres://app:hunter2@db1/shop is on fire"}},
    ],
}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path).local("web1")


@pytest.fixture
def acting(fleet: Fleet) -> Fleet:
    """A fleet whose user has added roles of their own, which count how often they run."""
    for name, tasks in ROLES.items():
        folder = fleet.folder / "roles" / name / "tasks"
        folder.mkdir(parents=True)
        (folder / "main.yml").write_text(yaml.safe_dump(tasks))
    fleet.environment["ANSIBLE_ROLES_PATH"] = str(fleet.folder / "roles")
    fleet.variables["count_file"] = str(fleet.folder / "count")
    return fleet


def counted(fleet: Fleet) -> int:
    path = fleet.folder / "count"
    return len(path.read_text().splitlines()) if path.exists() else 0


def own_task(role: str = "count", **more: Any) -> dict[str, Any]:
    return {"shop.own": {"cadence": "daily", "role": role, **more}}


def test_a_healthy_host_is_examined_and_the_exit_code_is_the_verdict(fleet: Fleet) -> None:
    ran = fleet.play("daily", upkeep_only="host.memory")
    assert ran.row("web1")["status"] == "examined"
    assert list(ran.tasks("web1")) == ["host.memory"]
    assert ran.code == (0 if ran.report["verdict"]["worst"] in ("ok", "info", "warning") else 2)
    assert sum(ran.report["verdict"]["objects"].values()) >= 1


def test_a_green_summary_has_at_most_ten_lines(fleet: Fleet) -> None:
    ran = fleet.play(
        "daily",
        upkeep_only="host.memory",
        upkeep_overrides={"host.memory": {"params": {"memory_warning": "99.8%", "memory_critical": "99.9%"}}},
    )
    lines = ran.output.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("UPKEEP daily"))
    end = next(number for number, line in enumerate(lines) if line.startswith("Report: "))
    assert ran.code == 0 and "HEALTHY" in lines[begin + 1]
    assert end - begin < 10


@pytest.mark.parametrize("arguments", [[], ["--limit", "dead1"], ["--check"], ["--diff"]], ids=" ".join)
def test_an_unreachable_host_is_a_row(fleet: Fleet, arguments: list[str]) -> None:
    fleet.dead("dead1")
    ran = fleet.play("daily", *arguments, upkeep_only="host.memory")
    assert ran.code == 2
    assert ran.row("dead1")["status"] == "unreachable"
    assert ran.findings("run.unreachable", "dead1")[0]["remedy"]
    hosts = {row["host"] for row in ran.report["hosts"]}
    assert hosts == ({"dead1"} if "--limit" in arguments else {"web1", "dead1"})


@pytest.mark.parametrize(
    "extra", [{}, {"upkeep_strategy": "free"}, {"upkeep_serial": 1}, {"upkeep_strategy": "host_pinned"}], ids=str
)
def test_the_report_comes_out_when_every_host_is_dead(tmp_path: Path, extra: dict[str, Any]) -> None:
    ran = Fleet(tmp_path).dead("dead1", "dead2").play("daily", **extra)
    assert ran.code == 2
    assert {row["host"]: row["status"] for row in ran.report["hosts"]} == {
        "dead1": "unreachable",
        "dead2": "unreachable",
    }
    assert ran.report["verdict"]["worst"] == "unknown"


@pytest.mark.parametrize("extra", [{"upkeep_strategy": "free"}, {"upkeep_serial": "1"}], ids=str)
def test_one_dead_host_of_three_leaves_the_others_examined(tmp_path: Path, extra: dict[str, Any]) -> None:
    ran = Fleet(tmp_path).local("a1").dead("b2").local("c3").play("daily", upkeep_only="host.memory", **extra)
    assert {row["host"]: row["status"] for row in ran.report["hosts"]} == {
        "a1": "examined",
        "b2": "unreachable",
        "c3": "examined",
    }
    assert ran.output.count("UPKEEP daily") == 1


def test_a_host_without_python_is_a_row_that_says_so(fleet: Fleet) -> None:
    fleet.local("bare", ansible_python_interpreter="/nowhere/python3")
    ran = fleet.play("daily", upkeep_only="host.memory")
    assert ran.code == 2
    assert ran.row("bare")["status"] == "failed"
    assert "/nowhere/python3" in ran.findings("run.host_failed", "bare")[0]["message"]
    assert ran.row("web1")["status"] == "examined"


def test_an_empty_inventory_is_one_error(tmp_path: Path) -> None:
    ran = Fleet(tmp_path).play("daily")
    assert ran.code == 2
    assert "The inventory holds no host" in ran.output


def test_a_pattern_that_meets_no_host_is_one_error(fleet: Fleet) -> None:
    ran = fleet.play("daily", upkeep_hosts="databases")
    assert ran.code == 2
    assert "No host is left" in ran.output


BAD_REQUESTS: list[tuple[dict[str, Any], str, str]] = [
    ({"upkeep_cadence": "wekly"}, "There is no cadence called 'wekly'", "Did you mean weekly?"),
    ({"upkeep_only": "host.memroy"}, "There is no task, domain or tag called 'host.memroy'", "host.memory"),
    ({"upkeep_skip": "nonsense"}, "There is no task, domain or tag called 'nonsense'", "Use one of"),
    ({"upkeep_only": "postgres.vacuum"}, "Nothing is left to do", "run the weekly playbook"),
    ({"upkeep_overrides": "{host.memory: {deadline: 90}}"}, "host.memory has a number as 'deadline'", "deadline"),
    ({"upkeep_overrides": {"host.memory": {"deadline": "90"}}}, "'90' has no unit", "90s, 5m, 2h or 30d"),
    ({"upkeep_overrides": {"host.memory": {"check": "host_helth"}}}, "names the unknown check", "host_health_info"),
    ({"upkeep_overrides": {"a.b": {"cadence": "daily"}}}, "needs either a check or a role", "check: NAME"),
    (
        {"upkeep_overrides": {"a.b": {"cadence": "daily", "role": "nope"}}},
        "The role 'nope' of the task a.b was not",
        "Correct",
    ),
    (
        {"upkeep_overrides": {"a.b": {"cadence": "daily", "role": "x.y.z"}}},
        "The role 'x.y.z' of the task a.b was",
        "x.y",
    ),
    (
        {"upkeep_overrides": {"a.b": {"cadence": "daily", "role": "cadence.upkeep.report", "entry": "nope"}}},
        "has no entry point 'nope'",
        "Correct `entry`",
    ),
    ({"upkeep_overrides": "{"}, "upkeep_overrides cannot be read as YAML or JSON", "Correct the text"),
    ({"upkeep_force": "perhaps"}, "upkeep_force is 'perhaps'", "true or false"),
    ({"upkeep_now": "yesterday"}, "'yesterday' is not an instant", "2026-11-22T04:13:00Z"),
]


@pytest.mark.parametrize(("extra", "what", "step"), BAD_REQUESTS, ids=lambda value: str(value)[:40])
def test_a_bad_request_is_one_error_before_any_host_is_touched(
    fleet: Fleet, extra: dict[str, Any], what: str, step: str
) -> None:
    ran = fleet.local("web2").play("cadence", **{"upkeep_cadence": "daily", **extra})
    assert ran.code == 2
    assert what in ran.output and step in ran.output
    assert ran.output.count("fatal: ") == 1
    assert not fleet.state.exists() and not ran.report
    assert "Traceback" not in ran.output


def test_an_unknown_tag_is_an_error_and_a_known_one_selects(fleet: Fleet) -> None:
    ran = fleet.play("daily", "--tags", "nonsense")
    assert ran.code == 2 and "'nonsense'" in ran.output
    ran = fleet.play("daily", "--tags", "host.memory,host.load")
    assert set(ran.tasks("web1")) == {"host.memory", "host.load"}
    ran = fleet.play("daily", "--skip-tags", "host.memory", "--tags", "host", upkeep_force=True)
    assert "host.memory" not in ran.tasks("web1") and "host.load" in ran.tasks("web1")


@pytest.mark.parametrize(
    "words", ["host.memory,host.load", ["host.memory", "host.load"], '["host.memory", "host.load"]']
)
def test_ids_come_as_a_list_or_as_the_text_of_a_survey(fleet: Fleet, words: Any) -> None:
    assert set(fleet.play("daily", upkeep_only=words).tasks("web1")) == {"host.memory", "host.load"}


def test_a_variable_of_the_wrong_type_costs_only_its_own_task(fleet: Fleet) -> None:
    fleet.variables["certificates_inventory"] = "/etc/ssl"
    ran = fleet.play("daily", upkeep_only="certificates,host.memory")
    finding = ran.findings("run.variable_unusable")[0]
    assert "certificates_inventory is a text" in finding["message"] and "mapping" in finding["message"]
    assert ran.tasks("web1")["host.memory"]["status"] == "done"
    assert ran.code == 2


def test_a_variable_that_cannot_be_rendered_costs_only_its_own_task(fleet: Fleet) -> None:
    fleet.variables["certificates_inventory"] = {"files": ["{{ certificates_home }}/shop.pem"]}
    ran = fleet.play("daily", upkeep_only="certificates,host.memory")
    assert "certificates_home" in ran.findings("run.variable_unusable")[0]["message"]
    assert ran.tasks("web1")["host.memory"]["status"] == "done"


def test_a_bad_option_is_an_unknown_finding_that_names_it(fleet: Fleet) -> None:
    fleet.variables["certificates_inventory"] = {"flies": ["/etc/ssl/shop.pem"]}
    ran = fleet.play("daily", upkeep_only="certificates,host.memory")
    finding = ran.findings("task.invalid")[0]
    assert "flies" in finding["message"] and finding["severity"] == "unknown"
    assert ran.tasks("web1")["host.memory"]["status"] == "done"


def test_a_settled_check_is_carried_and_force_repeats_it(fleet: Fleet) -> None:
    fleet.variables["host_policy"] = {"memory_warning": "99.8%", "memory_critical": "99.9%"}
    first = fleet.play("daily", upkeep_only="host.memory", upkeep_now="2026-11-22T02:00:00Z")
    again = fleet.play("daily", upkeep_only="host.memory", upkeep_now="2026-11-22T05:00:00Z")
    forced = fleet.play("daily", upkeep_only="host.memory", upkeep_now="2026-11-22T06:00:00Z", upkeep_force="true")
    next_day = fleet.play("daily", upkeep_only="host.memory", upkeep_now="2026-11-23T02:00:00Z")
    assert [run.tasks("web1")["host.memory"]["status"] for run in (first, again, forced, next_day)] == [
        "done",
        "carried",
        "done",
        "done",
    ]
    assert again.tasks("web1")["host.memory"]["done_at"] == "2026-11-22T02:00:00Z"
    assert again.code == first.code == 0
    assert again.report["verdict"]["objects"] == first.report["verdict"]["objects"]


def test_a_changed_parameter_is_a_new_task(fleet: Fleet) -> None:
    fleet.variables["host_policy"] = {"memory_warning": "99.8%", "memory_critical": "99.9%"}
    fleet.play("daily", upkeep_only="host.memory")
    fleet.variables["host_policy"] = {"memory_warning": "0.1%", "memory_critical": "99.9%"}
    assert fleet.play("daily", upkeep_only="host.memory").tasks("web1")["host.memory"]["worst"] == "warning"


def test_a_sunday_that_is_the_first_of_a_month_does_the_daily_work_once(acting: Fleet) -> None:
    acting.variables["upkeep_overrides"] = own_task()
    for playbook, hour in (("daily", 2), ("weekly", 3), ("monthly", 4), ("yearly", 5)):
        ran = acting.play(playbook, upkeep_only="shop", upkeep_now=f"2026-11-01T0{hour}:00:00Z")
        assert ran.code == 0
    assert counted(acting) == 1
    assert acting.play("daily", upkeep_only="shop", upkeep_now="2026-11-02T02:00:00Z").code == 0
    assert counted(acting) == 2


def test_a_failed_task_is_done_again_and_its_words_hold_no_secret(acting: Fleet) -> None:
    acting.variables["upkeep_overrides"] = own_task("break")
    for times in (1, 2):
        ran = acting.play("daily", upkeep_only="shop,host.memory")
        finding = ran.findings("task.failed")[0]
        assert "on fire" in finding["message"] and "hunter2" not in str(ran.report)
        assert ran.code == 2 and counted(acting) == times
        assert ran.tasks("web1")["host.memory"]["status"] in ("done", "carried")


def test_a_role_that_breaks_costs_only_its_own_task(acting: Fleet) -> None:
    acting.variables["upkeep_overrides"] = {
        **own_task("break", order=70),
        "shop.after": {"cadence": "daily", "role": "count", "order": 80},
    }
    ran = acting.play("daily", upkeep_only="shop")
    assert [finding["subject"] for finding in ran.findings("task.failed")] == ["shop.own"]
    assert ran.tasks("web1")["shop.after"]["status"] == "done" and ran.code == 2


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_role_whose_tasks_cannot_be_included_still_leads_to_a_report(acting: Fleet, strategy: str) -> None:
    (acting.folder / "roles" / "count" / "tasks" / "main.yml").write_text(
        "- ansible.builtin.import_role: {name: gone}\n"
    )
    acting.variables["upkeep_overrides"] = own_task()
    ran = acting.play("daily", upkeep_only="shop", upkeep_strategy=strategy)
    assert ran.code == 2 and ran.findings("task.failed")


def test_check_mode_acts_on_nothing_and_remembers_nothing(acting: Fleet) -> None:
    acting.variables["upkeep_overrides"] = own_task()
    ran = acting.play("daily", "--check", upkeep_only="shop,host.memory")
    assert ran.report["run"]["check_mode"] is True
    assert counted(acting) == 0 and not acting.state.exists()


def test_an_unwritable_state_directory_is_said_and_nothing_acts(acting: Fleet) -> None:
    (acting.folder / "file").write_text("in the way")
    acting.variables.update(upkeep_state_dir=str(acting.folder / "file" / "state"), upkeep_overrides=own_task())
    ran = acting.play("daily", upkeep_only="shop,host.memory")
    finding = ran.findings("state.unusable")[0]
    assert str(acting.folder / "file" / "state") in finding["message"] and "upkeep_state_dir" in finding["remedy"]
    assert counted(acting) == 0 and ran.code == 2
    assert ran.tasks("web1")["host.memory"]["status"] == "done"


def test_a_torn_state_is_healed_from_the_one_before(fleet: Fleet) -> None:
    fleet.variables["host_policy"] = {"memory_warning": "99.8%", "memory_critical": "99.9%"}
    for _time in range(2):
        fleet.play("daily", upkeep_only="host.memory", upkeep_force=True)
    path = fleet.state / "hosts" / "web1" / "state.json"
    path.write_text(path.read_text()[:40])
    ran = fleet.play("daily", upkeep_only="host.memory")
    assert ran.findings("state.healed") and ran.tasks("web1")["host.memory"]["status"] == "carried"
    assert ran.code == 0


def test_the_exit_code_follows_report_fail_on(acting: Fleet) -> None:
    acting.variables["upkeep_overrides"] = own_task("break")
    assert acting.play("daily", upkeep_only="shop", report_fail_on="critical").code == 0
    assert acting.play("daily", upkeep_only="shop", report_fail_on="").code == 0
    assert acting.play("daily", upkeep_only="shop", report_fail_on="unknown,critical").code == 2
    ran = acting.play("daily", upkeep_only="shop", report_fail_on="catastrophic")
    assert ran.code == 2 and "unknown severity 'catastrophic'" in ran.output


def test_a_report_that_cannot_be_written_is_said_and_still_shown(fleet: Fleet) -> None:
    (fleet.folder / "file").write_text("in the way")
    fleet.variables["report_dir"] = str(fleet.folder / "file" / "reports")
    ran = fleet.play("daily", upkeep_only="host.memory")
    assert ran.code == 2
    assert "UPKEEP daily" in ran.output and "cannot be written" in ran.output and "report_dir" in ran.output


def test_the_summary_reaches_the_scheduler(fleet: Fleet) -> None:
    fleet.environment["ANSIBLE_SHOW_CUSTOM_STATS"] = "true"
    ran = fleet.play("daily", upkeep_only="host.memory")
    assert re.search(r'CUSTOM STATS.*"?upkeep_verdict"?', ran.output, re.DOTALL)


def test_the_files_of_the_state_are_for_their_owner_only(fleet: Fleet) -> None:
    fleet.play("daily", upkeep_only="host.memory")
    folder = fleet.state / "hosts" / "web1"
    for name in ("state.json", "history.jsonl"):
        assert stat.S_IMODE(os.stat(folder / name).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_several_names_on_one_machine_keep_records_of_their_own(fleet: Fleet) -> None:
    fleet.local("web2")
    fleet.play("daily", "--limit", "web1", upkeep_only="host.memory")
    ran = fleet.play("daily", upkeep_only="host.memory")
    assert ran.tasks("web2")["host.memory"]["status"] == "done"


def test_the_plan_says_what_runs_and_why_not_the_rest(acting: Fleet) -> None:
    acting.variables["upkeep_overrides"] = own_task(budget="7m")
    ran = acting.play("plan", upkeep_cadence="daily")
    assert ran.code == 0 and counted(acting) == 0 and not acting.state.exists()
    assert re.search(r"\d+\. host\.memory +daily +looks, deadline 60s", ran.output)
    assert re.search(r"\d+\. shop\.own +daily +acts, budget 7m", ran.output)
    assert "postgres_clusters is not set for this host" in ran.output or "it is weekly, this run is daily" in ran.output
    acting.play("daily", upkeep_only="shop")
    assert re.search(
        r"- shop\.own +done at .* \(upkeep_force repeats it\)", acting.play("plan", upkeep_cadence="daily").output
    )


def test_the_plan_of_an_unreachable_host_is_not_whole(fleet: Fleet) -> None:
    ran = fleet.dead("dead1").play("plan", upkeep_cadence="daily")
    assert ran.code == 2 and "The plan is not whole" in ran.output and "host.memory" in ran.output


@pytest.mark.matrix
def test_a_cadence_runs_from_any_directory_without_configuration(fleet: Fleet) -> None:
    ran: Ran = fleet.dead("dead1").play("weekly", "--limit", "web1", upkeep_only="host")
    assert ran.row("web1")["status"] == "examined" and len(ran.tasks("web1")) == 6


def test_one_mistake_in_a_policy_is_said_once_with_the_variable_that_holds_it(fleet: Fleet) -> None:
    fleet.variables["host_policy"] = {"disk_warning": "eighty"}
    ran = fleet.play("daily", upkeep_only="host")
    assert len(ran.findings("task.invalid")) == 6 and ran.code == 2
    assert ran.output.count("'eighty'") == 1
    assert "It is told by host_policy." in ran.output
