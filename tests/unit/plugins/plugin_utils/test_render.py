"""A report is short when all is well, says the worst first when not, and no host can forge a line of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import count_by_severity
from ansible_collections.cadence.upkeep.plugins.plugin_utils.render import (
    CONSOLE_GROUPS,
    change_sentence,
    console_lines,
    group_findings,
    markdown,
    name_hosts,
    one_line,
    plan_lines,
    verdict_sentence,
)
from ansible_collections.cadence.upkeep.plugins.plugin_utils.report import build_report, host_row

STARTED, NOW = "2026-11-22T04:13:00Z", "2026-11-22T04:14:00Z"
RUN = {"id": "20261122T041300Z-weekly-3fa2", "cadence": "weekly", "started_at": STARTED, "check_mode": False}


def task(task_id, worst="ok", status="done", objects=1, **changes):
    return {
        "id": task_id, "status": status, "period": "2026-11-22", "worst": worst,
        "counts": {**count_by_severity(()), worst: objects}, "seconds": 0.1, "changed": False, **changes,
    }  # fmt: skip


def found(severity, code, subject, message, remedy="Mend it.", observed_at=NOW):
    return {
        "code": code, "subject": subject, "severity": severity, "message": message, "evidence": {}, "remedy": remedy,
        "observed_at": observed_at,
    }  # fmt: skip


def looked(*tasks, findings=(), **changes):
    counts = count_by_severity(())
    for each in tasks:
        for word, count in each["counts"].items():
            counts[word] += count
    return {
        "changed": False, "summary": {"worst": "ok", "counts": counts, "seconds": 0.1}, "checks": list(tasks),
        "findings": list(findings), "actions": [], "metrics": [], "acting": [], "left_out": [], **changes,
    }  # fmt: skip


def report_of(hosts, run=RUN, recorded=None):
    return build_report(run, [host_row(name, checkup, recorded, NOW) for name, checkup in hosts.items()], NOW)


def action(status="done", task_id="postgres.vacuum", **changes):
    return {
        "id": "v",
        "description": "VACUUM shop.orders",
        "status": status,
        "reason": "",
        "seconds": 1.0,
        "task": task_id,
        **changes,
    }


DISK = found(
    "critical",
    "host.disk_full",
    "/var",
    "/var is 97.0 % full (critical at 90 %).",
    "Find what grows with `du -xh /var`.",
)
LATE = found("warning", "cert.expires_soon", "shop", "shop has 20 days left (warning below 30d).", "Renew shop.")
BLIND = found("unknown", "task.failed", "backups.all", "backups.all could not look: no gzip.", "Install gzip.")
RED = {
    "db1": looked(task("host.filesystems", "critical"), task("host.memory"), findings=[LATE, DISK]),
    "db2": looked(task("host.filesystems", "unknown"), findings=[BLIND]),
    "db3": {"unreachable": True, "msg": "Connection timed out"},
}


# --- console ----------------------------------------------------------------------------------------------------------


def test_a_green_run_over_one_host():
    report = report_of({"demo": looked(task("host.filesystems", objects=3), task("host.memory"))})
    assert console_lines(report, ["/var/lib/upkeep/reports/latest.md"]) == [
        "UPKEEP weekly  2026-11-22T04:13:00Z  run 20261122T041300Z-weekly-3fa2",
        "HEALTHY: nothing to do; 1 of 1 host examined, 4 objects in 2 tasks.",
        "Changed: nothing.",
        "Report: /var/lib/upkeep/reports/latest.md",
    ]


@pytest.mark.parametrize("hosts", [1, 10, 100])
def test_a_green_run_has_at_most_ten_lines_however_many_hosts(hosts):
    informed = found("info", "host.reboot_pending", "host", "A reboot is pending.")
    fleet = {
        f"web{number}": looked(*(task(f"host.t{each}") for each in range(6)), findings=[informed])
        for number in range(hosts)
    }
    lines = console_lines(report_of(fleet), ["latest.md", "latest.json"])
    assert len(lines) <= 10
    assert lines[1].startswith("HEALTHY: nothing to do; ")


def test_a_red_run_says_the_worst_first_each_with_its_remedy():
    assert console_lines(report_of(RED), []) == [
        "UPKEEP weekly  2026-11-22T04:13:00Z  run 20261122T041300Z-weekly-3fa2",
        "ACTION NOW: 1 critical, 2 unknown, 1 warning; 2 of 3 hosts examined, 4 objects in 3 tasks, 1 unreachable.",
        "  CRITICAL  host.disk_full  [db1]",
        "      /var is 97.0 % full (critical at 90 %).",
        "      -> Find what grows with `du -xh /var`.",
        "  UNKNOWN   run.unreachable  [db3]",
        "      Nothing is known about db3: Connection timed out.",
        "      -> Log in the way Ansible does: `ansible db3 -m ansible.builtin.ping`.",
        "  UNKNOWN   task.failed  [db2]",
        "      backups.all could not look: no gzip.",
        "      -> Install gzip.",
        "  WARNING   cert.expires_soon  [db1]",
        "      shop has 20 days left (warning below 30d).",
        "      -> Renew shop.",
        "Changed: nothing.",
    ]


def test_a_finding_without_a_remedy_has_no_line_for_one():
    report = report_of(
        {"db1": looked(task("a.b", "warning"), findings=[found("warning", "a.b", "x", "It is so.", "")])}
    )
    assert not [line for line in console_lines(report, []) if "->" in line]


def test_what_a_finding_is_about_stands_beside_its_hosts_where_its_message_does_not_tell():
    off = [found("warning", "pg.autovacuum_off", f"{name}: autovacuum", "Autovacuum is off.") for name in ("a", "b")]
    report = report_of({"db1": looked(task("a.b", "warning"), findings=[*off, DISK])})
    assert [line for line in console_lines(report, []) if "[db1]" in line] == [
        "  CRITICAL  host.disk_full  [db1]",
        "  WARNING   pg.autovacuum_off  [db1]  a: autovacuum",
        "  WARNING   pg.autovacuum_off  [db1]  b: autovacuum",
    ]
    page = markdown(report)
    assert "| b: autovacuum: Autovacuum is off. |" in page and "| /var is 97.0 % full" in page


def test_the_same_trouble_on_many_hosts_is_said_once():
    fleet = {f"web{number}": looked(task("a.b", "critical"), findings=[DISK]) for number in range(1, 8)}
    fleet["ok"] = looked(task("a.b"))
    lines = console_lines(report_of(fleet), [])
    assert [line for line in lines if "host.disk_full" in line] == [
        "  CRITICAL  host.disk_full  [7 of 8 hosts: web1, web2, web3, web4 and 3 more]"
    ]


def test_hosts_that_are_all_unreachable_are_said_once():
    report = report_of({f"web{number}": {"unreachable": True, "msg": "timed out"} for number in range(50)})
    lines = console_lines(report, [])
    assert lines[1] == "INCOMPLETE: 50 unknown; 0 of 50 hosts examined, 50 objects in 0 tasks, 50 unreachable."
    assert len([line for line in lines if "run.unreachable" in line]) == 1


def test_different_subjects_are_different_troubles():
    home = found("critical", "host.disk_full", "/home", "/home is full.")
    report = report_of({"db1": looked(task("a.b", "critical"), findings=[DISK, home])})
    assert [group["subject"] for group in group_findings(report, Severity.WARNING)] == ["/home", "/var"]


def test_one_mistake_that_several_checks_were_told_is_said_once():
    told = [
        found("unknown", "task.invalid", name, f"{name} could not look: 'eighty' is no percentage.")
        for name in ("host.clock", "host.load", "host.memory")
    ]
    (group,) = group_findings(report_of({"db1": looked(task("host.load", "unknown"), findings=told)}), Severity.WARNING)
    assert group["message"] == "host.clock and 2 other tasks could not look: 'eighty' is no percentage."


def test_different_mistakes_are_said_one_by_one():
    told = [found("unknown", "task.invalid", name, f"{name} could not look: no {name}.") for name in ("a.b", "c.d")]
    assert (
        len(group_findings(report_of({"db1": looked(task("host.load", "unknown"), findings=told)}), Severity.WARNING))
        == 2
    )


def test_the_same_trouble_twice_on_one_host_names_the_host_once():
    report = report_of({"db1": looked(task("a.b", "critical"), findings=[DISK, DISK])})
    assert [group["hosts"] for group in group_findings(report, Severity.WARNING)] == [["db1"]]


def test_what_is_not_bad_enough_is_not_said():
    mild = [found(word, f"a.{word}", "x", "m") for word in ("ok", "info", "warning")]
    report = report_of({"db1": looked(task("a.b"), findings=mild)})
    assert [group["code"] for group in group_findings(report, Severity.WARNING)] == ["a.warning"]
    assert [group["code"] for group in group_findings(report, Severity.INFO)] == ["a.warning", "a.info"]


def test_more_troubles_than_a_person_reads_are_counted():
    many = [found("warning", "pg.bloat", f"table{number:02}", "m") for number in range(CONSOLE_GROUPS + 5)]
    lines = console_lines(report_of({"db1": looked(task("a.b", "warning"), findings=many)}), [])
    assert len([line for line in lines if "pg.bloat" in line]) == CONSOLE_GROUPS
    assert "  ... and 5 more, in the report" in lines


def test_just_as_many_troubles_as_a_person_reads_are_all_said():
    many = [found("warning", "pg.bloat", f"table{number:02}", "m") for number in range(CONSOLE_GROUPS)]
    lines = console_lines(report_of({"db1": looked(task("a.b", "warning"), findings=many)}), [])
    assert not [line for line in lines if "more, in the report" in line]


def test_a_finding_of_an_earlier_run_says_when_it_was_seen():
    old = {**LATE, "observed_at": "2026-11-22T01:00:00Z"}
    report = report_of({"db1": looked(task("a.b", "warning", "carried"), findings=[old])})
    assert any(line.endswith("(seen at 2026-11-22T01:00:00Z)") for line in console_lines(report, []))
    assert ", 1 of them done earlier in the period." in verdict_sentence(report)


def test_a_finding_of_this_very_run_does_not_say_when_it_was_seen():
    now = {**LATE, "observed_at": STARTED}
    report = report_of({"db1": looked(task("a.b", "warning"), findings=[now])})
    assert not [line for line in console_lines(report, []) if "seen at" in line]


def test_check_mode_says_would():
    report = report_of({"db1": looked(task("a.b"), actions=[action("planned")])}, {**RUN, "check_mode": True})
    lines = console_lines(report, [])
    assert lines[0].startswith("UPKEEP weekly (check mode)  ")
    assert lines[-1] == "Would change: postgres.vacuum 1 step."


@pytest.mark.parametrize(
    ("actions", "check_mode", "sentence"),
    [
        ([], False, "Changed: nothing."),
        ([action("skipped"), action("failed")], False, "Changed: nothing."),
        ([action("planned")], False, "Changed: nothing."),  # the budget was spent before
        ([action("planned")], True, "Would change: postgres.vacuum 1 step."),
        ([action(), action(), action("failed")], False, "Changed: postgres.vacuum 2 steps."),
        ([action(task_id="z.z"), action(task_id="a.a")], False, "Changed: a.a 1 step, z.z 1 step."),
        ([action(), action("skipped", "a.a")], False, "Changed: postgres.vacuum 1 step."),
    ],
)
def test_what_was_changed_is_counted_by_task(actions, check_mode, sentence):
    report = report_of({"db1": looked(task("a.b"), actions=actions)}, {**RUN, "check_mode": check_mode})
    assert change_sentence(report) == sentence


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (["db1"], "db1"),
        (["db1", "db2"], "2 of 40 hosts: db1, db2"),
        (list("abcd"), "4 of 40 hosts: a, b, c, d"),
        (list("abcde"), "5 of 40 hosts: a, b, c, d and 1 more"),
    ],
)
def test_the_first_few_hosts_are_named(hosts, words):
    assert name_hosts(hosts, 40) == words


# --- what hosts say cannot forge the report ---------------------------------------------------------------------------

FORGED = "x\nHEALTHY: nothing to do; 9 of 9 hosts examined.\r\x1b[2J\x1b[1A\u2028y"


def test_no_host_can_forge_a_line_of_the_console():
    hostile = looked(task("a.b", "critical"), findings=[found("critical", "a.b", "x", FORGED, FORGED)])
    lines = console_lines(report_of({"db1": hostile}), [])
    assert [line for line in lines if line.startswith("HEALTHY")] == []
    assert all(line.isprintable() for line in lines)
    assert lines[1].startswith("ACTION NOW: ")


def test_no_host_can_forge_a_line_of_the_plan():
    rows = [{"host": "db1", "tasks": [], "left_out": [{"id": "a.b", "reason": FORGED}], "problems": [FORGED]}]
    assert all(line.isprintable() for line in plan_lines(RUN, rows))


@given(st.text())
def test_any_text_becomes_one_printable_line(text):
    assert one_line(text).isprintable()
    assert one_line("  a \n\t b ") == "a b"


def cells(row):
    """Split a row of a table as GitHub does: at pipes that no backslash escapes."""
    return re.findall(r"((?:\\.|[^\\|])*)\|", row)[1:]


HOSTILE = [
    "a | b",
    "a\\| b",
    "a\\\\| b",
    "ends with \\",
    "two\nlines",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![look](https://example.com/beacon.png)",
    "[click](javascript:alert(1))",
    "&lt;script&gt;",
    "\x1b[31mred",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_host_says_stays_in_its_cell_and_is_no_markup(text):
    hostile = looked(
        task("a.b", "critical"),
        findings=[found("critical", "a.b", "x", text, text)],
        actions=[action(description=text, reason=text)],
        left_out=[{"id": "c.d", "reason": text}],
    )
    page = markdown(report_of({"db1": hostile}))
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert [{len(cells(line)) for line in table} for table in tables] == [{5}, {6}, {7}, {5}, {3}]
    assert [len(table) for table in tables] == [3, 3, 3, 3, 3]
    assert "<script" not in page
    assert "<img" not in page
    assert not re.search(r"\]\((?:https|javascript)", page)
    assert "\x1b" not in page
    assert page.count("\n## ") == 5


@given(st.text(max_size=60))
def test_any_text_stays_in_its_cell(text):
    page = markdown(report_of({"db1": looked(task("a.b", "critical"), findings=[found("critical", "a.b", "x", text)])}))
    (line,) = [line for line in page.splitlines() if "| critical |" in line and "`a.b`" in line]
    assert len(cells(line)) == 5


# --- markdown ---------------------------------------------------------------------------------------------------------


RED_PAGE = """\
# Upkeep, weekly: Action now

