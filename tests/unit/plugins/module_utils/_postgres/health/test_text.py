"""No value of a user's gets out by the text of a statement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.text import LENGTH, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT $1 FROM t WHERE a = $2", "SELECT $1 FROM t WHERE a = $2"),
        ("SELECT 'x', 'it''s', '' FROM t", "SELECT ?, ?, ? FROM t"),
        ("SELECT 42, 4.2, .5, 1e10, 1e-5, 0xFF, 1_000 FROM t1", "SELECT ?, ?, ?, ?, ?, ?, ? FROM t1"),
        ("CREATE ROLE a PASSWORD 'secret'", "CREATE ROLE a PASSWORD ?"),
        ("SELECT $tag$a 'secret' $$ $tag$ || $$b$$ FROM t", "SELECT ? || ? FROM t"),
        ("SELECT E'a', B'01', X'FF', N'a', U&'a' FROM t", "SELECT ?, ?, ?, ?, ? FROM t"),
        ('SELECT "a name 42", "with ""quotes""" FROM t', 'SELECT "a name 42", "with ""quotes""" FROM t'),
        ("SELECT a -- 'x' secret\nFROM t /* and\nsecret */ WHERE b", "SELECT a FROM t WHERE b"),
        ("SELECT   a\n\t FROM\r\n t", "SELECT a FROM t"),
        ("SELECT 'never ends, secret", "SELECT ? …"),
        ("SELECT $$never ends, secret", "SELECT ?"),
        ("SELECT a /* never ends, secret", "SELECT a"),
        # By standard_conforming_strings the string ends before or after the word.
        (r"SELECT 'a\', secret, '", "SELECT ? …"),
        (r"SELECT 'a\' secret'", "SELECT ? …"),
        ("SELECT a$b$c, d1 FROM t$1", "SELECT a$b$c, d1 FROM t$1"),
        ("", ""),
    ],
)
def test_literals_and_comments_are_left_out(text, expected):
    assert shown(text) == expected


def test_a_long_text_is_cut():
    text = shown("SELECT " + ", ".join(f"column_{letter * 9}" for letter in "abcdefghijklmnopqrstuvwxyz"))
    assert len(text) == LENGTH
    assert text.endswith("…")


def test_what_has_the_form_of_a_secret_is_masked_all_the_same():
    assert "hunter" not in shown("ALTER SUBSCRIPTION s CONNECTION password=hunter")


quoted = st.text(st.characters(exclude_characters="'\\\x00")).map(lambda inside: f"'{inside}'")
tagged = st.text(st.characters(exclude_characters="$\x00")).map(lambda inside: f"$q${inside}$q$")
LITERALS = st.one_of(quoted, tagged, st.integers(min_value=0).map(str))


@given(st.lists(LITERALS, min_size=1, max_size=5))
def test_of_a_statement_with_any_literals_only_the_frame_is_left(literals):
    text = "SELECT " + ", ".join(f"({literal})" for literal in literals) + " FROM t"
    assert shown(text, 10_000) == "SELECT " + ", ".join("(?)" for _literal in literals) + " FROM t"


@given(st.text(max_size=300))
def test_any_text_becomes_one_short_line(text):
    line = shown(text)
    assert len(line) <= LENGTH
    assert "\n" not in line
