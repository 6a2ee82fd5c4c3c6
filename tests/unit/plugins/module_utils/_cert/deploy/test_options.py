"""What a user may write, and what is refused before anything is looked at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.options import (
    keep_of_wanted,
    locks_of,
    wanted_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import Keep
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

DEPLOY = {"fullchain": "/tls/shop.crt", "privkey": "/tls/shop.key"}


def params(**given: Any) -> dict[str, Any]:
    known = {"name": "shop", "lineage": "shop.example.org", "deploy": DEPLOY, **given}
    return validate("cert_deploy", ARGUMENT_SPEC, {k: v for k, v in known.items() if v is not None}, RULES).params


def wanted(**given: Any) -> Wanted:
    return wanted_of(params(**given), {})


def test_a_lineage_is_two_files_of_certbot() -> None:
    made = wanted(config_dir="/srv/le")
    live = "/srv/le/live/shop.example.org"
    assert made.sources == {"fullchain": f"{live}/fullchain.pem", "privkey": f"{live}/privkey.pem"}
    assert made.origin == f"{live}/fullchain.pem"


def test_times_and_modes_are_read_once() -> None:
    made = wanted(settle="1m", mode="0640", key_mode="400", owner="0", group="root")
    assert (made.settle, made.mode, made.key_mode, made.uid, made.gid) == (60.0, 0o640, 0o400, 0, 0)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"lineage": None}, "Nothing says what is to be deployed"),
        ({"lineage": "../x"}, "is not the name of a lineage"),
        ({"source": {"fullchain": "/a", "privkey": "/b"}}, "mutually exclusive"),
        ({"deploy": {"privkey": "/tls/shop.key"}}, "one of the following is required"),
        ({"deploy": {"fullchain": "/etc/letsencrypt/live/shop.example.org/fullchain.pem"}}, "is also the fullchain"),
        ({"settle": "soon"}, "settle: "),
        ({"consumer_timeout": "5"}, "consumer_timeout: .* has no unit"),
        ({"min_remaining": ["x"]}, "min_remaining: "),
        ({"backup_keep": 0}, "backup_keep"),
        ({"mode": "rw"}, "mode: 'rw' is no mode"),
        ({"key_mode": "0o600"}, "key_mode: '0o600' is no mode"),
        ({"mode": 0o640}, "mode: 416 is no text"),  # what YAML makes of 0640
        ({"key_mode": 640}, "key_mode: 640 is no text"),
        ({"owner": "nobody-of-that-name"}, "owner: 'nobody-of-that-name' is not known"),
        ({"group": "nobody-of-that-name"}, "group: 'nobody-of-that-name' is not known"),
        ({"name": "a/b"}, "name: 'a/b'"),
        ({"consumers": [{"kind": "nginx", "service": "x", "signal": "HUP"}]}, "to whom HUP goes"),
        ({"endpoints": [{"host": "x", "expect_file": "/y"}]}, "Unsupported parameters"),
        ({"lock_timeout": "x", "lock": True}, "Unsupported parameters"),
    ],
)
def test_what_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        wanted(**given)


def test_a_restoration_needs_no_source() -> None:
    assert wanted(lineage=None, state="restored").sources == {}


@pytest.mark.parametrize(
    ("key", "present", "said", "expected"),
    [
        ("fullchain", None, {}, 0o644),
        ("privkey", None, {}, 0o600),
        ("bundle", None, {}, 0o600),
        ("privkey", 0o640, {}, 0o640),
        ("privkey", 0o644, {"key_mode": "0400"}, 0o400),
        ("fullchain", 0o600, {"key_mode": "0400"}, 0o600),
        ("chain", 0o600, {"mode": "0644"}, 0o644),
    ],
)
def test_whose_a_file_is_to_be(key: str, present: int | None, said: dict[str, str], expected: int) -> None:
    there = (
        None if present is None else Keep(7, 8, present, {"system.posix_acl_access": b"x", "security.selinux": b"y"})
    )
    keep = keep_of_wanted(wanted(**said), key, there)
    assert keep.mode == expected
    assert (keep.uid, keep.gid) == ((os.geteuid(), os.getegid()) if there is None else (7, 8))
    if there is not None:
        assert ("system.posix_acl_access" in keep.attributes) is (present == expected)
        assert "security.selinux" in keep.attributes


def test_whoever_deploys_to_one_place_takes_its_lock(tmp_path: Path) -> None:
    def paths(name: str, **given: str) -> list[str]:
        deploy = {key: str(tmp_path / path) for key, path in given.items()}
        options = params(state_dir=str(tmp_path), name=name, deploy=deploy)
        return [lock.path for lock in locks_of(options, wanted_of(options, {}).store, {})]

    (tmp_path / "tls").mkdir()
    (tmp_path / "link").symlink_to("tls")
    real = paths("shop", fullchain="tls/a.crt")
    assert real == paths("other", fullchain="link/a.crt")
    assert not set(real) & set(paths("shop", fullchain="tls/b.crt"))
    # In the same order, whatever each is for: so two runs cannot wait for one another.
    one = paths("shop", fullchain="tls/a.crt", privkey="tls/c.key")
    other = paths("other", bundle="tls/a.crt", fullchain="link/c.key")
    assert one == other and len(set(one)) == 2


def test_a_source_is_no_place_whatever_the_way_there(tmp_path: Path) -> None:
    (tmp_path / "live" / "shop.example.org").mkdir(parents=True)
    (tmp_path / "tls").symlink_to(tmp_path / "live" / "shop.example.org")
    with pytest.raises(InvalidInput, match="is also the fullchain of the source"):
        wanted(config_dir=str(tmp_path), deploy={"fullchain": str(tmp_path / "tls" / "fullchain.pem")})
