"""A job that raises, hangs, crashes or cheats touches no other, and nothing of it survives."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core import isolate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import (
    DIED,
    DONE,
    RAISED,
    TIMED_OUT,
    Job,
    run_isolated,
)
from tests.unit.plugins.module_utils._core.processes import (
    NOBODY,
    descriptors,
    in_child,
    is_alive,
    left_alive,
    needs_root,
    wait_until,
)

LINUX = sys.platform == "linux"


# A deadline that is meant to pass: long enough for what the job does before, on a busy machine.
LATE = 2.0


def one(call, seconds=60.0):
    return run_isolated([Job("job", call, seconds)])[0]


def fork_sleeper(path, own_session=False, deaf=False):
    """Fork a process that sleeps for a minute; write its pid to *path*."""
    pid = os.fork()
    if pid == 0:
        if own_session:
            os.setsid()
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
        os._exit(0)
    path.write_text(f"{pid}\n")
    return pid


def pid_in(path):
    return wait_until(lambda: path.exists() and path.read_text().endswith("\n") and int(path.read_text()))


def fail(error):
    raise error


@pytest.fixture(autouse=True)
def nothing_is_left():
    """After each test: no zombie, no open descriptor, and the signals as they were."""
    before = (descriptors(), [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)])
    yield
    after = (descriptors(), [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)])
    assert after == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


# Results


def test_results_come_in_the_order_of_the_jobs_whatever_the_order_of_their_ends():
    jobs = [Job(f"job{n}", lambda n=n: time.sleep((3 - n) / 50) or {"n": n}, 60) for n in range(4)]
    ended = run_isolated(jobs)
    assert [(end.name, end.how, end.value) for end in ended] == [(f"job{n}", DONE, {"n": n}) for n in range(4)]
    assert all(0 < end.seconds < 5 for end in ended)


def test_no_job_gives_no_result():
    assert run_isolated([]) == []


def test_jobs_of_one_name_each_have_their_result():
    assert [end.value for end in run_isolated([Job("twin", lambda n=n: n, 60) for n in (1, 2)])] == [1, 2]


@pytest.mark.parametrize("value", [None, True, 1.5, "é\ud800", [], {"a": [1, {"b": None}]}])
def test_every_plain_value_comes_back(value):
    assert one(lambda: value).value == value


def test_a_value_larger_than_the_pipe_comes_back():
    assert one(lambda: "x" * 5_000_000).value == "x" * 5_000_000


def test_a_value_beyond_measure_is_a_defect_of_the_job(monkeypatch):
    monkeypatch.setattr(isolate, "ANSWER_BYTES", 1000)
    end = one(lambda: "x" * 2000)
    assert (end.how, end.message) == (RAISED, "its result has 2028 bytes, more than 1000")


def test_two_hundred_jobs_each_have_their_result():
    ended = run_isolated([Job(str(n), lambda n=n: [n] * 2000, 20) for n in range(200)])
    assert [end.value for end in ended] == [[n] * 2000 for n in range(200)]


def test_thirty_jobs_at_once_each_have_their_result():
    # One worker less than jobs: the last must wait for any of the others.
    ended = run_isolated([Job(str(n), lambda n=n: n, 20) for n in range(31)], workers=30)
    assert [end.value for end in ended] == list(range(31))


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 2), (-3, 1)])
def test_no_more_jobs_run_at_once_than_there_are_workers(workers, most):
    def span():
        start = time.monotonic()
        time.sleep(0.4)  # long enough that a busy machine starts the next one meanwhile
        return [start, time.monotonic()]

    spans = [end.value for end in run_isolated([Job("x", span, 60)] * 4, workers=workers)]
    assert max(sum(start <= at < end for start, end in spans) for at, _end in spans) == most


def test_a_job_cannot_print_into_the_answer_of_the_module(capfd):
    def talk():
        os.write(1, b"out")
        os.write(2, b"err")
        return os.read(0, 10).decode()

    assert one(talk).value == ""
    assert capfd.readouterr() == ("", "")


def test_a_job_changes_nothing_here(tmp_path):
    box = [1]
    atexit.register((tmp_path / "exit").touch)
    one(lambda: box.append(2))
    atexit.unregister((tmp_path / "exit").touch)
    assert box == [1]
    assert not (tmp_path / "exit").exists()


# Failures


def test_an_error_of_ours_is_told_in_its_own_words():
    end = one(lambda: fail(ConnectionFailed("db1 refuses.", "Start it.", {"port": 5432, "of": {1}})))
    assert (end.how, end.message, end.remedy) == (RAISED, "db1 refuses.", "Start it.")
    assert end.evidence == {"port": 5432, "of": [1]}


def test_any_other_error_is_a_defect_told_with_its_place():
    end = one(lambda: fail(KeyError("missing")))
    assert (end.how, end.message) == (RAISED, "KeyError: 'missing'")
    assert "defect" in end.remedy
    assert end.evidence["raised_at"].startswith("test_isolate.py:")
    assert end.evidence["raised_at"].endswith(" in fail")


def test_a_job_that_exits_is_told_as_one_that_raised():
    end = one(lambda: sys.exit("gone"))
    assert (end.how, end.message) == (RAISED, "SystemExit: gone")


def circle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda: {"at": object()}, "Object of type object is not JSON serializable"),
        (lambda: {(1, 2): 3}, "keys must be str"),
        (circle, "Circular reference"),
    ],
)
def test_a_result_that_json_does_not_have_is_a_defect_told_clearly(value, words):
    end = one(value)
    assert end.how == RAISED
    assert end.message.startswith(f"its result is not plain JSON: {words}")


@pytest.mark.parametrize(
    ("death", "how"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal 9"),
        (lambda: [faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)], "signal 11"),
        (lambda: os._exit(3), "status 3"),
        (lambda: fail(KeyboardInterrupt()), "status 70"),
    ],
)
def test_a_job_whose_process_dies_is_told_with_its_end(death, how):
    end = one(death)
    assert (end.how, end.message) == (DIED, f"its process died ({how})")
    assert end.seconds < 20


def test_one_that_fails_leaves_the_others_alone():
    jobs = [
        Job("raises", lambda: fail(ValueError("x")), 60),
        Job("hangs", lambda: time.sleep(60), 0.2),
        Job("dies", lambda: [faulthandler.disable(), os.abort()], 60),
        Job("cheats", lambda: os.closerange(3, 1000) or time.sleep(0.05), 60),
        Job("exits", lambda: sys.exit(1), 60),
        *[Job(f"good{n}", lambda n=n: n, 60) for n in range(5)],
    ]
    ended = run_isolated(jobs)
    assert [end.how for end in ended] == [RAISED, TIMED_OUT, DIED, DIED, RAISED] + [DONE] * 5
    assert [end.value for end in ended[5:]] == list(range(5))


# Deadlines


def test_a_late_job_is_stopped_and_told_with_its_deadline():
    started = time.monotonic()
    end = one(lambda: time.sleep(60), 0.2)
    assert (end.how, end.message) == (TIMED_OUT, "it had not ended after 0.2 s and was stopped")
    assert "longer deadline" in end.remedy
    assert 0.2 <= end.seconds < 20
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("seconds", [0, -5.0])
def test_a_job_without_time_is_late_at_once(seconds):
    assert one(lambda: time.sleep(60), seconds).how == TIMED_OUT


def test_a_job_may_have_no_deadline():
    assert one(lambda: 1, float("inf")).value == 1


def test_a_late_job_that_does_not_listen_is_killed():
    def deaf():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            try:
                time.sleep(60)
            except BaseException:  # noqa: BLE001  # it does everything to stay
                continue

    started = time.monotonic()
    assert one(deaf, LATE).how == TIMED_OUT
    assert time.monotonic() - started < 20


def test_a_late_job_can_tidy_up(tmp_path):
    def tidy():
        try:
            time.sleep(60)
        finally:
            (tmp_path / "tidy").touch()

    assert one(tidy, LATE).how == TIMED_OUT
    assert (tmp_path / "tidy").exists()


def test_many_late_jobs_are_stopped_together():
    started = time.monotonic()
    ended = run_isolated([Job("x", lambda: time.sleep(60), 2)] * 20, workers=20)
    assert {end.how for end in ended} == {TIMED_OUT}
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("end", ["late", "done", "raises", "dies"])
def test_what_a_job_started_in_its_session_ends_with_it(tmp_path, end):
    def start():
        fork_sleeper(tmp_path / "pid", deaf=True)
        if end == "late":
            time.sleep(60)
        elif end == "raises":
            raise ValueError
        elif end == "dies":
            os.kill(os.getpid(), signal.SIGKILL)

    one(start, LATE)
    wait_until(lambda: not is_alive(pid_in(tmp_path / "pid")))


def test_a_command_of_a_late_job_ends_with_it(tmp_path):
    # It has a session of its own: only the job can stop it.
    end = one(lambda: run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], 60).status, LATE)
    assert end.how == TIMED_OUT
    wait_until(lambda: not is_alive(pid_in(tmp_path / "pid")))


def test_a_job_has_an_alarm_should_its_parent_be_killed():
    def alarm():
        return [signal.alarm(0), signal.getsignal(signal.SIGALRM) is signal.SIG_DFL]

    assert one(alarm, 5).value == [7, True]


# Nested


def test_a_job_may_run_jobs():
    def outer(n):
        return [end.value for end in run_isolated([Job(str(m), lambda m=m: [n, m], 5) for m in range(3)])]

    ended = run_isolated([Job(str(n), lambda n=n: outer(n), 60) for n in range(3)])
    assert [end.value for end in ended] == [[[n, m] for m in range(3)] for n in range(3)]


@pytest.mark.parametrize("deaf", [False, True])
def test_the_jobs_of_a_late_job_end_with_it(tmp_path, deaf):
    def inner():
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (tmp_path / "inner").write_text(f"{os.getpid()}\n")
        time.sleep(60)

    assert one(lambda: run_isolated([Job("inner", inner, 60)]) and None, LATE).how == TIMED_OUT
    wait_until(lambda: not is_alive(pid_in(tmp_path / "inner")))


# Cheats


def test_a_daemon_that_holds_the_pipe_does_not_delay_the_answer(tmp_path):
    started = time.monotonic()
    end = one(lambda: fork_sleeper(tmp_path / "pid", own_session=True) and "answer", 20)
    assert (end.how, end.value) == (DONE, "answer")
    assert time.monotonic() - started < 15
    daemon = pid_in(tmp_path / "pid")
    with left_alive(daemon):
        assert is_alive(daemon)


def test_a_crash_is_seen_though_a_daemon_holds_the_pipe(tmp_path):
    def crash():
        fork_sleeper(tmp_path / "pid", own_session=True)
        os.kill(os.getpid(), signal.SIGKILL)

    started = time.monotonic()
    end = one(crash, 20)
    assert (end.how, end.message) == (DIED, "its process died (signal 9)")
    assert time.monotonic() - started < 15
    with left_alive(pid_in(tmp_path / "pid")):
        pass


def test_a_job_that_closes_every_descriptor_and_goes_on_is_not_waited_for():
    started = time.monotonic()
    end = one(lambda: os.closerange(3, 1000) or time.sleep(60), 20)
    assert (end.how, end.message) == (DIED, "its process died (it closed the pipe for its answer)")
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("lie", [b"\0\0\0\0\0\0\0\3abc", b"\0\0\0\0\0\0\0\2[]", b"\xff" * 20])
def test_a_garbled_answer_is_told_as_such(lie):
    ours = set(os.listdir("/dev/fd"))

    def garble():
        for name in set(os.listdir("/dev/fd")) - ours:
            with contextlib.suppress(OSError):
                os.write(int(name), lie)
        os._exit(0)

    end = one(garble)
    assert end.how == DIED
    # A length without its text is no answer at all.
    assert end.message == f"its process died ({'status 0' if lie[0] else 'its answer is garbled'})"


def test_children_that_nobody_has_to_reap_are_no_problem():
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        ended = run_isolated([Job("good", lambda: 1, 60), Job("dies", lambda: os._exit(3), 10)])
    finally:
        signal.signal(signal.SIGCHLD, previous)
    assert [end.how for end in ended] == [DONE, DIED]


def test_a_process_that_cannot_be_ended_is_left_behind_and_named(tmp_path, monkeypatch):
    """A tracer that never looks keeps its prey from being reaped, as a hung disk would."""
    if not LINUX:
        pytest.skip("ptrace of this kind is Linux's")
    libc = ctypes.CDLL(None, use_errno=True)

    def stay():
        tracer = os.fork()
        if tracer == 0:
            os.setsid()
            os.closerange(0, 100)
            time.sleep(0.05)
            seized = libc.ptrace(0x4206, os.getppid(), None, None)  # PTRACE_SEIZE
            (tmp_path / "tracer").write_text(f"{os.getpid()}\n" if seized == 0 else "refused\n")
            time.sleep(60)
        libc.prctl(0x59616D61, tracer, 0, 0, 0)  # PR_SET_PTRACER, for the kernels that ask for it
        time.sleep(60)

    assert isolate._PATIENCE == 1.0
    monkeypatch.setattr(isolate, "_PATIENCE", 0.2)
    started = time.monotonic()
    end = one(stay, LATE)
    waited = time.monotonic() - started
    tracer = pid_in(tmp_path / "tracer")
    with left_alive(tracer):
        assert end.how == TIMED_OUT
        assert end.evidence == {"left_behind": pytest.approx(end.evidence.get("left_behind"), abs=0)}
        assert end.evidence["left_behind"] > 1
        assert LATE + 0.2 < waited < 30
    wait_until(lambda: not is_alive(tracer))
    wait_until(lambda: os.waitpid(end.evidence["left_behind"], os.WNOHANG)[0])


# Limits


@needs_root
def test_a_process_that_cannot_be_forked_is_one_failed_job():
    def attempt():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        [end] = run_isolated([Job("job", lambda: 1, 60)])
        return [end.how, end.message, end.remedy]

    how, message, remedy = in_child(attempt, NOBODY)
    assert (how, message) == (DIED, "no process could be started for it: Resource temporarily unavailable")
    assert "Raise the limits" in remedy


def test_a_low_limit_of_descriptors_makes_jobs_wait_and_loses_none():
    def attempt():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 5, 100))
        return [end.value for end in run_isolated([Job(str(n), lambda n=n: n, 20) for n in range(20)], workers=20)]

    assert in_child(attempt) == list(range(20))


# What comes from outside


def test_an_exception_here_ends_all_children(tmp_path, monkeypatch):
    def interrupt(number, frame):
        raise RuntimeError("now")

    def stay(n):
        (tmp_path / str(n)).write_text(f"{os.getpid()}\n")
        if n == 3:
            # Not by the clock: inside of a fork, Python would swallow what the handler raises.
            wait_until(lambda: all((tmp_path / str(other)).exists() for other in range(4)))
            time.sleep(0.3)
            os.kill(os.getppid(), signal.SIGALRM)
        time.sleep(60)

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(RuntimeError, match="now"):
            run_isolated([Job(str(n), lambda n=n: stay(n), 60) for n in range(4)], workers=4)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert not any(is_alive(pid_in(tmp_path / str(n))) for n in range(4))


def test_a_defect_here_ends_all_children(tmp_path):
    class Bad:
        name, seconds = "bad", "soon"  # no number
        call = staticmethod(lambda: None)

    def stay():
        (tmp_path / "pid").write_text(f"{os.getpid()}\n")
        time.sleep(60)

    with pytest.raises(TypeError):
        run_isolated([Job("good", stay, 60), Bad()])
    # It may have been stopped before it could say who it is.
    told = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""
    assert not told.strip() or not is_alive(int(told))


PROGRAM = textwrap.dedent(
    """
    import os, sys, time
    sys.path[:0] = {path!r}
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import Job, run_isolated

    def stay(name):
        with open(os.path.join({folder!r}, name), "w") as stream:
            stream.write(str(os.getpid()) + chr(10))
        time.sleep(60)

    jobs = [Job("plain", lambda: stay("plain"), 60),
            Job("nested", lambda: run_isolated([Job("inner", lambda: stay("inner"), 60)]), 60),
            Job("command", lambda: run(["sh", "-c", "echo $$ > {folder}/command; exec sleep 60"], 60).status, 60)]
    run_isolated(jobs, workers=3)
    """
)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 128 + signal.SIGHUP), (signal.SIGINT, -signal.SIGINT)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_signal_to_this_process_ends_all_children_and_theirs(tmp_path, number, status):
    program = tmp_path / "program.py"
    program.write_text(
        PROGRAM.format(path=[entry for entry in sys.path if "collections" in entry], folder=str(tmp_path))
    )
    process = subprocess.Popen([sys.executable, str(program)], stderr=subprocess.PIPE)
    pids = [pid_in(tmp_path / name) for name in ("plain", "inner", "command")]
    process.send_signal(number)
    _out, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert number == signal.SIGINT or errors == b""
    wait_until(lambda: not [pid for pid in pids if is_alive(pid)])


def test_a_handler_of_the_callers_is_respected():
    seen = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        end = one(lambda: os.kill(os.getppid(), signal.SIGTERM) or 1)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert (seen, end.value) == ([signal.SIGTERM], 1)


def test_it_works_in_a_thread_that_may_not_handle_signals():
    ended = []
    thread = threading.Thread(target=lambda: ended.extend(run_isolated([Job("job", lambda: 1, 60)])), daemon=True)
    thread.start()
    thread.join(30)
    assert [end.value for end in ended] == [1]


def test_waiting_costs_no_processor_time():
    started = time.process_time()
    assert one(lambda: time.sleep(3)).how == DONE
    assert time.process_time() - started < 1.5
