# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge one backup by what was seen of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PEM
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Manifest
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    BackupFile,
    Content,
    Described,
    Dump,
    Expect,
    Failure,
    Policy,
    Problem,
    Series,
    Sidecar,
    Signed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.evaluate import is_proven, told
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_NAMED_IN_EVIDENCE = 10

_OF_PROBLEM = {
    "backup.unsupported": Severity.UNKNOWN,
    "backup.bomb": Severity.UNKNOWN,
    "backup.tool_missing": Severity.UNKNOWN,
}
_OF_FAILURE = {
    model.UNREADABLE: "backup.unreadable",
    model.TIMED_OUT: "backup.timeout",
    model.CHANGING: "backup.partial_upload",
    model.KILLED: "backup.killed",
}
_KINDS = {
    model.FIFO: "a named pipe",
    model.SOCKET: "a socket",
    model.DEVICE: "a device",
}


def finding(
    code: str, subject: str, severity: Severity, message: str, evidence: dict[str, Any] | None = None
) -> Finding:
    return Finding(code, subject, severity, message, evidence or {}, CODES[code].remedy)


def of_file(file: BackupFile, series: Series, policy: Policy) -> Iterator[Finding]:
    """Yield what is to be said about *file*; nothing about what is as it should be."""
    if file.kind not in (model.FILE, model.DIRECTORY) or (file.kind == model.DIRECTORY and not file.size):
        yield _of_kind(file)
        return
    if not file.size:
        yield finding("backup.empty", file.path, Severity.CRITICAL, f"{file.path} is empty (0 bytes).", {"size": 0})
        return
    if file.size < series.min_size:
        least = format_size(series.min_size)
        yield finding(
            "backup.too_small",
            file.path,
            Severity.CRITICAL,
            f"{file.path} has {format_size(file.size)}, less than min_size ({least}).",
            {"size": file.size, "min_size": series.min_size},
        )
    if file.failure is not None:
        yield _of_failure(file, file.failure)
    for problem in file.content.problems if file.content else ():
        yield _of_problem(file, problem)
    yield from _of_described(file, file.described, policy)
    if file.sidecar is not None:
        yield from _of_sidecar(file, file.sidecar)
    yield from _of_signature(file, policy)
    if file.content is not None and file.content.whole:
        about = list(_of_content(file, file.content, series.expect))
        yield from about
        explained = any(one.severity is Severity.CRITICAL for one in about)
        yield from _of_plain(file, file.content, explained or any(one.fatal for one in file.content.problems))
    if file.content is not None and file.content.restored is not None:
        yield from _of_restore(file, file.content.restored)


def _of_restore(file: BackupFile, restored: Mapping[str, Any]) -> Iterator[Finding]:
    for trouble, severity in told(restored):
        evidence = {"taken_at": rfc3339(file.taken_at), **trouble.evidence, "restored": True}
        yield finding(trouble.code, file.path, severity, f"{file.path} {trouble.what}.", evidence)


def _of_kind(file: BackupFile) -> Finding:
    if file.kind == model.DIRECTORY:
        message = f"{file.path} is a directory without a file in it."
        return finding("backup.empty", file.path, Severity.CRITICAL, message, {"size": 0})
    if file.kind == model.DANGLING:
        message = f"{file.path} is a link to nothing."
        return finding("backup.unreadable", file.path, Severity.UNKNOWN, message)
    message = f"{file.path} is {_KINDS[file.kind]}, not a file; it was not opened."
    return finding("backup.not_a_backup", file.path, Severity.CRITICAL, message, {"kind": file.kind})


def _of_failure(file: BackupFile, failure: Failure) -> Finding:
    message = f"{file.path} {failure.reason}."
    evidence = {"size": file.size, **failure.evidence}
    return finding(_OF_FAILURE[failure.kind], file.path, Severity.UNKNOWN, message, evidence)


