# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's command line: up, down, status, serve."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .state import LabState


class LabFailure(Exception):
    """Why the lab is not as asked, in one sentence for a person."""


def default_state() -> Path:
    """``$POLICYPROOF_LAB_DIR``, or else ``.lab`` at the root of the collection."""
    return Path(os.environ.get("POLICYPROOF_LAB_DIR") or Path(__file__).resolve().parents[1] / ".lab")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command and its options."""
    parser = argparse.ArgumentParser(prog="lab", description="An AWS on this machine for policyproof.ecr.")
    parser.add_argument("command", choices=("up", "down", "status", "serve"))
    parser.add_argument(
        "--state", type=Path, default=default_state(), help="directory of its state (default: %(default)s)"
    )
    parser.add_argument("--region", default="us-east-1", help="region to play (default: %(default)s)")
    parser.add_argument("--account", default="123456789012", help="account to play (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port of the AWS APIs (default: a free one)")
    parser.add_argument(
        "--timeout", type=float, default=60, help="seconds to wait for an answer (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def up(options: argparse.Namespace) -> dict[str, object]:
    """Start the lab unless it answers; replace a half-dead one. Raises LabFailure."""
    state = LabState(options.state)
    description = state.answering()
    if description is not None:
        check_same(description, options)
        return {"changed": False, **public(description)}
    if not state.end_process(timeout=15):
        raise LabFailure(f"The lab's process {state.pid()} in {state.path} does not end; end it and try again.")
    state.prepare()
    start(state, options)
    description = state.wait_until_answering(options.timeout)
    if description is None:
        state.end_process(timeout=15)
        raise LabFailure(f"The lab did not start. {state.last_words()} The whole log: {state.log}")
    return {"changed": True, **public(description)}


def check_same(description: dict[str, str], options: argparse.Namespace) -> None:
    """Refuse to call a lab of another region or port the one that was asked for. Raises LabFailure."""
    port = int(description["aws_endpoint"].rpartition(":")[2])
    if options.port and port != options.port:
        raise LabFailure(f"The lab in {options.state} answers on port {port}, not {options.port}: take it down first.")
    if description["region"] != options.region:
        raise LabFailure(
            f"The lab in {options.state} plays region {description['region']}, not {options.region}: "
            "take it down first, or give it another directory with POLICYPROOF_LAB_DIR."
        )


def start(state: LabState, options: argparse.Namespace) -> None:
    """Start the serving process, apart from this one's terminal and session."""
    arguments = ["serve", "--state", state.path, "--region", options.region, "--account", options.account]
    with state.log.open("ab") as log:
        subprocess.Popen(
            [sys.executable, Path(__file__).parent, *arguments, "--port", str(options.port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def down(options: argparse.Namespace) -> dict[str, object]:
    """End the lab and remove its state. Raises LabFailure."""
    state = LabState(options.state)
    existed = state.path.exists()
    if not state.end_process(timeout=30):
        raise LabFailure(f"The lab's process {state.pid()} does not end; its state stays in {state.path}.")
    state.remove()
    return {"changed": existed}


def status(options: argparse.Namespace) -> dict[str, object]:
    """What the lab says of itself, or that it is not up."""
    description = LabState(options.state).answering()
    return {"changed": False, "up": description is not None, **public(description or {})}


def public(description: dict[str, str]) -> dict[str, str]:
    """All but the deployer's keys, which stay in the private file."""
    return {key: value for key, value in description.items() if key not in ("access_key", "secret_key")}


def main(arguments: Sequence[str]) -> int:
    """Run one command; print its result as JSON. Exit status 1 and one sentence on standard error if it failed."""
    options = parse_arguments(arguments)
    options.state = Path(os.path.abspath(options.state))
    if options.command == "serve":
        from .process import serve

        return serve(options)
    try:
        result = {"up": up, "down": down, "status": status}[options.command](options)
    except LabFailure as failure:
        print(failure, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0
