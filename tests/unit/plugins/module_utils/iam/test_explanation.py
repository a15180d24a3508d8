# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A decision tells which statements matched, which nearly did, and what kept them."""

from __future__ import annotations

import json

ROLE = "arn:aws:iam::123456789012:role/builder"
SOMEBODY = "arn:aws:iam::123456789012:role/somebody"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def told(decision):
    return {
        one["statement"]: [(miss["element"], miss["reason"]) for miss in one["kept_by"]]
        for one in (finding.as_dict() for finding in decision.explain())
    }


def test_what_matched_and_what_nearly_did(decide):
    somebody = {"ArnEquals": {"aws:PrincipalArn": SOMEBODY}}
    address = {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}
    elsewhere = "arn:aws:ecr:us-east-1:123456789012:repository/other"
    statements = [
        {"Sid": "matched", "Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage"},
        {"Sid": "condition", "Effect": "Deny", "Principal": "*", "Action": "*", "Condition": somebody},
        {"Sid": "missing key", "Effect": "Deny", "Principal": "*", "Action": "*", "Condition": address},
        {"Sid": "action", "Effect": "Deny", "Principal": "*", "Action": ["ecr:Get*", "ecr:List*"]},
        {"Sid": "not action", "Effect": "Deny", "Principal": "*", "NotAction": "ecr:Put*"},
        {"Sid": "resource", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": elsewhere},
        {"Sid": "not resource", "Effect": "Deny", "Principal": "*", "Action": "*", "NotResource": "*"},
        {"Sid": "principal", "Effect": "Deny", "Principal": {"AWS": SOMEBODY}, "Action": "*"},
        {"Sid": "not principal", "Effect": "Deny", "NotPrincipal": {"AWS": ROLE}, "Action": "*"},
        {"Sid": "far", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Condition": somebody},
    ]
    decision = decide(own={"Version": "2012-10-17", "Statement": statements}, context={"aws:PrincipalArn": ROLE})
    session = "arn:aws:sts::123456789012:assumed-role/builder/i-1"
    repository = "arn:aws:ecr:us-east-1:123456789012:repository/team/app"
    assert told(decision) == {
        "matched": [],
        "condition": [
            (
                "Condition.ArnEquals.aws:PrincipalArn",
                f"the request has {ROLE}, the statement wants ArnEquals {SOMEBODY}",
            )
        ],
        "missing key": [
            (
                "Condition.IpAddress.aws:SourceIp",
                "the request has no aws:SourceIp, the statement wants IpAddress 10.0.0.0/8, 192.168.0.0/16",
            )
        ],
        "action": [("Action", "ecr:PutImage is not among ecr:Get*, ecr:List*")],
        "not action": [("NotAction", "ecr:PutImage is among ecr:Put*")],
        "resource": [("Resource", f"{repository} is not among {elsewhere}")],
        "not resource": [("NotResource", f"{repository} is among *")],
        "principal": [("Principal", f"{session} is not among {SOMEBODY}")],
        "not principal": [("NotPrincipal", f"{session} is among {ROLE}")],
    }


def test_as_text_and_as_json(decide):
    grant = {"Sid": "account", "Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "ecr:*"}
    role = {"Sid": "role", "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "ecr:*"}
    other = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    boundary = {"Version": "2012-10-17", "Statement": other}
    decision = decide(
        own={"Version": "2012-10-17", "Statement": [grant, role]},
        permissions_boundary=boundary,
        scps=[[EVERYTHING]],
        context={"aws:PrincipalArn": ROLE},
    )
    assert decision.explanation().splitlines() == [
        str(decision),
        "  Allow, statement 0 of service control policy 1 of level 1: matched",
        "  Allow, statement 'account' of the resource-based policy: matched, "
        "but it names the account, which leaves the decision to identity-based policies",
        "  Allow, statement 'role' of the resource-based policy: matched, "
        "but a permissions boundary and a session policy must allow too",
        "  Allow, statement 0 of the permissions boundary: kept from matching by "
        "Action: ecr:PutImage is not among s3:*",
    ]
    assert decision.policy_type == "permissions boundary"
    data = json.loads(json.dumps([finding.as_dict() for finding in decision.explain()]))
    assert data[0] == {
        "policy_type": "service control policy",
        "document": 0,
        "level": 0,
        "statement": 0,
        "effect": "Allow",
        "matched": True,
        "kept_by": [],
        "worth": None,
    }


def test_policies_that_do_not_apply_are_not_told(decide):
    decision = decide(principal="codebuild.amazonaws.com", identity=[EVERYTHING], scps=[[EVERYTHING]])
    assert decision.explain() == ()
    own = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "*"}}
    token = decide(action="ecr:GetAuthorizationToken", resource="*", own=own, identity=[EVERYTHING])
    assert [finding.source.policy_type for finding in token.explain()] == ["identity-based policy"]


def test_the_explanation_is_of_the_request_as_it_was(decide):
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:b": "true"}}}
    context = {"aws:b": "true"}
    decision = decide(identity=[{"Version": "2012-10-17", "Statement": statement}], context=context)
    context["aws:b"] = "false"
    assert told(decision) == {0: []}
    assert repr(decision) == "<Decision allow identity-based policy 0>"
