# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what, through the registry and through the ECR API; the tutorial's table first."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends

if TYPE_CHECKING:
    from .conftest import LabOfEcr, RegistryClient

REPOSITORY = "fa-085"
ARN = "arn:aws:ecr:us-east-1:123456789012:repository/fa-085"
PUSH = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
]
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
UNKNOWN_DIGEST = "sha256:" + "ab" * 32
ALLOWED = "allowed"

# One request for each API action, with what it is answered with when it is allowed.
REQUESTS = {
    "ecr:BatchCheckLayerAvailability": ("HEAD", f"/v2/{REPOSITORY}/blobs/{UNKNOWN_DIGEST}", 404),
    "ecr:InitiateLayerUpload": ("POST", f"/v2/{REPOSITORY}/blobs/uploads/", 202),
    "ecr:UploadLayerPart": ("PATCH", f"/v2/{REPOSITORY}/blobs/uploads/none", 404),
    "ecr:CompleteLayerUpload": ("PUT", f"/v2/{REPOSITORY}/blobs/uploads/none?digest={UNKNOWN_DIGEST}", 404),
    "ecr:PutImage": ("PUT", f"/v2/{REPOSITORY}/manifests/v1", 400),
    "ecr:BatchGetImage": ("GET", f"/v2/{REPOSITORY}/manifests/v1", 404),
    "ecr:GetDownloadUrlForLayer": ("GET", f"/v2/{REPOSITORY}/blobs/{UNKNOWN_DIGEST}", 404),
}


def the_tutorial_s_policy(push: list[str], pull: list[str], admins: list[str]) -> list[dict[str, Any]]:
    def deny(sid: str, condition: str, arns: list[str], **what: Any) -> dict[str, Any]:
        return {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Condition": {condition: {"aws:PrincipalArn": arns}},
            **what,
        }

    return [
        deny("PushersOnlyPush", "ArnEquals", push, NotAction=PUSH),
        deny("PullersOnlyPull", "ArnEquals", pull, NotAction=PULL),
        deny("NobodyElse", "ArnNotEquals", push + pull + admins, Action="*"),
    ]


def observed(registry: RegistryClient) -> dict[str, str]:
    """What the registry answers for each API action: allowed, or the sentence."""
    found = {}
    for action, (method, target, allowed) in REQUESTS.items():
        answer = registry(method, target, None)
        if answer.status == allowed:
            found[action] = ALLOWED
        else:
            assert answer.status == 403, (action, answer)
            found[action] = answer.error[1] if method != "HEAD" else "denied"
            assert method == "HEAD" or answer.error[0] == "DENIED"
            assert method != "HEAD" or answer.content == b""
    return found


def sentence(session: str, action: str) -> str:
    return (
        f"User: {session} is not authorized to perform: {action} on resource: {ARN} "
        "with an explicit deny in a resource-based policy"
    )


def test_the_tutorial_s_table(lab: LabOfEcr) -> None:
    roles = {name: lab.role(f"fa-085-{name}") for name in ("instance1", "instance2", "instance3")}
    lab.set_policy(*the_tutorial_s_policy([roles["instance1"]], [roles["instance2"]], [lab.deployer_arn]))
    allowed = {"instance1": PUSH, "instance2": PULL, "instance3": []}
    for name, arn in roles.items():
        instance = f"i-0{name}"
        session = f"arn:aws:sts::123456789012:assumed-role/fa-085-{name}/{instance}"
        credentials = lab.session(arn, instance)
        expected = {action: sentence(session, action) for action in REQUESTS}
        expected["ecr:BatchCheckLayerAvailability"] = "denied"
        expected.update(dict.fromkeys(allowed[name], ALLOWED))
        assert observed(lab.registry(credentials)) == expected
        ecr = lab.client("ecr", credentials)
        for call in (
            lambda ecr=ecr: ecr.set_repository_policy(repositoryName=REPOSITORY, policyText="{}"),
            lambda ecr=ecr: ecr.delete_repository_policy(repositoryName=REPOSITORY),
            lambda ecr=ecr: ecr.delete_repository(repositoryName=REPOSITORY, force=True),
            lambda ecr=ecr: ecr.get_repository_policy(repositoryName=REPOSITORY),
        ):
            with pytest.raises(ClientError) as denied:
                call()
            assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
            assert "with an explicit deny in a resource-based policy" in denied.value.response["Error"]["Message"]
    assert set(observed(lab.registry()).values()) == {ALLOWED}


