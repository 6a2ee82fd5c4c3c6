"""Real ACME: pebble issues, certbot renews, the module sees by the certificate what was done, and it is served."""

from __future__ import annotations

import json
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.run import AllRenewed, renew
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed import nginx
from tests.bed.docker_engine import Engine
from tests.bed.nginx import Nginx
from tests.bed.pebble import Pebble
from tests.bed.postgres import free_port
from tests.bed.tls import Authority
from tests.integration.deploying import Shop, served
from tests.integration.module import run_module
from tests.integration.playbook import CHECKOUT, Fleet, Ran

NAME = "shop.example.org"


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with Pebble(tmp_path_factory.mktemp("pebble")) as authority:
        yield authority


@pytest.fixture(scope="module")
def lineage(pebble: Pebble) -> Path:
    """The live directory of a certificate that was just issued."""
    return pebble.issue("shop", NAME, f"www.{NAME}")


@pytest.fixture(autouse=True)
def _trusts_pebble(pebble: Pebble, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pebble.environment().items():
        monkeypatch.setenv(name, value)


def options(pebble: Pebble, **given: Any) -> dict[str, Any]:
    return {
        "certbot": str(pebble.program),
        "config_dir": str(pebble.config_dir),
        "work_dir": str(pebble.folder / "work"),
        "logs_dir": str(pebble.folder / "logs"),
        "state_dir": str(pebble.folder / "state"),
        **given,
    }


def renewed(check_mode: bool = False, **given: Any) -> AllRenewed:
    return renew(validate("cert_renew", ARGUMENT_SPEC, given).params, utc_now(), check_mode)


def status(done: AllRenewed) -> dict[str, tuple[str, bool]]:
    return {one.lineage.name: (one.status, one.changed) for one in done.lineages}


def actions(done: AllRenewed) -> list[tuple[str, str]]:
    return [(action.id, action.status) for action in done.outcome.actions]


def test_what_is_not_due_is_kept_whatever_the_exit_status_says(pebble: Pebble, lineage: Path) -> None:
    before = (lineage / "fullchain.pem").read_bytes()
    done = renewed(**options(pebble))
    assert status(done) == {"shop": ("kept", False)}
    assert not done.outcome.changed and not done.outcome.findings
    assert (lineage / "fullchain.pem").read_bytes() == before


def test_check_mode_is_a_dry_run(pebble: Pebble, lineage: Path) -> None:
    before = (lineage / "fullchain.pem").read_bytes()
    done = renewed(check_mode=True, **options(pebble, lineages=[{"name": "shop"}]))
    assert (status(done), actions(done)) == ({"shop": ("tried", False)}, [])
    assert done.outcome.worst.word == "ok"
    forced = renewed(check_mode=True, **options(pebble, force=True))
    assert actions(forced) == [("renew shop", "planned")]
    assert (lineage / "fullchain.pem").read_bytes() == before


def test_a_dry_run_that_fails_says_why(pebble: Pebble, lineage: Path) -> None:
    # Nobody can answer the authority's challenge while this port is taken.
    with socket.create_server(("", pebble.challenge_port)):
        done = renewed(**options(pebble, dry_run=True))
        assert status(done) == {"shop": ("trial_failed", False)}
        (finding,) = done.outcome.findings
        assert (finding.code, finding.severity.word) == ("cert.renewal_failed", "warning")
        assert "dry run" in finding.message and str(pebble.challenge_port) in finding.message
        failed = renewed(**options(pebble, force=True))
    assert status(failed) == {"shop": ("failed", False)} and actions(failed) == [("renew shop", "failed")]


@pytest.fixture
def hooked(pebble: Pebble) -> Iterator[dict[str, Any]]:
    """The options to renew a second certificate for the same name, as certbot calls it; it is gone afterwards."""
    pebble.issue("shop-0001", NAME)
    folder = pebble.config_dir / "renewal-hooks" / "deploy"
    folder.mkdir(parents=True, exist_ok=True)
    yield options(pebble, force=True, lineages=[{"name": "shop-0001"}])
    (folder / "copy.sh").unlink(missing_ok=True)
    assert pebble.certbot("delete", "--cert-name", "shop-0001", "--non-interactive").returncode == 0


def test_a_hook_that_fails_is_said_though_certbot_ends_well(pebble: Pebble, hooked: dict[str, Any]) -> None:
    script = pebble.config_dir / "renewal-hooks" / "deploy" / "copy.sh"
    script.write_text("#!/bin/sh\nexit 7\n")
    script.chmod(0o755)
    done = renewed(**hooked, arguments=["--deploy-hook", "sh -c 'exit 3'"])
    assert status(done) == {"shop-0001": ("renewed", True)}
    assert {(finding.code, finding.severity.word) for finding in done.outcome.findings} == {
        ("cert.hook_failed", "warning")
    }
    said = " ".join(finding.message for finding in done.outcome.findings)
    assert "failed with status 3" in said and "failed with status 7" in said


def test_a_lineage_that_is_absent_hides_no_other(pebble: Pebble, lineage: Path) -> None:
    done = renewed(**options(pebble, lineages=[{"name": "nobody"}, {"name": "shop"}]))
    assert status(done) == {"nobody": ("absent", False), "shop": ("kept", False)}
    assert [finding.code for finding in done.outcome.findings] == ["cert.lineage_absent"]


def test_without_certbot_nothing_is_renewed(pebble: Pebble, lineage: Path) -> None:
    with pytest.raises(CommandFailed, match="there is no certbot-of-nobody on this host") as absent:
        renewed(**options(pebble, certbot="certbot-of-nobody"))
    assert "renew_command" in absent.value.remedy
    # What another client renews does not wait for it.
    live = {"fullchain": str(lineage / "fullchain.pem"), "renew_command": ["true"]}
    mixed = [{"name": "shop"}, {"name": "other", **live}]
    done = renewed(**options(pebble, certbot="certbot-of-nobody", lineages=mixed))
    assert status(done) == {"shop": ("failed", False), "other": ("kept", False)}
    assert "certbot-of-nobody cannot be started" in done.outcome.findings[0].message


def test_where_nothing_was_ever_issued_nothing_was_looked_at(tmp_path: Path, pebble: Pebble) -> None:
    done = renewed(**options(pebble, config_dir=str(tmp_path)))
    assert done.outcome.as_result()["findings"][0]["code"] == "cert.nothing_examined"


def test_what_is_due_is_renewed_deployed_and_served(
    pebble: Pebble, tmp_path: Path, docker_engine: Engine, certificate_authority: Authority
) -> None:
    """From the authority to what clients see: an nginx of this host and one in a container, by one deployment."""
    live = pebble.issue("both", NAME)
    image = docker_engine.image("upkeep-nginx:1", nginx.image(docker_engine.cache))
    shop = Shop(tmp_path, certificate_authority, tmp_path / "tls")
    shop.put()
    port = free_port()
    volume = ["--volume", f"{shop.live}:/tls:ro", "--publish", f"127.0.0.1:{port}:443"]
    name = docker_engine.run(image, name=f"acme-{port}", options=volume)
    try:
        with Nginx(tmp_path / "nginx", shop.chain, shop.key) as server:
            docker_engine.wait_until(name, "sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/443")
            given = {
                "source": None,
                "lineage": "both",
                "config_dir": str(pebble.config_dir),
                "names": [NAME],
                "ca_path": str(pebble.ca_path),
                "docker_host": docker_engine.url,
                "consumers": [
                    {"kind": "nginx", "validate": server.argv("-t"), "reload": server.argv("-s", "reload")},
                    {"kind": "nginx", "container": name},
                ],
                "endpoints": [{"host": "127.0.0.1", "port": each, "server_name": NAME} for each in (server.port, port)],
            }
            first = shop.deploy(**given)
            assert (first.state, first.failure) == ("changed", "")
            pebble.make_due("both")
            done = renewed(**options(pebble, lineages=[{"name": "both"}]))
            assert status(done) == {"both": ("renewed", True)} and actions(done) == [("renew both", "done")]
            record = done.outcome.extra["lineages"][0]
            assert record["before"]["serial"] != record["after"]["serial"]
            assert record["fullchain"] == str(live / "fullchain.pem")
            second = shop.deploy(**given)
            assert (second.state, second.failure) == ("changed", "")
            for each in (server.port, port):
                assert served(each, pebble.ca_path, NAME) == record["after"]["fingerprint_sha256"]
            # Sabotaged: one of the two no longer takes a new one, so both go on with the old one.
            assert status(renewed(**options(pebble, lineages=[{"name": "both"}], force=True))) == {
                "both": ("renewed", True)
            }
            server.write_config("nonsense;")
            third = shop.deploy(**given)
            assert third.state == "put_back" and "nonsense" in third.failure
            for each in (server.port, port):
                assert served(each, pebble.ca_path, NAME) == record["after"]["fingerprint_sha256"]
    finally:
        docker_engine.remove(name)


def test_two_runs_do_not_renew_at_once(pebble: Pebble, lineage: Path, tmp_path: Path) -> None:
    client = tmp_path / "client"
    client.write_text(f"#!{sys.executable}\n" + NESTED)
    client.chmod(0o755)
    params = options(pebble, certbot=str(client))
    (tmp_path / "params.json").write_text(json.dumps({**params, "certbot": "true"}))
    renewed(**params)
    assert (tmp_path / "said").read_text().startswith("The lock ")


NESTED = f"""
import json, sys
from pathlib import Path
sys.path[:0] = {sys.path!r}
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.run import renew
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
here = Path(__file__).parent
try:
    renew(validate("cert_renew", ARGUMENT_SPEC, json.loads((here / "params.json").read_text())).params, utc_now())
except LockHeld as error:
    (here / "said").write_text(error.message)
"""


# --- other clients ----------------------------------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path: Path, certificate_authority: Authority) -> dict[str, Any]:
    """A client with one certificate that `renew` replaces; `dry` succeeds, and `limited` is refused."""
    certificate_authority.issue("api.example.org", days=10).write(tmp_path, "live")
    certificate_authority.issue("api.example.org", days=80).write(tmp_path, "next")
    client = tmp_path / "client"
    client.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        f"renew) cp {tmp_path}/next.pem {tmp_path}/live.pem; cp {tmp_path}/next.key {tmp_path}/live.key;;\n"
        "limited) echo starting; echo 'urn:ietf:params:acme:error:rateLimited :: too many certificates already issued "
        "for this domain, retry after 2026-11-29' >&2; echo bye >&2; exit 1;;\n"
        "slow) sleep 60;;\n"
        f"lost) rm {tmp_path}/live.pem; echo '-----BEGIN PRIVATE KEY-----c4nary'; exit 1;;\n"
        "esac\n"
    )
    client.chmod(0o755)
    return {"name": "api", "fullchain": str(tmp_path / "live.pem"), "client": str(client)}


