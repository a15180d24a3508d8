# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which engine attempts."""

from __future__ import annotations

import os

from ..ecr.names import Repository
from ..probe.deadline import Deadline
from ..probe.private_place import PrivatePlace
from .docker import DockerEngine
from .interface import Engine, ProgramEngine, find_program
from .nerdctl import NerdctlEngine
from .podman import PodmanEngine
from .registry import RegistryEngine

ENGINES = ("docker", "podman", "nerdctl", "registry")
"""Every engine, in the order in which ``auto`` prefers them."""


_PROGRAMS: dict[str, type[ProgramEngine]] = {
    "docker": DockerEngine,
    "podman": PodmanEngine,
    "nerdctl": NerdctlEngine,
}


def choose(name: str) -> str:
    """The engine to use.

    What is installed is what this host works with: an engine that is there and does not run is a fault to report, not
    a reason to attempt by another.

    :arg name: one of `ENGINES`, or ``auto``
    """
    if name != "auto":
        return name
    installed = (engine for engine in ENGINES[:-1] if _is_installed(engine))
    return next(installed, ENGINES[-1])


def make(
    name: str, repository: Repository, place: PrivatePlace, deadline: Deadline, ca_file: str | None = None
) -> Engine:
    """The engine of this name.

    :arg name: one of `ENGINES`
    """
    if name == "registry":
        return RegistryEngine(repository, place, deadline, ca_file)
    return _PROGRAMS[name](repository, place, deadline)


def _is_installed(name: str) -> bool:
    found = find_program(name)
    return found is not None and not (name == "docker" and _is_podman(found))


def _is_podman(program: str) -> bool:
    """Whether this ``docker`` is the stand-in that comes with Podman: a link to it, or a script that calls it."""
    if os.path.basename(os.path.realpath(program)).startswith("podman"):
        return True
    try:
        with open(program, "rb") as opened:
            begin = opened.read(2048)
    except OSError:
        return False
    return begin.startswith(b"#!") and b"podman" in begin
