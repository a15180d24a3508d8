# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An instance's disk: what it changed of this machine's file system, and its container stores."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from .image import Directory, Entry, File, Hidden

# Engines put overlay mounts on these, and overlayfs does not lie on overlayfs: they stay plain directories.
STORES = ("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers")

# How often to try to remove what is in use. Two tenths of a second lie between.
_REMOVALS = 10


class Disk:
    """The directory that keeps one instance's disk.

    :ivar upper: what the instance changed
    :ivar work: overlayfs's working directory
    :ivar root: where the instance's file system is mounted, in the instance's own mount namespace
    :ivar stores: directories outside, by path inside
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.upper = directory / "upper"
        self.work = directory / "work"
        self.root = directory / "root"
        self.stores = {inside: directory / "stores" / inside.rsplit("/", 1)[-1] for inside in STORES}

    def create(self, entries: Iterable[Entry]) -> None:
        """Make the disk and write the entries. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True)
        for path in (self.upper, self.work, self.root, *self.stores.values()):
            path.mkdir(parents=True)
            # Whatever the lab's umask: the first of these is the instance's root directory.
            path.chmod(0o755)
        for entry in entries:
            self._write(entry)

    def remove(self) -> None:
        """Remove the disk and all that is on it. Raises OSError. To be called when nothing uses it any more."""
        remove_tree(self.directory)

    def _write(self, entry: Entry) -> None:
        place = self._place(entry.path)
        if isinstance(entry, Hidden):
            # overlayfs: a character device 0:0 stands for something that is not there.
            os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))
            return
        if isinstance(entry, Directory):
            place.mkdir(exist_ok=True)
        elif isinstance(entry, File):
            place.write_text(entry.content, encoding="utf-8", errors="surrogateescape")
        os.chown(place, entry.uid, entry.gid)
        place.chmod(entry.mode)

    def _place(self, path: str) -> Path:
        """Where in ``upper`` a path of the instance is, with the directories above it.

        These take the place of this machine's, so they get the same owner and mode. This machine's symbolic links
        above it (/lib, often) are followed: a directory in the place of one would hide all behind it.
        """
        above, name = os.path.split(path)
        place = self.upper
        for part in Path(os.path.realpath(above)).relative_to("/").parts:
            place = place / part
            if not place.exists():
                place.mkdir()
                self._take_after(place)
        return place / name

    def _take_after(self, place: Path) -> None:
        original = Path("/") / place.relative_to(self.upper)
        if original.exists():
            status = original.stat()
            os.chown(place, status.st_uid, status.st_gid)
            place.chmod(stat.S_IMODE(status.st_mode))


def remove_tree(directory: Path) -> None:
    """Remove a directory and all in it, if it is there. Raises OSError.

    Tries again where something appeared meanwhile: the processes of a lab that was killed end a moment after it.
    """
    for attempt in range(_REMOVALS):
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            if not directory.exists():
                return
        except OSError:
            if attempt == _REMOVALS - 1:
                raise
        else:
            return
        time.sleep(0.2)
