#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy backups to another place, and see that they arrived."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_offsite
short_description: Copy backups to another place, and see that they arrived
version_added: 0.1.0
description:
  - Copies the backups of each series, with what stands beside them (digests, manifest, signatures), to another disk, to
    another host by ssh and rsync, or to whatever C(rclone) reaches (S3 and its like, sftp, WebDAV), the newest first.
  - A copy goes to a temporary name, is read back at the far side, and gets its name only when its SHA-256 is the one of
    the backup. What stands beside a backup goes first, so that nobody finds one without its manifest there.
  - Says of each backup whether the other place has the same file, another one of that name, or none. Another one is
    never overwritten; that is a finding.
  - A backup that is not what its maker wrote down is not copied.
  - Goes on where it was after a cut of the network, within one run (O(retries)) and in the next (V(directory) and
    V(rsync); with V(rclone) file by file).
  - Removes nothing at the far side but unfinished copies of its own. How long copies are kept there is for that side to
    say, which should not trust this host with it.
author:
  - Upkeep maintainers (@cadence-upkeep)
notes:
  - The module fails when the other place cannot be used or a backup could not be copied. The result is complete all the
    same. Time that is over (O(time_limit)) is a finding and no failure.
  - A backup that is a directory (a dump of PostgreSQL or MongoDB, a base backup, one with a manifest) is copied file by
    file, its manifest last, so that without it nobody takes the copy for whole. One that holds links is reported.
  - Two runs for one site exclude each other.
requirements:
  - ssh and rsync on the host, and rsync, sha256sum (or shasum) and a shell at the far side, for O(method=rsync)
  - rclone on the host, for O(method=rclone)
options:
  series:
    description:
      - The series to copy, with the options of O(cadence.upkeep.backup_verify#module:series), so that one variable of
        the inventory serves both. C(name) and C(pattern) are required, and C(time_from), C(time_pattern) and
        C(time_zone) say which backup is newer. The others are not used.
      - The path of a backup below the first wildcard directory of the pattern is its path below O(path).
    type: list
    elements: dict
    required: true
  site:
    description: What results call the other place. What was compared there is remembered under this name.
    type: str
    required: true
  method:
    description:
      - How it is reached. V(directory) is a directory of this host, on another disk or file system. V(rsync) is another
        host. V(rclone) is a remote of rclone.
    type: str
    choices: [directory, rsync, rclone]
    required: true
  path:
    description:
      - Where the copies go. An absolute path for V(directory) and V(rsync), which must be there; for V(rclone) a remote
        with its path, such as C(far:bucket/folder).
    type: str
    required: true
  media:
    description: What kind of medium it is, such as C(object storage). For the 3-2-1-1-0 rule.
    type: str
    default: ""
  offsite:
    description: Whether it is at another place than this host.
    type: bool
    default: true
  immutable:
    description:
      - Whether nothing can be changed or removed there (object lock, append-only). With O(method=rclone) a copy then
        goes to its name at once, as the store would keep a temporary one for ever.
    type: bool
    default: false
  same_disk:
    description:
      - Whether O(path) may be on the same file system as the backups, with O(method=directory). Otherwise that is
        refused, because most often the disk is only not mounted.
    type: bool
    default: false
  ssh:
    description: How the other host is reached. Needed for O(method=rsync).
    type: dict
    suboptions:
      host:
        description: Its name or address.
        type: str
        required: true
      user:
        description: The account there. The default is the one that ssh takes.
        type: str
      port:
        description: The port.
        type: int
        default: 22
      identity_file:
        description: A private key without a passphrase. The only one that is offered.
        type: path
        required: true
      known_hosts:
        description: The file with its host key. There is no way to do without, and none is learned.
        type: path
        required: true
      connect_timeout:
        description: How long to wait for the connection.
        type: str
        default: 15s
  rclone:
    description: How rclone is called.
    type: dict
    suboptions:
      config:
        description: Its configuration file. The default is its own.
        type: path
      environment:
        description: Variables for it, C(RCLONE_...) or C(AWS_...) alone, which may hold secrets.
        type: dict
      program:
        description: Its name or path.
        type: str
        default: rclone
  newest:
    description: So many of the newest of each series are copied. V(0) for all.
    type: int
    default: 0
  settle:
    description: A file without a manifest that changed within this time may still be written, and waits.
    type: str
    default: 1m
  recheck_after:
    description:
      - A copy that was compared is not read again before this time is over, as long as size and time say that neither
        it nor the backup changed. V(0) compares all of them each time.
    type: str
    default: 30d
  bwlimit:
    description: How many bytes a second may go over the line. V(0) for no limit.
    type: str
    default: "0"
  time_limit:
    description: How long all of it may take. What is being copied then goes on from there in the next run.
    type: str
    default: 4h
  retries:
    description: How often a step is tried again after the line broke.
    type: int
    default: 2
  retry_delay:
    description: How long to wait before.
    type: str
    default: 10s
  lock_timeout:
    description: How long to wait for another run for the same site.
    type: str
    default: "0"
  run_id:
    description: The id of the run, which others are told who wait for its lock.
    type: str
    default: ""
  state_dir:
    description:
      - The directory for locks and for what was compared (C(offsite/SITE.json)). The default is C(/var/lib/upkeep) for
        root, C(~/.local/state/upkeep) for others.
    type: path
attributes:
  check_mode:
    support: full
    details:
      - Compares what is there, and says what would be copied with its bytes. Writes nothing, there or here.
  diff_mode:
    support: full
    details:
      - Shows the backups at the other place before and after.
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.backup_verify
  - module: cadence.upkeep.backup_prune
"""

EXAMPLES = r"""
- name: Copy to another host
  cadence.upkeep.backup_offsite:
    series: "{{ backups_series }}"
    site: far away
    method: rsync
    path: /srv/backups/web1
    ssh:
      host: backup.example.org
      user: web1
      identity_file: /etc/upkeep/offsite_ed25519
      known_hosts: /etc/upkeep/known_hosts
    bwlimit: 5MiB

- name: Copy the newest seven to object storage that nobody can remove from
  cadence.upkeep.backup_offsite:
    series:
      - name: shop
        pattern: /var/backups/shop/shop-*.sql.gz
    site: s3
    method: rclone
    path: far:backups-of-web1/shop
    immutable: true
    newest: 7
    rclone:
      config: /etc/upkeep/rclone.conf

- name: Copy to the disk in the safe, when it is mounted
  cadence.upkeep.backup_offsite:
    series: "{{ backups_series }}"
    site: disk in the safe
    method: directory
    path: /mnt/safe
    media: disk
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of series under the worst severity
    that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: critical, counts: {ok: 0, info: 0, warning: 0, unknown: 0, critical: 1}, seconds: 12.108}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: backup.offsite_differs
      subject: shop
      severity: critical
      message: >-
        /var/backups/shop/shop-20261121T020000Z.sql.gz has no copy at far away: shop-20261121T020000Z.sql.gz at the
        other place has another SHA-256.
      evidence:
        source: /var/backups/shop/shop-20261121T020000Z.sql.gz
        name: shop-20261121T020000Z.sql.gz
      remedy: >-
        Find out which of the two is the backup (its manifest says the SHA-256), and move the other one away.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: copy shop-20261122T020000Z.sql.gz
      description: Copy /var/backups/shop/shop-20261122T020000Z.sql.gz to far away
      status: done
      reason: 261.9 MiB
      seconds: 11.731
