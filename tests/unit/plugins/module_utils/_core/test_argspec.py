"""The parameters of a check are judged by the spec of its module, and every mistake is named."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check, validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome

SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "mode": {"type": "str", "choices": ["fast", "slow"], "default": "fast"},
    "login_password": {"type": "str", "no_log": True},
    "series": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "key": {"type": "str", "no_log": True}},
    },
}


def test_types_and_defaults_are_applied():
    valid = validate("cert_expiry", SPEC, {"hosts": "a,b", "port": "80", "series": [{"name": "x"}]})
    assert valid.params == {
        "hosts": ["a", "b"],
        "port": 80,
        "mode": "fast",
        "login_password": None,
        "series": [{"name": "x", "key": None}],
    }


def test_the_parameters_and_the_spec_are_left_as_they_are():
    params, spec = (
        {"hosts": "a", "series": [{"name": "x"}]},
        {"hosts": dict(SPEC["hosts"]), "series": dict(SPEC["series"])},
    )
    validate("cert_expiry", spec, params)
    assert params == {"hosts": "a", "series": [{"name": "x"}]}
    assert spec == {"hosts": SPEC["hosts"], "series": SPEC["series"]}


def test_secret_parameters_are_told_at_every_depth():
    params = {"hosts": ["a"], "login_password": "hunter2", "series": [{"name": "x", "key": "hunter3"}]}
    assert validate("cert_expiry", SPEC, params).secrets == {"hunter2", "hunter3"}


@pytest.mark.parametrize(
    ("params", "mistake"),
    [
        ({}, "missing required arguments: hosts"),
        ({"hosts": ["a"], "prot": 1}, "not valid: Unsupported parameters: prot."),
        ({"hosts": ["a"], "port": "http"}, "argument 'port' is of type"),
        ({"hosts": ["a"], "mode": "quick"}, "value of mode must be one of: fast, slow, got: quick"),
        ({"hosts": ["a"], "series": [{"nmae": "x"}]}, "series.nmae"),
        ({"hosts": ["a"], "series": "x"}, "series"),
    ],
)
def test_a_mistake_is_named_with_the_check(params, mistake):
    with pytest.raises(InvalidInput) as caught:
        validate("cert_expiry", SPEC, params)
    assert caught.value.message.startswith("The parameters of cert_expiry are not valid: ")
    assert mistake in caught.value.message
    assert "ansible-doc cadence.upkeep.cert_expiry" in caught.value.remedy


def test_all_mistakes_are_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        validate("cert_expiry", SPEC, {"port": "http", "mode": "quick"})
    assert len(caught.value.evidence["errors"]) == 3


@pytest.mark.parametrize("params", [None, "hosts=a", ["a"], {1: "a"}])
def test_what_is_no_mapping_of_options_is_refused(params):
    with pytest.raises(InvalidInput, match="not a mapping of option names"):
        validate("cert_expiry", SPEC, params)


def test_a_secret_does_not_stand_in_the_refusal():
    spec = {"pin": {"type": "int", "no_log": True}, "mode": {"type": "str", "choices": ["a"]}}
    with pytest.raises(InvalidInput) as caught:
        validate("x", spec, {"pin": "hunter2-pin", "mode": "hunter2-pin"})
    assert "hunter2-pin" not in str(caught.value) + str(caught.value.evidence)


def test_rules_between_options_hold():
    spec = {"a": {"type": "str"}, "b": {"type": "str"}}
    with pytest.raises(InvalidInput, match="one of the following is required: a, b"):
        validate("x", spec, {}, {"required_one_of": [["a", "b"]]})
    assert validate("x", spec, {"a": "1"}, {"required_one_of": [["a", "b"]]}).params == {"a": "1", "b": None}


def test_a_check_runs_alone():
    def run(params, now):
        return Outcome("x", params["hosts"], [], now)

    check = Check("x", SPEC, run)
    assert check.rules == {}
    assert check.run is run
