"""Signatures over manifests and lists of digests: by whom they must be, and what must not pass."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Signed, Signers
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.signature import find, minisign_key, verify

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
NUMBER = b"12345678"


def public(key: Ed25519PrivateKey, number: bytes = NUMBER) -> str:
    return base64.b64encode(b"Ed" + number + key.public_key().public_bytes_raw()).decode()


def sign(path: Path, key: Ed25519PrivateKey = KEY, *, hashed: bool = True, comment: str = "timestamp:1") -> Path:
    """As minisign writes it, by its description."""
    content = path.read_bytes()
    packet = key.sign(hashlib.blake2b(content).digest() if hashed else content)
    whole = key.sign(packet + comment.encode())
    beside = path.with_name(f"{path.name}.minisig")
    lines = [
        "untrusted comment: signature",
        base64.b64encode((b"ED" if hashed else b"Ed") + NUMBER + packet).decode(),
        f"trusted comment: {comment}",
        base64.b64encode(whole).decode(),
    ]
    beside.write_text("\n".join(lines) + "\n")
    return beside


def minisign(path: Path, beside: Path, *keys: str) -> Signed:
    return verify(str(path), str(beside), "minisign", Signers(minisign=keys or (public(KEY),)), 10.0)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sql.gz.manifest.json"
    path.write_text('{"schema": 1}\n')
    return path


@pytest.mark.parametrize("hashed", [True, False])
def test_a_signature_by_a_named_key_is_valid(manifest: Path, hashed: bool) -> None:
    beside = sign(manifest, hashed=hashed)
    signed = minisign(manifest, beside)
    assert (signed.valid, signed.by) == (True, "3837363534333231")
    assert minisign(manifest, beside, public(OTHER), public(KEY)).valid is True
    manifest.write_text('{"schema": 1} \n')
    assert minisign(manifest, beside).valid is False


def test_a_signature_by_another_is_not(manifest: Path) -> None:
    assert minisign(manifest, sign(manifest, OTHER)).valid is False  # the same number, another key
    assert minisign(manifest, sign(manifest), public(KEY, b"87654321")).why == (
        "is by another key than the ones that were named"
    )
    assert verify(str(manifest), str(sign(manifest)), "minisign", Signers(), 10.0).valid is None


def test_the_trusted_comment_is_signed_too(manifest: Path) -> None:
    beside = sign(manifest, comment="timestamp:1")
    beside.write_text(beside.read_text().replace("timestamp:1", "timestamp:2"))
    assert minisign(manifest, beside).valid is False


@pytest.mark.parametrize("text", ["", "x\ny\nz\nw\n", "untrusted comment: \nRWQ=\ntrusted comment: x\nQQ==\n"])
def test_what_is_no_signature_is_not_valid(manifest: Path, text: str) -> None:
    beside = manifest.with_name("x.minisig")
    beside.write_text(text)
    assert minisign(manifest, beside).valid is False
    beside.unlink()
    assert minisign(manifest, beside).valid is None


@pytest.mark.parametrize("text", ["", "abc", "RWQ", base64.b64encode(bytes(42)).decode()])
def test_what_is_no_key_is_none(text: str) -> None:
    assert minisign_key(text) is None
    assert minisign_key(f"untrusted comment: minisign public key\n{public(KEY)}\n") is not None


# --- OpenSSH


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    for name in ("mine", "theirs"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(tmp_path / name)]
        subprocess.run(argv, check=True, capture_output=True)
    (tmp_path / "allowed").write_text(f"backup@db1 {(tmp_path / 'mine.pub').read_text()}")
    return tmp_path


def ssh_sign(folder: Path, path: Path, key: str, namespace: str = "file") -> Path:
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(folder / key), "-n", namespace, str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path.with_name(f"{path.name}.sig")


def test_ssh_signatures(ssh: Path, manifest: Path) -> None:
    signers = Signers(ssh_allowed_signers=str(ssh / "allowed"))
    beside = ssh_sign(ssh, manifest, "mine")
    good = verify(str(manifest), str(beside), "ssh", signers, 10.0)
    assert (good.valid, good.by, good.kind) == (True, "backup@db1", "ssh")
    named = Signers(ssh_allowed_signers=str(ssh / "allowed"), ssh_identity="somebody@else")
    assert verify(str(manifest), str(beside), "ssh", named, 10.0).valid is False
    manifest.write_text("changed\n")
    assert verify(str(manifest), str(beside), "ssh", signers, 10.0).valid is False
    beside.unlink()
    assert verify(str(manifest), str(ssh_sign(ssh, manifest, "theirs")), "ssh", signers, 10.0).valid is False
    beside.unlink()
    other = ssh_sign(ssh, manifest, "mine", namespace="git")
    assert verify(str(manifest), str(other), "ssh", signers, 10.0).valid is False


def test_without_the_program_nothing_is_known(ssh: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = ssh_sign(ssh, manifest, "mine")
    monkeypatch.setattr(adapter, "program", lambda _name: None)
    signed = verify(str(manifest), str(beside), "ssh", Signers(ssh_allowed_signers=str(ssh / "allowed")), 10.0)
    assert (signed.valid, signed.why) == (None, "cannot be verified: the program ssh-keygen is not here")
    assert verify(str(manifest), str(beside), "openpgp", Signers(gpg_homedir="/x"), 10.0).valid is None


def test_the_signature_is_sought_beside_what_it_signs() -> None:
    names = {"a.manifest.json.sig", "a.minisig", "a.asc"}
    assert find(names, "/b", "a.manifest.json") == ("/b/a.manifest.json.sig", "ssh")
    assert find(names, "/b", "a") == ("/b/a.minisig", "minisign")
    assert find(names, "/b", "c") is None
