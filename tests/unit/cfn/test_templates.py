# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The templates: sound CloudFormation, and what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CFN = Path(__file__).parents[3] / "cfn"
NAMES = ("network", "principal", "repository", "transfer")


def load(name: str) -> dict[str, Any]:
    template: dict[str, Any] = yaml.safe_load((CFN / f"{name}.yml").read_text(encoding="utf-8"))
    return template


def test_there_are_no_other_templates() -> None:
    assert sorted(path.stem for path in CFN.iterdir()) == sorted(NAMES)


@pytest.mark.slow
def test_cfn_lint_is_content() -> None:
    command = [Path(sys.executable).with_name("cfn-lint"), *CFN.glob("*.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_output_and_template_is_described(name: str) -> None:
    template = load(name)
    described = [template, *template.get("Parameters", {}).values(), *template["Outputs"].values()]
    assert all(each["Description"].endswith((".", ":")) for each in described)


def test_instances_accept_nothing_inbound_and_have_no_public_address() -> None:
    resources = load("network")["Resources"]
    assert "SecurityGroupIngress" not in resources["InstanceSecurityGroup"]["Properties"]
    assert resources["PrivateSubnet"]["Properties"]["MapPublicIpOnLaunch"] is False
    assert "NetworkInterfaces" not in load("principal")["Resources"]["Instance"]["Properties"]


def test_endpoints_accept_https_from_instances_alone() -> None:
    group = load("network")["Resources"]["EndpointSecurityGroup"]["Properties"]
    (rule,) = group["SecurityGroupIngress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["InstanceSecurityGroup", "GroupId"]}


def test_every_service_that_the_job_needs_has_an_endpoint() -> None:
    endpoints = [each for each in load("network")["Resources"].values() if each["Type"] == "AWS::EC2::VPCEndpoint"]
    kinds = {each["Properties"]["ServiceName"]["Fn::Sub"].partition("}.")[2]: each["Properties"] for each in endpoints}
    assert {name: properties["VpcEndpointType"] for name, properties in kinds.items()} == {
        "ssm": "Interface",
        "ssmmessages": "Interface",
        "ec2messages": "Interface",
        "ecr.api": "Interface",
        "ecr.dkr": "Interface",
        "s3": "Gateway",
    }
    assert all(each["PrivateDnsEnabled"] for each in kinds.values() if each["VpcEndpointType"] == "Interface")


def test_egress_is_by_endpoints_or_by_nat_and_never_by_both() -> None:
    conditional = {
        name: resource.get("Condition")
        for name, resource in load("network")["Resources"].items()
        if "Condition" in resource
    }
    of_the_internet = {"InternetGateway", "InternetGatewayAttachment", "PublicSubnet", "PublicRouteTable"}
    of_the_internet |= {"PublicSubnetRouteTable", "PublicRoute", "NatAddress", "NatGateway", "PrivateRoute"}
    assert {name for name, condition in conditional.items() if condition == "HasNat"} == of_the_internet
    assert all(
        name.startswith("Endpoint") or name.endswith("Endpoint") for name in conditional if name not in of_the_internet
    )


def test_the_transfer_bucket_is_closed_encrypted_and_short_lived() -> None:
    resources = load("transfer")["Resources"]
    bucket = resources["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "VersioningConfiguration" not in bucket
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert [rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"]] == [1]
    (statement,) = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_principal_may_do_all_in_ecr_and_be_reached_over_ssm() -> None:
    arns = load("principal")["Resources"]["Role"]["Properties"]["ManagedPolicyArns"]
    assert [arn["Fn::Sub"].rpartition("/")[2] for arn in arns] == [
        "AmazonSSMManagedInstanceCore",
        "AmazonEC2ContainerRegistryFullAccess",
    ]


def test_an_instance_keeps_its_credentials_to_itself() -> None:
    instance = load("principal")["Resources"]["Instance"]["Properties"]
    assert instance["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert [each["Ebs"]["Encrypted"] for each in instance["BlockDeviceMappings"]] == [True]


def test_an_instance_carries_what_the_inventory_looks_for() -> None:
    tags = {tag["Key"]: tag["Value"] for tag in load("principal")["Resources"]["Instance"]["Properties"]["Tags"]}
    assert tags == {"Name": {"Ref": "Principal"}, "Deployment": {"Ref": "Prefix"}, "Principal": {"Ref": "Principal"}}
