# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The serving process: binds, puts the parts together, says where it listens, and waits to be ended."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import socket
import threading
from contextlib import ExitStack

from .instances.requirements import check_requirements
from .session_manager.launcher import write_launcher
from .settings import Settings
from .state import LabState

logger = logging.getLogger("lab")


class CannotServe(Exception):
    """Why the lab cannot start, in one sentence that names the value and the remedy."""


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status."""
    # The state directory is private; below it, an instance's disk has the modes that a system's disk has.
    os.umask(0o022)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    state = LabState(options.state)
    lock = state.lock()
    if lock is None:
        logger.error("process %s serves %s already", state.pid(), state.path)
        return 1
    ending = _ending()
    with lock, ExitStack() as parts:
        try:
            _start(state, options, parts)
        except CannotServe as reason:
            state.fail(str(reason))
            return 1
        ending.wait()
        logger.info("ending")
    return 0


def _ending() -> threading.Event:
    """Set by the signals that end the process."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ending.set())
    return ending


def _start(state: LabState, options: argparse.Namespace, parts: ExitStack) -> None:
    """Start every part; ``parts`` ends them in the opposite order. Raises CannotServe."""
    faults = check_requirements(state.path)
    if faults:
        raise CannotServe(" ".join(faults))
    sockets = {name: bind(port) for name, port in (("aws", options.port), ("registry", 0), ("data_channel", 0))}
    ports = {f"{name}_port": sock.getsockname()[1] for name, sock in sockets.items()}
    settings = Settings(state=state.path, region=options.region, account=options.account, **ports)
    _configure_moto(settings)
    try:
        from .assembly import assemble
    except ModuleNotFoundError as error:
        raise CannotServe(
            f"The lab needs the Python package {error.name}: install what requirements.txt of policyproof.ecr names."
        ) from error
    lab = secrets.token_hex(8)
    description = assemble(settings, sockets, lab, parts)
    state.describe(
        {
            "lab": lab,
            "pid": str(os.getpid()),
            "region": settings.region,
            "account": settings.account,
            "aws_endpoint": settings.aws_endpoint,
            "registry_host": settings.registry_host,
            "data_channel_url": settings.data_channel_url,
            "session_manager_plugin": str(write_launcher(settings.state)),
            **description,
        }
    )
    logger.info("up: %s, registry %s", settings.aws_endpoint, settings.registry_host)


def bind(port: int) -> socket.socket:
    """A socket on 127.0.0.1. Raises CannotServe where the port is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError as error:
        sock.close()
        raise CannotServe(
            f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}): "
            "choose another with lab_port, or 0 for any free one."
        ) from error
    return sock


def _configure_moto(settings: Settings) -> None:
    """What moto reads from its environment when it is imported."""
    os.environ["MOTO_ACCOUNT_ID"] = settings.account
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    # The lab's own AWS libraries are never to find anybody's real credentials.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
