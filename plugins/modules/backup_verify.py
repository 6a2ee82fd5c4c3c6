#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify that backups are there, fresh and whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Verify that backups are there, fresh and whole
version_added: 0.1.0
description:
  - Looks at series of backups and at single files. Says of each series whether the newest backup is fresh and none is
    missing in between, and of each file whether it is whole, by reading every byte of it once.
  - Reads plain dumps of C(pg_dump) and C(pg_dumpall), and custom-format dumps of C(pg_dump) (archive versions 1.12 to
    1.16, compressed with gzip or not at all), each as they are or inside of gzip, bzip2 or xz. The format is told by
    the content; a name that promises another is a finding. Any other format has severity V(unknown), never V(ok).
  - A file that ends before its format does (C(backup.truncated)) and a whole file that holds half a dump
    (C(backup.incomplete_dump)) are different findings, because they have different causes.
  - Compares each file with the SHA-256 that stands beside it, in C(FILE.sha256) or C(SHA256SUMS), as C(sha256sum)
    writes it. Without one the best that can be said of a file is RV(files[].assurance=partial), and
    RV(files[].unproven) says why. That is no finding of the file; each series gets one of severity V(info).
  - Never fails for a backup. What cannot be read, or not in time, becomes a finding of severity V(unknown), and the
    other files are verified all the same. Nothing is executed, unpacked to disk or changed.
  - Needs the Python standard library alone, and a constant amount of memory.
author:
  - Upkeep maintainers (@cadence-upkeep)
notes:
  - Nothing short of a restore proves that a backup can be restored. This module finds what makes one pointless.