def _of_problem(file: BackupFile, problem: Problem) -> Finding:
    severity = _OF_PROBLEM.get(problem.code) or (Severity.CRITICAL if problem.fatal else Severity.WARNING)
    if problem.unknown:
        severity = Severity.UNKNOWN
    evidence: dict[str, Any] = {"size": file.size, "taken_at": rfc3339(file.taken_at), **problem.evidence}
    if problem.layer:
        evidence["layer"] = problem.layer
    if problem.offset is not None:
        evidence["offset"] = problem.offset
    return finding(problem.code, file.path, severity, f"{file.path} {problem.what}.", evidence)


# --- what stands beside it


def _of_described(file: BackupFile, described: Described | None, policy: Policy) -> Iterator[Finding]:
    if described is None or described.problem or described.other_name:
        if described is not None:
            how = described.problem or f"speaks of {described.other_name}"
            message = f"{described.path} {how}, so it proves nothing about {file.path}."
            yield finding("backup.manifest_invalid", file.path, Severity.WARNING, message, {"manifest": described.path})
        if policy.require_manifest:
            message = f"{file.path} has no manifest that can be used, and require_manifest asks for one."
            yield finding("backup.manifest_missing", file.path, Severity.CRITICAL, message)
        return
    manifest = described.manifest
    if manifest is None:
        return
    if manifest.failed:
        message = f"{file.path} was made by programs that failed: {'; '.join(manifest.failed)} ({described.path})."
        evidence = {"programs": [f"{program}: {status}" for program, status in manifest.statuses]}
        yield finding("backup.incomplete_dump", file.path, Severity.CRITICAL, message, evidence)
    actual = file.content.stored_sha256 if file.content else ""
    if actual and actual != manifest.stored_sha256 and file.content is not None:
        yield _mismatch(file, file.content, manifest.stored_sha256, described.path, file.mtime > described.mtime)


def _of_plain(file: BackupFile, content: Content, explained: bool) -> Iterator[Finding]:
    """The file is the one that was written, but what was written is not what was dumped, and nothing else says how."""
    manifest, described = file.manifest, file.described
    if explained or content.plain_equal is not False or manifest is None or described is None:
        return
    if content.stored_sha256 != manifest.stored_sha256:
        return  # told already
    message = f"{file.path} is as it was written, but what is inside is not what was dumped: its SHA-256 differs from "
    message += f"the one in {described.path}"
    if manifest.plain_size is not None and manifest.plain_size != content.bytes_decoded:
        message += f", and it has {content.bytes_decoded} bytes instead of {manifest.plain_size}"
    evidence: dict[str, Any] = {
        "sidecar": described.path,
        "expected_plain_sha256": manifest.plain_sha256,
        "actual_plain_sha256": content.plain_sha256,
        "content_equal": False,
    }
    yield finding("backup.digest_mismatch", file.path, Severity.CRITICAL, f"{message}.", evidence)


def _mismatch(file: BackupFile, content: Content, wanted: str, beside: str, newer: bool) -> Finding:
    equal = content.plain_equal
    message = f"{file.path} is not what its maker wrote: its SHA-256 differs from the one in {beside}"
    size = file.manifest.stored_size if file.manifest is not None else file.size
    if size != file.size:
        message += f", and it has {file.size} bytes instead of {size}"
    evidence: dict[str, Any] = {
        "sidecar": beside,
        "expected_sha256": wanted,
        "actual_sha256": content.stored_sha256,
        "changed_after_digest": newer,
    }
    if content.members is not None and content.members.difference:
        evidence["first_difference"] = content.members.difference
        message += f", first in {content.members.difference}"
    if equal is not None:
        evidence["content_equal"] = equal
    if equal:
        message += "; what is inside is the same, only the file around it is another."
        return finding("backup.digest_mismatch", file.path, Severity.WARNING, message, evidence)
    message += ", and it was changed after that was written." if newer else "."
    return finding("backup.digest_mismatch", file.path, Severity.CRITICAL, message, evidence)


