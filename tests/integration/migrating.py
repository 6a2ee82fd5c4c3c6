"""Applications with alembic migrations, and the databases that they are for."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from pathlib import Path

from tests.bed.docker_engine import Engine
from tests.bed.docker_images import base, cached, save

ALEMBIC = os.path.join(os.path.dirname(sys.executable), "alembic")

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine, pool

print("a line of the application's own")
if context.is_offline_mode():
    context.configure(url="postgresql+psycopg://", dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
"""
MIGRATION = '''
"""{name}"""
from alembic import op
import sqlalchemy as sa

revision = "{name}"
down_revision = {after!r}


def upgrade():
    {up}


def downgrade():
    {down}
'''


class Migrations:
    """A folder with alembic.ini and migrations: `add("0001", None, "op.execute('...')")`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = folder / "alembic" / "versions"
        self.versions.mkdir(parents=True)
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
        (folder / "alembic" / "env.py").write_text(ENV)

    def add(self, name: str, after: str | None, up: str = "pass", down: str = "pass") -> Path:
        path = self.versions / f"{name}.py"
        path.write_text(MIGRATION.format(name=name, after=after, up=up, down=down))
        return path


def execute(*statements: str) -> str:
    """The body of a migration that executes SQL."""
    return "\n    ".join(f"op.execute({statement!r})" for statement in statements)


# --- an image with alembic --------------------------------------------------------------------------------------------

PYTHON = "upkeep-python:1"
_PACKAGES = (
    "alembic",
    "sqlalchemy",
    "mako",
    "markupsafe",
    "typing_extensions",
    "psycopg",
    "psycopg-binary",
    "greenlet",
)
_LEFT_OUT = re.compile(
    r"(?:^|/)(?:test|tests|idlelib|tkinter|turtledemo|lib2to3|ensurepip|site-packages|config-[^/]*)/|\\.pyc$"
)


def python_image(engine: Engine) -> str:
    """An image with the interpreter of these tests and alembic, made of this machine's own files."""
    versions = [f"{name} {_version(name)}" for name in _PACKAGES]
    recipe = [sys.version, *versions, Path(__file__).read_text(encoding="utf-8")]
    return engine.image(PYTHON, cached("python-alembic", recipe, engine.cache, _save_python))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # greenlet comes where there is a wheel
        return ""


def _save_python(path: Path) -> None:
    tree = base()
    library = Path(os.__file__).parent
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # typeshed has it not
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    tree.copy(interpreter, f"/opt/python/bin/{name}")
    tree.link("/usr/bin/python3", f"/opt/python/bin/{name}")
    native = [interpreter]
    for source in sorted(library.rglob("*")):
        inside = source.relative_to(library).as_posix()
        if source.is_file() and not _LEFT_OUT.search(inside):
            tree.copy(source, f"/opt/python/lib/{name}/{inside}")
            native += [source] if source.suffix == ".so" else []
    for package in _PACKAGES:
        if _version(package):
            for file in importlib.metadata.files(package) or ():
                source = Path(str(file.locate()))
                if source.is_file() and ".." not in file.parts and source.suffix != ".pyc":
                    tree.copy(source, f"/opt/site/{file.as_posix()}")
                    # What finds its libraries beside it names them by a path with dots, which an image cannot have.
                    native += [source] if ".so" in source.name and source.parent.name != "psycopg_binary" else []
    tree.with_libraries(*native)
    tree.file("/usr/bin/alembic", '#!/bin/sh\nexec python3 -m alembic "$@"\n', 0o755)
    settings = {
        "Env": ["PATH=/usr/bin:/bin", "PYTHONHOME=/opt/python", "PYTHONPATH=/opt/site", "PYTHONDONTWRITEBYTECODE=1"],
        "Cmd": ["bash", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"],
    }
    save(tree, path, settings)
