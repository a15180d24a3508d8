# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Speaks to an instance through the lab's client program, as aws_ssm does."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.policyproof.ecr.lab.session_manager import plugin

PROGRAM = [sys.executable, "-I", "-S", plugin.__file__]


class Conversation:
    """The client program, spoken to as aws_ssm speaks to it: pipes for input and errors, a terminal for output."""

    def __init__(self, response: dict[str, str], program: list[str] | None = None) -> None:
        self.master, slave = pty.openpty()
        argv = [*(program or PROGRAM), json.dumps(response), "us-east-1", "StartSession", "", "{}", "http://127.0.0.1"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        self.seen = b""

    def say(self, line: bytes) -> None:
        """Write to the program's input."""
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def until(self, mark: bytes, timeout: float = 10) -> bytes:
        """Read until the mark; everything up to it. Raises AssertionError where it does not come."""
        end = time.monotonic() + timeout
        while mark not in self.seen:
            readable, _writable, _broken = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert readable, f"{mark!r} did not come; {self.seen[-500:]!r} did"
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            assert data, f"the program ended before {mark!r}: {self.seen[-500:]!r}"
            self.seen += data
        before, mark, self.seen = self.seen.partition(mark)
        return before + mark

    def prepare(self) -> None:
        """As aws_ssm does: no echo, no prompt, and a mark that stands alone on its line."""
        self.until(b"Starting session with SessionId")
        self.say(b"stty -echo\n")
        self.until(b"stty -echo")
        self.say(b"PS1='' ; bind 'set enable-bracketed-paste off'; printf '\\n%s\\n' 'prepared'\n")
        self.until(b"\r\r\nprepared\r\r\n")

    def leave(self) -> tuple[int, bytes, float]:
        """End the session as aws_ssm does. The exit status, what came on standard error, and the seconds it took."""
        started = time.monotonic()
        drained = threading.Thread(target=self._drain)
        drained.start()
        _output, errors = self.process.communicate(b"\nexit\n", timeout=10)
        took = time.monotonic() - started
        drained.join()
        os.close(self.master)
        return self.process.returncode, errors, took

    def _drain(self) -> None:
        try:
            while os.read(self.master, 65536):
                pass
        except OSError:
            pass


def run_on(ssm: Any, instance_id: str, script: str, timeout: float = 30) -> str:
    """Run a script of shell in a session of its own; its output. Raises AssertionError where it takes too long."""
    answer = ssm.start_session(Target=instance_id)
    conversation = Conversation({key: answer[key] for key in ("SessionId", "TokenValue", "StreamUrl")})
    conversation.prepare()
    conversation.say(f"{{ {script}; }} < /dev/null; echo END-OF-SCRIPT\n".encode())
    output = conversation.until(b"END-OF-SCRIPT", timeout)
    conversation.leave()
    return output.removesuffix(b"END-OF-SCRIPT").replace(b"\r", b"").decode()


def eventually(condition: Callable[[], object], timeout: float = 5) -> bool:
    """Whether the condition comes to hold in time."""
    end = time.monotonic() + timeout
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())
