"""`backup_verify` against every way in which a backup goes bad (`tests/bed/backup_corpus.py`), and nothing good told.

The ordinary run takes a part of the cases of each format; the long one (`soak`) takes all, on every server version.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import (
    Manifest,
    Part,
    Source,
    directory_sha256,
    render,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed import backup_corpus as corpus
from tests.bed.backup_corpus import Case, Form, Originals, Tree, TreeCase
from tests.bed.backup_keys import Keys
from tests.bed.postgres import Cluster, cache_directory, find_or_bring

Result = dict[str, Any]
LAST_WEEK = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)
SOURCE = {"host": "db1", "database": corpus.DATABASE, "encoding": "UTF8"}


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with Keys() as made:
        yield made


@pytest.fixture(autouse=True)
def programs(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", keys.environment["PATH"])


@pytest.fixture(scope="module")
def made(keys: Keys) -> tuple[Originals, list[Tree]]:
    """Of one server: the machine's own, or the first that can be had."""
    with Cluster(find_or_bring(None, cache_directory()), name="corpus") as cluster:
        return corpus.make(cluster, keys), list(corpus.trees(cluster))


@pytest.fixture(scope="module")
def originals(made: tuple[Originals, list[Tree]]) -> Originals:
    return made[0]


def verify(folder: Path, keys: Keys, **params: Any) -> dict[str, Result]:
    """The record of each file in *folder*, by name. `found` has its codes, but for those of any heap of files."""
    wanted = {
        "paths": [str(folder)], "select": "all", "count_rows": True, "parallel": 2,
        "decrypt": {
            "gpg_homedir": str(keys.gpg),
            "age_identity_file": str(keys.root / "age.key"),
            "openssl": {"pass_file": str(keys.root / "passphrase")},
        },
        **params,
    }  # fmt: skip
    validated = validate(CHECK.name, CHECK.argument_spec, wanted, CHECK.rules).params
    result = CHECK.run(validated, datetime.now(UTC)).as_result(limit=100_000_000)
    quiet = {"backup.manifest_missing", "backup.unchanged_suspicious"}  # the same data lie there often
    return {
        Path(record["path"]).name: {
            **record,
            "found": {
                one["code"].removeprefix("backup.")
                for one in record["findings"]
                if one["code"] not in quiet and not is_expected(record, one["code"])
            },
        }
        for record in result["files"]
    }


def is_expected(record: Result, code: str) -> bool:
    """openssl enc is never believed, spoiled or not."""
    return code == "backup.unauthenticated_encryption" and record["path"].endswith(".enc")


def put(folder: Path, number: int, form: str, data: bytes) -> Path:
    path = folder / f"{number:04}.{form}"
    path.write_bytes(data)
    path.chmod(0o600)
    os.utime(path, (LAST_WEEK.timestamp(),) * 2)
    return path


def describe(path: Path, form: Form, stored: bytes, version: str, *, plain: bool = True) -> None:
    """The manifest that a maker would have written who meant to write *stored*."""
    manifest = Manifest(
        name=path.name,
        kind=form.kind,
        taken_at=LAST_WEEK,
        stored_size=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        plain_size=len(form.plain) if plain else None,
        plain_sha256=hashlib.sha256(form.plain).hexdigest() if plain else "",
        rows=corpus.ROWS if form.rows else None,
        source=Source(server_version=version, **SOURCE) if form.rows else Source(),
        statuses=(("pg_dump", 0),),
    )
    path.with_name(f"{path.name}.manifest.json").write_bytes(render(manifest))


def written(originals: Originals, flips: int) -> Iterator[tuple[Form, Case]]:
    for form in originals.forms.values():
        before = yesterday(originals, form)
        for case in corpus.written(form, before, flips):
            if case.data != form.data:
                yield form, case


def yesterday(originals: Originals, form: Form) -> bytes:
    """The same kind of backup with other data."""
    if form.pack is not None and form.rows and not form.name.startswith("dump"):
        return form.pack(originals.other_sql)
    return originals.creations["custom other"] if form.rows else form.data[:-512] + form.data[-512:][::-1]


