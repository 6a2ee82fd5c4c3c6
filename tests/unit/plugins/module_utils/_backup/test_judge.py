"""What is inside, against the manifest and what is expected; signatures, copies, and the rules around a series."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.evaluate import evaluate, rule_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import level_reached, of_file, unproven
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Manifest, Source
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    BackupFile,
    Copy,
    Described,
    Dump,
    Expect,
    Found,
    Keep,
    Planned,
    RowBounds,
    Signed,
    Site,
    Snapshot,
)
from tests.unit.plugins.module_utils._backup.samples import (
    DAY,
    HOUR,
    NOW,
    backup,
    content,
    daily,
    found,
    policy,
    series,
    sidecar,
)

A, B = "a" * 64, "b" * 64
ROWS = {"public.orders": 12, "public.people": 3, "public.nothing": 0}
DUMP = Dump("shop", "17.11", "17.11", 3, True, True, ROWS, "UTF8", ("plpgsql", "pg_trgm"))


def manifest(**changes: Any) -> Manifest:
    return Manifest(**{
        "name": f"shop-{NOW - HOUR:%Y%m%dT%H%M%SZ}.sql.gz", "kind": "postgres", "taken_at": NOW - HOUR,
        "stored_size": 5000, "stored_sha256": A, "formats": ("gzip", "pgdump-plain"), "rows": ROWS,
        "source": Source("db1", "shop", "17.11", "1", "UTF8"), "extensions": ("plpgsql", "pg_trgm"), **changes,
    })  # fmt: skip


def file(dump: Dump | None = DUMP, described: Manifest | None = None, **changes: Any) -> BackupFile:
    given = Described("/b/shop.manifest.json", NOW, described or manifest())
    options = {"content": content(dump=dump), "described": given, "sidecar": None, **changes}
    return backup(**options)


def told(one: BackupFile, expect: Expect = Expect(), **changes: Any) -> dict[str, str]:  # noqa: B008  it is frozen
    findings = of_file(one, series(expect=expect), policy(**changes))
    return {finding.code.removeprefix("backup."): finding.severity.word for finding in findings}


def test_a_backup_that_is_what_its_maker_wrote_is_fully_assured() -> None:
    assert told(file()) == {}
    assert unproven(file()) == []
    assert level_reached(file(), "structure") == "structure"


@pytest.mark.parametrize(
    ("described", "doubts"),
    [
        ({}, []),
        ({"rows": None}, ["completeness"]),
        ({"rows": None, "statuses": (("pg_dump", 0), ("gzip", 0))}, []),
        ({"stored_sha256": B}, ["completeness", "producer_digest"]),
    ],
)
def test_what_the_manifest_must_say_for_that(described: dict[str, Any], doubts: list[str]) -> None:
    assert unproven(file(described=manifest(**described))) == doubts


def test_rows_that_are_no_copy_cannot_be_compared() -> None:
    inserts = replace(DUMP, inserts=True, rows={}, tables=0)
    assert told(file(inserts)) == {}
    assert unproven(file(inserts)) == ["completeness"]


@pytest.mark.parametrize(
    ("dump", "expected"),
    [
        (replace(DUMP, rows={**ROWS, "public.orders": 11}), {"row_count_mismatch": "critical"}),
        (replace(DUMP, rows={"public.people": 3, "public.nothing": 0}), {"data_missing": "critical"}),
        (replace(DUMP, rows={"public.orders": 12, "public.people": 3}), {}),  # an empty table without data
        (replace(DUMP, rows={**ROWS, "public.more": 1}), {"schema_mismatch": "warning"}),
        (replace(DUMP, rows={}), {"data_missing": "critical"}),  # schema only
        (replace(DUMP, database="other"), {"wrong_database": "critical"}),
        (replace(DUMP, database=None), {}),  # a plain dump does not say
        (replace(DUMP, server_version="16.9"), {"wrong_database": "critical"}),
        (replace(DUMP, server_version="17.2"), {}),
        (replace(DUMP, encoding="LATIN1"), {"schema_mismatch": "warning"}),
        (replace(DUMP, encoding="utf-8"), {}),
        (replace(DUMP, extensions=("plpgsql",)), {"schema_mismatch": "warning"}),
        (replace(DUMP, complete=False, rows={}), {}),  # told by the pass itself
    ],
)
def test_a_dump_is_compared_with_its_manifest(dump: Dump, expected: dict[str, str]) -> None:
    assert told(file(dump)) == expected


def test_a_maker_that_failed_is_believed() -> None:
    assert told(file(described=manifest(statuses=(("pg_dump", 1), ("gzip", 0))))) == {"incomplete_dump": "critical"}


def test_another_digest_with_the_same_content_is_a_warning() -> None:
    other = manifest(stored_sha256=B)
    assert told(file(described=other)) == {"digest_mismatch": "critical"}
    same = file(described=other, content=content(dump=DUMP, plain_equal=True))
    (finding,) = of_file(same, series(), policy())
    assert (finding.code, finding.severity.word) == ("backup.digest_mismatch", "warning")
    assert finding.evidence["content_equal"] is True
    assert told(file(described=other, content=content(dump=DUMP, plain_equal=False))) == {"digest_mismatch": "critical"}


def test_a_file_of_another_size_says_so() -> None:
    (finding,) = of_file(file(described=manifest(stored_sha256=B, stored_size=6000)), series(), policy())
    assert "has 5000 bytes instead of 6000" in finding.message


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (None, {"manifest_missing": "critical"}),
        (Described("/b/m", NOW, problem="is not JSON, or was cut"), {"manifest_invalid": "warning"}),
        (Described("/b/m", NOW, manifest(), other_name="x.sql"), {"manifest_invalid": "warning"}),
    ],
)
def test_a_manifest_may_be_required(described: Described | None, expected: dict[str, str]) -> None:
    one = replace(file(), described=described)
    assert told(one) == {code: word for code, word in expected.items() if code != "manifest_missing"}
    assert told(one, require_manifest=True) == {**expected, "manifest_missing": "critical"}
    assert "completeness" in unproven(one)


def test_a_sidecar_that_disagrees_with_the_manifest_is_the_wrong_one() -> None:
    assert told(file(sidecar=sidecar(sha256=B))) == {"manifest_invalid": "warning"}
    assert told(file(sidecar=sidecar())) == {}
    assert told(file(described=manifest(stored_sha256=B), sidecar=sidecar(sha256=B))) == {"digest_mismatch": "critical"}


def test_members_are_compared() -> None:
    wanted = manifest(rows=None, members=Members(3, 99, A))
    same = content(dump=None, members=Members(3, 99, A))
    assert told(file(described=wanted, content=same)) == {}
    assert unproven(file(described=wanted, content=same)) == []
    other = content(dump=None, members=Members(2, 80, B, "uploads/a"))
    assert told(file(described=wanted, content=other)) == {"data_missing": "critical"}


def test_another_chain_than_the_makers_is_told() -> None:
    assert told(file(described=manifest(formats=("zstd", "pgdump-plain")))) == {"unexpected_format": "warning"}


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        (Expect(database="shop", server_major=17, extensions=("pg_trgm",)), {}),
        (Expect(database="other"), {"wrong_database": "critical"}),
        (Expect(server_major=16), {"wrong_database": "critical"}),
        (Expect(extensions=("postgis",)), {"schema_mismatch": "warning"}),
        (Expect(tables={"orders": RowBounds(10, 20)}), {}),
        (Expect(tables={"public.orders": RowBounds(13)}), {"row_count_mismatch": "critical"}),
        (Expect(tables={"orders": RowBounds(None, 5)}), {"row_count_mismatch": "critical"}),
        (Expect(tables={"rders": RowBounds(1)}), {"data_missing": "critical"}),
        (Expect(tables={"nothing": RowBounds(1)}), {"row_count_mismatch": "critical"}),
    ],
)
def test_a_dump_is_compared_with_what_is_expected(expect: Expect, expected: dict[str, str]) -> None:
    assert told(replace(file(), described=None), expect) == expected


def test_counts_may_differ_by_a_tolerance() -> None:
    dump = replace(DUMP, rows={**ROWS, "public.orders": 11})
    assert told(file(dump), Expect(row_tolerance=0.1)) == {}
    assert told(file(dump), Expect(row_tolerance=0.05)) == {"row_count_mismatch": "critical"}


def signed(valid: bool | None) -> Signed:
    return Signed("/b/m.minisig", "/b/m", "minisign", valid, "KEY", "" if valid else "is not over what is there now")


def test_signatures() -> None:
    assert told(file(), require_signature=True) == {"signature_missing": "critical"}
    assert told(file(signed=signed(True)), require_signature=True) == {}
    assert told(file(signed=signed(False))) == {"signature_bad": "critical"}
    assert told(file(signed=signed(None))) == {"signature_bad": "unknown"}
    assert unproven(file(signed=signed(None))) == ["signature"]


# --- a series


def judged(*files: BackupFile, **changes: Any) -> dict[str, str]:
    options = {key: changes.pop(key) for key in list(changes) if key in model.Series.__dataclass_fields__}
    one = Found(series=series(**options), files=files, **changes)
    findings = evaluate(Snapshot((one,)), policy(one.series), NOW)
    return {finding.code.removeprefix("backup."): finding.severity.word for finding in findings}


def test_a_retention_that_removes_nothing_or_too_much_is_told() -> None:
    keep = Keep(daily=7)
    assert judged(*daily(7), keep=keep) == {}
    assert judged(*daily(8), keep=keep) == {}  # the newest has just pushed one out
    assert judged(*daily(9), keep=keep) == {"retention_excess": "warning"}
    files = daily(7)
    assert judged(*files[:4], *files[5:], keep=keep) == {"gap": "warning", "retention_missing": "warning"}
    assert judged(*daily(7), keep=keep, lost=("/b/shop-1.sql.gz",)) == {"retention_missing": "warning"}


def test_the_same_backup_again_is_told() -> None:
    newest, before, *_others = daily(3)
    same = replace(before, sidecar=newest.sidecar)
    assert judged(newest, same) == {"unchanged_suspicious": "info"}
    remembered = replace(before, sidecar=None, earlier=model.Earlier(NOW - DAY, "ok", "structure", A))
    assert judged(newest, remembered) == {"unchanged_suspicious": "info"}


def test_owner_and_immutability() -> None:
    assert judged(*daily(2, owner="postgres"), owner="postgres") == {}
    assert judged(*daily(2, owner="root"), owner="postgres") == {"wrong_owner": "warning"}
    assert judged(*daily(2, immutable=True), immutable=True) == {}
    assert judged(*daily(2, immutable=False), immutable=True) == {"not_immutable": "warning"}
    assert judged(*daily(2, immutable=None), immutable=True) == {"not_immutable": "unknown"}


def test_the_next_backup_must_fit() -> None:
    assert judged(*daily(9), free_bytes=6000) == {}
    assert judged(*daily(9), free_bytes=4000) == {"space_short": "warning"}
    growing = tuple(replace(one, size=900_000 - 100_000 * rank) for rank, one in enumerate(daily(8)))
    assert judged(*growing, free_bytes=950_000) == {"space_short": "warning"}
    assert judged(*growing, free_bytes=1_100_000) == {}


def test_the_globals_belong_to_it() -> None:
    assert judged(*daily(2), globals="/b/globals*", globals_at=NOW - HOUR) == {}
    assert judged(*daily(2), globals="/b/globals*", globals_at=NOW - 3 * DAY) == {"globals_missing": "warning"}
    assert judged(*daily(2), globals="/b/globals*") == {"globals_missing": "warning"}


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        (Planned("cron job 'x'", "/etc/cron.d/x", 86400.0), {}),
        (Planned("timer x.timer", next_run="Mon"), {}),
        (Planned("cron job 'x'", "/etc/cron.d/x", 7 * 86400.0), {"schedule_missing": "warning"}),
        (Planned("cron job 'x'", problem="no crontab has it"), {"schedule_missing": "critical"}),
        (Planned("timer x", problem="systemctl is not here", unknown=True), {"schedule_missing": "unknown"}),
    ],
)
def test_the_job_must_be_installed(planned: Planned, expected: dict[str, str]) -> None:
    assert judged(*daily(2), planned=planned) == expected


SITES = (Site("nas", "/nas", "nas", False, False, "full"), Site("far", "/far", "object", True, True, "full"))
NAS = Copy("nas", "/nas/x", "nas", False, True, True, False)
FAR = Copy("far", "/far/x", "object", True, True, True, True)


NOT_MET = {"rule_not_met": "warning"}
WITHOUT_FAR = ["offsite", "immutable", "errors"]


@pytest.mark.parametrize(
    ("copies", "expected", "failing"),
    [
        ((NAS, FAR), {}, []),
        ((NAS, replace(FAR, immutable=False)), NOT_MET, ["immutable"]),
        ((NAS, replace(FAR, offsite=False)), NOT_MET, ["offsite"]),
        ((NAS, replace(FAR, present=False, equal=False)), {"copy_missing": "critical"} | NOT_MET, WITHOUT_FAR),
        ((NAS, replace(FAR, equal=False)), {"copy_differs": "critical"} | NOT_MET, WITHOUT_FAR),
        ((NAS, replace(FAR, equal=None)), {"copy_differs": "unknown"} | NOT_MET, WITHOUT_FAR),
    ],
)
def test_the_rule_digit_by_digit(copies: tuple[Copy, ...], expected: dict[str, str], failing: list[str]) -> None:
    assert judged(*daily(2), sites=SITES, copies=copies) == expected
    rule = rule_of(found(*daily(2), series=series(sites=SITES), copies=copies))
    assert rule is not None
    assert rule["failing"] == failing
    assert rule["met"] is not failing


def test_a_bad_backup_is_an_error_of_the_rule() -> None:
    bad = replace(daily(1)[0], sidecar=sidecar(sha256=B))
    rule = rule_of(found(bad, series=series(sites=SITES), copies=(NAS, FAR)))
    assert rule is not None
    assert (rule["copies"], rule["media"], rule["offsite"], rule["immutable"], rule["errors"]) == (4, 3, 1, 1, 1)
    assert rule_of(found(*daily(1))) is None


def test_a_state_that_cannot_be_written_is_one_warning() -> None:
    snapshot = Snapshot((found(*daily(2)),), state_problem="The state file cannot be written.")
    (finding,) = evaluate(snapshot, policy(state_file="/s"), NOW)
    assert (finding.code, finding.severity.word) == ("backup.state_unusable", "warning")
    assert timedelta(0) < HOUR
