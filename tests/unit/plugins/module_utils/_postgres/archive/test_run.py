"""A run on a directory, without a server: what it needs, refuses, and says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.run import clean
from tests.unit.plugins.module_utils._postgres.archive.samples import fill, name, options, segments
from tests.unit.plugins.module_utils._postgres.archive.test_backups import plain
from tests.unit.plugins.module_utils._postgres.archive.test_labels import LABEL


def call(folder: Path, *, check: bool = False, **given: Any) -> Any:
    params = {"path": str(folder / "archive"), "ask_server": False, "state_dir": str(folder / "state"), **given}
    return clean(validate("pg_wal_archive", ARGUMENT_SPEC, params, RULES).params, utc_now(), check_mode=check)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    archive = tmp_path / "archive"
    archive.mkdir()
    fill(archive, *(f"{file}.gz" for file in segments(1, 9)))
    return tmp_path


def test_check_mode_leaves_no_trace(place: Path) -> None:
    planned = call(place, check=True, keep_from=name(4), wal_segment_size="16MiB").as_result()
    assert planned["files"] == [f"{file}.gz" for file in segments(1, 3)]
    assert sorted(os.listdir(place)) == ["archive"]
    assert len(os.listdir(place / "archive")) == 9
    done = call(place, keep_from=name(4), wal_segment_size="16MiB").as_result()
    assert done["files"] == planned["files"]
    assert not call(place, keep_from=name(4), wal_segment_size="16MiB").as_result()["changed"]


def test_base_backups_say_what_is_kept(place: Path) -> None:
    plain(place / "base" / "monday", LABEL.replace("2000028", "3000028").replace("000002)", "000003)"), None, 7)
    plain(place / "base" / "friday", LABEL.replace("2000028", "6000028").replace("000002)", "000006)"), None, 7)
    both = call(place, check=True, base_backups=[f"{place}/base/*"], wal_segment_size="16MiB").as_result()
    assert len(both["files"]) == 2
    one = call(place, base_backups=[f"{place}/base/*"], keep_base_backups=1, wal_segment_size="16MiB").as_result()
    assert len(one["files"]) == 5
    assert one["archive"]["keep"]["id"] == str(place / "base" / "friday")


def test_the_end_of_a_base_backup_is_taken_from_its_history_file(place: Path) -> None:
    plain(place / "base", LABEL.replace("2000028", "3000028").replace("000002)", "000003)"), None, 7)
    text = LABEL.replace("2000028", "3000028").replace("000002)", "000003)")
    lines = text.splitlines()
    lines.insert(1, f"STOP WAL LOCATION: 0/5000100 (file {name(5)})")
    (place / "archive" / f"{name(3)}.00000028.backup").write_text("\n".join(lines) + "\n")
    (found,) = call(place, check=True, base_backups=[f"{place}/base"]).as_result()["base_backups"]
    assert (found["start"], found["end"], found["usable"]) == (name(3), name(5), True)


def test_a_consumer_says_by_a_file_what_it_needs(place: Path) -> None:
    (place / "standby1").write_text(f"{name(3)}\n")
    given: dict[str, Any] = {"wal_segment_size": "16MiB"}
    consumers = [{"name": "a", "file": str(place / "standby1")}, {"name": "b", "keep_from": "0/5000028"}]
    result = call(place, check=True, consumers=consumers, **given).as_result()
    assert [(need["id"], need["segment"]) for need in result["needs"]] == [("a", name(3)), ("b", name(5))]
    (place / "standby1").write_text(name(3))
    with pytest.raises(ArchiveRefused, match="no whole line"):
        call(place, consumers=consumers, **given)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "one of the following is required"),
        ({"consumers": []}, "Nothing says which WAL"),
        ({"keep_base_backups": 0}, "cannot be less than 1"),
        ({"keep_from": "yesterday"}, "neither the name of a WAL file"),
        ({"keep_from": "00000002.history"}, "neither the name of a WAL file"),
        ({"keep_from": "0/1", "max_delete": 0}, "cannot be less than 1"),
        ({"keep_from": "0/1", "path": "archive"}, "not an absolute path"),
        ({"base_backups": ["base/*"]}, "not an absolute path"),
        ({"keep_from": "0/1", "suffixes": ["gz"]}, "no ending"),
        ({"keep_from": "0/1", "suffixes": [".partial"]}, "no ending"),
        ({"keep_from": "0/1", "wal_segment_size": "3MiB"}, "powers of two"),
        ({"keep_from": "0/1", "wal_segment_size": "16"}, "wal_segment_size"),
        ({"keep_from": "0/1", "time_limit": "soon"}, "time_limit"),
        ({"consumers": [{"name": "x"}]}, "one of the following is required"),
        ({"consumers": [{"name": "x", "file": "/x", "login_host": "y"}]}, "mutually exclusive"),
        ({"consumers": [{"name": "x", "login_host": "y"}], "ask_server": False}, "ask_server is false"),
        ({"consumers": [{"name": "x", "keep_from": "y"}]}, "keep_from of the consumer x"),
        ({"consumers": [{"name": "x", "file": "y"}]}, "not an absolute path"),
    ],
)
def test_what_makes_no_sense_is_one_error(given: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as refused:
        options(**given)
    assert refused.value.remedy or "less than" in word


def test_a_consumer_is_reached_at_its_own_place() -> None:
    given = options(
        login_host="primary.example.com",
        login_port=5433,
        login_user="upkeep",
        connect_params={"hostaddr": "192.0.2.1", "application_name": "x"},
        consumers=[{"name": "one", "login_host": "standby.example.com"}, {"name": "two", "login_port": 5434}],
    )
    one, two = (each.connection for each in given.consumers)
    assert one is not None
    assert two is not None
    assert (one.label, one.host, one.port, one.user) == ("one", "standby.example.com", 5433, "upkeep")
    assert dict(one.params) == {"application_name": "x"}
    assert (two.label, two.host, two.port) == ("two", "primary.example.com", 5434)
