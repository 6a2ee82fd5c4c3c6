"""Certificates deployed to real servers: in use afterwards, or as it was before."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    InvalidInput,
    LockHeld,
    StateError,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from tests.bed.ledger import of_this_process
from tests.bed.nginx import Nginx
from tests.bed.packages import runs, settings_of, unpacked
from tests.bed.postgres import Cluster, cache_directory, find_or_bring, free_port
from tests.bed.tls import Authority, TlsServer
from tests.integration.deploying import NAME, Shop, codes, served, steps
from tests.integration.module import run_module

MOUNTS = Path(__file__).with_name("mounts.py")


@pytest.fixture
def shop(tmp_path: Path, certificate_authority: Authority) -> Shop:
    """Nothing in place yet, and no server."""
    return Shop(tmp_path, certificate_authority, tmp_path / "tls")


@pytest.fixture
def behind_nginx(shop: Shop) -> Iterator[tuple[Shop, Nginx]]:
    """A certificate that somebody put there by hand, and an nginx that serves it."""
    shop.put()
    with Nginx(shop.folder / "nginx", shop.chain, shop.key) as nginx:
        shop.port = nginx.port
        shop.consumers = [
            {
                "kind": "nginx",
                "validate": nginx.argv("-t"),
                "reload": nginx.argv("-s", "reload"),
            }
        ]
        yield shop, nginx


# --- as it should be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["links", "files"])
def test_a_new_certificate_is_served_and_the_old_one_kept(behind_nginx: tuple[Shop, Nginx], layout: str) -> None:
    shop, _nginx = behind_nginx
    old, old_files = shop.served(), shop.in_place()
    issued = shop.issue()
    done = shop.deploy(layout=layout)
    assert (done.state, done.failure, codes(done)) == ("changed", "", [])
    assert steps(done) == [("backup", "done"), ("deploy", "done"), ("validate nginx", "done"), ("reload nginx", "done")]
    assert shop.served() == issued.fingerprint != old
    assert shop.in_place() == (issued.chain_pem, issued.key_pem)
    assert stat.S_IMODE(shop.key.stat().st_mode) == 0o640, "whose the file was is kept"
    again = shop.deploy(layout=layout)
    assert (again.state, steps(again), again.outcome.changed) == ("unchanged", [], False)
    restored = shop.deploy(layout=layout, state="restored")
    assert (restored.state, restored.failure) == ("changed", "")
    assert shop.served() == old and shop.in_place() == old_files
    assert shop.deploy(layout=layout, state="restored").state == "unchanged", "the latest is still the same"


def test_check_mode_says_what_would_be_done_and_does_nothing(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, _nginx = behind_nginx
    shop.issue()
    before, served, names = shop.in_place(), shop.served(), sorted(os.listdir(shop.live))
    planned = shop.deploy(check_mode=True)
    assert planned.state == "changed" and planned.outcome.changed
    assert steps(planned) == [("backup", "planned"), ("deploy", "planned"), ("reload nginx", "planned")]
    assert planned.before != planned.after and "serial" in planned.after
    assert (shop.in_place(), shop.served(), sorted(os.listdir(shop.live))) == (before, served, names)
    assert not shop.state.exists()


def test_the_right_files_that_are_not_served_are_taken_up(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, _nginx = behind_nginx
    issued = shop.issue()
    shop.deploy(consumers=[], endpoints=[])
    assert shop.served() != issued.fingerprint
    planned = shop.deploy(check_mode=True)
    assert (planned.state, steps(planned)) == ("reloaded", [("reload nginx", "planned")])
    done = shop.deploy()
    assert (done.state, done.failure) == ("reloaded", "")
    assert steps(done) == [("validate nginx", "done"), ("reload nginx", "done")]
    assert shop.served() == issued.fingerprint


def test_a_server_that_is_down_is_said_and_not_reloaded(shop: Shop) -> None:
    shop.issue()
    shop.deploy()
    shop.port = 9
    done = shop.deploy(consumers=[{"reload": ["false"]}])
    assert (done.state, codes(done), steps(done)) == ("unchanged", ["cert.not_served"], [])
    assert done.outcome.worst.word == "unknown" and not done.failure


def test_one_that_was_down_before_does_not_undo_a_good_certificate(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, _nginx = behind_nginx
    issued = shop.issue()
    dead = {"name": "dead", "host": "127.0.0.1", "port": 9, "server_name": NAME}
    alive = {"name": "alive", "host": "127.0.0.1", "port": shop.port, "server_name": NAME}
    done = shop.deploy(endpoints=[dead, alive], settle="2s")
    assert (done.state, done.failure, codes(done)) == ("changed", "", ["cert.not_served"])
    (finding,) = done.outcome.findings
    assert finding.evidence["endpoint"] == "dead" and finding.severity.word == "unknown"
    assert "So it was before" in finding.message
    assert shop.served() == issued.fingerprint
    # Nor does it keep others from being reloaded, or make that a failure.
    issued = shop.issue(days=70)
    assert shop.deploy(endpoints=[], consumers=[]).state == "changed"
    done = shop.deploy(endpoints=[dead, alive], settle="2s")
    assert (done.state, done.failure, shop.served()) == ("reloaded", "", issued.fingerprint)


def test_one_that_served_something_else_before_is_a_failure_and_no_reason_to_undo(
    behind_nginx: tuple[Shop, Nginx],
) -> None:
    shop, _nginx = behind_nginx
    stranger = shop.authority.issue(NAME).write(shop.folder, "stranger")
    with TlsServer(*stranger) as server:
        issued = shop.issue()
        other = {"name": "other", "host": "127.0.0.1", "port": server.port, "server_name": NAME}
        alive = {"name": "alive", "host": "127.0.0.1", "port": shop.port, "server_name": NAME}
        done = shop.deploy(endpoints=[other, alive], settle="2s")
    assert (done.state, codes(done)) == ("broken", ["cert.not_served", "cert.not_in_use"])
    assert "is in place and stays, but other did not serve the one of before" in done.failure
    assert shop.served() == issued.fingerprint and not shop.chain.with_name(".shop.journal").exists()


def test_one_that_goes_down_with_the_new_certificate_does(shop: Shop) -> None:
    """What was well before and is not after is the deployment's doing, whatever else was wrong before."""
    old = shop.put()
    with TlsServer(shop.chain, shop.key) as server:
        shop.issue()
        stop = shop.folder / "stop"
        shop.consumers = [{"name": "web", "reload": ["touch", str(stop)]}]
        alive = {"name": "alive", "host": "127.0.0.1", "port": server.port, "server_name": NAME}
        dead = {"name": "dead", "host": "127.0.0.1", "port": 9, "server_name": NAME}
        done = shop.deploy(endpoints=[dead, alive], settle="1s")
        assert served(server.port, shop.ca_path) == old.fingerprint
    assert (done.state, shop.chain.read_bytes()) == ("put_back", old.chain_pem)
    assert {one.evidence["endpoint"] for one in done.outcome.findings if one.code == "cert.not_served"} == {
        "dead",
        "alive",
    }


