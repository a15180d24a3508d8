# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A running instance: processes in namespaces of their own, on the instance's disk."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .disk import Disk
from .image import User
from .init import GRACE, WITHHELD

# Seconds an instance may take to boot. It takes a fraction of one.
BOOT_TIMEOUT = 30.0

# ioctls of pseudo-terminals, from Linux's <asm-generic/ioctls.h>: unlock a terminal, and open it by its other end.
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441

logger = logging.getLogger("lab.instances")


class SandboxError(Exception):
    """Why an instance does not run, in one sentence."""


class Sandbox:
    """The processes of one instance, from boot to shut-down. One boot an object."""

    def __init__(self, disk: Disk, hostname: str, tools: Sequence[str], masked: Sequence[str]) -> None:
        """
        :param hostname: host name
        :param tools: directories of this machine to show read-only, see :class:`.init.Plan`
        :param masked: directories of this machine to show empty
        """
        self._disk = disk
        self._plan = {
            "root": str(disk.root),
            "upper": str(disk.upper),
            "work": str(disk.work),
            "hostname": hostname,
            "stores": {inside: str(outside) for inside, outside in disk.stores.items()},
            "tools": list(tools),
            "masked": list(masked),
        }
        self._lock = threading.Lock()
        self._holder: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def boot(self) -> None:
        """Start the instance; return when it is up. Raises SandboxError."""
        init = [sys.executable, "-I", "-S", str(Path(__file__).with_name("init.py")), json.dumps(self._plan)]
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
        with (self._disk.directory / "console.log").open("ab") as console:
            # Its standard input stays open for as long as this process lives, however that ends.
            self._holder = subprocess.Popen(
                [program("unshare"), *namespaces, "--", *init],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                cwd="/",
                start_new_session=True,
            )
        try:
            self._pid = self._read_report()
        except SandboxError:
            self.kill()
            raise

    @property
    def running(self) -> bool:
        """Whether the instance is up."""
        return self._pid != 0 and self._holder is not None and self._holder.poll() is None

    def shut_down(self) -> None:
        """Ask the instance's processes to end, and return when all have."""
        self._end(signal.SIGTERM, GRACE + 2)

    def kill(self) -> None:
        """End every process of the instance at once, and return when all have ended."""
        self._end(signal.SIGKILL, 5)

    def open_terminal(self) -> tuple[int, int]:
        """A new pseudo-terminal of the instance: descriptors of its two ends, master and slave. Raises OSError."""
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        master = os.open(f"/proc/{self._pid}/root/dev/pts/ptmx", flags)
        try:
            fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
            slave = fcntl.ioctl(master, TIOCGPTPEER, flags)
        except OSError:
            os.close(master)
            raise
        return master, slave

    def command(self, user: User, argv: Sequence[str]) -> list[str]:
        """The command that runs ``argv`` in the instance as one of its users, with the groups that it has by now."""
        enter = [program("nsenter"), "--target", str(self._pid), "--mount", "--uts", "--ipc", "--pid", "--"]
        identity = [f"--reuid={user.name}", f"--regid={user.name}", "--init-groups", "--inh-caps=-all"]
        # Process 1 gave these up for its own children; who enters from outside has to do it again.
        withheld = "--bounding-set=" + ",".join(f"-cap_{number}" for number in WITHHELD)
        return [*enter, "setpriv", *identity, withheld, "--", *argv]

    def _read_report(self) -> int:
        """The process id of the instance's process 1. Raises SandboxError with what it says is wrong."""
        assert self._holder is not None
        assert self._holder.stdout is not None
        with self._holder.stdout as stdout:
            readable, _writable, _broken = select.select([stdout], [], [], BOOT_TIMEOUT)
            line = stdout.readline() if readable else b""
        try:
            report = json.loads(line)
        except ValueError:
            report = {"error": f"it did not start; see {self._disk.directory / 'console.log'}"}
        if "error" in report:
            raise SandboxError(f"The instance does not run: {report['error']}.")
        return int(report["pid"])

    def _end(self, number: signal.Signals, timeout: float) -> None:
        """Send process 1 a signal; return when the instance has ended. Closing its input is the last resort."""
        with self._lock:
            holder = self._holder
            if holder is None:
                return
            try:
                if self.running:
                    with suppress(ProcessLookupError):
                        os.kill(self._pid, number)
                    holder.wait(timeout)
            except subprocess.TimeoutExpired:
                logger.warning("an instance on %s did not end in time: it is ended", self._disk.directory)
            if holder.stdin is not None:
                holder.stdin.close()
            try:
                holder.wait(timeout)
            except subprocess.TimeoutExpired:
                holder.kill()
                holder.wait()


def program(name: str) -> str:
    """Path of one of this machine's programs. Raises SandboxError."""
    path = shutil.which(name)
    if path is None:
        raise SandboxError(f"This machine has no {name}.")
    return path
