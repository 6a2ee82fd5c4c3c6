"""Whether the job is installed: crontabs as people write them, and what systemd says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Planned, Schedule
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.schedule import planned, timer_of
from tests.unit.plugins.module_utils._backup.samples import NOW


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/cron.d", "etc/cron.daily", "var/spool/cron/crontabs"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def look(root: Path, text: str = "backup.sh") -> Planned:
    return planned(Schedule(cron=text), NOW, 5.0, str(root))


HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("0 2 * * * root /opt/backup.sh", DAY),
        ("30 */6 * * * root /opt/backup.sh", 6 * HOUR),
        ("*/15 * * * * root /opt/backup.sh", 15 * 60),
        ("0 2,14 * * * root /opt/backup.sh", 12 * HOUR),
        ("0 8-18/2 * * * root /opt/backup.sh", 14 * HOUR),
        ("0 2 * * 1-5 root /opt/backup.sh", 3 * DAY),
        ("0 2 * * sun root /opt/backup.sh", 7 * DAY),
        ("0 2 * * 7 root /opt/backup.sh", 7 * DAY),
        ("0 2 1 * * root /opt/backup.sh", 31 * DAY),
        ("0 2 1,15 * * root /opt/backup.sh", 17 * DAY),
        ("0 2 1 * 0 root /opt/backup.sh", 7 * DAY),  # either day is enough
        ("@daily root /opt/backup.sh", DAY),
        ("@hourly root /opt/backup.sh", HOUR),
        ("@weekly root /opt/backup.sh", 7 * DAY),
        ("5\t4 * jan-dec mon,tue,wed,thu,fri,sat,sun root /opt/backup.sh", DAY),
    ],
)
def test_the_longest_pause_of_a_line(root: Path, line: str, seconds: float) -> None:
    (root / "etc/cron.d/backup").write_text(f"SHELL=/bin/sh\n# the backup\n{line}\n")
    found = look(root)
    assert (found.problem, found.seconds) == ("", seconds)
    assert found.where.endswith("etc/cron.d/backup")


def test_a_crontab_of_a_user_has_no_account(root: Path) -> None:
    (root / "var/spool/cron/crontabs/postgres").write_text("0 3 * * * /opt/backup.sh >/dev/null 2>&1\n")
    assert look(root).seconds == DAY


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("# 0 2 * * * root /opt/backup.sh\n", "it stands in a comment"),
        ("0 2 * * * root /opt/other.sh\n", "no crontab has it"),
        ("99 2 * * * root /opt/backup.sh\n", "no crontab has it"),
        ("BACKUP=/opt/backup.sh\n", "no crontab has it"),
        ("", "no crontab has it"),
    ],
)
def test_what_does_not_run_is_told(root: Path, content: str, problem: str) -> None:
    (root / "etc/cron.d/backup").write_text(content)
    assert look(root).problem == problem


def test_cron_passes_over_names_with_a_dot(root: Path) -> None:
    (root / "etc/cron.d/backup.bak").write_text("0 2 * * * root /opt/backup.sh\n")
    assert look(root).problem == "no crontab has it"


def test_a_script_of_run_parts(root: Path) -> None:
    script = root / "etc/cron.daily/backup"
    script.write_text("#!/bin/sh\n/opt/backup.sh\n")
    assert look(root).problem == "it is not executable"
    script.chmod(0o755)
    assert (look(root).problem, look(root).seconds) == ("", DAY)
    script.rename(script.with_name("backup.sh"))
    assert "dot" in look(root).problem


def test_what_cannot_be_read_is_unknown(root: Path) -> None:
    (root / "etc/cron.d/backup").symlink_to("nowhere")
    found = look(root)
    assert found.unknown
    assert "cannot be read" in found.problem


def show(**changes: str) -> str:
    told = {
        "LoadState": "loaded",
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "NextElapseUSecRealtime": "Mon 2026-11-23 02:00:00 UTC",
        "LastTriggerUSec": "Sun 2026-11-22 02:00:00 UTC",
        "TimersCalendar": "{ OnCalendar=*-*-* 02:00:00 ; next_elapse=Mon 2026-11-23 02:00:00 UTC }",
        **changes,
    }
    return "".join(f"{key}={value}\n" for key, value in told.items())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "no such timer is installed"),
        ({"ActiveState": "inactive"}, "it is inactive"),
        ({"ActiveState": "failed"}, "it is failed"),
        ({"NextElapseUSecRealtime": ""}, "it is active, and will never run again"),
        ({"UnitFileState": "disabled"}, "it runs now, but is disabled: not after a restart"),
        ({"UnitFileState": "static"}, ""),
    ],
)
def test_what_systemd_says_of_a_timer(changes: dict[str, str], problem: str) -> None:
    found = timer_of("timer backup.timer", "backup.timer", show(**changes))
    assert found.problem == problem
    assert problem or found.next_run == "Mon 2026-11-23 02:00:00 UTC"


def test_a_timer_without_a_calendar() -> None:
    monotonic = "{ OnUnitActiveUSec=6h 30min ; next_elapse=2d }"
    found = timer_of("timer b", "b.timer", show(NextElapseUSecRealtime="", TimersMonotonic=monotonic))
    assert (found.problem, found.seconds) == ("", 6.5 * HOUR)


def test_without_systemd_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "program", lambda _name: None)
    found = planned(Schedule(timer="backup"), NOW, 5.0)
    assert (found.unknown, found.problem) == (True, "systemctl is not here")
