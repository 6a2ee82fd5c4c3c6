# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import needed_libraries


class FilterModule:
    def filters(self) -> Mapping[str, Callable[..., Any]]:
        return {"needed_libraries": needed_libraries}
