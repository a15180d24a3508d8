# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A private place for what a probe must not leave lying about, cleaned up after a probe that was killed.

Below one directory of the user's own (mode 0700) every run has a directory of its own, locked while the run lives. In
it are the client's login and a journal of what was put into the engine. The lock of a killed run is free, so the next
run sees that it is dead, takes away what its journal names, and then its directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from typing import Callable, Iterator

from .deadline import Deadline
from .faults import Fault

_LOCK = "lock"
_JOURNAL = "journal.json"
_PAUSE = 0.05
_BEGINNING = 5.0
"""Seconds within which a run has locked the directory that it made."""


def base_directory() -> str:
    """Where this user's probes have their places; on memory, not on disk, where there is such a place."""
    user = os.geteuid()
    if user == 0:
        return "/run/policyproof-probe" if os.path.isdir("/run") else "/var/tmp/policyproof-probe"
    own = os.environ.get("XDG_RUNTIME_DIR")
    if own and os.path.isdir(own) and os.stat(own).st_uid == user:
        return os.path.join(own, "policyproof-probe")
    return os.path.join(tempfile.gettempdir(), f"policyproof-probe-{user}")


class PrivatePlace:
    """One run's place.

    :ivar path: its directory
    """

    def __init__(self, base: str | None = None) -> None:
        """:raises Fault: ``private_place``"""
        self._base = base or base_directory()
        self._journal: list[dict[str, str]] = []
        try:
            self.path, self._lock = self._make()
        except OSError as error:
            raise Fault("private_place", detail=f"{self._base}: {error.strerror or error}") from error

    def _make(self) -> tuple[str, int]:
        for _attempt in range(10):
            _own_directory(self._base)
            try:
                path = tempfile.mkdtemp(prefix="run-", dir=self._base)
                lock = os.open(os.path.join(path, _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (FileNotFoundError, BlockingIOError):
                continue  # another run ended just now and took the base, or this, for left over
            if os.path.exists(os.path.join(path, _LOCK)):
                return path, lock
            os.close(lock)
        raise OSError("it vanishes again and again")

    def make_directory(self, name: str) -> str:
        """A directory in the place.

        :raises Fault: ``disk_full``, ``private_place``
        """
        path = os.path.join(self.path, name)
        with self._faults():
            os.mkdir(path, 0o700)
        return path

    def write(self, name: str, content: str) -> None:
        """A file in the place.

        :arg name: path below the place
        :raises Fault: ``disk_full``, ``private_place``
        """
        path = os.path.join(self.path, name)
        with self._faults(), open(path + ".new", "w", encoding="utf-8") as opened:
            opened.write(content)
        os.replace(path + ".new", path)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise Fault("disk_full", detail=self.path) from error
            raise Fault("private_place", detail=f"{self.path}: {error.strerror or error}") from error

    def note(self, **entry: str) -> None:
        """Write down, before it is done, what will have to be taken away."""
        self._journal.append(entry)
        self._write()

    def forget(self, **entry: str) -> None:
        """It has been taken away."""
        self._journal.remove(entry)
        self._write()

    def _write(self) -> None:
        self.write(_JOURNAL, json.dumps(self._journal))

    def remove(self) -> None:
        """Take the place away; but while its journal names something, leave that to the next run."""
        if self._journal:
            for name in os.listdir(self.path):
                if name not in (_LOCK, _JOURNAL):
                    _delete(os.path.join(self.path, name))
        else:
            _delete(self.path)
        os.close(self._lock)
        with contextlib.suppress(OSError):
            os.rmdir(self._base)

    def clean_after_the_dead(self, take_away: Callable[[dict[str, str]], bool]) -> None:
        """Remove what killed runs have left.

        :arg take_away: given an entry of a journal; True when it is gone
        """
        for name in sorted(os.listdir(self._base)):
            path = os.path.join(self._base, name)
            if path == self.path or not name.startswith("run-"):
                continue
            with _dead(path) as dead:
                if dead:
                    gone = [take_away(entry) for entry in _read(path)]
                    if all(gone):
                        _delete(path)


def _own_directory(path: str) -> None:
    """Make the directory, or see that it is ours alone: nobody else may prepare it for us."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise OSError("it is not a directory of this user's own with mode 0700")


@contextlib.contextmanager
def _dead(path: str) -> Iterator[bool]:
    """Whether the run whose directory this is has ended; it is held meanwhile."""
    try:
        lock = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield _is_old(path)  # just being made, or killed between its directory and its lock
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        yield free
    finally:
        os.close(lock)


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > _BEGINNING
    except OSError:
        return False


def _read(path: str) -> list[dict[str, str]]:
    try:
        with open(os.path.join(path, _JOURNAL), encoding="utf-8") as journal:
            return [dict(entry) for entry in json.load(journal)]
    except (OSError, ValueError, TypeError):
        return []


def _delete(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def held_alone(name: str, deadline: Deadline, base: str | None = None) -> Iterator[None]:
    """Be the only run that does something with ``name`` (a file name) meanwhile.

    :raises Fault: ``timed_out``
    """
    path = os.path.join(base or base_directory(), f"only-{name}")
    while True:
        deadline.keep("Waiting for another probe of the same image on this host")
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(path, lock):
                break
        except BlockingIOError:
            time.sleep(_PAUSE)
        os.close(lock)
    try:
        yield
    finally:
        os.unlink(path)
        os.close(lock)


def _is(path: str, descriptor: int) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