def test_paths_that_lead_to_the_source_become_our_own(shop: Shop) -> None:
    """Else a renewal would change them unseen: the same content, and nobody told."""
    shop.issue()
    shop.live.mkdir()
    shop.chain.symlink_to(shop.folder / "source.pem")
    shop.key.symlink_to(shop.folder / "source.key")
    reloaded = shop.folder / "reloaded"
    shop.consumers = [{"name": "web", "reload": ["touch", str(reloaded)]}]
    assert shop.deploy(check_mode=True).state == "changed" and not reloaded.exists()
    assert shop.deploy().state == "changed" and reloaded.exists()
    assert os.readlink(shop.chain) == ".shop.live/fullchain.pem"
    assert shop.deploy().state == "unchanged"
    reloaded.unlink()
    issued = shop.issue(days=70)
    assert shop.chain.read_bytes() != issued.chain_pem
    assert shop.deploy().state == "changed" and reloaded.exists()
    assert shop.in_place() == (issued.chain_pem, issued.key_pem)


def test_two_deployments_with_one_key_between_them_are_refused(shop: Shop) -> None:
    shop.issue()
    shop.deploy()
    before = shop.in_place()
    shop.issue(days=70)
    shared = {"fullchain": str(shop.live / "other.crt"), "privkey": str(shop.key)}
    for check_mode in (True, False):
        with pytest.raises(InvalidInput, match=r"shop\.key belongs to the deployment shop"):
            shop.deploy(check_mode, name="other", deploy=shared)
    assert shop.in_place() == before and not (shop.live / "other.crt").exists()
    # With all of its paths, it is the same one by another name.
    assert shop.deploy(name="renamed").state == "changed"
    assert shop.deploy(name="renamed").state == "unchanged"