def by(other: dict[str, Any], renew_word: str, dry_word: str = "") -> dict[str, Any]:
    return {
        "name": other["name"],
        "fullchain": other["fullchain"],
        "renew_command": [other["client"], renew_word],
        **({"dry_run_command": [other["client"], dry_word]} if dry_word else {}),
    }


def test_another_client_renews_by_its_own_command(pebble: Pebble, other: dict[str, Any]) -> None:
    plain = {"certbot": "certbot-of-nobody", "state_dir": str(pebble.folder / "state")}
    tried = renewed(check_mode=True, lineages=[by(other, "renew", "dry")], **plain)
    assert (status(tried), actions(tried)) == ({"api": ("tried", False)}, [("renew api", "planned")])
    left = renewed(dry_run=True, lineages=[by(other, "renew")], **plain)
    assert actions(left) == [("renew api", "skipped")]
    done = renewed(lineages=[by(other, "renew")], **plain)
    assert (status(done), actions(done)) == ({"api": ("renewed", True)}, [("renew api", "done")])
    assert status(renewed(lineages=[by(other, "renew")], **plain)) == {"api": ("kept", False)}


def test_an_authority_that_has_enough_is_named_as_such(pebble: Pebble, other: dict[str, Any]) -> None:
    done = renewed(lineages=[by(other, "limited")], state_dir=str(pebble.folder / "state"))
    (finding,) = done.outcome.findings
    assert status(done) == {"api": ("rate_limited", False)} and finding.code == "cert.rate_limited"
    assert "retry after 2026-11-29" in finding.message
    late = renewed(lineages=[by(other, "limited")], critical=["15d"], state_dir=str(pebble.folder / "state"))
    assert late.outcome.worst.word == "critical", "there is no time to wait"