def _of_sidecar(file: BackupFile, sidecar: Sidecar) -> Iterator[Finding]:
    if sidecar.problem:
        message = f"{sidecar.path} {sidecar.problem}, so it proves nothing about {file.path}."
        yield finding("backup.manifest_invalid", file.path, Severity.WARNING, message, {"sidecar": sidecar.path})
        return
    content = file.content
    actual = content.stored_sha256 if content else ""
    if content is None or not actual or actual == sidecar.sha256:
        return
    evidence: dict[str, Any] = {"sidecar": sidecar.path, "expected_sha256": sidecar.sha256, "actual_sha256": actual}
    if sidecar.other_name:
        message = f"{sidecar.path} speaks of {sidecar.other_name}, so it proves nothing about {file.path}."
        yield finding("backup.manifest_invalid", file.path, Severity.WARNING, message, evidence)
    elif file.manifest is None:
        yield _mismatch(file, content, sidecar.sha256, sidecar.path, file.mtime > sidecar.mtime)
    elif actual == file.manifest.stored_sha256:
        message = f"{sidecar.path} has another digest than {file.path}, whose manifest has the right one."
        yield finding("backup.manifest_invalid", file.path, Severity.WARNING, message, evidence)


def _of_signature(file: BackupFile, policy: Policy) -> Iterator[Finding]:
    signed: Signed | None = file.signed
    if signed is None:
        if policy.require_signature:
            message = f"{file.path} has no signature, neither over its manifest nor over its digest or itself."
            yield finding("backup.signature_missing", file.path, Severity.CRITICAL, message)
        return
    if signed.valid:
        return
    evidence = {"signature": signed.path, "kind": signed.kind, **({"by": signed.by} if signed.by else {})}
    severity = Severity.UNKNOWN if signed.valid is None else Severity.CRITICAL
    message = f"The signature {signed.path} of {signed.of} {signed.why}."
    yield finding("backup.signature_bad", file.path, severity, message, evidence)


# --- what is inside, against what should be


def _of_content(file: BackupFile, content: Content, expect: Expect) -> Iterator[Finding]:
    manifest, dump = file.manifest, content.dump
    if manifest is not None:
        yield from _of_members(file, content, manifest)
        if manifest.formats and content.chain and manifest.formats != content.chain:
            message = (
                f"{file.path} is {' in '.join(reversed(content.chain))}, and its maker wrote "
                f"{' in '.join(reversed(manifest.formats))}."
            )
            evidence = {"found": list(content.chain), "manifest": list(manifest.formats)}
            yield finding("backup.unexpected_format", file.path, Severity.WARNING, message, evidence)
    yield from _of_certificates(file, content)
    if dump is None:
        return
    yield from _of_origin(file, dump, manifest, expect)
    if dump.complete is False:
        return  # rows that are missing are told already
    if manifest is not None and manifest.rows is not None and _rows_are_known(dump):
        yield from _of_rows(file, dump, dict(manifest.rows), expect.row_tolerance)
    yield from _of_tables(file, dump, expect)
    yield from _of_extensions(file, dump, manifest, expect)


def _of_certificates(file: BackupFile, content: Content) -> Iterator[Finding]:
    """A bundle is there to be served; an archive may hold old certificates and keys of anything, so it tells softly."""
    certified = content.certified
    if certified is None:
        return
    bundle = content.chain[-1] == PEM
    for part, (code, words, of_bundle, of_archive) in _OF_CERTIFICATES.items():
        named = certified[part]
        if named:
            message = f"{file.path} {words}: {', '.join(named[:3])}."
            yield finding(code, file.path, of_bundle if bundle else of_archive, message, {"named": list(named)})
    over = {name: until for name, until in certified["lifetimes"].items() if parse_rfc3339(until) <= file.taken_at}
    if over:
        name, until = min(over.items(), key=lambda entry: entry[1])
        message = f"{file.path} holds certificates that had ended when it was taken, such as {name} ({until})."
        severity = Severity.WARNING if bundle else Severity.INFO
        evidence = {"not_after": over, "taken_at": rfc3339(file.taken_at)}
        yield finding("backup.certificate_expired", file.path, severity, message, evidence)


