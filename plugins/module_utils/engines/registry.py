# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No engine at all: a push and a pull over the Registry HTTP API V2, for hosts that have no container engine."""

from __future__ import annotations

from ..ecr.names import Repository
from ..probe.deadline import Deadline, Task
from ..probe.faults import Fault
from ..probe.private_place import PrivatePlace
from ..registry.client import Login, Registry
from ..registry.image import ProbeImage
from ..registry.transport import Transport
from .interface import Engine, EngineFacts, Said


class RegistryEngine(Engine):
    """The registry client of this collection in the place of an engine.

    Its push and pull raise what the registry's answers mean; nothing is read from words.
    """

    name = "registry"

    def __init__(
        self, repository: Repository, place: PrivatePlace, deadline: Deadline, ca_file: str | None = None
    ) -> None:
        super().__init__(repository, place, deadline)
        self.transport = Transport(deadline, ca_file)
        self._registry: Registry | None = None
        self._loaded: dict[str, ProbeImage] = {}

    def start(self) -> EngineFacts:
        return self.facts

    def log_in(self, login: Login) -> None:
        self._registry = Registry(self.repository.registry, self.repository.name, login, self.transport)

    def load(self, image: ProbeImage, reference: str) -> None:
        self._loaded[reference] = image

    def push(self, reference: str, patiently: bool = False) -> Said:
        registry, image = self._ready(), self._loaded[reference]
        tag = reference[len(f"{self.repository}:") :]
        digest = Task(lambda: registry.push(image, tag), "The push", self.deadline).result()
        return Said(True, [f"{tag}: digest: {digest}"], digest=digest)

    def pull(self, reference: str, patiently: bool = False) -> Said:
        registry = self._ready()
        wanted = reference[len(str(self.repository)) + 1 :]
        pulled = Task(lambda: registry.pull(wanted), "The pull", self.deadline).result()
        if not pulled.completed:
            return Said(False, ["manifest unknown"])
        return Said(True, [f"{wanted}: digest: {pulled.digest}"], digest=pulled.digest, downloaded=True)

    def close(self) -> None:
        self.transport.close()

    def has(self, reference: str) -> bool:
        return reference in self._loaded

    def remove(self, reference: str) -> bool:
        self._loaded.pop(reference, None)
        return True

    def moved(self) -> tuple[int, int]:
        return self.transport.sent, self.transport.received

    @property
    def shares_images(self) -> bool:
        return False

    def _ready(self) -> Registry:
        if self._registry is None:
            raise Fault("not_logged_in", detail="there was no login")
        return self._registry
