"""An authority for the tests of this folder; certificates made of nothing but their dates are in samples.py."""

from __future__ import annotations

import pytest

from tests.bed.tls import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A root, an intermediate below it, and what that issues."""
    return Authority(intermediate=True)
