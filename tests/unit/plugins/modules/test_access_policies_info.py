# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""access_policies_info reads what moto has, says what it could not read, and feeds access_simulation."""

from __future__ import annotations

import json

import boto3
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.policyproof.ecr.plugins.modules import access_policies_info, access_simulation
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from moto import mock_aws
from moto.iam.aws_managed_policies import aws_managed_policies_data

ACCOUNT = "123456789012"
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/team/app"
ECR_FULL = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess"


def allow(action):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}


# moto takes seconds to load all of AWS's own managed policies, at every reset; these are those in use here.
OWN_POLICIES = json.dumps(
    {
        name: policy
        for name, policy in json.loads(aws_managed_policies_data).items()
        if name in ("AdministratorAccess", "AmazonEC2ContainerRegistryFullAccess", "AmazonSSMManagedInstanceCore")
    }
)


LOADER = create_loader()
"""Reads botocore's descriptions of services once for all tests; every session of boto3 would read them again."""


@pytest.fixture(autouse=True)
def aws(monkeypatch):
    """An account of moto's, with some of AWS's own managed policies, in this process."""
    monkeypatch.setattr("botocore.session.create_loader", lambda *_paths: LOADER)
    monkeypatch.setattr(LOADER, "_search_paths", list(LOADER.search_paths))
    monkeypatch.setattr("moto.iam.models.aws_managed_policies_data", OWN_POLICIES)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture
def run(capsys):
    """Run a module; its result."""

    def run_(module, **arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run_


@pytest.fixture
def info(run):
    return lambda **arguments: run(access_policies_info, region="us-east-1", **arguments)


@pytest.fixture
def role():
    """A role with an attached policy in its second version, one of AWS's, an inline one, a boundary and a tag."""
    iam = boto3.client("iam")
    own = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(allow("s3:*")))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=own, PolicyDocument=json.dumps(allow("sqs:*")), SetAsDefault=True)
    boundary = iam.create_policy(PolicyName="limit", PolicyDocument=json.dumps(allow("ecr:*")))["Policy"]["Arn"]
    arn = iam.create_role(
        RoleName="builder",
        Path="/team/",
        AssumeRolePolicyDocument="{}",
        PermissionsBoundary=boundary,
        Tags=[{"Key": "team", "Value": "red"}],
    )["Role"]["Arn"]
    for policy in (own, ECR_FULL):
        iam.attach_role_policy(RoleName="builder", PolicyArn=policy)
    iam.put_role_policy(RoleName="builder", PolicyName="inline", PolicyDocument=json.dumps(allow("sns:*")))
    return arn


def test_a_role(info, role):
    result = info(principals=[role], organization=False)
    assert not result["changed"]
    (principal,) = result["principals"]
    policies = {policy["name"]: policy for policy in principal["policies"]}
    assert set(policies) == {"own", "AmazonEC2ContainerRegistryFullAccess", "inline"}
    assert policies["own"]["document"] == allow("sqs:*")
    assert policies["inline"] == {"name": "inline", "arn": None, "document": allow("sns:*")}
    assert policies["AmazonEC2ContainerRegistryFullAccess"]["arn"] == ECR_FULL
    assert principal["permissions_boundary"]["document"] == allow("ecr:*")
    assert (principal["name"], principal["arn"], principal["tags"]) == ("builder", role, {"team": "red"})
    assert result["unread"] == result["missing"] == []


def test_more_policies_than_fit_on_a_page(info, role):
    iam = boto3.client("iam")
    for number in range(101):
        iam.put_role_policy(RoleName="builder", PolicyName=f"p{number}", PolicyDocument=json.dumps(allow("ecr:*")))
    (principal,) = info(principals=[role], organization=False)["principals"]
    assert len(principal["policies"]) == 104


