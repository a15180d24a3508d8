# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each fix of moto is needed, and does what it says.

Each scenario runs against moto as it is and against moto with the fixes, and tells what it saw. If plain moto comes to
show what AWS would, the scenario fails: its fix can go.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from ansible_collections.policyproof.ecr.lab.moto_fixes import FIXES

SUPPORT = Path(__file__).parents[2] / "support"
_spec = importlib.util.spec_from_file_location("moto_process", SUPPORT / "moto_process.py")
moto_process = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(moto_process)

Observation = Callable[[Any], Any]
SCENARIOS: list[tuple[str, Observation, Any]] = []


def scenario(fix: str, expected: Any) -> Callable[[Observation], Observation]:
    """Register what the API shows of one fix: ``expected`` with it, anything else without it."""

    def register(observe: Observation) -> Observation:
        SCENARIOS.append((fix, observe, expected))
        return observe

    return register


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with moto_process.moto("plain", tmp_path_factory.mktemp("plain")) as aws:
        yield aws


@pytest.fixture(scope="session")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with moto_process.moto("fixed", tmp_path_factory.mktemp("fixed")) as aws:
        yield aws


def template(resources: dict[str, Any], **sections: Any) -> str:
    return json.dumps({"Resources": resources, **sections})


def gap(aws: Any, observe: Observation) -> Any:
    """What is seen, a refusal included."""
    try:
        return observe(aws)
    except (Exception, pytest.fail.Exception) as fault:
        return fault


# ECR

REPOSITORY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage"}],
}
LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9},
            "action": {"type": "expire"},
        }
    ]
}
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 2,
            "digest": "sha256:" + "a" * 64,
        },
        "layers": [],
    }
)


@scenario("ecr.name_the_lab_s_registry", "123456789012.dkr.ecr.us-east-1.amazonaws.com:45443/named")
def repository_uri(aws: Any) -> Any:
    return aws.client("ecr").create_repository(repositoryName="named")["repository"]["repositoryUri"]


@scenario("ecr.digest_manifests", "sha256:" + hashlib.sha256(MANIFEST.encode()).hexdigest())
def image_digest(aws: Any) -> Any:
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName="digested")
    return ecr.put_image(repositoryName="digested", imageManifest=MANIFEST, imageTag="v1")["image"]["imageId"][
        "imageDigest"
    ]


def repository(**properties: Any) -> str:
    return template({"Repository": {"Type": "AWS::ECR::Repository", "Properties": properties}})


@scenario("ecr.provision_all_of_a_repository", (REPOSITORY_POLICY, LIFECYCLE, True, "AES256", "set", []))
def repository_properties(aws: Any) -> Any:
    ecr = aws.client("ecr")
    properties = {
        "RepositoryName": "whole",
        "RepositoryPolicyText": REPOSITORY_POLICY,
        "LifecyclePolicy": {"LifecyclePolicyText": json.dumps(LIFECYCLE)},
        "ImageScanningConfiguration": {"ScanOnPush": "true"},
        "EncryptionConfiguration": {"EncryptionType": "AES256"},
        "EmptyOnDelete": True,
    }
    aws.create("whole", repository(**properties))
    policy = json.loads(ecr.get_repository_policy(repositoryName="whole")["policyText"])
    lifecycle = json.loads(ecr.get_lifecycle_policy(repositoryName="whole")["lifecyclePolicyText"])
    described = ecr.describe_repositories(repositoryNames=["whole"])["repositories"][0]
    ecr.put_image(repositoryName="whole", imageManifest=MANIFEST, imageTag="v1")
    # An update that is no replacement keeps the images, and takes away what the template no longer has.
    properties.pop("LifecyclePolicy")
    properties["RepositoryPolicyText"] = {**REPOSITORY_POLICY, "Id": "set"}
    aws.update("whole", repository(**properties))
    updated = json.loads(ecr.get_repository_policy(repositoryName="whole")["policyText"])["Id"]
    assert ecr.list_images(repositoryName="whole")["imageIds"]
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName="whole")
    aws.delete("whole")
    left = [each for each in ecr.describe_repositories()["repositories"] if each["repositoryName"] == "whole"]
    scanning = described["imageScanningConfiguration"]["scanOnPush"]
    return policy, lifecycle, scanning, described["encryptionConfiguration"]["encryptionType"], updated, left


