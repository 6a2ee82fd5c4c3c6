#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the certificates in files and behind TLS endpoints."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cert_expiry
short_description: Judge certificates in files and behind TLS endpoints
version_added: 0.1.0
description:
  - Looks at any number of certificate files and TLS endpoints in one call, and says of each how much time is left,
    whether an ordinary client would accept it, and whether what is served is what lies on the disk.
  - Never fails for a certificate. A target that cannot be looked at (no such file, a private key, a FIFO, a port that
    is silent or speaks no TLS) becomes one finding of severity V(unknown) that names it and the next step; all others
    are judged. The module itself fails only for options that it cannot understand or without its Python library.
  - Files are PEM, DER, PKCS#7 or PKCS#12. A PEM file may hold several certificates, with or without a private key and
    text around them; each is read on its own, so that one damaged certificate hides none of the others. A Java key
    store (JKS) is named as such, with the command that converts it.
  - An endpoint may begin in clear text (STARTTLS), want a client certificate, or have several addresses.
  - A certificate that is expired, self-signed or of an unknown issuer still shows its dates.
author:
  - Upkeep maintainers (@cadence-upkeep)
requirements:
  - cryptography (Python library on the host; C(python3-cryptography) in Debian and Red Hat systems)
notes:
  - The chain of an endpoint is verified against the authorities of the host, or those of O(endpoints[].ca_path).
  - No private key, passphrase or PEM text is ever returned. Private keys are read only with O(check_key) or where one
    is in a file of O(files) itself, and only the SHA-256 of the public half is kept.
  - Proxies from the environment are not used.