def test_everybody_is_locked_out_without_an_exempt_administrator(lab: LabOfEcr) -> None:
    lab.set_policy(
        *the_tutorial_s_policy(["arn:aws:iam::123456789012:role/a"], ["arn:aws:iam::123456789012:role/b"], [])
    )
    ecr = lab.client("ecr")
    for call in (
        lambda: ecr.delete_repository_policy(repositoryName=REPOSITORY),
        lambda: ecr.delete_repository(repositoryName=REPOSITORY, force=True),
        lambda: ecr.describe_images(repositoryName=REPOSITORY),
        lambda: ecr.describe_repositories(repositoryNames=[REPOSITORY]),
        lambda: ecr.list_tags_for_resource(resourceArn=ARN),
    ):
        with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
            call()
    assert ecr.get_authorization_token()["authorizationData"]
    assert ecr.describe_repositories()["repositories"][0]["repositoryName"] == REPOSITORY
    assert "denied" in observed(lab.registry()).values()


def test_authorization_comes_before_existence(lab: LabOfEcr) -> None:
    arn = lab.role("nobody", {"Version": "2012-10-17", "Statement": _allow("ecr:GetAuthorizationToken", "*")})
    registry = lab.registry(lab.session(arn))
    for path in (f"/v2/{REPOSITORY}/manifests/none", "/v2/not-there/manifests/none"):
        answer = registry("GET", path)
        assert (answer.status, answer.error[0]) == (403, "DENIED")
        assert answer.error[1].endswith("because no identity-based policy allows the ecr:BatchGetImage action")


def _allow(action: Any, resource: Any) -> list[dict[str, Any]]:
    return [{"Effect": "Allow", "Action": action, "Resource": resource}]


def test_a_push_that_is_stopped_half_way(lab: LabOfEcr) -> None:
    arn = lab.role("half")
    registry = lab.registry(lab.session(arn))
    for number, action in enumerate(PUSH):
        lab.set_policy(
            {
                "Effect": "Deny",
                "Principal": "*",
                **({"NotAction": PUSH[:number]} if number else {"Action": "*"}),
                "Condition": {"ArnEquals": {"aws:PrincipalArn": arn}},
            }
        )
        found = observed(registry)
        assert [name for name in PUSH if found[name] == ALLOWED] == PUSH[:number]
        assert found[action] != ALLOWED


def test_an_upload_in_one_request_needs_all_of_its_actions(lab: LabOfEcr) -> None:
    arn = lab.role("two-of-three")
    lab.set_policy({"Effect": "Deny", "Principal": "*", "Action": "ecr:CompleteLayerUpload"})
    answer = lab.registry(lab.session(arn))(
        "POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={UNKNOWN_DIGEST}", b"content"
    )
    assert "ecr:CompleteLayerUpload" in answer.error[1]


@pytest.mark.parametrize("query", ["amount=1", "mount=", "mount=nonsense", f"mount={UNKNOWN_DIGEST}&from=fa-085"])
def test_no_query_gets_an_upload_past_its_actions(lab: LabOfEcr, query: str) -> None:
    arn = lab.role("two-of-three")
    registry = lab.registry(lab.session(arn))
    digest = "sha256:" + hashlib.sha256(b"content").hexdigest()
    lab.set_policy(
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "ecr:CompleteLayerUpload",
            "Condition": {"ArnEquals": {"aws:PrincipalArn": arn}},
        }
    )
    registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}&{query}", b"content")
    location = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    registry("PUT", f"{location}?digest={digest}&{query}", b"content")
    assert lab.registry()("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}").status == 404


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_who_may_not_send_a_part_is_told_so_and_not_cut_off(lab: LabOfEcr, size: int) -> None:
    arn = lab.role("half")
    registry = lab.registry(lab.session(arn))
    location = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    lab.set_policy(
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "ecr:UploadLayerPart",
            "Condition": {"ArnEquals": {"aws:PrincipalArn": arn}},
        }
    )
    for body in (b"x" * size, iter([b"x" * size])):
        answer = registry("PATCH", location, body)
        assert (answer.status, answer.error[0]) == (403, "DENIED")
    assert registry("GET", "/v2/").status == 200
    assert registry.connections == 1


