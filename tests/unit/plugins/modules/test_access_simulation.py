# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""access_simulation decides cells as the evaluator does, and knows what a push and a pull need."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.actions import PULL_ACTIONS, PUSH_ACTIONS
from ansible_collections.policyproof.ecr.plugins.modules import access_simulation

ACCOUNT = "123456789012"
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/fa-085"
FULL_ACCESS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ecr:*", "cloudtrail:LookupEvents"], "Resource": "*"}],
}


def role(number):
    return f"arn:aws:iam::{ACCOUNT}:role/fa-085-instance{number}"


TUTORIAL = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "a",
            "Effect": "Deny",
            "Principal": "*",
            "NotAction": list(PUSH_ACTIONS),
            "Condition": {"ArnEquals": {"aws:PrincipalArn": role(1)}},
        },
        {
            "Sid": "b",
            "Effect": "Deny",
            "Principal": "*",
            "NotAction": list(PULL_ACTIONS),
            "Condition": {"ArnEquals": {"aws:PrincipalArn": role(2)}},
        },
        {
            "Sid": "c",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "*",
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [role(1), role(2)]}},
        },
    ],
}
INSTANCES = [
    {"name": f"instance{number}", "arn": role(number), "policies": [{"name": "Full", "document": FULL_ACCESS}]}
    for number in (1, 2, 3)
]


@pytest.fixture
def simulate(capsys):
    """Run the module; its result."""

    def run(**arguments):
        arguments = {"principals": INSTANCES, "repository": REPOSITORY, **arguments}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            access_simulation.main()
        return json.loads(capsys.readouterr().out)

    return run


def cells(result):
    return {
        (one["principal"], one["action"]): (one["effect"], one["api_action"], one["statement"])
        for one in result["decisions"]
    }


def test_the_tutorials_matrix(simulate):
    result = simulate(repository_policy=TUTORIAL)
    assert not result["changed"]
    assert cells(result) == {
        ("instance1", "push"): ("allow", None, "Statement[0]"),
        ("instance1", "pull"): ("deny", "ecr:BatchGetImage", "a"),
        ("instance2", "push"): ("deny", "ecr:BatchCheckLayerAvailability", "b"),
        ("instance2", "pull"): ("allow", None, "Statement[0]"),
        ("instance3", "push"): ("deny", "ecr:BatchCheckLayerAvailability", "c"),
        ("instance3", "pull"): ("deny", "ecr:BatchGetImage", "c"),
    }


def test_a_containerd_image_store_also_reads_to_push(simulate):
    result = simulate(repository_policy=TUTORIAL, image_store="containerd", actions=["push"])
    assert cells(result)["instance1", "push"] == ("deny", "ecr:BatchGetImage", "a")


def test_a_push_needs_a_token_which_no_repository_policy_grants(simulate):
    opened = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}]}
    principals = [{"name": "one", "arn": role(1)}]
    result = simulate(principals=principals, repository_policy=opened, actions=["push", "ecr:PutImage"])
    assert cells(result) == {
        ("one", "push"): ("deny", "ecr:GetAuthorizationToken", None),
        ("one", "ecr:PutImage"): ("allow", None, "Statement[0]"),
    }


def test_documents_are_taken_as_json_and_without_a_name_too(simulate):
    principals = [{"arn": role(1), "policies": [json.dumps(FULL_ACCESS), FULL_ACCESS]}]
    result = simulate(principals=principals, repository_policy=json.dumps(TUTORIAL))
    assert cells(result)["fa-085-instance1", "pull"] == ("deny", "ecr:BatchGetImage", "a")
    assert [one["policy"] for one in result["decisions"]] == [None, None]


def test_a_decision_names_the_policy_and_says_what_aws_would_print(simulate):
    push, pull = simulate(principals=INSTANCES[:1], repository_policy=TUTORIAL)["decisions"]
    assert (push["decision"], push["policy_type"], push["policy"]) == ("allow", "identity-based policy", "Full")
    assert pull["decision"] == "explicit_deny"
    assert pull["sentence"] == (
        f"User: {role(1)} is not authorized to perform: ecr:BatchGetImage on resource: {REPOSITORY} "
        "with an explicit deny in a resource-based policy"
    )
    assert pull["explanation"].startswith(pull["sentence"])
    assert "'a' of the resource-based policy: matched" in pull["explanation"]
    assert [one["statement"] for one in pull["statements"] if one["matched"]] == ["a", 0]
    assert [one["api_action"] for one in pull["api_actions"]] == ["ecr:GetAuthorizationToken", *PULL_ACTIONS]


def test_a_session_is_named_in_the_sentence(simulate):
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/fa-085-instance1/i-0123456789abcdef0"
    principals = [dict(INSTANCES[0], session_arn=session)]
    result = simulate(principals=principals, repository_policy=TUTORIAL, actions=["pull"])
    assert result["decisions"][0]["sentence"].startswith(f"User: {session} is not authorized")
    assert result["decisions"][0]["statement"] == "a"


