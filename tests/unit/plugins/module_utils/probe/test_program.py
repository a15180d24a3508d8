# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.deadline import Deadline, Task
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import Fault
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.program import Ran, environment, run


def python(script: str, seconds: float = 10, **more: object) -> Ran:
    return run([sys.executable, "-c", script], os.environ, Deadline(seconds), **more)  # type: ignore[arg-type]


def test_both_streams_line_by_line() -> None:
    ran = python("import sys; print('a\\rb'); sys.stdout.flush(); print('c', file=sys.stderr, end=''); sys.exit(3)")
    assert (ran.lines, ran.code, ran.text) == (["a", "b", "c"], 3, "a\nb\nc")


def test_what_it_reads_may_be_long() -> None:
    ran = python("import sys; print(len(sys.stdin.buffer.read()))", stdin=b"x" * 1_000_000)
    assert ran.lines == ["1000000"]


def test_a_program_that_does_not_read_does_not_hold_us_up() -> None:
    assert python("print('done')", stdin=b"x" * 1_000_000).lines == ["done"]


def test_stopped_at_the_line_that_says_enough() -> None:
    begin = time.monotonic()
    ran = python(
        "import time; print('Retrying', flush=True); time.sleep(30)", 20, stop_at=lambda line: line == "Retrying"
    )
    assert (ran.stopped, ran.late, ran.lines) == (True, False, ["Retrying"])
    assert time.monotonic() - begin < 3


def test_the_time_is_kept_even_by_a_program_that_will_not_end() -> None:
    begin = time.monotonic()
    ran = python(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(30)", 1
    )
    assert ran.late
    assert 1 <= time.monotonic() - begin < 1.9
    assert ran.code == -signal.SIGKILL


def test_silence_is_given_up() -> None:
    ran = python("import time; print('a', flush=True); time.sleep(30)", 20, patience=0.5)
    assert (ran.silent, ran.late, ran.lines) == (True, False, ["a"])


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = (
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(child.pid))\nprint('up', flush=True); time.sleep(60)"
    )
    python(script, 20, stop_at=lambda line: line == "up")
    child = int(mark.read_text())
    until = time.monotonic() + 5
    while os.path.exists(f"/proc/{child}") and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1]:
        assert time.monotonic() < until, "the child of a stopped program still runs"
        time.sleep(0.05)


def test_no_credentials_reach_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("DOCKER_HOST", "unix:///x")
    made = environment("/home/of/run", DOCKER_CONFIG="/c")
    assert not [name for name in made if name.startswith("AWS_")]
    assert (made["HOME"], made["DOCKER_HOST"], made["DOCKER_CONFIG"]) == ("/home/of/run", "unix:///x", "/c")


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        run(["/no/such/program"], {}, Deadline(1))


def test_a_task_hands_on_its_result_and_its_error() -> None:
    assert Task(lambda: 7, "It", Deadline(5)).result() == 7
    with pytest.raises(KeyError):
        Task(lambda: {}["x"], "It", Deadline(5)).result()


def test_a_task_that_does_not_end_is_given_up() -> None:
    begin = time.monotonic()
    with pytest.raises(Fault) as raised:
        Task(lambda: time.sleep(20), "The resolver", Deadline(0.3)).result()
    assert raised.value.cause == "The resolver did not end within the 0.3 seconds allowed."
    assert time.monotonic() - begin < 1


def test_a_deadline_that_is_over() -> None:
    deadline = Deadline(0.0)
    assert deadline.remaining() == 0
    with pytest.raises(Fault, match="seconds allowed"):
        deadline.keep("It")