1 critical, 2 unknown, 1 warning; 2 of 3 hosts examined, 4 objects in 3 tasks, 1 unreachable.

Run `20261122T041300Z-weekly-3fa2`, 2026-11-22T04:13:00Z to 2026-11-22T04:14:00Z.

## Do next

| severity | hosts | code | what | remedy |
| --- | --- | --- | --- | --- |
| critical | db1 | `host.disk_full` | /var is 97.0 % full (critical at 90 %). | Find what grows with `du -xh /var`. |
| unknown | db3 | `run.unreachable` | Nothing is known about db3: Connection timed out. | \
Log in the way Ansible does: `ansible db3 -m ansible.builtin.ping`. |
| unknown | db2 | `task.failed` | backups.all could not look: no gzip. | Install gzip. |
| warning | db1 | `cert.expires_soon` | shop has 20 days left (warning below 30d). | Renew shop. |

## Hosts

| host | state | worst | tasks | objects | changed |
| --- | --- | --- | --- | --- | --- |
| db1 | examined | critical | 2 | 2 | no |
| db2 | examined | unknown | 1 | 1 | no |
| db3 | unreachable | unknown | 0 | 1 | no |

## Tasks

| host | task | status | worst | objects | seconds | done at |
| --- | --- | --- | --- | --- | --- | --- |
| db1 | host.filesystems | done | critical | 1 | 0.1 | 2026-11-22T04:13:00Z |
| db1 | host.memory | done | ok | 1 | 0.1 | 2026-11-22T04:13:00Z |
| db2 | host.filesystems | done | unknown | 1 | 0.1 | 2026-11-22T04:13:00Z |

