"""Which lineages there are, how each is renewed, and what a client says when it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.lineages import lineages_of
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.model import Lineage
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.run import renew
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed.tls import Authority

CONF = """
# renew_before_expiry = 30 days
version = 5.8.0
fullchain = {live}/fullchain.pem
privkey = {live}/privkey.pem
[renewalparams]
account = 1f
server = {server}
"""


@pytest.fixture
def certbot(tmp_path: Path) -> Path:
    """A directory of certbot with two lineages, one of Let's Encrypt."""
    (tmp_path / "renewal").mkdir()
    for name, server in (("shop", "https://acme-v02.api.letsencrypt.org/directory"), ("inner", "https://ca.lan/dir")):
        text = CONF.format(live=tmp_path / "live" / name, server=server)
        (tmp_path / "renewal" / f"{name}.conf").write_text(text)
    (tmp_path / "renewal" / "README").touch()
    return tmp_path


def found(folder: Path, **given: Any) -> list[Lineage]:
    return lineages_of(validate("cert_renew", ARGUMENT_SPEC, {"config_dir": str(folder), **given}).params)


def test_all_of_certbot_are_meant_unless_some_are_named(certbot: Path) -> None:
    assert [lineage.name for lineage in found(certbot)] == ["inner", "shop"]
    (shop,) = found(certbot, lineages=[{"name": "shop"}], arguments=["--quiet"], logs_dir="/logs")
    words = f"certbot renew --cert-name shop --non-interactive --no-random-sleep-on-renew --config-dir {certbot}"
    assert shop.renew == (*words.split(), "--logs-dir", "/logs", "--quiet")
    assert shop.dry_run == (*shop.renew, "--dry-run")
    assert (shop.fullchain, shop.privkey) == tuple(
        f"{certbot}/live/shop/{name}.pem" for name in ("fullchain", "privkey")
    )


def test_nothing_is_forced_unless_that_is_said_and_never_in_a_dry_run(certbot: Path) -> None:
    assert not any("--force-renewal" in lineage.renew for lineage in found(certbot))
    forced = found(certbot, force=True)
    assert all(lineage.renew[-1] == "--force-renewal" for lineage in forced)
    assert not any("--force-renewal" in lineage.dry_run for lineage in forced)


def test_a_dry_run_asks_the_authority_that_issued_it(certbot: Path) -> None:
    inner, shop = found(certbot)
    assert inner.dry_run[-2:] == ("--server", "https://ca.lan/dir")
    assert "--server" not in shop.dry_run


def test_where_certbot_never_was_there_is_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    (absent,) = found(tmp_path, lineages=[{"name": "shop"}])
    assert absent.renew == ()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "--force", ".x", "a\nb"])
def test_what_is_no_name_is_refused(certbot: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="is not the name of a lineage"):
        found(certbot, lineages=[{"name": name}])


def test_one_that_is_there_twice_is_refused(certbot: Path) -> None:
    with pytest.raises(InvalidInput, match="shop is there twice"):
        found(certbot, lineages=[{"name": "shop"}, {"name": "shop"}])


@pytest.mark.parametrize(
    "entry", [{"name": "a", "renew_command": ["x"]}, {"name": "a", "fullchain": "/x", "dry_run_command": ["x"]}]
)
def test_half_of_another_client_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="missing parameter"):
        found(tmp_path, lineages=[entry])


# --- what a client says


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (
            "Failed to renew certificate shop with error: urn:ietf:params:acme:error:rateLimited :: too many "
            "certificates (5) already issued for this exact set of identifiers, retry after 2026-11-29",
            "cert.rate_limited",
            "retry after 2026-11-29",
        ),
        ("Error finalizing order :: too many new orders recently", "cert.rate_limited", "too many new orders"),
        ("acme: error: 429 :: rate limit exceeded", "cert.rate_limited", "429"),
        ("OSError: too many open files", "cert.renewal_failed", "open files"),
        ("sh: too many arguments", "cert.renewal_failed", "arguments"),
        (
            "Saving debug log\nFailed to renew certificate shop with error: Some challenges have failed.\nAll failed.\n"
            "1 renew failure(s), 0 parse failure(s)",
            "cert.renewal_failed",
            "Some challenges have failed (status 1).",
        ),
        ("", "cert.renewal_failed", "it said nothing (status 1)"),
    ],
)
def test_why_it_failed_is_in_one_line(tmp_path: Path, authority: Authority, said: str, code: str, words: str) -> None:
    chain, _key = authority.issue("shop.example.org").write(tmp_path, "live")
    (tmp_path / "said").write_text(said)
    script = f"cat {tmp_path}/said >&2; echo; echo ---; exit 1"
    lineage = {"name": "shop", "fullchain": str(chain), "renew_command": ["sh", "-c", script]}
    options = {"lineages": [lineage], "state_dir": str(tmp_path / "state")}
    (finding,) = renew(validate("cert_renew", ARGUMENT_SPEC, options).params, utc_now()).outcome.findings
    assert finding.code == code and words in finding.message and "\n" not in finding.message
