# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bench for the probe: a lab, one instance with real engines, a repository for each case, and the lab's faults."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible
import boto3
import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGES = "docker.io podman skopeo buildah amazon-ecr-credential-helper"
COLLECTION = Path("ansible_collections") / "policyproof" / "ecr"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PUSH = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
]
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess"


@dataclass
class Outcome:
    """What one run of the module returned, and how long it took on the clock."""

    returned: dict[str, Any]
    seconds: float
    raw: str

    @property
    def only(self) -> dict[str, Any]:
        """The one result."""
        assert len(self.returned["results"]) == 1, self.returned
        result: dict[str, Any] = self.returned["results"][0]
        return result


@dataclass
class Bench:
    """A lab with one instance."""

    directory: Path
    packages: str = "/srv/packages"
    lab: dict[str, str] = field(default_factory=dict)
    instance: str = ""
    pid: int = 0
    callers: dict[str, dict[str, str]] = field(default_factory=dict)

    # The lab and what is in it

    def start(self) -> None:
        """Start the lab and the instance, and give it its engines."""
        self.lab_command("up")
        self.lab = json.loads((self.directory / "lab.json").read_text())
        self._launch()
        self.pid = self._process_one()
        self._copy_packages()
        self.shell(
            f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {PACKAGES} </dev/null",
            timeout=300,
        )
        self.start_docker()

    def _copy_packages(self) -> None:
        """Give the instance what it has while a module runs: Ansible's module_utils and this collection's, no botocore.

        A copy, because a checkout under /tmp is nowhere on an instance.
        """
        inside = Path(f"/proc/{self.pid}/root{self.packages}")
        core = Path(ansible.__file__).parent
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(core / "module_utils", inside / "ansible" / "module_utils", ignore=without)
        shutil.copytree(core / "_vendor", inside / "ansible" / "_vendor", ignore=without)
        for name in ("__init__.py", "release.py"):
            shutil.copy(core / name, inside / "ansible" / name)
        shutil.copytree(CHECKOUT / "plugins", inside / COLLECTION / "plugins", ignore=without)

    def lab_command(self, command: str) -> None:
        """Run one of the lab's commands."""
        subprocess.run(
            [sys.executable, CHECKOUT / "lab", command, "--state", self.directory], check=True, capture_output=True
        )

    def client(self, service: str) -> Any:
        """A client of the lab's APIs as its deployer."""
        return boto3.client(
            service,
            endpoint_url=self.lab["aws_endpoint"],
            region_name=self.lab["region"],
            aws_access_key_id=self.lab["access_key"],
            aws_secret_access_key=self.lab["secret_key"],
        )

    def _launch(self) -> None:
        self.make_role("host")
        iam, ec2 = self.client("iam"), self.client("ec2")
        iam.create_instance_profile(InstanceProfileName="host")
        iam.add_role_to_instance_profile(InstanceProfileName="host", RoleName="host")
        image = ec2.describe_images()["Images"][0]["ImageId"]
        ran = ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro", IamInstanceProfile={"Name": "host"}
        )
        self.instance = ran["Instances"][0]["InstanceId"]

    def _process_one(self) -> int:
        """The instance's process 1, as this machine numbers it."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                command = (status.parent / "cmdline").read_text()
                numbers = [line for line in status.read_text().splitlines() if line.startswith("NSpid:")]
            except OSError:
                continue
            if self.instance in command and "init.py" in command and numbers and numbers[0].split()[-1] == "1":
                return int(status.parent.name)
        raise AssertionError(f"{self.instance} does not run")

    def make_role(self, name: str) -> str:
        """A role that may do everything with ECR; returns its ARN."""
        iam = self.client("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=FULL_ACCESS)
        return arn

    def caller(self, name: str) -> dict[str, str]:
        """Credentials of a role that may do everything with ECR, in the environment's form."""
        if name not in self.callers:
            role = self.make_role(name)
            made = self.client("sts").assume_role(RoleArn=role, RoleSessionName=f"i-{name}")["Credentials"]
            self.callers[name] = {
                "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
                "AWS_SESSION_TOKEN": made["SessionToken"],
            }
        return self.callers[name]

    def repository(self, deny: dict[str, list[str]] | None = None, **settings: Any) -> str:
        """A new repository; returns its URI.

        :param deny: API actions that each caller is denied in the repository policy
        """
        name = "app-" + uuid.uuid4().hex[:8]
        ecr = self.client("ecr")
        ecr.create_repository(repositoryName=name, **settings)
        if deny:
            statements = []
            for caller, actions in deny.items():
                self.caller(caller)
                role = f"arn:aws:iam::{self.lab['account']}:role/{caller}"
                statements.append({"Effect": "Deny", "Principal": {"AWS": role}, "Action": actions})
            text = json.dumps({"Version": "2012-10-17", "Statement": statements})
            ecr.set_repository_policy(repositoryName=name, policyText=text)
        return f"{self.lab['registry_host']}/{name}"

    def fault(self, name: str, **wish: Any) -> None:
        """Switch a fault on."""
        self._control("PUT", name, wish)

    def no_faults(self) -> None:
        """Switch every fault off."""
        self._control("DELETE", "", None)

    def _control(self, method: str, name: str, wish: dict[str, Any] | None) -> None:
        url = f"{self.lab['aws_endpoint']}/_policyproof/faults" + (f"/{name}" if name else "")
        body = None if wish is None else json.dumps(wish).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=10) as answer:
            assert answer.status == 200

    # The instance

    def inside(self, argv: list[str]) -> list[str]:
        """The command that runs argv on the instance, as root."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--pid", "--"]
        return enter + ["setpriv", "--bounding-set=-net_admin,-sys_module,-sys_boot", "--"] + argv

    def environment(self, caller: str | None, **more: str) -> dict[str, str]:
        """A session's environment on the instance."""
        return {
            "PATH": PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.lab["aws_endpoint"],
            "AWS_REGION": self.lab["region"],
            "AWS_DEFAULT_REGION": self.lab["region"],
            "AWS_EC2_METADATA_DISABLED": "true",
            **(self.caller(caller) if caller else {}),
            **more,
        }

    def shell(self, script: str, timeout: float = 60, check: bool = True, caller: str | None = None) -> str:
        """Run a script on the instance as root; returns what it printed."""
        ran = subprocess.run(
            self.inside(["bash", "-c", script]),
            env=self.environment(caller) if self.lab else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or ran.returncode == 0, f"{script}: {ran.returncode}\n{ran.stdout[-3000:]}"
        return ran.stdout

    def start_docker(self, *options: str) -> None:
        """Start Docker Engine and wait until it answers."""
        flags = " ".join(options)  # the rest stands in the lab's /etc/docker/daemon.json
        subprocess.Popen(
            self.inside(["bash", "-c", f"exec setsid dockerd {flags} >>/var/log/dockerd.log 2>&1"]),
            env=self.environment(None),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 40
        while "ServerVersion" not in self.shell("docker info --format '{{json .}}' 2>&1", check=False).replace(
            '"ServerVersion":""', ""
        ):
            assert time.monotonic() < until, self.shell("tail -20 /var/log/dockerd.log", check=False)
            time.sleep(0.3)

    def stop_docker(self) -> None:
        """End Docker Engine and all of its processes."""
        self.shell(
            "pid=$(cat /var/run/docker.pid) && kill $pid; "
            "for i in $(seq 100); do [ -e /proc/$pid ] || exit 0; sleep .1; done"
        )

    def start_probe(
        self,
        caller: str | None = None,
        environment: dict[str, str] | None = None,
        user: str | None = None,
        **options: Any,
    ) -> Any:
        """Start the module; returns its process."""
        identity = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []
        process = subprocess.Popen(
            self.inside(
                [*identity, "/usr/bin/python3", f"{self.packages}/{COLLECTION}/plugins/modules/access_probe.py"]
            ),
            env=self.environment(
                caller, **{"PYTHONPATH": self.packages, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
        process.stdin.close()
        process.stdin = None
        return process

    def probe(
        self,
        caller: str | None = None,
        environment: dict[str, str] | None = None,
        user: str | None = None,
        **options: Any,
    ) -> Outcome:
        """Run the module and read its result."""
        begin = time.monotonic()
        process = self.start_probe(caller, environment, user, **options)
        return self.finish(process, begin)

    @staticmethod
    def finish(process: Any, begin: float) -> Outcome:
        """Wait for a module and read its result."""
        out, err = process.communicate(timeout=120)
        seconds = time.monotonic() - begin
        assert out.strip(), err
        print(out, err)
        return Outcome(json.loads(out.strip().splitlines()[-1]), seconds, out + err)

    def leftovers(self) -> str:
        """What a probe may have left on the instance."""
        return self.shell(
            "ls -d /run/policyproof* /tmp/*probe* /root/.docker /root/.config/containers /root/.aws 2>/dev/null;"
            "docker images -aq 2>/dev/null; docker ps -aq 2>/dev/null; podman images -aq 2>/dev/null; exit 0"
        ).strip()


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The bench, for all tests of this directory."""
    if os.geteuid() != 0:
        pytest.fail("The lab needs root.")
    made = Bench(tmp_path_factory.mktemp("probe") / "lab")
    try:
        made.start()
        yield made
    finally:
        made.lab_command("down")


@pytest.fixture(autouse=True)
def _quiet(bench: Bench) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    bench.no_faults()


def quoted(*words: str) -> str:
    """Words as a shell takes them."""
    return " ".join(shlex.quote(word) for word in words)
