"""The whole check over real directories: findings, records, metrics and the verdict."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from tests.unit.plugins.module_utils._backup.samples import DAY, HOUR, NOW, recorded, run, told

SQL, DUMP = recorded("18.sql"), recorded("18-gzip.dump")
PACKED = gzip.compress(SQL)


def write(
    directory: Path, age: timedelta, data: bytes | None = None, end: str = "sql.gz", sidecar: bool = True
) -> Path:
    """A backup as a careful job leaves it: mode 0600, dated inside too, with its digest beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    data = gzip.compress(SQL, mtime=(NOW - age).timestamp()) if data is None else data
    path = directory / f"shop-{NOW - age:%Y%m%dT%H%M%SZ}.{end}"
    path.write_bytes(data)
    path.chmod(0o600)
    if sidecar:
        path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")
    os.utime(path, ((NOW - age).timestamp(),) * 2)
    return path


def nightly(directory: Path, count: int = 5, **changes: Any) -> list[Path]:
    return [write(directory, HOUR + n * DAY, **changes) for n in range(count)]


def shop(directory: Path, **options: Any) -> dict[str, Any]:
    return {"name": "shop", "pattern": f"{directory}/shop-*", **options}


def test_a_good_series_is_ok(tmp_path: Path) -> None:
    paths = nightly(tmp_path)
    result = run(series=[shop(tmp_path)], select="all")
    assert result["changed"] is False
    assert result["findings"] == []
    assert result["summary"]["worst"] == "ok"
    assert result["summary"]["counts"] == {"ok": 6, "info": 0, "warning": 0, "unknown": 0, "critical": 0}
    assert [record["path"] for record in result["files"]] == [str(path) for path in paths]
    for record in result["files"]:
        assert (record["assurance"], record["unproven"], record["level_reached"]) == (
            "partial",
            ["completeness"],  # no manifest says what its maker had
            "structure",
        )
    size = result["series"][0].pop("trend")["size"]
    assert (size["points"], size["per_day"] < 10, size["in_90_days"] > 1000) == (5, True, True)
    assert result["series"] == [
        {
            "name": "shop",
            "status": "ok",
            "newest": str(paths[0]),
            "taken_at": "2026-11-22T03:13:00Z",
            "age_seconds": 3600,
            "count": 5,
            "examined": 5,
            "gaps": [],
        }
    ]
    assert result["metrics"] == [
        {"name": "backup_count", "value": 5, "unit": "count", "labels": {"series": "shop"}},
        {"name": "backup_age_seconds", "value": 3600, "unit": "seconds", "labels": {"series": "shop"}},
        {"name": "backup_size_bytes", "value": paths[0].stat().st_size, "unit": "bytes", "labels": {"series": "shop"}},
    ]


def test_a_good_series_without_digests_is_no_warning(tmp_path: Path) -> None:
    nightly(tmp_path, sidecar=False)
    result = run(series=[shop(tmp_path)])
    assert told(result) == [("manifest_missing", "info", "shop")]
    assert result["summary"]["worst"] == "info"
    (record,) = result["files"]
    assert (record["status"], record["assurance"], record["unproven"]) == (
        "ok",
        "partial",
        ["completeness", "producer_digest"],
    )


@pytest.mark.parametrize(
    ("data", "end", "doubts"),
    [
        (SQL, "sql", ["producer_digest", "values"]),
        (PACKED, "sql.gz", ["producer_digest"]),
        (DUMP, "dump", ["producer_digest", "toc"]),
        (recorded("18-none.dump"), "dump", ["producer_digest", "toc", "values"]),
    ],
)
def test_without_a_digest_the_format_decides_what_is_unproven(
    tmp_path: Path, data: bytes, end: str, doubts: list[str]
) -> None:
    write(tmp_path, HOUR, data, end, sidecar=False)
    (record,) = run(series=[shop(tmp_path)])["files"]
    doubts = sorted([*doubts, "completeness"])
    assert (record["status"], record["assurance"], record["unproven"]) == ("ok", "partial", doubts)
    assert record["dump"]["complete"] is True


def test_the_records_say_all_that_is_known_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR, PACKED[:-40])
    (record,) = run(series=[shop(tmp_path)])["files"]
    seconds, speed = record.pop("seconds"), record.pop("throughput_mib_s")
    assert seconds >= 0
    assert speed >= 0
    assert record == {
        "path": str(path),
        "series": "shop",
        "size": len(PACKED) - 40,
        "mtime": "2026-11-22T03:13:00Z",
        "taken_at": "2026-11-22T03:13:00Z",
        "time_from": "name",
        "chain": ["gzip", "pgdump-plain"],
        "level_requested": "structure",
        "level_reached": "presence",
        "assurance": "partial",
        "unproven": ["completeness", "content"],
        "status": "critical",
        "findings": [{"code": "backup.truncated", "severity": "critical", "layer": "gzip", "offset": len(PACKED) - 40}],
        "digests": {"stored_sha256": hashlib.sha256(PACKED[:-40]).hexdigest()},
        "bytes_decoded": record["bytes_decoded"],
    }


