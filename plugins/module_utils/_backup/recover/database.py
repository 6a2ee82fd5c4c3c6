# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a restored database in the place of one that is in use: load beside it, swap the names in one transaction."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.model import Backup, Job, Names, Present
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.existing import LoggedIn
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.load import (
    NO_ROLE,
    Loader,
    Source,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    SERVER,
    Failed,
    Restored,
    Wishes,
    failed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import Program, Ward
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.programs import Programs, needed_major
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.prove import Judged, Prover
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.scratch import free_bytes
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.sql import literal, quoted
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.statements import Needed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import (
    SqlFailed,
    psql_arguments,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import table_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_SWAPS = 3
# The key of the locks by which a run says that it is at work on a database: "uprs".
_LOCK = 0x75707273

_FACTS = """
SELECT json_build_object('bytes', pg_catalog.pg_database_size(d.oid), 'owner', r.rolname,
  'sessions', (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid),
  'prepared', (SELECT count(*) FROM pg_catalog.pg_prepared_xacts x WHERE x.database = d.datname),
  'slots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_catalog.pg_replication_slots s
            WHERE s.database = d.datname),
  'subscriptions', (SELECT coalesce(json_agg(subname), '[]') FROM pg_catalog.pg_subscription u WHERE u.subdbid = d.oid))
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba WHERE d.datname = {name};
"""
# The start of the server to the second, as it stands in its postmaster.pid.
_WHERE = """
SELECT json_build_array(pg_catalog.current_setting('data_directory'),
                        extract(epoch FROM pg_catalog.pg_postmaster_start_time())::bigint);
"""
_ROWS = """
SELECT json_build_array(n.nspname, c.relname, CASE WHEN c.reltuples < 0 THEN NULL ELSE c.reltuples::bigint END)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid = c.oid AND d.deptype = 'e');
"""
# What the new database is made like: all that CREATE DATABASE takes of the old one.
_LIKE = """
SELECT json_build_array(
  format('OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L TABLESPACE %I CONNECTION LIMIT %s', r.rolname,
         pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, t.spcname, d.datconnlimit),
  to_jsonb(d) ->> 'datlocprovider', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = {name};
"""
# Settings, grants and the comment, as statements for the new one.
_SETTINGS = """
SELECT format('ALTER DATABASE %I SET %s TO %s;', {fresh},
              split_part(c, '=', 1),
              CASE WHEN lower(split_part(c, '=', 1)) IN ('search_path', 'temp_tablespaces', 'session_preload_libraries',
                                                         'local_preload_libraries', 'datestyle')
                   THEN substr(c, strpos(c, '=') + 1) ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END)
FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS c
WHERE d.datname = {name} AND s.setrole = 0
UNION ALL
SELECT format('ALTER ROLE %I IN DATABASE %I SET %s TO %s;', r.rolname, {fresh},
              split_part(c, '=', 1),
              CASE WHEN lower(split_part(c, '=', 1)) IN ('search_path', 'temp_tablespaces', 'session_preload_libraries',
                                                         'local_preload_libraries', 'datestyle')
                   THEN substr(c, strpos(c, '=') + 1) ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END)
FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS c
WHERE d.datname = {name}
UNION ALL
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC;', {fresh})
FROM pg_catalog.pg_database d WHERE d.datname = {name} AND d.datacl IS NOT NULL
UNION ALL
SELECT format('GRANT %s ON DATABASE %I TO %s%s;', a.privilege_type, {fresh},
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END,
              CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_catalog.pg_database d, aclexplode(d.datacl) AS a LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantee
WHERE d.datname = {name} AND d.datacl IS NOT NULL
UNION ALL
SELECT format('COMMENT ON DATABASE %I IS %L;', {fresh}, s.description)
FROM pg_catalog.pg_shdescription s JOIN pg_catalog.pg_database d ON d.oid = s.objoid
WHERE d.datname = {name} AND s.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass;
"""


class LiveServer(LoggedIn):
    """The server in use. Nothing but databases of our own making is changed there, until the swap."""

    kind = SERVER
    is_ours = False

    def __init__(self, job: Job, candidates: Sequence[Programs], ward: Ward) -> None:
        # Without a password the server knows who one is by the account.
        super().__init__(job.server, job.user, candidates, ward)
        self._job = job
        self._holder: Program | None = None
        self.restricted = None

    def ask(self, text: str, database: str = "") -> list[str]:
        try:
            return self.query(database or self._options.maintenance_db, text)
        except SqlFailed as error:
            where = self._options.host or "the local socket"
            what = f"was not restored: the server at {where} does not let it: {error}"
            raise failed("backup.target_unavailable", what, unknown=True) from None

    # --- look

    def look(self, database: str, backup: Backup) -> Present:
        number = int(self.ask("SHOW server_version_num")[0])
        self.major, self.version = number // 10000, f"{number // 10000}.{number % 10000}"
        dump = backup.file.content.dump if backup.file.content is not None else None
        needed = needed_major(dump.server_version, dump.tool_version) if dump is not None else 0
        for what, major, version in (
            ("server", self.major, self.version),
            ("pg_restore", self.programs.major, self.programs.version),
        ):
            if major < needed:
                said = f"cannot be restored there: it needs PostgreSQL {needed} or newer, and the {what} is {version}"
                raise failed("backup.version_incompatible", said, needed=needed, installed=[version])
        if self.ask("SELECT pg_catalog.pg_is_in_recovery()")[0] == "t":
            raise failed("backup.target_unavailable", "was not restored: the server is a standby", unknown=True)
        lines = self.ask(_FACTS.format(name=literal(database)))
        if not lines:
            return Present(False, server_version=self.version)
        facts = json.loads(lines[0])
        rows = {table_name(schema, name): count for schema, name, count in map(json.loads, self.ask(_ROWS, database))}
        return Present(
            exists=True,
            bytes=facts["bytes"],
            sessions=facts["sessions"],
            rows=rows,
            slots=tuple(facts["slots"]),
            subscriptions=tuple(facts["subscriptions"]),
            prepared=facts["prepared"],
            server_version=self.version,
        )

    # --- beside what is there

    def claim(self, database: str) -> None:
        """Take the lock of a restore of *database*; raises ``Failed`` when another run has it."""
        argv = [self._path("psql"), *psql_arguments(self._options.maintenance_db)]
        self._holder = Program(
            argv,
            self._ward,
            account=self._account,
            environment=self.environment(),
            writing=True,
            inherited=self._inherited,
        )
        key = f"{_LOCK}, pg_catalog.hashtext({literal(database)})"
        self._holder.write(f"SELECT 'answer', pg_catalog.pg_try_advisory_lock({key});\n".encode())
        self._holder.until("answer|t\n", "answer|f\n")
        if not self._holder.has_said("answer|t"):
            what = "was not restored: another run is restoring that database"
            raise failed("backup.target_unavailable", what, unknown=True)

    def require_room(self, need: int) -> None:
        """Raise ``Failed`` when *need* bytes have no room where the server has its data, as far as that can be known.

        That is when this very server runs on this host: its directory says when it was started.
        """
        try:
            lines = self.query(self._options.maintenance_db, _WHERE)
            directory, started = json.loads(lines[0])
            with open(os.path.join(directory, "postmaster.pid"), encoding="utf-8", errors="replace") as stream:
                noted = stream.read().split("\n")[2:3]
        except (SqlFailed, OSError):
            return  # not for us to see: the load says when the disk is full
        if noted != [str(started)]:
            return
        free, _size = free_bytes(directory)
        if free < need:
            what = (
                f"was not restored: it needs about {format_size(need)} besides what is there, "
                f"and {directory} has {format_size(free)} free"
            )
            raise failed("backup.scratch_full", what, unknown=True, need_bytes=need, free_bytes=free)

    def leftovers(self, database: str, names: Names) -> list[str]:
        """Return the databases that restores of *database* left unfinished: nobody else has its lock."""
        stem = names.fresh[: names.fresh.rindex("_restoring_")] + "_restoring_"
        listed = self.ask(
            f"SELECT datname FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname, {literal(stem)})"
        )
        return [name for name in listed if len(name) == len(stem) + len("20261122T041300Z") and name != names.fresh]

    def make(self, names: Names, exists: bool, encoding: str) -> None:
        """Make the new database like the one that is there."""
        like = f" ENCODING {literal(encoding)}" if encoding else ""
        if exists:
            text, provider, locale = json.loads(self.ask(_LIKE.format(name=literal(names.target)))[0])
            like = f" {text}"
            if provider == "i" and locale:
                like += f" LOCALE_PROVIDER icu ICU_LOCALE {literal(locale)}"
            elif provider == "b" and locale:
                like += f" LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(locale)}"
        self.ask(f"CREATE DATABASE {quoted(names.fresh)} TEMPLATE template0{like};")

    def load(self, backup: Backup, names: Names, restored: Restored) -> None:
        """Load the backup into the new database and compare it; raises ``Failed``."""
        source = Source(backup.file.path, backup.chain, self._job.decrypt)
        loader = _LiveLoader(self, source, self._job.jobs, restored, self._ward.deadline)
        loader.owners = self._job.owners
        dump = backup.file.content.dump if backup.file.content is not None else None
        if dump is not None:
            loader.require_extensions(dump.extensions)
        if self._job.owners:
            restored.owners = "globals"  # the server that is in use has them
        loader.load(names.fresh)
        manifest = backup.file.manifest
        wishes = Wishes(jobs=self._job.jobs, fingerprint=self._job.fingerprint)
        prover = Prover(self, names.fresh, wishes, restored)
        prover.analyzing()()
        told_by = "manifest" if manifest is not None and manifest.rows is not None else "dump"
        known = Judged(backup.rows, told_by, manifest.fingerprints if manifest is not None else {})
        prover.compare(prover.count(known), known)
        prover.examine()

    # --- the swap

    def adorn(self, names: Names) -> None:
        """Give the new database the settings, grants and the comment of the one that is there."""
        statements = self.ask(_SETTINGS.format(name=literal(names.target), fresh=literal(names.fresh)))
        if statements:
            self.ask("\n".join(statements))

    def swap(self, names: Names, exists: bool) -> None:
        """Exchange the names in one transaction: there is no instant without a database of the name.

        The renaming waits some seconds for all sessions to be gone, and keeps new ones waiting; those that are there
        are ended meanwhile. Raises ``Failed`` with everything as it was.
        """
        renames = [f"ALTER DATABASE {quoted(names.fresh)} RENAME TO {quoted(names.target)};"]
        if exists:
            renames.insert(0, f"ALTER DATABASE {quoted(names.target)} RENAME TO {quoted(names.before)};")
        text = "BEGIN;\n" + "\n".join(renames) + "\nCOMMIT;\n"
        said = ""
        for _attempt in range(_SWAPS):
            argv = [self._path("psql"), *psql_arguments(self._options.maintenance_db)]
            program = Program(
                argv,
                self._ward,
                account=self._account,
                environment=self.environment(),
                writing=True,
                inherited=self._inherited,
            )
            try:
                program.write(text.encode())
                program.end_input()
                while program.status is None:
                    self._end_sessions(names)
                    time.sleep(0.1)
                ended = program.wait()
            finally:
                program.close()
            if ended.status == 0:
                return
            said = told(ended.errors)
        what = f"was restored as {names.fresh}, but could not take its place: {said}"
        raise failed("backup.restore_failed", what, error=said)

    def _end_sessions(self, names: Names) -> None:
        self.ask(
            "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity "
            f"WHERE datname IN ({literal(names.target)}, {literal(names.fresh)}) AND pid <> pg_catalog.pg_backend_pid()"
        )

    def drop(self, name: str) -> None:
        force = " WITH (FORCE)" if self.major >= 13 else ""
        self.ask(f"DROP DATABASE IF EXISTS {quoted(name)}{force};")

    def directory_of(self, name: bytes) -> str:
        what = "was not restored: it wants the tablespace " + name.decode("utf-8", "replace") + ", which is not there"
        raise failed("backup.restore_failed", what)

    def close(self) -> None:
        if self._holder is not None:
            self._holder.close()
        super().close()


class _LiveLoader(Loader):
    """On a server in use nothing is made up: what the dump names must be there."""

    def need(self, needed: Needed) -> None:
        if needed.kind == "extension":
            super().need(needed)

    def refused(self, program: str, errors: str) -> Failed:
        missing = NO_ROLE.search(errors)
        if missing is None:
            refused = super().refused(program, errors)
            if refused.trouble.code != "backup.scratch_full":
                return refused
            what = "was not restored: the disk of the server became full while it was loaded"
            return failed("backup.scratch_full", what, unknown=True)
        what = f"cannot be restored there: it names the role {missing[1]}, which the server does not have"
        return failed("backup.globals_missing", what, role=missing[1])


def is_database(form: str) -> bool:
    return form in (detect.PGDUMP_PLAIN, detect.PGDUMP_CUSTOM, detect.PGDUMP_TAR, detect.PGDUMP_DIRECTORY)
