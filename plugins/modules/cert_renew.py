#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renew certificates, and see by the certificates whether that was done."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cert_renew
short_description: Renew certificates of ACME clients
version_added: 0.1.0
description:
  - Lets certbot, or another ACME client, renew the certificates that are due, one lineage after the other, and sees by
    the certificate itself whether that was done. An exit status of 0 only says that nothing went wrong.
  - The client decides what is due. Nothing is forced unless O(force) says so.
  - A lineage that cannot be renewed is a finding, and the others go on. It is critical once the time left is at or
    below O(critical), before that a warning. An authority that refuses because too much was asked of it is named as
    such, and not asked again.
  - What was renewed is not yet served; M(cadence.upkeep.cert_deploy) sees to that.
author:
  - Upkeep maintainers (@cadence-upkeep)
requirements:
  - cryptography (Python library on the host; C(python3-cryptography) in Debian and Red Hat systems)
notes:
  - Certbot's own random delay is left out, since it could take longer than a run has time.
  - Run it as the account that the client runs as, which is root for certbot.
  - Hooks that certbot has configured for a lineage run as always.
options:
  lineages:
    description: What to renew. The default is every lineage of certbot below O(config_dir).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the lineage, as C(certbot certificates) shows it; for another client, any name.
        type: str
        required: true
      renew_command:
        description:
          - The program of another client, with its arguments, that renews this certificate if it is due. It must not
            ask anything. No shell is involved.
        type: list
        elements: str
      dry_run_command:
        description:
          - The same for a trial that changes nothing. Without it, check mode and O(dry_run) leave the lineage out.
        type: list
        elements: str
      fullchain:
        description: Where the other client has the certificate; needed with O(lineages[].renew_command).
        type: path
  config_dir:
    description: The directory of certbot.
    type: path
    default: /etc/letsencrypt
  work_dir:
    description: Certbot's directory for its work, where that is not the usual one.
    type: path
  logs_dir:
    description: Certbot's directory for its logs, where that is not the usual one.
    type: path
  certbot:
    description: The program, as a name or a path.
    type: str
    default: certbot
  arguments:
    description: Further arguments for certbot.
    type: list
    elements: str
    default: []
  force:
    description: Whether certbot renews what is not due. Authorities limit how often; this is for a key that was lost.
    type: bool
    default: false
  dry_run:
    description: Whether to only try, with the client's dry run. Check mode does that too.
    type: bool
    default: false
  critical:
    description: When a renewal that fails is critical, as limits of the time left of which the sooner counts.
    type: list
    elements: str
    default: [7d, 10%]
  timeout:
    description: How long the client may take for one lineage.
    type: str
    default: 10m
  time_limit:
    description: How long all of them may take. After it no other is begun, which is a finding.
    type: str
    default: 30m
  lock_timeout:
    description: How long to wait for another run that renews.
    type: str
    default: "0"
attributes:
  check_mode:
    support: full
    details:
      - Does the client's dry run, and plans what is due. Certbot asks the staging server of Let's Encrypt for that; for
        a lineage of another authority, that authority itself.
  diff_mode:
    support: full
    details:
      - Shows serial and dates of each certificate.
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.cert_deploy
  - module: cadence.upkeep.cert_expiry
"""

EXAMPLES = r"""
- name: Renew what is due of all that certbot has
  cadence.upkeep.cert_renew:

- name: Try whether one could be renewed
  cadence.upkeep.cert_renew:
    lineages:
      - name: shop.example.com
    dry_run: true

- name: Renew what acme.sh has
  cadence.upkeep.cert_renew:
    lineages:
      - name: api.example.com
        renew_command: [/opt/acme.sh/acme.sh, --renew, -d, api.example.com, --ecc]
        fullchain: /etc/acme/api.example.com_ecc/fullchain.cer
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined objects under the
    worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 1, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 9.81}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: cert.rate_limited
      subject: api.example.com
      severity: warning
      message: >-
        api.example.com ends on 2026-12-21T04:13:00Z, and it was not renewed: urn:ietf:params:acme:error:rateLimited ::
        too many certificates (5) already issued for this exact set of identifiers, retry after 2026-11-29 (status 1).
      evidence:
        client: certbot
        command: [certbot, renew, --cert-name, api.example.com, --non-interactive, --no-random-sleep-on-renew]
        not_after: "2026-12-21T04:13:00Z"
      remedy: Wait as long as the message says, and find out who asks that often.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: renew shop.example.com
      description: Renew shop.example.com
      status: done
      reason: until 2027-02-20T03:13:02Z
      seconds: 6.204
metrics:
  description: Numbers worth keeping. The module has none.
  returned: success
  type: list
  elements: dict
  sample: []
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
lineages:
  description:
    - One record for each lineage. C(status) is V(renewed), V(kept) (not due), V(failed), V(rate_limited), V(absent) or
      V(left) for want of time; of a dry run, V(tried) or V(trial_failed).
    - C(changed) says whether there is another certificate than before, whatever the client said.
    - C(renew_after) is when renewal becomes due by the rule of thirds. The authority may want it sooner.
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop.example.com
      client: certbot
      status: renewed
      changed: true
      fullchain: /etc/letsencrypt/live/shop.example.com/fullchain.pem
      privkey: /etc/letsencrypt/live/shop.example.com/privkey.pem
      before:
        serial: 5a7e8f9677c363fe9fdad3b13fbf736a1c3e
        fingerprint_sha256: 54db16ae389af310c3f4355770a5cf6005d1ae0387a8ed9ef0f611401c655cdd
        not_before: "2026-09-20T03:12:51Z"
        not_after: "2026-12-19T03:12:50Z"
      after:
        serial: 7515f4b8c1cafe9d40146dac08ab6b9c4815
        fingerprint_sha256: e16fd22ed272a3c7f6fc6e4a5e7e5754f65113f55953376b219aa68ba5f29da1
        not_before: "2026-11-22T03:13:03Z"
        not_after: "2027-02-20T03:13:02Z"
      renew_after: "2027-01-21T03:13:02Z"
      seconds: 6.204
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.renew.run import renew
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        renewed = renew(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = renewed.outcome.as_result()
    if module._diff:
        result["diff"] = {"before": renewed.before, "after": renewed.after}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