def test_bad_ones_hide_no_others_and_come_first(tmp_path: Path) -> None:
    good = write(tmp_path, HOUR)
    truncated = write(tmp_path, DAY, PACKED[:-100])
    half = write(tmp_path, 2 * DAY, gzip.compress(SQL[: len(SQL) // 2]))
    page = write(tmp_path, 3 * DAY, b"<html>502</html>")
    empty = write(tmp_path, 4 * DAY, b"")
    changed = write(tmp_path, 5 * DAY)
    changed.write_bytes(PACKED.replace(PACKED[4:8], b"abcd", 1))  # the time in its header: only the digest shows it
    os.utime(changed, ((NOW - 5 * DAY).timestamp(),) * 2)
    fifo = tmp_path / f"shop-{NOW - 6 * DAY:%Y%m%dT%H%M%SZ}.sql.gz"
    os.mkfifo(fifo)
    result = run(series=[shop(tmp_path)], select="all")
    assert sorted(told(result)) == sorted(
        [
            ("digest_mismatch", "critical", changed.name),
            ("empty", "critical", empty.name),
            ("incomplete_dump", "critical", half.name),
            ("not_a_backup", "critical", fifo.name),
            ("not_a_backup", "critical", page.name),
            ("truncated", "critical", truncated.name),
            ("gap", "warning", "shop"),  # an empty file and a pipe close none
        ]
    )
    assert result["files"][-1]["path"] == str(good)
    assert result["files"][-1]["status"] == "ok"
    assert result["series"][0]["status"] == "critical"
    assert result["summary"]["counts"] == {"ok": 1, "info": 0, "warning": 1, "unknown": 0, "critical": 6}


def test_one_that_cannot_be_read_yet_is_unknown_and_never_ok(tmp_path: Path) -> None:
    write(tmp_path, HOUR, b"7z\xbc\xaf\x27\x1c" + bytes(500), "dump")
    result = run(series=[shop(tmp_path)])
    assert told(result)[0][:2] == ("unsupported", "unknown")
    assert result["summary"]["worst"] == "unknown"
    (record,) = result["files"]
    assert (record["chain"], record["level_reached"], record["assurance"]) == (["7z"], "presence", "partial")


def test_presence_says_that_the_content_is_unproven(tmp_path: Path) -> None:
    write(tmp_path, HOUR, b"anything at all")
    result = run(series=[shop(tmp_path)], level="presence")
    assert result["findings"] == []
    (record,) = result["files"]
    assert (record["level_requested"], record["level_reached"]) == ("presence", "presence")
    assert (record["assurance"], record["unproven"]) == ("partial", ["completeness", "content", "producer_digest"])
    assert (record["chain"], record["digests"], record["seconds"]) == ([], {}, 0.0)


def test_a_series_may_have_a_level_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR, b"anything at all")
    assert told(run(series=[shop(tmp_path, level="presence")])) == []
    assert told(run(series=[shop(tmp_path)])) == [("unexpected_format", "critical", path.name)]


def test_series_and_paths_together(tmp_path: Path) -> None:
    nightly(tmp_path / "a")
    single = write(tmp_path / "b", 900 * DAY)
    result = run(
        series=[shop(tmp_path / "a"), shop(tmp_path / "none", name="gone")],
        paths=[str(single), str(tmp_path / "b" / "*.dump")],
    )
    assert told(result) == [
        ("missing", "critical", "*.dump"),
        ("missing", "critical", "gone"),
    ]
    assert [record["name"] for record in result["series"]] == ["shop", "gone"]
    assert result["series"][1] == {
        "name": "gone",
        "status": "critical",
        "newest": None,
        "taken_at": None,
        "age_seconds": None,
        "count": 0,
        "examined": 0,
        "gaps": [],
    }
    assert {record["path"]: record["series"] for record in result["files"]}[str(single)] is None


def test_a_directory_of_paths_is_searched(tmp_path: Path) -> None:
    nightly(tmp_path / "sub")
    assert len(run(paths=[str(tmp_path)], select="all")["files"]) == 5
    assert len(run(paths=[str(tmp_path)])["files"]) == 1
    assert told(run(paths=[str(tmp_path)], max_age="30m")) == [("stale", "critical", tmp_path.name)]


def test_a_series_of_which_a_directory_cannot_be_listed_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    result = run(series=[shop(tmp_path / "round")])
    assert told(result) == [("unreadable", "unknown", "round")]
    assert result["series"][0]["status"] == "unknown"


def test_nothing_to_look_at_is_unknown() -> None:
    result = run(series=[])
    assert told(result) == [("nothing_examined", "unknown", "backup")]


def test_parameters_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="More than one series is called shop"):
        run(series=[shop(tmp_path), shop(tmp_path)])


def test_what_the_result_says_is_plain_and_small(tmp_path: Path) -> None:
    for hours in range(400):
        write(tmp_path, hours * HOUR, b"")
    result = run(series=[shop(tmp_path, every="1h")], select="all")
    assert len(json.dumps(result)) <= 100_000
    assert result["summary"]["counts"]["critical"] == 400
    assert result["truncated"]["files"] > 0


def test_it_is_found_by_the_name_of_its_module() -> None:
    assert CHECK.name == "backup_verify"


def test_sha256sum_agrees_with_what_is_verified(tmp_path: Path) -> None:
    """The list that the real program writes is read, from a place that was moved since."""
    paths = nightly(tmp_path / "first", sidecar=False)
    sums = subprocess.run(["sha256sum", *map(str, paths)], capture_output=True, text=True, check=True).stdout
    (tmp_path / "first" / "SHA256SUMS").write_text(sums)
    (tmp_path / "first").rename(tmp_path / "second")
    result = run(series=[shop(tmp_path / "second")], select="all")
    assert result["findings"] == []
    assert {tuple(record["unproven"]) for record in result["files"]} == {("completeness",)}
