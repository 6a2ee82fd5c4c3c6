"""Commands that psql would run: found where no quote is open, and nowhere else."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.commands import MetaCommands
from tests.unit.plugins.module_utils._backup.samples import PLAIN, codes_of, recorded

HEADER = b"\n\n--\n-- Name: orders; Type: TABLE; Schema: public; Owner: postgres\n--\n\n"
ENTRY = HEADER + b"CREATE TABLE public.orders (a integer);\n\n"


def found(text: bytes, step: int = 1 << 20) -> list[str]:
    commands = MetaCommands()
    for at in range(0, len(text), step):
        commands.feed(text[at : at + step])
    return commands.found


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (b"\n\\! rm -rf /\n", ["!"]),
        (ENTRY + b"\\! id\n", ["!"]),
        (ENTRY + b"\n-- Name: x\n\\! id\n; Type: TABLE\n", ["!"]),  # a newline in a name, in a comment
        (ENTRY + b"\n\\copy t from program 'id'\n", ["copy"]),
        (ENTRY + b"\n\\i /etc/passwd\n\\o |sh\n", ["i", "o"]),
        (ENTRY + b"\n\\connect shop\n\\restrict abc\n\\unrestrict abc\n\\encoding UTF8\n", []),
        (b"\nSELECT 'a\n\\! id\n';\n", []),
        (b'\nCREATE TABLE "a\n\\! id\n" (b integer);\n', []),
        (b"\nCREATE FUNCTION f() AS $$\nbegin\n\\! id\nend $$;\n", []),
        (b"\nCREATE FUNCTION f() AS $body$\n it's $$ \n\\! id\n$body$;\n\\! id\n", ["!"]),
        (b"\n/* it's\n\\! id\n*/\n", []),
        (b"\nSELECT E'it\\'s\n\\! id\n';\n", []),
        (b"\nSELECT 'it''s';\n-- isn't\n\\! id\n", ["!"]),
    ],
)
def test_a_command_counts_only_where_no_quote_is_open(text: bytes, commands: list[str], step: int) -> None:
    assert found(text, step) == commands


def test_an_entry_too_long_to_be_kept_hides_only_itself() -> None:
    long = ENTRY + b"SELECT '" + b"x" * 3_000_000 + b"\n\\! id\n';\n"
    assert found(long + ENTRY + b"\n\\! id\n", 1 << 16) == ["!"]
    assert found(long + ENTRY, 1 << 16) == []
    assert found((long + ENTRY) * 2, 1 << 24) == []


@pytest.mark.parametrize("name", PLAIN)
def test_no_dump_of_postgresql_has_one(name: str) -> None:
    assert codes_of("x.sql", recorded(name)) == []


def test_a_dump_with_one_is_told() -> None:
    dump = recorded("18.sql")
    place = dump.index(b"\n\n--\n-- Name: ") + 2
    assert codes_of("x.sql", dump[:place] + b"\\! touch /tmp/x\n" + dump[place:]) == ["meta_command"]
    rows = dump.index(b"customer 20")
    inside = dump.rindex(b"\n", 0, rows)
    assert codes_of("x.sql", dump[: inside + 1] + b"\\! x\ty\n" + dump[inside + 1 :]) in ([], ["schema_mismatch"])
