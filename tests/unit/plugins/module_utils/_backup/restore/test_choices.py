"""Which PostgreSQL takes a dump, what the options mean, and what counts as expected."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.argspec import RESTORE
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.evaluate import is_proven, record_of, told
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    Failed,
    Restored,
    Trouble,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.options import wishes_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.programs import (
    Programs,
    choose,
    major_of,
    needed_major,
    psql_for,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.prove import holds, rpo_seconds
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.run import Subject, need_bytes
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.sql import (
    count_rows,
    fingerprint,
    literal,
    quoted,
    shared_out,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import connection
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import told as said
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity

MAJORS = [Programs("/14", 14, 5), Programs("/15", 15, 20), Programs("/15b", 15, 21), Programs("/17", 17, 11)]


@pytest.mark.parametrize(
    ("server", "tool", "needed"),
    [("15.20", "15.20", 15), ("14.1", "17.11", 17), ("9.6.24", "9.6.24", 9), (None, None, 0), ("", "16devel", 16)],
)
def test_the_dump_program_decides_too(server, tool, needed):
    assert needed_major(server, tool) == needed


@pytest.mark.parametrize(("needed", "directory"), [(0, "/14"), (9, "/14"), (15, "/15b"), (16, "/17"), (17, "/17")])
def test_the_lowest_that_fits_is_taken_in_its_newest_minor(needed, directory):
    assert choose(MAJORS, needed).directory == directory


def test_none_that_fits_and_none_at_all_are_different():
    with pytest.raises(Failed) as failed:
        choose(MAJORS, 18)
    assert (failed.value.trouble.code, failed.value.trouble.unknown) == ("backup.version_incompatible", False)
    with pytest.raises(Failed) as failed:
        choose([], 15)
    assert (failed.value.trouble.code, failed.value.trouble.unknown) == ("backup.tool_missing", True)


def test_a_restricted_dump_gets_a_psql_that_knows_it():
    old = MAJORS[0]
    assert psql_for(old, MAJORS, False) == "/14/psql"
    assert psql_for(old, MAJORS, True) == "/17/psql"
    assert psql_for(old, [old], None) == "/14/psql"
    with pytest.raises(Failed) as failed:
        psql_for(old, [old], True)
    assert failed.value.trouble.code == "backup.version_incompatible"


def test_versions_are_numbers():
    assert [major_of(text) for text in ("17.11", "9.6", "", None, "x")] == [17, 9, 0, 0, 0]


@pytest.mark.parametrize(
    ("value", "expect", "result"),
    [
        ("5", "5", True), ("5.0", "5", True), ("t", "true", True), ("f", "t", False), ("a", "a", True),
        ("a", "b", False),
        ("7", ">= 7", True), ("6", ">= 7", False), ("6", "< 7", True), ("x", "> 1", False), (None, "> 0", False),
        (None, "x", False), ("a", "!= b", True), ("b", "<> b", False), (None, "!= b", True), ("3", "= 3", True),
    ],
)  # fmt: skip
def test_expectations(value, expect, result):
    assert holds(value, expect) is result


def test_the_newest_row_is_so_much_older():
    assert rpo_seconds("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z") == 3600
    assert rpo_seconds("infinity", "2026-11-22T10:00:00Z") is None


def options(**given):
    return validate("restore", RESTORE, given).params


def test_the_options_have_their_units():
    wishes = wishes_of(options(max_rto="5m", max_rpo="1h", scratch_reserve="20%", jobs=3, timeout="10m"))
    assert (wishes.max_rto, wishes.max_rpo, wishes.reserve, wishes.jobs, wishes.seconds) == (300, 3600, 0.2, 3, 600)
    assert (wishes_of(None).target, wishes_of(None).fingerprint) == ("initdb", "counts")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": "container"}, "restore.image names no image"),
        ({"target": "server"}, "restore.server names none"),
        ({"bin_dir": "usr/bin"}, "restore.bin_dir: 'usr/bin' is not an absolute path"),
        ({"max_rto": "soon"}, "restore.max_rto: 'soon'"),
        ({"timeout": "0"}, "restore.timeout is 0"),
        ({"jobs": -1}, "jobs is -1"),
        ({"assertions": [{"sql": "SELECT 1\n\\! id", "expect": "1"}]}, "restore.assertions.sql has a command of psql"),
        ({"newest": "\\copy x to y"}, "restore.newest has a command of psql"),
    ],
)
def test_a_mistake_is_named(given, message):
    with pytest.raises(InvalidInput) as refused:
        wishes_of(options(**given))
    assert message in str(refused.value)


def test_a_password_is_not_shown():
    wishes = wishes_of(options(target="server", server={"host": "h", "password": "hidden-word"}))
    assert "hidden-word" not in repr(wishes)


# --- names and values


def test_names_cannot_leave_their_quotes():
    assert quoted('a"b', "c") == '"a""b"."c"'
    assert literal("a'b\\c") == "E'a''b\\\\c'"
    assert connection("a=b 'c\\") == "dbname='a=b \\'c\\\\'"
    assert count_rows("s", "t\"'") == """SELECT json_build_array('s', 't"''', count(*), NULL) FROM ONLY "s"."t""'";"""
    assert "(t.*)::text" in fingerprint("s", "t")


@pytest.mark.parametrize(
    ("errors", "shown"),
    [
        (
            'psql:<stdin>:7: ERROR:  invalid input syntax for type integer: "secret"',
            "invalid input syntax for type integer: …",
        ),
        ('ERROR:  value "99999999999" is out of range for type integer', "value …"),
        ('ERROR:  relation "orders" does not exist', 'relation "orders" does not exist'),
        (
            'pg_restore: error: COPY failed for table "t": ERROR:  duplicate key value violates unique constraint "k"\n'
            "DETAIL:  Key (mail)=(alice@example.com) already exists.",
            'duplicate key value violates unique constraint "k"',
        ),
        (
            'pg_restore: error: could not open input file "x": No such file',
            'could not open input file "x": No such file',
        ),
        ("", "it said nothing"),
    ],
)
def test_the_first_error_is_told_without_data(errors, shown):
    assert said(errors) == shown


def test_work_is_shared_out_by_size():
    texts = shared_out([(1 << 30, "large;"), (1 << 20, "b;"), (1 << 20, "c;")], 2)
    assert texts == ["large;", "b;\nc;"]
    assert shared_out([], 4) == []


def test_the_space_is_that_of_the_database_where_it_is_known():
    gib = 1 << 30
    known = need_bytes(Subject("/x", 10, source_bytes=gib))
    assert 1.3 * gib < known < 2.2 * gib
    assert need_bytes(Subject("/x", 10), {"decoded": gib}) > 4 * gib
    assert need_bytes(Subject("/x", gib)) > 8 * gib


# --- what is said of it


def test_every_trouble_has_its_severity():
    restored = Restored(finished=True, owners="globals")
    restored.add(Trouble("backup.index_corrupt", "has"))
    restored.add(Trouble("backup.rto_exceeded", "took", warning=True))
    restored.add(Trouble("backup.scratch_full", "was", unknown=True))
    severities = [severity for _trouble, severity in told(restored.as_plain())]
    assert severities == [Severity.CRITICAL, Severity.WARNING, Severity.UNKNOWN]


def test_a_plan_and_missing_roles_are_no_alarm():
    planned = Restored(planned=True, target="initdb").as_plain()
    assert [(one.code, severity) for one, severity in told(planned)] == [("backup.restore_planned", Severity.INFO)]
    invented = Restored(finished=True, owners="invented").as_plain()
    assert [(one.code, severity) for one, severity in told(invented)] == [("backup.globals_missing", Severity.INFO)]
    assert (is_proven(planned), is_proven(invented), is_proven(None)) == (False, True, False)


def test_the_time_to_recover_is_the_sum_of_its_phases():
    restored = Restored(seconds={"load": 2.0, "prepare": 1.0, "index": 0.5}, newest="2026-11-22T09:00:00Z")
    record = record_of(restored.as_plain(), "2026-11-22T09:30:00Z")
    assert record["seconds"] == {"prepare": 1.0, "load": 2.0, "index": 0.5, "total": 3.5}
    assert record["rpo_seconds"] == 1800
