"""A host is looked at in one call; one bad check touches no other; and what was done is remembered."""

from __future__ import annotations

import json
import os
import pwd
import signal
import time
from datetime import datetime, timezone

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup import registry
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.argspec import CHECKUP_SPEC, RECORD_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.checkup import record_tasks, run_checkup
from ansible_collections.cadence.upkeep.plugins.module_utils._core import state as state_module
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check, validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome

NOW = "2026-11-22T04:13:00Z"
LATER = "2026-11-22T17:00:00Z"
DAY = "2026-11-22"
SPEC = {
    "names": {"type": "list", "elements": "str", "default": ["a"]},
    "severity": {"type": "str", "choices": ["ok", "info", "warning", "critical"], "default": "ok"},
    "log": {"type": "path"},
    "login_password": {"type": "str", "no_log": True},
}


def look(params, now):
    """Examine each of ``names`` and find ``severity`` of it; write a line to ``log``, as proof that it looked."""
    if params["log"]:
        with open(params["log"], "a", encoding="utf-8") as stream:
            stream.write("looked\n")
    severity = Severity.from_word(params["severity"])
    found = [
        Finding("toy.found", name, severity, f"{name} is {severity.word}.", {}, "Mend it.") for name in params["names"]
    ]
    metrics = [Metric("toy_names", len(params["names"]), "count")]
    return Outcome("toy", params["names"], found if severity > Severity.OK else [], now, metrics=metrics)


def plan(params, now):
    return Outcome("toy", ["a"], [], now, actions=[Action("step", "Do it", "planned")])


def say_now(params, now):
    return Outcome("toy", ["a"], [Finding("toy.now", "a", Severity.INFO, now.isoformat())], now)


def fail(params, now):
    raise ConnectionFailed("The server db1 refuses.", "Start it.", {"port": 5432})


def refuse(params, now):
    raise InvalidInput("'eighty' is no percentage.", "Write it like 80%.")


def fail_with_secret(params, now):
    raise ConnectionFailed(
        "postgresql://app:hunter2@db1/shop refuses.", "Try password=hunter2.", {"login_password": "hunter2"}
    )


def fail_without_period(params, now):
    raise ConnectionFailed("no route to db1")


def break_down(params, now):
    return {}["missing"]


def hang(params, now):
    while True:
        time.sleep(60)


def die(params, now):
    os.kill(os.getpid(), signal.SIGKILL)


def who(params, now):
    name = pwd.getpwuid(os.geteuid()).pw_name
    return Outcome("toy", ["a"], [Finding("toy.who", "a", Severity.INFO, f"I am {name}.")], now)


def leak(params, now):
    message = f"cannot log in with password={params['login_password']} and {params['login_password']}"
    return Outcome("toy", ["a"], [Finding("toy.found", "a", Severity.WARNING, message)], now)


def unloadable():
    raise ImportError("No module named 'gone'")


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    toys = [look, plan, say_now, fail, refuse, fail_with_secret, fail_without_period, break_down, hang, die, who, leak]
    checks = {toy.__name__: (lambda toy=toy: Check(toy.__name__, SPEC, toy)) for toy in toys}
    picky = Check("picky", {"a": {"type": "str"}, "b": {"type": "str"}}, look, {"required_one_of": [["a", "b"]]})
    monkeypatch.setattr(registry, "CHECKS", {**checks, "picky": lambda: picky, "unloadable": unloadable})


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def item(check, task_id=None, period=DAY, digest="f00d", deadline="30s", **params):
    return {
        "id": task_id or check,
        "check": check,
        "params": params,
        "period": period,
        "digest": digest,
        "deadline": deadline,
    }


def acting(task_id="pg.vacuum", period="2026-W47", digest="beef"):
    return {"id": task_id, "period": period, "digest": digest}


