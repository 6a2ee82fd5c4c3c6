"""What `backup_create` is asked for, and what it refuses to be asked for."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.options import job_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


def asked(**params):
    answer = ArgumentSpecValidator(ARGUMENT_SPEC).validate({"series": "shop", "directory": "/b", **params})
    assert not answer.error_messages, answer.error_messages
    return job_of(answer.validated_parameters)


def test_what_is_left_out_is_as_documented():
    job = asked()
    assert (job.kind, job.form, job.compress, job.globals, job.count_rows) == ("postgres", "custom", "auto", True, True)
    assert (job.every, job.grace, job.always, job.seconds) == (86400.0, 7200.0, False, 14400.0)
    assert (job.mode, job.min_free, job.headroom) == (0o600, 100 << 20, 1.2)
    assert not job.encrypted


def test_a_short_rhythm_needs_no_grace_of_its_own():
    assert (asked(every="1h").grace, asked(every="7d").grace) == (1800.0, 7200.0)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"series": "a.b"}, "series"),
        ({"directory": "relative"}, "directory"),
        ({"directory": "/"}, "directory"),
        ({"kind": "files"}, "paths names none"),
        ({"paths": ["/x"]}, "paths and exclude"),
        ({"kind": "files", "paths": ["x"]}, "not absolute"),
        ({"kind": "files", "paths": ["/x"], "databases": ["a"]}, "databases"),
        ({"kind": "mongodb", "databases": ["a", "b"]}, "more than one database"),
        ({"kind": "redis", "format": "plain"}, "format is plain"),
        ({"jobs": 2}, "only the format directory"),
        ({"jobs": 0, "format": "directory"}, "jobs is 0"),
        ({"format": "directory", "encrypt": {"age_recipients": [AGE]}}, "encrypt"),
        ({"format": "directory", "pod": {"name": "x"}}, "pod"),
        ({"format": "directory", "container": "x", "programs": "container"}, "programs: container"),
        ({"pod": {"name": "x"}, "container": "y"}, "pod is given together"),
        ({"pod": {"name": "--x"}}, "pod.name"),
        ({"pod": {"name": "x"}, "kind": "redis"}, "cannot be taken out of a pod"),
        ({"programs": "container"}, "none is named"),
        ({"compress_level": 12}, "compress_level"),
        ({"compress": "none", "compress_level": 1}, "compress_level"),
        ({"compress": "zstd", "compress_level": 20}, "compress_level"),
        ({"encrypt": {}}, "names no recipient"),
        ({"encrypt": {"age_recipients": [AGE], "gpg_recipients": ["x"]}}, "of age and of gpg"),
        ({"encrypt": {"age_recipients": ["nonsense"]}}, "no public key of age"),
        ({"encrypt": {"gpg_recipients": ["--output=x"]}}, "names no key"),
        ({"sign": {"kind": "minisign", "key": "relative"}}, "not an absolute path"),
        ({"sign": {"kind": "openpgp", "key": "-x"}}, "names no key"),
        ({"sign": {"kind": "ssh", "key": "/k", "passphrase_file": "/p"}}, "not for ssh"),
        ({"mode": "0644"}, "lets everybody read"),
        ({"mode": "abc"}, "no mode"),
        ({"mode": "0200"}, "its owner not"),
        ({"time_limit": "0"}, "time_limit is 0"),
        ({"every": "soon"}, "every"),
        ({"grace": "24h"}, "each run would make a backup"),
        ({"every": "1h", "grace": "2h"}, "each run would make a backup"),
        ({"min_free": "10"}, "min_free"),
        ({"headroom": 0.5}, "headroom"),
        ({"copy_retries": -1}, "copy_retries"),
        ({"far_directory": "tmp"}, "far_directory"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(params, said):
    with pytest.raises(InvalidInput, match=said):
        asked(**params)


def test_a_secret_key_among_the_recipients_is_not_repeated():
    secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQ"
    with pytest.raises(InvalidInput) as refused:
        asked(encrypt={"age_recipients": [secret]})
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("params", "inside"),
    [
        ({}, False),
        ({"container": "db"}, True),
        ({"compose_project": "p", "compose_service": "db"}, True),
        ({"container": "db", "programs": "host"}, False),
        ({"container": "db", "format": "directory"}, False),
        ({"container": "db", "kind": "redis"}, False),
        ({"container": "db", "kind": "mongodb"}, True),
    ],
)
def test_whose_programs_are_used(params, inside):
    assert asked(**params).inside is inside


def test_whether_the_host_can_open_what_it_encrypts():
    encrypt = {"age_recipients": [AGE]}
    assert not asked(encrypt=encrypt).opens
    assert asked(encrypt=encrypt, decrypt={"age_identity_file": "/i"}).opens
    assert not asked(encrypt=encrypt, decrypt={"gpg_homedir": "/g"}).opens
