"""A secret never survives, in whatever it is carried; what is no secret does."""

from __future__ import annotations

import base64
import json
import random
import time
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import (
    MASK,
    redact,
    redact_torn,
    redact_tree,
)
from tests.unit.plugins.module_utils._core.properties import unhurried

# Letters and digits as generators of passwords make them, and the punctuation that a carrier lets through.
WORD = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
LOUD = WORD + "!#$%^*()-_+{}|~."


def secrets_of(alphabet: str) -> st.SearchStrategy[str]:
    # A letter at each end: a bracket there would be taken for one of the sentence around it.
    return st.tuples(st.sampled_from(WORD), st.text(alphabet, min_size=8, max_size=30), st.sampled_from(WORD)).map(
        "".join
    )


# carrier, alphabet of what it can carry
CARRIERS = [
    ("password={}", LOUD),
    ("password = {}", LOUD),
    ("password: {}", LOUD),
    ("PASSWORD={} next", LOUD),
    ("PGPASSWORD={} psql -h db", LOUD),
    ("MYSQL_PWD={}", LOUD),
    ("dbPassword={}", LOUD),
    ("clientSecret: {}", LOUD),
    ("SECRET_KEY = '{}'", LOUD + " ,;&"),
    ("AWS_SECRET_ACCESS_KEY={}", LOUD),
    ("api_key: {}", LOUD),
    ("X-Api-Key: {}", LOUD),
    ("X-Vault-Token: {}", LOUD),
    ("PrivateKey = {}", LOUD),
    ("db_pass={}", LOUD),
    ("psk={}", LOUD),
    ("credentials={}", LOUD),
    ("-passin pass:{}", LOUD),
    ('{{"password": "{}", "port": 5432}}', LOUD + " ,;&'"),
    ("{{'password': '{}', 'port': 5432}}", LOUD + ' ,;&"'),
    ('{{\\"password\\": \\"{}\\"}}', LOUD),
    (":password => '{}'", LOUD + " ,"),
    ('password="{}', LOUD + " ,;&"),  # a line that was cut off
    ("host=db password='{}' user=bob", LOUD + " ,;&"),
    ("host=db password={} user=bob", LOUD + ",;&"),
    ("Server=db;Password={};User=bob", LOUD),
    ("https://db/?password={}&user=bob", LOUD),
    ("(password={})", WORD),
    ('cannot run "psql password={}": status 2', WORD),
    ("postgresql://bob:{}@db:5432/app", LOUD + ":=&;,[]@"),
    ("redis://:{}@cache/0", LOUD),
    ("postgresql+psycopg://bob:12345/{}@db/app", LOUD + "/"),
    ("https://bob:x{}/{}@db/app", WORD),
    ("Authorization: Bearer {}", LOUD),
    ("authorization: {}", LOUD + " ,"),
    ('{{"Authorization": "token {}"}}', LOUD),
    ("HTTP_AUTHORIZATION=Basic {}", WORD),
    ("Set-Cookie: session={}; Path=/", LOUD),
    ("--password {} -h db", LOUD),
    ("--password={} -h db", LOUD),
    ("--api-key {}", LOUD),
    ("sshpass -p {} ssh db", LOUD),
    ("sshpass -p{} ssh db", LOUD),
    ("curl -s -u bob:{} https://db", LOUD),
    ("ALTER ROLE bob WITH LOGIN PASSWORD '{}' VALID UNTIL 'x'", LOUD + ' ,;"'),
    ("CREATE USER bob IDENTIFIED BY '{}'", LOUD + " ,;"),
    ("machine db login bob password {}", LOUD),
    ("db:5432:app:bob:{}", LOUD + ":"),
    ("<password>{}</password>", LOUD + " ,"),
    ("https://b/k?X-Amz-Signature={}&x=1", WORD),
    ("https://hooks.example.com/services/{}", WORD),
    ("glpat-{}abcdef", WORD),
    ("ghp_{}abcdef", WORD),
    ("eyJ{}.{}.{}", WORD),
    ("SCRAM-SHA-256$4096:{}", WORD + ":$/+="),
    ("$6$salt${}", WORD + "./"),
    ("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", LOUD + "\n "),
    ("-----BEGIN RSA PRIVATE KEY-----\n{}", LOUD + "\n "),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\\n{}\\n-----END OPENSSH PRIVATE KEY-----", LOUD),
]


