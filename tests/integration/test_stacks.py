# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role stacks against moto with the lab's fixes, without instances: quick, and no need of root."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
MATRIX = {
    "instance1": {"push": "allow", "pull": "deny"},
    "instance2": {"push": "deny", "pull": "allow"},
    "instance3": {"push": "deny", "pull": "deny"},
}
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []})
STACKS = ["fa-085-network", "fa-085-repository", "fa-085-transfer"]
PRINCIPAL = "fa-085-principal-"

_spec = importlib.util.spec_from_file_location("moto_process", TESTS / "support" / "moto_process.py")
moto_process = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(moto_process)


class Run:
    """How one ansible-playbook ended."""

    def __init__(self, finished: subprocess.CompletedProcess[str]) -> None:
        self.status = finished.returncode
        self.output = finished.stdout + finished.stderr
        results = json.loads(finished.stdout[finished.stdout.index("{\n") :])
        self.changed = results["stats"]["localhost"]["changed"]
        tasks = [task for play in results["plays"] for task in play["tasks"]]
        outcomes = [task["hosts"]["localhost"] for task in tasks if "localhost" in task["hosts"]]
        failures = [outcome.get("msg", "") for outcome in outcomes if outcome.get("failed")]
        # What the last task that failed said; empty if none did.
        self.message: str = failures[-1] if failures else ""


class Account:
    """An AWS account of moto's, and one who deploys there."""

    def __init__(self, aws: Any, directory: Path) -> None:
        self.aws = aws
        self.directory = directory
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        iam = aws.client("iam")
        iam.create_user(UserName="deployer")
        iam.attach_user_policy(UserName="deployer", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        self._key = iam.create_access_key(UserName="deployer")["AccessKey"]

    def playbook(self, name: str, *arguments: str, **variables: Any) -> Run:
        """Run a playbook of the collection."""
        given = {
            "ansible_python_interpreter": sys.executable,
            "aws_endpoint_url": self.aws.endpoint,
            "aws_access_key": self._key["AccessKeyId"],
            "aws_secret_key": self._key["SecretAccessKey"],
            "region": moto_process.REGION,
            "prefix": "fa-085",
            "access_matrix": MATRIX,
            # These instances are entries in moto's tables, and run no agent.
            "stacks_online_timeout": 0,
            **variables,
        }
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANSIBLE_", "POLICYPROOF_"))
        }
        environment = {
            **kept,
            "HOME": str(self.directory),
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        command = [Path(sys.executable).with_name("ansible-playbook"), "--inventory", "localhost,", name]
        finished = subprocess.run(
            [*command, "--extra-vars", json.dumps(given), *arguments],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        print(
            f"{name} {' '.join(arguments)}: {finished.returncode}\n{finished.stdout[-4000:]}\n{finished.stderr[-2000:]}"
        )
        return Run(finished)

    def stacks(self) -> dict[str, str]:
        """Status of every stack by name."""
        stacks = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in stacks}

    def left(self) -> dict[str, list[str]]:
        """Names of everything that deployments make."""
        client = self.aws.client
        reservations = client("ec2").describe_instances()["Reservations"]
        instances = [instance for each in reservations for instance in each["Instances"]]
        return {
            "stacks": list(self.stacks()),
            "instances": [each["InstanceId"] for each in instances if each["State"]["Name"] != "terminated"],
            "vpcs": [each["VpcId"] for each in client("ec2").describe_vpcs()["Vpcs"] if not each["IsDefault"]],
            "endpoints": [each["VpcEndpointId"] for each in client("ec2").describe_vpc_endpoints()["VpcEndpoints"]],
            "roles": [each["RoleName"] for each in client("iam").list_roles()["Roles"]],
            "profiles": [
                each["InstanceProfileName"] for each in client("iam").list_instance_profiles()["InstanceProfiles"]
            ],
            "repositories": [each["repositoryName"] for each in client("ecr").describe_repositories()["repositories"]],
            "buckets": [each["Name"] for each in client("s3").list_buckets()["Buckets"]],
        }


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    directory = tmp_path_factory.mktemp("stacks")
    with moto_process.moto("fixed", directory) as aws:
        yield Account(aws, directory)


@pytest.fixture
def vacant(account: Account) -> Account:
    """The account without a deployment."""
    if any(account.left().values()):
        assert account.playbook("policyproof.ecr.destroy").status == 0
    assert not any(account.left().values())
    return account


def test_a_deployment_from_its_first_day_to_its_last(vacant: Account) -> None:
    everything = {*STACKS, *(PRINCIPAL + name for name in MATRIX)}

    looked = vacant.playbook("policyproof.ecr.deploy", "--check")
    assert (looked.status, looked.changed > 0) == (0, True)
    assert not any(vacant.left().values())

    deployed = vacant.playbook("policyproof.ecr.deploy")
    assert deployed.status == 0
    assert vacant.stacks() == dict.fromkeys(everything, "CREATE_COMPLETE")

    again = vacant.playbook("policyproof.ecr.deploy")
    assert (again.status, again.changed) == (0, 0)
    looked_again = vacant.playbook("policyproof.ecr.deploy", "--check")
    assert (looked_again.status, looked_again.changed) == (0, 0)
    assert vacant.stacks() == dict.fromkeys(everything, "CREATE_COMPLETE")

    # What a run leaves in the bucket and in the repository is no obstacle.
    bucket = vacant.aws.outputs("fa-085-transfer")["BucketName"]
    vacant.aws.client("s3").put_object(Bucket=bucket, Key="i-0123456789abcdef0/AnsiballZ_ping.py", Body=b"left")
    vacant.aws.client("ecr").put_image(repositoryName="fa-085", imageManifest=MANIFEST, imageTag="probe-1")

    destroyed = vacant.playbook("policyproof.ecr.destroy")
    assert (destroyed.status, destroyed.changed > 0) == (0, True)
    assert not any(vacant.left().values())
    destroyed_again = vacant.playbook("policyproof.ecr.destroy")
    assert (destroyed_again.status, destroyed_again.changed) == (0, 0)
    assert list(vacant.temporary.iterdir()) == []


def test_a_matrix_that_changes_changes_the_policy_and_no_more(vacant: Account) -> None:
    assert vacant.playbook("policyproof.ecr.deploy").status == 0
    before = vacant.left()["instances"]
    smaller = {"instance1": {"push": "allow", "pull": "allow"}, "instance2": {"push": "deny", "pull": "allow"}}
    changed = vacant.playbook("policyproof.ecr.deploy", access_matrix=smaller)
    assert (changed.status, changed.changed) == (0, 2)
    assert set(vacant.stacks()) == {*STACKS, PRINCIPAL + "instance1", PRINCIPAL + "instance2"}
    assert set(vacant.left()["instances"]) < set(before)
    text = vacant.aws.client("ecr").get_repository_policy(repositoryName="fa-085")["policyText"]
    role = "arn:aws:iam::123456789012:role/fa-085-instance"
    assert [(each["Sid"], *each["Condition"].values()) for each in json.loads(text)["Statement"]] == [
        ("PullersOnlyPull", {"aws:PrincipalArn": [role + "2"]}),
        ("PushPullersOnlyPushAndPull", {"aws:PrincipalArn": [role + "1"]}),
        (
            "EverybodyElseNothing",
            {"aws:PrincipalArn": [role + "2", role + "1", "arn:aws:iam::123456789012:user/deployer"]},
        ),
    ]


def test_a_stack_that_fails_is_explained_and_made_the_next_time(vacant: Account) -> None:
    iam = vacant.aws.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName="fa-085-instance2", AssumeRolePolicyDocument=json.dumps(trust))
    failed = vacant.playbook("policyproof.ecr.deploy")
    iam.delete_role(RoleName="fa-085-instance2")
    assert failed.status != 0
    assert failed.message.startswith("Stack fa-085-principal-instance2: Stack create failed")
    assert "Role with name fa-085-instance2 already exists" in failed.message
    assert PRINCIPAL + "instance2" not in vacant.stacks()
    # A run that was killed: a stack that says nothing but that it failed.
    vacant.aws.create(PRINCIPAL + "instance2", BROKEN, Tags=TAGS)
    assert vacant.stacks()[PRINCIPAL + "instance2"] == "ROLLBACK_COMPLETE"
    looked = vacant.playbook("policyproof.ecr.deploy", "--check")
    assert looked.status == 0
    assert vacant.playbook("policyproof.ecr.deploy").status == 0
    assert vacant.stacks()[PRINCIPAL + "instance2"] == "CREATE_COMPLETE"