def with_manifests(originals: Originals, keys: Keys, folder: Path, flips: int, every: int) -> Counter[str]:
    told: Counter[str] = Counter()
    cases = dict(enumerate(pick(written(originals, flips), every)))
    for number, (form, case) in cases.items():
        describe(put(folder, number, form.name, case.data), form, form.data, originals.version)
    seen = verify(folder, keys)
    assert len(seen) == len(cases)
    for number, (form, case) in cases.items():
        record = seen[f"{number:04}.{form.name}"]
        assert record["found"] & case.right, (form.name, case.how, record["found"], record["status"])
        assert record["assurance"] == "partial" or record["found"] == {"digest_mismatch"}
        what = (form.name, case.how, record["status"], record["found"])
        if record["status"] != "critical":
            # What is only packed anew, or has something behind its end, can still be restored.
            assert record["status"] == "warning", what
            assert record["digests"]["plain_sha256"] == hashlib.sha256(form.plain).hexdigest(), what
            assert case.how.endswith(("behind", "twice")) or unfolded(form, case.data, keys) == form.plain, what
        told.update(record["found"])
    told["cases"] = len(cases)
    return told


def pick(cases: Iterator[tuple[Form, Case]], every: int) -> list[tuple[Form, Case]]:
    """One of *every*, the same each time."""
    return [
        (form, case)
        for form, case in cases
        if int(hashlib.sha256(f"{case.form}/{case.how}".encode()).hexdigest(), 16) % every == 0
    ]


def unfolded(form: Form, data: bytes, keys: Keys) -> bytes | None:
    """What the usual programs make of a file of that form; None when one of them refuses it."""
    for end in reversed(form.name.split(".")):
        opened = unfold_one(end, data, keys)
        if opened is None:
            return None
        data = opened
    return data


def gunzipped(data: bytes) -> bytes | None:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, ValueError, zlib.error):
        return None


def unfold_one(end: str, data: bytes, keys: Keys) -> bytes | None:
    gpg = ["gpg", "--homedir", str(keys.gpg), "--batch", "-q", "--decrypt"]
    programs = {
        "zst": ["zstd", "-q", "-d", "-c"],
        "lz4": ["lz4", "-q", "-d", "-c"],
        "xz": ["xz", "-q", "-d", "-c"],
        "bz2": ["bzip2", "-q", "-d", "-c"],
        "gpg": gpg,
        "age": ["age", "-d", "-i", str(keys.root / "age.key")],
        "enc": ["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-pass", f"file:{keys.root}/passphrase"],
    }
    if end == "gz":
        return gunzipped(data)
    if end not in programs:
        return data
    ended = subprocess.run(programs[end], input=data, capture_output=True, check=False, env=dict(keys.environment))
    return ended.stdout if ended.returncode == 0 else None


def without_manifests(
    originals: Originals, keys: Keys, folder: Path, pg_restore: Path, flips: int, every: int
) -> Counter[str]:
    """What any program's own check shows is found, and of the rest it is said that it is not proven."""
    cases = dict(enumerate(pick(written(originals, flips), every)))
    for number, (form, case) in cases.items():
        put(folder, number, form.name, case.data)
    seen = verify(folder, keys)
    assert len(seen) == len(cases)
    counts: Counter[str] = Counter(cases=len(cases))
    for number, (form, case) in cases.items():
        record = seen[f"{number:04}.{form.name}"]
        assert record["assurance"] == "partial", (form.name, case.how)
        if record["status"] in ("warning", "critical", "unknown"):
            counts["found"] += 1
            continue
        what = (form.name, case.how, record["unproven"])
        inside = unfolded(form, case.data, keys)
        assert inside is not None, what  # a program refuses what we let pass
        if inside == form.plain or case.how == "the day before":
            counts["the same inside, or whole"] += 1
            continue
        assert not form.checked, what
        assert {"values", "toc", "content"} & set(record["unproven"]), what
        counts["not proven"] += 1
        assert not refused_by_the_program_of_its_format(form, inside, folder, pg_restore), what
    return counts


