# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every engine does for the probe, each in its own program's way."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import NamedTuple

from ..ecr.names import Repository
from ..probe.deadline import Deadline, Task
from ..probe.faults import Fault
from ..probe.private_place import PrivatePlace
from ..probe.program import Ran, environment, run
from ..registry.client import Login, Registry
from ..registry.image import ProbeImage
from ..registry.transport import Transport
from .words import fault_of

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_HIDES = re.compile(
    r"Retrying in \d+|\bEOF\b|unexpected end of JSON|connection reset by peer|broken pipe"
    r"|use of closed network connection"
    r"|toomanyrequests|too many requests|unexpected HTTP status: 5\d\d|failed with status: \d+"
    r"|\b403\b(?!.*(?:authorized|expired))|[Ff]orbidden",
)
"""Words that give no reason, or one that may have passed: a drop, an empty refusal, a retry."""


_DAEMON_DIED = re.compile(r"error during connect|unexpected EOF|error reading from server: EOF|transport is closing")


class EngineFacts(NamedTuple):
    """What attempted.

    :ivar name: ``docker``, ``podman``, ``nerdctl`` or ``registry``
    :ivar version: its version, as it says it
    :ivar image_store: ``classic`` or ``containerd``
    """

    name: str
    version: str | None
    image_store: str


@dataclass(frozen=True)
class Said:
    """How a client ended.

    :ivar succeeded: whether it says that it did what it was told
    :ivar lines: its own words
    :ivar digest: digest that it named
    :ivar downloaded: whether it says that it fetched at least one layer
    :ivar hidden: whether it was refused, or so it seems, without saying why
    :ivar late: whether it was stopped because the time was over
    :ivar died: whether it, or the daemon it speaks to, was killed
    """

    succeeded: bool
    lines: list[str]
    digest: str | None = None
    downloaded: bool = False
    hidden: bool = False
    late: bool = False
    died: bool = False

    @property
    def text(self) -> str:
        """Its own words, whole."""
        return "\n".join(self.lines)


class Engine:
    """One engine, with the login of one run.

    Subclasses say which program to run, how it is called, and how its words are read.
    """

    name = ""

    def __init__(self, repository: Repository, place: PrivatePlace, deadline: Deadline) -> None:
        self.repository = repository
        self.place = place
        self.deadline = deadline
        self.facts = EngineFacts(self.name, None, "classic")

    def start(self) -> EngineFacts:
        """Look whether the engine is there and answers.

        :raises Fault: ``engine_missing``, ``engine_not_running``, ``engine_not_permitted``
        """
        raise NotImplementedError

    def log_in(self, login: Login) -> None:
        """Log in, in the private place.

        :raises Fault: whatever kept it from that
        """
        raise NotImplementedError

    def load(self, image: ProbeImage, reference: str) -> None:
        """Put the image into the engine.

        :raises Fault: whatever kept it from that
        """
        raise NotImplementedError

    def push(self, reference: str, patiently: bool = False) -> Said:
        """Push what was loaded.

        :arg patiently: also when nothing is heard for a long time
        """
        raise NotImplementedError

    def pull(self, reference: str, patiently: bool = False) -> Said:
        """Pull an image.

        :arg patiently: also when nothing is heard for a long time
        """
        raise NotImplementedError

    def has(self, reference: str) -> bool:
        """Whether the engine has an image of this name."""
        raise NotImplementedError

    def remove(self, reference: str) -> bool:
        """Take the name, and with its last name the image, away. True when it is gone."""
        raise NotImplementedError

    def close(self) -> None:
        """Put an end to what the engine keeps for this run."""

    def moved(self) -> tuple[int, int] | None:
        """Bytes of content sent and received so far; None where the engine does not tell."""
        return None

    @property
    def push_order(self) -> list[str]:
        """Kinds of requests in the order in which this engine's push makes them, see `Registry.ask_push`."""
        return ["uploads", "upload", "blob", "manifest"]

    @property
    def shares_images(self) -> bool:
        """Whether others on this host see the images that this run loads and pulls."""
        return True


