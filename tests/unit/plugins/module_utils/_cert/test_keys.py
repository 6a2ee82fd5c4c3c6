"""Private keys: found where they usually lie, never shown, and who else could read them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.git import WorkTrees
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.keys import names_of_keys
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.tls import Authority, Issued
from tests.unit.plugins.module_utils._cert.corpus import store


def run(**params: Any) -> dict[str, Any]:
    validated = validate(CHECK.name, CHECK.argument_spec, params, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result()


def codes(result: dict[str, Any]) -> list[str]:
    return sorted(finding["code"] for finding in result["findings"])


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that everybody may pass, which tmp_path is not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("a.pem", "a.key"),
        ("a.crt", "a-key.pem"),
        ("a.example.org.fullchain.pem", "a.example.org.key"),
        ("a-bundle.crt", "a.key"),
        ("live/fullchain.pem", "live/privkey.pem"),
        ("live/cert.pem", "live/privkey.pem"),
        ("archive/fullchain7.pem", "archive/privkey7.pem"),
        ("tls.crt", "tls.key"),
        ("server.crt", "key.pem"),
        ("certs/a.pem", "private/a.key"),
    ],
)
def test_keys_are_looked_for_where_they_lie(certificate: str, key: str) -> None:
    assert f"/etc/{key}" in list(names_of_keys(f"/etc/{certificate}"))


def test_a_chain_of_certbot_has_no_key() -> None:
    assert "/live/privkey.pem" not in list(names_of_keys("/live/chain.pem"))


@pytest.mark.parametrize("key_type", ["ec256", "rsa2048", "ed25519"])
def test_the_right_key_fits_and_a_wrong_one_does_not(authority: Authority, tmp_path: Path, key_type: Any) -> None:
    one, other = (authority.issue("a", key_type=key_type) for _number in range(2))
    chain, key = one.write(tmp_path, "a")
    result = run(files=[str(chain)], check_key=True)
    assert codes(result) == ["cert.valid"]
    (record,) = result["certificates"]
    assert (record["key"], record["key_matches"]) == (str(key), True)
    key.write_bytes(other.key_pem)
    result = run(files=[str(chain)], check_key=True)
    assert (codes(result), result["summary"]["worst"]) == (["cert.key_mismatch"], "critical")
    assert result["certificates"][0]["key_matches"] is False
    assert run(files=[str(chain)])["certificates"][0]["key_matches"] is None  # it was not read


def test_a_key_in_the_same_file_is_compared(authority: Authority, tmp_path: Path) -> None:
    one, other = authority.issue("a"), authority.issue("b")
    path = tmp_path / "both.pem"
    for key, code in ((one.key_pem, "cert.valid"), (other.key_pem, "cert.key_mismatch")):
        path.write_bytes(one.chain_pem + key)
        assert codes(run(files=[str(path)], check_key=True)) == [code]


def test_an_encrypted_key_wants_its_passphrase(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("a")
    chain, key = issued.write(tmp_path, "a")
    scheme = serialization.BestAvailableEncryption(b"open sesame")
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(issued.key.private_bytes(serialization.Encoding.PEM, form, scheme))
    for passphrases, code, kind in (
        ([], "cert.key_unknown", "encrypted_need_passphrase"),
        (["wrong"], "cert.key_unknown", "bad_passphrase"),
        (["wrong", "open sesame"], "cert.valid", None),
    ):
        result = run(files=[str(chain)], check_key=True, passphrases=passphrases)
        (finding,) = result["findings"]
        assert (finding["code"], finding["evidence"].get("kind")) == (code, kind)
        assert "sesame" not in json.dumps(result)


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_that_is_none_is_unknown(authority: Authority, tmp_path: Path, content: bytes) -> None:
    chain, key = authority.issue("a").write(tmp_path, "a")
    key.write_bytes(content)
    (finding,) = run(files=[str(chain)], check_key=True)["findings"]
    assert (finding["code"], finding["severity"]) == ("cert.key_unknown", "unknown")


def test_a_fifo_instead_of_a_key_holds_nobody(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue("a").write(tmp_path, "a")
    key.unlink()
    os.mkfifo(key)
    assert codes(run(files=[str(chain)], check_key=True)) == ["cert.valid"]


def test_a_key_that_everybody_can_read(authority: Authority, open_folder: Path) -> None:
    chain, key = authority.issue("a").write(open_folder, "a")
    assert codes(run(files=[str(chain)])) == ["cert.valid"]
    key.chmod(0o644)
    (finding,) = run(files=[str(chain)])["findings"]
    assert (finding["code"], finding["severity"]) == ("cert.key_world_readable", "warning")
    assert f"chmod o-rwx {key}" in finding["remedy"]
    open_folder.chmod(0o700)  # what nobody can reach, nobody can read
    assert codes(run(files=[str(chain)])) == ["cert.valid"]


def test_a_key_beside_its_certificate_in_one_readable_file(authority: Authority, open_folder: Path) -> None:
    issued = authority.issue("a")
    path = open_folder / "both.pem"
    path.write_bytes(issued.chain_pem + issued.key_pem)
    path.chmod(0o644)
    assert codes(run(files=[str(path)])) == ["cert.key_world_readable"]


def test_a_store_compares_its_own_key(tmp_path: Path) -> None:
    path = tmp_path / "store.p12"
    path.write_bytes(store(b"secret"))
    (record,) = run(files=[str(path)], passphrases=["secret"])["certificates"]
    assert record["key_matches"] is True


def test_content_with_its_key(authority: Authority) -> None:
    one, other = authority.issue("a"), authority.issue("b")
    contents = [
        {"name": "right", "content": (one.chain_pem + one.key_pem).decode()},
        {"name": "wrong", "content": (one.chain_pem + other.key_pem).decode()},
    ]
    result = run(content=contents, check_key=True)
    states = {entry["target"]: (entry["kind"], entry["key_matches"]) for entry in result["certificates"]}
    assert states == {"right": ("content", True), "wrong": ("content", False)}
    lines = [
        line for key in (one, other) for line in (key.key_pem + key.chain_pem).decode().splitlines() if len(line) > 40
    ]
    assert [line for line in lines if line in json.dumps(result)] == []


# --- git ---


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})


@pytest.mark.parametrize("version", ["2", "3", "4"])
@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_a_key_in_a_repository(authority: Authority, tmp_path: Path, version: str, form: str) -> None:
    git(tmp_path, "init", "-q", f"--object-format={form}", ".")
    folder = tmp_path / "deploy" / "files"
    folder.mkdir(parents=True)
    chain, key = authority.issue("a").write(folder, "a")
    (finding,) = (entry for entry in run(files=[str(chain)])["findings"] if entry["code"] != "cert.valid")
    assert (finding["code"], finding["severity"], finding["evidence"]["tracked"]) == ("cert.key_in_git", "info", False)
    for number in range(30):
        (tmp_path / f"deploy/other{number}.txt").touch()
    git(tmp_path, "add", ".")
    if version == "3":  # an entry with extended flags makes it that version
        (tmp_path / "deploy/later.txt").touch()
        git(tmp_path, "add", "--intent-to-add", "deploy/later.txt")
    else:
        git(tmp_path, "update-index", "--index-version", version)
    (finding,) = run(files=[str(chain)])["findings"]
    assert (finding["code"], finding["severity"]) == ("cert.key_in_git", "warning")
    where = {"key": str(key), "work_tree": str(tmp_path.resolve()), "tracked": True}
    assert finding["evidence"].items() >= where.items()


def test_of_an_index_in_parts_nothing_is_known(authority: Authority, tmp_path: Path) -> None:
    """What is not in its own part may well be in the shared one."""
    git(tmp_path, "init", "-q")
    chain, _key = authority.issue("a").write(tmp_path, "a")
    git(tmp_path, "add", ".")
    git(tmp_path, "update-index", "--split-index")
    (finding,) = (entry for entry in run(files=[str(chain)])["findings"] if entry["code"] != "cert.valid")
    assert (finding["code"], finding["severity"], finding["evidence"]["tracked"]) == (
        "cert.key_in_git",
        "warning",
        None,
    )


def test_a_linked_work_tree(tmp_path: Path) -> None:
    main, linked = tmp_path / "main", tmp_path / "linked"
    git(tmp_path, "init", "-q", "main")
    (main / "a.key").touch()
    git(main, "add", ".")
    git(main, "commit", "-q", "-m", "first")
    git(main, "worktree", "add", "-q", str(linked))
    (linked / "b.key").touch()
    trees = WorkTrees()
    assert trees.of(str(linked)) == str(linked)
    assert [trees.tracks(str(linked), str(linked / name)) for name in ("a.key", "b.key")] == [True, False]


@pytest.mark.parametrize("index", [b"DIRC\0\0\0\x02\0\0\0\x05", b"nonsense", b"DIRC\0\0\0\x09\0\0\0\x01" + bytes(90)])
def test_an_index_that_cannot_be_read_leaves_it_open(authority: Authority, tmp_path: Path, index: bytes) -> None:
    git(tmp_path, "init", "-q", ".")
    (tmp_path / ".git/index").write_bytes(index)
    chain, _key = authority.issue("a").write(tmp_path, "a")
    (finding,) = run(files=[str(chain)])["findings"]
    assert (finding["severity"], finding["evidence"]["tracked"]) == ("warning", None)


def test_outside_of_a_repository_nothing_is_said(tmp_path: Path) -> None:
    assert WorkTrees().of(str(tmp_path)) is None


def test_a_certificate_is_no_key(authority: Authority, tmp_path: Path) -> None:
    """The certificate itself may well be in a repository."""
    git(tmp_path, "init", "-q", ".")
    issued: Issued = authority.issue("a")
    (tmp_path / "a.pem").write_bytes(issued.chain_pem)
    assert codes(run(files=[str(tmp_path / "a.pem")])) == ["cert.valid"]