def test_mounting_needs_downloading_from_where_the_layer_is(lab: LabOfEcr) -> None:
    ecr = lab.client("ecr")
    ecr.create_repository(repositoryName="other")
    digest = lab.registry().upload(b"shared", "other")
    arn = lab.role("mounter")
    registry = lab.registry(lab.session(arn))
    deny = {"Effect": "Deny", "Principal": "*", "Action": "ecr:GetDownloadUrlForLayer"}
    ecr.set_repository_policy(
        repositoryName="other", policyText=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    target = f"/v2/{REPOSITORY}/blobs/uploads/?mount={digest}&from=other"
    assert registry("POST", target).status == 202
    ecr.delete_repository_policy(repositoryName="other")
    assert registry("POST", target).status == 201


def test_policies_of_every_kind_count(lab: LabOfEcr) -> None:
    iam, ecr = lab.client("iam"), lab.client("ecr")
    everything = {"Version": "2012-10-17", "Statement": _allow("*", "*")}
    reading = json.dumps({"Version": "2012-10-17", "Statement": _allow(["ecr:Get*", "ecr:BatchGet*"], "*")})
    boundary = iam.create_policy(PolicyName="reading", PolicyDocument=reading)["Policy"]["Arn"]
    bounded = lab.role("bounded", everything, PermissionsBoundary=boundary)
    begin = ("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    assert (
        lab.registry(lab.session(bounded))(*begin)
        .error[1]
        .endswith("because no permissions boundary allows the ecr:InitiateLayerUpload action")
    )
    free = lab.role("free", everything)
    narrowed = lab.session(free, Policy=reading)
    assert (
        lab.registry(narrowed)(*begin)
        .error[1]
        .endswith("because no session policy allows the ecr:InitiateLayerUpload action")
    )
    assert lab.registry(lab.session(free))(*begin).status == 202
    # A user's own, and its groups'.
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    with pytest.raises(
        ClientError, match="user/ann is not authorized to perform: ecr:GetAuthorizationToken on resource: "
    ):
        lab.password(ann)
    iam.create_group(GroupName="pushers")
    iam.add_user_to_group(GroupName="pushers", UserName="ann")
    iam.put_group_policy(
        GroupName="pushers",
        PolicyName="token",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": _allow("ecr:GetAuthorizationToken", "*")}),
    )
    registry = lab.registry(ann)
    assert registry(*begin).status == 403
    iam.attach_group_policy(
        GroupName="pushers", PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
    )
    assert registry(*begin).status == 202
    # The repository's own may grant what no identity policy does.
    assert ecr.describe_repositories()["repositories"]
    nobody = lab.role("nobody", {"Version": "2012-10-17", "Statement": _allow("ecr:GetAuthorizationToken", "*")})
    registry = lab.registry(lab.session(nobody))
    assert registry(*begin).status == 403
    lab.set_policy({"Effect": "Allow", "Principal": {"AWS": nobody}, "Action": "ecr:InitiateLayerUpload"})
    assert registry(*begin).status == 202


def test_a_new_default_version_of_a_policy_counts_at_once(lab: LabOfEcr) -> None:
    iam = lab.client("iam")

    def document(*actions: str) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": _allow(["ecr:GetAuthorizationToken", *actions], "*")})

    policy = iam.create_policy(PolicyName="changing", PolicyDocument=document())["Policy"]["Arn"]
    arn = lab.role("changing", {"Version": "2012-10-17", "Statement": _allow("sts:GetCallerIdentity", "*")})
    iam.attach_role_policy(RoleName="changing", PolicyArn=policy)
    registry = lab.registry(lab.session(arn))
    begin = ("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    assert registry(*begin).status == 403
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=document("ecr:InitiateLayerUpload"), SetAsDefault=True)
    assert registry(*begin).status == 202
    iam.set_default_policy_version(PolicyArn=policy, VersionId="v1")
    assert registry(*begin).status == 403


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:PrincipalTag/team": "blue"}},
        {"StringEquals": {"aws:ResourceTag/stage": "test"}},
        {"StringEquals": {"ecr:ResourceTag/stage": "test"}},
        {"StringEquals": {"aws:PrincipalAccount": "123456789012"}},
        {"StringEquals": {"aws:PrincipalType": "AssumedRole"}},
        {"StringLike": {"aws:userid": "*:i-0123456789abcdef0"}},
        {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
        {"Bool": {"aws:SecureTransport": "true"}},
        {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        {"NumericGreaterThan": {"aws:EpochTime": "1577836800"}},
        {"Null": {"aws:username": "true"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/tagged"}},
    ],
    ids=lambda condition: next(iter(next(iter(condition.values())))),
)
def test_conditions_see_what_aws_would_show_them(lab: LabOfEcr, condition: dict[str, Any]) -> None:
    arn = lab.role("tagged", Tags=[{"Key": "team", "Value": "blue"}])
    lab.client("ecr").tag_resource(resourceArn=ARN, tags=[{"Key": "stage", "Value": "test"}])
    registry = lab.registry(lab.session(arn))
    begin = ("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    assert registry(*begin).status == 202
    lab.set_policy({"Effect": "Deny", "Principal": "*", "Action": "*", "Condition": condition})
    assert registry(*begin).status == 403


def test_users_have_a_name_and_no_session(lab: LabOfEcr) -> None:
    registry = lab.registry()
    begin = ("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "ecr:InitiateLayerUpload"}
    lab.set_policy({**deny, "Condition": {"StringEquals": {"aws:username": "somebody"}}})
    assert registry(*begin).status == 202
    lab.set_policy({**deny, "Condition": {"StringEquals": {"aws:username": "deployer"}}})
    assert registry(*begin).error[1].startswith(f"User: {lab.deployer_arn} is not authorized")


def test_a_deleted_role_keeps_its_token_and_loses_its_rights(lab: LabOfEcr) -> None:
    arn = lab.role("short-lived")
    registry = lab.registry(lab.session(arn))
    iam = lab.client("iam")
    for policy in iam.list_attached_role_policies(RoleName="short-lived")["AttachedPolicies"]:
        iam.detach_role_policy(RoleName="short-lived", PolicyArn=policy["PolicyArn"])
    iam.delete_role(RoleName="short-lived")
    answer = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    assert answer.error[1].endswith("because no identity-based policy allows the ecr:InitiateLayerUpload action")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "PolicyText"),
        (
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps", "Principal": "*", "Action": "*"}]}',
            "Statement",
        ),
        (
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*", '
            '"Condition": {"Nonsense": {"aws:PrincipalArn": "x"}}}]}',
            "Nonsense",
        ),
        (json.dumps({"Version": "2012-10-17", "Statement": [], "Id": "x" * 10_240}), "10240"),
    ],
    ids=["no JSON", "unknown effect", "unknown operator", "too long"],
)
def test_an_unsound_policy_is_refused_when_it_is_set(lab: LabOfEcr, text: str, words: str) -> None:
    ecr = lab.client("ecr")
    with pytest.raises(ClientError) as refused:
        ecr.set_repository_policy(repositoryName=REPOSITORY, policyText=text)
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidParameterException"
    assert words in error["Message"]
    assert "PolicyText" in error["Message"]
    with pytest.raises(ClientError, match="RepositoryPolicyNotFound"):
        ecr.get_repository_policy(repositoryName=REPOSITORY)


def test_an_identity_policy_that_nobody_can_judge_is_no_reason_to_allow(lab: LabOfEcr) -> None:
    arn = lab.role("unsound")
    credentials = lab.session(arn)
    registry = lab.registry(credentials)
    statement = {**_allow("*", "*")[0], "Condition": {"Nonsense": {"aws:username": "x"}}}
    # As stacks do it: moto's API would refuse it.
    iam_backends["123456789012"]["aws"].get_role("unsound").put_policy(
        "unsound", json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    with pytest.raises(ClientError, match="A policy of unsound cannot be judged: .*Nonsense"):
        lab.client("ecr", credentials).get_authorization_token()
    assert registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").status == 500