def checkup(state, checks=(), acting=(), remember=True, learn=lambda secrets: None, **options):
    params = {
        "checks": list(checks), "acting": list(acting), "run_id": "run-1", "cadence": "daily", "host": "db1",
        "state_dir": str(state), "now": NOW, **options,
    }  # fmt: skip
    return run_checkup(validate("checkup", CHECKUP_SPEC, params).params, remember, learn)


def record(state, tasks, remember=True, **options):
    params = {
        "tasks": list(tasks), "run_id": "run-1", "cadence": "weekly", "host": "db1", "state_dir": str(state),
        "now": NOW, **options,
    }  # fmt: skip
    return record_tasks(validate("run_record", RECORD_SPEC, params).params, remember, set().update)


def finished(task_id="pg.vacuum", worst="ok", **changes):
    return {
        "id": task_id, "status": "done", "period": "2026-W47", "digest": "beef", "worst": worst,
        "counts": {"ok": 0, "info": 0, "warning": 0, "unknown": 0, "critical": 0, worst: 1},
        "seconds": 1.5, "changed": False, "findings": [], "actions": [], "metrics": [], **changes,
    }  # fmt: skip


def entries(result):
    return {entry["id"]: entry for entry in result["checks"]}


def codes(result):
    return [(finding["code"], finding["subject"], finding["severity"]) for finding in result["findings"]]


def remembered(state, host="db1"):
    return json.loads((state / "hosts" / host / "state.json").read_text())["tasks"]


def history(state, host="db1"):
    return [json.loads(line) for line in (state / "hosts" / host / "history.jsonl").read_text().splitlines()]


# --- one bad check touches no other -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "code", "words"),
    [
        (item("fail"), "task.failed", "fail could not look: The server db1 refuses."),
        (item("fail_without_period"), "task.failed", "fail_without_period could not look: no route to db1."),
        (item("break_down"), "task.failed", "break_down could not look: KeyError: 'missing'."),
        (item("hang", deadline="200ms"), "task.timed_out", "it had not ended after 0.2 s and was stopped."),
        (item("die"), "task.failed", "its process died (signal 9)."),
        (item("unloadable"), "task.failed", "the check cannot be loaded: No module named 'gone'."),
        (item("no_such_check"), "task.invalid", "There is no check called 'no_such_check'."),
        (
            item("look", "misspelt", name="a"),
            "task.invalid",
            "not valid: Unsupported parameters: name.",
        ),
        (item("look", "wrong_type", names={"a": 1}), "task.invalid", "argument 'names' is of type"),
        (item("look", "wrong_choice", severity="bad"), "task.invalid", "value of severity must be one of"),
        (item("picky"), "task.invalid", "one of the following is required: a, b"),
        (item("look", "no_unit", deadline="60"), "task.invalid", "'60' has no unit where a duration is expected."),
    ],
    ids=lambda value: value["id"] if isinstance(value, dict) else "",
)
def test_a_bad_check_is_one_unknown_finding_that_names_it_and_the_others_are_untouched(state, bad, code, words):
    result = checkup(state, [item("look", "first", names=["a", "b"]), bad, item("look", "last", severity="warning")])
    assert codes(result) == [(code, bad["id"], "unknown"), ("toy.found", "a", "warning")]
    (finding,) = (finding for finding in result["findings"] if finding["code"] == code)
    assert words in finding["message"]
    assert finding["message"].startswith(f"{bad['id']} could not look: ")
    assert finding["remedy"]
    assert (finding["task"], finding["observed_at"]) == (bad["id"], NOW)
    assert {id_: entry["status"] for id_, entry in entries(result).items()} == {
        "first": "done",
        bad["id"]: "failed",
        "last": "done",
    }
    assert entries(result)["first"]["counts"]["ok"] == 2
    assert entries(result)[bad["id"]]["counts"]["unknown"] == 1
    assert result["summary"]["worst"] == "unknown"
    assert result["summary"]["counts"] == {"ok": 2, "info": 0, "warning": 1, "unknown": 1, "critical": 0}


