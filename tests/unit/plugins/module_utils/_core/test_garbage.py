# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was there before is left alone by the collector for a while, and only for a while."""

from __future__ import annotations

import gc

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.garbage import modules_spared


def test_what_is_there_is_spared_within_the_block() -> None:
    with modules_spared():
        assert gc.get_freeze_count() > 0
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_an_error_ends_it_too() -> None:
    with pytest.raises(ValueError, match="wrong"), modules_spared():
        raise ValueError("wrong")
    assert gc.get_freeze_count() == 0
