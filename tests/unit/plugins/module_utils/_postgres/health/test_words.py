"""Words and statements that a person can read and paste."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Verdict
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.words import (
    combined,
    counted,
    literal,
    pasteable,
    problem,
    told,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "'plain'"),
        ("it's", "'it''s'"),
        ("back\\slash", "E'back\\\\slash'"),
        ("a\nb", "E'a\\x0ab'"),
        ("it's\t", "E'it''s\\x09'"),
        ("", "''"),
    ],
)
def test_a_literal(text, expected):
    assert literal(text) == expected


@given(st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",))))
def test_a_literal_reads_as_what_was_written(text):
    written = literal(text)
    inner = written.removeprefix("E")[1:-1].replace("''", "'")
    if written.startswith("E"):
        # As the server reads it: octal and hexadecimal escapes are those of Python here.
        inner = inner.encode("unicode_escape").decode().replace("\\\\", "\\")
        inner = inner.encode("latin-1").decode("unicode_escape")
    assert inner == text
    assert "\n" not in written


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DROP INDEX public.plain;", "DROP INDEX public.plain;"),
        ('DROP INDEX public."with ""quotes""";', 'DROP INDEX public."with ""quotes""";'),
        ('DROP INDEX "a\nb"."c";', 'DROP INDEX U&"a\\000ab"."c";'),
        ('DROP INDEX "a\\b\nc";', 'DROP INDEX U&"a\\\\b\\000ac";'),
        ('DROP INDEX "back\\slash";', 'DROP INDEX "back\\slash";'),
    ],
)
def test_a_name_with_a_line_break_is_pasted_on_one_line(sql, expected):
    assert pasteable(sql) == expected


def test_a_problem_has_the_remedy_of_its_code_unless_it_has_its_own():
    own = problem("pg.lock_wait", "s", Severity.WARNING, "m", advice="Do:", sql='DROP "a\nb";')
    assert (own.finding.remedy, own.sql) == ('Do: DROP U&"a\\000ab";', 'DROP U&"a\\000ab";')
    plain = problem("pg.lock_wait", "s", Severity.WARNING, "m")
    assert plain.finding.remedy == "Let the session at the root of the waiting end, or end it."


def test_the_worst_are_told_first_and_the_rest_is_one_more():
    several = [problem("pg.slot_inactive", f"s{number}", Severity.INFO, "m") for number in range(25)]
    several.append(problem("pg.slot_lost", "lost", Severity.CRITICAL, "m"))
    shown = told(several, "main: replication")
    assert len(shown) == 21
    assert shown[0].finding.subject == "lost"
    assert shown[-1].finding.evidence == {"more": 6}
    assert told(several[:3], "main: replication") == tuple(several[:3])
    assert told([], "main: replication") == ()
    assert told(several[:3], "main: replication", 50)[-1].finding.evidence == {"more": 47}


def test_verdicts_on_several_databases_become_one():
    assert combined([Verdict(2, threshold=5), Verdict(3), Verdict(None)]).value == 5
    assert combined([Verdict("off"), Verdict(None)]).value == "off"
    assert combined([Verdict(2, threshold=5), Verdict(3)]).threshold == 5
    assert combined([]) == Verdict()


def test_counting():
    assert [counted(number, "table") for number in (0, 1, 2)] == ["0 tables", "1 table", "2 tables"]
