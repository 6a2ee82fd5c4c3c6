"""Whatever a role registered, or failed with, becomes a finished task of the common form."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import count_by_severity
from ansible_collections.cadence.upkeep.plugins.plugin_utils.acting import finished_task

NOW = "2026-11-22T04:13:00Z"
TASK = {"id": "postgres.vacuum", "period": "2026-W47", "digest": "f00d", "role": "cadence.upkeep.postgres"}
STEP = {
    "id": "vacuum",
    "description": "VACUUM (ANALYZE) shop.public.orders",
    "status": "done",
    "reason": "",
    "seconds": 1.0,
}
STALE = {
    "code": "pg.stale",
    "subject": "shop.public.orders",
    "severity": "warning",
    "message": "m",
    "evidence": {},
    "remedy": "r",
}


def result(**changes):
    return {
        "changed": False,
        "summary": {"worst": "ok", "counts": {**count_by_severity(()), "ok": 3}, "seconds": 1.25},
        "findings": [],
        "actions": [],
        "metrics": [],
        **changes,
    }


def finish(registered, failure=None, now=NOW):
    return finished_task(TASK, registered, failure, now)


def looped(*parts, **changes):
    return {
        "changed": any(part.get("changed") for part in parts),
        "msg": "All items completed",
        "results": list(parts),
        **changes,
    }


def test_the_result_of_a_module_is_what_the_task_did():
    metric = {"name": "pg_dead_tuples", "value": 5, "unit": "count", "labels": {}}
    counts = {**count_by_severity(()), "ok": 2, "warning": 1}
    ours = result(
        changed=True,
        findings=[STALE],
        actions=[STEP],
        metrics=[metric],
        summary={"worst": "warning", "counts": counts, "seconds": 2},
    )
    assert finish(ours) == {
        "id": "postgres.vacuum",
        "status": "done",
        "period": "2026-W47",
        "digest": "f00d",
        "worst": "warning",
        "counts": counts,
        "seconds": 2.0,
        "changed": True,
        "deferred": False,
        "findings": [STALE],
        "actions": [STEP],
        "metrics": [metric],
    }


def test_the_results_of_a_loop_add_up():
    task = finish(looped(result(changed=True, actions=[STEP]), result(findings=[STALE], actions=[STEP])))
    assert (task["status"], task["changed"], task["seconds"]) == ("done", True, 2.5)
    assert task["counts"]["ok"] == 6
    assert (task["findings"], task["actions"]) == ([STALE], [STEP, STEP])


def test_one_failed_item_of_a_loop_costs_only_itself():
    bad = {
        "failed": True,
        "msg": "The port 5433 of db2 refuses.",
        "remedy": "Start it.",
        "evidence": {"subject": "second"},
    }
    task = finish(looped(result(changed=True, actions=[STEP]), bad, failed=True), {"msg": "One or more items failed"})
    assert (task["status"], task["worst"], task["changed"]) == ("failed", "unknown", True)
    assert task["counts"] == {**count_by_severity(()), "ok": 3, "unknown": 1}
    assert task["actions"] == [STEP]
    assert task["findings"] == [
        {
            "code": "task.failed",
            "subject": "postgres.vacuum second",
            "severity": "unknown",
            "message": "postgres.vacuum second was not done: The port 5433 of db2 refuses.",
            "evidence": {"subject": "second"},
            "remedy": "Start it.",
            "observed_at": NOW,
        }
    ]


def test_a_critical_finding_is_worse_than_a_failure():
    critical = {**count_by_severity(()), "critical": 1}
    task = finish(
        looped(result(summary={"worst": "critical", "counts": critical, "seconds": 0}), {"failed": True, "msg": "no"})
    )
    assert (task["status"], task["worst"]) == ("failed", "critical")


@pytest.mark.parametrize("registered", [None, "text", {"changed": False, "rc": 0}, {"changed": True, "stat": {}}])
def test_a_role_of_ones_own_that_ended_well_is_done(registered):
    task = finish(registered)
    assert (task["status"], task["worst"], task["findings"]) == ("done", "ok", [])
    assert task["counts"] == {**count_by_severity(()), "ok": 1}
    assert task["changed"] is bool(isinstance(registered, dict) and registered["changed"])


@pytest.mark.parametrize(
    "foreign",
    [
        {"summary": "all well", "changed": False},
        {"summary": {"counts": {"passed": 3}}, "findings": 5},
        {"summary": {"counts": [1, 2]}, "actions": "none"},
        {"summary": {"counts": {"ok": "many"}, "seconds": "long"}, "metrics": {"a": 1}},
    ],
)
def test_a_module_of_ones_own_may_use_our_words_for_something_else(foreign):
    task = finish(foreign)
    assert (task["status"], task["worst"], task["counts"]["ok"]) == ("done", "ok", 1)
    assert (task["findings"], task["actions"], task["metrics"], task["seconds"]) == ([], [], [], 0)


def test_a_failure_in_a_role_without_a_result_is_told_from_the_rescue():
    task = finish(None, {"msg": "The shop is on fire."})
    assert (task["status"], task["worst"], task["counts"]["unknown"]) == ("failed", "unknown", 1)
    (finding,) = task["findings"]
    assert finding["message"] == "postgres.vacuum was not done: The shop is on fire."
    assert "-v" in finding["remedy"]


@pytest.mark.parametrize("silent", [{"msg": ""}, {"msg": None}, {"rc": 1}])
def test_a_failure_without_words_is_a_failure(silent):
    (finding,) = finish(None, silent)["findings"]
    assert finding["message"] == "postgres.vacuum was not done: it said nothing"


def test_a_failed_result_without_words_is_a_failure():
    (finding,) = finish({"failed": True})["findings"]
    assert finding["message"] == "postgres.vacuum was not done: it failed without a word"


def test_a_failure_after_the_result_was_registered_is_told_beside_it():
    task = finish(result(changed=True, findings=[STALE]), {"msg": "The reload failed."})
    assert (task["status"], task["changed"]) == ("failed", True)
    assert [finding["code"] for finding in task["findings"]] == ["pg.stale", "task.failed"]


def test_a_failed_result_is_told_once_though_the_rescue_tells_it_too():
    failed = {"failed": True, "msg": "no route"}
    assert len(finish(failed, {"msg": "no route"})["findings"]) == 1


def test_a_host_that_is_lost_on_the_way_is_not_done():
    task = finish({"unreachable": True, "msg": "Connection reset by peer"})
    assert (task["status"], task["worst"]) == ("failed", "unknown")
    assert "the host was lost on the way: Connection reset by peer" in task["findings"][0]["message"]


def test_the_remedy_of_our_own_error_stands_once():
    error = ConnectionFailed("The port 5432 refuses.", "Start the server, then run again.", {"port": 5432})
    (finding,) = finish({"failed": True, **error.as_failure()})["findings"]
    assert finding["message"] == "postgres.vacuum was not done: The port 5432 refuses."
    assert finding["remedy"] == "Start the server, then run again."
    assert finding["evidence"] == {"port": 5432}


def test_the_remedy_of_our_own_error_stands_once_though_it_has_lines():
    error = ConnectionFailed("It refuses.", "Start it:\n  systemctl start x")
    (finding,) = finish({"failed": True, **error.as_failure()})["findings"]
    assert finding["message"] == "postgres.vacuum was not done: It refuses."


@pytest.mark.parametrize(
    ("msg", "secret"),
    [
        ("cannot log in with password=hunter2 to db1", "hunter2"),
        ("postgresql://app:hunter2@db1/shop refuses", "hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
    ],
)
def test_no_secret_leaves_with_a_failure(msg, secret):
    for task in (finish(None, {"msg": msg}), finish({"failed": True, "msg": msg})):
        assert secret not in json.dumps(task)


def test_a_long_failure_is_cut_and_stands_on_one_line():
    (finding,) = finish(None, {"msg": "line\n" * 2000})["findings"]
    assert "\n" not in finding["message"]
    assert len(finding["message"]) < 1100


@pytest.mark.parametrize("label", [{"login_password": "hunter2"}, None, 5])
def test_an_item_without_a_label_of_text_is_not_named(label):
    (finding,) = finish({"failed": True, "msg": "no", "evidence": {"subject": label}})["findings"]
    assert finding["subject"] == "postgres.vacuum"


def test_what_a_module_did_before_it_failed_stands():
    failed = result(changed=True, failed=True, msg="The budget is spent.", findings=[STALE], actions=[STEP])
    task = finish(failed, {"msg": "The budget is spent."})
    assert (task["status"], task["worst"], task["changed"]) == ("failed", "unknown", True)
    assert task["counts"] == {**count_by_severity(()), "ok": 3, "unknown": 1}
    assert sorted(finding["code"] for finding in task["findings"]) == ["pg.stale", "task.failed"]
    assert task["actions"] == [STEP]


@pytest.mark.parametrize(("severity", "codes"), [("critical", ["pg.stale"]), ("warning", ["pg.stale", "task.failed"])])
def test_a_failure_that_is_a_finding_word_for_word_is_told_once(severity, codes):
    counts = {**count_by_severity(()), severity: 1}
    summary = {"worst": severity, "counts": counts, "seconds": 0}
    task = finish(result(failed=True, msg="m", findings=[{**STALE, "severity": severity}], summary=summary))
    assert sorted(finding["code"] for finding in task["findings"]) == codes
    assert (task["status"], sum(task["counts"].values())) == ("failed", len(codes))


def test_evidence_that_is_none_is_left_away():
    (finding,) = finish({"failed": True, "msg": "no", "evidence": "text"})["findings"]
    assert finding["evidence"] == {}


def test_an_option_that_nobody_knows_is_named_with_its_place_and_without_all_the_others():
    known = "Supported parameters include: " + ", ".join(f"option{number}" for number in range(50)) + "."
    msg = f"Unsupported parameters for (cadence.upkeep.pg_vacuum) module: dead_ration, full.x. {known}"
    part = {"failed": True, "msg": msg, "ansible_loop_var": "postgres_index", "postgres_index": 1}
    (finding,) = finish(looped(result(), part))["findings"]
    assert finding["message"] == (
        "postgres.vacuum [1] was not done: "
        "Unsupported parameters for (cadence.upkeep.pg_vacuum) module: dead_ration, full.x."
    )
    assert finding["remedy"] == "Correct it; `ansible-doc cadence.upkeep.pg_vacuum` lists every option."


def test_an_item_that_was_skipped_counts_for_nothing():
    task = finish(looped(result(), {"skipped": True, "changed": False}))
    assert (task["status"], task["counts"]["ok"]) == ("done", 3)


def test_a_role_that_skipped_everything_did_not_do_well_it_did_nothing():
    task = finish({"skipped": True, "changed": False})
    assert (task["worst"], task["counts"]["info"], task["counts"]["ok"]) == ("info", 1, 0)


def test_what_a_module_puts_off_until_its_window_is_told():
    assert finished_task(TASK, result(), None, NOW)["deferred"] is False
    loop = {"results": [result(), result(deferred=True)]}
    assert finished_task(TASK, loop, None, NOW)["deferred"] is True
    assert finished_task(TASK, {"deferred": True}, None, NOW)["deferred"] is False, "it is no module of ours"