def pieces_that_survive(carrier: str, secret: str) -> list[str]:
    """Return what is left of *secret* in five letters or more, once its carrier was redacted."""
    redacted = redact(carrier.format(*[secret] * carrier.count("{}")))
    assert redact(redacted) == redacted
    pieces = {secret[start : start + 5] for start in range(len(secret) - 4)}
    return [piece for piece in pieces if piece in redacted.replace(MASK, "") and piece not in carrier]


@pytest.mark.parametrize(("carrier", "alphabet"), CARRIERS, ids=[carrier for carrier, _alphabet in CARRIERS])
def test_not_even_a_piece_of_a_secret_survives_its_carrier(carrier, alphabet):
    chance = random.Random(carrier)
    for _secret in range(50):
        middle = "".join(chance.choices(alphabet, k=chance.randint(8, 30)))
        secret = f"{chance.choice(WORD)}{middle}{chance.choice(WORD)}"
        assert pieces_that_survive(carrier, secret) == []


@unhurried
@given(st.sampled_from(CARRIERS).flatmap(lambda case: st.tuples(st.just(case[0]), secrets_of(case[1]))))
def test_nor_does_one_that_was_searched_for(case):
    assert pieces_that_survive(*case) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/var/lib/postgresql/17/main/base/16384",
        "SELECT count(*) FROM app.tokens WHERE expires_at < now() - interval '1 day'",
        "ALTER TABLE t SET (autovacuum_vacuum_scale_factor = 0.05); VACUUM (ANALYZE) public.t",
        "password_encryption = scram-sha-256",
        "ssl_passphrase_command_supports_reload = off",
        'FATAL:  password authentication failed for user "bob"',
        "fe_sendauth: no password supplied",
        "Look whether the password is right; basic authentication failed there.",
        "2026-11-22T04:13:00Z",
        "04:13:00",
        "token_count: 5",
        "tokens: 5, secrets: 3",
        "11 checks pass: 3 fail",
        "rolbypassrls = false, bypass: yes, compass=north",
        "PWD=/srv/app OLDPWD=/srv",
        "primary_key: id, sort_key=name, keyspace=app",
        "https://example.com:8443/path?q=a:b&page=2#top",
        "https://example.com/@scope/package",
        "https://registry.example.com:5000/app@sha256:" + "a" * 64,
        "registry.example.com:5000/app@sha256:" + "0" * 64,
        "ssh://git@example.com/repo.git",
        "http://[::1]:8080/a@b",
        "mail root@example.com",
        "docker run --user 1000:1000 -u 0:0 app",
        "pg_dump --no-password -h db -U bob --format=custom app",
        "psql --password -h db",
        "00:16:3e:5e:6c:00",
        "2001:0:53aa:64c:2c47:5e:0:1",
        "fd00:1:2:3:4:5:6:7",
        "-----------------------------------",
        "sk-SK.UTF-8",
        "$1 and $2, costs $100",
        "md5sum of the file",
        "the secretary keeps the tokenizer",
        "authentication and authorization",
        MASK,
    ],
)
def test_an_ordinary_text_is_not_touched(text):
    assert redact(text) == text
    assert redact_tree({"message": text})["message"] == text


