# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole deployment on a lab of its own, so that files of tests run side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENT = Path(sys.executable).parent


@dataclass
class PlaybookRun:
    """How one ansible-playbook ended."""

    status: int
    output: str
    plays: list[dict[str, Any]]
    changed: dict[str, int]
    failed: dict[str, int]

    def tasks(self, host: str) -> dict[str, dict[str, Any]]:
        """The results of one host by the task's name; of tasks of one name the last."""
        tasks = [task for play in self.plays for task in play["tasks"]]
        return {task["task"]["name"]: task["hosts"][host] for task in tasks if host in task["hosts"]}


class Deployment:
    """One lab, one prefix, and the playbooks run on them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lab_directory = directory / "lab"
        self.report = directory / "build" / "report"
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AWS_", "ANSIBLE_", "POLICYPROOF_"))
            },
            "PATH": f"{ENVIRONMENT}:{os.environ['PATH']}",
            "PWD": str(directory),
            "POLICYPROOF_LAB_DIR": str(self.lab_directory),
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
        }

    def playbook(self, name: str, *arguments: str, timeout: float = 600) -> PlaybookRun:
        """Run a playbook of the collection and read its results."""
        finished = self.command(
            ENVIRONMENT / "ansible-playbook", "-i", CHECKOUT / "inventory" / "lab", name, *arguments,
            timeout=timeout, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
        )  # fmt: skip
        results = _json(finished.stdout)
        run = PlaybookRun(
            status=finished.returncode,
            output=finished.stdout + finished.stderr,
            plays=results.get("plays", []),
            changed={host: counts["changed"] for host, counts in results.get("stats", {}).items()},
            failed={host: counts["failures"] for host, counts in results.get("stats", {}).items()},
        )
        print(f"ansible-playbook {name} {' '.join(arguments)}: {run.status}\n{finished.stderr}\n{run.output[-6000:]}")
        return run

    def command(self, *arguments: object, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the deployment's environment."""
        return subprocess.run(
            [str(argument) for argument in arguments],
            cwd=self.directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def lab(self, command: str) -> dict[str, Any]:
        """Run the lab's own command line; its answer."""
        finished = self.command(sys.executable, CHECKOUT / "lab", command)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    @property
    def description(self) -> dict[str, str]:
        """What the lab says of itself, the deployer's keys included."""
        return json.loads((self.lab_directory / "lab.json").read_text(encoding="utf-8"))

    def client(self, service: str) -> Any:
        """A boto3 client of the lab, as the deployer."""
        import boto3

        lab = self.description
        return boto3.client(
            service,
            lab["region"],
            endpoint_url=lab["aws_endpoint"],
            aws_access_key_id=lab["access_key"],
            aws_secret_access_key=lab["secret_key"],
        )

    def access(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The rows of access.json by principal and action."""
        report = json.loads((self.report / "access.json").read_text(encoding="utf-8"))
        return {(row["principal"], row["action"]): row for row in report["rows"]}

    def lab_log(self) -> str:
        """What the lab logged, for a test that fails."""
        log = self.lab_directory / "lab.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else "(the lab has no log)"


def _json(output: str) -> dict[str, Any]:
    """The JSON that the callback printed; warnings may stand before it."""
    start = output.find("{\n")
    try:
        return json.loads(output[start:]) if start >= 0 else {}
    except ValueError:
        return {}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, request):
    """A directory for a lab and a run. The lab is taken down afterwards; its log is shown if a test failed."""
    if os.geteuid() != 0:
        pytest.skip("the lab's instances need root")
    made = Deployment(tmp_path_factory.mktemp("deployment"))
    failures_before = request.session.testsfailed
    yield made
    if request.session.testsfailed > failures_before:
        print(f"--- {made.lab_directory}/lab.log ---\n{made.lab_log()[-20000:]}")
    made.lab("down")