@pytest.mark.parametrize("arn", [f"arn:aws:iam::{ACCOUNT}:user/admin", f"arn:aws:iam::{ACCOUNT}:root", role("-cfn")])
def test_the_tutorials_policy_locks_everybody_out(simulate, arn):
    guarded = ["ecr:SetRepositoryPolicy", "ecr:DeleteRepositoryPolicy", "ecr:DeleteRepository"]
    administrator = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    principals = [{"name": "deployer", "arn": arn, "policies": [administrator]}]
    locked = simulate(principals=principals, repository_policy=TUTORIAL, actions=guarded)
    assert {one["statement"] for one in locked["decisions"]} == {"c"}
    free = simulate(principals=principals, repository_policy="", actions=guarded)
    assert {one["effect"] for one in free["decisions"]} == {"allow"}


def test_every_layer_counts(simulate):
    deny_push = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ecr:PutImage", "Resource": "*"}]}
    for_all = {"Version": "2012-10-17", "Statement": [dict(deny_push["Statement"][0], Principal="*")]}
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    assert {
        layer: simulate(principals=INSTANCES[:1], actions=["ecr:PutImage"], **{layer: value})["decisions"][0][
            "policy_type"
        ]
        for layer, value in {
            "scps": [[everything], [{"name": "no push", "document": deny_push}, everything]],
            "rcps": [[for_all]],
            "vpc_endpoint_policy": for_all,
            "repository_policy": for_all,
        }.items()
    } == {
        "scps": "service control policy",
        "rcps": "resource control policy",
        "vpc_endpoint_policy": "VPC endpoint policy",
        "repository_policy": "resource-based policy",
    }
    for layer, policy_type in {
        "permissions_boundary": "permissions boundary",
        "session_policy": "session policy",
    }.items():
        principals = [dict(INSTANCES[0], **{layer: deny_push})]
        decision = simulate(principals=principals, actions=["ecr:PutImage"])["decisions"][0]
        assert (decision["decision"], decision["policy_type"]) == ("explicit_deny", policy_type)


def test_the_context_follows_from_the_options_and_may_be_replaced(simulate):
    def statement(sid, operator, key, value):
        return {"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "*", "Condition": {operator: {key: value}}}

    policy = {
        "Version": "2012-10-17",
        "Statement": [
            statement("tag", "StringEquals", "aws:PrincipalTag/team", "red"),
            statement("resource tag", "StringEquals", "ecr:ResourceTag/stage", "production"),
            statement("region", "StringNotEquals", "aws:RequestedRegion", "us-east-1"),
            statement("plain", "Bool", "aws:SecureTransport", "false"),
            statement("address", "NotIpAddress", "aws:SourceIp", "10.0.0.0/8"),
            statement("no time", "Null", "aws:CurrentTime", "true"),
        ],
    }

    def decide(principal=None, **arguments):
        principals = [dict(INSTANCES[0], **principal or {})]
        context = {"aws:SourceIp": "10.1.2.3", **arguments.pop("context", {})}
        result = simulate(
            principals=principals, repository_policy=policy, actions=["pull"], context=context, **arguments
        )
        return result["decisions"][0]["statement"]

    assert decide() == "Statement[0]"
    assert decide({"tags": {"team": "red"}}) == "tag"
    assert decide(repository_tags={"stage": "production"}) == "resource tag"
    assert decide(context={"AWS:requestedregion": "eu-west-1"}) == "region"
    assert decide(context={"aws:SecureTransport": False}) == "plain"
    assert decide(context={"aws:SourceIp": "192.0.2.1"}) == "address"
    assert decide(context={"aws:CurrentTime": None}) == "no time"


def test_a_malformed_document_is_named_with_the_place_of_its_fault(simulate):
    bad = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*", "If": 1}]}
    result = simulate(principals=[{"arn": role(1), "policies": [FULL_ACCESS, {"name": "x", "document": bad}]}])
    assert result["failed"]
    assert result["fault"]["policy"] == "identity-based policy 2"
    assert result["fault"]["path"] == "Statement[0].If"
    assert result["msg"].startswith("identity-based policy 2 is malformed. Statement[0].If: ")
    result = simulate(repository_policy='{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}')
    assert result["fault"] == {"policy": "the resource-based policy", "path": "Version", "reason": "is there twice"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"actions": ["delete"]}, "'delete' is neither push nor pull nor an API action"),
        ({"actions": ["ecr:*"]}, "'ecr:*' is neither push nor pull nor an API action"),
        ({"repository": "fa-085"}, "fa-085 is no repository's ARN"),
        ({"principals": [{"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"}]}, "Give the ARN of the role"),
    ],
)
def test_an_option_that_makes_no_sense_fails_with_a_sentence(simulate, arguments, said):
    result = simulate(**arguments)
    assert result["failed"]
    assert said in result["msg"]