@unhurried
@given(st.text(alphabet="abcdeghijlmnopqrstuvwxyz0123456789 .,/_-()%", max_size=200))
def test_letters_without_a_sign_of_a_secret_are_not_touched(text):
    assume(
        not any(
            word in text for word in ("pass", "pwd", "psk", "token", "credential", "secret", "sk-", "npm_", "basic")
        )
    )
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgresql://bob:hunter2@db:5432/app", f"postgresql://{MASK}@db:5432/app"),
        ("host=db password=hunter2 user=bob", f"host=db password={MASK} user=bob"),
        ('{"password": "hunter2", "port": 5432}', f'{{"password": "{MASK}", "port": 5432}}'),
        ("a, password=hunter2, b", f"a, password={MASK}, b"),
        ("Authorization: Bearer abc.def\nHost: db", f"Authorization: Bearer {MASK}\nHost: db"),
        ("ALTER ROLE bob PASSWORD 'it''s' LOGIN", f"ALTER ROLE bob PASSWORD '{MASK}' LOGIN"),
        ("--password hunter2 -h db", f"--password {MASK} -h db"),
        ("a -----BEGIN X KEY-----\nabc\n-----END X KEY----- b", "a [redacted X KEY] b"),
    ],
)
def test_what_stands_around_a_secret_stays_readable(text, redacted):
    assert redact(text) == redacted


FRAGMENTS = [
    *"\"'\\ ,;:=&@/-.$<>(){}[]\n*",
    *("password", "secret", "token", "api_key", "pass", "pwd", "credentials", "authorization", "cookie", "bearer"),
    *("basic", "login", "curl", "sshpass", "://u:p@h", "/services/", "hooks.", "eyJ", "-----BEGIN A-----"),
    *("-----END A-----", "--password", "-u", "SCRAM-SHA-256$", "a1B2c3D4", "x"),
]


@unhurried
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=25).map("".join))
def test_redacting_twice_is_the_same_as_once(text):
    once = redact(text)
    assert redact(once) == once


@unhurried
@given(st.text(), st.lists(st.text(min_size=1, max_size=12), max_size=4))
def test_with_known_secrets_too(text, secrets):
    once = redact(text, secrets)
    # A secret that is a part of the mask cannot be told from it.
    assume(not any(secret.strip() in once for secret in secrets if secret.strip()))
    assert redact(once, secrets) == once


@unhurried
@given(st.text(min_size=1, max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_known_secret_is_masked_wherever_it_stands(secret, before, after):
    assume(secret.strip() and secret.strip("* \t") and secret.strip() not in f"[redacted {MASK}]")
    redacted = redact(f"{before} {secret} {after}", [secret])
    assert secret.strip() not in redacted.replace(MASK, "")


@pytest.mark.parametrize(
    "disguise",
    [
        lambda secret: f"https://db/login?p={quote(secret, safe='')}",
        lambda secret: json.dumps({"entry": secret}),
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: f"got <{secret}>",
    ],
)
def test_a_known_secret_is_masked_in_disguise(disguise):
    secret = 'h"u/n t&é2'
    text = disguise(secret)
    redacted = redact(text, [secret])
    assert MASK in redacted
    assert not any(form in redacted for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]))


def test_a_secret_from_a_file_is_masked_without_the_end_of_its_line():
    assert redact("it said hunter2!", ["hunter2\n"]) == f"it said {MASK}!"


def test_a_secret_of_several_lines_is_masked_line_by_line():
    redacted = redact("read first-line\nread second-line\nread ab", ["first-line\nsecond-line\nab\n"])
    assert redacted == f"read {MASK}\nread {MASK}\nread ab"


def test_the_longer_of_two_secrets_is_masked_as_a_whole():
    assert redact("open hunter2000", ["hunter2", "hunter2000"]) == f"open {MASK}"


def test_a_known_secret_is_found_where_a_pattern_would_take_a_part_of_it():
    assert "cd ef" not in redact("password=ab cd ef", ["ab cd ef"])


def test_no_secret_masks_nothing():
    assert redact("as it was", ["", "***"]) == "as it was"


@unhurried
@given(st.text(WORD, min_size=6, max_size=40), st.integers(1, 39))
def test_what_the_end_of_a_text_has_of_a_secret_is_masked(secret, length):
    assume(length < len(secret))
    assert redact_torn(f"it said {secret[:length]}", [secret]) == f"it said {MASK}"


def test_a_torn_text_without_a_secret_at_its_end_is_redacted_as_usual():
    assert redact_torn("password=x and so on", ["hunter2", ""]) == f"password={MASK} and so on"


