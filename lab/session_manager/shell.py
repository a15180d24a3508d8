# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A shell on a pseudo-terminal, for an asyncio loop to read and write."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

# No client of the lab has a terminal of its own (aws_ssm's is 0×0): wide enough that nothing wraps.
ROWS, COLUMNS = 100, 300

# Seconds that processes have to end after their terminal hung up.
_GRACE = 1.0


class Shell:
    """A process on a pseudo-terminal.

    :ivar pending: how many bytes of input the terminal did not take yet
    """

    def __init__(self, master: int, slave: int, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start ``argv`` on the terminal of these two descriptors, which become this object's. Raises OSError."""
        self._master = master
        self._input = bytearray()
        self._loop = asyncio.get_running_loop()
        self._writing = False
        os.set_blocking(master, False)
        self.resize(ROWS, COLUMNS)
        try:
            # The program makes the terminal its controlling one by itself (setsid --ctty): no code runs between fork
            # and exec, which is not safe in a process with threads.
            self._process = subprocess.Popen(
                list(argv),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self._exit = os.pidfd_open(self._process.pid)

    @property
    def pending(self) -> int:
        """How many bytes of input the terminal did not take yet."""
        return len(self._input)

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size in characters."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of output, as soon as there is any; empty once no process has the terminal open."""
        while True:
            data = self.available(size)
            if data is not None:
                return data
            await self._readable(self._master)

    def available(self, size: int) -> bytes | None:
        """Up to ``size`` bytes of the output that waits; None where none does, empty at the end."""
        try:
            return os.read(self._master, size)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise

    def write(self, data: bytes) -> None:
        """Give the shell input. What the terminal cannot take now is written when it can."""
        self._input += data
        self._write_some()

    async def exited(self) -> None:
        """Wait until the shell has exited. Daemons it started may keep the terminal open for longer."""
        await self._readable(self._exit)

    async def close(self) -> None:
        """Hang up the terminal, and see that the shell ends."""
        if self._writing:
            self._loop.remove_writer(self._master)
        os.close(self._master)
        try:
            await asyncio.wait_for(self.exited(), _GRACE)
        except TimeoutError:
            self._kill()
            await self.exited()
        os.close(self._exit)
        self._process.wait()

    async def _readable(self, descriptor: int) -> None:
        ready = asyncio.Event()
        self._loop.add_reader(descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_reader(descriptor)

    def _write_some(self) -> None:
        try:
            while self._input:
                del self._input[: os.write(self._master, self._input[:4096])]
        except BlockingIOError:
            if not self._writing:
                self._loop.add_writer(self._master, self._write_some)
                self._writing = True
            return
        except OSError:
            # The terminal is gone, and with it whoever could read this.
            self._input.clear()
        if self._writing:
            self._loop.remove_writer(self._master)
            self._writing = False

    def _kill(self) -> None:
        """Kill a shell that ignores the hang-up. The process is nsenter, and the shell its child."""
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        self._process.kill()