def test_owner_and_mode_that_are_said_hold_from_then_on(shop: Shop) -> None:
    shop.issue()
    shop.deploy()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (shop.chain, shop.key)] == [0o644, 0o600]
    done = shop.deploy(mode="0640", key_mode="0400", group=str(os.getegid()))
    assert done.state == "changed"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (shop.chain, shop.key)] == [0o640, 0o400]
    assert shop.deploy(mode="0640", key_mode="0400").state == "unchanged"
    shop.issue()
    shop.deploy()
    assert stat.S_IMODE(shop.key.stat().st_mode) == 0o400, "it is kept where nothing is said"


def test_every_form_that_a_server_may_want(shop: Shop) -> None:
    issued = shop.issue()
    both = shop.folder / "both.pem"
    both.write_bytes(issued.key_pem + issued.chain_pem)
    places = {key: str(shop.live / f"{key}.pem") for key in ("fullchain", "privkey", "cert", "chain", "bundle")}
    source = {"fullchain": str(both), "privkey": str(both)}
    done = shop.deploy(source=source, deploy=places)
    assert done.state == "changed" and not done.failure
    found = {key: Path(path).read_bytes() for key, path in places.items()}
    assert found["fullchain"] == issued.chain_pem and found["privkey"] == issued.key_pem
    assert found["cert"] + found["chain"] == issued.chain_pem
    assert found["bundle"] == issued.key_pem + issued.chain_pem
    assert stat.S_IMODE(Path(places["bundle"]).stat().st_mode) == 0o600


def test_only_what_differs_is_backed_up(shop: Shop) -> None:
    shop.put()
    first = shop.deploy(state="backed_up", source=None)
    assert steps(first) == [("backup", "done")]
    again = shop.deploy(state="backed_up", source=None)
    assert (again.state, steps(again)) == ("unchanged", [])
    assert again.outcome.extra["backup"] == first.outcome.extra["backup"]
    archive = Path(first.outcome.extra["backup"])
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    for _time in range(4):
        shop.issue()
        shop.deploy(backup_keep=3)
    assert len(list(archive.parent.glob("shop-*.tar"))) == 3


def test_a_backup_of_nothing_is_not_fine(shop: Shop) -> None:
    done = shop.deploy(state="backed_up", source=None)
    assert (done.state, done.outcome.worst.word, codes(done)) == ("unchanged", "unknown", ["cert.nothing_examined"])


@pytest.mark.parametrize("forms", [["cert"], ["cert", "chain"], ["bundle"]], ids="-".join)
def test_whatever_was_deployed_can_be_restored(shop: Shop, forms: list[str]) -> None:
    """Also where the intermediates come from elsewhere, so that none of them is in the backup."""
    deploy = {form: str(shop.live / form) for form in (*forms, "privkey")}
    shop.issue()
    shop.deploy(deploy=deploy)
    before = {path.name: path.read_bytes() for path in shop.live.iterdir() if path.is_file()}
    shop.issue(days=70)
    assert shop.deploy(deploy=deploy).state == "changed"
    done = shop.deploy(deploy=deploy, state="restored")
    assert (done.state, done.failure) == ("changed", "")
    assert {path.name: path.read_bytes() for path in shop.live.iterdir() if path.is_file()} == before


