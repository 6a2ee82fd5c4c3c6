#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify that backups are there, fresh and whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Verify that backups are there, fresh, whole and what they should be
version_added: 0.1.0
description:
  - Looks at series of backups and at single files. Says of each series whether the newest backup is fresh and none is
    missing in between, and of each file whether it is whole, by reading every byte of it once.
  - Reads dumps of PostgreSQL (plain, C(pg_dumpall), custom, tar and directory format, archive versions 1.12 to 1.16),
    its base backups, dumps of MongoDB (directories, archives), SQLite databases, snapshots of Redis, tar archives and
    PEM bundles, each as they are or inside of gzip, bzip2, xz, zstd, lz4, OpenPGP, age or C(openssl enc). The format is
    told by the content; a name that promises another is a finding. Any other format has severity V(unknown), never
    V(ok).
  - A file that ends before its format does (C(backup.truncated)) and a whole file that holds half a dump
    (C(backup.incomplete_dump)) are different findings, because they have different causes.
  - Compares each file with the manifest that its maker wrote beside it (C(FILE.manifest.json); digest, rows of each
    table, origin), and with the SHA-256 in C(FILE.sha256) or C(SHA256SUMS), as C(sha256sum) writes it. Only a manifest
    tells a whole dump from one that was bad when it was made, so that without one the best that can be said of a file
    is RV(files[].assurance=partial), and RV(files[].unproven) says why. That is no finding of the file; a series
    without any digest gets one of severity V(info).
  - Never fails for a backup. What cannot be read, or not in time, becomes a finding of severity V(unknown), and the
    other files are verified all the same. Nothing from a backup is executed, sourced or unpacked to disk,
    but for what O(level=restore) does in a place that is thrown away.
  - Needs the Python standard library alone, and a constant amount of memory, 64 MiB for each file that is read. zstd
    and lz4 need their library or program, encrypted files C(gpg), C(age) or C(openssl). C(isal), where it is, halves
    the work for gzip.
author:
  - Upkeep maintainers (@cadence-upkeep)
