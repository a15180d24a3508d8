# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A repository whose policy locks everybody out: its stack can do no more about it than its deployer can."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

CHECKOUT = Path(__file__).resolve().parents[2]
STACK = "locked-out"
EXPLICIT = "with an explicit deny in a resource-based policy"


def _lab(command: str, state: Path) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, CHECKOUT / "lab", command, "--state", state],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[dict[str, str]]:
    try:
        _lab("up", tmp_path / "lab")
        yield json.loads((tmp_path / "lab" / "lab.json").read_text())
    finally:
        _lab("down", tmp_path / "lab")


def client(lab: dict[str, str], service: str) -> Any:
    """A client of the deployer's."""
    return boto3.client(
        service,
        endpoint_url=lab["aws_endpoint"],
        region_name=lab["region"],
        aws_access_key_id=lab["access_key"],
        aws_secret_access_key=lab["secret_key"],
    )


def template(*exempt: str) -> str:
    """A repository that denies everything to everybody but ``exempt``."""
    statement = {
        "Sid": "NobodyElse",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "*",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": ["arn:aws:iam::123456789012:role/pusher", *exempt]}},
    }
    properties = {
        "RepositoryName": "fa-085",
        "RepositoryPolicyText": {"Version": "2012-10-17", "Statement": [statement]},
    }
    return json.dumps({"Resources": {"Repository": {"Type": "AWS::ECR::Repository", "Properties": properties}}})


def ended(cloudformation: Any) -> str:
    """The stack's status once nothing is in progress; DELETE_COMPLETE when it is gone."""
    deadline = time.monotonic() + 30
    while True:
        try:
            (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        except ClientError:
            return "DELETE_COMPLETE"
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return str(stack["StackStatus"])
        assert time.monotonic() < deadline, stack
        time.sleep(0.1)


def test_a_stack_cannot_undo_its_own_lock_out(lab: dict[str, str]) -> None:
    cloudformation, ecr = client(lab, "cloudformation"), client(lab, "ecr")
    cloudformation.create_stack(StackName=STACK, TemplateBody=template())
    assert ended(cloudformation) == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match=f"ecr:GetRepositoryPolicy on resource: .*repository/fa-085 {EXPLICIT}"):
        ecr.get_repository_policy(repositoryName="fa-085")

    cloudformation.update_stack(StackName=STACK, TemplateBody=template(lab["deployer"]))
    assert ended(cloudformation).startswith("UPDATE_ROLLBACK")
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    ]
    assert any(f"ecr:SetRepositoryPolicy on resource: {_arn(lab)} {EXPLICIT}" in reason for reason in reasons), reasons
    with pytest.raises(ClientError, match=EXPLICIT):
        ecr.get_repository_policy(repositoryName="fa-085")

    cloudformation.delete_stack(StackName=STACK)
    assert ended(cloudformation) == "DELETE_FAILED"
    assert [entry["repositoryName"] for entry in ecr.describe_repositories()["repositories"]] == ["fa-085"]


def test_an_exempt_deployer_updates_and_deletes(lab: dict[str, str]) -> None:
    cloudformation, ecr = client(lab, "cloudformation"), client(lab, "ecr")
    cloudformation.create_stack(StackName=STACK, TemplateBody=template(lab["deployer"]))
    assert ended(cloudformation) == "CREATE_COMPLETE"
    cloudformation.update_stack(
        StackName=STACK, TemplateBody=template(lab["deployer"], "arn:aws:iam::123456789012:role/x")
    )
    assert ended(cloudformation) == "UPDATE_COMPLETE"
    assert "role/x" in ecr.get_repository_policy(repositoryName="fa-085")["policyText"]
    cloudformation.delete_stack(StackName=STACK)
    assert ended(cloudformation) == "DELETE_COMPLETE"
    assert ecr.describe_repositories()["repositories"] == []


def _arn(lab: dict[str, str]) -> str:
    return f"arn:aws:ecr:{lab['region']}:{lab['account']}:repository/fa-085"
