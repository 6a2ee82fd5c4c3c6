"""Where a cluster's directory goes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.bed.accounts import Account, base_directory, server_account


def test_our_own_account_uses_our_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert base_directory(Account("1000", None)) == Path("/var/tmp")


def test_another_account_gets_one_that_it_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/home/somebody/tmp")
    assert base_directory(Account("nobody", (65534, 65534))) == Path("/tmp")


def test_a_temporary_directory_that_makes_the_socket_path_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/" + "x" * 60)
    assert base_directory(Account("1000", None)) == Path("/tmp")


def test_only_root_lends_an_account() -> None:
    account = server_account()
    assert (account.ids is None) == (os.geteuid() != 0)
    assert account.ids != (0, 0)
