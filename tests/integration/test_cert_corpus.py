"""`cert_expiry` against openssl, certificate by certificate, and on every Python that a managed host may have."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library, pem
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.tls import Authority
from tests.integration.module import run_module
from tests.unit.plugins.module_utils._cert.corpus import AT, CORPUS

FIELDS = ("-noout", "-dates", "-serial", "-fingerprint", "-sha256", "-ext", "subjectAltName,basicConstraints")
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# What openssl reads and newer versions of the library do not, so that only dates and serial are there to compare.
BY_HAND = {"without-seconds", "fraction", "offset"}


def openssl(*arguments: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("openssl")
    assert program, "the program openssl is needed to compare with: install it (Debian: apt-get install openssl)"
    return subprocess.run([program, *arguments], input=data, capture_output=True, check=False, timeout=30)


def instant(text: str) -> datetime:
    """`Sep 30 00:00:00 2027 GMT`, with or without a fraction, as openssl prints it in English."""
    month, day, clock, year = text.split()[:4]
    hour, minute, second = (int(part.partition(".")[0]) for part in clock.split(":"))
    return datetime(int(year), MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)


def names_of(text: str) -> set[str]:
    """`    DNS:a, DNS:b, IP Address:192.0.2.1` without the kinds, addresses in their short form."""
    line = text.partition("X509v3 Subject Alternative Name:")[2].strip().partition("\n")[0]
    names = set()
    for kind, _, value in (entry.partition(":") for entry in line.split(", ") if entry):
        names.add(str(ipaddress.ip_address(value)) if kind == "IP Address" else value)
    return names


def compare(certificate: Certificate, said: str) -> None:
    lines = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert certificate.not_before == instant(lines["notBefore"])
    # Whoever keeps whole seconds may be off by a fraction of one, downwards.
    assert certificate.not_after == instant(lines["notAfter"])
    assert int(certificate.serial, 16) == int(lines["serial"], 16)
    assert certificate.fingerprint == lines["sha256 Fingerprint"].replace(":", "").lower()
    if not certificate.unread:
        assert {name for name in certificate.names if "\0" not in name} <= names_of(said)
        # Of version 1, which has no extension to say so, we say it where it is its own issuer.
        assert certificate.is_ca or "CA:TRUE" not in said


def blocks() -> list[tuple[str, bytes]]:
    """Every certificate of the corpus in DER, with the case that it stands in."""
    found = []
    for case in CORPUS:
        ders = [block.der for block in pem.blocks(case.content) if block.label in pem.CERTIFICATE_LABELS and block.der]
        # openssl finds out by itself when what it was given is PKCS #12.
        ders += [case.content] if case.name.startswith("der") else []
        found += [(case.name, der) for der in dict.fromkeys(ders)]
    return found


def test_openssl_reads_the_same() -> None:
    compared, refused = set(), []
    for name, der in blocks():
        answer = openssl("x509", "-inform", "DER", *FIELDS, data=der)
        if answer.returncode != 0 or b"notAfter=" not in answer.stdout or b"Bad time value" in answer.stdout:
            continue  # it is no certificate for openssl either
        try:
            with library.quiet():
                certificate = library.load(der)
        except ValueError as error:
            refused.append((name, str(error)))
            continue
        compare(certificate, answer.stdout.decode("utf-8", "replace"))
        assert bool(certificate.unread) or name not in BY_HAND
        compared.add(name)
    # What follows a certificate openssl passes over; a version that does not exist it does not look at.
    assert {name for name, _error in refused} <= {"der-and-more", "version-9"}, refused
    assert len(compared) > 60
    assert compared >= BY_HAND


def test_openssl_and_ordinary_certificates() -> None:
    authority = Authority(intermediate=True)
    for key_type in ("ec256", "ec384", "rsa2048", "ed25519"):
        names = ["www.example.org", "*.example.org", "192.0.2.1", "::1"]
        issued = authority.issue("www.example.org", names=names, key_type=key_type)
        der = issued.certificate.public_bytes(serialization.Encoding.DER)
        compare(library.load(der), openssl("x509", "-inform", "DER", *FIELDS, data=der).stdout.decode())


def test_openssl_and_we_call_the_same_keys_a_pair(tmp_path: Path) -> None:
    issued = Authority().issue("a")
    said = openssl("x509", "-noout", "-pubkey", data=issued.certificate_pem).stdout
    public = openssl("pkey", "-pubin", "-outform", "DER", data=said).stdout
    digest = openssl("dgst", "-sha256", "-r", data=public).stdout.split()[0].decode()
    der = issued.certificate.public_bytes(serialization.Encoding.DER)
    assert library.load(der).spki == library.public_half(issued.key_pem, ()) == digest


@pytest.mark.parametrize(
    "key",
    [
        ["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
        ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-pkeyopt", "ec_param_enc:explicit"],
        ["ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
        ["ed448"],
    ],
    ids=lambda words: "-".join(words[::2]).replace(":", "-"),
)
def test_a_pair_of_an_unusual_kind_is_one(tmp_path: Path, key: list[str]) -> None:
    for name in ("a", "b"):
        chain, secret = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        argv = ("-newkey", *key, "-nodes", "-days", "90", "-subj", f"/CN={name}")
        made = openssl("req", "-x509", *argv, "-keyout", str(secret), "-out", str(chain), data=b"")
        assert made.returncode == 0, made.stderr
        secret.chmod(0o600)
    (tmp_path / "c.crt").write_bytes((tmp_path / "a.crt").read_bytes())
    (tmp_path / "c.key").write_bytes((tmp_path / "b.key").read_bytes())
    params = {"files": [str(tmp_path)], "check_key": True}
    outcome = CHECK.run(validate(CHECK.name, CHECK.argument_spec, params, CHECK.rules).params, datetime.now(UTC))
    matches = {Path(entry["target"]).name: entry["key_matches"] for entry in outcome.extra["certificates"]}
    assert matches == {"a.crt": True, "b.crt": True, "c.crt": False}


def test_openssl_s_own_containers_are_read(tmp_path: Path) -> None:
    """PKCS #12 and #7 as the openssl of this machine writes them, the old form of PKCS #12 too."""
    issued = Authority(intermediate=True).issue("www.example.org")
    chain, key = issued.write(tmp_path, "a")
    written = []
    for name, more in (("new", ()), ("none", ("-certpbe", "NONE", "-keypbe", "NONE")), ("legacy", ("-legacy",))):
        path = tmp_path / f"{name}.p12"
        what = ("-in", str(chain), "-inkey", str(key), "-out", str(path), "-passout", "pass:secret")
        made = openssl("pkcs12", "-export", *what, *more, data=b"")
        # Only openssl 3 knows the word legacy, and only with that provider installed.
        assert made.returncode == 0 or name == "legacy", made.stderr
        written += [str(path)] if made.returncode == 0 else []
    for form in ("PEM", "DER"):
        path = tmp_path / f"{form}.p7b"
        made = openssl("crl2pkcs7", "-nocrl", "-certfile", str(chain), "-outform", form, "-out", str(path), data=b"")
        assert made.returncode == 0, made.stderr
        written.append(str(path))
    answer = run_module(tmp_path, "cert_expiry", {"files": written, "passphrases": ["secret"], "check_key": True})
    records = answer.result["certificates"]
    assert {entry["state"] for entry in records} == {"ok"}, answer.result["findings"]
    assert {entry["leaf"]["fingerprint_sha256"] for entry in records} == {issued.fingerprint}
    assert {len(entry["chain"]) for entry in records} == {2}
    assert "secret" not in json.dumps(answer.result["certificates"])


