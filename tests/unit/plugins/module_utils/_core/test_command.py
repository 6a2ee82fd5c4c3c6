"""A program runs without a shell, within its deadline, with its secrets out of sight, and leaves nothing behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import OUTPUT_BYTES, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    DeadlineExceeded,
    InvalidInput,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import MASK
from tests.unit.plugins.module_utils._core.processes import (
    NOBODY,
    descriptors,
    in_child,
    is_alive,
    left_alive,
    needs_root,
    wait_until,
)

# A deadline that is meant to pass: long enough for what the program does before, on a busy machine.
LATE = 2.0


def sh(script, seconds=60.0, **more):
    return run(["sh", "-c", script], seconds, **more)


def pid_in(path):
    return wait_until(lambda: path.exists() and path.read_text().endswith("\n") and int(path.read_text()))


# How it ends


def test_output_errors_status_and_time_are_told():
    done = sh("echo out; echo err >&2; exit 3")
    assert (done.output, done.errors, done.status, done.truncated) == ("out\n", "err\n", 3, False)
    assert done.argv == ("sh", "-c", "echo out; echo err >&2; exit 3")
    assert 0 < done.seconds < 5


def test_arguments_are_passed_as_they_are():
    strange = ["a b", "$HOME", "`id`", "*", "'\"", "", "é", "-n", "{name}", os.fsdecode(b"\xff")]
    assert run(["printf", "%s|", *strange], 10).output == "".join(f"{text}|" for text in strange[:-1]) + "\ufffd|"


def test_a_signal_is_a_negative_status():
    assert sh("kill -TERM $$").status == -signal.SIGTERM


def test_its_input_is_fed():
    assert run(["cat"], 10, stdin=b"x" * 300_000, cap=10**6).output == "x" * 300_000


def test_without_input_it_reads_an_end():
    assert run(["cat"], 10).output == ""


def test_an_input_that_nobody_reads_does_no_harm():
    assert run(["true"], 10, stdin=b"x" * 10_000_000).status == 0


def test_messages_are_in_the_c_locale_unless_asked_otherwise(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert sh("echo $LC_ALL").output == "C\n"
    assert sh("echo $LC_ALL", environment={"LC_ALL": "C.UTF-8"}).output == "C.UTF-8\n"


def test_variables_are_added_to_our_own(monkeypatch):
    monkeypatch.setenv("OURS", "1")
    assert sh("echo $OURS$THEIRS", environment={"THEIRS": "2"}).output == "12\n"


def test_no_argument_at_all_is_a_defect():
    with pytest.raises(ValueError, match="argv is empty"):
        run([], 10)


def test_success_is_passed_through():
    done = run(["true"], 10)
    assert done.require_success("Nothing") is done


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo first >&2; echo last >&2; exit 2", "The backup of app failed with status 2: last"),
        ("echo told; exit 1", "The backup of app failed with status 1: told"),
        ("exit 1", "The backup of app failed with status 1: it printed nothing"),
        ("kill -KILL $$", "The backup of app failed with signal 9: it printed nothing"),
    ],
)
def test_a_failure_is_told_by_its_last_line(script, message):
    with pytest.raises(CommandFailed) as caught:
        sh(script).require_success("The backup of app")
    assert caught.value.message == message
    assert caught.value.remedy.startswith("Run it by hand to see more: sh -c ")
    assert caught.value.evidence["argv"] == ["sh", "-c", script]


def test_a_failure_with_a_huge_line_stays_short():
    with pytest.raises(CommandFailed) as caught:
        sh("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1").require_success("It")
    assert len(caught.value.message) < 600
    assert len(caught.value.evidence["errors"]) == 2000


# What cannot be started


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("no-such-program", "no-such-program cannot be started: No such file", "Install no-such-program, or give its"),
        ("/etc/hostname", "/etc/hostname cannot be started: Permission denied.", "Make /etc/hostname executable"),
    ],
)
def test_a_program_that_cannot_be_started_is_named_with_the_next_step(tmp_path, name, message, remedy):
    program = name
    if name == "/etc/hostname":
        program = str(tmp_path / "plain")
        Path(program).write_text("")
    before = descriptors()
    with pytest.raises(CommandFailed) as caught:
        run([program], 10, stdin=b"x", secret_files={"key": "x"})
    assert caught.value.message.startswith(message.replace(name, program))
    assert caught.value.remedy.startswith(remedy.replace(name, program))
    assert descriptors() == before


@needs_root
def test_a_program_that_is_nowhere_is_told_as_such_though_a_directory_of_the_path_is_closed(tmp_path):
    def attempt():
        try:
            run(["no-such-program"], 10, environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        except CommandFailed as error:
            return error.message

    tmp_path.chmod(0o700)
    assert in_child(attempt, NOBODY) == "no-such-program cannot be started: No such file or directory."


@pytest.mark.parametrize("place", ["argument", "variable"])
def test_a_text_that_no_program_can_get_is_refused(place):
    with pytest.raises(InvalidInput, match=r"true cannot be started: .*(null|NUL)"):
        run(["true", "a\0b"] if place == "argument" else ["true"], 10, environment={"A": "a\0b"})


def test_without_descriptors_the_limit_is_named():
    def attempt():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 1, 100))
        try:
            run(["true"], 10)
        except CommandFailed as error:
            return [error.message, error.remedy]

    assert in_child(attempt) == [
        "No pipe to a program can be opened: Too many open files.",
        "Raise the limit on open files of the user that runs the task.",
    ]


# The deadline


def test_a_late_program_is_stopped_and_named():
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"sh was stopped: it had not ended after 2s") as caught:
        sh("echo waiting for db >&2; sleep 60", LATE)
    assert time.monotonic() - started < 20
    assert caught.value.evidence == {
        "argv": ["sh", "-c", "echo waiting for db >&2; sleep 60"],
        "errors": "waiting for db\n",
    }


def test_a_late_program_is_killed_with_all_of_its_group(tmp_path):
    with pytest.raises(DeadlineExceeded):
        sh(f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/child; wait", LATE)
    wait_until(lambda: not is_alive(pid_in(tmp_path / "child")))


def test_a_program_that_has_closed_its_output_is_late_too():
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        sh("exec >&- 2>&-; sleep 60", 0.15)
    assert time.monotonic() - started < 20


def test_a_program_that_closed_its_output_and_ends_in_time_is_waited_for():
    assert sh("exec >&- 2>&-; sleep 0.05; exit 4").status == 4


def daemon_of(folder, program):
    """A script that starts *program* in a session of its own and goes on when it runs."""
    starter = folder / "starter.py"
    starter.write_text("import os, sys; os.setsid(); os.execvp('sh', ['sh', '-c', sys.argv[1]])")
    start = f"{sys.executable} -S {starter} 'echo $$ > {folder}/daemon; exec {program}' &"
    return f"{start} while ! [ -s {folder}/daemon ]; do sleep 0.01; done"


@pytest.mark.parametrize("ends", [True, False])
def test_a_daemon_that_keeps_our_pipes_open_delays_nothing(tmp_path, ends):
    # In a session of its own it cannot be killed with the group; it holds both pipes.
    script = f"{daemon_of(tmp_path, 'sleep 60')}; echo said"
    started = time.monotonic()
    if ends:
        assert sh(script).output == "said\n"
    else:
        with pytest.raises(DeadlineExceeded):
            sh(f"{script}; sleep 60", LATE)
    assert time.monotonic() - started < 20
    daemon = pid_in(tmp_path / "daemon")
    with left_alive(daemon):
        assert is_alive(daemon)


def test_a_daemon_that_writes_for_ever_delays_nothing(tmp_path):
    started = time.monotonic()
    assert sh(daemon_of(tmp_path, "cat /dev/zero"), cap=1000).truncated
    assert time.monotonic() - started < 20
    # Nobody reads any more: its next write ends it.
    wait_until(lambda: not is_alive(pid_in(tmp_path / "daemon")))


def test_what_it_left_in_the_background_is_killed(tmp_path):
    assert sh(f"sleep 60 & echo $! > {tmp_path}/child").status == 0
    wait_until(lambda: not is_alive(pid_in(tmp_path / "child")))


@pytest.mark.parametrize("seconds", [0, -1.0])
def test_without_time_it_is_not_even_started(tmp_path, seconds):
    with pytest.raises(DeadlineExceeded, match="sh was not started: no time is left for it"):
        sh(f"touch {tmp_path}/started", seconds)
    time.sleep(0.02)
    assert not (tmp_path / "started").exists()


def test_an_exception_in_the_midst_kills_it_too(tmp_path):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = descriptors()
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            sh(f"echo $$ > {tmp_path}/pid; kill -ALRM $PPID; sleep 60", stdin=b"x" * 10**6)
    finally:
        signal.signal(signal.SIGALRM, previous)
    wait_until(lambda: not is_alive(pid_in(tmp_path / "pid")))
    assert descriptors() == before


def test_a_signal_during_the_start_waits_until_the_program_is_known(tmp_path, monkeypatch):
    """Otherwise a program would go on that nobody knows any more."""
    real = subprocess.Popen

    def start_and_be_interrupted(*arguments, **options):
        process = real(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        pid_in(tmp_path / "pid")  # python code, in which the exception would come
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        sh(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.undo()
    wait_until(lambda: not is_alive(pid_in(tmp_path / "pid")))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# The cap


def test_output_beyond_the_cap_is_read_and_dropped():
    done = sh("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")
    assert done.output == "x" * OUTPUT_BYTES
    assert (done.errors, done.status, done.truncated) == ("end\n", 0, True)


def test_output_of_exactly_the_cap_is_whole():
    done = sh("printf 12345", cap=5)
    assert (done.output, done.truncated) == ("12345", False)


def test_a_torn_last_line_is_dropped_with_what_the_cap_left_of_it():
    done = sh("echo first; echo postgresql://u:hunter2@db/app", cap=26)
    assert done.output == "first\n"


def test_a_letter_that_the_cap_tore_is_dropped():
    assert sh("printf éééé", cap=3).output == "é"


def test_output_that_is_no_text_is_shown_all_the_same():
    assert sh(r"printf 'a\377b'").output == "a\ufffdb"


# Secrets


@pytest.mark.parametrize("way", ["environment", "file"])
def test_a_secret_never_stands_in_the_arguments_of_the_running_program(tmp_path, way):
    secret = "hunter2-of-the-test"
    script = f"echo $$ > {tmp_path}/pid; while ! [ -e {tmp_path}/seen ]; do sleep 0.01; done; "
    script += "echo got $KEY" if way == "environment" else "echo got $(cat {key})"
    passed = {"secret_environment": {"KEY": secret}} if way == "environment" else {"secret_files": {"key": secret}}
    found = []

    def look():
        pid = pid_in(tmp_path / "pid")
        found.append(Path(f"/proc/{pid}/cmdline").read_bytes() if os.path.exists("/proc/self") else _ps(pid))
        (tmp_path / "seen").touch()

    looker = threading.Thread(target=look)
    looker.start()
    done = sh(script, **passed)
    looker.join()
    assert b"sh\0-c\0" in found[0] or b"sh -c" in found[0]
    assert secret.encode() not in found[0]
    assert done.output == f"got {MASK}\n"  # it did get it


def _ps(pid):
    return run(["ps", "-o", "command=", "-p", str(pid)], 10).output.encode()


def test_a_secret_file_is_read_from_a_descriptor_and_is_never_a_file():
    done = run(["sh", "-c", "wc -c < {key}; echo {key} {other}"], 10, secret_files={"key": "x" * 70_000})
    count, paths = done.output.splitlines()
    assert int(count) == 70_000
    assert paths.startswith("/dev/fd/")
    assert paths.endswith(" {other}")


def test_a_secret_file_that_nobody_reads_does_no_harm():
    before = descriptors()
    assert run(["true"], 10, secret_files={"key": "x" * 70_000, "other": "y"}).status == 0
    assert descriptors() == before


def test_secrets_are_masked_in_everything_that_is_told():
    script = "echo $KEY; echo $KEY >&2; exit 1"
    done = run(["sh", "-c", script, "hunter2x"], 10, secret_environment={"KEY": "hunter2x"})
    assert "hunter2x" not in repr(done)
    with pytest.raises(CommandFailed) as caught:
        done.require_success("It")
    assert "hunter2x" not in str(caught.value) + repr(caught.value.evidence)
    with pytest.raises(DeadlineExceeded) as late:
        run(["sh", "-c", "echo $KEY >&2; sleep 60", "hunter2x"], 0.15, secret_environment={"KEY": "hunter2x"})
    assert late.value.evidence["errors"] == f"{MASK}\n"
    assert "hunter2x" not in str(late.value) + repr(late.value.evidence)
    with pytest.raises(DeadlineExceeded) as never:
        run(["sh", "hunter2x"], 0, secret_environment={"KEY": "hunter2x"})
    assert "hunter2x" not in repr(never.value.evidence)


@pytest.mark.parametrize("cap", range(1, 40))
def test_a_secret_that_the_cap_tore_is_masked(cap):
    done = sh("printf 'a: %s, b: %s' $KEY $KEY", secret_environment={"KEY": "hunter2-long-secret"}, cap=cap)
    assert "hu" not in done.output


def test_what_shows_by_itself_that_it_is_secret_is_masked():
    assert sh("echo postgresql://u:hunter2@db/app").output == f"postgresql://{MASK}@db/app\n"


# What is left


def test_it_leaves_no_descriptor_thread_or_zombie():
    before = (descriptors(), threading.active_count())
    for _round in range(5):
        sh("echo x; exit 1", stdin=b"y", secret_files={"key": "z"})
        with pytest.raises(DeadlineExceeded):
            sh("sleep 60", 0.01)
    assert (descriptors(), threading.active_count()) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_it_runs_in_a_thread_too():
    outputs = []
    threads = [threading.Thread(target=lambda n=n: outputs.append(sh(f"echo {n}").output)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outputs) == ["0\n", "1\n", "2\n", "3\n"]
