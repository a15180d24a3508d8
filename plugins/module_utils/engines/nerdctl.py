# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""containerd by nerdctl, in a containerd namespace of this run's own."""

from __future__ import annotations

import json
import os
import re

from ..ecr.names import Repository
from ..probe.deadline import Deadline
from ..probe.faults import Fault
from ..probe.private_place import PrivatePlace
from ..registry.client import Login
from ..registry.image import ProbeImage
from .interface import EngineFacts, ProgramEngine, Said

_VERSION = re.compile(r"version v?(\S+)")
_DOWNLOADED = re.compile(r"layer-sha256:\S+:\s*(?:done|downloading)")


class NerdctlEngine(ProgramEngine):
    """nerdctl. Its image store is containerd's, which reads the manifest before it pushes."""

    name = "nerdctl"
    program = "nerdctl"

    def __init__(self, repository: Repository, place: PrivatePlace, deadline: Deadline) -> None:
        super().__init__(repository, place, deadline)
        self._config = os.path.join(self.home, ".docker")
        os.mkdir(self._config, 0o700)
        place.write(os.path.join(self._config, "config.json"), json.dumps({"auths": {repository.registry: {}}}))
        self._namespace = "policyproof-" + os.path.basename(place.path).lower().replace("_", "-")

    def environment(self) -> dict[str, str]:
        made = {**super().environment(), "TMPDIR": self.home}
        return made if self.host_login else {**made, "DOCKER_CONFIG": self._config}

    def arguments(self) -> list[str]:
        return [f"--namespace={self._namespace}"]

    def start(self) -> EngineFacts:
        ran = self.call("--version")
        found = _VERSION.search(ran.text)
        if ran.code != 0 or not found:
            raise self.fault(ran.text, "nerdctl --version")
        self.facts = EngineFacts(self.name, found.group(1), "containerd")
        answers = self.call("images", "--quiet")
        if answers.late:
            raise Fault("engine_not_running", engine=self.name)
        if answers.code != 0:
            raise self.fault(answers.text, "nerdctl images")
        return self.facts

    def alive(self) -> bool:
        ran = self.call("images", "--quiet")
        return ran.code == 0 and not ran.late

    def log_in(self, login: Login) -> None:
        ran = self.call(
            "login", "--username", login.user, "--password-stdin", self.repository.registry,
            stdin=login.password.encode(), patience=self.deadline.seconds / 4,
        )  # fmt: skip
        self.judge_login(ran, login)

    def load(self, image: ProbeImage, reference: str) -> None:
        ran = self.call("load", stdin=image.archive(reference))
        if ran.late:
            raise self.deadline.timed_out("nerdctl load")
        if ran.code != 0:
            raise self.fault(ran.text, "nerdctl load")

    def push(self, reference: str, patiently: bool = False) -> Said:
        ran = self.act("push", reference, patiently=patiently)
        return self.said(ran, digest=self._digest_of(reference) if ran.code == 0 and not ran.stopped else None)

    def pull(self, reference: str, patiently: bool = False) -> Said:
        ran = self.act("pull", reference, patiently=patiently)
        digest = self._digest_of(reference) if ran.code == 0 and not ran.stopped else None
        return self.said(ran, digest=digest, downloaded=bool(_DOWNLOADED.search(ran.text)))

    def has(self, reference: str) -> bool:
        return self.call("image", "inspect", reference).code == 0

    def remove(self, reference: str) -> bool:
        deadline = self.cleaning()
        ran = self.call("rmi", "--force", reference, deadline=deadline)
        gone = not ran.late and (ran.code == 0 or "no such image" in ran.text.lower())
        emptied = self.call("namespace", "remove", self._namespace, deadline=deadline)
        return gone and not emptied.late

    @property
    def push_order(self) -> list[str]:
        return ["read", "blob", "uploads", "upload", "manifest"]

    @property
    def shares_images(self) -> bool:
        return False

    def _digest_of(self, reference: str) -> str | None:
        ran = self.call("image", "inspect", "--mode=native", "--format", "{{.Image.Target.Digest}}", reference)
        return ran.text.strip() if ran.code == 0 and ran.text.strip().startswith("sha256:") else None
