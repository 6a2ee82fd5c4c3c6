# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try a certificate and its key as a server and its client would: a whole TLS handshake, in memory alone."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import trust
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Failure

_MOST_TURNS = 20  # a handshake takes three


def try_out(fullchain: bytes, privkey: bytes, ca_path: str, verify: bool) -> str:
    """Return why a server could not load these files, or a client would not trust them; empty when all is well.

    With *verify*, the client trusts *ca_path*, else the authorities of this host.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _as_path(fullchain) as chain, _as_path(privkey) as key:
            # Without a word for it, OpenSSL would ask for a passphrase at the terminal.
            server.load_cert_chain(chain, key, password=b"")
    except (ssl.SSLError, ValueError) as error:
        return f"A server cannot load it: {trust.reason(error) if isinstance(error, OSError) else error}."
    if not verify:
        return ""
    client = trust.ordinary(ca_path, check_time=True)
    if isinstance(client, Failure):
        return f"Whether its chain is trusted cannot be found out: {client.message.rstrip('.')}."
    try:
        _shake_hands(client, server)
    except ssl.SSLCertVerificationError as error:
        authorities = ca_path or "the authorities of this host"
        return f"Its chain does not verify against {authorities}: {error.verify_message}."
    except ssl.SSLError as error:
        return f"No client can use it: {trust.reason(error)}."
    return ""


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _turn in range(_MOST_TURNS):
        waiting = []
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(end)
        if not waiting:
            return
    raise ssl.SSLError("the handshake does not come to its end")


@contextlib.contextmanager
def _as_path(content: bytes) -> Iterator[str]:
    """Give *content* a path, which OpenSSL insists on: in memory where the system can, so that no key is left."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("candidate", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as stream:
                stream.write(content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:  # of mode 0600
            file.write(content)
            file.flush()
            yield file.name
