"""Deploy certificates for the tests: an authority, what it issued, the paths of a server, and calls of the module."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC as CHECK_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import RULES as CHECK_RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.run import Deployed, deploy
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed.tls import Authority, Issued

NAME = "localhost"


def served(port: int, ca_path: Path, name: str = NAME, **endpoint: Any) -> str:
    """The fingerprint of what is served on that port."""
    params = {
        "endpoints": [{"host": "127.0.0.1", "port": port, "server_name": name, "ca_path": str(ca_path), **endpoint}]
    }
    outcome = check(validate("cert_expiry", CHECK_SPEC, params, CHECK_RULES).params, utc_now())
    leaf = outcome.extra["certificates"][0]["leaf"]
    assert leaf is not None, outcome.findings
    fingerprint: str = leaf["fingerprint_sha256"]
    return fingerprint


@dataclass
class Shop:
    """One certificate on its way: `source` is where it is issued, `live` where the server reads."""

    folder: Path
    authority: Authority
    live: Path
    port: int = 0
    consumers: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def ca_path(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def chain(self) -> Path:
        return self.live / "shop.crt"

    @property
    def key(self) -> Path:
        return self.live / "shop.key"

    def issue(self, days: float = 60, names: Sequence[str] = (NAME, "127.0.0.1"), **options: Any) -> Issued:
        """Have a new certificate where it is issued."""
        self.authority.write(self.folder)
        issued = self.authority.issue(NAME, names=names, days=days, **options)
        issued.write(self.folder, "source")
        return issued

    def put(self, days: float = 30, **options: Any) -> Issued:
        """Have a certificate in place as somebody put it there by hand."""
        self.live.mkdir(parents=True, exist_ok=True)
        self.authority.write(self.folder)
        issued = self.authority.issue(NAME, names=[NAME, "127.0.0.1"], days=days, **options)
        self.chain.write_bytes(issued.chain_pem)
        self.key.touch(mode=0o640)
        self.key.write_bytes(issued.key_pem)
        return issued

    def params(self, **given: Any) -> dict[str, Any]:
        """The options of the module."""
        params = {
            "name": "shop",
            "source": {"fullchain": str(self.folder / "source.pem"), "privkey": str(self.folder / "source.key")},
            "deploy": {"fullchain": str(self.chain), "privkey": str(self.key)},
            "names": [NAME],
            "ca_path": str(self.ca_path),
            "consumers": self.consumers,
            "endpoints": [{"host": "127.0.0.1", "port": self.port, "server_name": NAME}] if self.port else [],
            "settle": "8s",
            "state_dir": str(self.state),
            **self.options,
            **given,
        }
        return {key: value for key, value in params.items() if value is not None}

    def deploy(self, check_mode: bool = False, **given: Any) -> Deployed:
        """Call it in this process."""
        return deploy(validate("cert_deploy", ARGUMENT_SPEC, self.params(**given), RULES).params, utc_now(), check_mode)

    def in_place(self) -> tuple[bytes, bytes]:
        """What a server would read now."""
        return self.chain.read_bytes(), self.key.read_bytes()

    def served(self) -> str:
        """The fingerprint of what the server serves."""
        return served(self.port, self.ca_path)

    def wait_until_only_one_is_served(self) -> None:
        """Return when nobody answers any more who was there before a reload."""
        deadline, seen = time.monotonic() + 60, [""]
        while len(seen) < 6 or len(set(seen[-5:])) > 1:
            assert time.monotonic() < deadline, "two go on side by side"
            seen.append(self.served())
            time.sleep(0.02)


def steps(deployed: Deployed) -> list[tuple[str, str]]:
    """The steps that were taken, and how each ended."""
    return [(action.id, action.status) for action in deployed.outcome.actions]


def codes(deployed: Deployed) -> list[str]:
    """The codes of what was found."""
    return [finding.code for finding in deployed.outcome.findings]
