"""The hosts of a run become one report; a host that was not seen is a row of it, never a gap."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import SEVERITY_WORDS, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import count_by_severity
from ansible_collections.cadence.upkeep.plugins.plugin_utils.report import build_report, by_cause, host_row, summary_of

NOW = "2026-11-22T04:14:00Z"
RUN = {
    "id": "20261122T041300Z-weekly-3fa2",
    "cadence": "weekly",
    "started_at": "2026-11-22T04:13:00Z",
    "check_mode": False,
}


def finding(severity, code="host.disk_full", subject="/var", **changes):
    return {
        "code": code, "subject": subject, "severity": severity, "message": "m", "evidence": {}, "remedy": "r",
        "observed_at": NOW, **changes,
    }  # fmt: skip


def entry(task_id, worst="ok", status="done", **changes):
    return {
        "id": task_id, "status": status, "period": "2026-11-22", "worst": worst,
        "counts": {**count_by_severity(()), worst: 1}, "seconds": 0.1, "changed": False, **changes,
    }  # fmt: skip


def returned(*tasks, findings=(), **changes):
    counts = count_by_severity(Severity.from_word(found["severity"]) for found in findings)
    for task in tasks:
        for word, count in task["counts"].items():
            counts[word] += count
    return {
        "changed": any(task["changed"] for task in tasks),
        "summary": {"worst": "ok", "counts": counts, "seconds": 0.5},
        "checks": list(tasks), "findings": list(findings), "actions": [], "metrics": [], **changes,
    }  # fmt: skip


def checkup(*tasks, **changes):
    return returned(*tasks, **{"acting": [], "due": [], "left_out": [], "planned": [], **changes})


def row(checkup_result, recorded=None, host="db1"):
    return host_row(host, checkup_result, recorded, NOW)


def codes(of):
    return [(found["code"], found["severity"]) for found in of["findings"]]


# --- a host that was not seen -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registered", "status", "code", "words"),
    [
        (None, "not run", "run.host_not_run", "the run never came to it"),
        ("Undefined", "not run", "run.host_not_run", "the run never came to it"),
        (
            {"unreachable": True, "msg": "Connection timed out"},
            "unreachable",
            "run.unreachable",
            "Connection timed out",
        ),
        ({"unreachable": True}, "unreachable", "run.unreachable", "it did not answer"),
        (
            {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "no python3\n"},
            "failed",
            "run.host_failed",
            "no python3",
        ),
        ({"failed": True}, "failed", "run.host_failed", "the checks did not start"),
        (
            {"failed": True, **InvalidInput("upkeep_only is 5.", "Write it as a list.").as_failure()},
            "failed",
            "run.invalid_input",
            "upkeep_only is 5. Write it as a list.",
        ),
    ],
)
def test_a_host_that_was_not_seen_is_a_row_with_an_unknown_finding(registered, status, code, words):
    blind = row(registered)
    assert (blind["host"], blind["status"], blind["worst"]) == ("db1", status, "unknown")
    assert blind["counts"] == {**count_by_severity(()), "unknown": 1}
    assert (blind["tasks"], blind["changed"]) == ([], False)
    (found,) = blind["findings"]
    assert (found["code"], found["subject"], found["host"], found["severity"]) == (code, "db1", "db1", "unknown")
    assert words in found["message"]
    assert found["message"].startswith("Nothing is known about db1: ")
    assert found["message"].endswith(".")
    assert not found["message"].endswith("..")
    assert "db1" in found["remedy"]
    assert found["observed_at"] == NOW
    assert code in CODES


def test_what_a_failed_host_said_is_short_and_holds_no_secret():
    found = row({"failed": True, "msg": "login_password=hunter2 " + "x" * 5000})["findings"][0]
    assert "hunter2" not in found["message"]
    assert len(found["message"]) < 700


# --- a host that was seen ---------------------------------------------------------------------------------------------


def test_a_row_holds_what_its_two_tasks_returned():
    looked = checkup(
        entry("host.disk", "warning"), entry("host.memory"),
        findings=[finding("warning", task="host.disk")],
        metrics=[{"name": "m", "value": 1}], left_out=[{"id": "certificates.expiry", "reason": "not set"}],
    )  # fmt: skip
    looked["summary"]["counts"]["warning"] = 1
    acted = returned(
        entry("postgres.vacuum", changed=True),
        actions=[{"id": "v", "status": "done"}],
        metrics=[{"name": "n", "value": 2}],
    )
    whole = row(looked, acted)
    assert (whole["status"], whole["worst"], whole["changed"]) == ("examined", "warning", True)
    assert [task["id"] for task in whole["tasks"]] == ["host.disk", "host.memory", "postgres.vacuum"]
    assert whole["counts"] == {**count_by_severity(()), "ok": 2, "warning": 1}
    assert [metric["name"] for metric in whole["metrics"]] == ["m", "n"]
    assert whole["actions"] == [{"id": "v", "status": "done"}]
    assert whole["left_out"] == [{"id": "certificates.expiry", "reason": "not set"}]
    assert [(found["host"], found["task"]) for found in whole["findings"]] == [("db1", "host.disk")]


def test_acting_work_that_is_settled_is_part_of_the_verdict():
    stale = finding("warning", "pg.stale", "shop.orders")
    settled = entry("postgres.vacuum", "warning", "carried", findings=[stale], changed=True, digest="f00d", done_at=NOW)
    carried = row(checkup(entry("host.memory"), acting=[settled]))
    assert (carried["worst"], carried["counts"]["warning"]) == ("warning", 1)
    assert carried["findings"] == [{**stale, "host": "db1", "task": "postgres.vacuum"}]
    assert carried["changed"] is False  # that was another run
    assert [set(task) & {"findings", "digest"} for task in carried["tasks"]] == [set(), set()]


def test_a_host_on_which_nothing_was_examined_is_unknown():
    empty = row(checkup())
    assert (empty["status"], empty["worst"]) == ("examined", "unknown")
    assert codes(empty) == [("run.nothing_examined", "unknown")]
    assert empty["findings"][0]["message"].startswith("Nothing was examined: ")


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({"failed": True, "msg": "no space left on device"}, "no space left on device"),
        ({"unreachable": True, "msg": "Connection reset"}, "Connection reset"),
        ({"unreachable": True}, "it was lost"),
        (returned(entry("postgres.vacuum"), not_remembered="Connection reset"), "Connection reset"),
    ],
)
def test_a_host_that_is_lost_before_it_remembers_is_unknown_and_keeps_what_was_seen(recorded, words):
    lost = row(checkup(entry("host.memory")), recorded)
    assert (lost["status"], lost["worst"]) == ("examined", "unknown")
    assert codes(lost) == [("run.not_remembered", "unknown")]
    assert lost["findings"][0]["message"] == f"What acted on db1 is not remembered there: {words}."
    assert lost["tasks"][0]["id"] == "host.memory"


def test_acting_tasks_stay_in_the_row_of_a_host_that_cannot_remember_them():
    lost = row(checkup(entry("host.memory")), returned(entry("postgres.vacuum", changed=True), not_remembered="gone"))
    assert [task["id"] for task in lost["tasks"]] == ["host.memory", "postgres.vacuum"]
    assert lost["changed"] is True


@pytest.mark.parametrize("recorded", [None, "Undefined", {"skipped": True, "changed": False}])
def test_without_acting_work_there_is_nothing_to_remember(recorded):
    assert codes(row(checkup(entry("host.memory")), recorded)) == []


def test_what_was_cut_from_a_result_is_said():
    cut = row(
        checkup(entry("host.memory"), truncated={"findings": 250}), returned(entry("a.b"), truncated={"actions": 2})
    )
    assert cut["truncated"] == [{"findings": 250}, {"actions": 2}]


@pytest.mark.parametrize("severity", SEVERITY_WORDS)
def test_a_row_is_as_bad_as_its_worst_finding(severity):
    looked = checkup(entry("host.memory"), findings=[finding("ok"), finding(severity), finding("info")])
    assert Severity.from_word(row(looked)["worst"]) == max(Severity.INFO, Severity.from_word(severity))


# --- the report -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("worst", "word"),
    [
        ("ok", "Healthy"),
        ("info", "Healthy"),
        ("warning", "Attention"),
        ("unknown", "Incomplete"),
        ("critical", "Action now"),
    ],
)
def test_the_verdict_is_that_of_the_worst_host(worst, word):
    looked = [checkup(entry("host.memory")), checkup(entry("host.memory", worst), findings=[finding(worst)])]
    report = build_report(RUN, [row(each, host=f"db{number}") for number, each in enumerate(looked)], NOW)
    assert (report["verdict"]["word"], report["verdict"]["worst"]) == (word, worst)


def test_a_run_over_no_host_is_incomplete():
    report = build_report(RUN, [], NOW)
    assert (report["verdict"]["word"], report["verdict"]["worst"]) == ("Incomplete", "unknown")
    assert report["verdict"]["hosts"]["total"] == 0


def test_hosts_objects_and_findings_are_counted():
    rows = [
        row(checkup(entry("host.memory"), entry("host.load", changed=True)), host="a"),
        row(checkup(entry("host.memory", "warning"), findings=[finding("warning"), finding("ok")]), host="b"),
        row({"unreachable": True}, host="c"),
        row({"failed": True}, host="d"),
        row(None, host="e"),
    ]
    verdict = build_report(RUN, rows, NOW)["verdict"]
    assert verdict["hosts"] == {"total": 5, "examined": 2, "unreachable": 1, "failed": 1, "not run": 1, "changed": 1}
    assert verdict["objects"] == {"ok": 3, "info": 0, "warning": 2, "unknown": 3, "critical": 0}
    assert verdict["findings"] == {"ok": 1, "info": 0, "warning": 1, "unknown": 3, "critical": 0}


def test_findings_of_all_hosts_stand_worst_first_then_by_code_subject_and_host():
    rows = [
        row(checkup(findings=[finding("warning", "b.b", "x"), finding("critical", "z.z", "y")]), host="h2"),
        row(
            checkup(findings=[finding("warning", "b.b", "x"), finding("warning", "a.a", "y"), finding("unknown")]),
            host="h1",
        ),
    ]
    report = build_report(RUN, rows, NOW)
    assert [(found["severity"], found["code"], found["host"]) for found in report["findings"]] == [
        ("critical", "z.z", "h2"),
        ("unknown", "host.disk_full", "h1"),
        ("warning", "a.a", "h1"),
        ("warning", "b.b", "h1"),
        ("warning", "b.b", "h2"),
    ]
    assert all("findings" not in host for host in report["hosts"])


def test_the_report_is_plain_json_and_says_which_run_it_is_of():
    report = build_report(RUN, [row(checkup(entry("host.memory")))], NOW)
    assert json.loads(json.dumps(report)) == report
    assert report["schema"] == 1
    assert report["run"] == {**RUN, "finished_at": NOW}


def test_no_secret_reaches_the_report():
    looked = checkup(
        findings=[
            finding("warning", message="postgresql://app:hunter2@db1/shop", evidence={"login_password": "hunter2"})
        ]
    )
    assert "hunter2" not in json.dumps(build_report(RUN, [row(looked)], NOW))


def test_the_summary_for_a_scheduler_is_small_and_says_the_verdict():
    report = build_report(RUN, [row(checkup(entry("host.memory")))], NOW)
    summary = summary_of(report)
    assert summary == {
        "upkeep_run": RUN["id"],
        "upkeep_verdict": "Healthy",
        "upkeep_worst": "ok",
        "upkeep_findings": count_by_severity(()),
        "upkeep_hosts": {"total": 1, "examined": 1, "unreachable": 0, "failed": 0, "not run": 0, "changed": 0},
    }


REGISTERED = st.one_of(
    st.none(),
    st.just({"unreachable": True}),
    st.just({"failed": True}),
    st.lists(st.sampled_from(SEVERITY_WORDS), max_size=4).map(
        lambda words: checkup(findings=[finding(word) for word in words])
    ),
)


@given(st.lists(REGISTERED, max_size=6))
def test_every_host_has_its_row_and_the_verdict_is_never_better_than_any_of_them(registered):
    rows = [row(each, host=f"h{number}") for number, each in enumerate(registered)]
    report = build_report(RUN, rows, NOW)
    assert [host["host"] for host in report["hosts"]] == [f"h{number}" for number in range(len(registered))]
    worst = Severity.from_word(report["verdict"]["worst"])
    assert all(Severity.from_word(found["severity"]) <= worst for found in report["findings"])
    if worst < Severity.UNKNOWN:
        assert all(host["status"] == "examined" for host in report["hosts"])
    assert sum(
        report["verdict"]["hosts"][status] for status in ("examined", "unreachable", "failed", "not run")
    ) == len(rows)


# --- one cause, one finding -------------------------------------------------------------------------------------------


def stopped(task, **evidence):
    return {
        "code": "task.failed", "subject": f"{task} main", "severity": "unknown", "host": "db1", "task": task,
        "message": f"{task} main was not done.", "evidence": evidence, "remedy": "Check login_password.",
    }  # fmt: skip


def test_what_stopped_several_tasks_is_told_once_with_their_names():
    reason = {"host": "db1", "port": 5432, "reason": "password authentication failed"}
    told = by_cause(
        [
            stopped("postgres.health", **reason),
            stopped("certificates.expiry"),
            stopped("postgres.vacuum", **reason, subject="main"),
            stopped("postgres.reindex", **reason, subject="main"),
        ]
    )
    assert [finding["task"] for finding in told] == ["postgres.health", "certificates.expiry"]
    assert told[0]["message"].endswith("The same stopped postgres.vacuum, postgres.reindex.")
    assert told[0]["evidence"] == {**reason, "tasks": ["postgres.health", "postgres.vacuum", "postgres.reindex"]}
    assert told[1] == stopped("certificates.expiry")


def test_two_causes_stay_two_findings():
    told = by_cause([stopped("postgres.health", port=5432), stopped("postgres.vacuum", port=5433)])
    assert [finding["message"] for finding in told] == [
        "postgres.health main was not done.",
        "postgres.vacuum main was not done.",
    ]


def test_what_says_nothing_of_its_cause_stays_as_it_is():
    findings = [stopped("a.b"), stopped("a.c")]
    assert by_cause(findings) == findings
