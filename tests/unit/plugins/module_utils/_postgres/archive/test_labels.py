"""What backup_label, backup history files, manifests and histories of timelines say. The texts are recorded."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.labels import (
    Manifest,
    parse_branches,
    parse_label,
    parse_manifest_end,
    parse_manifest_system,
)

LABEL = """\
START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
CHECKPOINT LOCATION: 0/2000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 04:13:00 UTC
LABEL: pg_basebackup base backup
START TIMELINE: 1
"""
HISTORY = """\
START WAL LOCATION: 1/A7000028 (file 0000000300000001000000A7)
STOP WAL LOCATION: 1/A9000100 (file 0000000300000001000000A9)
CHECKPOINT LOCATION: 1/A7000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 04:13:00 CET
LABEL: nightly
START TIMELINE: 3
STOP TIME: 2026-11-22 04:14:10 CET
STOP TIMELINE: 3
"""
MANIFEST = """\
{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": 7313400000000000001,
"Files": [
{ "Path": "backup_label", "Size": 227, "Last-Modified": "2026-11-22 04:13:00 GMT", "Checksum-Algorithm": "CRC32C" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }
],
"Manifest-Checksum": "aa"}
"""


def test_a_backup_label():
    label = parse_label(LABEL)
    assert label is not None
    assert (label.start, label.file.timeline, label.file.segment) == (0x2000028, 1, 2)
    assert (label.started, label.stop) == ("2026-11-22 04:13:00 UTC", None)


def test_a_backup_history_file():
    label = parse_label(HISTORY)
    assert label is not None
    assert (label.start, label.stop) == (0x1A7000028, 0x1A9000100)
    assert label.started == "2026-11-22 04:13:00 CET"


def test_the_label_that_a_user_gave_cannot_forge_the_rest():
    forged = LABEL.replace("pg_basebackup base backup", "x\nSTOP WAL LOCATION: 9/0 (file 000000010000000900000000)\n")
    forged = forged.replace("LABEL: x", "LABEL: x\nSTART TIME: 1999-01-01 00:00:00 UTC")
    label = parse_label(forged)
    assert label is not None
    assert (label.stop, label.started) == (None, "2026-11-22 04:13:00 UTC")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n" + LABEL,
        LABEL.replace("000000010000000000000002", "nothing"),
        LABEL.replace("0/2000028", "0-2"),
        LABEL[10:],
        "START WAL LOCATION: 0/2000028\n",
    ],
)
def test_what_is_no_label(text):
    assert parse_label(text) is None


def test_a_manifest():
    assert parse_manifest_end(MANIFEST) == Manifest(1, 0x2000028, 0x2000100)
    assert parse_manifest_system(MANIFEST) == 7313400000000000001
    assert parse_manifest_system(MANIFEST.replace('2,\n"System-Identifier": 7313400000000000001', "1")) is None


def test_a_manifest_over_a_change_of_timelines_begins_with_the_oldest():
    two = MANIFEST.replace(
        '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }',
        '{ "Timeline": 2, "Start-LSN": "0/3000000", "End-LSN": "0/3000100" },\n'
        '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/3000000" }',
    )
    assert parse_manifest_end(two) == Manifest(1, 0x2000028, 0x3000100)


@pytest.mark.parametrize("text", ["", MANIFEST[:300], MANIFEST.partition("Manifest-Checksum")[0], '"WAL-Ranges": []'])
def test_a_manifest_that_is_not_whole(text):
    assert parse_manifest_end(text) is None


def test_the_history_of_a_timeline():
    text = '# a remark\n1\t0/A000198\tno recovery target specified\n\n2\t0/B0000A0\tat restore point "x"\n'
    assert parse_branches(text) == ((1, 0xA000198), (2, 0xB0000A0))
    assert parse_branches("1\t0/A000198") == ((1, 0xA000198),)
    assert parse_branches("") == ()


@pytest.mark.parametrize(
    "text", ["1\n", "one\t0/A\tx\n", "1\tA\tx\n", "2\t0/A\tx\n1\t0/B\ty\n", "2\t0/A\tx\n2\t0/B\ty\n"]
)
def test_a_history_that_is_damaged(text):
    assert parse_branches(text) is None