@pytest.mark.parametrize(
    ("tree", "redacted"),
    [
        ({"login_password": "x"}, {"login_password": MASK}),
        ({"login_password": ""}, {"login_password": ""}),  # that there is none is worth knowing
        ({"login_password": None, "no_log_token": True}, {"login_password": None, "no_log_token": True}),
        ({"password": 12345}, {"password": MASK}),
        ({"pass": 11, "tokens": 5, "secrets": 2}, {"pass": 11, "tokens": 5, "secrets": 2}),
        ({"passwords": ["a", "b", ""]}, {"passwords": [MASK, MASK, ""]}),
        ({"apiKey": "x", "db.secret": "y", "userpass": "z"}, {"apiKey": MASK, "db.secret": MASK, "userpass": MASK}),
        ({"credentials": {"user": "bob", "password": "x"}}, {"credentials": {"user": "bob", "password": MASK}}),
        ({"name": "DB_PASSWORD", "value": "x"}, {"name": "DB_PASSWORD", "value": MASK}),
        ({"name": "failed_password", "value": 5}, {"name": "failed_password", "value": 5}),  # a metric
        ({"name": "DB_HOST", "value": "x"}, {"name": "DB_HOST", "value": "x"}),
        ({"password_encryption": "scram-sha-256"}, {"password_encryption": "scram-sha-256"}),
        ({"private_key": {"bits": 2048}}, {"private_key": {"bits": 2048}}),
        ({"postgresql://u:p@h": 1}, {f"postgresql://{MASK}@h": 1}),
        ({"token": b"x"}, {"token": MASK}),
        (["password=x", ("token=y",)], [f"password={MASK}", [f"token={MASK}"]]),
        ({1: 1.5, "n": None}, {1: 1.5, "n": None}),
    ],
)
def test_in_a_tree_a_key_says_what_is_secret(tree, redacted):
    assert redact_tree(tree) == redacted
    assert redact_tree(redacted) == redacted


def test_keys_that_differ_in_their_secrets_alone_both_stay():
    assert list(redact_tree({"http://u:a@h": 1, "http://u:b@h": 2}).values()) == [1, 2]


def test_a_key_that_was_split_into_lines_is_masked_across_them():
    lines = ["begin", "-----BEGIN PRIVATE KEY-----", "MIIEvQIBADAN", "aGVsbG8gd29y", "-----END PRIVATE KEY-----", "end"]
    redacted = redact_tree({"lines": [lines[0], {"n": 1}, *lines[1:]]})["lines"]
    assert redacted == ["begin", {"n": 1}, *["[redacted PRIVATE KEY]"] * 4, "end"]


def test_a_key_that_is_whole_in_one_text_does_not_mask_the_next():
    block = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"
    assert redact_tree([block, "next"]) == ["[redacted PRIVATE KEY]", "next"]


HOSTILE = [
    *(
        "-",
        "-a",
        "ftp://a:",
        "://a:",
        "://a:@",
        "://u:p@",
        "password",
        "password=",
        'password="',
        "password='\\",
        "password=x,",
    ),
    *("-----BEGIN ", "-----BEGIN A-----", "eyJ-", "eyJaaaaaaaa.", "authorization:", "a:11:", "a:11:b:", "<password"),
    *(
        "password '",
        " \t",
        "curl -u ",
        "token:,",
        "login x ",
        "basic ",
        "SCRAM-SHA-256$",
        "$1$",
        "'\"",
        "&sig",
        "hooks.",
    ),
    *(
        "hooks.a/services",
        "api_",
        "userpass",
        "password= =",
        "pass:",
        "\\",
        "--pass",
        "cookie:",
        "sshpass -p",
        "=>'",
        "key",
    ),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_text_takes_linear_time(unit):
    # The tail makes every pattern have its try.
    tail = (
        " password login eyJ ://x curl </ authorization cookie bearer hooks sshpass begin scram-sha-256$ ghp_ sig pwd"
    )

    def seconds(size: int) -> float:
        text = unit * (size // len(unit)) + tail
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    # A 32nd of it shows as much: quadratic time would be many seconds.
    assert seconds(1 << 15) < 0.3
