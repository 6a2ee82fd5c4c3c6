"""`backup_verify` on encrypted and signed backups, by the real programs, and on what goes wrong with keys."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import gpghome
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Manifest, render
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.backup_keys import EXPIRED, LOCKED, OTHER, OWNER, Keys

Result = dict[str, Any]
RECORDED = Path(__file__).resolve().parents[1] / "unit/plugins/module_utils/_backup/recorded"
SQL = (RECORDED / "18.sql").read_bytes()
LAST_WEEK = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with Keys() as made:
        yield made


@pytest.fixture(autouse=True)
def programs(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """age is not everywhere; the check looks for it in PATH."""
    monkeypatch.setenv("PATH", keys.environment["PATH"])


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    path.chmod(0o600)
    os.utime(path, (LAST_WEEK.timestamp(),) * 2)
    return path


def verify(*paths: Path, **params: Any) -> Result:
    wanted = {"paths": [str(path) for path in paths], "select": "all", **params}
    validated = validate(CHECK.name, CHECK.argument_spec, wanted, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result(limit=10_000_000)


def told(result: Result) -> list[tuple[str, str]]:
    """Code and severity of what is said of files; that there are no digests is of no interest here."""
    return sorted(
        (one["code"].removeprefix("backup."), one["severity"])
        for one in result["findings"]
        if one["code"] != "backup.manifest_missing"
    )


def with_(keys: Keys, *which: str) -> Result:
    """The option `decrypt` with those of its keys."""
    every: Result = {
        "gpg_homedir": str(keys.gpg),
        "passphrase_file": str(keys.root / "passphrase"),
        "age_identity_file": str(keys.root / "age.key"),
        "openssl": {"pass_file": str(keys.root / "passphrase")},
    }
    return {name: every[name] for name in which}


Make = Callable[[Keys, bytes], bytes]
# What encrypts, the end of the name, and the keys that open it.
WAYS: dict[str, tuple[Make, str, tuple[str, ...]]] = {
    "gpg": (lambda keys, data: keys.gpg_encrypted(data), "gpg", ("gpg_homedir",)),
    "gpg armor": (lambda keys, data: keys.gpg_encrypted(data, OWNER, "--armor"), "gpg", ("gpg_homedir",)),
    "gpg aes uncompressed": (
        lambda keys, data: keys.gpg_encrypted(data, OWNER, "-z", "0", "--cipher-algo", "AES256"),
        "gpg",
        ("gpg_homedir",),
    ),
    "gpg expired": (lambda keys, data: keys.gpg_encrypted(data, EXPIRED), "gpg", ("gpg_homedir",)),
    "gpg locked": (lambda keys, data: keys.gpg_encrypted(data, LOCKED), "gpg", ("gpg_homedir", "passphrase_file")),
    "gpg hidden": (
        lambda keys, data: keys.gpg_encrypted(data, OWNER, "--throw-keyids"), "gpg", ("gpg_homedir",)
    ),
    "gpg passphrase": (lambda keys, data: keys.gpg_symmetric(data), "gpg", ("passphrase_file",)),
    "gpg passphrase and home": (
        lambda keys, data: keys.gpg_symmetric(data), "gpg", ("gpg_homedir", "passphrase_file")
    ),
    "age": (lambda keys, data: keys.age_encrypted(data), "age", ("age_identity_file",)),
    "age armor": (lambda keys, data: keys.age_encrypted(data, "--armor"), "age", ("age_identity_file",)),
}  # fmt: skip
AUTHENTICATED = sorted(WAYS)


@pytest.mark.parametrize("way", AUTHENTICATED)
@pytest.mark.parametrize("inner", ["sql", "sql.gz"])
def test_a_whole_encrypted_dump_raises_no_alarm(keys: Keys, tmp_path: Path, way: str, inner: str) -> None:
    make, end, needed = WAYS[way]
    data = SQL if inner == "sql" else gzip.compress(SQL)
    path = put(tmp_path, f"shop.{inner}.{end}", make(keys, data))
    result = verify(path, decrypt=with_(keys, *needed), count_rows=True)
    assert told(result) == []
    (record,) = result["files"]
    assert record["chain"] == [
        "openpgp" if end == "gpg" else "age", *(["gzip"] if inner == "sql.gz" else []), "pgdump-plain"
    ]  # fmt: skip
    assert record["dump"]["rows"]["public.customers"] == 40
    assert record["unproven"] == ["completeness", "producer_digest"]  # what is inside cannot have changed


@pytest.mark.parametrize(
    ("more", "options"),
    [
        (("-pbkdf2",), {}),
        (("-pbkdf2", "-iter", "5000", "-md", "sha512"), {"iterations": 5000, "digest": "sha512"}),
        (("-md", "md5"), {"kdf": "evp_bytes_to_key", "digest": "md5"}),
        (("-aes-128-ctr", "-pbkdf2"), {"cipher": "aes-128-ctr"}),
    ],
)
def test_openssl_enc_is_read_as_it_is_said_and_never_believed(
    keys: Keys, tmp_path: Path, more: tuple[str, ...], options: Result
) -> None:
    path = put(tmp_path, "shop.sql.gz.enc", keys.openssl_encrypted(gzip.compress(SQL), *more))
    how = {"openssl": {"pass_file": str(keys.root / "passphrase"), **options}}
    result = verify(path, decrypt=how)
    assert told(result) == [("unauthenticated_encryption", "warning")]
    assert result["files"][0]["chain"] == ["openssl-enc", "gzip", "pgdump-plain"]


# --- keys


def test_without_a_key_nothing_is_known_and_said(keys: Keys, tmp_path: Path) -> None:
    for way, (make, end, _needed) in WAYS.items():
        path = put(tmp_path, f"{way.replace(' ', '-')}.sql.{end}", make(keys, SQL))
        result = verify(path)
        assert told(result) == [("no_key", "unknown")], way
        assert result["files"][0]["level_reached"] == "presence"
        assert "content" in result["files"][0]["unproven"]


WRONG_PASSPHRASE = {"gpg_homedir": "gpg", "passphrase_file": "wrong"}
WRONG_DERIVATION = {"openssl": {"pass_file": "passphrase", "kdf": "evp_bytes_to_key"}}
NO_KEY_BUT_A_PASSPHRASE = {"gpg_homedir": "empty", "passphrase_file": "passphrase"}


@pytest.mark.parametrize(
    ("make", "end", "decrypt", "expected"),
    [
        # A key ring that has none of the secret keys: gpg itself says "bad passphrase" or "no secret key".
        (lambda keys: keys.gpg_encrypted(SQL), "gpg", {"gpg_homedir": "empty"}, "no_key"),
        (lambda keys: keys.gpg_encrypted(SQL), "gpg", {"gpg_homedir": "gpg_other"}, "no_key"),
        (lambda keys: keys.gpg_encrypted(SQL, OTHER), "gpg", {"gpg_homedir": "gpg"}, "no_key"),
        (lambda keys: keys.gpg_encrypted(SQL), "gpg", NO_KEY_BUT_A_PASSPHRASE, "no_key"),
        (lambda keys: keys.gpg_encrypted(SQL, LOCKED), "gpg", {"gpg_homedir": "gpg"}, "no_key"),
        (lambda keys: keys.gpg_encrypted(SQL, LOCKED), "gpg", WRONG_PASSPHRASE, "wrong_key"),
        (lambda keys: keys.gpg_symmetric(SQL), "gpg", {"passphrase_file": "wrong"}, "wrong_key"),
        (lambda keys: keys.gpg_symmetric(SQL), "gpg", {"passphrase_file": "is-not-there"}, "no_key"),
        (lambda keys: keys.gpg_symmetric(SQL), "gpg", {"passphrase_file": "nothing"}, "no_key"),
        (lambda keys: keys.age_encrypted(SQL), "age", {"age_identity_file": "age-other.key"}, "wrong_key"),
        (lambda keys: keys.age_encrypted(SQL, name="age-other"), "age", {"age_identity_file": "age.key"}, "wrong_key"),
        (lambda keys: keys.age_encrypted(SQL), "age", {"age_identity_file": "is-not-there"}, "no_key"),
        (lambda keys: keys.age_encrypted(SQL), "age", {"age_identity_file": "cut.key"}, "no_key"),
        (lambda keys: keys.age_encrypted(SQL), "age", {"age_identity_file": "nothing"}, "no_key"),
        (lambda keys: keys.openssl_encrypted(SQL), "enc", {"openssl": {"pass_file": "wrong"}}, "wrong_key"),
        (lambda keys: keys.openssl_encrypted(SQL), "enc", WRONG_DERIVATION, "wrong_key"),
        (lambda keys: keys.openssl_encrypted(SQL), "enc", {"openssl": {"pass_file": "is-not-there"}}, "no_key"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_key_is_told(
    keys: Keys, tmp_path: Path, make: Callable[[Keys], bytes], end: str, decrypt: Result, expected: str
) -> None:
    whole = (keys.root / "age.key").read_text()
    keys.secret("cut.key", whole[: whole.index("AGE-SECRET-KEY") + 40])
    keys.secret("nothing", "")

    def below(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: below(one, key) for key, one in value.items()}
        return str(keys.root / value) if name.endswith(("file", "homedir")) else value

    path = put(tmp_path, f"shop.sql.{end}", make(keys))
    result = verify(path, decrypt=below(decrypt))
    codes = [pair for pair in told(result) if pair[0] != "unauthenticated_encryption"]
    assert codes == [(expected, "critical")]
    assert result["files"][0]["status"] == "critical"
    assert result["files"][0]["level_reached"] == "presence"
    assert whole.split("AGE-SECRET-KEY")[1][:20] not in json.dumps(result)


# --- damage


@pytest.mark.parametrize("way", ["gpg", "gpg armor", "gpg aes uncompressed", "gpg passphrase", "age", "age armor"])
def test_a_cut_or_changed_encrypted_file_is_found(keys: Keys, tmp_path: Path, way: str) -> None:
    make, end, needed = WAYS[way]
    whole = make(keys, SQL)
    size = len(whole)
    cases = {f"cut-{at}": whole[:at] for at in (size - 1, size - 20, size // 2, size // 10 + 150)}
    for at in (size - 5, size // 2, size // 4, size - 60):
        changed = bytearray(whole)
        changed[at] ^= 0x04
        cases[f"flip-{at}"] = bytes(changed)
    files = {
        name: put(tmp_path, f"{name}.sql.{end}", data) for name, data in cases.items() if data.strip() != whole.strip()
    }
    result = verify(*files.values(), decrypt=with_(keys, *needed))
    records = {Path(record["path"]).name.split(".")[0]: record for record in result["files"]}
    assert len(records) == len(files) >= 7
    for name, record in records.items():
        codes = {one["code"].removeprefix("backup.") for one in record["findings"]} - {"manifest_missing"}
        assert record["status"] == "critical", name
        assert codes <= {"truncated", "corrupt", "wrong_key", "no_key"}, (name, codes)
        if name.startswith("cut") and "age" not in way:
            assert codes == {"truncated"}, name  # age without its last chunk only says that something is amiss


def test_a_cut_shows_from_outside_without_any_key(keys: Keys, tmp_path: Path) -> None:
    for way in ("gpg", "gpg armor", "age armor", "gpg passphrase"):
        make, end, _needed = WAYS[way]
        whole = make(keys, gzip.compress(SQL))
        path = put(tmp_path, f"{way.replace(' ', '-')}.sql.gz.{end}", whole[: len(whole) // 2])
        assert told(verify(path)) == [("truncated", "critical")], way


def test_a_flip_in_openssl_enc_is_silent_without_a_digest_and_found_with_a_manifest(keys: Keys, tmp_path: Path) -> None:
    whole = keys.openssl_encrypted(SQL)
    at = 16 + SQL.index(b"customer 20") // 16 * 16
    changed = bytearray(whole)
    changed[at + 3] ^= 1
    path = put(tmp_path, "shop.sql.enc", bytes(changed))
    how = with_(keys, "openssl")
    result = verify(path, decrypt=how)
    assert ("unauthenticated_encryption", "warning") in told(result)
    assert "values" in result["files"][0]["unproven"]
    manifest = Manifest(
        name=path.name, kind="postgres", taken_at=LAST_WEEK, stored_size=len(whole),
        stored_sha256=hashlib.sha256(whole).hexdigest(), formats=("openssl-enc", "pgdump-plain"),
    )  # fmt: skip
    path.with_name(f"{path.name}.manifest.json").write_bytes(render(manifest))
    assert ("digest_mismatch", "critical") in told(verify(path, decrypt=how))


# --- signatures


def signed(keys: Keys, folder: Path, by: Callable[[Path], Path]) -> Path:
    path = put(folder, "shop.sql.gz", gzip.compress(SQL, mtime=0))
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    by(folder / "SHA256SUMS")
    return path


def signers(keys: Keys, **more: Any) -> Result:
    return {"minisign": [keys.minisign_public], "gpg_homedir": str(keys.gpg), **more}


def test_a_signature_of_minisign_holds(keys: Keys, tmp_path: Path) -> None:
    path = signed(keys, tmp_path, keys.minisign)
    result = verify(path, require_signature=True, signers=signers(keys))
    assert told(result) == []
    assert result["files"][0]["signature"]["valid"] is True
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(sums.read_text() + "\n")
    assert told(verify(path, signers=signers(keys))) == [("signature_bad", "critical")]


@pytest.mark.parametrize(
    ("who", "expected", "words"),
    [
        (OWNER, [], ""),
        (OTHER, [("signature_bad", "critical")], "does not have"),
        (EXPIRED, [("signature_bad", "critical")], "has expired"),
    ],
)
def test_a_signature_of_gpg_counts_by_who_made_it(
    keys: Keys, tmp_path: Path, who: str, expected: list[tuple[str, str]], words: str
) -> None:
    path = signed(keys, tmp_path, lambda sums: keys.gpg_sign(sums, who))
    result = verify(path, require_signature=True, signers=signers(keys))
    assert told(result) == expected
    assert words in " ".join(one["message"] for one in result["findings"])


def test_only_the_named_fingerprints_of_a_key_ring_count(keys: Keys, tmp_path: Path) -> None:
    path = signed(keys, tmp_path, keys.gpg_sign)
    listed = keys.run("gpg", "--homedir", str(keys.gpg), "--with-colons", "--list-keys", OWNER).decode()
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    for wanted, expected in ((fingerprint, []), ("0" * 40, [("signature_bad", "critical")])):
        result = verify(path, require_signature=True, signers=signers(keys, gpg_fingerprints=[wanted]))
        assert told(result) == expected


def test_a_signature_of_ssh_holds(keys: Keys, tmp_path: Path) -> None:
    key = tmp_path / "id"
    keys.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    allowed = tmp_path / "allowed"
    allowed.write_text(f"backup@shop.test {key.with_suffix('.pub').read_text()}")
    folder = tmp_path / "b"
    folder.mkdir()

    def by(sums: Path) -> Path:
        keys.run("ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "file", str(sums))
        return sums

    path = signed(keys, folder, by)
    whose = {"ssh_allowed_signers": str(allowed)}
    result = verify(path, require_signature=True, signers=whose)
    assert told(result) == []
    assert result["files"][0]["signature"] == {"kind": "ssh", "valid": True, "by": "backup@shop.test"}
    assert told(verify(path, signers={**whose, "ssh_identity": "nobody@shop.test"})) == [("signature_bad", "critical")]
    (folder / "SHA256SUMS").write_text("changed\n")
    assert ("signature_bad", "critical") in told(verify(path, signers=whose))


def test_without_a_signature_where_one_is_required_the_file_is_critical(keys: Keys, tmp_path: Path) -> None:
    path = put(tmp_path, "shop.sql.gz", gzip.compress(SQL))
    assert told(verify(path, require_signature=True, signers=signers(keys))) == [("signature_missing", "critical")]


# --- secrets, and what is left behind

SPY = """\
#!/bin/sh
{{ tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; }} >> {log}
exec {program} "$@"
"""


def test_no_secret_is_in_an_argument_the_environment_a_result_or_the_state(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the programs are started with is written down by what stands before them in PATH."""
    spies, log = tmp_path / "bin", tmp_path / "seen"
    spies.mkdir()
    for name in ("gpg", "age", "openssl", "gpg-connect-agent"):
        found = subprocess.run(["which", name], env=dict(keys.environment), capture_output=True, text=True, check=True)
        (spies / name).write_text(SPY.format(log=log, program=found.stdout.strip()))
        (spies / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{spies}:{keys.environment['PATH']}")
    marked = SQL.replace(b"customer 20", b"customer-canary-20")
    folder = tmp_path / "b"
    folder.mkdir()
    for way, (make, end, _needed) in WAYS.items():
        put(folder, f"{way.replace(' ', '-')}.sql.{end}", make(keys, marked))
    put(folder, "shop.sql.enc", keys.openssl_encrypted(marked))
    put(folder, "cut.sql.enc", keys.openssl_encrypted(marked)[:-16])
    state = tmp_path / "state.jsonl"
    result = verify(folder, decrypt=with_(keys, "gpg_homedir", "passphrase_file", "age_identity_file", "openssl"),
                    state_file=str(state))  # fmt: skip
    assert len(result["files"]) == len(WAYS) + 2
    secrets = [
        keys.passphrase,
        (keys.root / "age.key").read_text().split("AGE-SECRET-KEY-")[1].strip(),
        "customer-canary",
    ]
    seen = log.read_text(errors="replace")
    assert seen.count("--decrypt") >= len(WAYS)
    assert " enc" in seen.replace("\n", " ")
    for text in (seen, json.dumps(result), state.read_text()):
        assert [secret for secret in secrets if secret in text] == []


def test_no_agent_and_no_home_is_left_behind(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Short, for the sockets of the agent, and of its own: others verify at the same time.
    temporary = Path(tempfile.mkdtemp(prefix="t", dir=tempfile.gettempdir()))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = put(tmp_path, "shop.sql.gpg", keys.gpg_symmetric(SQL))
    keys.rest()
    assert told(verify(path, decrypt=with_(keys, "passphrase_file"))) == []
    other = put(tmp_path, "other.sql.gpg", keys.gpg_encrypted(SQL))
    assert told(verify(other, decrypt=with_(keys, "gpg_homedir"))) == []
    assert list(temporary.iterdir()) == []
    # An agent that was told to end does so in its own time.
    until = time.monotonic() + 60
    while agents := [line for line in running() if str(keys.gpg) in line or str(temporary) in line]:
        assert time.monotonic() < until, agents
        time.sleep(0.1)
    temporary.rmdir()


def running() -> list[str]:
    lines = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended
    return [line for line in lines if "gpg-agent" in line]


def test_the_home_of_a_killed_run_is_removed_by_the_next(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    used = gpghome.GpgHome("")
    left, fresh = tmp_path / f"{gpghome.PREFIX}left", tmp_path / ".upkeep-gpg-new-fresh"
    for place in (left, fresh, tmp_path / "something-else"):
        place.mkdir(mode=0o700)
    (tmp_path / f"{gpghome.PREFIX}link").symlink_to(tmp_path / "something-else")
    assert gpghome.sweep() == [str(left)]
    assert Path(used.path).is_dir()
    assert fresh.is_dir()
    used.close()
    assert not Path(used.path).exists()
