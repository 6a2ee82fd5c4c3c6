#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove old backups, and never the last good ones."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_prune
short_description: Remove old backups, and never the last good ones
version_added: 0.1.0
description:
  - Keeps of each series what O(keep) says (the newest, and the newest of so many days, weeks, months and years), and
    removes the rest with what stands beside it (digests, manifest, lists, signatures).
  - Counts verified backups only. A backup goes only when the retention would not keep it, were it whole, beside those
    that are known to be whole. So a broken backup never takes the place of a good one, and job failures never push the
    good ones out.
  - What is known to be whole was read now, or was read before by M(cadence.upkeep.backup_verify) and has not changed
    since (O(state_file)). Only those are read on which the removal of others rests; nothing is read when nothing is too
    many.
  - Never removes the newest O(keep_verified) verified ones, nor anything that is newer than they are.
  - Removes nothing at all of a series whose newest verified backup is older than its freshness limit, of which fewer
    than C(min_count) would stay, with a time in the future, with a directory that cannot be looked at, or whose pattern
    matches backups of another series. Each is a finding, and the other series are pruned all the same.
  - A backup is renamed first, then goes what stands beside it, then it itself. A run that is killed in between leaves
    no backup without its manifest, and the next run ends what it began. Whatever changed since it was looked at is left
    alone. No symbolic link is followed out of the directory of the series, no directory is removed of which it is not
    known what is in it.
author:
  - Upkeep maintainers (@cadence-upkeep)
notes:
  - The module fails when something could not be removed. The result is complete all the same.
  - Two runs for one directory exclude each other; the second says who holds the lock.
  - Lists for a whole directory (C(SHA256SUMS)) are left as they are; they may speak of backups that are gone.
