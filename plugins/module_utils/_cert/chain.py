# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the certificates that stand together are to one another: who issued whom, and who is there for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    INTERMEDIATE,
    LEAF,
    ROOT,
    UNUSED,
    Certificate,
    Sighting,
)

# The names of the authorities that are trusted.
Anchors = frozenset[str]
NOBODY: Anchors = frozenset()


class Chain(NamedTuple):
    """The certificates of one target, in the order in which they stood there, each with its role.

    ``leaf`` is the index of the one that all others are there for; -1 without certificates. ``path`` has the indices
    from it upwards, each the issuer of the one before. ``complete`` is false when the issuer of the last is neither
    there nor trusted; where nobody is known to be trusted, only a root completes a path.
    """

    roles: tuple[str, ...]
    leaf: int
    path: tuple[int, ...]
    complete: bool

    @property
    def needed(self) -> tuple[int, ...]:
        """The path without what turned out to be needed by nobody: a cross-sign of a root that is trusted itself."""
        return tuple(index for index in self.path if self.roles[index] != UNUSED)


def chain_of(sighting: Sighting, anchors: Anchors = NOBODY) -> Chain:
    """Return how the certificates of *sighting* hang together.

    An endpoint shows its own one first, whatever that is. In a file, it is the first that is no authority, unless the
    first has nothing to do with it; a file of authorities alone has its first one for a leaf.
    """
    certificates = sighting.certificates
    if not certificates:
        return Chain((), -1, (), False)
    leaf = 0 if sighting.handshake is not None else _own(certificates)
    ends = [index for index, entry in enumerate(certificates) if index == leaf or not entry.is_ca]
    paths = {end: _path(certificates, end, anchors) for end in ends}
    used = {index for path in paths.values() for index in path}
    verified = frozenset(sighting.handshake.path if sighting.handshake is not None else ())
    # By their marks, since some servers send a certificate twice.
    marks = verified or {certificates[index].fingerprint for index in used}
    only_authorities = certificates[leaf].is_ca
    roles = []
    for index, entry in enumerate(certificates):
        if index in ends:
            roles.append(LEAF)
        elif entry.self_issued:
            roles.append(ROOT)
        else:
            roles.append(INTERMEDIATE if entry.fingerprint in marks or (only_authorities and not verified) else UNUSED)
    top = certificates[paths[leaf][-1]]
    complete = top.self_issued or top.issuer in anchors
    return Chain(tuple(roles), leaf, paths[leaf], complete)


def issued(issuer: Certificate, certificate: Certificate) -> bool:
    """True when *issuer* is who *certificate* names as its issuer, by name and, where both say it, by key."""
    if not certificate.issuer or certificate.issuer != issuer.subject or not issuer.is_ca:
        return False
    return not certificate.issuer_key_id or not issuer.key_id or certificate.issuer_key_id == issuer.key_id


def in_order(chain: Chain) -> bool:
    """True when each certificate of the path stands behind the one that it issued, and the leaf before all."""
    return chain.leaf <= 0 and list(chain.path) == sorted(chain.path)


def _own(certificates: Sequence[Certificate]) -> int:
    """Return the index of the leaf of a file: the first, but for an authority that stands before what it issued."""
    first = certificates[0]
    if not first.is_ca:
        return 0
    for index, entry in enumerate(certificates):
        if not entry.is_ca and 0 in _path(certificates, index, NOBODY):
            return index
    return 0


def _path(certificates: Sequence[Certificate], start: int, anchors: Anchors) -> tuple[int, ...]:
    """Return the indices from *start* upwards, up to a root or to one whose issuer is trusted."""
    path = [start]
    while True:
        last = certificates[path[-1]]
        if last.self_issued or last.issuer in anchors:
            return tuple(path)
        above = [index for index, entry in enumerate(certificates) if index not in path and issued(entry, last)]
        if not above:
            return tuple(path)
        # Of several by that name and key, the one that is good for longest: a client finds it.
        path.append(max(above, key=lambda index: (certificates[index].self_issued, certificates[index].not_after)))
