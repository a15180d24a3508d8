# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One attempt to push or to pull: through the engine, and where the engine hides the reason, by asking the registry.

This is where an outcome is decided. ``allowed`` needs the engine's own success; ``denied`` needs the service's own
sentence; everything else is a fault.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Callable, Protocol

from ..ecr.denials import Denial, parse_denial
from ..ecr.names import Repository, is_digest
from ..probe.deadline import Deadline, Task
from ..probe.faults import Fault, Refused, SilentlyRefused
from ..probe.private_place import PrivatePlace, held_alone
from ..registry.client import Login, Pulled, Registry
from ..registry.image import ProbeImage
from ..registry.transport import Transport
from .interface import Engine, Said
from .words import fault_of, no_such_image

MESSAGES = 20
"""How many of a client's last lines are kept."""

_CONTAINERD_HINT = (
    "This client's containerd image store reads the manifest before it pushes, and so needs ecr:BatchGetImage; "
    "a client with the classic image store does not."
)


class LayerCheck(Protocol):
    """The ECR API's way to ask for a layer."""

    def check_layer(self, account: str | None, repository: str, digest: str) -> None:
        """Raise `Refused` if the caller may not ask for layers."""


@dataclass
class Attempt:
    """What came of it; the fields are those of the module's results."""

    action: str
    reference: str
    outcome: str = "error"
    completed: bool = False
    digest: str | None = None
    denial: Denial | None = None
    fault: Fault | None = None
    note: str | None = None
    duration: float = 0.0
    messages: list[str] = field(default_factory=list)
    sent: int | None = None
    received: int | None = None


