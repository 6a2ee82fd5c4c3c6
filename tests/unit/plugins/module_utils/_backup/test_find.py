"""Which files belong to a series, and what stands beside them."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.find import Finder, Listing
from tests.unit.plugins.module_utils._backup.samples import series


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def find(pattern: str | Path, **changes: object) -> Listing:
    return Finder().find(series(pattern=str(pattern), **changes))


def names(listing: Listing, root: Path) -> list[str]:
    return sorted(str(Path(file.path).relative_to(root)) for file in listing.files)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("shop-*.sql.gz", ["shop-1.sql.gz", "shop-2.sql.gz"]),
        ("shop-[2-9].sql.gz", ["shop-2.sql.gz"]),
        ("shop-?.sql*", ["shop-1.sql.gz", "shop-2.sql.gz"]),
        ("*", ["notes.txt", "shop-1.sql.gz", "shop-2.sql.gz", "sub"]),
        ("shop-1.sql.gz", ["shop-1.sql.gz"]),
        ("shop-9.sql.gz", []),
        ("*/shop-*.sql", ["sub/shop-3.sql"]),
        ("**/shop-*", ["shop-1.sql.gz", "shop-2.sql.gz", "sub/deep/shop-4.sql", "sub/shop-3.sql"]),
        ("**", ["notes.txt", "shop-1.sql.gz", "shop-2.sql.gz", "sub/deep/shop-4.sql", "sub/shop-3.sql"]),
        ("sub/**/*", ["sub/deep/shop-4.sql", "sub/shop-3.sql"]),
        (".*.gz", [".hidden.gz"]),
        ("*/*/*.sql", ["sub/deep/shop-4.sql"]),
    ],
)
def test_a_pattern_matches_as_in_a_shell(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    make(
        tmp_path,
        *("shop-1.sql.gz", "shop-2.sql.gz", "shop-1.sql.gz.sha256", "SHA256SUMS", "notes.txt", ".hidden.gz"),
        *("shop-3.sql.gz.partial", "sub/shop-3.sql", "sub/deep/shop-4.sql", "sub/.git/shop-5.sql"),
    )
    assert names(find(tmp_path / pattern), tmp_path) == expected


def test_a_path_that_is_a_directory_stands_for_all_below_it(tmp_path: Path) -> None:
    make(tmp_path, "a.sql", "sub/b.sql", "sub/b.sql.md5")
    assert names(find(tmp_path, named=False), tmp_path) == ["a.sql", "sub/b.sql"]
    assert names(find(f"{tmp_path}/", named=False), tmp_path) == ["a.sql", "sub/b.sql"]
    (directory,) = find(tmp_path).files  # a series names its files
    assert directory.kind == "directory"


def test_characters_of_a_pattern_in_a_real_name_can_be_written(tmp_path: Path) -> None:
    make(tmp_path, "shop[1].sql", "shop1.sql")
    assert names(find(tmp_path / "shop[[]1].sql"), tmp_path) == ["shop[1].sql"]


@pytest.mark.parametrize(
    "name", ["shop-2.sql.gz.partial", "shop-2.sql.gz.tmp", "shop-2.sql.gz.part", "shop-2.sql.gz.filepart"]
)
def test_an_unfinished_file_is_no_backup(tmp_path: Path, name: str) -> None:
    make(tmp_path, "shop-1.sql.gz", name)
    for pattern in ("shop-*.sql.gz", "shop-*"):
        listing = find(tmp_path / pattern)
        assert names(listing, tmp_path) == ["shop-1.sql.gz"]
        assert [Path(partial.path).name for partial in listing.partials] == [name]
    assert find(tmp_path / "other-*").partials == []


def test_a_digest_whose_file_is_gone_is_stale(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(
            "shop-1.sql.gz",
            "shop-1.sql.gz.sha256",
            "shop-1.sql.sha256",
            "shop-0.sql.gz.sha256",
            "other-1.sql.gz.sha256",
        ),
        *("shop-2.sql.gz.gpg", "shop-2.sql.sha256sum"),
    )
    stale = [Path(path).name for path in find(tmp_path / "shop-*.sql.gz*").stale_sidecars]
    assert stale == ["shop-0.sql.gz.sha256", "shop-1.sql.sha256", "shop-2.sql.sha256sum"]


def test_what_is_no_file_is_told_apart(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s-fifo")
    (tmp_path / "s-directory").mkdir()
    (tmp_path / "s-dangling_link").symlink_to("nowhere")
    (tmp_path / "s-file").write_bytes(b"x")
    (tmp_path / "s-device").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as unix:
        os.chdir(tmp_path)
        unix.bind("s-socket")
    kinds = {Path(file.path).name[2:]: file.kind for file in find(tmp_path / "s-*").files}
    assert kinds == {kind: kind for kind in ("fifo", "directory", "dangling_link", "file", "device", "socket")}


def test_a_link_to_a_listed_file_is_not_counted_twice(tmp_path: Path) -> None:
    make(tmp_path, "shop-1.sql.gz", "elsewhere/real.gz")
    (tmp_path / "shop-latest.sql.gz").symlink_to("shop-1.sql.gz")
    (tmp_path / "shop-0.sql.gz").symlink_to("elsewhere/real.gz")
    assert names(find(tmp_path / "shop-*.sql.gz"), tmp_path) == ["shop-0.sql.gz", "shop-1.sql.gz"]


def test_two_names_of_one_file_are_two_backups(tmp_path: Path) -> None:
    make(tmp_path, "daily-1.sql")
    os.link(tmp_path / "daily-1.sql", tmp_path / "daily-2.sql")
    assert names(find(tmp_path / "daily-*"), tmp_path) == ["daily-1.sql", "daily-2.sql"]


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    make(tmp_path, "sub/a.sql")
    (tmp_path / "sub" / "up").symlink_to("..")
    (tmp_path / "round").symlink_to("round")
    assert names(find(tmp_path / "**" / "*.sql"), tmp_path) == ["sub/a.sql"]
    assert names(find(tmp_path / "*" / "*.sql"), tmp_path) == ["sub/a.sql"]


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert find(tmp_path / "gone" / "*.sql").missing_directory == str(tmp_path / "gone")
    assert find(tmp_path / "*.sql").missing_directory == ""
    assert find(tmp_path / "*" / "*.sql").missing_directory == ""
    make(tmp_path, "file")
    assert find(tmp_path / "file" / "*.sql").missing_directory == str(tmp_path / "file")


def test_a_directory_that_cannot_be_listed_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    listing = find(tmp_path / "round" / "*.sql")
    assert [(failure.kind, failure.path) for failure in listing.failures] == [("unreadable", str(tmp_path / "round"))]
    assert "Too many levels" in listing.failures[0].reason
    assert len(find(tmp_path / "round" / "**" / "*.sql").failures) == 1


def test_a_file_that_cannot_be_looked_at_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "shop-1.sql").symlink_to("shop-1.sql")
    listing = find(tmp_path / "shop-*")
    assert listing.files == []
    assert [failure.path for failure in listing.failures] == [str(tmp_path / "shop-1.sql")]


# --- when it was taken


def test_the_time_is_in_the_name_or_is_that_of_the_file(tmp_path: Path) -> None:
    make(tmp_path, "shop-20261122T020000Z.sql", "shop-x.sql")
    for path in tmp_path.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    by_mtime = datetime.fromtimestamp(1_700_000_000, UTC)
    seen = {Path(file.path).name: (file.taken_at, file.taken_from) for file in find(tmp_path / "shop-*").files}
    assert seen == {
        "shop-20261122T020000Z.sql": (datetime(2026, 11, 22, 2, tzinfo=UTC), "name"),
        "shop-x.sql": (by_mtime, "mtime"),
    }
    assert {file.taken_at for file in find(tmp_path / "shop-*", time_from="mtime").files} == {by_mtime}


def test_a_directory_gives_the_time_only_where_the_pattern_leaves_it_open(tmp_path: Path) -> None:
    make(tmp_path, "disk-20200101/20261122_020000/shop.sql")
    os.utime(tmp_path / "disk-20200101/20261122_020000/shop.sql", (0, 0))
    (open_,) = find(tmp_path / "disk-20200101" / "*" / "shop.sql", zone=UTC).files
    assert open_.taken_at == datetime(2026, 11, 22, 2, tzinfo=UTC)
    (below,) = find(tmp_path / "disk-20200101", named=False, zone=UTC).files
    assert below.taken_at == datetime(2026, 11, 22, 2, tzinfo=UTC)
    (fixed,) = find(tmp_path / "disk-20200101" / "20261122_020000" / "shop.sql", zone=UTC).files
    assert (fixed.taken_at, fixed.taken_from) == (datetime.fromtimestamp(0, UTC), "mtime")
    (file,) = find(tmp_path / "disk-20200101/20261122_020000/shop.sql", named=False).files
    assert file.taken_from == "mtime"


def test_a_day_in_the_name_is_refined_by_the_time_of_the_file(tmp_path: Path) -> None:
    make(tmp_path, "shop-20261122.sql")
    at_two = datetime(2026, 11, 22, 2, tzinfo=UTC)
    os.utime(tmp_path / "shop-20261122.sql", (at_two.timestamp(),) * 2)
    (file,) = find(tmp_path / "shop-*", zone=UTC).files
    assert (file.taken_at, file.taken_from) == (at_two, "name")


# --- who can read it


@pytest.mark.parametrize(
    ("mode", "above", "exposed"), [(0o644, 0o755, True), (0o640, 0o755, False), (0o644, 0o750, False)]
)
def test_a_file_is_exposed_when_everybody_can_read_and_reach_it(
    tmp_path: Path, mode: int, above: int, exposed: bool
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    make(place, "shop.sql")
    (place / "shop.sql").chmod(mode)
    place.chmod(above)
    for directory in tmp_path.parents:
        if directory.stat().st_uid == os.geteuid() and str(directory).startswith(str(tmp_path.parents[2])):
            directory.chmod(directory.stat().st_mode | 0o001)
    tmp_path.chmod(0o755)
    try:
        (file,) = find(place / "*").files
        assert (file.exposed, file.mode) == (exposed, mode)
    finally:
        tmp_path.parent.chmod(0o700)


def test_a_file_at_the_root_has_no_directory_that_hides_it() -> None:
    assert Finder()._is_reachable("/etc/passwd") is True
    assert Finder()._is_reachable("/none/such") is False
