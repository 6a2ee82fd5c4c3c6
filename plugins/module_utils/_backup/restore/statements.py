# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the text of a plain dump to the server that it is restored into, as it passes. Pure.

The dump was found whole before. Only what stands outside of the data of tables is looked at:

- A dump that was made with ``--clean`` begins with commands that drop what an empty database does not have; they get
  the IF EXISTS that ``--if-exists`` would have given them.
- ``--create`` makes a database of the name that it had, which must not be touched; its commands are left out.
- Roles that are named and that nobody has made are told, so that they can be made before the text is sent on. So are
  tablespaces and extensions.
- A locale that the host does not have is replaced by C where a database is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

_NAME = rb'(?:"(?:[^"]|"")+"|[a-zA-Z_\x80-\xff][\w$\x80-\xff]*)'
_COPY = re.compile(rb"\nCOPY [^\n]*?(?:\n[^\n]+?)*? FROM stdin;\n")
_END_OF_COPY = b"\n\\.\n"
_ENTRY_BEGINS = b"\n--\n-- "
_OF_DATA, _INSERT = _ENTRY_BEGINS + b"Data for Name: ", b"\nINSERT INTO "
_ROLE = re.compile(
    rb"(?: OWNER TO |\bFOR ROLE |\bAUTHORIZATION |\bGRANTED BY )(" + _NAME + rb")"
    rb"|\n(?:GRANT|ALTER DEFAULT)[^\n]* TO (" + _NAME + rb")"
    rb"|\n(?:REVOKE|ALTER DEFAULT)[^\n]* FROM (" + _NAME + rb")"
    rb"|\nCREATE POLICY [^\n]* TO (" + _NAME + rb"(?:, " + _NAME + rb")*)"
)
_TABLESPACE = re.compile(rb"\nSET default_tablespace = (" + _NAME + rb");")
_EXTENSION = re.compile(rb"\nCREATE EXTENSION (?:IF NOT EXISTS )?(" + _NAME + rb")")
_BEGINNINGS = re.compile(rb"(?=\n--\n-- )")
_HEADER = re.compile(
    rb"\n--\n-- (?:TOC entry [^\n]*\n(?:-- Dependencies: [^\n]*\n)?-- )?(?:Data for )?Name: ([^\n]*); Type: ([A-Z ]+);"
)
_DROP = re.compile(
    rb"(?m)^(?:(DROP (?:MATERIALIZED VIEW|FOREIGN TABLE|FOREIGN DATA WRAPPER|USER MAPPING|EVENT TRIGGER|ACCESS METHOD"
    rb"|OPERATOR CLASS|OPERATOR FAMILY|TEXT SEARCH [A-Z]+|(?:PROCEDURAL )?LANGUAGE|[A-Z]+)) (?!IF EXISTS)"
    rb"|(ALTER (?:TABLE|DOMAIN|MATERIALIZED VIEW|FOREIGN TABLE|VIEW)) (?!IF EXISTS)(?=[^\n]* DROP ))"
)
_DROP_CONSTRAINT = re.compile(rb"(?m)^(ALTER [^\n]* DROP CONSTRAINT) (?!IF EXISTS)")
_UNLINK = re.compile(rb"(?m)^SELECT pg_catalog\.lo_unlink\('(\d+)'\);")
_OF_DATABASE = re.compile(
    rb"(?m)^(?:(?:CREATE|ALTER|DROP) DATABASE [^;]*;|COMMENT ON DATABASE [^\n]*;"
    rb"|(?:GRANT|REVOKE) [^\n]* ON DATABASE [^\n]*;"
    rb"|SECURITY LABEL [^\n]*;|ALTER ROLE [^\n]* IN DATABASE [^\n]*;|\\connect [^\n]*)(?=\n|\Z)"
)
_LOCALE = re.compile(rb"(LOCALE|LC_COLLATE|LC_CTYPE) = '((?:[^']|'')*)'")
_OWNER = re.compile(rb"\nALTER [^\n]* OWNER TO [^\n]*;(?=\s*\Z)")
_PRIVILEGES = re.compile(
    rb"(?m)^(?:(?:GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) [^\n]*;|SET SESSION AUTHORIZATION [^\n]*;)(?=\n|\Z)"
)
_PUBLIC = {b"public", b"current_user", b"session_user", b"current_role"}
# From PostgreSQL 16 on only the first superuser may grant as somebody else, and here that is another than there.
_GRANTED_BY = re.compile(rb"(?m)^(GRANT [^\n]*) GRANTED BY " + _NAME + rb";$")
_GLOBAL_ROLE = re.compile(rb"(?m)^CREATE ROLE (" + _NAME + rb");")
_GLOBAL_TABLESPACE = re.compile(
    rb"(?m)^(CREATE TABLESPACE (" + _NAME + rb")(?: OWNER " + _NAME + rb")? LOCATION) '[^']*';"
)
# An entry that is longer goes as it is: a definition of that length is not made by pg_dump.
_LONGEST_ENTRY = 1 << 20