def test_the_evidence_of_a_failure_reaches_the_finding(state):
    (finding,) = checkup(state, [item("fail")])["findings"]
    assert finding["evidence"] == {"port": 5432}
    assert finding["remedy"] == "Start it."


def test_a_defect_of_a_check_says_where_it_is_and_shows_no_traceback(state):
    (finding,) = checkup(state, [item("break_down")])["findings"]
    assert "test_checkup.py" in finding["evidence"]["raised_at"]
    assert "Traceback" not in json.dumps(finding)


def test_what_a_check_refuses_of_its_parameters_is_told_apart_from_a_failure(state):
    result = checkup(state, [item("refuse")])
    assert codes(result) == [("task.invalid", "refuse", "unknown")]
    assert result["findings"][0]["remedy"] == "Write it like 80%."


def test_hanging_checks_wait_side_by_side(state):
    started = time.monotonic()
    result = checkup(state, [item("hang", f"hang{number}", deadline="5s") for number in range(4)])
    assert time.monotonic() - started < 19
    assert {entry["status"] for entry in result["checks"]} == {"failed"}


def test_the_result_keeps_the_order_in_which_the_checks_were_given(state):
    ids = ["c", "a", "hang", "b"]
    result = checkup(state, [item("hang" if id_ == "hang" else "look", id_, deadline="300ms") for id_ in ids])
    assert [entry["id"] for entry in result["checks"]] == ids


def test_two_checks_with_the_same_id_are_refused(state):
    with pytest.raises(InvalidInput, match="twin"):
        checkup(state, [item("look", "twin"), item("look", "twin", severity="critical")])
    with pytest.raises(InvalidInput, match="twin"):
        checkup(state, [item("look", "twin")], [acting("twin")])


def test_no_check_at_all_is_unknown(state):
    result = checkup(state)
    assert result["summary"]["worst"] == "unknown"
    assert (result["checks"], result["findings"]) == ([], [])


def test_a_check_that_examined_nothing_is_unknown(state):
    result = checkup(state, [item("look", names=[])])
    assert codes(result) == [("toy.nothing_examined", "toy", "unknown")]


def test_every_part_of_the_result_says_which_task_it_is_from(state):
    result = checkup(state, [item("look", "toy.a", severity="info"), item("plan", "toy.b")])
    assert [finding["task"] for finding in result["findings"]] == ["toy.a"]
    assert [(action["task"], action["status"]) for action in result["actions"]] == [("toy.b", "planned")]
    assert [(metric["task"], metric["value"]) for metric in result["metrics"]] == [("toy.a", 1)]
    assert result["changed"] is True
    assert {id_: entry["changed"] for id_, entry in entries(result).items()} == {"toy.a": False, "toy.b": True}


def test_worse_findings_stand_first(state):
    wanted = [item("look", word, severity=word) for word in ("info", "critical", "warning")]
    result = checkup(state, [*wanted, item("fail")])
    assert [finding["severity"] for finding in result["findings"]] == ["critical", "unknown", "warning", "info"]


def test_the_instant_of_the_run_is_the_now_of_every_check(state):
    assert "2026-11-22T04:13:00+00:00" in checkup(state, [item("say_now")])["findings"][0]["message"]


def test_without_an_instant_the_clock_of_the_host_is_taken(state):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    (finding,) = checkup(state, [item("say_now")], now=None)["findings"]
    assert before <= datetime.fromisoformat(finding["message"]) <= datetime.now(timezone.utc)


def test_secrets_are_told_to_the_caller_and_masked_where_their_name_gives_them_away(state):
    learned = set()
    result = checkup(state, [item("leak", login_password="S3kr1t")], learn=learned.update)
    assert "S3kr1t" in learned
    assert "password=S3kr1t" not in json.dumps(result)