class Attempts:
    """Attempts of one run, all through one engine."""

    def __init__(
        self,
        engine: Engine,
        repository: Repository,
        place: PrivatePlace,
        deadline: Deadline,
        login: Callable[[], Login],
        api: LayerCheck,
        ca_file: str | None = None,
    ) -> None:
        """:arg login: gives the registry's login when it is needed; raises `Refused` or `Fault`"""
        self._engine = engine
        self._repository = repository
        self._place = place
        self._deadline = deadline
        self._login = login
        self._api = api
        self._ca_file = ca_file

    def push(self, tag: str) -> Attempt:
        """Attempt to push a new image."""
        return self._attempt(Attempt("push", tag), self._push)

    def pull(self, reference: str) -> Attempt:
        """Attempt to pull an image.

        :arg reference: tag or digest
        """
        return self._attempt(Attempt("pull", reference), self._pull)

    def _attempt(self, attempt: Attempt, work: Callable[[Attempt], None]) -> Attempt:
        begin = time.monotonic()
        before = self._engine.moved()
        try:
            try:
                work(attempt)
            except SilentlyRefused as silent:
                self._reason_of(silent)
                raise Fault("refused_without_reason", step=silent.api_action, status=403) from None
            attempt.outcome = "allowed"
        except Refused as refused:
            attempt.outcome, attempt.denial = "denied", refused.denial
        except Fault as fault:
            attempt.fault = fault.known(
                engine=self._engine.name, host=self._repository.registry, step=f"the {attempt.action}"
            )
        after = self._engine.moved()
        if before is not None and after is not None:
            attempt.sent, attempt.received = after[0] - before[0], after[1] - before[1]
        attempt.duration = time.monotonic() - begin
        attempt.messages = attempt.messages[-MESSAGES:]
        return attempt

    def _push(self, attempt: Attempt) -> None:
        image = ProbeImage()
        reference = f"{self._repository}:{attempt.reference}"
        entry = {"engine": self._engine.name, "reference": reference}
        self._place.note(**entry)
        try:
            self._engine.load(image, reference)
            said = self._tell(
                attempt, lambda last: self._engine.push(reference, last), lambda: self._why_no_push(attempt)
            )
            attempt.digest = said.digest
            attempt.completed = True
        finally:
            if self._engine.remove(reference):
                self._place.forget(**entry)

    def _pull(self, attempt: Attempt) -> None:
        if not self._engine.shares_images:
            self._pull_as(attempt, self._named(attempt.reference), keep=False)
            return
        name = self._named(attempt.reference)
        with held_alone(hashlib.sha256(f"{self._engine.name} {name}".encode()).hexdigest()[:16], self._deadline):
            if not self._engine.has(name):
                self._pull_as(attempt, name, keep=False)
                return
            # What stands under this name stays: the image is pulled by its digest, beside it.
            pulled = self._ask(lambda registry: registry.resolve(attempt.reference))
            if pulled.digest is None:
                attempt.completed = False
                return
            name = self._named(pulled.digest)
            self._pull_as(attempt, name, keep=self._engine.has(name))

    def _named(self, reference: str) -> str:
        return f"{self._repository}{'@' if is_digest(reference) else ':'}{reference}"

    def _pull_as(self, attempt: Attempt, name: str, keep: bool) -> None:
        entry = {"engine": self._engine.name, "reference": name}
        if not keep:
            self._place.note(**entry)
        try:
            said = self._tell(attempt, lambda last: self._engine.pull(name, last), lambda: self._why_no_pull(attempt))
            if not said.succeeded:  # there is no such image, but the registry let the client look
                return
            attempt.digest = said.digest
            attempt.completed = True
            if not said.downloaded:
                self._prove_download(attempt)
        finally:
            if not keep and self._engine.remove(name):
                self._place.forget(**entry)

    def _tell(self, attempt: Attempt, act: Callable[[bool], Said], ask: Callable[[], None]) -> Said:
        """Have the engine act, and find out what its words mean.

        A refusal without a reason that the registry itself does not confirm may have been a passing failure: the
        engine gets a second chance.
        """
        for last_time in (False, True):
            said = act(last_time)
            attempt.messages += said.lines
            if said.succeeded:
                return said
            denial = parse_denial(said.text)
            if denial:
                self._hint(attempt, denial)
                raise Refused(denial)
            if attempt.action == "pull" and no_such_image(said.text):
                attempt.note = "There is no such image in the repository; the registry let the client look for it."
                return said
            if said.late:
                raise self._deadline.timed_out(f"The {attempt.action} by {self._engine.name}")
            if said.died:
                raise Fault("engine_died", engine=self._engine.name)
            if not said.hidden:
                break
            ask()
            if last_time:
                raise Fault("refusal_unconfirmed", engine=self._engine.name, host=self._repository.registry)
        raise fault_of(said.text, self._engine.name, self._repository.registry, f"the {attempt.action}")

    def _hint(self, attempt: Attempt, denial: Denial) -> None:
        reads = self._engine.facts.image_store == "containerd"
        if attempt.action == "push" and reads and denial.api_action == "ecr:BatchGetImage":
            attempt.note = _CONTAINERD_HINT

    def _ask(self, question: Callable[[Registry], Pulled | None]) -> Pulled:
        """Ask the registry itself, with the same login."""
        transport = Transport(self._deadline, self._ca_file)
        registry = Registry(self._repository.registry, self._repository.name, self._login(), transport)
        try:
            return Task(lambda: question(registry), "The registry", self._deadline).result() or Pulled(None, False)
        finally:
            transport.close()

    def _why_no_push(self, attempt: Attempt) -> None:
        """Ask the registry what it refused.

        :raises Refused: with the reason
        """
        tag = attempt.reference
        order = self._engine.push_order
        try:
            try:
                self._ask(lambda registry: registry.ask_push(tag, order))
            except SilentlyRefused as silent:
                self._reason_of(silent)
                # The API cannot say or allows it; perhaps another request of the push has a reason to give.
                self._ask(lambda registry: registry.ask_push(tag, [kind for kind in order if kind != "blob"]))
                raise
        except Refused as refused:
            self._hint(attempt, refused.denial)
            attempt.messages.append(f"The registry, asked itself: {refused.denial.message}")
            raise

    def _reason_of(self, silent: SilentlyRefused) -> None:
        digest = "sha256:" + hashlib.sha256(b"").hexdigest()
        try:
            self._api.check_layer(self._repository.account, self._repository.name, digest)
        except Fault:
            return  # the ECR API cannot be asked: the other requests may still say why

    def _why_no_pull(self, attempt: Attempt) -> None:
        try:
            self._ask(lambda registry: registry.pull(attempt.reference))
        except Refused as refused:
            attempt.messages.append(f"The registry, asked itself: {refused.denial.message}")
            raise

    def _prove_download(self, attempt: Attempt) -> None:
        """The engine had every layer already and fetched none, which proves nothing: fetch one from the registry."""
        self._ask(lambda registry: registry.pull(attempt.reference))
        attempt.note = f"{self._engine.name} had the layers already; that they may be downloaded was tried without it."