# What was seen: the code, the words, and how bad it is of a bundle and of an archive.
_OF_CERTIFICATES = {
    "mismatched": (
        "backup.key_mismatch",
        "has private keys that belong to none of the certificates beside them",
        Severity.CRITICAL,
        Severity.WARNING,
    ),
    "disordered": (
        "backup.chain_disordered",
        "has certificates in another order than that in which each is followed by its issuer",
        Severity.WARNING,
        Severity.INFO,
    ),
    "exposed": (
        "backup.key_exposed",
        "has private keys that every account can read once it is unpacked",
        Severity.WARNING,
        Severity.INFO,
    ),
}


def _of_members(file: BackupFile, content: Content, manifest: Manifest) -> Iterator[Finding]:
    wanted, found = manifest.members, content.members
    if wanted is None or found is None or not found.sha256 or found.sha256 == wanted.sha256:
        return
    message = f"{file.path} has {found.count} members where its maker put {wanted.count}"
    message += f", and differs first in {found.difference}." if found.difference else ", and they are not the same."
    evidence = {"found": found.count, "manifest": wanted.count, "first_difference": found.difference}
    yield finding("backup.data_missing", file.path, Severity.CRITICAL, message, evidence)


def _of_origin(file: BackupFile, dump: Dump, manifest: Manifest | None, expect: Expect) -> Iterator[Finding]:
    source = manifest.source if manifest is not None else None
    wanted = expect.database or (source.database if source is not None else "")
    if wanted and dump.database is not None and dump.database != wanted:
        message = f"{file.path} is a dump of the database {dump.database}, not of {wanted}."
        evidence = {"found": dump.database, "wanted": wanted}
        yield finding("backup.wrong_database", file.path, Severity.CRITICAL, message, evidence)
    version = dump.server_version or ""
    major = str(expect.server_major) if expect.server_major else _major(source.server_version if source else "")
    if version and major and _major(version) != major:
        message = f"{file.path} is a dump of a server of version {version}, not of {major}."
        evidence = {"found": version, "wanted": major}
        yield finding("backup.wrong_database", file.path, Severity.CRITICAL, message, evidence)
    if source is not None and source.encoding and dump.encoding and not _same(source.encoding, dump.encoding):
        message = f"{file.path} is in {dump.encoding}, and its database is in {source.encoding}."
        evidence = {"found": dump.encoding, "wanted": source.encoding}
        yield finding("backup.schema_mismatch", file.path, Severity.WARNING, message, evidence)


def _major(version: str) -> str:
    """Return ``17`` of ``17.11`` and ``9.6`` of ``9.6.24``."""
    match = re.match(r"(9\.\d+|\d+)", version)
    return match[1] if match else ""


def _same(one: str, other: str) -> bool:
    return re.sub(r"[^a-z0-9]", "", one.lower()) == re.sub(r"[^a-z0-9]", "", other.lower())


def _rows_are_known(dump: Dump) -> bool:
    """False where the rows were not counted; INSERT statements never are."""
    return dump.counted and not dump.inserts


def _of_rows(file: BackupFile, dump: Dump, wanted: dict[str, int], tolerance: float) -> Iterator[Finding]:
    found = dump.rows
    missing = sorted(table for table, count in wanted.items() if count and table not in found)
    if missing:
        lost = sum(wanted[table] for table in missing)
        message = f"{file.path} lacks the data of {len(missing)} tables with {lost} rows, such as {missing[0]}."
        evidence: dict[str, Any] = {"tables": missing[:_NAMED_IN_EVIDENCE], "count": len(missing), "rows": lost}
        yield finding("backup.data_missing", file.path, Severity.CRITICAL, message, evidence)
    others = {
        table: {"found": found[table], "manifest": count}
        for table, count in wanted.items()
        if table in found and abs(found[table] - count) > tolerance * count
    }
    if others:
        table, counts = min(others.items())
        message = (
            f"{file.path} has other numbers of rows than its maker counted in {len(others)} tables: "
            f"{table} has {counts['found']} instead of {counts['manifest']}."
        )
        evidence = {"tables": dict(sorted(others.items())[:_NAMED_IN_EVIDENCE]), "count": len(others)}
        yield finding("backup.row_count_mismatch", file.path, Severity.CRITICAL, message, evidence)
    strange = sorted(table for table in found if table not in wanted)
    if strange:
        message = f"{file.path} has {len(strange)} tables that its maker did not know, such as {strange[0]}."
        evidence = {"tables": strange[:_NAMED_IN_EVIDENCE], "count": len(strange)}
        yield finding("backup.schema_mismatch", file.path, Severity.WARNING, message, evidence)