def test_no_secret_leaves_with_a_failure_or_stays_in_the_records(state):
    result = checkup(state, [item("fail_with_secret")])
    assert "refuses" in result["findings"][0]["message"]
    assert "hunter2" not in json.dumps(result)
    assert not [path for path in (state / "hosts" / "db1").iterdir() if "hunter2" in path.read_text()]


def test_no_secret_of_a_finished_task_leaves_with_the_merged_result(state):
    findings = [{"code": "a.b", "subject": "x", "severity": "ok", "message": "password=hunter2"}]
    assert "hunter2" not in json.dumps(record(state, [finished(findings=findings)], remember=False))


def test_the_result_is_plain_and_small_however_much_is_found(state):
    result = checkup(state, [item("look", names=[f"object-{number:05}" for number in range(5000)], severity="warning")])
    assert len(json.dumps(result)) < 110_000
    assert result["truncated"]["findings"] > 0
    assert result["summary"]["counts"]["warning"] == 5000


# --- what is remembered -----------------------------------------------------------------------------------------------


def test_what_was_done_is_written_down(state):
    checkup(state, [item("look", "toy.a", names=["a", "b"])])
    assert remembered(state) == {
        "toy.a": {
            "period": DAY, "digest": "f00d", "run_id": "run-1", "done_at": NOW, "settled": True, "worst": "ok",
            "counts": {"ok": 2, "info": 0, "warning": 0, "unknown": 0, "critical": 0},
            "seconds": remembered(state)["toy.a"]["seconds"], "changed": False, "findings": [],
        }
    }  # fmt: skip
    (line,) = history(state)
    assert (line["run_id"], line["cadence"], line["at"], line["tasks"]) == ("run-1", "daily", NOW, {"toy.a": "ok"})
    assert [metric["name"] for metric in line["metrics"]] == ["toy_names"]


def test_a_settled_check_does_not_run_again_and_its_findings_stand(state, tmp_path):
    log = str(tmp_path / "log")
    checkup(state, [item("look", log=log, severity="info")])
    result = checkup(state, [item("look", log=log, severity="info")], now=LATER)
    assert (tmp_path / "log").read_text() == "looked\n"
    entry = entries(result)["look"]
    assert (entry["status"], entry["done_at"], entry["worst"]) == ("carried", NOW, "info")
    assert entry["counts"]["info"] == 1
    assert [(finding["code"], finding["observed_at"]) for finding in result["findings"]] == [("toy.found", NOW)]
    assert len(history(state)) == 1


@pytest.mark.parametrize(
    ("again", "options"),
    [
        (item("look"), {"force": True}),
        (item("look", period="2026-11-23"), {}),
        (item("look", digest="beef"), {}),
    ],
    ids=["forced", "the next period", "told something else"],
)
def test_a_check_runs_again_when_it_must(state, tmp_path, again, options):
    log = tmp_path / "log"
    checkup(state, [item("look", log=str(log))])
    again["params"]["log"] = str(log)
    assert entries(checkup(state, [again], **options))["look"]["status"] == "done"
    assert log.read_text() == "looked\nlooked\n"


@pytest.mark.parametrize("bad", [item("look", severity="warning"), item("look", severity="critical"), item("fail")])
def test_a_check_that_found_something_looks_again(state, bad):
    for _time in range(2):
        result = checkup(state, [bad])
        assert {entry["status"] for entry in result["checks"]} <= {"done", "failed"}


def covering(**changes):
    return {**item("look", "backups.all", period="2026-W47"), "covers": ["backups.latest"], **changes}


def test_a_check_that_runs_stands_for_those_that_it_covers(state):
    result = checkup(state, [item("look", "backups.latest"), covering()])
    assert list(entries(result)) == ["backups.all"]
    assert result["covered"] == [{"id": "backups.latest", "by": "backups.all"}]
    assert "backups.latest" not in remembered(state)