def test_what_a_command_is_given_in_secret_is_not_shown(pebble: Pebble, other: dict[str, Any]) -> None:
    secret = ["--eab-hmac-key", "c4nary1", "--api-token=c4nary2", "--email", "me@example.org"]
    entry = {**by(other, "limited"), "renew_command": [other["client"], "limited", *secret]}
    done = renewed(lineages=[entry], state_dir=str(pebble.folder / "state"))
    (finding,) = done.outcome.findings
    assert finding.evidence["command"][-2:] == ["--email", "me@example.org"]
    assert "c4nary" not in json.dumps(done.outcome.as_result()) + repr(done.outcome)


def test_a_client_that_hangs_or_breaks_things_is_said(pebble: Pebble, other: dict[str, Any]) -> None:
    state = str(pebble.folder / "state")
    slow = renewed(lineages=[by(other, "slow")], timeout="300ms", state_dir=state)
    assert status(slow) == {"api": ("failed", False)} and "was stopped" in slow.outcome.findings[0].message
    left = renewed(lineages=[by(other, "renew")], time_limit="0", state_dir=state)
    assert status(left) == {"api": ("left", False)} and "time for all is over" in left.outcome.findings[0].message
    lost = renewed(lineages=[by(other, "lost")], state_dir=state)
    assert status(lost) == {"api": ("failed", False)} and "c4nary" not in json.dumps(lost.outcome.as_result())
    gone = renewed(lineages=[by(other, "renew")], state_dir=state)
    assert status(gone) == {"api": ("absent", False)}


