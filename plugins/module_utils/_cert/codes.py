# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of this domain: what it means and what to do."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

VALID = "cert.valid"
EXPIRED = "cert.expired"
EXPIRES_SOON = "cert.expires_soon"
NOT_YET_VALID = "cert.not_yet_valid"
HOSTNAME_MISMATCH = "cert.hostname_mismatch"
UNTRUSTED = "cert.untrusted"
SELF_SIGNED = "cert.self_signed"
UNVERIFIED = "cert.unverified"
SERVED_DIFFERS = "cert.served_differs"
SERVED_UNKNOWN = "cert.served_unknown"
UNREADABLE = "cert.unreadable"
UNREACHABLE = "cert.unreachable"
NOTHING_EXAMINED = "cert.nothing_examined"

CODES: dict[str, Code] = {
    VALID: Code("The certificate is within its dates, and nothing else was found.", ""),
    EXPIRED: Code(
        "The certificate, or one of its intermediates, has ended: clients refuse it.",
        "Renew it now (`certbot renew --cert-name NAME`, or order it from its authority), then reload what serves it.",
    ),
    EXPIRES_SOON: Code(
        "The time left is at or below the sooner of the limits of `warning` or `critical`.",
        "Find out why it was not renewed automatically, renew it, then reload what serves it.",
    ),
    NOT_YET_VALID: Code(
        "The certificate begins in the future: clients refuse it until then.",
        "Look at the clock of this host (`timedatectl`); if that is right, put back the previous certificate.",
    ),
    HOSTNAME_MISMATCH: Code(
        "The certificate does not stand for a name that it has to stand for.",
        "Issue it for all names that clients use, or correct server_name or names.",
    ),
    UNTRUSTED: Code(
        "The chain does not lead to an authority that this host, or ca_path, trusts.",
        "Serve the whole chain (fullchain.pem), or name the authority in ca_path.",
    ),
    SELF_SIGNED: Code(
        "The endpoint serves a self-signed certificate that is not in ca_path.",
        "Name that certificate in ca_path, replace it by one of an authority, or set verify to none.",
    ),
    UNVERIFIED: Code(
        "Whether clients accept the chain could not be found out; the dates were judged all the same.",
        "Make ca_path readable, install ca-certificates, or mend what an ordinary client stumbles over.",
    ),
    SERVED_DIFFERS: Code(
        "The endpoint serves another certificate than the expected one: evidence.newer says which is newer.",
        "If the file is newer, reload the server; if the served one is, point expect_file at what the server reads.",
    ),
    SERVED_UNKNOWN: Code(
        "What the endpoint serves could not be compared, because the expected file cannot be read.",
        "Correct expect_file, or let the check read it.",
    ),
    UNREADABLE: Code(
        "A file, or one certificate in it, could not be read: evidence.kind says why. It may be valid or not.",
        "Correct the path or the file; what could be read beside it was judged.",
    ),
    UNREACHABLE: Code(
        "An endpoint showed no certificate: evidence.kind says why. It may be valid or not.",
        "Start or mend its server, or correct the endpoint in the inventory.",
    ),
    NOTHING_EXAMINED: Code(
        "There was no certificate to look at: files and endpoints are empty.",
        "Name what lives on this host in certificates_inventory, or skip the task for it.",
    ),
}