def test_a_check_that_was_settled_days_ago_stands_for_no_other(state):
    checkup(state, [covering()])
    result = checkup(state, [item("look", "backups.latest"), covering()])
    assert {task_id: entry["status"] for task_id, entry in entries(result).items()} == {
        "backups.latest": "done",
        "backups.all": "carried",
    }
    assert result["covered"] == []


def test_what_a_covering_check_sees_now_replaces_what_was_seen_before(state):
    checkup(state, [item("look", "backups.latest")])
    result = checkup(state, [item("look", "backups.latest"), covering()])
    assert list(entries(result)) == ["backups.all"]


def waiting(**changes):
    return {**item("look", "backups.latest"), "after": ["backups.create"], **changes}


def test_a_check_waits_for_what_acts_and_looks_when_that_is_over(state):
    create = acting("backups.create", DAY)
    result = checkup(state, [item("look", "first"), waiting()], [create])
    assert list(entries(result)) == ["first"]
    assert (result["due"], result["later"]) == (["backups.create"], ["backups.latest"])
    assert "backups.latest" not in remembered(state)
    after = record(state, [finished("backups.create", period=DAY)], checks=[waiting()])
    assert {task_id: entry["status"] for task_id, entry in entries(after).items()} == {
        "backups.create": "done",
        "backups.latest": "done",
    }
    again = checkup(state, [waiting()], [create])
    assert [entry["status"] for entry in again["checks"]] == ["carried"]
    assert again["later"] == []


def test_a_check_that_need_not_wait_does_not(state):
    create = acting("backups.create", DAY)
    assert checkup(state, [waiting()])["later"] == []  # nothing makes backups here
    record(state, [finished("backups.create", period=DAY)])
    settled = checkup(state, [waiting(digest="another")], [create])
    assert entries(settled)["backups.latest"]["status"] == "done"
    assert settled["later"] == []


def test_a_plan_shows_a_check_that_waits(state):
    result = checkup(state, [waiting()], [acting("backups.create", DAY)], plan_only=True)
    assert [entry["status"] for entry in result["checks"]] == ["planned"]


def test_where_nothing_may_act_no_check_waits(state):
    state.parent.mkdir(exist_ok=True)
    state.write_text("no directory")
    result = checkup(state, [waiting()], [acting("backups.create", DAY)])
    assert (result["due"], result["later"]) == ([], [])
    assert entries(result)["backups.latest"]["status"] == "done"


def test_a_check_that_waited_judges_by_the_clock_of_then(state):
    """What was made since the run began must not lie in its future."""
    late = {**item("say_now", "backups.latest"), "after": ["backups.create"]}
    before = datetime.now(timezone.utc).replace(microsecond=0)
    result = record(state, [finished("backups.create", period=DAY)], checks=[late])
    said = next(finding["message"] for finding in result["findings"] if finding["code"] == "toy.now")
    assert before <= datetime.fromisoformat(said) <= datetime.now(timezone.utc)


def test_check_mode_looks_late_and_remembers_nothing(state):
    result = record(state, [finished("backups.create", period=DAY)], remember=False, checks=[waiting()])
    assert entries(result)["backups.latest"]["status"] == "done"
    assert not state.exists()


def test_a_check_without_a_period_is_not_remembered(state):
    checkup(state, [item("look", period="")])
    assert not state.exists()


def test_check_mode_looks_and_remembers_nothing(state, tmp_path):
    result = checkup(state, [item("look", log=str(tmp_path / "log"))], [acting()], remember=False)
    assert entries(result)["look"]["status"] == "done"
    assert (tmp_path / "log").exists()
    assert result["due"] == ["pg.vacuum"]
    assert not state.exists()


def test_a_plan_runs_nothing_and_says_what_would_run(state, tmp_path):
    checkup(state, [item("look", "toy.old")])
    wanted = [item("look", "toy.old"), item("look", "toy.new", log=str(tmp_path / "log"))]
    before = remembered(state)
    result = checkup(state, wanted, [acting()], plan_only=True)
    assert {id_: entry["status"] for id_, entry in entries(result).items()} == {
        "toy.old": "carried",
        "toy.new": "planned",
    }
    assert result["due"] == ["pg.vacuum"]
    assert not (tmp_path / "log").exists()
    assert remembered(state) == before


