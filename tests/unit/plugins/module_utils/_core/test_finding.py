"""The words that every domain uses have one order and one form."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    SEVERITY_WORDS,
    SKIPPED,
    Action,
    Code,
    Finding,
    Metric,
    Severity,
)


def test_severities_stand_in_their_order_and_unknown_outranks_warning():
    assert SEVERITY_WORDS == ("ok", "info", "warning", "unknown", "critical")
    assert sorted(Severity, reverse=True)[:3] == [Severity.CRITICAL, Severity.UNKNOWN, Severity.WARNING]


def test_a_severity_is_shown_by_its_word_on_every_python():
    assert f"{Severity.CRITICAL} {Severity.OK!s}" == "critical ok"


@pytest.mark.parametrize("severity", Severity)
def test_a_severity_is_found_by_its_word(severity):
    assert Severity.from_word(severity.word) is severity


def test_a_word_that_is_no_severity_is_refused():
    with pytest.raises(KeyError):
        Severity.from_word("fatal")


def test_a_finding_has_the_keys_that_are_promised():
    finding = Finding("pg.bloat_high", "app.public.t", Severity.WARNING, "It is bloated.", {"ratio": 0.4}, "VACUUM t")
    assert finding.as_dict() == {
        "code": "pg.bloat_high",
        "subject": "app.public.t",
        "severity": "warning",
        "message": "It is bloated.",
        "evidence": {"ratio": 0.4},
        "remedy": "VACUUM t",
        "observed_at": "",
    }


def test_a_finding_names_its_task_once_a_run_has_asked():
    finding = dataclasses.replace(Finding("a.b", "s", Severity.OK, "Fine."), task="postgres.vacuum")
    assert finding.as_dict()["task"] == "postgres.vacuum"


def test_a_finding_is_stamped_once():
    finding = Finding("a.b", "s", Severity.OK, "Fine.")
    first = finding.observed("2026-11-22T04:13:00Z")
    assert first.observed_at == "2026-11-22T04:13:00Z"
    assert first.observed("2027-01-01T00:00:00Z") is first
    assert finding.observed_at == ""


def test_what_a_finding_gave_away_can_be_changed_without_changing_it():
    finding = Finding("a.b", "s", Severity.OK, "Fine.", {"n": 1})
    finding.as_dict()["evidence"]["n"] = 2
    assert finding.evidence == {"n": 1}


@pytest.mark.parametrize("status", [PLANNED, DONE, SKIPPED, FAILED])
def test_an_action_has_the_keys_that_are_promised(status):
    action = Action("vacuum:t", "Vacuum t", status, "because", 1.23456)
    assert action.as_dict() == {
        "id": "vacuum:t",
        "description": "Vacuum t",
        "status": status,
        "reason": "because",
        "seconds": 1.235,
    }


def test_an_action_cannot_have_another_status():
    with pytest.raises(ValueError, match="cannot be 'maybe'"):
        Action("a", "b", "maybe")


def test_a_metric_has_the_keys_that_are_promised():
    metric = Metric("upkeep_days_left", 12.5, "days", {"subject": "a.pem"})
    assert metric.as_dict() == {
        "name": "upkeep_days_left",
        "value": 12.5,
        "unit": "days",
        "labels": {"subject": "a.pem"},
    }


@pytest.mark.parametrize(
    "value",
    [
        Finding("a.b", "s", Severity.OK, "Fine."),
        Action("a", "b", DONE),
        Metric("m", 1, "count"),
        Code("It is so.", "Do that."),
    ],
)
def test_values_are_fixed_and_plain(value):
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, "other")
    if hasattr(value, "as_dict"):
        assert json.loads(json.dumps(value.as_dict())) == value.as_dict()