BROKEN = json.dumps({"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "x"}}}})
TAGS = [{"Key": "Deployment", "Value": "fa-085"}]


def test_stacks_of_others_are_left_alone(vacant: Account) -> None:
    queue = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    vacant.aws.create("fa-085-network", queue)
    try:
        refused = vacant.playbook("policyproof.ecr.deploy")
        assert refused.status != 0
        assert (
            "A stack fa-085-network exists in us-east-1, but it does not carry the tag Deployment=fa-085"
            in refused.output
        )
        assert vacant.playbook("policyproof.ecr.destroy").changed == 0
        assert vacant.stacks() == {"fa-085-network": "CREATE_COMPLETE"}
    finally:
        vacant.aws.delete("fa-085-network")


WRONG = [
    ({"access_matrix": {}}, "The access matrix has no principals"),
    ({"access_matrix": {"instance1": {"push": "maybe", "pull": "deny"}}}, "'maybe' for 'instance1' push"),
    ({"access_matrix": {"in_1": {"push": "allow", "pull": "deny"}}}, "'in_1'"),
    ({"prefix": "Fa_085"}, "'Fa_085'"),
    ({"region": ""}, "No region is given"),
    ({"aws_endpoint_url": "http://127.0.0.1:9"}, "AWS in us-east-1 does not say who you are"),
    ({"stacks_egress": "carrier-pigeon"}, "stacks_egress must be one of: endpoints, nat"),
]


@pytest.mark.parametrize(("variables", "said"), WRONG, ids=[said for _variables, said in WRONG])
def test_bad_input_is_a_sentence_before_anything_is_deployed(vacant: Account, variables: Any, said: str) -> None:
    refused = vacant.playbook("policyproof.ecr.deploy", **variables)
    assert refused.status != 0
    assert said in refused.message
    assert "Traceback" not in refused.output
    assert not any(vacant.left().values())
