"""What a person types is understood in each form that a runner can hand over, or refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.plugin_utils.inputs import (
    read_bool,
    read_mapping,
    read_words,
    suggest,
    type_word,
)


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (True, True),
        (False, False),
        ("true", True),
        (" Yes ", True),
        ("ON", True),
        ("1", True),
        (1, True),
        ("false", False),
        ("no", False),
        ("Off", False),
        ("0", False),
        (0, False),
        ("", False),  # a survey question that was left empty
        (None, False),
    ],
)
def test_a_boolean_may_be_written_as_text(value, truth):
    assert read_bool("upkeep_force", value) is truth


@pytest.mark.parametrize("value", ["perhaps", "2", 2, [], {"a": 1}])
def test_what_is_neither_true_nor_false_is_refused_by_name(value):
    with pytest.raises(InvalidInput, match=r"upkeep_force is .* neither true nor false"):
        read_bool("upkeep_force", value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, []),
        ("", []),
        ("   ", []),
        ([], []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ("a b", ["a", "b"]),
        ("a\nb", ["a", "b"]),  # a textarea of a survey
        ('["a", "b"]', ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        ("[]", []),
        (["a", " b ", ""], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
    ],
)
def test_words_come_as_a_list_or_as_the_text_of_a_survey(value, words):
    assert read_words("upkeep_only", value) == words


@pytest.mark.parametrize("value", [5, {"a": 1}, ["a", 5], [["a"]], "[1, 2]", True])
def test_what_is_no_list_of_words_is_refused_by_name(value):
    with pytest.raises(InvalidInput, match=r"upkeep_only is .* no list of words"):
        read_words("upkeep_only", value)


@pytest.mark.parametrize("text", ["[a, b", "[a]]"])
def test_a_list_that_is_no_yaml_is_refused_on_one_line(text):
    with pytest.raises(InvalidInput, match="upkeep_skip cannot be read as YAML or JSON") as caught:
        read_words("upkeep_skip", text)
    assert "\n" not in caught.value.message


@given(st.lists(st.from_regex(r"[a-z][a-z_.]{0,12}", fullmatch=True)))
def test_every_form_of_the_same_words_means_the_same(words):
    assert read_words("x", words) == read_words("x", ",".join(words)) == read_words("x", json.dumps(words)) == words


@pytest.mark.parametrize(
    ("value", "mapping"),
    [
        (None, {}),
        ("", {}),
        ("  ", {}),
        ({}, {}),
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("a: {b: 1}", {"a": {"b": 1}}),
        ("a:\n  b: 1\n", {"a": {"b": 1}}),
    ],
)
def test_a_mapping_may_be_written_as_its_yaml_or_json_text(value, mapping):
    assert read_mapping("upkeep_overrides", value) == mapping


@pytest.mark.parametrize(
    ("value", "kind"),
    [("text", "text"), ("[a]", "list"), ([1], "list"), (5, "number"), ("5", "number"), (True, "boolean")],
)
def test_what_is_no_mapping_is_refused_by_name_and_kind(value, kind):
    with pytest.raises(InvalidInput, match=f"upkeep_overrides is a {kind}, not a mapping"):
        read_mapping("upkeep_overrides", value)


@pytest.mark.parametrize(
    "text",
    [
        "{a: ",
        "a: b: c",
        "{{ upkeep_mine }}",  # a template that nothing rendered
        "{a: 2026-13-45}",  # looks like a date and is none
        "{a: \x00}",
    ],
)
def test_text_that_is_no_yaml_is_refused_and_not_a_traceback(text):
    with pytest.raises(InvalidInput, match="upkeep_overrides cannot be read as YAML or JSON"):
        read_mapping("upkeep_overrides", text)


def refusal_of(read, *arguments):
    try:
        read(*arguments)
    except InvalidInput as error:
        return error
    return None


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    refused = [refusal_of(read, "its_name", text) for read in (read_bool, read_words, read_mapping)]
    assert all(error is None or "its_name" in error.message for error in refused)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), max_size=4))
def test_a_mapping_and_its_json_are_the_same(mapping):
    assert read_mapping("x", mapping) == read_mapping("x", json.dumps(mapping)) == mapping


def test_the_caller_may_change_what_was_read():
    mine = {"a": 1}
    read_mapping("x", mine)["b"] = 2
    assert mine == {"a": 1}


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (True, "boolean"),
        ("a", "text"),
        ({}, "mapping"),
        ([], "list"),
        ((), "list"),
        (1, "number"),
        (1.5, "number"),
        (None, "null"),
    ],
)
def test_types_have_the_words_of_yaml(value, word):
    assert type_word(value) == word


def test_a_near_miss_is_answered_with_what_was_meant():
    assert suggest("weekyl", ["daily", "weekly"]) == "Did you mean weekly?"


def test_what_resembles_nothing_is_answered_with_everything_there_is():
    assert suggest("xyz", ["weekly", "daily"]) == "Use one of daily, weekly."