def test_names_of_hosts_on_one_machine_keep_their_records_apart(state):
    checkup(state, [item("look")], host="db1")
    assert entries(checkup(state, [item("look")], host="db2"))["look"]["status"] == "done"
    assert sorted(path.name for path in (state / "hosts").iterdir()) == ["db1", "db2"]


def test_the_records_of_other_tasks_stay(state):
    checkup(state, [item("look", "toy.a")])
    checkup(state, [item("look", "toy.b")])
    assert set(remembered(state)) == {"toy.a", "toy.b"}


# --- acting tasks -----------------------------------------------------------------------------------------------------


def test_an_acting_task_is_due_until_its_record_settles_it(state):
    assert checkup(state, acting=[acting()])["due"] == ["pg.vacuum"]
    record(state, [finished(worst="warning", findings=[{"severity": "warning", "code": "pg.stale"}])])
    result = checkup(state, acting=[acting()], now=LATER)
    assert result["due"] == []
    (entry,) = result["acting"]
    assert (entry["id"], entry["status"], entry["done_at"], entry["worst"]) == ("pg.vacuum", "carried", NOW, "warning")
    assert entry["findings"] == [{"severity": "warning", "code": "pg.stale"}]


@pytest.mark.parametrize(
    ("before", "asked", "options"),
    [
        (finished(worst="unknown", status="failed"), acting(), {}),
        (finished(), acting(), {"force": True}),
        (finished(), acting(period="2026-W48"), {}),
        (finished(), acting(digest="f00d"), {}),
    ],
    ids=["it failed", "forced", "the next period", "told something else"],
)
def test_an_acting_task_is_due_again_when_it_must(state, before, asked, options):
    record(state, [before])
    assert checkup(state, acting=[asked], **options)["due"] == ["pg.vacuum"]


def test_recording_returns_the_common_form(state):
    done = finished(
        changed=True,
        actions=[{"id": "vacuum", "description": "VACUUM a", "status": "done", "reason": "", "seconds": 1.0}],
        metrics=[{"name": "m", "value": 1, "unit": "count", "labels": {}}],
    )
    failed = finished(
        "pg.reindex", "unknown", status="failed", findings=[{"code": "task.failed", "severity": "unknown"}]
    )
    result = record(state, [done, failed])
    assert result["changed"] is True
    assert result["summary"] == {
        "worst": "unknown",
        "counts": {"ok": 1, "info": 0, "warning": 0, "unknown": 1, "critical": 0},
        "seconds": 3.0,
    }
    assert result["actions"][0]["task"] == result["metrics"][0]["task"] == "pg.vacuum"
    assert [(finding["code"], finding["task"]) for finding in result["findings"]] == [("task.failed", "pg.reindex")]
    assert {id_: task["settled"] for id_, task in remembered(state).items()} == {"pg.vacuum": True, "pg.reindex": False}
    assert history(state)[0]["tasks"] == {"pg.vacuum": "ok", "pg.reindex": "unknown"}


def test_a_task_that_changed_something_before_it_failed_did_change_something(state):
    assert record(state, [finished(worst="unknown", status="failed", changed=True)])["changed"] is True


def test_recording_in_check_mode_writes_nothing(state):
    assert record(state, [finished()], remember=False)["summary"]["worst"] == "ok"
    assert not state.exists()


def test_recording_takes_the_clock_when_no_instant_is_given(state):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    record(state, [finished()], now=None)
    assert datetime.fromisoformat(remembered(state)["pg.vacuum"]["done_at"]) >= before


# --- a state that cannot be used --------------------------------------------------------------------------------------


