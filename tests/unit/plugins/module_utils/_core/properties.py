"""How the property tests of this folder are run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A shared processor may be slow at any moment; that says nothing about the property.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
