# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Podman, with an image store of this run's own: nothing is there already, and nothing of the host's is touched."""

from __future__ import annotations

import os
import re
import shutil

from ..ecr.names import Repository
from ..probe.deadline import Deadline
from ..probe.private_place import PrivatePlace
from ..registry.client import Login
from ..registry.image import ProbeImage
from .interface import EngineFacts, ProgramEngine, Said

_VERSION = re.compile(r"version (\S+)")
_SHARED = "/var/lib/containers"


class PodmanEngine(ProgramEngine):
    """Podman; rootless where the user is not root."""

    name = "podman"
    program = "podman"

    def __init__(self, repository: Repository, place: PrivatePlace, deadline: Deadline) -> None:
        super().__init__(repository, place, deadline)
        self._login_file = os.path.join(self.home, "auth.json")
        self._digest_file = os.path.join(self.home, "digest")
        self._store = os.path.join(self.home, "store")
        self._run = os.path.join(place.path, "r")  # Podman takes no more than 50 characters
        self._had_shared = os.path.exists(_SHARED)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "TMPDIR": self.home}

    def arguments(self) -> list[str]:
        return [
            f"--root={self._store}/root",
            f"--runroot={self._run}",
            f"--tmpdir={self._store}/tmp",
            # No mounts, so that deleting the directory deletes everything; and it works on every file system.
            "--storage-driver=vfs",
            "--events-backend=none",
        ]

    def start(self) -> EngineFacts:
        ran = self.call("--version")
        found = _VERSION.search(ran.text)
        if ran.code != 0 or not found:
            raise self.fault(ran.text, "podman --version")
        self.facts = EngineFacts(self.name, found.group(1), "classic")
        return self.facts

    def log_in(self, login: Login) -> None:
        ran = self.call(
            "login", f"--authfile={self._login_file}", "--username", login.user, "--password-stdin",
            self.repository.registry, stdin=login.password.encode(), patience=self.deadline.seconds / 4,
        )  # fmt: skip
        self.judge_login(ran, login)

    def load(self, image: ProbeImage, reference: str) -> None:
        archive = os.path.join(self.home, "image.tar")
        with open(archive, "wb") as opened:
            opened.write(image.archive(reference))
        ran = self.call("load", "--quiet", f"--input={archive}")
        os.unlink(archive)
        if ran.late:
            raise self.deadline.timed_out("podman load")
        if ran.code != 0:
            raise self.fault(ran.text, "podman load")

    def push(self, reference: str, patiently: bool = False) -> Said:
        ran = self.act("push", *self._logged_in(), f"--digestfile={self._digest_file}", reference, patiently=patiently)
        return self.said(ran, digest=self._read_digest() if ran.code == 0 else None)

    def pull(self, reference: str, patiently: bool = False) -> Said:
        ran = self.act("pull", *self._logged_in(), reference, patiently=patiently)
        digest = self._digest_of(reference) if ran.code == 0 and not ran.stopped else None
        return self.said(ran, digest=digest, downloaded=True)  # the store was empty

    def has(self, reference: str) -> bool:
        return self.call("image", "exists", reference).code == 0

    def close(self) -> None:
        self.remove("")

    def remove(self, reference: str) -> bool:
        """The store goes with the private place; here it is emptied, so that a pull after a push fetches the layers."""
        if os.geteuid() != 0 and os.path.exists(self._store):
            # Files of other users' inside an image belong to subordinate ids, which only Podman may delete.
            self.call("unshare", "rm", "-rf", self._store, self._run)
        for directory in (self._store, self._run):
            shutil.rmtree(directory, ignore_errors=True)
        if not self._had_shared and os.geteuid() == 0:
            # Podman's cache of where blobs are, which has no option to be elsewhere.
            shutil.rmtree(_SHARED, ignore_errors=True)
        return True

    @property
    def push_order(self) -> list[str]:
        return ["blob", "uploads", "upload", "manifest"]

    @property
    def shares_images(self) -> bool:
        return False

    def _logged_in(self) -> list[str]:
        return [] if self.host_login else [f"--authfile={self._login_file}"]

    def _read_digest(self) -> str | None:
        try:
            with open(self._digest_file, encoding="ascii") as opened:
                return opened.read().strip() or None
        except OSError:
            return None

    def _digest_of(self, reference: str) -> str | None:
        ran = self.call("image", "inspect", "--format", "{{.Digest}}", reference)
        return ran.text.strip() if ran.code == 0 else None
