# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's state directory: who serves it, what it says of itself, and its removal."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TextIO

HEALTH_PATH = "/_policyproof/lab"


class LabState:
    """One state directory, seen from outside the serving process and from within.

    The serving process holds a lock on ``lab.lock`` for as long as it lives, whichever way it ends; its process id is
    the file's text. So nobody mistakes an old number for a live lab.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "lab.log"
        self._description = path / "lab.json"
        self._lock = path / "lab.lock"

    def prepare(self) -> None:
        """Make the directory, for its owner only, without what an earlier lab left but its log."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for left in self.path.iterdir():
            if left != self.log:
                _remove(left)

    def lock(self) -> TextIO | None:
        """Take the lock for this process. None where another holds it. Keep what is returned open."""
        file = self._lock.open("a+", encoding="ascii")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def pid(self) -> int | None:
        """Process id of the serving process, None where there is none."""
        try:
            with self._lock.open("r+", encoding="ascii") as file:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return int(file.read())
        except (FileNotFoundError, ValueError):
            return None
        return None

    def describe(self, description: dict[str, str]) -> None:
        """Say where the lab listens, in a file for its owner only; whole or not at all."""
        partial = self.path / "lab.json.partial"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(description, file, indent=2)
        partial.replace(self._description)

    def answering(self) -> dict[str, str] | None:
        """What the lab said of itself, if it answers within two seconds and is the one that said it."""
        if self.pid() is None:
            return None
        try:
            description: dict[str, str] = json.loads(self._description.read_text(encoding="utf-8"))
            with urllib.request.urlopen(description["aws_endpoint"] + HEALTH_PATH, timeout=2) as answer:
                healthy = json.load(answer) == {"lab": description["lab"]}
        except (OSError, ValueError, KeyError, urllib.error.URLError):
            return None
        return description if healthy else None

    def wait_until_answering(self, timeout: float) -> dict[str, str] | None:
        """The same, waited for. ``timeout`` in seconds. Stops early where the process has ended."""
        deadline = time.monotonic() + timeout
        # The process takes the lock a moment after it was started: until then "no process" is no news.
        newborn_until = time.monotonic() + 10
        while time.monotonic() < deadline:
            description = self.answering()
            if description is not None:
                return description
            if self.pid() is None and (time.monotonic() > newborn_until or self._failed()):
                return None
            time.sleep(0.05)
        return None

    def _failed(self) -> bool:
        return (self.path / "lab.failed").exists()

    def fail(self, sentence: str) -> None:
        """Leave word of why the lab could not start."""
        (self.path / "lab.failed").write_text(sentence, encoding="utf-8")

    def last_words(self) -> str:
        """Why the lab did not start: the sentence it left, else the log's last line."""
        try:
            return (self.path / "lab.failed").read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return lines[-1] if lines else "It left no word."

    def end_process(self, timeout: float) -> bool:
        """End the serving process, if there is one: asked first, then killed. False where it is still there."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid()
            if pid is None:
                return True
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return True
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                if self.pid() is None and not _runs(pid):
                    return True
                time.sleep(0.05)
        return False

    def remove(self) -> None:
        """Remove the directory and everything in it."""
        if self.path.exists():
            _remove(self.path)


def _remove(path: Path) -> None:
    """Remove a file or a tree. An instance's disk may hold a place that a dying sandbox is just leaving: try again.

    Raises OSError where something is mounted below: what is mounted there is not ours to remove.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    mounted = _mounts_below(path)
    if mounted:
        raise OSError(f"{mounted[0]} is still mounted: unmount it, then try again.")
    for attempt in range(20):
        try:
            shutil.rmtree(path)
            return
        except OSError:
            if attempt == 19:
                raise
            time.sleep(0.1)


def _runs(pid: int) -> bool:
    """Whether a process has anything left but its exit status (proc(5): state Z, or X)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def _mounts_below(path: Path) -> list[str]:
    """Mount points at or below ``path`` in this process's mount namespace (proc(5), mountinfo, field 5)."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return [point for point in points if Path(point).is_relative_to(path.resolve())]