def refused_by_the_program_of_its_format(form: Form, inside: bytes, folder: Path, pg_restore: Path) -> bool:
    """Whether pg_restore, or tar, ends with an error over what is inside."""
    kind = form.name.split(".")[-1]
    path = folder / "inside"
    path.write_bytes(inside)
    if kind in ("dump", "tar") and form.kind == "postgres":
        argv = [str(pg_restore), "-f", "/dev/null", str(path)]
    elif kind == "tar":
        argv = ["tar", "-tf", str(path)]
    else:
        return False
    refused = subprocess.run(argv, capture_output=True, check=False).returncode != 0
    path.unlink()
    return refused


def created_badly(originals: Originals, keys: Keys, folder: Path, forms: Sequence[str]) -> Counter[str]:
    """The digest is made of the bad file; the manifest has what the maker counted, with or without its own digest."""
    cases: list[tuple[Form, Case, bool]] = []
    for name in forms:
        form = originals.forms[name]
        for case in corpus.made_badly(originals, form):
            cases += [(form, case, plain) for plain in ((True,) if case.needs_plain else (True, False))]
    for case in corpus.made_badly_custom(originals):
        cases += [(originals.forms[case.form], case, plain) for plain in (True, False)]
    for number, (form, case, plain) in enumerate(cases):
        path = put(folder, number, form.name, case.data)
        describe(path, form, case.data, originals.version, plain=plain)
    seen = verify(folder, keys)
    assert len(seen) == len(cases)
    told: Counter[str] = Counter(cases=len(cases))
    for number, (form, case, plain) in enumerate(cases):
        record = seen[f"{number:04}.{form.name}"]
        what = (form.name, case.how, "with plain digest" if plain else "counts alone", record["found"])
        assert record["found"] & case.right, what
        assert record["status"] in (("critical",) if plain else ("critical", "warning")), what
        told.update(record["found"] & case.right)
    return told


# --- directories