def test_a_user_has_the_policies_of_its_groups(info):
    iam = boto3.client("iam")
    arn = iam.create_user(UserName="alice")["User"]["Arn"]
    iam.put_user_policy(UserName="alice", PolicyName="mine", PolicyDocument=json.dumps(allow("s3:*")))
    iam.create_group(GroupName="builders")
    iam.attach_group_policy(GroupName="builders", PolicyArn=ECR_FULL)
    iam.put_group_policy(GroupName="builders", PolicyName="ours", PolicyDocument=json.dumps(allow("sns:*")))
    iam.add_user_to_group(GroupName="builders", UserName="alice")
    (principal,) = info(principals=[arn], organization=False)["principals"]
    assert [policy["name"] for policy in principal["policies"]] == [
        "mine",
        "AmazonEC2ContainerRegistryFullAccess",
        "ours",
    ]


def test_an_instance_profile_and_a_session_are_those_of_their_role(info, role):
    iam = boto3.client("iam")
    profile = iam.create_instance_profile(InstanceProfileName="runner")["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="runner", RoleName="builder")
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/i-1"
    principals = info(principals=[profile, session], organization=False)["principals"]
    assert [(one["arn"], one["session_arn"]) for one in principals] == [(role, None), (role, session)]


def test_a_profile_without_a_role_fails_with_a_sentence(info):
    arn = boto3.client("iam").create_instance_profile(InstanceProfileName="empty")["InstanceProfile"]["Arn"]
    assert info(principals=[arn])["msg"] == "The instance profile empty has no role."


def test_the_caller(info):
    iam = boto3.client("iam")
    iam.create_user(UserName="deployer")
    iam.attach_user_policy(UserName="deployer", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    result = info(
        principals=["caller"],
        organization=False,
        access_key=key["AccessKeyId"],
        secret_key=key["SecretAccessKey"],
    )
    assert result["caller"] == {"arn": f"arn:aws:iam::{ACCOUNT}:user/deployer", "account": ACCOUNT}
    assert [policy["name"] for policy in result["principals"][0]["policies"]] == ["AdministratorAccess"]


def test_the_root_user_has_no_policies(info):
    arn = f"arn:aws:iam::{ACCOUNT}:root"
    (principal,) = info(principals=[arn], organization=False)["principals"]
    assert (principal["name"], principal["arn"], principal["policies"]) == ("root", arn, [])


def test_who_is_not_there_is_missing_and_who_is_elsewhere_is_unread(info):
    gone, elsewhere = f"arn:aws:iam::{ACCOUNT}:role/gone", "arn:aws:iam::210987654321:role/builder"
    result = info(principals=[gone, elsewhere], managed_policies=["arn:aws:iam::aws:policy/No"], organization=False)
    assert result["principals"] == []
    assert result["missing"] == [gone, "arn:aws:iam::aws:policy/No"]
    assert [(one["layer"], one["of"]) for one in result["unread"]] == [("identity-based policy", elsewhere)]
    assert "account 210987654321" in result["unread"][0]["reason"]


@pytest.mark.parametrize("arn", ["builder", "arn:aws:s3:::bucket", f"arn:aws:iam::{ACCOUNT}:group/x"])
def test_what_is_no_principal_fails_with_a_sentence(info, arn):
    assert info(principals=[arn])["msg"].startswith(f"{arn!r} is no ARN of a role")


def test_managed_policies_by_arn(info):
    arns = [ECR_FULL, "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]
    documents = info(managed_policies=arns)["managed_policies"]
    assert list(documents) == arns
    assert all(document["Statement"] for document in documents.values())


def test_a_repository(info):
    ecr = boto3.client("ecr")
    absent = info(repository="team/app", organization=False)
    assert (absent["repository"]["exists"], absent["repository_policy"]) == (False, None)
    ecr.create_repository(repositoryName="team/app", tags=[{"Key": "stage", "Value": "test"}])
    bare = info(repository="team/app", organization=False)
    assert (bare["repository"]["exists"], bare["repository_policy"], bare["unread"]) == (True, None, [])
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage"}],
    }
    ecr.set_repository_policy(repositoryName="team/app", policyText=json.dumps(policy))
    for asked in ("team/app", REPOSITORY):
        result = info(repository=asked, organization=False)
        assert result["repository"] == {
            "name": "team/app",
            "arn": REPOSITORY,
            "exists": True,
            "tags": {"stage": "test"},
        }
        assert result["repository_policy"] == policy


def test_an_account_outside_any_organization_is_under_no_control_policies(info, role):
    result = info(principals=[role], repository="team/app")
    assert (result["scps"], result["rcps"], result["unread"]) == ([], [], [])


def test_a_management_account_is_under_no_service_control_policies(info, role):
    boto3.client("organizations").create_organization(FeatureSet="ALL")
    result = info(principals=[role])
    assert (result["scps"], result["unread"]) == ([], [])


def test_service_control_policies_from_root_to_account():
    organizations = boto3.client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    root = organizations.list_roots()["Roots"][0]["Id"]
    organizations.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    unit = organizations.create_organizational_unit(ParentId=root, Name="unit")["OrganizationalUnit"]["Id"]
    account = organizations.create_account(AccountName="member", Email="member@example.org")
    member = account["CreateAccountStatus"]["AccountId"]
    organizations.move_account(AccountId=member, SourceParentId=root, DestinationParentId=unit)
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ecr:PutImage", "Resource": "*"}]}
    policy = organizations.create_policy(
        Name="no push", Description="", Type="SERVICE_CONTROL_POLICY", Content=json.dumps(deny)
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=policy, TargetId=unit)
    policies = access_policies_info.Policies(client_of, "us-east-1")
    levels = policies.control_policies("service control policy", member)
    assert policies.unread == []
    assert [[one["name"] for one in level] for level in levels] == [
        ["FullAWSAccess"],
        ["FullAWSAccess", "no push"],
        ["FullAWSAccess"],
    ]
    assert levels[1][1]["document"] == deny


def client_of(service):
    """A client as AnsibleAWSModule gives it: it takes aws_retry."""

    class Client:
        def __init__(self):
            self._client = boto3.client(service)

        def __getattr__(self, name):
            found = getattr(self._client, name)
            if name in ("get_paginator", "meta"):
                return found
            return lambda aws_retry=False, **arguments: found(**arguments)

    return Client()


def test_what_may_not_be_read_is_said(info, role, monkeypatch):
    real = BaseClient._make_api_call
    boto3.client("ecr").create_repository(repositoryName="team/app")
    attached = {"own", "AmazonEC2ContainerRegistryFullAccess"}
    for operation, layer, kept in [
        ("ListAttachedRolePolicies", "identity-based policy", [{"inline"}]),
        ("ListRolePolicies", "identity-based policy", [attached]),
        ("GetRolePolicy", "identity-based policy", [attached]),
        ("GetPolicyVersion", "permissions boundary", [{"inline"}]),
        ("GetRole", "identity-based policy", []),
        ("GetRepositoryPolicy", "resource-based policy", [attached | {"inline"}]),
        ("DescribeOrganization", "service control policy", [attached | {"inline"}]),
    ]:

        def refuse(self, name, arguments, operation=operation):
            if name == operation:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, name)
            return real(self, name, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
        result = info(principals=[role], repository="team/app")
        assert not result.get("failed")
        assert layer in {one["layer"] for one in result["unread"]}, operation
        assert all("AccessDenied: not you" in one["reason"] for one in result["unread"])
        assert [{policy["name"] for policy in one["policies"]} for one in result["principals"]] == kept, operation


def test_what_is_read_is_what_is_simulated(info, run, role):
    ecr = boto3.client("ecr")
    ecr.create_repository(repositoryName="team/app")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "NoPush",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "ecr:PutImage",
                "Condition": {"ArnEquals": {"aws:PrincipalArn": role}},
            }
        ],
    }
    ecr.set_repository_policy(repositoryName="team/app", policyText=json.dumps(policy))
    read = info(principals=[role], repository="team/app")
    result = run(
        access_simulation,
        principals=read["principals"],
        repository=read["repository"]["arn"],
        repository_policy=read["repository_policy"],
        repository_tags=read["repository"]["tags"],
        scps=read["scps"],
        rcps=read["rcps"],
    )
    assert [(one["action"], one["effect"], one["statement"], one["policy"]) for one in result["decisions"]] == [
        ("push", "deny", "NoPush", None),
        ("pull", "allow", "Statement[0]", "AmazonEC2ContainerRegistryFullAccess"),
    ]
