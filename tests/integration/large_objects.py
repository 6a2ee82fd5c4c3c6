"""A database with large objects, and `pg_large_object` called on it in this process."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.run import tend
from tests.integration.vacuuming import Place

Result = dict[str, Any]

# What a user says who knows the application, for objects of this very second.
AT_ONCE = {"state": "absent", "confirm_no_text_references": True, "min_age": "0"}


class Objects(Place):
    """One database of a real server."""

    def settle(self) -> None:
        """No counters are looked at here."""

    def params(self, **options: Any) -> dict[str, Any]:
        return validate("pg_large_object", ARGUMENT_SPEC, self.options(**options)).params

    def call(self, *, check: bool = False, driver: str = "psycopg2", **options: Any) -> Result:
        """Run the module's own code; `msg` is why the task would fail, `diff` what diff mode shows."""
        tended = tend(self.params(**options), utc_now(), check_mode=check, drivers=[driver])
        diff = {"before": tended.before, "after": tended.after}
        return {**tended.as_result(), "msg": tended.failure, "diff": diff}

    def make(self, count: int, size: int = 3000) -> list[int]:
        """Make large objects in a transaction of its own."""
        rows = self.execute(
            f"SELECT lo_from_bytea(0, convert_to(repeat('x', {size}), 'UTF8')) FROM generate_series(1, {count})"
        )
        return sorted(row[0] for row in rows)

    def there(self) -> list[int]:
        return [row[0] for row in self.execute("SELECT oid::int8 FROM pg_largeobject_metadata ORDER BY 1")]


def only(result: Result) -> dict[str, Any]:
    """The record of the one database."""
    (record,) = result["databases"]
    return dict(record)