metrics:
  description: How many backups of each series the site has, how many it lacks, and how many bytes went there.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: backup_offsite_equal, value: 45, unit: count, labels: {series: shop, site: far away}}
    - {name: backup_offsite_lacking, value: 1, unit: count, labels: {series: shop, site: far away}}
    - {name: backup_offsite_sent_bytes, value: 274693021, unit: bytes, labels: {series: shop, site: far away}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {copies: 250}
site:
  description: The other place. C(record) is the file with what was compared there.
  returned: success
  type: dict
  sample:
    name: far away
    method: rsync
    target: web1@backup.example.org:/srv/backups/web1
    media: ""
    offsite: true
    immutable: false
    record: /var/lib/upkeep/offsite/far%20away.json
series:
  description:
    - One record for each series, with the number of its backups under each word of C(copies[].what).
    - C(missing_bytes) is what is still to be copied. C(newest_is_there) says whether the newest backup is at the site,
      and the same.
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop
      count: 46
      equal: 44
      copied: 1
      different: 1
      missing: 0
      planned: 0
      failed: 0
      unknown: 0
      source_bad: 0
      skipped: 0
      missing_bytes: 0
      sent_bytes: 274693021
      newest: /var/backups/shop/shop-20261122T020000Z.sql.gz
      newest_is_there: true
copies:
  description:
    - One record for each backup, newest first in each series, in the form of the C(copies) of
      M(cadence.upkeep.backup_verify) and with more. C(what) is V(equal), V(copied), V(different), V(missing),
      V(planned) (check mode), V(failed), V(unknown), or V(source_bad) when the backup itself is not what its maker
      wrote.
    - C(how) says by what it was compared. C(bytes) counts what stands beside it too. C(sent_bytes) is less than that
      when an earlier run had sent a part.
  returned: success
  type: list
  elements: dict
  sample:
    - series: shop
      source: /var/backups/shop/shop-20261122T020000Z.sql.gz
      site: far away
      path: shop-20261122T020000Z.sql.gz
      media: ""
      offsite: true
      immutable: false
      present: true
      equal: true
      why: ""
      what: copied
      how: sha256sum read it at the far side
      taken_at: "2026-11-22T02:00:00Z"
      bytes: 274622211
      sha256: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
      checked_at: "2026-11-22T04:13:00Z"
      sent_bytes: 274693021
      retries: 0
      seconds: 11.731
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.run import offsite
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        copied = offsite(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = copied.outcome.as_result()
    if module._diff:
        result["diff"] = {"before": copied.before, "after": copied.after}
    if copied.failure:
        module.fail_json(msg=copied.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
