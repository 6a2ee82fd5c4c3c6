"""What sha256sum writes, and what has become of it since."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import Digests, Entry, is_companion, parse

A, B = "a" * 64, "b" * 64
PATH = "/b/shop.sql.gz"


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (f"{A}  shop.sql.gz", Entry(A, "shop.sql.gz")),
        (f"{A} *shop.sql.gz", Entry(A, "shop.sql.gz")),
        (f"{A.upper()}  ./shop.sql.gz", Entry(A, "./shop.sql.gz")),
        (f"{A}  /old/place/shop.sql.gz", Entry(A, "/old/place/shop.sql.gz")),
        (f"{A}  a name with blanks", Entry(A, "a name with blanks")),
        (f"{A}", Entry(A, "")),
        (f"\ufeff{A}  shop.sql.gz\r", Entry(A, "shop.sql.gz")),
        (f"SHA256 (shop.sql.gz) = {A}", Entry(A, "shop.sql.gz")),
        (rf"\{A}  two\nlines\\", Entry(A, "two\nlines\\")),
        (rf"{A}  C:\new", Entry(A, r"C:\new")),
    ],
)
def test_a_line_is_read(line: str, entry: Entry) -> None:
    assert parse(f"# made by the night job\n{line}\n") == [entry]


@pytest.mark.parametrize(
    "text", ["", "hello", "d41d8cd98f00b204e9800998ecf8427e  shop.sql.gz", f"{A}x  shop.sql.gz", A[:-1], "\0" * 99]
)
def test_anything_else_is_left_out(text: str) -> None:
    assert parse(text) == []


@pytest.mark.parametrize(
    ("entries", "own", "found"),
    [
        ([Entry(A, "shop.sql.gz")], True, A),
        ([Entry(A, "./shop.sql.gz")], False, A),
        ([Entry(A, "/old/shop.sql.gz")], False, A),  # it was moved
        ([Entry(A, "")], True, A),
        ([Entry(A, "")], False, None),
        ([Entry(A, "renamed.sql.gz")], True, A),
        ([Entry(A, "renamed.sql.gz")], False, None),
        ([Entry(B, "other.sql.gz"), Entry(A, "shop.sql.gz")], True, A),
        ([Entry(B, "other.sql.gz"), Entry(A, "third.sql.gz")], True, None),
        ([Entry(B, "monday/shop.sql.gz"), Entry(A, "shop.sql.gz")], False, A),  # the whole name decides
        ([Entry(B, "monday/shop.sql.gz"), Entry(A, "tuesday/shop.sql.gz")], False, None),
        ([Entry(B, "../b/shop.sql.gz")], False, B),
        ([Entry(B, "../../etc/passwd")], False, None),
        ([Entry(A, "shop.sql.gz"), Entry(A, "shop.sql.gz")], False, A),
        ([Entry(A, "shop.sql.gz"), Entry(B, "shop.sql.gz")], False, None),
        ([], False, None),
    ],
)
def test_the_entry_of_a_file_is_found(entries: list[Entry], own: bool, found: str | None) -> None:
    entry = Digests(entries).of(PATH, own)
    assert (entry and entry.sha256) == found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shop.sql.gz.sha256", True),
        ("shop.sql.gz.md5", True),
        ("shop.sql.gz.minisig", True),
        ("shop.manifest.json", True),
        ("SHA256SUMS", True),
        ("shop.sql.gz", False),
        ("shop.sql.gz.asc", False),  # armoured ciphertext too
        ("SHA256SUMS.gz", False),
    ],
)
def test_what_stands_beside_a_backup_is_no_backup(name: str, expected: bool) -> None:
    assert is_companion(name) is expected