# --- through Ansible --------------------------------------------------------------------------------------------------


def test_the_module(pebble: Pebble, lineage: Path, tmp_path: Path) -> None:
    answer = run_module(tmp_path, "cert_renew", options(pebble, lineages=[{"name": "shop"}], force=True))
    assert answer.how == "CHANGED", answer.result
    assert answer.result["lineages"][0]["status"] == "renewed"
    text = json.dumps(answer.result)
    key = (lineage / "privkey.pem").read_text().splitlines()[1]
    assert "BEGIN" not in text and key not in text
    assert stat.S_IMODE((lineage / "privkey.pem").stat().st_mode) == 0o600


def deployments(pebble: Pebble, shop: Shop, server: Nginx) -> list[dict[str, Any]]:
    return [
        {
            "name": "shop",
            "lineage": "role",
            "names": [NAME],
            "ca_path": str(pebble.ca_path),
            "deploy": {"fullchain": str(shop.chain), "privkey": str(shop.key)},
            "consumers": [{"kind": "nginx", "validate": server.argv("-t"), "reload": server.argv("-s", "reload")}],
            "endpoints": [{"host": "127.0.0.1", "port": server.port, "server_name": NAME}],
        }
    ]


@pytest.fixture
def by_role(
    pebble: Pebble, tmp_path: Path, certificate_authority: Authority
) -> Iterator[tuple[Fleet, Shop, Nginx, Path]]:
    """A host whose nginx serves what was put there by hand, and a lineage for it that is deployed nowhere yet."""
    live = pebble.config_dir / "live" / "role"
    if not live.exists():
        pebble.issue("role", NAME)
    shop = Shop(tmp_path, certificate_authority, tmp_path / "tls")
    shop.put()
    with Nginx(tmp_path / "nginx", shop.chain, shop.key) as server:
        fleet = Fleet(tmp_path).local("web1")
        fleet.environment.update(pebble.environment())
        client = {key: value for key, value in options(pebble, force=True).items() if key != "state_dir"}
        fleet.variables.update(certificates_deployments=deployments(pebble, shop, server), certificates_client=client)
        yield fleet, shop, server, live


