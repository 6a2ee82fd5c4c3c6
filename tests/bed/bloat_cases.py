"""Tables and indexes whose bloat is known: rows are written, a share of them deleted, and the truth is what a rewrite
then leaves.

`measure(cluster)` makes all of them in a database of its own and sets our estimate, and that of the formula that most
monitoring tools share, beside the truth.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg2.errors import FeatureNotSupported

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.collect import read_bloat
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster as Entrance
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import read_server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, SessionOptions

if TYPE_CHECKING:
    from .postgres import Cluster

SHARES = (0, 25, 50, 80, 95)
# The least bytes of which something can be said, and how many points of 100 an estimate may be off.
SAID_FROM = 1 << 20
POINTS, POINTS_SHARED = 3.0, 5.0


@dataclass(frozen=True)
class Case:
    """One table, `{t}`, with an `id` that counts up, or one index on it.

    `columns` and `values` are what follows `id`; `{n}` in the values is its number. `before` is run when the table is
    empty, `after` when the rows are in. `on` is the index that is judged; without it the table is. `shared` is whether
    equal keys share entries. `since` is the first version that knows the statements; `icu` asks for its collations.
    `quick` cases are those of the short run.
    """

    name: str
    columns: str
    values: str
    rows: int
    on: str = ""
    options: str = ""
    kind: str = "TABLE"
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    shared: bool = False
    since: int = 14
    icu: bool = False
    quick: bool = True


def text_of(length: int, shortest: int | None = None) -> str:
    """An expression for text that does not compress: of *length* bytes, or of *shortest* to fewer than *length*."""
    parts = f"(SELECT string_agg(md5(({{n}} * 31 + k)::text), '') FROM generate_series(1, {length // 32 + 1}) k)"
    if shortest is None:
        return f"substr({parts}, 1, {length})"
    return f"substr({parts}, 1, {shortest} + ({{n}} * 7919 % {length - shortest})::int)"


MANY = range(14)
DAY_OF = "(date_trunc('day', a AT TIME ZONE 'UTC'))"
MINUTES = "timestamptz '2026-01-01 00:00Z' + {n} * interval '1 minute'"

TABLES = (
    Case("fixed", "a int, b bigint", "{n}, {n}", 45_000),
    Case("padded", "a bool, b bigint, c bool, d bigint, e bool", "true, {n}, false, {n}, true", 30_000),
    Case("narrow", "a bool", "true", 60_000, quick=False),
    Case(
        "nullable",
        "a int, b int, c text",
        "nullif({n} % 3, 0), nullif({n} % 2, 0), CASE WHEN {n} % 5 > 0 THEN md5({n}::text) END",
        40_000,
    ),
    Case(
        "many nullable",
        ", ".join(f"c{k} {'text' if k % 3 else 'bigint'}" for k in MANY),
        ", ".join(f"CASE WHEN hashint4({{n}}::int + {k * 1000003}) % 10 > {k % 9} THEN {{n}} END" for k in MANY),
        30_000,
    ),
    Case("all null", ", ".join(f"c{k} text" for k in MANY), ", ".join("NULL" for _ in MANY), 40_000),
    Case("varlena", "a text", text_of(200, 0), 20_000),
    Case("same length", "a text", "md5({n}::text)", 40_000),
    Case("short texts", "a text, b text", "'row ' || {n} % 1000, repeat('x', ({n} % 11)::int)", 40_000),
    Case("toast", "a text, b text", f"md5({{n}}::text), {text_of(3000)}", 12_000, quick=False),
    Case(
        "toast, not compressed",
        "a text, b bigint",
        "repeat('0123456789', 250), {n}",
        25_000,
        before=["ALTER TABLE {t} ALTER a SET STORAGE EXTERNAL"],
        quick=False,
    ),
    Case("compressed in line", "a text", "repeat(md5({n}::text), 100)", 20_000),
    Case("wide", "a text", text_of(1000), 2500),
    Case("wide, near toast", "a text", text_of(1900), 1500),
    Case("wide, variable", "a text", text_of(1000, 0), 4000),
    Case("wide, very variable", "a text", text_of(1900, 0), 3000),
    Case("fillfactor 70", "a int, b bigint", "{n}, {n}", 30_000, options="WITH (fillfactor = 70)"),
    Case("fillfactor 50", "a text", "md5({n}::text)", 20_000, options="WITH (fillfactor = 50)"),
    Case("name", "a name, b int", "'name ' || {n}, {n}", 20_000),
    Case(
        "dropped column",
        "a int, b bigint, c bool",
        "{n}, {n}, true",
        45_000,
        after=["ALTER TABLE {t} DROP COLUMN a"],
    ),
    Case(
        "dropped wide column",
        "a text, b bigint",
        "md5({n}::text), {n}",
        30_000,
        after=["ALTER TABLE {t} DROP COLUMN a"],
    ),
    Case("added column", "a int", "{n}", 45_000, after=["ALTER TABLE {t} ADD COLUMN b bigint DEFAULT 7"]),
    Case(
        "inherited",
        "a int, b text",
        "{n}, md5({n}::text)",
        30_000,
        after=[
            "CREATE TABLE {t}_child () INHERITS ({t})",
            "INSERT INTO {t}_child SELECT n, n, repeat('x', 500) FROM generate_series(1, 900) n",
            "ANALYZE {t}",
        ],
    ),
    Case(
        "partition",
        "a int, b text",
        "{n}, md5({n}::text)",
        30_000,
        after=[
            "CREATE TABLE {t}_parent (LIKE {t}) PARTITION BY RANGE (id)",
            "ALTER TABLE {t}_parent ATTACH PARTITION {t} FOR VALUES FROM (0) TO (100000000)",
            "ANALYZE {t}_parent",
        ],
    ),
    Case("unlogged", "a int, b text", "{n}, md5({n}::text)", 30_000, kind="UNLOGGED TABLE"),
    Case(
        "characters",
        'a "char", b bool, c int2, d char(10), e varchar(20), f "char"',
        "'x', true, ({n} % 100)::int2, 'ab', 'value ' || {n}, 'y'",
        40_000,
    ),
    Case("arrays", "a int[], b text[]", "ARRAY[{n}, 2, 3]::int[], ARRAY['a', {n}::text]", 20_000, quick=False),
    Case(
        "jsonb",
        "a jsonb",
        "jsonb_build_object('id', {n}, 'name', md5({n}::text), 'flag', {n} % 2 = 0)",
        15_000,
    ),
    Case(
        "times",
        "a timestamptz, b date, c interval, d time, e timetz, f uuid",
        "now(), current_date, '1 day', '12:00', '12:00+00', md5({n}::text)::uuid",
        20_000,
    ),
    Case("numeric", "a numeric, b numeric(12,2), c float4", "{n}, {n} * 1.01, {n}", 40_000, quick=False),
    Case(
        "addresses",
        "a inet, b macaddr, c oid, d int2, e bit(12), f point",
        "'10.0.0.1', '08:00:2b:01:02:03', {n}::oid, 3, B'101010101010', '(1,2)'",
        20_000,
    ),
    Case("bytes", "a bytea, b json", "decode(md5({n}::text), 'hex'), '{{\"a\": 1}}'", 20_000),
    Case(
        "plain storage",
        "a text, b text",
        "'abc' || {n}, 'def' || {n}",
        30_000,
        before=["ALTER TABLE {t} ALTER a SET STORAGE PLAIN, ALTER b SET STORAGE MAIN"],
    ),
    Case("many columns", ", ".join(f"c{k} int" for k in range(60)), ", ".join("{n}" for _ in range(60)), 8000),
    Case("stored column", "a int, b int GENERATED ALWAYS AS (a * 2) STORED", "{n}", 40_000, quick=False),
    Case("virtual column", "a int, c bigint, b int GENERATED ALWAYS AS (a * 2) VIRTUAL", "{n}, {n}", 40_000, since=18),
    Case(
        "updated",
        "a int, b text",
        "{n}, md5({n}::text)",
        20_000,
        options="WITH (fillfactor = 80)",
        after=["UPDATE {t} SET a = a + 1", "VACUUM {t}", "UPDATE {t} SET a = a + 1"],
    ),
    Case("truncated tail", "a int, b text", "{n}, md5({n}::text)", 40_000, after=["DELETE FROM {t} WHERE id > 30000"]),
    Case(
        "enum, range, tsvector",
        "a mood, b int4range, c tsvector",
        "'ok', int4range(1, {n}::int + 1), to_tsvector('simple', 'a b ' || {n})",
        20_000,
    ),
    Case("domain", "a short_text, b positive", "'v' || {n}, {n}", 40_000, quick=False),
    Case("composite", "a pair", "ROW({n}, 'x' || {n})::pair", 20_000, quick=False),
)

INDEXES = (
    Case("primary key", "a int", "{n}", 60_000, "UNIQUE (id)"),
    Case("unique", "a int", "{n}", 80_000, "UNIQUE (a)"),
    Case("unique, half null", "a int", "CASE WHEN {n} % 2 = 0 THEN {n} END", 80_000, "UNIQUE (a)"),
    Case("uuid", "a uuid", "md5({n}::text)::uuid", 50_000, "(a)"),
    Case("100 values", "a int", "{n} % 100", 250_000, "(a)", shared=True),
    Case("100 texts", "a text", "'value ' || {n} % 100", 250_000, "(a)", shared=True),
    Case("2 rows a value", "a int", "{n} / 2", 100_000, "(a)", shared=True, quick=False),
    Case("3 rows a value", "a int", "{n} / 3", 100_000, "(a)", shared=True, quick=False),
    Case("3 rows by chance", "a int", "(random() * 33333)::int", 100_000, "(a)", shared=True, quick=False),
    Case("5 rows a value", "a int", "{n} / 5", 130_000, "(a)", shared=True),
    Case("10 rows a value", "a int", "{n} / 10", 180_000, "(a)", shared=True, quick=False),
    Case("10 rows by chance", "a int", "(random() * 18000)::int", 180_000, "(a)", shared=True),
    Case("1000 rows by chance", "a int", "(random() * 200)::int", 200_000, "(a)", shared=True, quick=False),
    Case("two values", "a bool", "{n} % 2 = 0", 250_000, "(a)", shared=True, quick=False),
    Case("skewed", "a int", "CASE WHEN {n} % 10 < 8 THEN {n} % 3 ELSE {n} END", 150_000, "(a)", shared=True),
    Case("power law", "a int", "(1 / (random() * 0.01 + 0.00001))::int", 200_000, "(a)", shared=True),
    Case("nine tenths null", "a int", "CASE WHEN {n} % 10 = 0 THEN {n} END", 200_000, "(a)", shared=True),
    Case("half null", "a text", "CASE WHEN {n} % 2 = 0 THEN md5({n}::text) END", 80_000, "(a)", shared=True),
    Case("only nulls", "a text", "NULL", 220_000, "(a)", shared=True, quick=False),
    Case("sharing off", "a int", "{n} % 100", 80_000, "(a) WITH (deduplicate_items = off)"),
    Case("numeric values", "a numeric", "{n} % 100", 80_000, "(a)"),
    Case("numeric key", "a numeric", "{n}", 80_000, "(a)", quick=False),
    Case("float", "a float8", "{n} % 100", 80_000, "(a)", quick=False),
    Case("index fillfactor 60", "a int", "{n}", 60_000, "(a) WITH (fillfactor = 60)"),
    Case("index fillfactor 100", "a int", "{n}", 80_000, "(a) WITH (fillfactor = 100)"),
    Case("two columns", "a int, b text", "{n}, 'x' || {n}", 50_000, "(a, b)"),
    Case("three columns, padded", "a bool, b bigint, c int2", "true, {n}, 1", 50_000, "(a, b, c)"),
    Case("flag first", "a bool, b timestamptz", "{n} % 2 = 0, " + MINUTES, 50_000, "(a, b)", quick=False),
    Case("two columns, shared", "a int, b int", "{n} % 20, {n} / 20 % 25", 200_000, "(a, b)", shared=True),
    Case(
        "two columns, counted",
        "a int, b int",
        "{n} % 1000, {n} % 1000 / 10",
        200_000,
        "(a, b)",
        shared=True,
        after=["CREATE STATISTICS {s} (ndistinct) ON a, b FROM {t}"],
    ),
    Case(
        "two columns with nulls",
        "a int, b int",
        "CASE WHEN {n} % 4 = 0 THEN {n} END, CASE WHEN {n} % 3 = 0 THEN {n} END",
        80_000,
        "(a, b)",
        shared=True,
    ),
    Case("expression", "a text", "'Name ' || {n}", 60_000, "(lower(a))"),
    Case("expression, shared", "a timestamptz", MINUTES, 220_000, DAY_OF, shared=True),
    Case("expression, fixed", "a int", "{n}", 80_000, "(abs(a))", quick=False),
    Case("partial", "a int", "{n}", 160_000, "(a) WHERE a % 2 = 0"),
    Case(
        "partial, not null",
        "a int",
        "CASE WHEN {n} % 2 = 0 THEN {n} END",
        160_000,
        "(a) WHERE a IS NOT NULL",
    ),
    Case("partial, shared", "a int, b int", "{n} % 3, {n} % 50", 600_000, "(b) WHERE a = 0", shared=True, quick=False),
    Case("include", "a int, b text", "{n} % 100, md5({n}::text)", 40_000, "(a) INCLUDE (b)"),
    Case("unique, include", "a int, b int", "{n}, {n}", 60_000, "UNIQUE (a) INCLUDE (b)", quick=False),
    Case("text of 32", "a text", "md5({n}::text)", 40_000, "(a)"),
    Case("text of 200", "a text", text_of(200), 10_000, "(a)"),
    Case("text of 60 to 400", "a text", text_of(400, 60), 8000, "(a)", quick=False),
    Case("text of 450", "a text", text_of(450), 5000, "(a)", quick=False),
    Case("text of 4 to 32", "a text", text_of(32, 4), 60_000, "(a)", shared=True),
    Case("50 texts of 96", "a text", "repeat(md5(({n} % 50)::text), 3)", 200_000, "(a)", shared=True, quick=False),
    Case("pattern", "a text", "md5({n}::text)", 40_000, "(a text_pattern_ops)", quick=False),
    Case(
        "collation",
        "a text COLLATE caseless",
        "'value ' || {n} % 1000",
        60_000,
        "(a)",
        icu=True,
    ),
    Case("jsonb key", "a jsonb", "jsonb_build_object('k', {n} % 50)", 40_000, "(a)", quick=False),
    Case("array key", "a int[]", "ARRAY[{n} % 50, 1]::int[]", 40_000, "(a)", quick=False),
    Case("name key", "a name", "'name ' || {n}", 60_000, "(a)"),
    Case("oid and int2", "a oid, b int2", "{n}::oid, ({n} % 7)::int2", 60_000, "(a, b)", quick=False),
    Case("int2", "a int2", "({n} % 2000)::int2", 200_000, "(a)", shared=True, quick=False),
    Case("dates", "a date", "date '2026-01-01' + ({n} % 365)::int", 220_000, "(a)", shared=True, quick=False),
    Case("descending", "a timestamptz", MINUTES, 60_000, "(a DESC)", quick=False),
    Case(
        "enum key",
        "a mood",
        "(ARRAY['ok', 'bad', 'good'])[1 + {n} % 3]::mood",
        220_000,
        "(a)",
        shared=True,
        quick=False,
    ),
    Case("character(12)", "a char(12)", "'k' || {n} % 5000", 150_000, "(a)", shared=True),
    Case("inet key", "a inet", "('10.0.0.0'::inet + {n})", 50_000, "(a)", quick=False),
)
CASES = (*TABLES, *INDEXES)

TYPES = (
    "CREATE TYPE mood AS ENUM ('bad', 'ok', 'good')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN short_text AS varchar(40)",
    "CREATE DOMAIN positive AS int CHECK (VALUE >= 0)",
)
CASELESS = "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


@dataclass(frozen=True)
class Row:
    """What came out for one relation: points of 100 that are bloat, in truth and by each estimate.

    The truth is negative where a rewrite makes it larger; an estimate then says 0.
    """

    case: str
    relation: str
    kind: str
    share: int
    megabytes: float
    truth: float
    ours: float
    classic: float
    method: str
    confidence: str
    why: str
    limit: float

    @property
    def error(self) -> float:
        """The points by which we are off."""
        return self.ours - max(0.0, self.truth)

    @property
    def classic_error(self) -> float:
        """The points by which the formula that most tools share is off."""
        return self.classic - max(0.0, self.truth)

    @property
    def within(self) -> bool:
        """Whether we keep to the limit; nothing is promised of what is smaller than 1 MB."""
        return self.megabytes < SAID_FROM / (1 << 20) or abs(self.error) <= self.limit


def measure(
    cluster: Cluster, cases: Iterable[Case] = CASES, shares: Sequence[int] = (0, 50), scale: float = 1.0
) -> list[Row]:
    """Make all *cases*, once for each of the *shares* that are deleted, and return what came out for each relation."""
    with bench(cluster) as made:
        for share in shares:
            for case in cases:
                made.make(case, share, scale)
        return made.judge()


@contextmanager
def bench(cluster: Cluster) -> Iterator[Bench]:
    """A bench in a database of its own, which is dropped in the end."""
    database = f"bloat_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {database}")
    try:
        yield Bench(cluster, database)
    finally:
        cluster.execute(f"DROP DATABASE {database} WITH (FORCE)")


class Bench:
    """A database in which cases are made, and judged together."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self.cluster = cluster
        self.database = database
        self.made: dict[str, tuple[Case, int]] = {}
        self._open()
        for statement in TYPES:
            self.run(statement)
        try:
            self.run(CASELESS)
            self.icu = True
        except FeatureNotSupported:
            self.icu = False

    def _open(self) -> None:
        self._connection = self.cluster.connect(self.database)
        self._connection.autocommit = True

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def make(self, case: Case, share: int, scale: float = 1.0) -> str:
        """Make a case of which that *share* is deleted, unless the server cannot; return the name of its relation."""
        if self.cluster.binaries.major < case.since or (case.icu and not self.icu):
            return ""
        number = len(self.made)
        table, rows = f"t{number}", int(case.rows * scale)
        places = {"t": table, "s": f"s{number}"}
        self.run("SELECT setseed(0.42)")
        self.run(f"CREATE {case.kind} {table} (id int, {case.columns}) {case.options}")
        for statement in case.before:
            self.run(statement.format(**places))
        self.run(f"INSERT INTO {table} SELECT n, {case.values.format(n='n')} FROM generate_series(1, {rows}) n")
        for statement in case.after:
            self.run(statement.format(**places))
        name = f"{table}_index" if case.on else table
        if case.on:
            unique, columns = ("UNIQUE", case.on.removeprefix("UNIQUE ")) if "UNIQUE" in case.on else ("", case.on)
            self.run(f"CREATE {unique} INDEX {name} ON {table} {columns}")
        if share:
            # Spread over the table, and at odds with any pattern in the values.
            self.run(f"DELETE FROM {table} WHERE (hashint4(id) & 1048575) < {1048576 * share // 100}")
        self.run(f"VACUUM (ANALYZE) {table}")
        self.made[name] = (case, share)
        return name

    def settle(self) -> None:
        """End the session, which hands in its counts; before 15 they come as messages, twice a second."""
        self._connection.close()
        if self.cluster.binaries.major < 15:
            time.sleep(0.8)
        self._open()

    def estimates(self) -> dict[str, Estimate]:
        """Our estimates, by the names of the relations."""
        self.settle()
        with entrance(self.cluster).session(self.database) as session:
            found = read_bloat(session, read_server(session))
        return {one.name: one for one in found if one.schema == "public"}

    def judge(self) -> list[Row]:
        """Rewrite everything, and return what was estimated before beside what was saved."""
        ours, classic, before = self.estimates(), classic_estimates(self), self.sizes()
        for name, (case, _share) in self.made.items():
            self.run(f"REINDEX INDEX {name}" if case.on else f"VACUUM FULL {name}")
        after = self.sizes()
        return [
            Row(
                case=case.name,
                relation=name,
                kind="index" if case.on else "table",
                share=share,
                megabytes=before[name] / (1 << 20),
                truth=100 * (1 - after[name] / before[name]),
                ours=100 * ours[name].ratio,
                classic=100 * (1 - classic[name] / before[name]),
                method=ours[name].method,
                confidence=ours[name].confidence,
                why=ours[name].why,
                limit=POINTS_SHARED if case.shared else POINTS,
            )
            for name, (case, share) in self.made.items()
        ]

    def sizes(self) -> dict[str, int]:
        rows = self.run(
            "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        return {str(name): int(size) for name, size in rows}


def entrance(cluster: Cluster, driver: str = "psycopg2", **given: Any) -> Entrance:
    """How our own code gets into the cluster."""
    options = {
        "label": "bed", "host": cluster.host, "port": cluster.port, "user": cluster.user, "password": cluster.password,
        "database": "postgres", "ssl_mode": "prefer", **given,
    }  # fmt: skip
    return Entrance(find_driver([driver]), ConnectionOptions(**options), SessionOptions("pg_health_info"))


# --- the formula of the others ----------------------------------------------------------------------------------------

# As it is published: widths without the padding between columns, every index tuple for itself.
_CLASSIC_TABLES = """
SELECT c.relname, c.reltuples::float8,
       coalesce((SELECT o.option_value::int FROM pg_options_to_table(c.reloptions) AS o
                 WHERE o.option_name = 'fillfactor'), 100),
       23 + CASE WHEN max(s.stanullfrac) > 0 THEN (7 + count(*)) / 8 ELSE 0 END,
       sum((1 - coalesce(s.stanullfrac, 0)) * coalesce(s.stawidth, 0))
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_statistic s ON s.starelid = c.oid AND s.staattnum = a.attnum AND NOT s.stainherit
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
GROUP BY c.oid
"""
_CLASSIC_INDEXES = """
SELECT i.relname, i.reltuples::float8,
       coalesce((SELECT o.option_value::int FROM pg_options_to_table(i.reloptions) AS o
                 WHERE o.option_name = 'fillfactor'), 90),
       CASE WHEN max(coalesce(s.stanullfrac, 0)) = 0 THEN 8 ELSE 12 END,
       sum((1 - coalesce(s.stanullfrac, 0)) * coalesce(s.stawidth, 1024))
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_attribute a ON a.attrelid = i.oid AND a.attnum > 0
LEFT JOIN pg_statistic s ON NOT s.stainherit
  AND s.starelid = CASE x.indkey[a.attnum - 1] WHEN 0 THEN x.indexrelid ELSE x.indrelid END
  AND s.staattnum = CASE x.indkey[a.attnum - 1] WHEN 0 THEN a.attnum ELSE x.indkey[a.attnum - 1] END
WHERE i.relnamespace = 'public'::regnamespace
GROUP BY i.oid
"""


def classic_estimates(bench: Bench) -> dict[str, float]:
    """The bytes that the formula which most tools share expects of each relation."""
    expected = {}
    for name, rows, fillfactor, header, data in bench.run(_CLASSIC_TABLES):
        width = 4 + _padded(header) + _padded(math.ceil(data))
        expected[str(name)] = math.ceil(rows / ((8192 - 24) * fillfactor / (width * 100))) * 8192.0
    for name, rows, fillfactor, header, data in bench.run(_CLASSIC_INDEXES):
        width = 4 + _padded(header) + _padded(math.ceil(data))
        each = math.floor((8192 - 16 - 24) * fillfactor / (width * 100))
        expected[str(name)] = (1 + math.ceil(rows / max(1, each))) * 8192.0
    return expected


def _padded(width: float) -> float:
    return math.ceil(width / 8) * 8
