# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of this domain: what it means and what to do."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.codes import CODES as DEPLOY_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.codes import CODES as RENEW_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

VALID = "cert.valid"
EXPIRED = "cert.expired"
EXPIRES_SOON = "cert.expires_soon"
NOT_YET_VALID = "cert.not_yet_valid"
CLOCK_SKEW = "cert.clock_skew"
RENEW_OVERDUE = "cert.renew_overdue"
LIFETIME_TOO_LONG = "cert.lifetime_too_long"
CHAIN_EXPIRES_FIRST = "cert.chain_expires_before_leaf"
CHAIN_INCOMPLETE = "cert.chain_incomplete"
CHAIN_ORDER = "cert.chain_order"
ROOT_IN_CHAIN = "cert.root_in_chain"
WEAK_KEY = "cert.weak_key"
WEAK_SIGNATURE = "cert.weak_signature"
MUST_STAPLE_WITHOUT_OCSP = "cert.must_staple_without_ocsp"
NO_SAN = "cert.no_san"
NEGATIVE_SERIAL = "cert.negative_serial"
DUPLICATE_SERIAL = "cert.duplicate_serial"
DUPLICATE_FILE = "cert.duplicate_file"
KEY_MISMATCH = "cert.key_mismatch"
KEY_UNKNOWN = "cert.key_unknown"
KEY_WORLD_READABLE = "cert.key_world_readable"
KEY_IN_GIT = "cert.key_in_git"
HOSTNAME_MISMATCH = "cert.hostname_mismatch"
UNTRUSTED = "cert.untrusted"
SELF_SIGNED = "cert.self_signed"
UNVERIFIED = "cert.unverified"
SERVED_DIFFERS = "cert.served_differs"
SERVED_UNKNOWN = "cert.served_unknown"
ADDRESSES_DIFFER = "cert.addresses_differ"
CLIENT_CERT_REQUIRED = "cert.client_cert_required"
TLS_VERSION_LOW = "cert.tls_version_low"
HSTS_MISSING = "cert.hsts_missing"
HSTS_SHORT = "cert.hsts_short"
UNREADABLE = "cert.unreadable"
UNREACHABLE = "cert.unreachable"
NOTHING_EXAMINED = "cert.nothing_examined"

CODES: dict[str, Code] = {
    VALID: Code("The certificate is within its dates, and nothing worse than information was found.", ""),
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
    CLOCK_SKEW: Code(
        "The certificate begins within the next ten minutes: most likely two clocks differ.",
        "Look at the clock of this host (`timedatectl`) and of the authority; then wait.",
    ),
    RENEW_OVERDUE: Code(
        "Renewal has been due for longer than `renew_grace`, and the certificate is still the old one.",
        "Run `certbot renew --cert-name NAME --dry-run` and look at its timer (`systemctl list-timers`).",
    ),
    LIFETIME_TOO_LONG: Code(
        "The certificate lives longer than `max_lifetime` allows; browsers refuse public ones that do.",
        "Have it issued for a shorter time.",
    ),
    CHAIN_EXPIRES_FIRST: Code(
        "An intermediate ends before the certificate that it issued, which is then good for nothing.",
        "Have the certificate issued anew, below a younger intermediate, before that day.",
    ),
    CHAIN_INCOMPLETE: Code(
        "The certificate of the authority that issued the first one is missing.",
        "Serve the whole chain (fullchain.pem), or name a private authority in ca_path.",
    ),
    CHAIN_ORDER: Code(
        "The certificates do not stand in the order in which they issued one another, or some belong to no chain.",
        "Write the own certificate first, then who issued it, and so on; leave the others out.",
    ),
    ROOT_IN_CHAIN: Code(
        "A root stands among the certificates; clients believe only their own copy of it.",
        "Leave it out: it costs bytes in each handshake.",
    ),
    WEAK_KEY: Code(
        "A key has fewer bits than `min_rsa_bits` or `min_ec_bits`.",
        "Have the certificate issued for a new key (RSA of 2048 bits or more, or P-256).",
    ),
    WEAK_SIGNATURE: Code(
        "A certificate other than a root is signed with one of `weak_signatures`.",
        "Have it issued anew, signed with SHA-256 or better.",
    ),
    MUST_STAPLE_WITHOUT_OCSP: Code(
        "The certificate demands a stapled OCSP answer and names no responder: strict clients refuse it.",
        "Have it issued anew without the must-staple extension; many authorities no longer run OCSP.",
    ),
    NO_SAN: Code(
        "The certificate has no subject alternative name; clients do not look at the common name.",
        "Have it issued with its names, unless it is the certificate of a client.",
    ),
    NEGATIVE_SERIAL: Code(
        "The serial is zero or negative, which the standard forbids and newer libraries refuse to read.",
        "Have it issued anew by an authority that gives proper serials.",
    ),
    DUPLICATE_SERIAL: Code(
        "One authority gave the same serial to two certificates: revoking one revokes the other.",
        "Have one of them issued anew, and mend how that authority chooses serials.",
    ),
    DUPLICATE_FILE: Code(
        "Two files hold the same certificates; after a renewal, one of them may stay behind.",
        "Replace one of them by a symbolic link, or take it out.",
    ),
    KEY_MISMATCH: Code(
        "The private key beside the certificate is not its own: a server that reads both will not start.",
        "Put the key back with which the certificate was requested, or have it issued for this key.",
    ),
    KEY_UNKNOWN: Code(
        "The private key beside the certificate could not be read, so it was not compared.",
        "Let the check read the key, or set check_key to false.",
    ),
    KEY_WORLD_READABLE: Code(
        "Every user of the host can read the private key.",
        "Take the permission away (`chmod o-rwx`); if it may have been read, have a certificate issued for a new key.",
    ),
    KEY_IN_GIT: Code(
        "The private key lies in a git work tree; if git keeps it, everybody who clones has it.",
        "Have a certificate issued for a new key, and keep that one outside of the repository.",
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
    ADDRESSES_DIFFER: Code(
        "Of the addresses of one name, this one serves an older certificate than another does.",
        "Reload, or deploy to, the server at that address.",
    ),
    CLIENT_CERT_REQUIRED: Code(
        "The endpoint shows its certificate, and then turns away a client that has none, or not the right one.",
        "Set client_cert and client_key to ask it to the end.",
    ),
    TLS_VERSION_LOW: Code(
        "The endpoint speaks a version of TLS below `min_tls`.",
        "Turn the old versions off in its server (nginx: `ssl_protocols TLSv1.2 TLSv1.3;`).",
    ),
    HSTS_MISSING: Code(
        "The web server does not send the header Strict-Transport-Security.",
        "Let it send `Strict-Transport-Security: max-age=31536000` on each answer, once all of the site speaks TLS.",
    ),
    HSTS_SHORT: Code(
        "The max-age of Strict-Transport-Security is shorter than `min_hsts`.",
        "Raise max-age, to a year in the end.",
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
        "There was no certificate to look at: files, endpoints and content are empty.",
        "Name what lives on this host in certificates_inventory, or skip the task for it.",
    ),
    **DEPLOY_CODES,
    **RENEW_CODES,
}
