"""The program behind `make test`: what it says and how it ends is what continuous integration goes by."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    module = importlib.import_module("gates")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "LOGS", tmp_path)
    return module


def ended(gates: ModuleType, name: str, status: int, log: str = "") -> object:
    session = gates.Session(name)
    session.status, session.seconds = status, 3.0
    session.log.write_text(log, encoding="utf-8")
    return session


def closing_lines(gates: ModuleType, *sessions: object, not_run: tuple[str, ...] = ()) -> tuple[list[str], int]:
    out = io.StringIO()
    failed = gates.summarise(list(sessions), list(not_run), 5.0, out)
    return out.getvalue().splitlines(), failed


def test_the_last_line_counts_sessions(gates):
    lines, failed = closing_lines(gates, ended(gates, "unit", 0), ended(gates, "lint", 1), ended(gates, "sanity", 2))
    assert lines[-1] == "1 passed, 2 failed"
    assert failed == 2


def test_what_could_not_run_is_said(gates):
    lines, _ = closing_lines(
        gates, ended(gates, "unit", 0), not_run=("modules on Python 3.9: it is not on this machine",)
    )
    assert "not run: modules on Python 3.9: it is not on this machine" in lines


def test_the_end_of_a_failed_log_is_shown_and_that_of_a_passed_one_is_not(gates):
    long = "\n".join(f"line {number}" for number in range(1000))
    lines, _ = closing_lines(gates, ended(gates, "lint", 1, long), ended(gates, "unit", 0, "quiet"))
    assert "line 999" in lines
    assert "line 0" not in lines
    assert "quiet" not in lines


def test_the_counts_of_pytest_stand_beside_the_session(gates):
    log = "=== 12 passed, 1 skipped in 3.10s ===\nmore\n=== 2 failed, 3 passed, 7 deselected in 61.00s (0:01:01) ===\n"
    lines, _ = closing_lines(gates, ended(gates, "matrix-2.18-py3.11", 1, log))
    assert any(line.endswith("12 passed, 1 skipped; 2 failed, 3 passed, 7 deselected") for line in lines)


def test_a_test_that_passed_only_by_itself_is_named(gates):
    log = "FAILED tests/unit/test_x.py::test_y[a b] - assert 1 == 2\n=== 1 failed, 9 passed in 3.1s ===\n"
    log += "\n=== 1 passed in 0.1s ===\n"
    lines, _ = closing_lines(gates, ended(gates, "unit", 0, log), ended(gates, "contract", 1, log))
    assert [line for line in lines if line.startswith("unsteady: ")] == [
        "unsteady: tests/unit/test_x.py::test_y[a b] failed in unit and passed by itself"
    ]


@pytest.mark.parametrize(
    ("session", "wanted", "expected"),
    [
        ("unit", "unit", True),
        ("matrix-2.18-py3.11", "matrix", True),
        ("matrix-2.18-py3.11", "matrix-2.18", True),
        ("matrix-2.18-py3.11", "matrix-2.1", False),
        ("units", "unit", False),
    ],
)
def test_a_name_means_a_session_or_all_of_its_kind(gates, session, wanted, expected):
    assert gates.matches(session, wanted) is expected


def test_a_machine_without_ssh_is_told_which_package_has_it(gates, monkeypatch):
    monkeypatch.setattr(gates, "PROGRAMS", {"ssh-of-nobody": "openssh-client", "sh": "dash"})
    monkeypatch.setattr(gates.os, "geteuid", lambda: 1000)
    with pytest.raises(gates.Missing) as refused:
        gates.prepare_machine()
    text = str(refused.value)
    assert text.startswith("missing: openssh-client")
    assert "dash" not in text
    assert "\n" not in text


def test_a_session_that_is_stopped_takes_its_children_along(gates):
    session = gates.Session("hangs")
    nested = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    session.process = subprocess.Popen(
        [sys.executable, "-c", nested],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    child = int(session.process.stdout.readline())
    session.stop(patience=10.0)
    assert session.process.poll() is not None
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline, "the grandchild outlived the session"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    if Path("/proc/self/stat").exists():
        stat = Path(f"/proc/{pid}/stat")
        state = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] if stat.exists() else ""
    else:
        answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        state = answer.stdout.strip()
    return bool(state) and not state.startswith("Z")