@pytest.fixture
def unwritable(tmp_path):
    """A directory that nobody can make, not even root: a file stands where it should be."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "state"


def test_without_a_usable_state_the_host_is_looked_at_and_nothing_acts(unwritable):
    result = checkup(unwritable, [item("look")], [acting()])
    assert entries(result)["look"]["status"] == "done"
    assert result["due"] == []
    (finding,) = result["findings"]
    assert (finding["code"], finding["subject"], finding["severity"]) == ("state.unusable", str(unwritable), "unknown")
    assert "no acting task is started" in finding["message"]
    assert finding["remedy"]
    assert result["summary"]["worst"] == "unknown"
    assert result["summary"]["counts"]["unknown"] == 1


def test_a_state_that_can_be_read_and_not_written_lets_nothing_act(state):
    folder = state / "hosts" / "db1"
    folder.mkdir(parents=True)
    (folder / "state.lock").mkdir()  # the lock cannot be opened, by root neither
    result = checkup(state, [], [acting()])
    assert (result["due"], codes(result)) == ([], [("state.unusable", str(state), "unknown")])


def test_a_state_of_a_newer_version_is_left_alone(state):
    checkup(state, [item("look")])
    path = state / "hosts" / "db1" / "state.json"
    newer = json.dumps({"schema": 99, "tasks": {}})
    path.write_text(newer)
    result = checkup(state, [item("look")], [acting()])
    assert result["due"] == []
    assert [finding["code"] for finding in result["findings"]] == ["state.unusable"]
    assert path.read_text() == newer


def test_a_state_that_another_run_holds_costs_its_memory_and_not_its_findings(state, monkeypatch):
    monkeypatch.setattr(state_module, "_STATE_LOCK_SECONDS", 0.1)
    with HostLock(str(state / "hosts" / "db1" / "state.lock"), "other-run"):
        result = checkup(state, [item("look", severity="warning")], [acting()])
    assert [finding["code"] for finding in result["findings"]] == ["state.unusable", "toy.found"]
    assert "held by run other-run" in result["findings"][0]["message"]
    assert result["due"] == []


def test_an_outcome_that_cannot_be_remembered_is_returned_all_the_same(unwritable):
    result = record(unwritable, [finished(changed=True)])
    assert result["changed"] is True
    assert entries(result)["pg.vacuum"]["status"] == "done"
    assert [finding["code"] for finding in result["findings"]] == ["state.unusable"]


def test_a_relative_state_directory_is_refused():
    with pytest.raises(InvalidInput, match="not an absolute path"):
        run_checkup(
            validate("checkup", CHECKUP_SPEC, {"host": "db1"}).params | {"state_dir": "state"},
            True,
            lambda secrets: None,
        )


def test_a_torn_state_is_healed_from_the_one_before_and_said_once(state):
    checkup(state, [item("look", "toy.a")])
    checkup(state, [item("look", "toy.b")])
    path = state / "hosts" / "db1" / "state.json"
    path.write_text(path.read_text()[:40])
    result = checkup(state, [item("look", id_) for id_ in ("toy.a", "toy.b")])
    assert {id_: entry["status"] for id_, entry in entries(result).items()} == {"toy.a": "carried", "toy.b": "done"}
    (finding,) = result["findings"]
    assert (finding["code"], finding["severity"]) == ("state.healed", "info")
    assert "torn" in finding["message"]
    assert result["state"] == {"directory": str(state), "healed": [f"{path} was torn and is ignored"]}
    assert set(remembered(state)) == {"toy.a", "toy.b"}
    assert checkup(state, [item("look", "toy.a")])["findings"] == []


def test_a_state_torn_beyond_repair_means_that_everything_is_done_again(state):
    checkup(state, [item("look")])
    folder = state / "hosts" / "db1"
    for name in ("state.json", "state.json.previous"):
        (folder / name).write_text('{"schema": 1, "tas')
    result = checkup(state, [item("look")], [acting()])
    assert entries(result)["look"]["status"] == "done"
    assert result["due"] == ["pg.vacuum"]
    assert any("counts as not done yet" in finding["message"] for finding in result["findings"])
    assert all(finding["severity"] == "info" for finding in result["findings"])


@pytest.mark.parametrize("rotten", [{"toy.a": "yes"}, {"toy.a": {"period": DAY, "digest": "f00d", "settled": True}}])
def test_a_record_that_is_none_settles_nothing(state, rotten):
    folder = state / "hosts" / "db1"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"schema": 1, "tasks": rotten}))
    assert entries(checkup(state, [item("look", "toy.a")]))["toy.a"]["status"] == "done"


def test_a_torn_line_of_history_is_cut_away_and_said(state):
    checkup(state, [item("look", "toy.a")])
    path = state / "hosts" / "db1" / "history.jsonl"
    path.write_text(path.read_text() + '{"run_id": "to')
    result = checkup(state, [item("look", "toy.b")])
    assert [finding["code"] for finding in result["findings"]] == ["state.healed"]
    assert [list(line["tasks"]) for line in history(state)] == [["toy.a"], ["toy.b"]]


def test_the_default_directory_belongs_to_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert checkup(state=None, checks=[item("look")], state_dir=None)["state"]["directory"] == str(tmp_path / "upkeep")
    assert remembered(tmp_path / "upkeep")


def test_the_default_name_is_that_of_the_machine(state):
    checkup(state, [item("look")], host=None)
    (folder,) = (state / "hosts").iterdir()
    assert folder.name == os.uname().nodename


# --- a check that runs once for each element --------------------------------------------------------------------------


def each(check, *elements, **more):
    return {**item(check), "each": list(elements), **more}


def test_the_runs_of_one_check_come_back_as_one(state):
    result = checkup(state, [each("look", {"names": ["a", "b"]}, {"names": ["c"], "severity": "warning"})])
    (entry,) = result["checks"]
    assert (entry["status"], entry["worst"]) == ("done", "warning")
    assert entry["counts"] == {"ok": 2, "info": 0, "warning": 1, "unknown": 0, "critical": 0}
    assert [finding["subject"] for finding in result["findings"]] == ["c"]
    assert [metric["value"] for metric in result["metrics"]] == [2, 1]
    assert remembered(state)["look"]["counts"]["ok"] == 2


def test_one_run_that_fails_is_named_and_the_others_stand(state):
    result = checkup(state, [each("look", {"name": "main", "names": ["a"]}, {"name": "side", "typo": 1})])
    # `name` is no option of this check, so both are refused, each by its own name.
    assert [finding["subject"] for finding in result["findings"]] == ["look main", "look side"]
    result = checkup(state, [each("look", {"names": ["a"]}, {"typo": 1})], force=True)
    assert entries(result)["look"]["status"] == "failed"
    assert entries(result)["look"]["counts"]["ok"] == 1
    assert "typo" in result["findings"][0]["message"]


def test_elements_win_over_what_all_share(state):
    shared = {**each("look", {"severity": "info"}, {}), "params": {"severity": "critical"}}
    result = checkup(state, [shared])
    assert sorted(finding["severity"] for finding in result["findings"]) == ["critical", "info"]


def test_a_check_runs_as_another_account_or_says_why_not(state):
    if os.geteuid() != 0:
        result = checkup(state, [{**item("who"), "account": "root"}])
        assert "Only root can go on as root" in result["findings"][0]["message"]
        return
    result = checkup(state, [{**item("who"), "account": "nobody"}, item("who", "me")])
    assert [finding["message"] for finding in result["findings"]] == ["I am nobody.", "I am root."]


def test_an_account_that_does_not_exist_is_named(state):
    result = checkup(state, [{**item("who"), "account": "nosuchaccount"}])
    assert "no account called 'nosuchaccount'" in result["findings"][0]["message"]
    assert result["findings"][0]["severity"] == "unknown"
