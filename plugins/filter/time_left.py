# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration


def time_left(budget: str, since: float) -> str:
    """Return what is left of *budget* (``30m``) that began at *since* (seconds since 1970): ``1790s``, at least ``0s``.

    Raises ``AnsibleFilterError`` for a budget that is no duration.
    """
    try:
        seconds = parse_duration(budget) - (utc_now().timestamp() - float(since))
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from None
    return f"{max(0, round(seconds))}s"


class FilterModule:
    def filters(self) -> Mapping[str, Callable[..., Any]]:
        return {"time_left": time_left}