@dataclass(frozen=True)
class Needed:
    """What the text needs that may not be there: names as they stand in it, quoted or not."""

    kind: str  # role, tablespace or extension
    name: bytes


class Fitted:
    """Takes the text of one dump piece by piece, and hands it fitted to *write*.

    *need* is called for each role, tablespace and extension before the text that names it goes on. ``whole_cluster`` is
    a text of pg_dumpall, which makes databases itself. ``owners`` false leaves out who owns what and who may do what.
    *locales* are those of the host, as ``canonical_locale`` names them; None when they are not known. *data_ended* is
    called when the data of a table have ended, *directory_of* makes the directory of a tablespace.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        need: Callable[[Needed], None],
        *,
        whole_cluster: bool = False,
        owners: bool = True,
        locales: frozenset[str] | None = None,
        data_ended: Callable[[], None] | None = None,
        directory_of: Callable[[bytes], str] | None = None,
    ) -> None:
        self._write, self._need = write, need
        self._whole_cluster, self._owners, self._locales = whole_cluster, owners, locales
        self._data_ended = data_ended or _nothing
        self._directory_of = directory_of
        self._text = b"\n"  # so that the first line begins after a newline as well
        self._in_data = False  # of a COPY
        self._in_inserts = False
        self._sent_newline = True  # the first byte of the text was sent with what stood before it
        self._entries = 0
        self._told: set[Needed] = set()

    def feed(self, data: bytes) -> None:
        self._text += data
        while self._step():
            pass

    def finish(self) -> None:
        self._emit(self._text if self._in_data else self._fit(self._text))
        self._text = b""

    def _step(self) -> bool:
        """Move on what can be understood; return whether more may be."""
        if self._in_data:
            return self._pass_data()
        if self._in_inserts:
            return self._pass_inserts()
        copy = _COPY.search(self._text)
        if copy is not None:
            end = copy.end()
            self._emit(self._fit(self._text[:end]))
            # The newline before the rows ends an empty table at once.
            self._text, self._in_data, self._sent_newline = b"\n" + self._text[end:], True, True
            return True
        # Only whole entries can be fitted.
        last = self._text.rfind(_ENTRY_BEGINS, 1)
        if last > 0:
            self._emit(self._fit(self._text[:last]))
            self._text = self._text[last:]
        elif self._text.startswith(_OF_DATA) and _INSERT in self._text:
            self._in_inserts = True
            return True
        elif len(self._text) > _LONGEST_ENTRY:
            self._emit(self._text[: -_LONGEST_ENTRY // 2])
            self._text = self._text[-_LONGEST_ENTRY // 2 :]
        return False

    def _pass_data(self) -> bool:
        end = self._text.find(_END_OF_COPY)
        if end < 0:
            keep = len(_END_OF_COPY) - 1
            if len(self._text) > keep:
                self._emit(self._text[:-keep])
                self._text = self._text[-keep:]
            return False
        after = end + len(_END_OF_COPY) - 1
        self._emit(self._text[:after])
        self._text, self._in_data = self._text[after:], False
        self._data_ended()
        return True

    def _pass_inserts(self) -> bool:
        end = self._text.find(_ENTRY_BEGINS, 1)
        if end >= 0:
            self._emit(self._text[:end])
            self._text, self._in_inserts = self._text[end:], False
            self._data_ended()
            return True
        keep = len(_ENTRY_BEGINS) - 1
        self._emit(self._text[:-keep])
        self._text = self._text[-keep:]
        return False

    def _emit(self, data: bytes) -> None:
        if data and self._sent_newline:
            self._sent_newline, data = False, data[1:]
        if data:
            self._write(data)

    def _fit(self, text: bytes) -> bytes:
        return b"".join(map(self._fit_entry, _BEGINNINGS.split(text)))

    def _fit_entry(self, entry: bytes) -> bytes:
        header = _HEADER.match(entry)
        kind = header[2] if header is not None else b""
        if self._whole_cluster:
            entry = self._fit_cluster(entry, kind)
        elif header is None and not self._entries:
            entry = _OF_DATABASE.sub(b"", without_drops(entry))
        elif kind.startswith(b"DATABASE") or (header is not None and header[1].startswith(b"DATABASE ")):
            entry = _OF_DATABASE.sub(b"", entry)
        self._entries += header is not None
        if not self._owners:
            entry = _TABLESPACE.sub(rb"\nSET default_tablespace = '';", entry)
            entry = _PRIVILEGES.sub(b"", entry) if kind.endswith(b"ACL") else _OWNER.sub(b"", entry)
        self._tell(entry)
        return entry

    def _fit_cluster(self, entry: bytes, kind: bytes) -> bytes:
        if not kind:
            entry = _GRANTED_BY.sub(rb"\1;", without_drops(entry))
        if not kind and self._directory_of is not None:
            entry = moved_tablespaces(entry, self._directory_of)
        return _LOCALE.sub(self._fitting_locale, entry) if kind in (b"", b"DATABASE") else entry

    def _fitting_locale(self, match: re.Match[bytes]) -> bytes:
        name = match[2].decode("utf-8", "replace")
        if self._locales is None or canonical_locale(name) in self._locales:
            return match[0]
        return match[1] + b" = 'C'"

    def _tell(self, text: bytes) -> None:
        if self._owners and not self._whole_cluster:  # pg_dumpall makes its roles itself
            for match in _ROLE.finditer(text):
                for name in re.findall(_NAME, match[1] or match[2] or match[3] or match[4]):
                    if name.lower() not in _PUBLIC:
                        self._once(Needed("role", name))
        for kind, pattern in (("tablespace", _TABLESPACE), ("extension", _EXTENSION)):
            for match in pattern.finditer(text):
                self._once(Needed(kind, match[1]))

    def _once(self, needed: Needed) -> None:
        if needed not in self._told:
            self._told.add(needed)
            self._need(needed)


def _nothing() -> None:
    """Nobody wants to know."""


def canonical_locale(name: str) -> str:
    """Return ``en_us.utf8`` of ``en_US.UTF-8``: both name the same."""
    base, dot, codeset = name.lower().partition(".")
    return base + dot + codeset.replace("-", "")


def fitted_globals(text: bytes, existing: frozenset[bytes], directory_of: Callable[[bytes], str]) -> bytes:
    """Return the dump of roles and tablespaces *text* as it fits a server that has the roles *existing*.

    Its tablespaces get directories of our own, which *directory_of* makes: never those that the live server has.
    """
    text = _GLOBAL_ROLE.sub(lambda match: b"" if match[1].strip(b'"') in existing else match[0], text)
    return moved_tablespaces(_GRANTED_BY.sub(rb"\1;", without_drops(text)), directory_of)


def moved_tablespaces(text: bytes, directory_of: Callable[[bytes], str]) -> bytes:
    def moved(match: re.Match[bytes]) -> bytes:
        return match[1] + b" '" + directory_of(match[2]).replace("'", "''").encode() + b"';"

    return _GLOBAL_TABLESPACE.sub(moved, text)


def without_drops(text: bytes) -> bytes:
    """Return *text* with IF EXISTS in each command that drops something."""
    text = _DROP.sub(lambda match: (match[1] or match[2]) + b" IF EXISTS ", text)
    text = _UNLINK.sub(
        rb"SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = \1;", text
    )
    return _DROP_CONSTRAINT.sub(rb"\1 IF EXISTS ", text)
