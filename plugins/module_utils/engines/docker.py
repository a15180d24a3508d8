# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker Engine, by its command ``docker``."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from ..ecr.names import Repository
from ..probe.deadline import Deadline
from ..probe.faults import Fault
from ..probe.private_place import PrivatePlace
from ..registry.client import Login
from ..registry.image import ProbeImage
from .interface import EngineFacts, ProgramEngine, Said

_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64}) size: \d+")
_PULLED = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)
_DOWNLOADED = re.compile(r"Pull complete|Download complete")
_CONTAINERD = "io.containerd.snapshotter"


class DockerEngine(ProgramEngine):
    """Docker Engine, with a configuration directory of this run's own."""

    name = "docker"
    program = "docker"

    def __init__(self, repository: Repository, place: PrivatePlace, deadline: Deadline) -> None:
        super().__init__(repository, place, deadline)
        self._config = os.path.join(self.home, ".docker")
        os.mkdir(self._config, 0o700)
        # With an entry in "auths", the client does not look for a credential store of the host's to use.
        place.write(os.path.join(self._config, "config.json"), json.dumps({"auths": {repository.registry: {}}}))

    def environment(self) -> dict[str, str]:
        made = {**super().environment(), "DOCKER_CLI_HINTS": "false"}
        return made if self.host_login else {**made, "DOCKER_CONFIG": self._config}

    def start(self) -> EngineFacts:
        ran = self.call("info", "--format", "{{json .}}")
        if ran.late:
            raise Fault("engine_not_running", engine=self.name)
        told = _first_object(ran.lines)
        problems = [str(problem) for problem in told.get("ServerErrors") or []]
        if ran.code != 0 or problems or not told.get("ServerVersion"):
            raise self.fault("\n".join(problems) or ran.text, "docker info")
        status = json.dumps(told.get("DriverStatus") or [])
        store = "containerd" if _CONTAINERD in status else "classic"
        self.facts = EngineFacts(self.name, str(told["ServerVersion"]), store)
        return self.facts

    def alive(self) -> bool:
        ran = self.call("version", "--format", "{{.Server.Version}}")
        return ran.code == 0 and not ran.late

    def log_in(self, login: Login) -> None:
        ran = self.call(
            "login", "--username", login.user, "--password-stdin", self.repository.registry,
            stdin=login.password.encode(), patience=self.deadline.seconds / 4,
        )  # fmt: skip
        self.judge_login(ran, login)

    def load(self, image: ProbeImage, reference: str) -> None:
        ran = self.call("load", "--quiet", stdin=image.archive(reference))
        if ran.late:
            raise self.deadline.timed_out("docker load")
        if ran.code != 0:
            raise self.fault(ran.text, "docker load")

    def push(self, reference: str, patiently: bool = False) -> Said:
        ran = self.act("push", reference, patiently=patiently)
        found = _PUSHED.search(ran.text)
        return self.said(ran, done=found is not None, digest=found.group(1) if found else None)

    def pull(self, reference: str, patiently: bool = False) -> Said:
        ran = self.act("pull", reference, patiently=patiently)
        found = _PULLED.search(ran.text)
        return self.said(ran, digest=found.group(1) if found else None, downloaded=bool(_DOWNLOADED.search(ran.text)))

    @property
    def push_order(self) -> list[str]:
        if self.facts.image_store == "containerd":
            return ["read", "blob", "uploads", "upload", "manifest"]
        return ["uploads", "upload", "blob", "manifest"]

    def has(self, reference: str) -> bool:
        ran = self.call("image", "inspect", "--format", "{{.Id}}", reference)
        return ran.code == 0

    def remove(self, reference: str) -> bool:
        ran = self.call("image", "rm", reference, deadline=self.cleaning())
        return not ran.late and (ran.code == 0 or "No such image" in ran.text)


def _first_object(lines: list[str]) -> dict[str, Any]:
    for line in lines:
        if line.startswith("{"):
            try:
                return dict(json.loads(line))
            except ValueError:
                continue
    return {}