class ProgramEngine(Engine):
    """An engine that is a program of this host's."""

    program = ""

    def __init__(self, repository: Repository, place: PrivatePlace, deadline: Deadline) -> None:
        super().__init__(repository, place, deadline)
        self.home = place.make_directory(f"{self.name}-home")
        self.host_login = False

    def environment(self) -> dict[str, str]:
        """What the program finds around it: a home of its own and no credentials, or the host's as they are."""
        return dict(os.environ) if self.host_login else environment(self.home)

    def use_host_login(self) -> None:
        """Use the login and the credential helpers that the user of this host has, instead of one of our own."""
        self.host_login = True

    def arguments(self) -> list[str]:
        """Options that every call begins with."""
        return []

    def alive(self) -> bool:
        """Whether the daemon behind the program still answers."""
        return True

    def judge_login(self, ran: Ran, login: Login) -> None:
        """Take a login for what it is; where the client does not say what is wrong, ask the registry.

        :raises Fault: if it did not succeed
        """
        if ran.code == 0 and not ran.silent and not ran.late:
            return
        step = f"The login by {self.name}"
        if ran.late:
            raise self.deadline.timed_out(step)
        if ran.silent or hides(ran.text):
            transport = Transport(self.deadline)
            registry = Registry(self.repository.registry, self.repository.name, login, transport)
            try:
                Task(registry.ping, step, self.deadline).result()
            finally:
                transport.close()
        raise self.fault(ran.text, step)

    def fault(self, text: str, step: str) -> Fault:
        """The fault that the program's words tell of."""
        return fault_of(text, self.name, self.repository.registry, step).known(user=user_name())

    def said(self, ran: Ran, done: bool = True, digest: str | None = None, downloaded: bool = False) -> Said:
        """What a push or a pull came to.

        :arg done: whether its words, too, say that it was done
        """
        stopped = ran.stopped or ran.silent
        succeeded = done and ran.code == 0 and not stopped and not ran.late
        return Said(
            succeeded,
            ran.lines,
            digest=digest,
            downloaded=downloaded,
            hidden=stopped or (not succeeded and hides(ran.text)),
            late=ran.late,
            died=not ran.silent and not ran.late and self._died(ran),
        )

    def _died(self, ran: Ran) -> bool:
        if ran.code < 0 and not ran.stopped:
            return True
        return bool(_DAEMON_DIED.search(ran.text)) and not self.alive()

    def cleaning(self) -> Deadline:
        """Taking away may go on a little after the time is over, and no longer."""
        return Deadline(max(min(self.deadline.remaining(), 10.0), 0.5))

    def act(self, *arguments: str, patiently: bool) -> Ran:
        """Run the program to push or pull, and stop it when it hides a reason.

        :arg patiently: however long it says nothing
        """
        return self.call(*arguments, stop_at_hidden=True, patience=None if patiently else self.deadline.seconds / 4)

    def call(
        self,
        *arguments: str,
        stdin: bytes = b"",
        stop_at_hidden: bool = False,
        deadline: Deadline | None = None,
        patience: float | None = None,
    ) -> Ran:
        """Run the program.

        :raises Fault: ``engine_missing``
        """
        found = find_program(self.program)
        if found is None:
            raise Fault("engine_missing", engine=self.name)
        stop = _HIDES.search if stop_at_hidden else None
        try:
            return run(
                [found, *self.arguments(), *arguments],
                self.environment(),
                deadline or self.deadline,
                stdin,
                (lambda line: bool(stop(line))) if stop else None,
                patience,
            )
        except OSError as error:
            raise Fault("unexpected", engine=self.name, detail=error.strerror or error) from error


def find_program(name: str) -> str | None:
    """Where a program is, also when the PATH at hand lacks the usual places."""
    return shutil.which(name) or shutil.which(name, path=_PATH)


def user_name() -> str:
    """Who we are, for sentences."""
    return os.environ.get("USER") or f"with uid {os.geteuid()}"


def hides(text: str) -> bool:
    """Whether these words of a client's leave open who refused and why."""
    return bool(_HIDES.search(text))