notes:
  - Nothing short of a restore proves that a backup can be restored. That is O(level=restore); the levels below it find
    what makes one pointless.
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
          - A file whose name has no time is as old as its manifest says, else its modification time.
          - V(manifest) takes it from the manifest, V(dump_header) from the dump itself, where that says it (custom
            format, and plain with C(--verbose)), V(mtime) is the modification time. The last is taken where the others
            say nothing.
        type: str
        choices: [name, manifest, dump_header, mtime]
        default: name
      time_pattern:
        description:
          - A regular expression that finds the time in the path, for names that are not understood. Its named groups
            are C(year), C(month), C(day), C(hour), C(minute), C(second), C(zone), C(monthname), C(week) (ISO, with
            C(year)) or C(epoch).
          - Understood without it are ISO 8601 in all its forms, and the names that autopostgresqlbackup,
            postgres-backup-local, kartoza/pg-backup, GitLab, Barman and pgBackRest give.
        type: str
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
      keep:
        description:
          - What the retention should leave. A warning when a backup is missing that it would keep, and when others are
            still there. Counted back from the newest backup, by days of O(series[].time_zone).
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
        choices: [presence, integrity, structure, restore]
      owner:
        description: The account that should own the backups. A warning for another.
        type: str
      immutable:
        description: >-
          Whether the backups should carry the flag of their file system that keeps them from being changed or removed
          (C(chattr +i) or C(+a)).
        type: bool
        default: false
      media:
        description: What the backups lie on, for the 3-2-1-1-0 rule.
        type: str
        default: ""
      globals:
        description: >-
          The dumps of roles and tablespaces (C(pg_dumpall --globals-only)) that belong to the series, as an absolute
          glob. A warning when the newest is as late as a backup must not be.
        type: str
      schedule:
        description: What should take the backups. Critical when it is not installed, a warning when it pauses too long.
        type: dict
        suboptions:
          cron:
            description: >-
              A part of its line, sought in C(/etc/crontab), C(/etc/cron.d), the crontabs of users and the scripts in
              C(/etc/cron.daily) and such. Reading those of users takes root.
            type: str
          timer:
            description: The name of its systemd timer.
            type: str
      copies:
        description: >-
          Other places that should have the newest backup under the same name. With them the 3-2-1-1-0 rule is judged:
          three copies (the data themselves are one), two media, one off-site, one immutable, no errors.
        type: list
        elements: dict
        suboptions:
          site:
            description: What results call the place.
            type: str
            required: true
          path:
            description: The directory, as this host sees it.
            type: str
            required: true
          media:
            description: What it is on. The default is its O(series[].copies[].site).
            type: str
            default: ""
          offsite:
            description: Whether it is off-site.
            type: bool
            default: false
          immutable:
            description: Whether this host can change nothing there. It is not believed of a file without its flag.
            type: bool
            default: false
          mode:
            description: >-
              V(full) reads the copy, V(digest) compares with the digest that stands beside it there, V(stat) its size
              alone. V(recorded) is for a place that this host does not see as a directory, and believes what
              M(cadence.upkeep.backup_offsite) compared there; O(series[].copies[].path) is then its record.
            type: str
            choices: [stat, digest, full, recorded]
            default: full
      expect:
        description: What should be in the backups, whatever their manifest says.
        type: dict
        suboptions:
          database:
            description: The name of the database. Plain dumps say it only with C(--create).
            type: str
          server_major:
            description: The major version of its server.
            type: int
          extensions:
            description: Extensions that the dump must make. Archives say them, plain dumps do not.
            type: list
            elements: str
          tables:
            description: Tables with the number of rows that they must have.
            type: list
            elements: dict
            suboptions:
              name:
                description: Its name, with its schema or without.
                type: str
                required: true
              min_rows:
                description: At least so many rows.
                type: int
              max_rows:
                description: At most so many.
                type: int
          row_tolerance:
            description: >-
              By how much the rows may differ from those of the manifest, such as V(5%). They are of the dump's own
              snapshot, so that there is no reason for any.
            type: str
            default: 0%
  select:
    description:
      - V(latest) looks into the newest file of each series, V(all) into every one, V(rolling) into the newest and a
        part of the others (O(rolling)). Freshness, gaps and sizes take all files into account in any case.
    type: str
    choices: [latest, all, rolling]
    default: latest
  rolling:
    description: Which of the old files are read.
    type: dict
    suboptions:
      parts:
        description: >-
          Into how many parts the files fall, by their names. Each is read once in as many periods, so that none is left
          out for longer.
        type: int
        default: 30
      period:
        description: How long one part is the one that is read. The time between two runs.
        type: str
        default: 1d
      reverify_after:
        description: >-
          How long a file that was found good, and has not changed since, is left alone, with V(rolling) and V(all).
          Needs O(state_file). V("0") reads it every time.
        type: str
        default: "0"
  level:
    description:
      - V(presence) looks at names, times, sizes, modes, digest files and manifests.
      - V(integrity) also reads each selected file to its end, through every container and encryption, and follows the
        dump in it to its end.
      - V(structure) also looks at what is in it, as far as that can be told without a restore. Rows of each table,
        columns, every field of BSON, SQLite's own check, C(pg_verifybackup), and the digest of what the dump program
        wrote, where a manifest has it.
      - V(restore) also restores it into a place that is thrown away, and looks at what came of it, as O(restore) says.
        In check mode it only looks whether there are the programs and the space for it.
    type: str
    choices: [presence, integrity, structure, restore]
    default: structure
  count_rows:
    description: >-
      Whether to count the rows of each table in dumps of PostgreSQL even where neither a manifest nor
      O(series[].expect) says how many there should be. It takes a third of a second for each GiB.
    type: bool
    default: false
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
  restore:
    description:
      - How a backup is restored with O(level=restore), and what is looked at then.
      - Dumps of PostgreSQL go into a server, snapshots of Redis into an instance of C(redis-server) of its own, and tar
        archives, directories of files and SQLite databases into a scratch directory. What cannot be restored here, such
        as dumps of MongoDB, has severity V(unknown).
      - What is made for it is removed again, also when the module is killed. What a run left whose every process was
        killed is removed by the next.
    type: dict
    suboptions:
      target:
        description:
          - V(initdb) makes a cluster of the lowest installed major version that takes the dump, in a directory of its
            own, with a unix socket alone, without network, and as another account than root.
          - V(container) starts O(restore.image) without network. V(server) makes a database on O(restore.server).
        type: str
        choices: [initdb, container, server]
        default: initdb
      bin_dir:
        description: The directory with the programs of PostgreSQL. Without it, the usual places are looked at.
        type: path
      user:
        description: The account that the server runs as when the module is root's. The default is V(postgres).
        type: str
      image:
        description: The image of O(restore.target=container), which has to be on the host.
        type: str
      docker_host:
        description: Where the Docker daemon is. The default is E(DOCKER_HOST), else the usual socket.
        type: str
      server:
        description:
          - A server that is there for tests, for O(restore.target=server). It is refused when it is the one of which it
            is a backup, when it is a standby, and when other databases live on it.
          - Owners and grants are left out there, and nothing is made but one database C(bkv_...), which is dropped.
        type: dict
        suboptions:
          host:
            description: Its name or address, or the directory of its unix socket.
            type: str
          port:
            description: Its port.
            type: int
            default: 5432
          user:
            description: The role that logs in. It makes a database, so it needs C(CREATEDB), or be a superuser.
            type: str
          password:
            description: Its password. It is in no argument, no environment and no file that has a name.
            type: str
          maintenance_db:
            description: The database that is there to log in to.
            type: str
            default: postgres
          beside:
            description: Databases that may live there too.
            type: list
            elements: str
            default: []
      allow_server:
        description: Without V(true), O(restore.target=server) is refused.
        type: bool
        default: false
      jobs:
        description: How many connections load at a time. V(0) for as many as there are processors, four at most.
        type: int
        default: 0
      timeout:
        description: How long the restore of one file may take, besides what O(timeout_per_file) allows for reading it.
        type: str
        default: 2h
      assertions:
        description: What the restored data must be.
        type: list
        elements: dict
        suboptions:
          sql:
            description: A query that gives one value. It runs in a transaction that can only read.
            type: str
            required: true
          expect:
            description: The value as text, or a number after one of C(>=), C(<=), C(>), C(<), C(!=).
            type: str
            required: true
      fingerprint:
        description:
          - V(counts) counts the rows of every table, and compares them with those in the manifest, else with those that
            the dump was found to hold.
          - V(hash) also compares a hash over the rows of each table with the manifest, where that has one.
          - V(none) compares nothing.
        type: str
        choices: [none, counts, hash]
        default: counts
      amcheck:
        description: >-
          Whether C(pg_amcheck) looks at tables and indexes. V(heapallindexed) also looks for every row in its indexes,
          which is slow.
        type: str
        choices: [none, fast, heapallindexed]
        default: none
      newest:
        description: A query for the instant of the newest row, such as C(SELECT max(created_at) FROM orders).
        type: str
      max_rpo:
        description: How long before the backup the newest row may have been written.
        type: str
      max_rto:
        description: How long a restore may take, all its phases together.
        type: str
      scratch_dir:
        description:
          - Where the scratch directory is made. Data stand there unencrypted while they are looked at, for no other
            account to read. The default is C(/var/tmp).
        type: path
      scratch_reserve:
        description: The part of that file system that stays free. Whether there is room is looked at before.
        type: str
        default: 10%
