# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package brings an extension of PostgreSQL that a dump needs and that is not here. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Failed, failed

# Where the name of the package, as Debian and apt.postgresql.org have it, does not follow from that of the extension.
_PACKAGES = {
    "timescaledb": "timescaledb-2-postgresql-{major}",
    "citus": "postgresql-{major}-citus",
    "vector": "postgresql-{major}-pgvector",
    "pg_cron": "postgresql-{major}-cron",
    "pg_partman": "postgresql-{major}-partman",
    "pg_repack": "postgresql-{major}-repack",
    "plpython3u": "postgresql-plpython3-{major}",
    "plperl": "postgresql-plperl-{major}",
    "plperlu": "postgresql-plperl-{major}",
    "pltcl": "postgresql-pltcl-{major}",
    "pltclu": "postgresql-pltcl-{major}",
    **dict.fromkeys(
        ("postgis", "postgis_raster", "postgis_topology", "postgis_sfcgal", "postgis_tiger_geocoder"),
        "postgresql-{major}-postgis-3",
    ),
    **dict.fromkeys(
        (
            *("amcheck", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink", "dict_int", "earthdistance"),
            *("file_fdw", "fuzzystrmatch", "hstore", "intarray", "isn", "lo", "ltree", "pageinspect", "pg_buffercache"),
            *("pg_prewarm", "pg_stat_statements", "pg_trgm", "pgcrypto", "pgrowlocks", "pgstattuple", "postgres_fdw"),
            *("seg", "sslinfo", "tablefunc", "tcn", "tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp"),
        ),
        "postgresql-contrib",
    ),
}


def package_of(extension: str, major: int) -> str:
    """Return the name that the package of *extension* most likely has."""
    pattern = _PACKAGES.get(extension)
    if pattern is None:
        return f"postgresql-{major}-{extension.replace('_', '-')}"
    return pattern.format(major=major)


def missing(extensions: Sequence[str], major: int, version: str) -> Failed:
    """Return what is said when *extensions* are not installed: nothing of the backup itself."""
    named = ", ".join(f"{name} (package {package_of(name, major)} or alike)" for name in extensions)
    what = f"was not restored: PostgreSQL {version} here lacks its extensions {named}"
    packages = sorted({package_of(name, major) for name in extensions})
    evidence = {"extensions": list(extensions), "packages": packages, "server": version}
    return failed("backup.extension_missing", what, unknown=True, **evidence)
