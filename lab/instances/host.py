# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a sandbox for every instance that moto's EC2 runs."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, InstanceBackend

from ..session_manager.shell import Shell
from ..settings import Settings
from . import image
from .disk import Disk, remove_tree
from .identity import Identity
from .image import SSM_USER, Entry, User
from .metadata import MetadataServer
from .sandbox import Sandbox, SandboxError

# As a login shell has it.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

logger = logging.getLogger("lab.instances")


@dataclass
class Machine:
    """One instance: its disk, what it says of itself, and its processes while it runs."""

    identity: Identity
    disk: Disk
    metadata: MetadataServer
    sandbox: Sandbox | None = None


class InstanceHost:
    """All instances of one lab."""

    def __init__(self, settings: Settings, ca_file: Path | None = None) -> None:
        """
        :param ca_file: PEM file of the authority that signed the registry's certificate; instances trust it
        """
        self._settings = settings
        self._ca_file = ca_file
        self._directory = settings.state / "instances"
        self._lock = threading.RLock()
        self._machines: dict[str, Machine] = {}
        self._originals: list[tuple[type, str, Any]] = []
        self._tools: Sequence[str] = ()

    def attach(self) -> None:
        """Follow what moto's EC2 does, from now on. What an earlier lab left in the state directory is removed."""
        remove_tree(self._directory)
        self._replace(InstanceBackend, "run_instances", self._after_run)
        self._replace(Instance, "start", self._after_start)
        self._replace(Instance, "stop", self._after_stop)
        self._replace(Instance, "reboot", self._after_reboot)
        self._replace(Instance, "terminate", self._after_terminate)

    def close(self) -> None:
        """Leave moto as it was, end every instance and remove the disks."""
        for owner, name, original in reversed(self._originals):
            setattr(owner, name, original)
        self._originals = []
        with self._lock:
            for instance_id in list(self._machines):
                self._remove(instance_id)
        remove_tree(self._directory)

    def connected(self, instance_id: str) -> bool:
        """Whether the instance runs."""
        machine = self._machines.get(instance_id)
        return machine is not None and machine.sandbox is not None and machine.sandbox.running

    def environment(self, instance_id: str, user: User = SSM_USER) -> dict[str, str]:
        """A user's environment on the instance. Raises LookupError for an unknown instance."""
        machine = self._machines[instance_id]
        region = machine.identity.region
        return {
            "PATH": PATH,
            "HOME": user.home,
            "USER": user.name,
            "LOGNAME": user.name,
            "SHELL": "/bin/bash",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self._settings.aws_endpoint,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.metadata.endpoint,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
        }

    def command(self, instance_id: str, argv: Sequence[str], user: User = SSM_USER) -> list[str]:
        """The command that runs ``argv`` on the instance, to be given :meth:`environment`. Raises LookupError."""
        machine = self._machines[instance_id]
        if machine.sandbox is None or not machine.sandbox.running:
            raise LookupError(f"{instance_id} does not run")
        return machine.sandbox.command(user, argv)

    def open_shell(self, instance_id: str) -> Shell:
        """A new interactive shell on the instance, in the running event loop. Raises OSError, LookupError.

        Without its start files: a prompt or a title that these set would confuse aws_ssm.
        """
        argv = self.command(instance_id, ["setsid", "--ctty", "bash", "--noprofile", "--norc", "-i"])
        sandbox = self._machines[instance_id].sandbox
        assert sandbox is not None
        master, slave = sandbox.open_terminal()
        return Shell(master, slave, argv, self.environment(instance_id))

    def _replace(self, owner: type, name: str, after: Callable[[Any, Any], None]) -> None:
        """Call ``after(self, result)`` behind each call of one of moto's methods."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def replacement(this: Any, *arguments: Any, **keywords: Any) -> Any:
            result = original(this, *arguments, **keywords)
            after(this, result)
            return result

        self._originals.append((owner, name, original))
        setattr(owner, name, replacement)

    def _after_run(self, _backend: Any, reservation: Any) -> None:
        try:
            for instance in reservation.instances:
                self._launch(instance)
        except (SandboxError, OSError) as error:
            for instance in reservation.instances:
                instance.terminate()
            raise _failure(error) from error

    def _after_start(self, instance: Any, _result: Any) -> None:
        try:
            self._boot(instance.id)
        except (SandboxError, OSError) as error:
            instance.stop()
            raise _failure(error) from error

    def _after_stop(self, instance: Any, _result: Any) -> None:
        self._shut_down(instance.id)

    def _after_reboot(self, instance: Any, _result: Any) -> None:
        self._shut_down(instance.id)
        self._after_start(instance, None)

    def _after_terminate(self, instance: Any, _result: Any) -> None:
        self._remove(instance.id)

    def _launch(self, instance: Any) -> None:
        """Make an instance's disk and boot it. Raises SandboxError, OSError."""
        identity = Identity(instance)
        machine = Machine(identity, Disk(self._directory / identity.id), MetadataServer(identity))
        machine.metadata.start()
        with self._lock:
            self._machines[identity.id] = machine
        machine.disk.create(self._image(identity))
        self._boot(identity.id)

    def _image(self, identity: Identity) -> list[Entry]:
        """What is on the disk of one instance before its first boot. Raises OSError."""
        host = Path("/")
        certificate = self._ca_file.read_text(encoding="ascii") if self._ca_file is not None else None
        command_line, self._tools = image.command_line()
        return [
            *image.accounts(host),
            *image.privacy(image.homes_of_people()),
            *image.names(host, identity.hostname, identity.private_dns_name, self._settings.registry_name),
            *image.trust(host, certificate),
            *image.services(host),
            *command_line,
        ]

    def _boot(self, instance_id: str) -> None:
        """Boot an instance that does not run. Raises SandboxError."""
        machine = self._machines.get(instance_id)
        if machine is None or self.connected(instance_id):
            return
        sandbox = Sandbox(machine.disk, machine.identity.hostname, self._tools, [str(self._settings.state)])
        sandbox.boot()
        machine.sandbox = sandbox
        logger.info("%s runs", instance_id)

    def _shut_down(self, instance_id: str) -> None:
        machine = self._machines.get(instance_id)
        if machine is not None and machine.sandbox is not None:
            machine.sandbox.shut_down()
            machine.sandbox = None
            logger.info("%s has shut down", instance_id)

    def _remove(self, instance_id: str) -> None:
        with self._lock:
            machine = self._machines.pop(instance_id, None)
        if machine is None:
            return
        if machine.sandbox is not None:
            machine.sandbox.kill()
        machine.metadata.stop()
        machine.disk.remove()
        logger.info("%s is removed", instance_id)


def _failure(error: Exception) -> EC2ClientError:
    """EC2's answer where an instance does not run."""
    logger.error("%s", error)
    return EC2ClientError("InternalError", str(error))