extends_documentation_fragment:
  - cadence.upkeep.backup_reading
  - cadence.upkeep.backup_reading.pace
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

- name: Let nothing pass that its maker has not signed, and read a thirtieth of the old ones each night
  cadence.upkeep.backup_verify:
    series:
      - name: shop
        pattern: /var/backups/shop/shop-*.sql.zst.age
        keep: {daily: 14, weekly: 8, monthly: 12}
        schedule: {timer: backup-shop.timer}
        copies:
          - {site: nas, path: /mnt/nas/shop, media: nas}
          - {site: vault, path: /mnt/vault/shop, media: object, offsite: true, immutable: true, mode: digest}
    select: rolling
    require_manifest: true
    require_signature: true
    signers:
      minisign: [RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3]
    decrypt:
      age_identity_file: /etc/backup/verify.key
    state_file: /var/lib/upkeep/backups.jsonl

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
      retention: {expected: 14, present: 14, missing: [], surplus: 0}
      trend:
        size: {points: 14, per_day: 131072.0, in_30_days: 16934502, in_90_days: 24798822, spread: 20480.0}
        seconds: {points: 14, per_day: 0.002, in_30_days: 0, in_90_days: 1, spread: 0.011}
        free_bytes: 81604378624
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
    retention:
      description: >-
        How many backups O(series[].keep) keeps, how many of them are there, which are missing (a period, or the path of
        one that was there before), and how many others there are.
      returned: when O(series[].keep) is set
      type: dict
      sample: {expected: 14, present: 14, missing: [], surplus: 0}
    trend:
      description: >-
        How C(size) and, with O(state_file), C(seconds) of reading go on. A line through up to 90 values, its slope a
        day, where it is in 30 and 90 days, and how far the values are from it in the middle. C(free_bytes) is the room
        that is left where the newest lies.
      returned: with five backups or more
      type: dict
      sample:
        size: {points: 14, per_day: 131072.0, in_30_days: 16934502, in_90_days: 24798822, spread: 20480.0}
        free_bytes: 81604378624
    rto:
      description: >-
        How long the newest backup will take to restore, in seconds, by the restores to the same target that
        O(state_file) remembers and those of this run. C(points) of them, at most 90, each scaled to C(size_bytes), the
        stored size of the newest. C(p50) is the middle, C(p95) what 19 of 20 do not exceed, the longest when there are
        fewer than 20. C(phases) has both for each phase; making the server ready (C(prepare)) is not scaled.
      returned: when a backup of the series was ever restored to the end
      type: dict
      sample:
        points: 14
        size_bytes: 5242880
        p50: 41.2
        p95: 55.9
        phases: {prepare: {p50: 1.4, p95: 2.2}, load: {p50: 30.1, p95: 41.7}, index: {p50: 7.5, p95: 9.8}}
    schedule:
      description: What was found of O(series[].schedule). C(installed) is null when that is not known.
      returned: when O(series[].schedule) is set
      type: dict
      sample:
        job: timer backup-shop.timer
        where: backup-shop.timer
        installed: true
        longest_pause_seconds: null
        next_run: Mon 2026-11-23 02:00:00 UTC
    copies:
      description: The newest backup at the other sites. C(equal) is null when that could not be found out.
      returned: when O(series[].copies) is set
      type: list
      elements: dict
      sample:
        - site: nas
          path: /mnt/nas/shop/shop-20261122T020000Z.sql.gz
          present: true
          equal: true
          why: ""
          offsite: false
          immutable: false
    rule_3_2_1_1_0:
      description: The digits of the rule, which of them fail, and whether it is met.
      returned: when O(series[].copies) is set
      type: dict
      sample: {copies: 4, media: 3, offsite: 1, immutable: 1, errors: 0, failing: [], met: true}
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
      level_requested: structure
      level_reached: presence
      assurance: partial
      unproven: [completeness, content, producer_digest]
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
      description: How that is known, V(name), V(manifest), V(dump_header) or V(mtime).
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
          by the maker), V(completeness) (nor a manifest that says what should be in it), V(values) (a changed value
          would not show), V(toc) (nor one in the names and definitions of an archive), V(members) (nor a symbolic link
          among so many), V(signature) (the signature does not hold, or could not be verified).
      returned: always
      type: list
      elements: str
      sample: [completeness, content, producer_digest]
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
      description: >-
        The SHA-256 of the file, when all of it was read; of a directory, that of the lines of C(sha256sum) over all its
        files. C(plain_sha256) is that of what is inside, where it was needed.
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
      description: >-
        What the dump says of itself. Null stands for what it does not say. Where rows were counted also those of
        the largest tables and of all together.
      returned: when a dump was found in it
      type: dict
      sample:
        database: shop
        server_version: "17.11"
        tool_version: "17.11"
        tables: 12
        complete: true
        rows: {public.orders: 48211, public.customers: 3000}
        rows_total: 51811
    manifest:
      description: The path of its manifest.
      returned: when there is one
      type: str
      sample: /var/backups/shop/shop-20261122T020000Z.sql.gz.manifest.json
    signature:
      description: Its signature. C(valid) is null when it could not be verified.
      returned: when there is one and O(signers) is set
      type: dict
      sample: {kind: minisign, valid: true, by: 9A8B7C6D5E4F3021}
    members:
      description: The number and the bytes of the files in an archive of files, or in a directory.
      returned: when it is one
      type: dict
      sample: {count: 1204, bytes: 88211034}
    restore:
      description:
        - What came of its restore. C(seconds) has the phases of a recovery and their sum, the time that one takes
          (RTO). They are reading the file, unfolding it, making the server, data, indexes, statistics, looking at it.
        - C(compared) says what the rows of each table were compared with, C(manifest), C(dump) or C(nothing); C(hashed)
          how many tables were compared by a hash too. C(owners) is C(globals), C(left out) or C(invented).
        - C(rpo_seconds) is how long before the backup its newest row was written.
      returned: when it was restored, or would be
      type: dict
      sample:
        target: initdb
        finished: true
        planned: false
        server_version: "15.20"
        seconds: {fetch: 0.0, decrypt: 0.0, prepare: 1.805, load: 0.161, index: 0.035, analyze: 0.109, assert: 0.444,
          total: 2.553}
        databases: [shop]
        bytes: 8600935
        tables: 4
        rows: 5003
        compared: manifest
        fingerprint: counts
        hashed: 0
        amcheck: heapallindexed
        assertions: 2
        sequences: 1
        owners: globals
        isolated: true
        jobs: 4
        notes: []
        newest: "2026-11-22T11:02:26Z"
        rpo_seconds: 0
    verified_before:
      description: When it was last verified as it is now, and what came of it.
      returned: when O(state_file) remembers it
      type: dict
      sample: {at: "2026-11-15T04:13:00Z", status: ok}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        outcome = check(module.params, utc_now(), module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
