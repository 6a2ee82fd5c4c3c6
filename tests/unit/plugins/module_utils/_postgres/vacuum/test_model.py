"""Names for people, and how big a table is when nobody has measured it."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import ReadOnlyServer, UnsupportedServer
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import instant, quote_name
from tests.unit.plugins.module_utils._postgres.vacuum.samples import snapshot, table


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("shop", "shop"),
        ("_a1$", "_a1$"),
        ("Shop", '"Shop"'),
        ("1a", '"1a"'),
        ('a"b', '"a""b"'),
        ("", '""'),
        ("a\n", '"a\n"'),
    ],
)
def test_quote_name(name: str, written: str) -> None:
    assert quote_name(name) == written


def test_a_subject_is_one_line() -> None:
    one = table("x", schema='"new\nline"')
    assert snapshot(one, database="My Shop").subject_of(one) == 'main: "My Shop"."new\\nline".x'
    assert one_line("a\tb\x7f\x00ü") == "a\\tb\\x7f\\x00ü"


@pytest.mark.parametrize(
    ("given", "pages"),
    [
        ({"pages": 100, "live": 1000, "rows": 1000.0}, 100),
        ({"pages": 100, "live": 3000, "rows": 1000.0}, 300),  # it has grown since
        ({"pages": 100, "live": 10, "rows": 1000.0}, 100),  # it has not shrunk on the disk
        ({"pages": 0, "live": 21, "rows": -1.0}, 2),  # never vacuumed: guessed from its rows
        ({"pages": 7, "live": 0, "rows": 0.0}, 7),
        ({"pages": 0, "live": 0, "rows": -1.0}, 0),
    ],
)
def test_pages(given: dict[str, float], pages: int) -> None:
    assert table(**given).pages == pages


def test_never_is_no_instant() -> None:
    assert instant(None) is None
    assert instant(0.0) == "1970-01-01T00:00:00Z"


def test_servers_that_are_refused_say_why() -> None:
    assert "PostgreSQL 13; 14 is the oldest" in UnsupportedServer(130014).message
    assert UnsupportedServer(90624).evidence == {"class": "unsupported_version", "server_version_num": 90624}
    assert ReadOnlyServer().evidence == {"class": "read_only"}
