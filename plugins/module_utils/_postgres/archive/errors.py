# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the job: the archive is left alone, because cleaning it is not known to be safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError


class ArchiveRefused(UpkeepError):
    """Nothing was removed and nothing will be: ``evidence["class"]`` says which rule stands against it."""

    def __init__(self, rule: str, message: str, remedy: str, evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, remedy, {"class": rule, **(evidence or {})})
