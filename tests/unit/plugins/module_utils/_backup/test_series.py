"""Series as they lie on the disk: manifests, times, rolling coverage, what is remembered, copies, keys."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Manifest, Source, parse, render
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.unit.plugins.module_utils._backup.samples import DAY, HOUR, NOW, archive, look, recorded, run, told
from tests.unit.plugins.module_utils._backup.test_check import nightly, shop, write
from tests.unit.plugins.module_utils._backup.test_signature import KEY, OTHER, public, sign

SQL = recorded("18.sql")
COUNTED = look("x.sql", SQL).dump


def describe(path: Path, **changes: Any) -> Path:
    """The manifest that a maker would have written of what is in *path* now."""
    data = path.read_bytes()
    assert COUNTED is not None
    manifest = Manifest(**{
        "name": path.name, "kind": "postgres", "taken_at": NOW - HOUR, "stored_size": len(data),
        "stored_sha256": hashlib.sha256(data).hexdigest(), "formats": ("gzip", "pgdump-plain"),
        "plain_size": len(SQL), "plain_sha256": hashlib.sha256(SQL).hexdigest(), "rows": COUNTED.rows,
        "source": Source(server_version="18.6", encoding="UTF8"),
        "statuses": (("pg_dump", 0), ("gzip", 0)), **changes,
    })  # fmt: skip
    beside = path.with_name(f"{path.name}.manifest.json")
    beside.write_bytes(render(manifest))
    return beside


def test_a_series_with_manifests_is_fully_assured(tmp_path: Path) -> None:
    for path in nightly(tmp_path):
        describe(path)
    result = run(series=[shop(tmp_path)], select="all", require_manifest=True)
    assert told(result) == []
    assert {record["assurance"] for record in result["files"]} == {"full"}
    assert result["files"][0]["manifest"].endswith(".sql.gz.manifest.json")
    assert result["files"][0]["dump"]["rows"]["public.customers"] == 40


def one_row_less(data: bytes) -> bytes:
    at = data.index(b"customer 20")
    start = data.rindex(b"\n", 0, at)
    return data[:start] + data[data.index(b"\n", at) :]


def without_rows(data: bytes) -> bytes:
    start = data.index(b" FROM stdin;\n", data.index(b"COPY public.customers")) + len(b" FROM stdin;")
    return data[:start] + data[data.index(b"\n\\.\n", start) :]


def schema_only(data: bytes) -> bytes:
    end = data.rindex(b"\n\n--\n-- PostgreSQL database dump complete")
    return data[: data.index(b"\n\n--\n-- Data for Name")] + data[end:]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (one_row_less, "row_count_mismatch"),
        (without_rows, "row_count_mismatch"),
        (schema_only, "data_missing"),
        (lambda data: data[: len(data) // 2], "incomplete_dump"),
        (lambda data: data.replace(b"database version 18", b"database version 16"), "wrong_database"),
        (lambda data: data.replace(b"'UTF8'", b"'LATIN1'"), "schema_mismatch"),
    ],
    ids=["a row", "all rows", "schema only", "cut", "version", "encoding"],
)  # fmt: skip
def test_what_was_wrong_when_it_was_digested_is_found(
    tmp_path: Path, change: Callable[[bytes], bytes], code: str
) -> None:
    """The digest is of the bad file, as sha256sum makes it afterwards; only what the maker counted tells."""
    bad = change(SQL)
    assert bad != SQL
    path = write(tmp_path, HOUR, gzip.compress(bad))
    describe(path)
    codes = [finding[0] for finding in told(run(series=[shop(tmp_path)]))]
    # A warning explains no other content; the digest of what pg_dump wrote stands beside it.
    assert codes == (["digest_mismatch", code] if code == "schema_mismatch" else [code])


def test_one_digit_that_changed_between_the_dump_and_the_disk_is_found(tmp_path: Path) -> None:
    """Digested afterwards, with all its rows: only the digest of what pg_dump wrote tells."""
    path = write(tmp_path, HOUR, gzip.compress(SQL.replace(b"customer 20", b"customer 29")))
    describe(path)
    (finding,) = run(series=[shop(tmp_path)])["findings"]
    assert (finding["code"], finding["severity"]) == ("backup.digest_mismatch", "critical")
    assert finding["evidence"]["content_equal"] is False
    assert finding["evidence"]["expected_plain_sha256"] == hashlib.sha256(SQL).hexdigest()
    assert told(run(series=[shop(tmp_path)], level="integrity")) == []  # that the file is as written is all it says


def test_a_file_that_nothing_is_wrapped_around_is_digested_once(tmp_path: Path) -> None:
    for data, codes in ((SQL, []), (SQL.replace(b"customer 20", b"customer 29"), ["digest_mismatch"])):
        path = write(tmp_path, HOUR, data, "sql")
        describe(path, formats=("pgdump-plain",))
        result = run(series=[shop(tmp_path, pattern=f"{tmp_path}/shop-*.sql")])
        assert [finding[0] for finding in told(result)] == codes
        assert result["files"][0]["digests"] == dict.fromkeys(
            ("stored_sha256", "plain_sha256"), hashlib.sha256(data).hexdigest()
        )


def test_a_file_that_was_packed_again_has_the_same_content(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR, sidecar=False)
    describe(path)
    path.write_bytes(gzip.compress(SQL, 1))
    os.utime(path, ((NOW - HOUR).timestamp(),) * 2)
    (finding,) = run(series=[shop(tmp_path)])["findings"]
    assert (finding["code"], finding["severity"]) == ("backup.digest_mismatch", "warning")
    assert finding["evidence"]["content_equal"] is True


@pytest.mark.parametrize("where", ["directory", "file", "none"])
def test_manifests_may_lie_elsewhere(tmp_path: Path, where: str) -> None:
    path = write(tmp_path / "b", HOUR)
    beside = describe(path)
    (tmp_path / "m").mkdir()
    moved = beside.rename(tmp_path / "m" / beside.name)
    place = {"directory": str(tmp_path / "m"), "file": str(moved), "none": "none"}[where]
    (record,) = run(series=[shop(tmp_path / "b")], manifest=place)["files"]
    assert record["assurance"] == ("partial" if where == "none" else "full")


def test_a_manifest_of_another_file_proves_nothing(tmp_path: Path) -> None:
    first, second = nightly(tmp_path, 2)
    shutil.copy(describe(second), f"{first}.manifest.json")
    result = run(series=[shop(tmp_path)])
    assert ("manifest_invalid", "warning", first.name) in told(result)
    assert result["files"][0]["assurance"] == "partial"


# --- when it was taken


def test_a_name_without_a_time_has_that_of_its_manifest(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR).rename(tmp_path / "shop-latest.sql.gz")
    describe(path, taken_at=NOW - 9 * DAY)
    (record,) = run(series=[shop(tmp_path)])["files"]
    assert (record["taken_at"], record["time_from"]) == ("2026-11-13T04:13:00Z", "manifest")
    (record,) = run(series=[shop(tmp_path, time_from="mtime")])["files"]
    assert (record["taken_at"], record["time_from"]) == ("2026-11-22T03:13:00Z", "mtime")


def test_a_touched_file_is_as_old_as_its_manifest_or_its_dump_says(tmp_path: Path) -> None:
    path = write(tmp_path, 9 * DAY)
    describe(path, taken_at=NOW - 9 * DAY)
    os.utime(path, (NOW.timestamp(),) * 2)
    assert told(run(series=[shop(tmp_path, time_from="manifest")]))[0][:2] == ("stale", "critical")
    dump = tmp_path / "d" / "shop.dump"
    dump.parent.mkdir()
    dump.write_bytes(archive())
    os.utime(dump, (NOW.timestamp(),) * 2)
    (record,) = run(series=[shop(tmp_path / "d", pattern=str(dump), time_from="dump_header", time_zone="UTC")])["files"]
    assert (record["taken_at"], record["time_from"]) == ("2026-11-22T02:04:13Z", "dump_header")


def test_a_pattern_says_where_the_time_stands(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR).rename(tmp_path / "shop_22.11.26_03.sql.gz")
    pattern = r"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d\d)_(?P<hour>\d\d)"
    (record,) = run(series=[shop(tmp_path, pattern=str(path), time_pattern=pattern, time_zone="UTC")])["files"]
    assert (record["taken_at"], record["time_from"]) == ("2026-11-22T03:00:00Z", "name")


# --- which are read


def names(result: dict[str, Any]) -> set[str]:
    return {Path(record["path"]).name for record in result["files"]}


def test_rolling_reads_every_file_once_in_as_many_periods(tmp_path: Path) -> None:
    paths = nightly(tmp_path, 40, data=b"x")
    newest = paths[0].name
    rolling = {"parts": 10, "period": "1d"}
    read: list[str] = []
    for day in range(10):
        now = NOW + timedelta(seconds=day)
        result = run(
            now, series=[shop(tmp_path, level="presence")], select="rolling", rolling={**rolling, "period": "1s"}
        )
        assert newest in names(result)
        read += sorted(names(result) - {newest})
    assert sorted(read) == sorted(
        {path.name for path in paths} - {newest, *(set() if newest not in read else {newest})}
    )
    again = run(NOW, series=[shop(tmp_path, level="presence")], select="rolling", rolling=rolling)
    assert names(again) == names(run(NOW, series=[shop(tmp_path, level="presence")], select="rolling", rolling=rolling))
    assert len(names(again)) < 15


def test_what_was_verified_lately_is_not_read_again(tmp_path: Path) -> None:
    paths = nightly(tmp_path / "b", 5)
    options = {"series": [shop(tmp_path / "b")], "select": "all", "state_file": str(tmp_path / "state.jsonl")}
    options["rolling"] = {"reverify_after": "7d"}
    assert len(names(run(NOW, **options))) == 5
    again = run(NOW + HOUR, **options)
    assert names(again) == {paths[0].name}
    assert again["files"][0]["verified_before"] == {"at": "2026-11-22T04:13:00Z", "status": "ok"}
    paths[3].write_bytes(gzip.compress(SQL + b"\n"))
    assert names(run(NOW + HOUR, **options)) == {paths[0].name, paths[3].name}
    assert len(names(run(NOW + 8 * DAY, **options))) == 5


def test_a_bad_one_is_read_again_however_lately(tmp_path: Path) -> None:
    paths = nightly(tmp_path / "b", 3)
    paths[2].write_bytes(paths[2].read_bytes()[:-9])
    options = {"series": [shop(tmp_path / "b")], "select": "all", "state_file": str(tmp_path / "state.jsonl")}
    options["rolling"] = {"reverify_after": "7d"}
    run(NOW, **options)
    assert names(run(NOW + HOUR, **options)) == {paths[0].name, paths[2].name}


def test_in_check_mode_nothing_is_remembered(tmp_path: Path) -> None:
    nightly(tmp_path / "b", 2)
    state = tmp_path / "state.jsonl"
    params = validate("backup_verify", _spec(), {"series": [shop(tmp_path / "b")], "state_file": str(state)}).params
    check(params, NOW, check_mode=True)
    assert not state.exists()
    check(params, NOW)
    (line,) = state.read_text().splitlines()
    assert json.loads(line)["status"] == "ok"


def _spec() -> dict[str, Any]:
    from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC

    return ARGUMENT_SPEC


def test_a_state_that_cannot_be_written_is_told_and_the_rest_verified(tmp_path: Path) -> None:
    nightly(tmp_path / "b", 2)
    result = run(series=[shop(tmp_path / "b")], state_file=str(tmp_path / "no" / "such" / "state.jsonl"))
    assert [(code, severity) for code, severity, _subject in told(result)] == [("state_unusable", "warning")]
    assert result["files"][0]["status"] == "ok"


def test_one_that_should_still_be_there_is_missed(tmp_path: Path) -> None:
    paths = nightly(tmp_path / "b", 6)
    series = shop(tmp_path / "b", keep={"daily": 7})
    options = {"series": [series], "select": "all", "state_file": str(tmp_path / "state.jsonl")}
    assert told(run(NOW, **options)) == []
    for path in paths[3:]:
        path.unlink()
    result = run(NOW, **options)
    assert ("retention_missing", "warning", "shop") in told(result)
    assert sorted(result["series"][0]["retention"]["missing"]) == sorted(str(path) for path in paths[3:])
    fewer = {**options, "series": [{**series, "keep": {"daily": 3}}]}
    assert "retention_missing" not in [
        code for code, *_rest in told(run(NOW, **fewer))
    ]  # the policy does not want them any more


# --- what is around


def test_sizes_and_durations_go_on(tmp_path: Path) -> None:
    nightly(tmp_path / "b", 8)
    options = {"series": [shop(tmp_path / "b")], "select": "all", "state_file": str(tmp_path / "state.jsonl")}
    run(NOW, **options)
    (series,) = run(NOW, **options)["series"]
    assert series["trend"]["size"]["points"] == 8
    assert series["trend"]["seconds"]["points"] == 8
    assert series["trend"]["free_bytes"] > 0


def test_copies_and_the_rule(tmp_path: Path) -> None:
    paths = nightly(tmp_path / "b", 2)
    (tmp_path / "far").mkdir()
    copies = [{"site": "far", "path": str(tmp_path / "far"), "media": "nas", "offsite": True}]
    series = shop(tmp_path / "b", copies=copies)
    result = run(series=[series])
    assert [code for code, _severity, _subject in told(result)] == ["copy_missing", "rule_not_met"]
    shutil.copy(paths[0], tmp_path / "far")
    result = run(series=[series])
    assert [code for code, _severity, _subject in told(result)] == ["rule_not_met"]
    rule = result["series"][0]["rule_3_2_1_1_0"]
    assert rule == {
        "copies": 3, "media": 2, "offsite": 1, "immutable": 0, "errors": 0, "failing": ["immutable"], "met": False,
    }  # fmt: skip


def test_the_globals_are_sought(tmp_path: Path) -> None:
    nightly(tmp_path / "b", 2)
    pattern = f"{tmp_path}/globals/globals-*"
    assert told(run(series=[shop(tmp_path / "b", globals=pattern)])) == [("globals_missing", "warning", "shop")]
    write(tmp_path / "globals", HOUR).rename(tmp_path / "globals" / "globals-20261122T030000Z.sql.gz")
    assert told(run(series=[shop(tmp_path / "b", globals=pattern)])) == []


def test_the_owner_is_compared(tmp_path: Path) -> None:
    nightly(tmp_path, 2)
    assert told(run(series=[shop(tmp_path, owner="nobody-at-all")])) == [("wrong_owner", "warning", "shop")]


def test_a_signature_keeps_a_replaced_backup_from_passing(tmp_path: Path) -> None:
    """Whoever replaces the file and its manifest together cannot sign."""
    path = write(tmp_path, HOUR, sidecar=False)
    beside = describe(path)
    sign(beside)
    options: dict[str, Any] = {"series": [shop(tmp_path)], "require_signature": True}
    options["signers"] = {"minisign": [public(KEY)]}
    result = run(**options)
    assert told(result) == []
    assert result["files"][0]["signature"] == {"kind": "minisign", "valid": True, "by": "3837363534333231"}
    forged = SQL.replace(b"customer 20", b"customer 99")
    path.write_bytes(gzip.compress(forged))
    os.utime(path, ((NOW - HOUR).timestamp(),) * 2)
    describe(path, plain_sha256=hashlib.sha256(forged).hexdigest())
    assert told(run(**options)) == [("signature_bad", "critical", path.name)]
    sign(beside, OTHER)
    assert told(run(**options)) == [("signature_bad", "critical", path.name)]
    (tmp_path / f"{beside.name}.minisig").unlink()
    assert told(run(**options)) == [("signature_missing", "critical", path.name)]


def test_nothing_of_a_key_or_a_row_is_in_a_result(tmp_path: Path) -> None:
    secret = "correct-horse-battery-staple"
    (tmp_path / "pass").write_text(secret + "\n")
    key = base64.b64encode(Ed25519PrivateKey.from_private_bytes(b"s" * 32).private_bytes_raw()).decode()
    (tmp_path / "age").write_text(f"AGE-SECRET-KEY-1{key}\n")
    folder = tmp_path / "b"
    write(folder, HOUR, b"age-encryption.org/v1\n-> X25519 abc\n" + bytes(200), "sql.age")
    write(folder, DAY, b"Salted__" + bytes(64), "sql.enc")
    write(folder, 2 * DAY, b"\x8c\x0d\x04\x09\x03\x02" + bytes(60), "sql.gpg")
    decrypt = {
        "passphrase_file": str(tmp_path / "pass"),
        "age_identity_file": str(tmp_path / "age"),
        "openssl": {"pass_file": str(tmp_path / "pass")},
    }
    text = json.dumps(run(series=[shop(folder)], select="all", decrypt=decrypt))
    assert secret not in text
    assert key not in text
    assert "customer 20" not in text


def test_what_is_written_into_a_manifest_is_what_is_read(tmp_path: Path) -> None:
    beside = describe(write(tmp_path, HOUR))
    assert parse(beside.read_bytes()).rows == (COUNTED.rows if COUNTED else None)
    assert re.fullmatch(r"[0-9a-f]{64}", parse(beside.read_bytes()).stored_sha256)
    assert isinstance(parse(beside.read_bytes()).taken_at, datetime)
