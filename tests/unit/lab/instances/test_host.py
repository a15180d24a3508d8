# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the host of the instances follows moto's EC2, without booting any."""

from __future__ import annotations

import boto3
import pytest
from ansible_collections.policyproof.ecr.lab.instances import host as module
from ansible_collections.policyproof.ecr.lab.instances.host import InstanceHost
from ansible_collections.policyproof.ecr.lab.instances.sandbox import SandboxError
from ansible_collections.policyproof.ecr.lab.settings import Settings
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.ec2.models.instances import Instance, InstanceBackend

REGION = "us-east-1"


class FakeSandbox:
    """Remembers what is done to it."""

    history: list[str]
    fault: str | None = None

    def __init__(self, disk, hostname, tools, masked) -> None:
        self.running = False
        assert hostname.startswith("ip-")

    def boot(self) -> None:
        """Boot, or fail as the test wants it."""
        if self.fault:
            raise SandboxError(self.fault)
        self.running = True
        self.history.append("boot")

    def shut_down(self) -> None:
        """Shut down."""
        self.running = False
        self.history.append("shut down")

    def kill(self) -> None:
        """Kill."""
        self.running = False
        self.history.append("kill")


class NoDisk:
    """A disk without files."""

    def __init__(self, directory) -> None:
        self.directory = directory

    def create(self, entries) -> None:
        """Nothing."""

    def remove(self) -> None:
        """Nothing."""


@pytest.fixture
def sandbox(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    kind = type("Sandbox", (FakeSandbox,), {"history": []})
    monkeypatch.setattr(module, "Sandbox", kind)
    monkeypatch.setattr(module, "Disk", NoDisk)
    return kind


@pytest.fixture
def host(tmp_path, sandbox):
    running = InstanceHost(Settings(tmp_path, REGION, "123456789012", 1, 2, 3))
    with mock_aws():
        running.attach()
        yield running
        running.close()


@pytest.fixture
def ec2(host):
    return boto3.client("ec2", REGION)


def run(ec2, count: int = 1) -> list[str]:
    answer = ec2.run_instances(ImageId="ami-12c6146b", MinCount=count, MaxCount=count)
    return [instance["InstanceId"] for instance in answer["Instances"]]


def state(ec2, instance_id: str) -> str:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return reservation["Instances"][0]["State"]["Name"]


def methods():
    """The methods of moto's instances."""
    return [
        (owner, name, value)
        for owner in (Instance, InstanceBackend)
        for name, value in vars(owner).items()
        if callable(value)
    ]


def test_the_life_of_an_instance(ec2, host, sandbox):
    (instance_id,) = run(ec2)
    assert host.connected(instance_id)
    ec2.stop_instances(InstanceIds=[instance_id])
    assert not host.connected(instance_id)
    ec2.start_instances(InstanceIds=[instance_id])
    ec2.reboot_instances(InstanceIds=[instance_id])
    assert host.connected(instance_id)
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert not host.connected(instance_id)
    assert sandbox.history == ["boot", "shut down", "boot", "shut down", "boot", "kill"]


def test_starting_what_runs_changes_nothing(ec2, sandbox):
    instance_ids = run(ec2)
    ec2.start_instances(InstanceIds=instance_ids)
    assert sandbox.history == ["boot"]


def test_cloudformations_instances_run_too(host, ec2):
    template = '{"Resources": {"One": {"Type": "AWS::EC2::Instance", "Properties": {"ImageId": "ami-12c6146b"}}}}'
    cloudformation = boto3.client("cloudformation", REGION)
    cloudformation.create_stack(StackName="one", TemplateBody=template)
    (resource,) = cloudformation.list_stack_resources(StackName="one")["StackResourceSummaries"]
    assert host.connected(resource["PhysicalResourceId"])
    cloudformation.delete_stack(StackName="one")
    assert not host.connected(resource["PhysicalResourceId"])


def test_an_instance_that_does_not_boot_is_terminated_and_said_so(ec2, host, sandbox):
    sandbox.fault = "The instance does not run: cannot mount overlay on /x: No such device."
    with pytest.raises(ClientError, match="cannot mount overlay") as failure:
        run(ec2)
    assert failure.value.response["Error"]["Code"] == "InternalError"
    states = [
        instance["State"]["Name"]
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert states == ["terminated"]


def test_an_instance_that_does_not_boot_again_stays_stopped(ec2, host, sandbox):
    (instance_id,) = run(ec2)
    ec2.stop_instances(InstanceIds=[instance_id])
    sandbox.fault = "The instance does not run: no."
    with pytest.raises(ClientError, match="InternalError"):
        ec2.start_instances(InstanceIds=[instance_id])
    assert state(ec2, instance_id) == "stopped"
    assert not host.connected(instance_id)


def test_closing_ends_every_instance_and_leaves_moto_as_it_was(tmp_path, sandbox):
    before = methods()
    host = InstanceHost(Settings(tmp_path, REGION, "123456789012", 1, 2, 3))
    with mock_aws():
        host.attach()
        instance_ids = run(boto3.client("ec2", REGION), 2)
        host.close()
    assert sandbox.history == ["boot", "boot", "kill", "kill"]
    assert not any(host.connected(instance_id) for instance_id in instance_ids)
    assert methods() == before


def test_what_an_earlier_lab_left_is_removed(tmp_path, sandbox):
    remains = tmp_path / "instances" / "i-0123456789abcdef0" / "upper"
    remains.mkdir(parents=True)
    host = InstanceHost(Settings(tmp_path, REGION, "123456789012", 1, 2, 3))
    host.attach()
    assert not remains.exists()
    host.close()


def test_an_unknown_instance_has_no_shell(host):
    with pytest.raises(LookupError):
        host.command("i-0123456789abcdef0", ["true"])
    assert not host.connected("i-0123456789abcdef0")
