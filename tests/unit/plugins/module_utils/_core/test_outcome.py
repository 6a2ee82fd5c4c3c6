"""One form of result: worst first, counted by object, small, plain and without secrets."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    SKIPPED,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import (
    ANSIBLE_KEYS,
    COMMON_KEYS,
    ENTRY_BYTES,
    RESULT_BYTES,
    Outcome,
    cap,
    count_by_severity,
    worst_first,
)
from tests.unit.plugins.module_utils._core.properties import unhurried

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)


def finding(subject: str = "a", severity: Severity = Severity.WARNING, **more: object) -> Finding:
    return Finding(**{"code": "x.y", "subject": subject, "severity": severity, "message": "It is so.", **more})


def outcome(**more: object) -> Outcome:
    return Outcome(**{"domain": "x", "examined": ["a"], "findings": [], "observed_at": NOW, **more})


def size(result: object) -> int:
    return len(json.dumps(result))


def test_a_result_has_the_keys_that_every_module_promises():
    result = outcome(
        examined=["a", "b"],
        findings=[finding(evidence={"n": 1}, remedy="Mend it.")],
        actions=[Action("s", "Step", SKIPPED, "not needed")],
        metrics=[Metric("m", 1, "count")],
        seconds=0.41234,
        extra={"tables": [{"name": "t"}]},
    ).as_result()
    assert result == {
        "changed": False,
        "summary": {
            "worst": "warning",
            "counts": {"ok": 1, "info": 0, "warning": 1, "unknown": 0, "critical": 0},
            "seconds": 0.412,
        },
        "findings": [
            {
                "code": "x.y",
                "subject": "a",
                "severity": "warning",
                "message": "It is so.",
                "evidence": {"n": 1},
                "remedy": "Mend it.",
                "observed_at": "2026-11-22T04:13:00Z",
            }
        ],
        "actions": [{"id": "s", "description": "Step", "status": "skipped", "reason": "not needed", "seconds": 0.0}],
        "metrics": [{"name": "m", "value": 1, "unit": "count", "labels": {}}],
        "tables": [{"name": "t"}],
    }


@pytest.mark.parametrize(
    "findings",
    [[], [finding("x", Severity.OK)], [finding("x", Severity.INFO)], [finding("x", Severity.WARNING)]],
    ids=["nothing", "ok", "info", "warning"],
)
def test_zero_objects_examined_is_unknown_whatever_else_was_found(findings):
    seen = outcome(examined=[], findings=findings)
    assert seen.worst is Severity.UNKNOWN
    assert seen.findings[-1].code == "x.nothing_examined"
    assert seen.findings[-1].remedy


@pytest.mark.parametrize("severity", [Severity.UNKNOWN, Severity.CRITICAL])
def test_a_finding_that_says_that_nothing_could_be_examined_is_enough(severity):
    seen = outcome(examined=[], findings=[finding("server", severity)])
    assert [found.code for found in seen.findings] == ["x.y"]
    assert seen.worst is severity


def test_examined_objects_without_a_finding_are_ok():
    assert outcome(examined=["a", "b"]).as_result()["summary"] == {
        "worst": "ok",
        "counts": {"ok": 2, "info": 0, "warning": 0, "unknown": 0, "critical": 0},
        "seconds": 0.0,
    }


def test_an_object_counts_once_under_the_worst_that_it_got():
    seen = outcome(
        examined=["a", "b", "c"],
        findings=[
            finding("a", Severity.CRITICAL),
            finding("a", Severity.INFO),
            finding("b", Severity.OK),
            finding("d", Severity.UNKNOWN),  # found, though nobody asked for it
        ],
    )
    assert seen.objects == {
        "a": Severity.CRITICAL,
        "b": Severity.OK,
        "c": Severity.OK,
        "d": Severity.UNKNOWN,
    }
    assert seen.as_result()["summary"]["counts"] == {"ok": 2, "info": 0, "warning": 0, "unknown": 1, "critical": 1}


def test_unknown_outranks_warning_in_the_verdict():
    assert outcome(findings=[finding("a", Severity.WARNING), finding("b", Severity.UNKNOWN)]).worst is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("statuses", "changed"),
    [([], False), ([DONE], True), ([PLANNED], True), ([SKIPPED, FAILED], False), ([SKIPPED, DONE], True)],
)
def test_changed_is_a_step_that_was_or_would_be_done(statuses, changed):
    assert outcome(actions=[Action("s", "Step", status) for status in statuses]).changed is changed


def test_the_worst_findings_come_first_then_by_code_and_subject():
    found = [
        finding("b", Severity.WARNING),
        finding("a", Severity.WARNING),
        finding("z", Severity.CRITICAL, code="x.z"),
        finding("z", Severity.CRITICAL, code="x.a"),
        finding("z", Severity.UNKNOWN),
    ]
    assert [(f.severity.word, f.code, f.subject) for f in worst_first(found)] == [
        ("critical", "x.a", "z"),
        ("critical", "x.z", "z"),
        ("unknown", "x.y", "z"),
        ("warning", "x.y", "a"),
        ("warning", "x.y", "b"),
    ]


def test_a_finding_keeps_the_stamp_that_it_has():
    seen = outcome(findings=[finding(observed_at="2025-01-01T00:00:00Z"), finding("b")])
    assert [found.observed_at for found in seen.findings] == ["2025-01-01T00:00:00Z", "2026-11-22T04:13:00Z"]


def test_iterators_are_read_once():
    seen = outcome(examined=iter("ab"), findings=iter([finding("a")]), actions=iter([Action("s", "S", DONE)]))
    assert seen.as_result() == seen.as_result()
    assert (seen.examined, seen.changed) == (("a", "b"), True)


@pytest.mark.parametrize("key", sorted(ANSIBLE_KEYS | COMMON_KEYS))
def test_a_domain_cannot_use_a_key_that_means_something_else(key):
    with pytest.raises(ValueError, match=f"not free in the outcome of x: .'{key}'"):
        outcome(extra={key: []})


def test_no_secret_enters_a_result():
    result = outcome(
        examined=["postgresql://u:hunter2@db/app"],
        findings=[
            finding(
                "postgresql://u:hunter2@db/app",
                message="password=hunter2 is refused.",
                evidence={"login_password": "hunter2", "argv": ["psql", "password=hunter2"]},
                remedy="Run `PGPASSWORD=hunter2 psql`.",
            )
        ],
        actions=[Action("s", "Set password=hunter2", FAILED, "token: hunter2 is old")],
        metrics=[Metric("m", 1, "count", {"url": "http://u:hunter2@h"})],
        extra={"passwords": ["hunter2"], "servers": [{"dsn": "host=db password=hunter2"}], "token": "hunter2"},
    ).as_result()
    assert "hunter2" not in json.dumps(result)


def test_a_secret_is_masked_before_its_text_is_cut():
    # Half of a URL shows no more that it holds a password.
    tables = [{"log": "x " * 990 + f"postgresql://user:{'hunter2' * 40}@db/app " + "y" * 8000} for _ in range(20)]
    result = outcome(extra={"tables": tables}).as_result()
    assert result["tables"][0]["log"].endswith("more characters)")
    assert "hunter2" not in json.dumps(result)


def test_evidence_of_a_driver_becomes_plain():
    result = outcome(
        findings=[finding(evidence={"ratio": Decimal("0.5"), "seen": NOW, "bad": float("nan")})]
    ).as_result()
    assert result["findings"][0]["evidence"] == {"ratio": 0.5, "seen": "2026-11-22T04:13:00Z", "bad": None}


def test_what_has_no_plain_form_is_refused_by_its_place():
    with pytest.raises(TypeError, match=r"\['findings'\]\[0\]\['evidence'\]\['of'\] is a object"):
        outcome(findings=[finding(evidence={"of": object()})]).as_result()


def test_counts_have_every_word():
    assert count_by_severity([Severity.OK, Severity.OK, Severity.CRITICAL]) == {
        "ok": 2,
        "info": 0,
        "warning": 0,
        "unknown": 0,
        "critical": 1,
    }


# The cap


def many(count: int, severity: Severity = Severity.WARNING) -> list[Finding]:
    evidence = {"ratio": 0.4, "limit": 0.2, "how": "pgstattuple"}
    return [
        finding(f"app.public.table_{index}", severity, evidence=evidence, remedy="VACUUM it") for index in range(count)
    ]


def test_a_result_that_fits_is_left_alone():
    result = {"b": 1, "a": [1, 2], "c": {"d": ["x" * 20_000]}}
    assert cap(result, RESULT_BYTES) == result
    assert list(cap(result, RESULT_BYTES)) == ["b", "a", "c"]


@pytest.mark.parametrize("sequence", [list, tuple])
def test_what_is_capped_is_left_as_it_was(sequence):
    result = {"a": sequence(["x" * 5_000] * 3), "b": {"c": ["y" * 5_000]}}
    capped = cap(result, 4_000)
    assert size(capped) <= 4_000
    assert result == {"a": sequence(["x" * 5_000] * 3), "b": {"c": ["y" * 5_000]}}


def test_a_large_result_keeps_its_worst_findings_and_counts_all():
    examined = [f"app.public.table_{index}" for index in range(10_000)]
    result = outcome(examined=examined, findings=[*many(9_999), finding("z", Severity.CRITICAL)]).as_result()
    assert RESULT_BYTES * 0.9 < size(result) <= RESULT_BYTES
    assert result["findings"][0]["severity"] == "critical"
    assert result["truncated"] == {"findings": 10_000 - len(result["findings"])}
    assert result["summary"]["counts"] == {"ok": 1, "info": 0, "warning": 9_999, "unknown": 0, "critical": 1}


def test_the_heaviest_list_gives_way_first():
    tables = [{"name": f"table_{index}", "pages": index} for index in range(50_000)]
    result = outcome(findings=many(20), extra={"tables": tables}).as_result()
    assert len(result["findings"]) == 20
    assert result["truncated"] == {"tables": 50_000 - len(result["tables"])}
    assert result["tables"] == tables[: len(result["tables"])]


def test_two_heavy_lists_end_at_the_same_weight():
    result = cap({"a": ["x" * 100] * 1000, "b": ["y" * 10] * 10_000, "c": [1]}, 20_000)
    assert result["c"] == [1]
    assert abs(size(result["a"]) - size(result["b"])) < 200
    assert 19_000 < size(result) <= 20_000
    assert result["truncated"] == {"a": 1000 - len(result["a"]), "b": 10_000 - len(result["b"])}


def test_one_huge_finding_is_shortened_and_not_lost():
    result = outcome(
        findings=[
            finding(
                "a",
                Severity.CRITICAL,
                message="The log says: " + "x" * 200_000,
                evidence={"lines": [f"line {index}" for index in range(50_000)], "n": 5},
            )
        ]
    ).as_result()
    [kept] = result["findings"]
    assert size(result) <= ENTRY_BYTES + 500
    assert (kept["severity"], kept["evidence"]["n"]) == ("critical", 5)
    assert kept["message"].startswith("The log says: xxx")
    assert kept["message"].endswith("more characters)")
    assert kept["evidence"]["truncated"] == {"lines": 50_000 - len(kept["evidence"]["lines"])}
    assert kept["evidence"]["lines"][0] == "line 0"


def test_a_mapping_that_is_a_long_list_loses_its_end():
    result = cap({"summary": {}, "by_file": {f"file_{index}": index for index in range(100_000)}}, 20_000)
    assert size(result) <= 20_000
    assert result["by_file"]["file_0"] == 0
    assert result["by_file"]["truncated"] == {"keys": 100_000 - len(result["by_file"]) + 1}


def test_what_a_domain_calls_truncated_stays_as_it_is():
    entry = {"truncated": True, "lines": ["x" * 100] * 1000}
    assert cap({"a": [entry]}, 9_000)["a"][0]["truncated"] is True


def test_capping_again_adds_up_what_is_missing():
    first = cap({"a": list(range(10_000))}, 20_000)
    second = cap(first, 5_000)
    assert second["truncated"]["a"] + len(second["a"]) == 10_000


LETTERS = 'ab"\\é😀 '
ENTRIES = st.lists(
    st.text(LETTERS, max_size=200)
    | st.integers()
    | st.dictionaries(
        st.text(LETTERS, max_size=5), st.text(LETTERS, max_size=300) | st.lists(st.text(LETTERS)), max_size=5
    ),
    max_size=60,
)


@settings(unhurried, max_examples=60)
@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), ENTRIES, max_size=4), st.integers(2_000, 20_000))
def test_whatever_it_is_the_result_fits_and_says_what_is_missing(lists, limit):
    result = cap({"summary": {"worst": "ok"}, **lists}, limit)
    assert size(result) <= limit
    assert result["summary"] == {"worst": "ok"}
    for key, entries in lists.items():
        assert len(result[key]) + result.get("truncated", {}).get(key, 0) == len(entries)


def test_ten_times_the_entries_take_about_ten_times_as_long():
    def seconds(count: int) -> float:
        result = {"tables": [{"name": f"table_{index}"} for index in range(count)], "findings": [{"n": 1}] * count}
        best = 1e9
        for _try in range(2):
            started = time.process_time()
            cap(result, RESULT_BYTES)
            best = min(best, time.process_time() - started)
        return best

    # A quadratic one would take a hundred times as long.
    assert seconds(20_000) < 30 * seconds(2_000) + 0.5