# --- the whole module, where nothing may leak ---


def test_nothing_secret_is_returned_logged_or_shown(tmp_path: Path) -> None:
    issued = Authority().issue("a")
    chain, key = issued.write(tmp_path, "a")
    both = (issued.chain_pem + issued.key_pem).decode()
    store = tmp_path / "store.p12"
    exported = openssl(
        "pkcs12", "-export", "-in", str(chain), "-inkey", str(key), "-out", str(store), "-passout", "pass:open sesame",
        data=b"",
    )  # fmt: skip
    assert exported.returncode == 0, exported.stderr
    params = {
        "files": [str(tmp_path)], "patterns": ["*"], "content": [{"name": "secret", "content": both}],
        "passphrases": ["open sesame"], "check_key": True,
    }  # fmt: skip
    for more in ((), ("--check", "--diff")):
        command = ["ansible", "localhost", "-vvv", "-c", "local", "-m", "cadence.upkeep.cert_expiry", "-a",
                   json.dumps(params), *more]  # fmt: skip
        checkout = Path(__file__).resolve().parents[2]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(checkout / "playbooks" / "collections"),
            "ANSIBLE_HOME": str(tmp_path.parent / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(shutil.which("python") or "python3"),
        }
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        said = ran.stdout + ran.stderr
        assert '"certificates"' in said, said
        lines = [line for line in both.splitlines() if len(line) > 20 and "-----" not in line]
        # Ansible shows the file of the module's arguments by name, not what is in it.
        shown = said.replace(json.dumps(params), "")
        assert [line for line in lines if line in shown] == []
        assert "open sesame" not in shown


@pytest.mark.target_python
def test_every_python_of_a_managed_host_reads_the_corpus_alike(tmp_path: Path) -> None:
    pythons = [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]
    assert pythons, "UPKEEP_TARGET_PYTHONS names no interpreter"
    folder = tmp_path / "corpus"
    folder.mkdir()
    # Old versions of the library cannot tell the hash of RSA-PSS.
    plain = [case for case in CORPUS if not case.options and case.name != "rsa-pss"]
    for case in plain:
        (folder / f"{case.name}.pem").write_bytes(case.content)
        (folder / f"{case.name}.pem").chmod(0o600)
    for python in pythons:
        params = {"files": [str(folder)], "at": AT, "report": "problems"}
        answer = run_module(tmp_path, "cert_expiry", params, interpreter=python)
        counts = answer.result["summary"]["counts"]
        assert sum(counts.values()) == len(plain), (python, counts)
        expected = sum(case.state in ("critical", "expired", "not_yet_valid") for case in plain)
        assert counts["critical"] == expected, (python, answer.result["findings"])
        assert counts["unknown"] == sum(case.state == "unknown" for case in plain), (python, counts)
