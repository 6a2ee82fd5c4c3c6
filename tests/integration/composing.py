"""Compose projects of small shells for the tests of what looks at them, clears up after them and updates them."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bed.docker_engine import Engine
from tests.bed.docker_images import base, cached, save

SHELL = "upkeep-shell:1"
# Ends at once when asked to, as a well-behaved service does.
IDLE = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def shell_image(engine: Engine) -> str:
    """An image with a shell that waits to be stopped."""
    tree = base()
    settings = {"Cmd": ["bash", "-c", IDLE], "Env": ["PATH=/usr/bin:/bin"]}
    archive = cached("shell", [IDLE], engine.cache, lambda path: save(tree, path, settings))
    return engine.image(SHELL, archive)


def derive(engine: Engine, folder: Path, tag: str, *lines: str) -> str:
    """Build *tag* from the shell, with these further lines of a Dockerfile, and return the image's id."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text("\n".join([f"FROM {SHELL}", *lines]) + "\n")
    engine.docker("build", "-q", "-t", tag, folder)
    return engine.docker("image", "inspect", "--format", "{{.Id}}", tag).stdout.strip()


def write_model(folder: Path, services: Mapping[str, Any], **more: Any) -> Path:
    """Write a Compose file (JSON is YAML) for services that wait unless told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {name: {"image": SHELL, "stop_grace_period": "1s", **service} for name, service in services.items()}
    path = folder / "compose.yaml"
    path.write_text(json.dumps({"services": written, **more}))
    return path


def docker_program(engine: Engine) -> str:
    """The path of the client that the engine is used with."""
    found = shutil.which("docker", path=engine.environment().get("PATH"))
    return found or str(engine._programs.client if engine._programs else "docker")


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Return once it is so; fail when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def as_environment(engine: Engine) -> dict[str, str]:
    """What a program needs to talk to the engine, besides what the environment of the tests has."""
    return {key: value for key, value in engine.environment().items() if os.environ.get(key) != value}
