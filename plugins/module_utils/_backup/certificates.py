# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the certificates and keys in a backup belong together: in one file of PEM, or side by side in an archive.

How a certificate is read is known to the domain of certificates alone; this file is the only one here that asks it.
No byte of a private key goes further than the comparison of public halves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

if TYPE_CHECKING:
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate

_NAMED = 10


class Unreadable(ValueError):
    """A certificate or key whose block is whole, and whose content is none. The text is the end of a sentence."""


@dataclass(frozen=True)
class Held:
    """What one file held. ``keys`` are the SHA-256 of public halves; ``sealed`` counts keys nobody could look at."""

    path: str
    certificates: tuple[Certificate, ...] = ()
    keys: tuple[str, ...] = ()
    sealed: int = 0
    exposed: bool = False

    @property
    def only_trust(self) -> bool:
        """True for authorities without a key: a store of whom to trust, in which anything may stand in any order."""
        return not self.keys and all(one.is_ca for one in self.certificates)


@dataclass
class Verdict:
    """What is to be told of all files together; names of files, or the words of a bundle's certificates."""

    mismatched: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)
    lifetimes: dict[str, datetime] = field(default_factory=dict)
    certificates: int = 0

    def as_plain(self) -> dict[str, Any]:
        """Return plain JSON types: ``lifetimes`` has the soonest to end of what is not superseded in the same place."""
        soonest = sorted(self.lifetimes.items(), key=lambda entry: (entry[1], entry[0]))[:_NAMED]
        return {
            "certificates": self.certificates,
            "mismatched": self.mismatched[:_NAMED],
            "disordered": self.disordered[:_NAMED],
            "exposed": self.exposed[:_NAMED],
            "lifetimes": {name: rfc3339(instant) for name, instant in soonest},
        }


def can_read() -> bool:
    """Return whether the library is here with which certificates are read."""
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert.library import HAS_CRYPTOGRAPHY

    return HAS_CRYPTOGRAPHY


def held(path: str, blocks: Iterable[tuple[str, bytes]], exposed: bool = False) -> Held:
    """Return what *blocks* ``(label, all of the block)`` of PEM at *path* hold. Raises ``Unreadable``."""
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library, pem

    certificates: list[Certificate] = []
    keys: list[str] = []
    sealed = 0
    for number, (label, data) in enumerate(blocks, 1):
        if label in pem.CERTIFICATE_LABELS:
            certificates += [_certificate(block, number) for block in pem.blocks(data)]
        elif label == "OPENSSH PRIVATE KEY" or not label.endswith("PRIVATE KEY"):
            continue
        else:
            try:
                keys.append(library.public_half(data, ()))
            except (library.NoPassphrase, library.Unsupported):
                sealed += 1
            except ValueError:
                # The words of the library could show parts of what it was given.
                raise Unreadable(f"has a private key that cannot be read (block {number})") from None
    return Held(path, tuple(certificates), tuple(keys), sealed, exposed and bool(keys or sealed))


def _certificate(block: Any, number: int) -> Certificate:
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library

    try:
        with library.quiet():
            return library.load(block.der)
    except ValueError:
        raise Unreadable(f"has a certificate that cannot be read (block {number})") from None


def together(files: Mapping[str, Held]) -> Verdict:
    """Return what is to be told of *files*, by their paths; a bundle is the only one, and its path is empty."""
    verdict = Verdict()
    for path, one in files.items():
        verdict.certificates += len(one.certificates)
        if one.exposed:
            verdict.exposed.append(path)
        keys = one.keys or _keys_beside(path, files)
        if one.only_trust and not keys:
            continue
        if keys and one.certificates and not any(each.has_key(key) for each in one.certificates for key in keys):
            verdict.mismatched.append(path or one.certificates[0].subject)
        _chain(one, verdict)
    return verdict


def _keys_beside(path: str, files: Mapping[str, Held]) -> tuple[str, ...]:
    """Return the key that lies where that of the certificate *path* usually does."""
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert.keys import names_of_keys

    if not path:
        return ()
    beside = (files[name].keys for name in names_of_keys(path) if name != path and name in files)
    return next((keys for keys in beside if keys), ())


def _chain(one: Held, verdict: Verdict) -> None:
    """Note the order of a chain, and when what is needed of it ends: of several for one name, the last to end."""
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert.chain import chain_of, in_order
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import FILE, Sighting

    if not one.certificates:
        return
    chain = chain_of(Sighting(one.path, FILE, one.certificates))
    if not in_order(chain):
        verdict.disordered.append(one.path or one.certificates[chain.leaf].subject)
    for index in chain.needed:
        found = one.certificates[index]
        name = found.subject or ", ".join(found.names[:3]) or found.serial
        verdict.lifetimes[name] = max(found.not_after, verdict.lifetimes.get(name, found.not_after))