options:
  files:
    description:
      - Files, directories and globs, as absolute paths. In a glob, C(**) stands for any number of directories.
      - In a directory, the files that match O(patterns) and not O(excludes) are looked at.
      - The same file met again through a link or an overlapping glob is looked at once.
      - At least one of O(files), O(endpoints) and O(content) is required.
    type: list
    elements: path
  endpoints:
    description: TLS endpoints to connect to.
    type: list
    elements: dict
    suboptions:
      name:
        description: What results call it. The default is its host and port.
        type: str
      host:
        description: Host name or IP address.
        type: str
        required: true
      port:
        description: TCP port. The default is 443, or the usual one of O(endpoints[].starttls).
        type: int
      server_name:
        description:
          - The name to ask for (SNI) and to look for in the certificate. The default is O(endpoints[].host).
          - Empty asks for none. An IP address is never asked for, but looked for among the certificate's addresses.
        type: str
      starttls:
        description: The protocol in which the server begins in clear text before it goes over to TLS.
        type: str
        choices: [smtp, lmtp, imap, pop3, ftp, sieve, ldap, postgres, mysql, xmpp, xmpp-server]
      addresses:
        description:
          - V(any) looks at the first address of the host that answers.
          - V(all) looks at each of them, and gives each a record of its own. One that serves an older certificate than
            another, or none, is found so.
        type: str
        choices: [any, all]
        default: any
      proxy:
        description:
          - An HTTP proxy to go through, such as V(http://proxy.example.org:3128), without credentials. The default is
            none, whatever the environment says.
        type: str
      client_cert:
        description: A certificate to show to the server, as a file of PEM, with what is above it.
        type: path
      client_key:
        description: Its private key, if that is not in the same file. If it is encrypted, O(passphrases) are tried.
        type: path
      hsts:
        description: As O(hsts), for this endpoint.
        type: bool
      tls_versions:
        description: As O(tls_versions), for this endpoint.
        type: bool
      ca_path:
        description:
          - The authorities to trust instead of those of the host, as a file or a directory of files.
          - An intermediate, or a self-signed certificate itself, will do. The default is O(ca_path).
        type: path
      expect_file:
        description:
          - The file that the server reads. When its first certificate is not the one that is served, a finding says
            whether the server was not reloaded or the file is stale.
        type: path
      expect_fingerprint:
        description: The SHA-256 fingerprint that the served certificate must have.
        type: str
      verify:
        description:
          - V(chain) judges whether a client would trust the chain and whether the name fits.
          - V(none) judges the dates, and what was explicitly expected.
        type: str
        choices: [chain, none]
        default: chain
      timeout:
        description: How long this endpoint may take. The default is O(timeout).
        type: str
      warning:
        description: As O(warning), for this endpoint.
        type: list
        elements: str
      critical:
        description: As O(critical), for this endpoint.
        type: list
        elements: str
  content:
    description: Certificates that are given as they are, such as those of a Kubernetes secret.
    type: list
    elements: dict
    suboptions:
      name:
        description: What results call it.
        type: str
        required: true
      content:
        description: PEM, or any other format of O(files) in base64.
        type: str
        required: true
  recurse:
    description: Whether directories in O(files) are searched with all that is below them.
    type: bool
    default: false
  max_depth:
    description: How many levels O(recurse) and C(**) go down. RV(degraded) says when there was more below.
    type: int
    default: 8
  follow:
    description: Whether symbolic links in directories are followed. Loops of links do no harm.
    type: bool
    default: true
  patterns:
    description: Which files in directories are certificates.
    type: list
    elements: str
    default: ['*.pem', '*.crt', '*.cer', '*.cert']
  excludes:
    description: Which of those are not.
    type: list
    elements: str
    default: ['*privkey*', '*.key', '*-key.pem', 'dhparam*', README]
  max_files:
    description: After this many files the search ends, with a finding of severity V(unknown).
    type: int
    default: 100000
  max_size:
    description: A larger file is not read, and its finding has severity V(unknown).
    type: str
    default: 1MiB
  warning:
    description:
      - Time left that is a warning, as durations (V(30d), V(36h)) and shares of the lifetime (V(25%)).
      - Of several the sooner one counts, which is the smaller time left. Reaching it is enough.
      - Empty leaves only the end itself.
    type: list
    elements: str
    default: [30d, 25%]
  critical:
    description: Time left that is critical, written like O(warning).
    type: list
    elements: str
    default: [7d, 10%]
  renew_at:
    description:
      - Time left from which RV(certificates[].renew_due) is true, as a duration or a share of the lifetime.
      - V(auto) is the rule of certbot. A third of the lifetime, or half of one that is shorter than ten days.
    type: str
    default: auto
  renew_grace:
    description:
      - How long after renewal became due it may take, as a duration or a share of the lifetime. What was not renewed by
        then has a finding. The default is not to ask.
    type: str
  max_lifetime:
    description:
      - The longest time that a certificate may be good for in all. V(public) is what browsers allow public authorities,
        by the day of issue (398, 200, 100 and in the end 47 days). The default is not to ask.
    type: str
  names:
    description: Names and addresses that every target's first certificate must stand for.
    type: list
    elements: str
    default: []
  allow_cn:
    description: Whether the common name counts where a certificate has no alternative name. Clients no longer think so.
    type: bool
    default: false
  chain:
    description:
      - V(chain) judges the dates of intermediates too, V(leaf) those of the other certificates alone. V(verified)
        judges those on the way from the certificate to the authority, which includes authorities that only the host
        has.
      - A root never decides, because clients use their own copy of it, nor does a certificate that is on no way from
        another one upwards.
    type: str
    choices: [leaf, chain, verified]
    default: chain
  ca_path:
    description: The default of O(endpoints[].ca_path), and the authorities that end the chains in files.
    type: path
  check_key:
    description:
      - Whether the private key beside a certificate is read and compared with it. It is looked for by its usual names
        (the same name with C(.key) or C(-key.pem), C(privkey.pem) of certbot, C(../private)) and in the file itself.
      - Whether everybody can read it, and whether it lies in a git work tree, is found out without reading it, always.
    type: bool
    default: false
  passphrases:
    description: Passphrases that are tried on PKCS#12 and on encrypted private keys. The empty one is tried first.
    type: list
    elements: str
    default: []
  min_rsa_bits:
    description: An RSA or DSA key of fewer bits has a finding.
    type: int
    default: 2048
  min_ec_bits:
    description: A key on an elliptic curve of fewer bits has a finding.
    type: int
    default: 224
  weak_signatures:
    description: Hashes that a certificate must not be signed over, roots aside.
    type: list
    elements: str
    default: [md5, sha1]
  min_tls:
    description: An endpoint that speaks an older version of TLS has a finding.
    type: str
    choices: [TLSv1, TLSv1.1, TLSv1.2, TLSv1.3]
    default: TLSv1.2
  tls_versions:
    description:
      - Whether each endpoint is asked which versions of TLS it accepts, by one more handshake for each. Without it,
        only the version that was agreed on is known.
    type: bool
    default: false
  hsts:
    description:
      - Whether each endpoint is asked for C(/) in HTTP, to see whether it sends C(Strict-Transport-Security). What does
        not answer in HTTP has none and no finding.
    type: bool
    default: false
  min_hsts:
    description: A shorter max-age of C(Strict-Transport-Security) has a finding.
    type: str
    default: 180d
  at:
    description:
      - The instant to judge (RFC 3339, such as V(2026-11-22T04:13:00Z)) instead of now, to ask whether all would be
        well on that day. Chains are then verified without regard to their dates, which are judged by themselves.
    type: str
  workers:
    description: How many endpoints are asked at a time, and how many files are read at most at a time.
    type: int
    default: 64
  timeout:
    description: How long one endpoint may take, from resolving its name to the end of the handshake.
    type: str
    default: 5s
  deadline:
    description: How long all may take. What was not done by then has severity V(unknown); the rest is returned.
    type: str
    default: 5m
  report:
    description:
      - V(problems) leaves healthy certificates out of RV(certificates) and RV(findings); RV(summary) counts them.
    type: str
    choices: [all, problems]
    default: all
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.read_only
  - cadence.upkeep.attributes.action_groups
"""

EXAMPLES = r"""
- name: Look at all lineages of certbot, and at what nginx serves
  cadence.upkeep.cert_expiry:
    files:
      - /etc/letsencrypt/live/*/fullchain.pem
    endpoints:
      - name: shop
        host: 127.0.0.1
        server_name: shop.example.com
        expect_file: /etc/letsencrypt/live/shop.example.com/fullchain.pem
  register: certificates

- name: Look at a database behind a private authority, with earlier warnings
  cadence.upkeep.cert_expiry:
    endpoints:
      - host: db1.internal
        port: 8443
        ca_path: /etc/ssl/internal-ca.pem
        warning: [60d]
        critical: [14d]

- name: Look at a mail server, a database and a directory that begin in clear text
  cadence.upkeep.cert_expiry:
    endpoints:
      - {name: mail, host: mail.example.org, starttls: smtp, addresses: all}
      - {name: orders, host: db1.internal, starttls: postgres, ca_path: /etc/ssl/internal-ca.pem}
      - {name: directory, host: ldap.internal, starttls: ldap, client_cert: /etc/ssl/upkeep.pem}

- name: Take stock of what browsers see, and of the keys
  cadence.upkeep.cert_expiry:
    files: [/etc/letsencrypt/live/*/fullchain.pem, /etc/haproxy/certs/*.pem]
    endpoints:
      - {host: www.example.org, hsts: true, tls_versions: true}
    check_key: true
    renew_grace: 3d

- name: Look at the certificate of a Kubernetes secret
  cadence.upkeep.cert_expiry:
    content:
      - name: shop/tls
        content: "{{ secret.data['tls.crt'] }}"

- name: Would every certificate below /etc/ssl/sites still be good after the holidays?
  cadence.upkeep.cert_expiry:
    files: [/etc/ssl/sites]
    recurse: true
    report: problems
    at: "2027-01-07T08:00:00Z"
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined objects under the
    worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 11, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 0.412}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: cert.served_differs
      subject: shop
      severity: warning
      message: >-
        shop (127.0.0.1:443) still serves an older certificate than /etc/ssl/shop.pem holds (until
        2026-12-20T23:59:59Z, in the file until 2027-02-18T23:59:59Z): renewed, but not reloaded.
      evidence:
        newer: file
        served:
          subject: CN=shop.example.com
          serial: 4d2c1a
          fingerprint_sha256: 1f0c3b5a97de42c2a8e3f4b1c6d7e8f90123456789abcdef0123456789abcdef
          not_before: "2026-09-21T00:00:00Z"
          not_after: "2026-12-20T23:59:59Z"
        file:
          path: /etc/ssl/shop.pem
          subject: CN=shop.example.com
          serial: 77e01b
          fingerprint_sha256: 9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab
          not_before: "2026-11-20T00:00:00Z"
          not_after: "2027-02-18T23:59:59Z"
      remedy: "Reload the server that listens on 127.0.0.1:443 (nginx: `nginx -t && systemctl reload nginx`)."
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped or failed. This module only looks, so there are none.
  returned: success
  type: list
  elements: dict
  sample: []
metrics:
  description: The time left of the certificate that ends first.
  returned: success
  type: list
  elements: dict
  sample:
    - name: cert_soonest_remaining_seconds
      value: 2490419.0
      unit: seconds
      labels: {target: shop}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
certificates:
  description:
    - One record for each file and endpoint, the one that ends first at the front, those without a certificate last.
  returned: success
  type: list
  elements: dict
  sample:
    - target: shop
      kind: endpoint
      state: warning
      error: null
      leaf:
        subject: CN=shop.example.com
        issuer: CN=R11,O=Let's Encrypt,C=US
        serial: 4d2c1a
        fingerprint_sha256: 1f0c3b5a97de42c2a8e3f4b1c6d7e8f90123456789abcdef0123456789abcdef
        spki_sha256: 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
        not_before: "2026-09-21T00:00:00Z"
        not_after: "2026-12-20T23:59:59Z"
        lifetime_seconds: 7862399
        remaining_seconds: 2490419
        remaining_days: 28.82
        elapsed_percent: 68.3
        san: [shop.example.com]
        san_count: 1
        key_type: ec-secp256r1
        key_bits: 256
        signature: sha256
        self_signed: false
        is_ca: false
        must_staple: false
        has_ocsp_url: false
        has_crl_url: true
      thresholds: {warning_seconds: 1965600, critical_seconds: 604800}
      renew_after: "2026-11-20T15:59:59Z"
      renew_due: true
      chain:
        - subject: CN=shop.example.com
          issuer: CN=R11,O=Let's Encrypt,C=US
          not_after: "2026-12-20T23:59:59Z"
          state: ok
          role: leaf
      chain_min_not_after: "2026-12-20T23:59:59Z"
      address: 127.0.0.1:443
      peer_ip: 127.0.0.1
      tls_version: TLSv1.3
      verified: true
      verify_error: ""
      hostname_ok: true
      served_matches_file: false
      starttls: ""
      tls_versions: [TLSv1.2, TLSv1.3]
      hsts: {max_age: 31536000, include_subdomains: true, preload: false}
  contains:
    target:
      description: >-
        The path, the name of the endpoint or content, or host and port; with O(endpoints[].addresses=all), the address
        too.
      returned: always
      type: str
    kind:
      description: V(file), V(endpoint) or V(content).
      returned: always
      type: str
    state:
      description: >-
        V(ok), V(warning), V(unknown), V(critical), V(not_yet_valid) or V(expired), whichever is the worst.
      returned: always
      type: str
    error:
      description: >-
        Why the target, or a part of it, could not be read, with C(kind) and C(message). C(kind) is one of not_found,
        permission, symlink_loop, io, not_regular, empty, too_large, too_many_files, is_a_key, no_certificate,
        unsupported_format, parse, encrypted_need_passphrase, bad_passphrase, dns, refused, unreachable, proxy, timeout,
        reset, not_tls, starttls_refused, starttls_protocol, handshake, client_cert, client_cert_required,
        client_cert_refused, deadline. With client_cert_required the certificate was shown and judged all the same.
      returned: always
      type: dict
    leaf:
      description: >-
        The first certificate, or null. Instants are RFC 3339 in UTC; C(san) has the first 20 names and addresses.
      returned: always
      type: dict
    thresholds:
      description: The time left at which the first certificate is a warning or critical.
      returned: always
      type: dict
    renew_after:
      description: The instant from which renewal is due, by O(renew_at).
      returned: always
      type: str
    renew_due:
      description: Whether renewal is due.
      returned: always
      type: bool
    chain:
      description: >-
        Every certificate in its order (the first 20), with its role (V(leaf), V(intermediate), V(root) or V(unused))
        and the state by its dates.
      returned: always
      type: list
      elements: dict
    chain_min_not_after:
      description: When the first of those ends whose dates decide, by O(chain).
      returned: always
      type: str
    realpath:
      description: Where the file really is.
      returned: when the path leads through a symbolic link
      type: str
    duplicate_of:
      description: The file that holds the same certificates.
      returned: when there is one
      type: str
    key:
      description: Where the private key lies.
      returned: when it was found beside the certificate, or with it
      type: str
    key_matches:
      description: Whether that is the key of the certificate. Null when it was not read.
      returned: when it was found beside the certificate, or with it
      type: bool
    address:
      description: Host and port.
      returned: for endpoints that showed a certificate
      type: str
    peer_ip:
      description: The address that was connected to; empty through a proxy.
      returned: for endpoints that showed a certificate
      type: str
    tls_version:
      description: The version that was agreed on.
      returned: for endpoints that showed a certificate
      type: str
    verified:
      description: Whether a client that trusts these authorities accepts the chain. Null when that was not found out.
      returned: for endpoints that showed a certificate
      type: bool
    verify_error:
      description: Why it does not, or why that was not found out.
      returned: for endpoints that showed a certificate
      type: str
    hostname_ok:
      description: Whether the certificate stands for the name that was asked for.
      returned: for endpoints that showed a certificate
      type: bool
    served_matches_file:
      description: Whether the served certificate is that of C(expect_file). Null when they were not compared.
      returned: for endpoints that showed a certificate
      type: bool
    starttls:
      description: The protocol that began in clear text, or empty.
      returned: for endpoints that showed a certificate
      type: str
    tls_versions:
      description: The versions of TLS that were accepted. Null when that was not asked.
      returned: for endpoints that showed a certificate
      type: list
      elements: str
    hsts:
      description: >-
        What C(Strict-Transport-Security) says, with C(max_age) in seconds (null when it was not sent). Null when that
        was not asked, or the endpoint does not speak HTTP.
      returned: for endpoints that showed a certificate
      type: dict
soonest:
  description: Which target ends first, and when. Null when no certificate was read.
  returned: success
  type: dict
  sample: {target: shop, not_after: "2026-12-20T23:59:59Z", remaining_seconds: 2490419}
scanned:
  description: How many files and bytes were read, and how many endpoints were asked.
  returned: success
  type: dict
  sample: {files: 12, bytes: 43210, endpoints: 1}
renew_due:
  description: Of how many targets the renewal is due, by O(renew_at).
  returned: success
  type: int
  sample: 1
degraded:
  description: What could not be looked at as closely as elsewhere.
  returned: success
  type: list
  elements: str
  sample: []
at:
  description: The instant that was judged.
  returned: success
  type: str
  sample: "2026-11-22T04:13:00Z"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        outcome = check(module.params, utc_now())
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
