# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's state directory: one live process at a time, whichever way the last one ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.lab.state import LabState, _mounts_below, _remove

HOLDER = """
import sys, time
from pathlib import Path
from ansible_collections.policyproof.ecr.lab.state import LabState
lock = LabState(Path(sys.argv[1])).lock()
print("held" if lock else "refused", flush=True)
if len(sys.argv) > 2:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
time.sleep(60)
"""


@pytest.fixture
def state(tmp_path):
    """A prepared state directory."""
    prepared = LabState(tmp_path / "lab")
    prepared.prepare()
    return prepared


@pytest.fixture
def holder(state):
    """Start processes that hold the lab's lock; end them afterwards."""
    started = []

    def start(*more):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(state.path), *more], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        if more:
            assert process.stdout.readline() == "deaf\n"
        # Reap it as soon as it ends, as the init of a machine would.
        threading.Thread(target=process.wait, daemon=True).start()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_prepare_is_private_and_keeps_only_the_log(tmp_path):
    state = LabState(tmp_path / "lab")
    state.path.mkdir(mode=0o755)
    (state.path / "instances" / "i-1").mkdir(parents=True)
    (state.path / "lab.json").write_text("{}")
    state.log.write_text("what happened\n")
    state.prepare()
    assert state.path.stat().st_mode & 0o777 == 0o700
    assert [left.name for left in state.path.iterdir()] == ["lab.log"]


def test_no_process_no_pid(state):
    assert state.pid() is None
    assert state.answering() is None
    assert state.end_process(timeout=1)


def test_one_holder_at_a_time(state, holder):
    process = holder()
    assert state.pid() == process.pid
    assert state.lock() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_dead_holder_is_no_holder(state, holder, number):
    process = holder()
    process.send_signal(number)
    process.wait()
    assert state.pid() is None
    lock = state.lock()
    assert lock is not None
    lock.close()


def test_the_number_of_a_dead_holder_may_be_anybodys(state):
    (state.path / "lab.lock").write_text(str(os.getppid()))
    assert state.pid() is None
    assert state.end_process(timeout=1)
    os.kill(os.getppid(), 0)


@pytest.mark.parametrize("more", [(), ("deaf",)])
def test_a_half_dead_holder_is_ended(state, holder, more):
    process = holder(*more)
    assert state.end_process(timeout=1)
    assert process.wait() == -(signal.SIGKILL if more else signal.SIGTERM)


class Health(BaseHTTPRequestHandler):
    """Answers as a lab of the name 'here'."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"lab": "here"}')

    def log_message(self, format, *args):
        pass


@pytest.mark.parametrize(("name", "answers"), [("here", True), ("another", False)])
def test_only_the_lab_that_wrote_the_description_answers_for_it(state, holder, name, answers):
    holder()
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        state.describe({"lab": name, "aws_endpoint": f"http://127.0.0.1:{server.server_port}"})
        assert (state.answering() is not None) is answers
        server.shutdown()
    assert state.answering() is None


def test_the_description_is_private(state):
    state.describe({"secret_key": "s"})
    file = state.path / "lab.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {"secret_key": "s"}


def test_last_words(state):
    assert state.last_words() == "It left no word."
    state.log.write_text("one\ntwo\n")
    assert state.last_words() == "two"
    state.fail("Port 1 is in use.")
    assert state.last_words() == "Port 1 is in use."


def test_mounts_below_are_found():
    assert "/proc" in _mounts_below(Path("/proc"))
    assert _mounts_below(Path("/etc/ssl")) == []


def test_nothing_mounted_is_removed():
    with pytest.raises(OSError, match="/proc.* is still mounted"):
        _remove(Path("/proc"))


def test_remove(state):
    (state.path / "a" / "b").mkdir(parents=True)
    state.remove()
    state.remove()
    assert not state.path.exists()
