"""What `files` finds: paths, directories, globs; bounded, and never twice the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.discover import Finder, Search
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

PATTERNS = tuple(ARGUMENT_SPEC["patterns"]["default"])
EXCLUDES = tuple(ARGUMENT_SPEC["excludes"]["default"])


def find(*entries: Path | str, seconds: float | None = None, **options: object) -> Finder:
    known = {
        "recurse": False,
        "max_depth": 8,
        "follow": True,
        "patterns": PATTERNS,
        "excludes": EXCLUDES,
        "max_files": 1000,
    }
    finder = Finder(Search(**{**known, **options}), Deadline(seconds))
    finder.find([str(entry) for entry in entries])
    return finder


def names(finder: Finder, root: Path) -> list[str]:
    return sorted(os.path.relpath(path, root) for path in finder.paths)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "a.pem",
        "b.crt",
        "privkey.pem",
        "a.key",
        "db-key.pem",
        "dhparam.pem",
        "README",
        "notes.txt",
        "one/c.pem",
        "one/two/d.pem",
        ".hidden/e.pem",
        "x.pem/f.cer",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_directory_gives_what_looks_like_a_certificate(tree: Path) -> None:
    finder = find(tree)
    assert names(finder, tree) == ["a.pem", "b.crt"]
    assert finder.failures == {}


def test_recursion_goes_down_to_max_depth_and_says_so(tree: Path) -> None:
    assert names(find(tree, recurse=True), tree) == [
        ".hidden/e.pem", "a.pem", "b.crt", "one/c.pem", "one/two/d.pem", "x.pem/f.cer",
    ]  # fmt: skip
    shallow = find(tree, recurse=True, max_depth=1)
    assert names(shallow, tree) == [".hidden/e.pem", "a.pem", "b.crt", "one/c.pem", "x.pem/f.cer"]
    assert shallow.too_deep == [str(tree / "one/two")]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.pem", ["a.pem", "db-key.pem", "dhparam.pem", "privkey.pem"]),  # who writes a glob has chosen
        ("*/*.pem", ["one/c.pem"]),
        ("**/*.pem", ["a.pem", "db-key.pem", "dhparam.pem", "one/c.pem", "one/two/d.pem", "privkey.pem"]),
        ("one/**", ["one/c.pem", "one/two/d.pem"]),
        ("o*/two/d.pem", ["one/two/d.pem"]),
        (".h*/*", [".hidden/e.pem"]),
        ("[ab].*", ["a.key", "a.pem", "b.crt"]),
        ("**/**/d.pem", ["one/two/d.pem"]),
    ],
)
def test_a_glob_gives_what_it_matches(tree: Path, pattern: str, found: list[str]) -> None:
    finder = find(f"{tree}/{pattern}")
    assert names(finder, tree) == found
    assert finder.failures == {}


def test_a_name_with_a_bracket_in_it_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].pem").write_text("x")
    assert names(find(tmp_path / "a[1].pem"), tmp_path) == ["a[1].pem"]


def test_a_file_is_taken_once_under_the_name_that_was_given(tree: Path) -> None:
    (tree / "link.pem").symlink_to("a.pem")
    os.link(tree / "a.pem", tree / "same.pem")
    assert names(find(tree, f"{tree}/*.pem", tree / "link.pem"), tree) == [
        "b.crt", "db-key.pem", "dhparam.pem", "link.pem", "privkey.pem",
    ]  # fmt: skip
    both = find(tree / "a.pem", tree / "link.pem", tree / "a.pem")
    assert names(both, tree) == ["a.pem", "link.pem"]
    again = find(tree, tree / "one/..")  # all of it was taken before, which is no failure
    assert names(again, tree) == ["a.pem", "b.crt"]
    assert again.failures == {}


def test_loops_of_links_do_no_harm(tree: Path) -> None:
    (tree / "one/two/up").symlink_to(tree)
    (tree / "one/two/self").symlink_to(".")
    (tree / "self.pem").symlink_to("self.pem")
    assert "self.pem" in names(find(tree, recurse=True), tree)
    assert len(find(tree, recurse=True).paths) == 7
    assert len(find(f"{tree}/**/*.pem").paths) == 7


def test_links_are_passed_over_when_not_followed(tree: Path) -> None:
    (tree / "link.pem").symlink_to("a.key")
    (tree / "below").symlink_to("one")
    assert names(find(tree, recurse=True, follow=False), tree)[:3] == [".hidden/e.pem", "a.pem", "b.crt"]
    assert "below/c.pem" not in names(find(f"{tree}/**/c.pem", follow=False), tree)


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ("empty", "empty", "holds no file that matches *.pem, *.crt, *.cer, *.cert, and recurse is off"),
        ("none/*.pem", "not_found", "No file matches"),
        ("emp*", "not_found", "No file matches"),  # a directory is no file
        ("file/*.pem", "not_found", "cannot be searched: Not a directory"),
    ],
)
def test_what_finds_nothing_is_a_failure_that_names_it(tmp_path: Path, entry: str, kind: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    finder = find(tmp_path / entry)
    ((subject, failure),) = finder.failures.items()
    assert finder.paths == []
    assert subject in (str(tmp_path / entry), str(tmp_path / "file"))
    assert failure.kind == kind
    assert words in failure.message
    assert failure.remedy


def test_a_path_that_is_not_there_is_taken_for_the_reader_to_name(tmp_path: Path) -> None:
    assert find(tmp_path / "none.pem").paths == [str(tmp_path / "none.pem")]


def test_too_many_files_end_the_search_and_say_so(tree: Path) -> None:
    finder = find(tree, recurse=True, max_files=2)
    assert len(finder.paths) == 2
    assert finder.failures[str(tree)].kind == "too_many_files"


def test_a_search_ends_with_its_time(tree: Path) -> None:
    finder = find(tree, recurse=True, seconds=0)
    assert finder.failures[str(tree)].kind == "deadline"
    assert finder.searching == str(tree)