## Actions

Nothing.

## Left out

Nothing.
"""


def test_a_red_run_as_a_page():
    assert markdown(report_of(RED)) == RED_PAGE


def test_a_page_lists_the_certificates_the_one_that_ends_first_at_the_front():
    def of(subject, severity, days, **more):
        dates = {"issuer": "CN=R11", "not_after": "2026-12-24T00:00:00Z", "remaining_days": days}
        return {**found(severity, "cert.any", subject, f"{subject} ...", ""), "evidence": {**dates, **more}}

    served = {**found("critical", "cert.untrusted", "api", "api ...", ""), "evidence": {"error": "x"}}
    findings = [served, of("shop", "warning", 20.04), of("api", "ok", 80.0), found("unknown", "cert.gone", "x", "x")]
    page = markdown(report_of({"web1": looked(task("a.b", "critical"), findings=findings)}))
    assert page.partition("## Certificates\n\n")[2].splitlines()[:5] == [
        "| host | name | issuer | until | days | state |",
        "| --- | --- | --- | --- | --- | --- |",
        "| web1 | shop | CN=R11 | 2026-12-24T00:00:00Z | 20.0 | warning |",
        "| web1 | api | CN=R11 | 2026-12-24T00:00:00Z | 80.0 | critical |",
        "",
    ]
    assert "## Certificates" not in markdown(report_of({"web1": looked(task("a.b"))}))


def test_a_page_shows_what_was_done_left_out_and_carried():
    host = looked(
        task("host.memory", status="carried", done_at="2026-11-22T01:00:00Z"),
        task("postgres.vacuum", changed=True),
        actions=[action(), action("skipped", reason="the budget was spent")],
        left_out=[{"id": "certificates.expiry", "reason": "certificates_inventory is not set for this host"}],
    )
    page = markdown(report_of({"db1": host}, {**RUN, "check_mode": True}))
    assert "| db1 | host.memory | carried | ok | 1 | 0.1 | 2026-11-22T01:00:00Z |" in page
    assert "| db1 | postgres.vacuum | VACUUM shop.orders | done |  |" in page
    assert "| db1 | postgres.vacuum | VACUUM shop.orders | skipped | the budget was spent |" in page
    assert "| db1 | certificates.expiry | certificates_inventory is not set for this host |" in page
    assert "| db1 | examined | ok | 2 | 2 | yes |" in page
    assert ", check mode." in page
    assert "## Do next\n\nNothing.\n" in page


def test_a_page_of_no_host_has_every_heading():
    page = markdown(report_of({}))
    assert page.startswith(
        "# Upkeep, weekly: Incomplete\n\nNothing to do; 0 of 0 hosts examined, 0 objects in 0 tasks."
    )
    assert page.count("Nothing.\n") == 5


# --- plan -------------------------------------------------------------------------------------------------------------


def test_a_plan_says_the_order_the_limits_and_why_not_the_rest():
    rows = [
        {
            "host": "db1",
            "tasks": [
                {"id": "host.memory", "cadence": "daily", "acts": False, "limit": "60s", "does": "Memory that is left"},
                {"id": "postgres.vacuum", "cadence": "weekly", "acts": True, "limit": "30m", "does": ""},
            ],
            "left_out": [{"id": "certificates.expiry", "reason": "certificates_inventory is not set for this host"}],
            "problems": ["The variable backups_series cannot be rendered. Correct it."],
        },
        {"host": "web1", "tasks": [], "left_out": [], "problems": []},
    ]
    assert plan_lines(RUN, rows) == [
        "PLAN weekly  2026-11-22T04:13:00Z  (nothing is run)",
        "db1: 2 tasks to run",
        "  ! The variable backups_series cannot be rendered. Correct it.",
        "    1. host.memory              daily     looks, deadline 60s    Memory that is left",
        "    2. postgres.vacuum          weekly    acts, budget 30m",
        "  left out:",
        "     - certificates.expiry      certificates_inventory is not set for this host",
        "web1: 0 tasks to run",
    ]