def _of_tables(file: BackupFile, dump: Dump, expect: Expect) -> Iterator[Finding]:
    """Compare with what the user expects; a table may be named without its schema."""
    if not expect.tables or not _rows_are_known(dump):
        return
    for name, bounds in expect.tables.items():
        counts = [count for table, count in dump.rows.items() if table == name or table.endswith(f".{name}")]
        if not counts:
            message = f"{file.path} has no data of the table {name}."
            yield finding("backup.data_missing", file.path, Severity.CRITICAL, message, {"table": name})
            continue
        count = sum(counts)
        low = bounds.min_rows is not None and count < bounds.min_rows
        high = bounds.max_rows is not None and count > bounds.max_rows
        if low or high:
            limit = bounds.min_rows if low else bounds.max_rows
            message = f"{file.path} has {count} rows of {name}, {'fewer' if low else 'more'} than {limit}."
            evidence = {"table": name, "found": count, "min_rows": bounds.min_rows, "max_rows": bounds.max_rows}
            yield finding("backup.row_count_mismatch", file.path, Severity.CRITICAL, message, evidence)


def _of_extensions(file: BackupFile, dump: Dump, manifest: Manifest | None, expect: Expect) -> Iterator[Finding]:
    wanted = set(expect.extensions)
    if manifest is not None and manifest.extensions is not None and dump.extensions:
        wanted |= set(manifest.extensions) - {"plpgsql"}
    missing = sorted(wanted - set(dump.extensions)) if dump.extensions or expect.extensions else []
    if missing:
        message = f"{file.path} does not make the extensions {', '.join(missing[:5])}."
        yield finding("backup.schema_mismatch", file.path, Severity.WARNING, message, {"extensions": missing})


# --- what a good verdict rests on


def level_reached(file: BackupFile, requested: str) -> str:
    """Return the highest level whose checks were all made, whatever they found."""
    content = file.content
    unjudged = ("backup.unsupported", "backup.tool_missing", "backup.no_key", "backup.wrong_key")
    if content is None or not content.whole or any(problem.code in unjudged for problem in content.problems):
        return model.PRESENCE
    if requested == model.RESTORE and not is_proven(content.restored):
        return model.STRUCTURE
    return requested


def unproven(file: BackupFile) -> list[str]:
    """Return what could be wrong with *file* unnoticed, at the level that was reached."""
    content, sidecar = file.content, file.sidecar
    if content is None:
        return [model.COMPLETENESS, model.CONTENT, model.PRODUCER_DIGEST]
    doubts = set(content.unproven)
    listed = sidecar is not None and sidecar.sha256 != "" and sidecar.sha256 == content.stored_sha256
    described = file.manifest is not None and file.manifest.stored_sha256 == content.stored_sha256
    if listed or described:
        doubts &= {model.CONTENT}
    else:
        doubts.add(model.PRODUCER_DIGEST)
    if not (described and file.manifest is not None and _is_complete(file.manifest, content)):
        doubts.add(model.COMPLETENESS)
    if file.signed is not None and not file.signed.valid:
        doubts.add(model.SIGNATURE)
    return sorted(doubts)


def _is_complete(manifest: Manifest, content: Content) -> bool:
    """True when the manifest says what should be in it, and that was compared; or that all programs ended well."""
    if manifest.statuses and not manifest.failed:
        return True
    if manifest.rows is not None:
        return content.dump is not None and _rows_are_known(content.dump)
    return manifest.members is not None and content.members is not None and bool(content.members.sha256)