def sing(fleet: Fleet, keys: list[str], *outputs: str) -> list[str]:
    """Where a key, or any PEM, was printed or left."""
    left = {
        str(path): path.read_text(errors="replace")
        for folder in (fleet.state, fleet.reports, fleet.folder / "ansible")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".tar"  # a backup holds what it is for
    }
    assert left
    texts = {**{f"output {number}": text for number, text in enumerate(outputs)}, **left}
    return [name for name, text in texts.items() if any(word in text for word in ("-----BEGIN", *keys))]


def test_the_role_renews_and_restores_and_no_key_is_printed(by_role: tuple[Fleet, Shop, Nginx, Path]) -> None:
    fleet, shop, server, live = by_role
    keys = [key_of(live), key_of(shop.key)]
    first = play_role(fleet, "renew")
    assert first.code == 0, first.output
    keys.append(key_of(live))
    deployed = shop.in_place()
    assert (live / "fullchain.pem").read_bytes() == deployed[0]
    second = play_role(fleet, "renew")
    assert second.code == 0 and shop.in_place() != deployed
    keys.append(key_of(live))
    restored = play_role(fleet, "restore", certificates_only=["shop"])
    assert restored.code == 0, restored.output
    assert shop.in_place() == deployed, "the one that the second renewal replaced"
    assert sing(fleet, keys, first.output, second.output, restored.output) == []
    nobody = play_role(fleet, "restore", certificates_only=["nobody"])
    assert nobody.code != 0 and "nobody" in nobody.output
    assert served(server.port, Path(fleet.variables["certificates_deployments"][0]["ca_path"]), NAME)


@pytest.mark.soak
def test_a_run_of_the_engine_renews_and_reports(by_role: tuple[Fleet, Shop, Nginx, Path], pebble: Pebble) -> None:
    fleet, shop, _server, live = by_role
    chosen = {"upkeep_only": "certificates"}
    keys = [key_of(live), key_of(shop.key)]
    checked = fleet.play("daily", "--check", "-vvv", "--diff", **chosen)
    assert checked.tasks("web1")["certificates.renew"]["status"] == "done", checked.output[-3000:]
    ran = fleet.play("daily", "-vvv", "--diff", **chosen)
    task = ran.tasks("web1")["certificates.renew"]
    assert (task["status"], task["changed"], ran.findings("task.failed")) == ("done", True, []), ran.output[-3000:]
    assert (live / "fullchain.pem").read_bytes() == shop.chain.read_bytes()
    # Its own timer renews, and then nobody can any more: that is told, and the new one deployed all the same.
    assert pebble.certbot("renew", "--cert-name", "role", "-n", "--force-renewal", *NO_DELAY).returncode == 0
    fleet.variables["certificates_client"] = {**fleet.variables["certificates_client"], "certbot": "certbot-of-nobody"}
    again = fleet.play("daily", "-vvv", "--diff", upkeep_force=True, **chosen)
    (finding,) = again.findings("task.failed")
    assert "there is no certbot-of-nobody" in finding["message"]
    assert (live / "fullchain.pem").read_bytes() == shop.chain.read_bytes()
    keys.append(key_of(live))
    assert sing(fleet, keys, checked.output, ran.output, again.output) == []


NO_DELAY = ("--no-random-sleep-on-renew",)


def key_of(path: Path) -> str:
    """A line of a private key."""
    return (path / "privkey.pem" if path.is_dir() else path).read_text().splitlines()[1]


def play_role(fleet: Fleet, entry: str, **variables: Any) -> Ran:
    """Include an entry of the role, as a playbook of the user's does."""
    path = fleet.folder / f"{entry}.yml"
    tasks = [{"ansible.builtin.include_role": {"name": "cadence.upkeep.certificates", "tasks_from": entry}}]
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    fleet.environment["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / "playbooks" / "collections")
    return fleet.play(str(path), "-vvv", "--diff", upkeep_state_dir=str(fleet.state), **variables)
