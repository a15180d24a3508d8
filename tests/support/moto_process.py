# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""moto in a process of its own, for tests to talk to."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

SERVER = Path(__file__).with_name("moto_server.py")
REGION = "us-east-1"


class Aws:
    """The APIs of one such process, and what tests do with stacks."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A boto3 client that fails at once where the API does."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id="anybody",
                aws_secret_access_key="anything",
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[service]

    def create(self, name: str, template: str, parameters: dict[str, str] | None = None, **more: Any) -> dict[str, str]:
        """Create a stack; return its outputs."""
        self.client("cloudformation").create_stack(
            StackName=name, TemplateBody=template, Parameters=parameter_list(parameters), **more
        )
        return self.outputs(name)

    def update(self, name: str, template: str, parameters: dict[str, str] | None = None, **more: Any) -> dict[str, str]:
        """Update a stack; return its outputs."""
        self.client("cloudformation").update_stack(
            StackName=name, TemplateBody=template, Parameters=parameter_list(parameters), **more
        )
        return self.outputs(name)

    def delete(self, name: str) -> None:
        """Delete a stack."""
        self.client("cloudformation").delete_stack(StackName=name)

    def stack(self, name: str) -> dict[str, Any]:
        """A stack, by name or id, as DescribeStacks tells it."""
        stack: dict[str, Any] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return stack

    def outputs(self, name: str) -> dict[str, str]:
        """Outputs of a stack."""
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack(name).get("Outputs", [])}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of a stack, by name or id, the latest first."""
        events: list[dict[str, Any]] = self.client("cloudformation").describe_stack_events(StackName=name)[
            "StackEvents"
        ]
        return events


def parameter_list(parameters: dict[str, str] | None) -> list[dict[str, str]]:
    """Parameters as the API takes them."""
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()]


@contextlib.contextmanager
def moto(kind: str, state: Path) -> Iterator[Aws]:
    """moto, ``plain`` or ``fixed``, from here to the end of the block. It logs to ``moto-<kind>.log`` in ``state``."""
    with (
        (state / f"moto-{kind}.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, str(SERVER), kind, str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port, (state / f"moto-{kind}.log").read_text()
        try:
            yield Aws(f"http://127.0.0.1:{port}")
        finally:
            process.stdin.close()
            process.wait(timeout=30)