def lay(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    place = folder / name
    for path, data in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
    place.chmod(0o700)
    for path in (*place.rglob("*"), place):
        os.utime(path, (LAST_WEEK.timestamp(),) * 2)
    return place


def describe_tree(place: Path, tree: Tree) -> None:
    parts = tuple(Part(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in sorted(tree.files.items()))
    manifest = Manifest(
        name=place.name,
        kind=tree.kind,
        taken_at=LAST_WEEK,
        stored_size=sum(part.size for part in parts),
        stored_sha256=directory_sha256(list(parts)),
        parts=parts,
        statuses=(("pg_dump", 0),),
    )
    place.with_name(f"{place.name}.manifest.json").write_bytes(render(manifest))


def spoiled_directories(found: Iterator[Tree], keys: Keys, folder: Path, times: int) -> Counter[str]:
    """Whole ones raise no alarm; spoiled ones do with a manifest, and without one wherever anything can show it."""
    counts: Counter[str] = Counter()
    for tree in found:
        for described in (True, False):
            top = folder / f"{tree.name}-{described}"
            cases = list(enumerate(corpus.spoiled(tree, times)))
            cases = [(number, case) for number, case in cases if case.files != tree.files]
            for name, files in (("whole", tree.files), *((f"{number:03}", case.files) for number, case in cases)):
                place = lay(top, name, files)
                if described:
                    describe_tree(place, tree)
            seen = verify(top, keys)
            assert seen["whole"]["found"] == set(), tree.name
            assert seen["whole"]["assurance"] == ("full" if described else "partial")
            for number, case in cases:
                record = seen.get(f"{number:03}")
                if record is None:  # what made it a backup is gone, and nothing says that it was one
                    assert not described and case.how.startswith(("without", "a stray")), (tree.name, case.how)
                    counts["not known as a backup any more"] += 1
                    continue
                what = (tree.name, case.how, record["status"], record["found"], record["unproven"])
                if described:
                    assert record["found"] & case.right, what
                    assert record["status"] == "critical", what
                elif record["status"] in ("ok", "info"):
                    assert record["assurance"] == "partial", what
                    # The WAL may have been archived instead: that it is not there is no damage.
                    silent = {"values", "toc"} & set(record["unproven"]) or "pg_wal" in case.how
                    assert silent or same_files(tree, case), what
                    counts["not proven"] += 1
                counts["cases"] += 1
            shutil.rmtree(top)
    return counts


def same_files(tree: Tree, case: TreeCase) -> bool:
    """Whether every file unfolds to the same: a flip in the head of a gzip file changes nothing."""

    def unfolded_files(files: dict[str, bytes]) -> dict[str, bytes | None]:
        return {name: gunzipped(data) if name.endswith(".gz") else data for name, data in files.items()}

    return unfolded_files(tree.files) == unfolded_files(case.files)


# --- a part of it, in every run


def test_what_a_disk_or_a_copy_spoils_is_found_with_a_manifest(
    originals: Originals, keys: Keys, tmp_path: Path
) -> None:
    told = with_manifests(originals, keys, tmp_path, flips=1, every=4)
    assert told["cases"] > 180
    assert {"truncated", "incomplete_dump", "trailing_garbage", "corrupt"} <= set(told)


def test_without_one_it_is_found_or_said_not_to_be_proven(originals: Originals, keys: Keys, tmp_path: Path) -> None:
    pg_restore = find_or_bring(None, cache_directory()).tool("pg_restore")
    counts = without_manifests(originals, keys, tmp_path, pg_restore, flips=1, every=4)
    assert counts["found"] > counts["cases"] * 0.7


def test_what_was_bad_from_the_beginning_is_found(originals: Originals, keys: Keys, tmp_path: Path) -> None:
    told = created_badly(originals, keys, tmp_path, ["sql", "sql.gz"])
    assert told["cases"] > 60
    assert len(told) > 10


def test_what_is_spoiled_in_a_directory_is_found_or_not_proven(
    made: tuple[Originals, list[Tree]], keys: Keys, tmp_path: Path
) -> None:
    counts = spoiled_directories(iter(made[1]), keys, tmp_path, times=3)
    assert counts["cases"] > 90


def test_what_is_meant_to_harm_is_told_and_never_followed(keys: Keys, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    cases = list(corpus.hostile())
    for number, case in enumerate(cases):
        put(folder, number, case.form, case.data)
    before = set(os.listdir("/tmp"))
    seen = verify(folder, keys)
    for number, case in enumerate(cases):
        record = seen[f"{number:04}.{case.form}"]
        assert record["found"] & case.right, (case.how, record["found"])
        assert record["status"] in ("warning", "unknown", "critical")
    assert sorted(os.listdir(folder)) == sorted(seen)
    assert "owned" not in set(os.listdir("/tmp")) - before


def test_the_whole_ones_raise_no_alarm(originals: Originals, keys: Keys, tmp_path: Path) -> None:
    forms = list(originals.forms.values())
    for number, form in enumerate(forms):
        describe(put(tmp_path, number, form.name, form.data), form, form.data, originals.version)
    seen = verify(tmp_path, keys, require_manifest=True)
    found = {name: record["found"] for name, record in seen.items() if record["found"]}
    assert len(seen) == len(forms) >= 24
    assert found == {}
    # Of what has the digest of its maker nothing is left to doubt.
    assert {name: record["unproven"] for name, record in seen.items() if record["unproven"]} == {}


def test_a_sidecar_of_another_file_and_one_that_was_replaced_with_its_file(
    originals: Originals, keys: Keys, tmp_path: Path
) -> None:
    form = originals.forms["sql.gz"]
    one, other = put(tmp_path, 1, form.name, form.data), put(tmp_path, 2, form.name, yesterday(originals, form))
    shutil.copy(other, tmp_path / "kept")
    for path, of in ((one, other), (other, other)):
        digest = hashlib.sha256(of.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {of.name}\n")
    (tmp_path / "kept").unlink()
    seen = verify(tmp_path, keys)
    assert seen[one.name]["found"] == {"manifest_invalid"}
    assert seen[other.name]["found"] == set()  # replaced together with its digest: nobody can see that ...
    sums = other.with_name(f"{other.name}.sha256")
    keys.minisign(sums)
    signers = {"minisign": [keys.minisign_public]}
    assert verify(tmp_path, keys, signers=signers)[other.name]["found"] == set()
    other.write_bytes(form.data)
    sums.write_text(f"{hashlib.sha256(form.data).hexdigest()}  {other.name}\n")
    found = verify(tmp_path, keys, signers=signers)[other.name]["found"]
    assert found == {"signature_bad"}  # ... but with a signature


def test_a_bomb_is_left_alone(keys: Keys, tmp_path: Path) -> None:
    for number, case in enumerate(corpus.bombs(64 << 20)):
        put(tmp_path, number, case.form, b"")
        put(tmp_path, number, case.form, case.data)
    limits = {"max_expanded": "16MiB"}
    seen = verify(tmp_path, keys, limits=limits)
    for record in seen.values():
        # Zeros are no dump either: whichever is seen first ends the reading, long before the end.
        assert record["found"] & {"bomb", "unexpected_format"}
        assert record["status"] in ("unknown", "critical")
        assert record["bytes_decoded"] <= 16 << 20


# --- all of it


@pytest.mark.soak
def test_all_that_is_spoiled_is_found_with_a_manifest(postgres_cluster: Cluster, keys: Keys, tmp_path: Path) -> None:
    told = with_manifests(corpus.make(postgres_cluster, keys), keys, tmp_path, flips=10, every=1)
    print(json.dumps(told))
    assert told["cases"] > 1500


@pytest.mark.soak
def test_all_that_is_spoiled_is_found_without_one_or_not_proven(
    postgres_cluster: Cluster, keys: Keys, tmp_path: Path
) -> None:
    pg_restore = postgres_cluster.binaries.tool("pg_restore")
    made = corpus.make(postgres_cluster, keys)
    counts = without_manifests(made, keys, tmp_path, pg_restore, flips=10, every=1)
    print(json.dumps(counts))
    assert counts["found"] > counts["cases"] * 0.7


@pytest.mark.soak
def test_all_that_was_bad_from_the_beginning_is_found(postgres_cluster: Cluster, keys: Keys, tmp_path: Path) -> None:
    made = corpus.make(postgres_cluster, keys)
    forms = [form.name for form in made.forms.values() if form.rows and (form.pack is not None or form.name == "sql")]
    told = created_badly(made, keys, tmp_path, [name for name in forms if not name.startswith("dump")])
    print(json.dumps(told))
    assert told["cases"] > 300


@pytest.mark.soak
def test_all_that_is_spoiled_in_a_directory(postgres_cluster: Cluster, keys: Keys, tmp_path: Path) -> None:
    corpus.make(postgres_cluster, keys)
    counts = spoiled_directories(corpus.trees(postgres_cluster), keys, tmp_path, times=12)
    counts += spoiled_directories(corpus.base_backups(postgres_cluster), keys, tmp_path, times=2)
    print(json.dumps(counts))
    assert counts["cases"] > 350


@pytest.mark.soak
def test_two_gigabytes_of_zeros_fill_no_memory(keys: Keys, tmp_path: Path) -> None:
    for number, case in enumerate(corpus.bombs(2 << 30)):
        put(tmp_path, number, case.form, case.data)
    for record in verify(tmp_path, keys).values():
        assert record["found"] & {"bomb", "unexpected_format"}


@pytest.mark.soak
def test_a_thousand_verifications_say_the_same(originals: Originals, keys: Keys, tmp_path: Path) -> None:
    forms = [form for form in originals.forms.values() if not form.encrypted]
    for number, form in enumerate(forms):
        describe(put(tmp_path, number, form.name, form.data), form, form.data, originals.version)
    count = 0
    while count < 1000:
        seen = verify(tmp_path, keys, require_manifest=True)
        assert {name: record["found"] for name, record in seen.items() if record["found"]} == {}
        count += len(seen)