options:
  series:
    description:
      - The series to prune, with the options of O(cadence.upkeep.backup_verify#module:series), so that one variable of
        the inventory serves both. C(name) and C(pattern) are required.
      - C(time_from), C(time_pattern) and C(time_zone) say how old a backup is. With C(time_from=name), what has no time
        in its name (or its manifest) stays and does not count, so that what was put there by hand is safe.
      - C(every), C(grace) and C(max_age) give the freshness limit (the age that is critical for
        M(cadence.upkeep.backup_verify)), C(min_count) how many verified ones must stay, C(keep) what stays, C(min_size)
        and C(expect) what speaks against a backup. The others are not used.
    type: list
    elements: dict
    required: true
  keep:
    description:
      - What stays of a series that has no C(keep) of its own. Without either nothing of it is removed.
      - Counted back from the newest verified backup, by days of C(time_zone).
    type: dict
    suboptions:
      last:
        description: So many of the newest.
        type: int
        default: 0
      daily:
        description: The newest of each of so many days.
        type: int
        default: 0
      weekly:
        description: The newest of each of so many weeks.
        type: int
        default: 0
      monthly:
        description: The newest of each of so many months.
        type: int
        default: 0
      yearly:
        description: The newest of each of so many years.
        type: int
        default: 0
  keep_verified:
    description: So many of the newest verified backups are never removed, whatever O(keep) says. At least 1.
    type: int
    default: 3
  max_age:
    description: The freshness limit of series that have no C(max_age). The sooner of it and twice C(every) counts.
    type: str
  proof:
    description:
      - V(either) takes what was recorded in O(state_file), and reads what is needed beyond that.
      - V(now) believes no record. V(recorded) reads nothing, so that O(state_file) must be set.
    type: str
    choices: [either, now, recorded]
    default: either
  proof_level:
    description:
      - How closely a backup must have been looked at, as the levels of M(cadence.upkeep.backup_verify). One whose
        SHA-256 is the one in its manifest or digest file is proven even where the key to look inside is not here.
    type: str
    choices: [integrity, structure]
    default: integrity
  proof_age:
    description: A record that is older proves nothing. V(0) for any age.
    type: str
    default: 30d
  max_remove:
    description: So many backups of a series are removed by one run at most, the oldest first.
    type: int
    default: 50
  max_remove_share:
    description: No larger part of a series is removed by one run, but one backup always may be.
    type: str
    default: 50%
  mixed_names:
    description:
      - Whether the names that a pattern matches may differ by more than their times, formats and places (C(daily),
        C(weekly)). Otherwise such a series is refused, as C(shop-*) also matches C(shop-archive-20261122.sql.gz).
    type: bool
    default: false
  leftovers:
    description:
      - What is done with unfinished files, and with digests and manifests of backups that are gone. They are always
        reported. With V(remove), those go that are older than O(leftover_age) and that no process has open.
    type: str
    choices: [report, remove]
    default: report
  leftover_age:
    description: The age from which on a leftover may go, since its last change.
    type: str
    default: 7d
  lock_timeout:
    description: How long to wait for another run on the same directory.
    type: str
    default: "0"
attributes:
  check_mode:
    support: full
    details:
      - Reads the same backups and says what would be removed. Remembers nothing, takes no lock.
  diff_mode:
    support: full
    details:
      - Shows the paths of the backups before and after.
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.backup_reading
  - cadence.upkeep.backup_reading.pace
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.backup_verify
  - module: cadence.upkeep.backup_offsite
"""

EXAMPLES = r"""
- name: Keep 30 days, 4 weeks and 12 months of verified backups
  cadence.upkeep.backup_prune:
    series:
      - name: shop
        pattern: /var/backups/shop/shop-*.sql.gz
        every: 24h
    keep:
      daily: 30
      weekly: 4
      monthly: 12
    state_file: /var/lib/upkeep/backups.jsonl

- name: Show what would go of backups that another tool wrote into one directory a day
  cadence.upkeep.backup_prune:
    series:
      - name: shop
        pattern: /srv/backups/*/shop.dump
        every: 24h
        keep:
          last: 14
  check_mode: true
  diff: true

- name: Clear up what killed jobs have left too
  cadence.upkeep.backup_prune:
    series: "{{ backups_series }}"
    leftovers: remove
    leftover_age: 14d
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of series under the worst severity
    that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: critical, counts: {ok: 1, info: 0, warning: 0, unknown: 0, critical: 1}, seconds: 0.412}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: backup.prune_stale
      subject: wiki
      severity: critical
      message: "Nothing of wiki was removed: its newest verified backup was taken 3d ago (limit 2d)."
      evidence:
        newest_verified: /var/backups/wiki/wiki-20261119T020000Z.sql.gz
        age_seconds: 267180
        limit_seconds: 172800.0
      remedy: Mend the job that takes the backups, and run it; the next run removes what is too many then.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: remove shop-20261008T020000Z.sql.gz
      description: Remove /var/backups/shop/shop-20261008T020000Z.sql.gz
      status: done
      reason: 261.9 MiB
      seconds: 0.002
metrics:
  description: How many backups of each series were (in check mode, would be) removed, and how many bytes that freed.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: backup_pruned, value: 1, unit: count, labels: {series: shop}}
    - {name: backup_pruned_bytes, value: 274622211, unit: bytes, labels: {series: shop}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {files: 250}
series:
  description:
    - One record for each series. C(refused) is the code of the finding that says why nothing of it was removed.
    - C(removed_bytes) counts backups with all that stood beside them. C(freed_bytes) leaves out files that have another
      name elsewhere (hard links).
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop
      pattern: /var/backups/shop/shop-*.sql.gz
      count: 46
      verified: 46
      newest_verified: /var/backups/shop/shop-20261122T020000Z.sql.gz
      removed: 1
      removed_bytes: 274622211
      freed_bytes: 274622211
      staying: 45
      staying_bytes: 12357999495
      deferred: 0
      refused: null
      reason: ""
files:
  description:
    - One record for each backup, newest first in each series. C(what) is V(kept), V(removed) (in check mode, would be),
      V(deferred) to another run, V(changed) since it was looked at, or V(failed). C(reason) is the rule that keeps it,
      or why it goes or stays.
    - C(state) is V(verified), V(unknown) when it was not read, V(doubtful) or V(bad). C(proof) says where that is known
      from. C(beside) are the files that go with it.
  returned: success
  type: list
  elements: dict
  sample:
    - path: /var/backups/shop/shop-20261008T020000Z.sql.gz
      series: shop
      taken_at: "2026-10-08T02:00:00Z"
      time_from: name
      bytes: 274622211
      beside: [shop-20261008T020000Z.sql.gz.sha256, shop-20261008T020000Z.sql.gz.manifest.json]
      state: unknown
      proof: nobody has verified it
      what: removed
      reason: beyond daily 30, weekly 4, monthly 12, counted in verified backups
aside:
  description: What the patterns match and is never touched, and why.
  returned: success
  type: list
  elements: dict
  sample:
    - path: /var/backups/shop/shop-before-migration.sql.gz
      reason: carries no time, in its name or elsewhere
      bytes: 274001127
leftovers:
  description: >-
    What runs that ended have left. C(kind) is V(partial) for an unfinished file, V(orphan) for a digest, manifest or
    signature of a backup that is gone, V(cut_off) for a backup whose removal was cut off.
  returned: success
  type: list
  elements: dict
  sample:
    - path: /var/backups/shop/shop-20261101T020000Z.sql.gz.partial
      kind: partial
      age_seconds: 1821180
      bytes: 81002496
      in_use: false
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.run import prune
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        pruned = prune(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = pruned.outcome.as_result()
    if module._diff:
        result["diff"] = {"before": pruned.before, "after": pruned.after}
    if pruned.failure:
        module.fail_json(msg=pruned.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