def test_a_damaged_backup_is_not_restored(shop: Shop) -> None:
    shop.put()
    archive = Path(shop.deploy(state="backed_up", source=None).outcome.extra["backup"])
    data = bytearray(archive.read_bytes())
    position = data.index(b"-----BEGIN CERTIFICATE-----") + 40
    data[position] ^= 1
    archive.write_bytes(data)
    shop.issue()
    shop.deploy()
    before = shop.in_place()
    with pytest.raises(UpkeepError, match=r"cannot be trusted: fullchain\.pem is not what the manifest says"):
        shop.deploy(state="restored", backup=archive.name[len("shop-") : -len(".tar")])
    with pytest.raises(InvalidInput, match="has no backup 20200101T000000Z of shop"):
        shop.deploy(state="restored", backup="20200101T000000Z")
    assert shop.in_place() == before


# --- what goes wrong afterwards ---------------------------------------------------------------------------------------


def test_a_configuration_that_is_broken_reloads_nobody(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, nginx = behind_nginx
    served, before = shop.served(), shop.in_place()
    shop.issue()
    nginx.write_config("nonsense;")
    done = shop.deploy()
    assert (done.state, codes(done)) == ("put_back", ["cert.put_back"])
    assert "nonsense" in done.failure and "is still served" in done.failure
    assert ("reload nginx", "done") not in steps(done)
    assert (shop.in_place(), shop.served()) == (before, served)
    nginx.write_config()
    assert shop.deploy().state == "changed", "once it is mended, the next run does it"


@pytest.mark.parametrize("layout", ["links", "files"])
def test_a_reload_that_fails_puts_the_old_one_back(behind_nginx: tuple[Shop, Nginx], layout: str) -> None:
    shop, nginx = behind_nginx
    served, before = shop.served(), shop.in_place()
    shop.issue()
    script = (
        f"test -e {shop.folder}/tried || {{ touch {shop.folder}/tried; echo no way >&2; exit 3; }}; exec "
        + " ".join(nginx.argv("-s", "reload"))
    )
    done = shop.deploy(layout=layout, consumers=[{"kind": "nginx", "validate": [], "reload": ["sh", "-c", script]}])
    assert (done.state, codes(done)) == ("put_back", ["cert.put_back"])
    assert "no way" in done.failure
    assert [step for step in steps(done) if step[0] == "reload nginx"] == [
        ("reload nginx", "failed"),
        ("reload nginx", "done"),
    ]
    assert (shop.in_place(), shop.served()) == (before, served)


def test_a_server_that_takes_no_notice_is_found_out(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, _nginx = behind_nginx
    served, before = shop.served(), shop.in_place()
    shop.issue()
    done = shop.deploy(consumers=[{"name": "deaf", "reload": ["true"]}], settle="1s")
    assert (done.state, sorted(codes(done))) == ("put_back", ["cert.not_served", "cert.put_back"])
    assert "renewed, but not reloaded" in done.failure and "is served again" in done.failure
    assert (shop.in_place(), shop.served()) == (before, served)


def test_a_reload_that_never_works_leaves_what_is_served(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, nginx = behind_nginx
    served, before = shop.served(), shop.in_place()
    shop.issue()
    out_of_order = {"name": "first", "reload": ["sh", "-c", "echo out of order >&2; exit 1"]}
    done = shop.deploy(consumers=[out_of_order, {"name": "second", "reload": nginx.argv("-s", "reload")}])
    assert (done.state, codes(done)) == ("put_back", ["cert.put_back"])
    assert done.failure.count("out of order") == 1, "the same words twice help nobody"
    assert ("reload second", "done") in steps(done), "one that fails keeps none from going back"
    assert (shop.in_place(), shop.served()) == (before, served)


def test_when_the_old_one_cannot_be_used_either_both_are_said(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, nginx = behind_nginx
    before = shop.in_place()
    shop.issue()
    script = " ".join([*nginx.argv("-s", "stop"), "; echo out of order >&2; exit 1"])
    done = shop.deploy(consumers=[{"kind": "nginx", "validate": [], "reload": ["sh", "-c", script]}], settle="1s")
    assert done.state == "broken" and set(codes(done)) == {"cert.put_back_failed", "cert.not_served"}
    assert "out of order" in done.failure and done.outcome.extra["backup"] in done.failure
    assert shop.in_place() == before
    # The next run knows that nobody saw the end of it, although the files are the right ones.
    for name, content in zip(("old.pem", "old.key"), before, strict=True):
        (shop.folder / name).write_bytes(content)
    old = {"fullchain": str(shop.folder / "old.pem"), "privkey": str(shop.folder / "old.key")}
    told = shop.folder / "told"
    again = shop.deploy(source=old, consumers=[{"name": "web", "reload": ["touch", str(told)]}], endpoints=[])
    assert (again.state, told.exists()) == ("reloaded", True)
    assert steps(again) == [("recover", "done"), ("reload web", "done")]


def test_where_nothing_was_before_nothing_can_be_put_back(shop: Shop) -> None:
    issued = shop.issue()
    done = shop.deploy(consumers=[{"name": "web", "reload": ["false"]}])
    assert (done.state, codes(done)) == ("broken", ["cert.not_in_use"])
    assert shop.in_place() == (issued.chain_pem, issued.key_pem)
    told = shop.folder / "told"
    again = shop.deploy(consumers=[{"name": "web", "reload": ["touch", str(told)]}])
    assert (again.state, told.exists()) == ("reloaded", True), "the next run does not forget the reload"


def test_a_program_that_hangs_is_stopped(shop: Shop) -> None:
    shop.put()
    before = shop.in_place()
    shop.issue()
    done = shop.deploy(consumers=[{"name": "web", "reload": ["sleep", "60"]}], consumer_timeout="300ms")
    assert done.state == "broken" and "sleep was stopped" in done.failure
    assert shop.in_place() == before


# --- what is not deployed at all --------------------------------------------------------------------------------------


def encrypted(shop: Shop) -> None:
    issued = shop.issue()
    cipher = serialization.BestAvailableEncryption(b"c4nary")
    form = serialization.PrivateFormat.PKCS8
    pem = issued.key.private_bytes(serialization.Encoding.PEM, form, cipher)
    (shop.folder / "source.key").write_bytes(pem)


def wrong_key(shop: Shop) -> None:
    shop.issue()
    (shop.folder / "source.key").write_bytes(shop.authority.issue(NAME).key_pem)


def written(name: str, content: bytes) -> Any:
    def bad(shop: Shop) -> None:
        shop.issue()
        (shop.folder / name).write_bytes(content)

    return bad


def unknown_authority(shop: Shop) -> None:
    shop.issue()
    Authority("Somebody else").issue(NAME, names=[NAME], days=60).write(shop.folder, "source")


def without_intermediate(shop: Shop) -> None:
    issued = shop.issue()
    (shop.folder / "source.pem").write_bytes(issued.certificate_pem)


KEY_ALONE = b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"
CANDIDATES = {
    "the key of another": (wrong_key, "key_mismatch"),
    "an encrypted key": (encrypted, "encrypted_key"),
    "garbage for a key": (written("source.key", b"\x00garbage"), "no_key"),
    "garbage": (written("source.pem", os.urandom(4096)), "cert.unreadable"),
    "empty": (written("source.pem", b""), "cert.unreadable"),
    "a key for a certificate": (written("source.pem", KEY_ALONE), "cert.unreadable"),
    "another name": (lambda shop: shop.issue(names=["other.example.org"]), "cert.hostname_mismatch"),
    "expired": (lambda shop: shop.issue(days=-1), "cert.expired"),
    "nearly expired": (lambda shop: shop.issue(days=3), "cert.expires_soon"),
    "older": (lambda shop: shop.issue(days=20, lifetime=90), "older"),
    "an unknown authority": (unknown_authority, "trial"),
    "no intermediate": (without_intermediate, "trial"),
    "a weak key": (lambda shop: shop.issue(key_type="rsa1024"), "trial"),
}  # fmt: skip


@pytest.mark.parametrize("case", CANDIDATES)
@pytest.mark.parametrize("check_mode", [True, False], ids=["check", "run"])
def test_a_bad_candidate_never_reaches_the_live_path(shop: Shop, case: str, check_mode: bool) -> None:
    make, reason = CANDIDATES[case]
    shop.put(days=55, lifetime=90)
    before = {path: path.read_bytes() for path in shop.live.iterdir()}
    make(shop)
    told = shop.folder / "told"
    done = shop.deploy(check_mode, consumers=[{"reload": ["touch", str(told)]}])
    assert done.state == "refused" and set(codes(done)) == {"cert.candidate_refused"}
    assert reason in {finding.evidence["reason"] for finding in done.outcome.findings}
    assert done.failure and not done.outcome.changed and not told.exists()
    assert {path: path.read_bytes() for path in shop.live.iterdir()} == before
    assert "PRIVATE KEY-----" not in json.dumps(done.outcome.as_result())


@pytest.mark.parametrize("case", ["older", "nearly expired"])
def test_what_is_meant_can_be_forced(shop: Shop, case: str) -> None:
    shop.put(days=55, lifetime=90)
    CANDIDATES[case][0](shop)
    assert shop.deploy(force=True).state == "changed"


@pytest.mark.parametrize("case", ["expired", "the key of another", "another name"])
def test_what_no_client_would_take_cannot(shop: Shop, case: str) -> None:
    CANDIDATES[case][0](shop)
    assert shop.deploy(force=True).state == "refused"


def test_an_expired_one_in_place_is_no_reason_to_keep_it(shop: Shop) -> None:
    shop.put(days=-1, lifetime=6)
    shop.issue(days=30, lifetime=90)
    assert shop.deploy().state == "changed"


def test_an_authority_that_nobody_here_knows_can_be_allowed(shop: Shop) -> None:
    unknown_authority(shop)
    assert shop.deploy(verify=False).state == "changed"


def test_a_source_that_is_not_there_is_named(shop: Shop) -> None:
    with pytest.raises(UpkeepError, match=r"/nowhere\.pem cannot be read"):
        shop.deploy(source={"fullchain": "/nowhere.pem", "privkey": "/nowhere.key"})


# --- several runs, killed runs, full disks ----------------------------------------------------------------------------


def test_two_runs_at_once_exclude_each_other(shop: Shop) -> None:
    shop.issue()
    slow = [{"reload": ["sh", "-c", f"touch {shop.folder}/begun; sleep 60"]}]
    holder = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, json.dumps(shop.params(run_id="first", consumers=slow))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        wait_until(lambda: (shop.folder / "begun").exists())
        with pytest.raises(LockHeld, match=f"run first \\(pid {holder.pid}\\) since"):
            shop.deploy()
        with pytest.raises(LockHeld):
            shop.deploy(name="another", lock_timeout="200ms")
    finally:
        holder.kill()
        holder.wait()
    done = shop.deploy()
    assert done.state == "reloaded" and steps(done)[0] == ("recover", "done"), "the killed run is ended"


LONG_RUN = """
import json, sys
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.run import deploy
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
deploy(validate("cert_deploy", ARGUMENT_SPEC, json.loads(sys.argv[1]), RULES).params, utc_now())
"""


def wait_until(there: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("layout", ["links", "files"])
def test_a_run_that_was_killed_before_the_reload_is_ended_by_the_next(
    behind_nginx: tuple[Shop, Nginx], layout: str
) -> None:
    shop, _nginx = behind_nginx
    issued = shop.issue()
    stuck = [{"kind": "nginx", "validate": ["sh", "-c", f"touch {shop.folder}/begun; sleep 60"], "reload": ["true"]}]
    run = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, json.dumps(shop.params(layout=layout, consumers=stuck))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    wait_until(lambda: (shop.folder / "begun").exists())
    run.send_signal(signal.SIGKILL)
    run.wait()
    planned = shop.deploy(check_mode=True, layout=layout)
    assert steps(planned)[0] == ("recover", "planned")
    # Without an endpoint nobody could tell that the new one was never taken up, but for the note.
    done = shop.deploy(layout=layout, endpoints=[])
    assert steps(done)[0] == ("recover", "done") and ("reload nginx", "done") in steps(done)
    wait_until(lambda: shop.served() == issued.fingerprint)
    shop.wait_until_only_one_is_served()
    assert shop.deploy(layout=layout).state == "unchanged"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.parametrize("full", ["tls", "backups"])
@pytest.mark.parametrize("layout", ["links", "files"])
def test_a_disk_that_is_full_changes_nothing(shop: Shop, full: str, layout: str) -> None:
    disk = shop.folder / "disk"
    disk.mkdir()
    script = FULL_DISK.format(disk=str(disk), full=full, layout=layout, folder=str(shop.folder))
    mounts = json.dumps([{"kind": "tmpfs", "at": str(disk), "options": "size=64k"}])
    ended = subprocess.run(
        [sys.executable, str(MOUNTS), mounts, sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert "No space left" in told["said"]
    assert told["same"] and told["then"] == "changed"


FULL_DISK = """
import json, os
from pathlib import Path
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from tests.bed.tls import Authority
from tests.integration.deploying import Shop
disk, folder = Path({disk!r}), Path({folder!r})
shop = Shop(folder, Authority(intermediate=True), disk if {full!r} == "tls" else folder / "tls")
backups = disk if {full!r} == "backups" else folder / "backups"
os.chmod(disk, 0o700)
shop.put()
shop.issue()
before = shop.in_place()
room = os.statvfs(disk)
ballast = disk / "ballast"
with open(ballast, "wb", buffering=0) as stream:
    try:
        while True:
            stream.write(bytes(4096))
    except OSError:
        pass
options = {{"backup_dir": str(backups), "layout": {layout!r}}}
try:
    said = shop.deploy(**options).state
except UpkeepError as error:
    said = error.message
same = shop.in_place() == before
ballast.unlink()
print(json.dumps({{"said": said, "same": same, "then": shop.deploy(**options).state}}))
"""


def test_a_lock_that_cannot_be_had_is_named(shop: Shop) -> None:
    shop.issue()
    shop.state.write_text("a file where a directory should be")
    with pytest.raises(StateError, match="cannot be opened"):
        shop.deploy()
    assert not shop.live.exists()


def test_a_lock_of_ours_is_free_again(shop: Shop) -> None:
    shop.issue()
    shop.deploy()
    locks = list((shop.state / "locks").glob("*.lock"))
    assert len(locks) == 2  # one for each path
    for lock in locks:
        with HostLock(str(lock), "test"):
            pass


# --- through Ansible --------------------------------------------------------------------------------------------------


def test_the_module(behind_nginx: tuple[Shop, Nginx]) -> None:
    shop, nginx = behind_nginx
    issued = shop.issue()
    # As a user has it: nginx on PATH, with a configuration of its own.
    environment = {"PATH": f"{nginx.program.parent}:{os.environ['PATH']}"}
    consumers = [{"kind": "nginx", "config": str(nginx.config)}]
    planned = run_module(
        shop.folder, "cert_deploy", shop.params(consumers=consumers), check_mode=True, environment=environment
    )
    assert planned.how == "CHANGED" and planned.result["state"] == "changed"
    answer = run_module(shop.folder, "cert_deploy", shop.params(consumers=consumers), environment=environment)
    assert answer.how == "CHANGED", answer.result
    assert answer.result["certificate"]["fingerprint_sha256"] == issued.fingerprint == shop.served()
    again = run_module(shop.folder, "cert_deploy", shop.params(consumers=consumers), environment=environment)
    assert again.how == "SUCCESS"
    wrong_key(shop)
    refused = run_module(shop.folder, "cert_deploy", shop.params(consumers=consumers), environment=environment)
    assert refused.how == "FAILED" and "does not belong to it" in refused.result["msg"]
    assert refused.found() == {"shop": ("cert.candidate_refused", "critical")}


# --- other servers ----------------------------------------------------------------------------------------------------


def test_postgresql_takes_it_up_by_a_signal(tmp_path: Path, certificate_authority: Authority) -> None:
    binaries = find_or_bring(None, cache_directory())
    with Cluster(binaries, name="certificate", authority=certificate_authority) as cluster:
        owner = os.stat(cluster.data_directory)
        shop = Shop(tmp_path, certificate_authority, cluster.home)
        issued = shop.issue(names=[NAME, "127.0.0.1"])
        given = {
            "deploy": {"fullchain": str(cluster.home / "server.pem"), "privkey": str(cluster.home / "server.key")},
            "consumers": [{"kind": "postgres", "pid_file": str(cluster.data_directory / "postmaster.pid")}],
            "endpoints": [{"host": "127.0.0.1", "port": cluster.port, "server_name": NAME, "starttls": "postgres"}],
        }
        key = cluster.home / "server.key"
        before = (stat.S_IMODE(key.stat().st_mode), key.stat().st_uid)
        done = shop.deploy(**given, force=True)
        assert (done.state, done.failure) == ("changed", "")
        assert served(cluster.port, shop.ca_path, starttls="postgres") == issued.fingerprint
        assert (stat.S_IMODE(key.stat().st_mode), key.stat().st_uid) == before == (0o600, owner.st_uid)
        # A key that others may read is not taken: the server goes on with the old one, and says so in its log alone.
        shop.issue(names=[NAME, "127.0.0.1"])
        refused = shop.deploy(**given, key_mode="0644", settle="2s")
        assert refused.state == "put_back"
        assert served(cluster.port, shop.ca_path, starttls="postgres") == issued.fingerprint
        cluster.execute("SELECT 1")


@pytest.mark.soak
def test_haproxy_takes_up_a_bundle(shop: Shop) -> None:
    home = unpacked("haproxy", ("haproxy",), cache_directory(), lambda home: runs(home, ("usr/sbin/haproxy", "-v")))
    program, port = home / "usr/sbin/haproxy", free_port()
    bundle, config, pid = (shop.folder / name for name in ("tls/all.pem", "haproxy.cfg", "haproxy.pid"))
    config.write_text(
        "global\n  ssl-default-bind-options ssl-min-ver TLSv1.2\ndefaults\n  mode http\n"
        "  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n"
        f"frontend web\n  bind 127.0.0.1:{port} ssl crt {bundle}\n  http-request return status 200\n"
    )
    settings = settings_of(home)
    with_libraries = ["env", f"LD_LIBRARY_PATH={settings['LD_LIBRARY_PATH']}", str(program)]
    checked = [*with_libraries, "-c", "-f", str(config)]
    given = {
        "deploy": {"bundle": str(bundle)},
        "consumers": [{"kind": "haproxy", "validate": checked, "pid_file": str(pid)}],
        "endpoints": [],
    }
    shop.issue()
    assert shop.deploy(**{**given, "consumers": []}).state == "changed"
    ledger = of_this_process(cache_directory())
    argv = [program, "-W", "-f", config, "-p", pid]
    env = {**os.environ, **settings}
    process = ledger.start(f"haproxy-{port}", argv, log=shop.folder / "haproxy.log", env=env)
    try:
        wait_until(lambda: pid.exists() and listens(port))
        pid.write_text(f"{process.pid}\n")
        issued = shop.issue()
        endpoints = [{"host": "127.0.0.1", "port": port, "server_name": NAME}]
        done = shop.deploy(**{**given, "endpoints": endpoints})
        assert (done.state, done.failure) == ("changed", "")
        assert served(port, shop.ca_path) == issued.fingerprint
        config.write_text(config.read_text() + "nonsense\n")
        shop.issue()
        done = shop.deploy(**{**given, "endpoints": endpoints})
        assert done.state == "put_back" and "nonsense" in done.failure
        assert served(port, shop.ca_path) == issued.fingerprint
    finally:
        ledger.stop(f"haproxy-{port}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
