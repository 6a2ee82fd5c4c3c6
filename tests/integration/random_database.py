"""Random databases: every kind of table, in every state of neglect that a seed can think of."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tests.integration.vacuuming import Place, quote

NAMES = ["plain", "Up", "d.ot", 'quo"te', "100%", "new\nline", "ünï", "select", "a'b", " x "]
COLUMNS = "id int, grp int, note text"
ROW = "n, n % 7, 'note ' || n"


@dataclass
class Maker:
    """Writes the statements of one database."""

    seed: int
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.made = 0

    def name(self) -> str:
        self.made += 1
        return quote(f"{self.random.choice(NAMES)}{self.made}")

    def run(self, *statements: str) -> None:
        self.statements.extend(statements)

    def perhaps(self, *statements: str, chance: float = 0.5) -> None:
        if self.random.random() < chance:
            self.run(*statements)

    # --- tables

    def database(self) -> list[str]:
        self.run("CREATE FOREIGN DATA WRAPPER nowhere", "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere")
        kinds = [
            self.plain,
            self.plain,
            self.plain,
            self.partitioned,
            self.inherited,
            self.view,
            self.wide,
            self.foreign,
        ]
        for _schema in range(self.random.randint(1, 2)):
            schema = self.name()
            self.run(f"CREATE SCHEMA {schema}")
            for _table in range(self.random.randint(2, 6)):
                self.random.choice(kinds)(schema)
        self.perhaps("CREATE TABLE spent (id int)", "CALL spend(1800)")
        self.perhaps("ANALYZE", chance=0.2)
        return self.statements

    def plain(self, schema: str) -> None:
        table = f"{schema}.{self.name()}"
        unlogged = "UNLOGGED " if self.random.random() < 0.2 else ""
        options = self.random.choice(
            ["", "", " WITH (autovacuum_vacuum_threshold = 5, autovacuum_vacuum_scale_factor = 0.01)",
             " WITH (fillfactor = 60, autovacuum_analyze_threshold = 5, autovacuum_vacuum_insert_threshold = -1)"]
        )  # fmt: skip
        self.run(f"CREATE {unlogged}TABLE {table} ({COLUMNS}){options}")
        self.perhaps(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
        self.perhaps(f"CREATE INDEX ON {table} ((grp + 1))", chance=0.2)
        self.perhaps(f"ALTER TABLE {table} ADD COLUMN double int GENERATED ALWAYS AS (grp * 2) STORED", chance=0.2)
        self.live(table, self.random.choice([0, 10, 600, 3000]))
        self.perhaps(f"CREATE STATISTICS {schema}.{self.name()} (ndistinct) ON id, grp FROM {table}", chance=0.2)
        self.perhaps(f"ALTER TABLE {table} DROP COLUMN note", chance=0.1)
        self.perhaps(f"ALTER TABLE {table} ADD COLUMN late int DEFAULT 3", chance=0.2)

    def live(self, table: str, rows: int, columns: str = "(id, grp, note)") -> None:
        """Let rows come and go."""
        self.run(f"INSERT INTO {table} {columns} SELECT {ROW} FROM generate_series(1, {rows}) n")
        self.run(self.random.choice([f"VACUUM (ANALYZE) {table}", f"VACUUM {table}", f"ANALYZE {table}", "SELECT 1"]))
        share = self.random.choice([2, 3, 10, 50])
        self.perhaps(f"UPDATE {table} SET grp = grp + 1 WHERE id % {share} = 0")
        self.perhaps(f"DELETE FROM {table} WHERE id % {share} = 1")
        self.perhaps(f"TRUNCATE {table}", chance=0.05)

    def partitioned(self, schema: str) -> None:
        whole, middle = f"{schema}.{self.name()}", f"{schema}.{self.name()}"
        leaves = [f"{schema}.{self.name()}" for _leaf in range(3)]
        self.run(
            f"CREATE TABLE {whole} ({COLUMNS}) PARTITION BY RANGE (id)",
            f"CREATE TABLE {middle} PARTITION OF {whole} FOR VALUES FROM (0) TO (1000) PARTITION BY LIST (grp)",
            f"CREATE TABLE {leaves[0]} PARTITION OF {middle} FOR VALUES IN (0, 1, 2)",
            f"CREATE TABLE {leaves[1]} PARTITION OF {middle} DEFAULT",
            f"CREATE TABLE {leaves[2]} PARTITION OF {whole} FOR VALUES FROM (1000) TO (10000)",
        )
        rows = self.random.choice([0, 500, 4000])
        self.run(f"INSERT INTO {whole} SELECT {ROW} FROM generate_series(1, {rows}) n")
        self.perhaps(f"ANALYZE {whole}")
        self.perhaps(f"VACUUM (ANALYZE) {self.random.choice(leaves)}")
        self.perhaps(f"DELETE FROM {whole} WHERE id % {self.random.choice([2, 9])} = 0")
        self.perhaps(f"UPDATE {whole} SET note = 'new' WHERE id < 700")

    def inherited(self, schema: str) -> None:
        parent, child = f"{schema}.{self.name()}", f"{schema}.{self.name()}"
        self.run(f"CREATE TABLE {parent} ({COLUMNS})", f"CREATE TABLE {child} () INHERITS ({parent})")
        self.live(parent, self.random.choice([0, 700]))
        self.live(child, self.random.choice([0, 1500]))

    def view(self, schema: str) -> None:
        view = f"{schema}.{self.name()}"
        columns = "n AS id, n % 7 AS grp, 'note ' || n AS note"
        self.run(f"CREATE MATERIALIZED VIEW {view} AS SELECT {columns} FROM generate_series(1, 1200) n")
        self.perhaps(f"ANALYZE {view}", f"REFRESH MATERIALIZED VIEW {view}")

    def wide(self, schema: str) -> None:
        table = f"{schema}.{self.name()}"
        self.run(
            f"CREATE TABLE {table} ({COLUMNS})",
            f"ALTER TABLE {table} ALTER note SET STORAGE EXTERNAL",
            f"INSERT INTO {table} SELECT n, n % 7, repeat(md5(n::text), 120) FROM generate_series(1, 800) n",
        )
        self.perhaps(f"VACUUM (ANALYZE) {table}")
        self.perhaps(f"DELETE FROM {table} WHERE id % {self.random.choice([2, 5])} = 0")

    def foreign(self, schema: str) -> None:
        self.run(f"CREATE FOREIGN TABLE {schema}.{self.name()} (id int) SERVER elsewhere")

    # --- what is asked for

    def options(self, major: int) -> dict[str, Any]:
        pick = self.random.choice
        options: dict[str, Any] = {
            "mode": pick(["vacuum_analyze", "vacuum_analyze", "vacuum", "analyze", "freeze"]),
            # Below this, what ANALYZE itself writes into the catalogs of statistics would be a reason.
            "dead_min": pick([50, 500]),
            "dead_ratio": pick([0.0, 0.1, 0.4]),
            "mod_min": pick([50, 500]),
            "mod_ratio": pick([0.0, 0.05, 0.3]),
            "missing_stats": pick([True, True, False]),
            "use_autovacuum_thresholds": pick([True, False, False]),
            "include_catalogs": pick([True, False]),
            "xid_age": pick([1500, 150_000_000]),
            "jobs": pick([1, 2, 4]),
            "batch_pages": pick([0, 4, 128]),
            "lock_retries": pick([0, 3]),
            "process_toast": pick([None, None, True, False]),
            "index_cleanup": pick([None, "auto", "on"]),
        }
        if major >= 16:
            # Only the TOAST tables: what ANALYZE leaves in that of pg_statistic would be the next run's.
            only_toast = options["mode"] == "vacuum" and options["process_toast"] is not False
            options["process_main"] = pick([None, None, True, False if only_toast else None])
            options["skip_database_stats"] = pick([None, True, False])
        return {option: value for option, value in options.items() if value is not None}


def make(place: Place, seed: int) -> dict[str, Any]:
    """Fill the database; return the options of a run on it."""
    maker = Maker(seed)
    place.execute(
        "CREATE PROCEDURE spend(times int) LANGUAGE plpgsql AS "
        "$$ BEGIN FOR n IN 1..times LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$"
    )
    together: list[str] = []
    for statement in maker.database():
        if statement.startswith(("VACUUM", "ANALYZE", "REFRESH")):
            # What is analysed in the session that filled it is counted twice.
            run(place, together)
            together = []
        together.append(statement)
    run(place, together)
    place.calm()
    return maker.options(place.major)


def run(place: Place, statements: list[str]) -> None:
    """Run them by a session that has gone when this ends."""
    with closing(place.cluster.connect(place.database)) as connected, connected.cursor() as cursor:
        connected.autocommit = True
        for statement in statements:
            cursor.execute(statement)
    place.wait_for(f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{place.database}')")