options:
  paths:
    description:
      - Files, globs and directories to verify, as absolute paths. Each entry is a group of its own; of a glob or a
        directory, with all that is below it, O(select) says which files are read.
      - There is no rhythm to keep, so the age matters only when O(max_age) is set.
    type: list
    elements: path
  series:
    description: Backups of one thing each, taken again and again.
    type: list
    elements: dict
    suboptions:
      name:
        description: What results call the series.
        type: str
        required: true
      pattern:
        description:
          - The files of the series, as an absolute glob. C(**) stands for any number of directories.
          - Digests, signatures and unfinished files (C(.partial), C(.tmp) and such) are never taken for backups.
        type: str
        required: true
      time_from:
        description:
          - V(name) takes the time from the name of the file, or of a directory that the pattern matches with a
            wildcard, such as C(shop-20261122T020000Z.sql.gz), C(backup_20261122_020000.sql.gz) or
            C(2026-11-22/shop.sql). A name that has only the day is refined by the modification time when both agree.
          - A file whose name has no time, and each with V(mtime), is as old as its modification time says.
        type: str
        choices: [name, mtime]
        default: name
      time_zone:
        description:
          - The zone of times in names that do not say it. V(local) (the host's), V(UTC) or a name such as
            V(Europe/Berlin).
        type: str
        default: local
      every:
        description: The rhythm. V(0) for a series that has none.
        type: str
        default: 24h
      grace:
        description: >-
          By how much a backup may be late. Past it the series has a warning, past twice O(series[].every) it is
          critical.
        type: str
        default: 2h
      max_age:
        description: The age past which the newest backup is critical whatever the rhythm. The default is O(max_age).
        type: str
      min_size:
        description: A smaller file is critical. The default is O(min_size).
        type: str
      min_count:
        description: A warning when fewer backups are there. Empty files do not count.
        type: int
        default: 1
      gap_window:
        description:
          - Over how many periods back two neighbours must not lie further apart than O(series[].every) and
            O(series[].grace). V(0) for none.
          - Retention thins out what is older, which is no gap.
        type: int
        default: 7
      size_band:
        description: As O(size_band), for this series.
        type: dict
        suboptions:
          window:
            description: With how many earlier backups the newest is compared. V(0) for none.
            type: int
            default: 14
          factor:
            description: How many robust standard deviations it may be off.
            type: float
            default: 3.5
          min_abs:
            description: What it may always be off.
            type: str
            default: 10MiB
          both_sides:
            description: Whether a larger size is a finding too.
            type: bool
            default: true
      level:
        description: As O(level), for this series.
        type: str
        choices: [presence, integrity]
  select:
    description:
      - V(latest) looks into the newest file of each series, V(all) into every one. Freshness, gaps and sizes take all
        files into account in either case.
    type: str
    choices: [latest, all]
    default: latest
  level:
    description:
      - V(presence) looks at names, times, sizes, modes and digest files.
      - V(integrity) also reads each selected file to its end.
    type: str
    choices: [presence, integrity]
    default: integrity
  max_age:
    description: The age past which the newest file is critical.
    type: str
  min_size:
    description: A smaller file is critical.
    type: str
  size_band:
    description:
      - How far the size of the newest file may be from the median of those before it. Beyond it is a warning.
      - It must be off by all of O(size_band.factor), O(size_band.min_abs) and a fifth, and there must be five earlier
        files.
    type: dict
    suboptions:
      window:
        description: With how many earlier backups the newest is compared. V(0) for none.
        type: int
        default: 14
      factor:
        description: How many robust standard deviations it may be off.
        type: float
        default: 3.5
      min_abs:
        description: What it may always be off.
        type: str
        default: 10MiB
      both_sides:
        description: Whether a larger size is a finding too.
        type: bool
        default: true
  limits:
    description: How much a file may unfold to before it is left alone, with a finding of severity V(unknown).
    type: dict
    suboptions:
      max_expanded:
        description: In bytes.
        type: str
        default: 1TiB
      max_ratio:
        description: In times its stored size. What unfolds to less than 1 GiB is not judged by it.
        type: float
        default: 250.0
      max_depth:
        description: How many containers there may be in one another.
        type: int
        default: 6
  timeout:
    description: >-
      How long all files may take. The newest of each series are read first; those that were not read in time have
      severity V(unknown), and the others keep their verdict.
    type: str
    default: 1h
  timeout_per_file:
    description: How long one file may take.
    type: str
    default: 30m
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.read_only
  - cadence.upkeep.attributes.action_groups
"""

EXAMPLES = r"""
- name: Verify the newest dump of two databases, one taken every night and one every six hours
  cadence.upkeep.backup_verify:
    series:
      - name: shop
        pattern: /var/backups/shop/shop-*.sql.gz
        min_size: 1MiB
        min_count: 7
      - name: billing
        pattern: /var/backups/billing/*.dump
        every: 6h
        grace: 30m
  register: backups

- name: Read every dump that is kept, for as long as an hour
  cadence.upkeep.backup_verify:
    series: "{{ backups_series }}"
    select: all
    timeout: 1h

- name: Look at the dump that was just taken before a change
  cadence.upkeep.backup_verify:
    paths: [/var/backups/before-update/*.sql.gz]
    max_age: 1h
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined
    objects (series and selected files) under the worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: critical, counts: {ok: 1, info: 1, warning: 0, unknown: 0, critical: 1}, seconds: 3.912}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: backup.truncated
      subject: /var/backups/shop/shop-20261122T020000Z.sql.gz
      severity: critical
      message: >-
        /var/backups/shop/shop-20261122T020000Z.sql.gz ends after 12.4 MiB, before the end of its gzip stream.
      evidence:
        size: 13002342
        taken_at: "2026-11-22T02:00:00Z"
        decoded_bytes: 61341696
        layer: gzip
        offset: 13002342
      remedy: >-
        Copy it again from its origin, or take a new backup; keep the older ones until that is verified. Check the
        space on both sides.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped or failed. This module only looks, so there are none.
  returned: success
  type: list
  elements: dict
  sample: []
metrics:
  description: Of each series the number of its backups, and the age and size of the newest.
  returned: success
  type: list
  elements: dict
  sample:
    - name: backup_age_seconds
      value: 7980
      unit: seconds
      labels: {series: shop}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
series:
  description: One record for each entry of O(series).
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop
      status: critical
      newest: /var/backups/shop/shop-20261122T020000Z.sql.gz
      taken_at: "2026-11-22T02:00:00Z"
      age_seconds: 7980
      count: 14
      examined: 1
      gaps: []
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: shop
    status:
      description: The worst severity of the series and its examined files.
      returned: always
      type: str
      sample: critical
    newest:
      description: The path of the newest backup that does not lie in the future. Null when there is none.
      returned: always
      type: str
      sample: /var/backups/shop/shop-20261122T020000Z.sql.gz
    taken_at:
      description: When that was taken.
      returned: always
      type: str
      sample: "2026-11-22T02:00:00Z"
    age_seconds:
      description: How old it is.
      returned: always
      type: int
      sample: 7980
    count:
      description: How many backups there are, empty ones not counted.
      returned: always
      type: int
      sample: 14
    examined:
      description: How many of them were looked into.
      returned: always
      type: int
      sample: 1
    gaps:
      description: Neighbours that lie further apart than the rhythm allows.
      returned: always
      type: list
      elements: dict
      sample: [{from: "2026-11-18T02:00:00Z", to: "2026-11-20T02:00:00Z"}]
files:
  description: One record for each file that was looked into, worst first.
  returned: success
  type: list
  elements: dict
  sample:
    - path: /var/backups/shop/shop-20261122T020000Z.sql.gz
      series: shop
      size: 13002342
      mtime: "2026-11-22T02:04:11Z"
      taken_at: "2026-11-22T02:00:00Z"
      time_from: name
      chain: [gzip, pgdump-plain]
      level_requested: integrity
      level_reached: presence
      assurance: partial
      unproven: [content, producer_digest]
      status: critical
      findings: [{code: backup.truncated, severity: critical, layer: gzip, offset: 13002342}]
      digests: {stored_sha256: 9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab}
      seconds: 0.431
      throughput_mib_s: 28.8
      bytes_decoded: 61341696
  contains:
    path:
      description: Its path.
      returned: always
      type: str
      sample: /var/backups/shop/shop-20261122T020000Z.sql.gz
    series:
      description: The name of its series. Null for a file of O(paths).
      returned: always
      type: str
      sample: shop
    size:
      description: Its size in bytes.
      returned: always
      type: int
      sample: 13002342
    mtime:
      description: When it was last written.
      returned: always
      type: str
      sample: "2026-11-22T02:04:11Z"
    taken_at:
      description: When the backup was taken.
      returned: always
      type: str
      sample: "2026-11-22T02:00:00Z"
    time_from:
      description: How that is known, V(name) or V(mtime).
      returned: always
      type: str
      sample: name
    chain:
      description: The formats that were found, the outermost first.
      returned: always
      type: list
      elements: str
      sample: [gzip, pgdump-plain]
    level_requested:
      description: The level that was asked for.
      returned: always
      type: str
      sample: integrity
    level_reached:
      description: The level at which the file could be looked at to its end.
      returned: always
      type: str
      sample: presence
    assurance:
      description: V(full) when nothing is left in RV(files[].unproven), else V(partial).
      returned: always
      type: str
      sample: partial
    unproven:
      description:
        - What could be wrong unnoticed. V(content) (it was not read to its end), V(producer_digest) (there is no digest
          by the maker), V(values) (a changed value in the dump would not show), V(toc) (nor one in the names and
          definitions of an archive).
      returned: always
      type: list
      elements: str
      sample: [content, producer_digest]
    status:
      description: The worst severity of its findings.
      returned: always
      type: str
      sample: critical
    findings:
      description: Code and severity of its findings, with the layer and the byte where one was found.
      returned: always
      type: list
      elements: dict
      sample: [{code: backup.truncated, severity: critical, layer: gzip, offset: 13002342}]
    digests:
      description: The SHA-256 of the file, when all of it was read.
      returned: always
      type: dict
      sample: {stored_sha256: 9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab}
    seconds:
      description: How long reading it took.
      returned: always
      type: float
      sample: 0.431
    throughput_mib_s:
      description: How many stored MiB that makes a second.
      returned: when it was read
      type: float
      sample: 28.8
    bytes_decoded:
      description: How many bytes of dump there were in it.
      returned: when it was read
      type: int
      sample: 61341696
    dump:
      description: What the dump says of itself. Null stands for what it does not say.
      returned: when a dump was found in it
      type: dict
      sample: {database: shop, server_version: "17.11", tool_version: "17.11", tables: 12, complete: true}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import check
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