# IAM


@scenario("iam.load_managed_policies", "AmazonSSMManagedInstanceCore")
def managed_policy(aws: Any) -> Any:
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    return aws.client("iam").get_policy(PolicyArn=arn)["Policy"]["PolicyName"]


def trust(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def role(name: str, service: str, managed: list[str], inline: list[str]) -> str:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    properties = {
        "RoleName": name,
        "AssumeRolePolicyDocument": trust(service),
        "ManagedPolicyArns": managed,
        "Policies": [{"PolicyName": each, "PolicyDocument": document} for each in inline],
    }
    return template({"Role": {"Type": "AWS::IAM::Role", "Properties": properties}})


@scenario(
    "iam.provision_all_of_a_role",
    [(["one"], ["first"], "ec2.amazonaws.com"), (["two"], ["second"], "ecs.amazonaws.com"), "NoSuchEntity"],
)
def role_properties(aws: Any) -> Any:
    iam = aws.client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    arns = {
        name: iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"] for name in ("one", "two")
    }

    def seen() -> Any:
        attached = iam.list_attached_role_policies(RoleName="carrier")["AttachedPolicies"]
        document = iam.get_role(RoleName="carrier")["Role"]["AssumeRolePolicyDocument"]
        inline = iam.list_role_policies(RoleName="carrier")["PolicyNames"]
        return [each["PolicyName"] for each in attached], inline, document["Statement"][0]["Principal"]["Service"]

    aws.create("carrier", role("carrier", "ec2.amazonaws.com", [arns["one"]], ["first"]))
    created = seen()
    aws.update("carrier", role("carrier", "ecs.amazonaws.com", [arns["two"]], ["second"]))
    updated = seen()
    aws.delete("carrier")
    with pytest.raises(botocore.exceptions.ClientError) as gone:
        iam.get_role(RoleName="carrier")
    return [created, updated, gone.value.response["Error"]["Code"]]


# S3


@scenario("s3.provision_all_of_a_bucket", (True, "BucketOwnerEnforced", 1, 2))
def bucket_properties(aws: Any) -> Any:
    blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    properties = {
        "BucketName": "whole",
        "PublicAccessBlockConfiguration": dict.fromkeys(blocks, True),
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Status": "Enabled",
                    "ExpirationInDays": 1,
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
                }
            ]
        },
    }
    aws.create("bucket", template({"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}}))
    s3 = aws.client("s3")
    ownership = s3.get_bucket_ownership_controls(Bucket="whole")["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
    rule = s3.get_bucket_lifecycle_configuration(Bucket="whole")["Rules"][0]
    block = s3.get_public_access_block(Bucket="whole")["PublicAccessBlockConfiguration"]
    days = rule["Expiration"]["Days"], rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
    return all(block.values()), ownership, *days


@scenario("s3.provision_bucket_policies", "Deny")
def bucket_policy(aws: Any) -> Any:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::guarded/*"}
    resources = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "guarded"}},
        "Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": {"Ref": "Bucket"},
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            },
        },
    }
    aws.create("guarded", template(resources))
    effect = json.loads(aws.client("s3").get_bucket_policy(Bucket="guarded")["Policy"])["Statement"][0]["Effect"]
    aws.delete("guarded")
    assert "guarded" not in [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]
    return effect


@scenario("s3.judge_conditions_of_bucket_policies", b"open")
def bucket_for_tls(aws: Any) -> Any:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="tls")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::tls/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="tls", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket="tls", Key="box", Body=b"open")
    return s3.get_object(Bucket="tls", Key="box")["Body"].read()


@scenario("s3.refuse_to_delete_full_buckets", (["DELETE_FAILED"], "BucketNotEmpty", []))
def full_bucket(aws: Any) -> Any:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "filled"}}
    aws.create("filled", template({"Bucket": bucket}))
    s3 = aws.client("s3")
    s3.put_object(Bucket="filled", Key="something", Body=b"")
    aws.delete("filled")
    statuses = [aws.stack("filled")["StackStatus"]]
    reason = next(
        event["ResourceStatusReason"] for event in aws.events("filled") if event["LogicalResourceId"] == "Bucket"
    )
    s3.delete_object(Bucket="filled", Key="something")
    s3.delete_bucket(Bucket="filled")
    # A bucket that is gone already is no obstacle.
    aws.delete("filled")
    listed = aws.client("cloudformation").describe_stacks()["Stacks"]
    code = "BucketNotEmpty" if "not empty" in reason else reason
    return statuses, code, [each for each in listed if each["StackName"] == "filled"]


# EC2

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/24"}}
SUBNET = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.9.0.0/25"}}
NETWORK = {"Vpc": VPC, "Subnet": SUBNET}


def reference(*names: str) -> dict[str, Any]:
    return {name: {"Value": {"Ref": name}} for name in names}


def security_group(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "A group", "VpcId": {"Ref": "Vpc"}, **properties},
    }


def instance(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::EC2::Instance",
        "Properties": {"ImageId": "ami-12c6146b", "SubnetId": {"Ref": "Subnet"}, **properties},
    }


@scenario("ec2.provision_all_of_an_instance", (True, "required", 2, True, "terminated"))
def instance_properties(aws: Any) -> Any:
    ec2 = aws.client("ec2")
    resources = {
        **NETWORK,
        "Group": security_group(),
        "Instance": instance(
            SecurityGroupIds=[{"Fn::GetAtt": ["Group", "GroupId"]}],
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}],
        ),
    }
    outputs = aws.create("whole-instance", template(resources, Outputs=reference("Instance", "Group")))

    def seen() -> Any:
        return ec2.describe_instances(InstanceIds=[outputs["Instance"]])["Reservations"][0]["Instances"][0]

    running = seen()
    volume = running["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    encrypted = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Encrypted"]
    groups = [group["GroupId"] for group in running["SecurityGroups"]]
    options = running["MetadataOptions"]
    aws.delete("whole-instance")
    ended = seen()["State"]["Name"]
    return groups == [outputs["Group"]], options["HttpTokens"], options["HttpPutResponseHopLimit"], encrypted, ended


@scenario("ec2.provision_dns_of_a_vpc", (False, True))
def vpc_dns(aws: Any) -> Any:
    properties = {**VPC["Properties"], "EnableDnsSupport": False, "EnableDnsHostnames": "true"}
    vpc = aws.create("dns", template({"Vpc": {**VPC, "Properties": properties}}, Outputs=reference("Vpc")))["Vpc"]
    ec2 = aws.client("ec2")
    return (
        ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"],
        ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"],
    )


@scenario("ec2.provision_egress_of_a_security_group", ([(443, "10.0.0.0/8")], [(80, "10.0.0.0/8")], [22], True))
def security_group_egress(aws: Any) -> Any:
    def group(port: int, **more: Any) -> str:
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": "10.0.0.0/8"}
        resources = {"Vpc": VPC, "Group": security_group(SecurityGroupEgress=[rule], **more)}
        return template(resources, Outputs={"Id": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}}})

    def seen(group_id: str) -> Any:
        return aws.client("ec2").describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]

    def egress(group_id: str) -> Any:
        rules = seen(group_id)["IpPermissionsEgress"]
        return [(rule.get("FromPort"), rule["IpRanges"][0]["CidrIp"]) for rule in rules]

    created = aws.create("egress", group(443))["Id"]
    first = egress(created)
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/8"}
    updated = aws.update("egress", group(80, SecurityGroupIngress=[ssh]))["Id"]
    ingress = [rule["FromPort"] for rule in seen(updated)["IpPermissions"]]
    return first, egress(updated), ingress, created == updated


ROUTE_TABLE = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}}
ASSOCIATION = {
    "Type": "AWS::EC2::SubnetRouteTableAssociation",
    "Properties": {"SubnetId": {"Ref": "Subnet"}, "RouteTableId": {"Ref": "Table"}},
}


@scenario("ec2.associate_route_tables", True)
def route_table_association(aws: Any) -> Any:
    resources = {**NETWORK, "Table": ROUTE_TABLE, "Association": ASSOCIATION}
    outputs = aws.create("associated", template(resources, Outputs=reference("Table", "Subnet", "Association")))
    found = aws.client("ec2").describe_route_tables(RouteTableIds=[outputs["Table"]])["RouteTables"][0]["Associations"]
    seen = [(each.get("SubnetId"), each["RouteTableAssociationId"]) for each in found]
    aws.delete("associated")
    return seen == [(outputs["Subnet"], outputs["Association"])]


@scenario("ec2.delete_what_a_network_is_made_of", [0, 0, 0, 0, 0, ["deleted"]])
def network_deletion(aws: Any) -> Any:
    ec2 = aws.client("ec2")
    resources = {
        **NETWORK,
        "Table": ROUTE_TABLE,
        "Association": ASSOCIATION,
        "Gateway": {"Type": "AWS::EC2::InternetGateway"},
        "Attachment": {
            "Type": "AWS::EC2::VPCGatewayAttachment",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "InternetGatewayId": {"Ref": "Gateway"}},
        },
        "Address": {"Type": "AWS::EC2::EIP", "DependsOn": "Attachment", "Properties": {"Domain": "vpc"}},
        "Nat": {
            "Type": "AWS::EC2::NatGateway",
            "Properties": {"SubnetId": {"Ref": "Subnet"}, "AllocationId": {"Fn::GetAtt": ["Address", "AllocationId"]}},
        },
        "Route": {
            "Type": "AWS::EC2::Route",
            "Properties": {
                "RouteTableId": {"Ref": "Table"},
                "DestinationCidrBlock": "0.0.0.0/0",
                "NatGatewayId": {"Ref": "Nat"},
            },
        },
        "S3": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcEndpointType": "Gateway",
                "ServiceName": "com.amazonaws.us-east-1.s3",
                "VpcId": {"Ref": "Vpc"},
                "RouteTableIds": [{"Ref": "Table"}],
            },
        },
        "Ssm": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcEndpointType": "Interface",
                "ServiceName": "com.amazonaws.us-east-1.ssm",
                "VpcId": {"Ref": "Vpc"},
                "SubnetIds": [{"Ref": "Subnet"}],
            },
        },
    }
    outputs = aws.create("network", template(resources, Outputs=reference("Vpc", "Nat", "Gateway")))
    here = [{"Name": "vpc-id", "Values": [outputs["Vpc"]]}]
    aws.delete("network")
    gateways = [each["InternetGatewayId"] for each in ec2.describe_internet_gateways()["InternetGateways"]]
    return [
        len(ec2.describe_vpcs(Filters=here)["Vpcs"]),
        len(ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"]),
        len(ec2.describe_route_tables(Filters=here)["RouteTables"]),
        gateways.count(outputs["Gateway"]),
        len(ec2.describe_addresses()["Addresses"]),
        [each["State"] for each in ec2.describe_nat_gateways(NatGatewayIds=[outputs["Nat"]])["NatGateways"]],
    ]


# Templates

QUEUE = {"Type": "AWS::SQS::Queue"}


@scenario("templates.drop_no_value_from_lists", "a,b")
def no_value_in_a_list(aws: Any) -> Any:
    joined = {"Fn::Join": [",", ["a", {"Fn::If": ["Never", "x", {"Ref": "AWS::NoValue"}]}, "b"]]}
    body = template(
        {"Queue": QUEUE}, Conditions={"Never": {"Fn::Equals": ["a", "b"]}}, Outputs={"Out": {"Value": joined}}
    )
    return aws.create("no-value", body)["Out"]


@scenario("templates.find_availability_zones", "us-east-1a")
def availability_zones(aws: Any) -> Any:
    zone = {"Fn::Select": [0, {"Fn::GetAZs": {"Ref": "AWS::Region"}}]}
    return aws.create("zones", template({"Queue": QUEUE}, Outputs={"Out": {"Value": zone}}))["Out"]


@scenario(
    "templates.refuse_unknown_resource_types", "Template format error: Unrecognized resource types: [AWS::ECR::Nothing]"
)
def unknown_types(aws: Any) -> Any:
    try:
        aws.create("unknown", template({"Queue": QUEUE, "Nothing": {"Type": "AWS::ECR::Nothing"}}))
    except botocore.exceptions.ClientError as refusal:
        return refusal.response["Error"]["Message"]
    return aws.stack("unknown")["StackStatus"]


# Changes

# A bucket name that S3 refuses, but only when asked.
REFUSED = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "x"}}


@scenario("changes.say_which_resource_failed", [("Bucket", "AWS::S3::Bucket", True)])
def failed_resource(aws: Any) -> Any:
    aws.create("which", template({"Bucket": REFUSED}), OnFailure="DO_NOTHING")
    return [
        (event["LogicalResourceId"], event["ResourceType"], bool(event["ResourceStatusReason"]))
        for event in aws.events("which")
        if event["ResourceType"] != "AWS::CloudFormation::Stack"
    ]


def on_demand() -> str:
    """A queue that exists for one value of a parameter, and an instance that depends on it."""
    resources = {
        **NETWORK,
        "Queue": {**QUEUE, "Condition": "HasQueue"},
        "Instance": instance(InstanceType={"Fn::If": ["HasQueue", "t3.small", "t3.micro"]}),
    }
    return template(
        resources,
        Parameters={"Wanted": {"Type": "String", "Default": "no"}},
        Conditions={"HasQueue": {"Fn::Equals": [{"Ref": "Wanted"}, "yes"]}},
        Outputs=reference("Instance"),
    )


@scenario("changes.update_by_what_changes", [(0, "t3.micro"), (1, "t3.small"), (0, "t3.micro"), ["running"]])
def conditional_update(aws: Any) -> Any:
    ec2, queues = aws.client("ec2"), aws.client("sqs")

    def seen(outputs: dict[str, str]) -> Any:
        found = ec2.describe_instances(InstanceIds=[outputs["Instance"]])["Reservations"][0]["Instances"][0]
        named = queues.list_queues(QueueNamePrefix="demand-").get("QueueUrls", [])
        return len(named), found["InstanceType"]

    views = [seen(aws.create("demand", on_demand()))]
    views += [seen(aws.update("demand", on_demand(), {"Wanted": value})) for value in ("yes", "no")]
    # Of three instances, each in the other's place, one is left.
    filters = [{"Name": "tag:aws:cloudformation:stack-name", "Values": ["demand"]}]
    found = [each["Instances"][0] for each in ec2.describe_instances(Filters=filters)["Reservations"]]
    return [*views, [each["State"]["Name"] for each in found if each["State"]["Name"] != "terminated"]]


@scenario("changes.tell_all_changes", [("Modify", "Queue"), ("Add", "Late")])
def change_set_of_parameters(aws: Any) -> Any:
    body = template(
        {
            "Queue": {**QUEUE, "Properties": {"VisibilityTimeout": {"Ref": "Timeout"}}},
            "Other": QUEUE,
            "Late": {**QUEUE, "Condition": "IsLate"},
        },
        Parameters={"Timeout": {"Type": "Number", "Default": 3}},
        Conditions={"IsLate": {"Fn::Equals": [{"Ref": "Timeout"}, 5]}},
    )
    aws.create("changing", body)
    cloudformation = aws.client("cloudformation")
    name = cloudformation.create_change_set(
        StackName="changing",
        ChangeSetName="five",
        ChangeSetType="UPDATE",
        TemplateBody=body,
        Parameters=moto_process.parameter_list({"Timeout": "5"}),
    )["Id"]
    changes = cloudformation.describe_change_set(ChangeSetName=name)["Changes"]
    assert len(aws.client("sqs").list_queues(QueueNamePrefix="changing-")["QueueUrls"]) == 2
    return [(each["ResourceChange"]["Action"], each["ResourceChange"]["LogicalResourceId"]) for each in changes]


# Stacks


@scenario("stacks.tell_events_by_request", {"mine"})
def request_tokens(aws: Any) -> Any:
    aws.create("token", template({"Queue": QUEUE}), ClientRequestToken="mine")
    return {event.get("ClientRequestToken") for event in aws.events("token")}


@scenario("stacks.list_what_exists", ["Queue"])
def listed_resources(aws: Any) -> Any:
    resources = {"Queue": QUEUE, "Absent": {**QUEUE, "Condition": "Never"}}
    aws.create("listed", template(resources, Conditions={"Never": {"Fn::Equals": ["a", "b"]}}))
    listed = aws.client("cloudformation").list_stack_resources(StackName="listed")["StackResourceSummaries"]
    return [each["LogicalResourceId"] for each in listed]


IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"


@scenario("stacks.tell_parameters_as_given", {"List": "a,b", "Empty": "", "Secret": "****", "Image": (IMAGE, "ami-")})
def parameters(aws: Any) -> Any:
    declared = {
        "List": {"Type": "CommaDelimitedList"},
        "Empty": {"Type": "CommaDelimitedList", "Default": ""},
        "Secret": {"Type": "String", "NoEcho": True},
        "Image": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": IMAGE},
    }
    aws.create("parameters", template({"Queue": QUEUE}, Parameters=declared), {"List": "a,b", "Secret": "s"})
    told = {each["ParameterKey"]: each for each in aws.stack("parameters")["Parameters"]}
    resolved = told["Image"]["ParameterValue"], told["Image"]["ResolvedValue"][:4]
    return {**{name: each["ParameterValue"] for name, each in told.items()}, "Image": resolved}


@scenario(
    "stacks.settle_failed_creations", ["CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"]
)
def failed_creation(aws: Any) -> Any:
    statuses = []
    for options in ({"DisableRollback": True}, {"OnFailure": "ROLLBACK"}, {}, {"OnFailure": "DELETE"}):
        resources = {"Queue": QUEUE, "Bucket": {**REFUSED, "DependsOn": "Queue"}}
        body = template(resources, Outputs=reference("Bucket", "Queue"))
        name = f"failing-{len(statuses)}"
        stack = aws.client("cloudformation").create_stack(StackName=name, TemplateBody=body, **options)["StackId"]
        statuses.append(aws.stack(stack)["StackStatus"])
        assert aws.outputs(stack) == {}
        aws.client("cloudformation").describe_stack_resources(StackName=stack)
        left = aws.client("sqs").list_queues(QueueNamePrefix=f"{name}-").get("QueueUrls", [])
        assert bool(left) == ("DisableRollback" in options)
    return statuses


@scenario("stacks.settle_failed_updates", ("UPDATE_ROLLBACK_COMPLETE", 1, "first"))
def failed_update(aws: Any) -> Any:
    def body(description: str, **more: Any) -> str:
        return template({"Queue": QUEUE, **more}, Description=description)

    aws.create("half", body("first"))
    aws.client("cloudformation").update_stack(
        StackName="half",
        TemplateBody=body("second", Late={**QUEUE, "DependsOn": "Queue"}, Bucket={**REFUSED, "DependsOn": "Late"}),
    )
    left = aws.client("sqs").list_queues(QueueNamePrefix="half-")["QueueUrls"]
    return aws.stack("half")["StackStatus"], len(left), aws.stack("half")["Description"]


@scenario("stacks.settle_failed_deletions", ("DELETE_FAILED", "Bucket", "DELETE_COMPLETE"))
def failed_deletion(aws: Any) -> Any:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "full"}}
    stack = aws.client("cloudformation").create_stack(StackName="full", TemplateBody=template({"Bucket": bucket}))[
        "StackId"
    ]
    aws.client("s3").put_object(Bucket="full", Key="something", Body=b"")
    aws.delete("full")
    status = aws.stack("full")["StackStatus"]
    failed = [event["LogicalResourceId"] for event in aws.events(stack) if event["ResourceStatus"] == "DELETE_FAILED"]
    aws.client("s3").delete_object(Bucket="full", Key="something")
    aws.delete("full")
    return status, failed[-1], aws.stack(stack)["StackStatus"]


@scenario("stacks.refuse_updates_without_changes", ["No updates are to be performed."] * 3)
def unchanged_update(aws: Any) -> Any:
    messages = []
    parameters = {
        "List": {"Type": "CommaDelimitedList", "Default": ""},
        "Other": {"Type": "String", "Default": "other"},
    }
    # No parameters; a list; one of several.
    for index, (declared, given) in enumerate(
        [({}, {}), (parameters, {"List": "a,b", "Other": "x"}), (parameters, {"Other": "y"})]
    ):
        body = template({"Queue": QUEUE}, **({"Parameters": declared} if declared else {}))
        aws.create(f"same-{index}", body, given, Tags=[{"Key": "k", "Value": "v"}])
        try:
            aws.update(f"same-{index}", body, given, Tags=[{"Key": "k", "Value": "v"}])
        except botocore.exceptions.ClientError as refusal:
            messages.append(refusal.response["Error"]["Message"])
        # Tags alone are a change.
        aws.update(f"same-{index}", body, given, Tags=[{"Key": "k", "Value": "w"}])
    return messages


@scenario("stacks.make_change_sets_of_stacks_that_exist", (["CREATE_COMPLETE"], "FAILED", True, "CREATE_COMPLETE"))
def change_sets(aws: Any) -> Any:
    cloudformation = aws.client("cloudformation")
    body = template({"Queue": QUEUE})
    aws.create("set", body, Tags=[{"Key": "k", "Value": "v"}])

    def change_set(name: str, value: str) -> Any:
        made = cloudformation.create_change_set(
            StackName="set", ChangeSetName=name, TemplateBody=body, Tags=[{"Key": "k", "Value": value}]
        )
        return cloudformation.describe_change_set(ChangeSetName=made["Id"])

    unchanged = change_set("unchanged", "v")
    listed = cloudformation.list_stacks()["StackSummaries"]
    stacks = [each["StackStatus"] for each in listed if each["StackName"] == "set"]
    reason = "didn't contain changes" in unchanged.get("StatusReason", "")
    return stacks, unchanged["Status"], reason, change_set("tags", "w")["Status"]


# What no API shows: see tests/support/moto_inside.py.
INSIDE = ("changes.delete_in_dependency_order", "stacks.handle_one_request_at_a_time")


@pytest.mark.parametrize(("fix", "observe", "expected"), SCENARIOS, ids=[case[0] for case in SCENARIOS])
def test_moto_needs_the_fix_and_the_fix_closes_the_gap(
    plain: Any, fixed: Any, fix: str, observe: Observation, expected: Any
) -> None:
    assert observe(fixed) == expected
    assert gap(plain, observe) != expected, f"moto needs {fix} no longer: remove it"


def test_moto_needs_the_fixes_that_no_api_shows() -> None:
    def observed(kind: str) -> Any:
        command = [sys.executable, str(SUPPORT / "moto_inside.py"), kind]
        # Sets are in the order of hashes, which is another in every process unless told.
        environment = {"PYTHONHASHSEED": "1"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(result.stdout.splitlines()[-1])

    assert observed("fixed") == dict.fromkeys(INSIDE, True)
    assert observed("plain") == dict.fromkeys(INSIDE, False), "moto needs these fixes no longer: remove them"


def test_every_fix_is_tested() -> None:
    fixes = {f"{fix.__module__.rpartition('.')[2]}.{fix.__name__}" for fix in FIXES}
    assert fixes == {case[0] for case in SCENARIOS} | set(INSIDE)


def test_every_fix_says_what_moto_does() -> None:
    assert [fix.__name__ for fix in FIXES if not fix.__doc__] == []
