# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policy that repository.yml sets: the tutorial's three statements, for any lists."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.policyproof.ecr.plugins.module_utils.cloudformation.rendering import render_property
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.actions import PULL_ACTIONS, PUSH_ACTIONS
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import PolicySet

TEMPLATE = yaml.safe_load((Path(__file__).parents[3] / "cfn" / "repository.yml").read_text(encoding="utf-8"))
ACCOUNT = "123456789012"
ADMINISTER = ("ecr:SetRepositoryPolicy", "ecr:DeleteRepositoryPolicy", "ecr:DeleteRepository")
LISTS = ("PushRoleArns", "PullRoleArns", "PushPullRoleArns", "AdminPrincipalArns")
PUSHER, PULLER, BOTH, ADMIN, OTHER = (
    f"arn:aws:iam::{ACCOUNT}:{name}" for name in ("role/pusher", "role/puller", "role/both", "user/admin", "role/other")
)
EVERYBODY = (PUSHER, PULLER, BOTH, ADMIN, OTHER)


def policy(**lists: str) -> dict[str, Any]:
    rendered: dict[str, Any] = render_property(
        TEMPLATE, "Repository", "RepositoryPolicyText", {"RepositoryName": "fa-085", **lists}
    )
    return rendered


def allowed(document: dict[str, Any], principal: str, actions: tuple[str, ...]) -> list[bool]:
    """For each action, whether a principal whose identity policy allows everything may do it."""
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    policies = PolicySet(identity=[everything], resource=document)
    return [
        policies.decide(
            principal=principal,
            action=action,
            resource=f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/fa-085",
            resource_account=ACCOUNT,
            context={"aws:PrincipalArn": principal},
        ).effect
        == "allow"
        for action in actions
    ]


def test_one_pusher_and_one_puller_are_the_tutorial() -> None:
    assert policy(PushRoleArns=PUSHER, PullRoleArns=PULLER) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "PushersOnlyPush",
                "Effect": "Deny",
                "Principal": "*",
                "NotAction": sorted(PUSH_ACTIONS),
                "Condition": {"ArnEquals": {"aws:PrincipalArn": [PUSHER]}},
            },
            {
                "Sid": "PullersOnlyPull",
                "Effect": "Deny",
                "Principal": "*",
                "NotAction": sorted(PULL_ACTIONS),
                "Condition": {"ArnEquals": {"aws:PrincipalArn": [PULLER]}},
            },
            {
                "Sid": "EverybodyElseNothing",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "*",
                "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [PUSHER, PULLER]}},
            },
        ],
    }


def test_nobody_at_all_leaves_a_policy_that_denies_everybody() -> None:
    (statement,) = policy()["Statement"]
    assert statement == {"Sid": "EverybodyElseNothing", "Effect": "Deny", "Principal": "*", "Action": "*"}


def test_several_in_each_list() -> None:
    statements = policy(
        PushRoleArns=f"{PUSHER},{PUSHER}2", PullRoleArns=f"{PULLER},{PULLER}2", AdminPrincipalArns=f"{ADMIN}, {OTHER}"
    )["Statement"]
    assert statements[0]["Condition"]["ArnEquals"]["aws:PrincipalArn"] == [PUSHER, f"{PUSHER}2"]
    assert statements[-1]["Condition"]["ArnNotEquals"]["aws:PrincipalArn"] == [
        PUSHER,
        f"{PUSHER}2",
        PULLER,
        f"{PULLER}2",
        ADMIN,
        OTHER,
    ]


@pytest.mark.parametrize(
    "given", list(itertools.product((False, True), repeat=4)), ids=lambda given: "".join("01"[g] for g in given)
)
def test_every_combination_of_empty_lists_means_what_it_says(given: tuple[bool, ...]) -> None:
    members = dict(zip(LISTS, (PUSHER, PULLER, BOTH, ADMIN), strict=True))
    document = policy(**{name: members[name] for name, wanted in zip(LISTS, given, strict=True) if wanted})
    # No empty string and no empty list: ECR would refuse them, or worse.
    assert '""' not in json.dumps(document)
    assert "[]" not in json.dumps(document)
    has_pusher, has_puller, has_both, has_admin = given
    expected = {
        PUSHER: (has_pusher, False, False),
        PULLER: (False, has_puller, False),
        BOTH: (has_both, has_both, False),
        ADMIN: (has_admin, has_admin, has_admin),
        OTHER: (False, False, False),
    }
    seen = {
        principal: tuple(allowed(document, principal, actions) for actions in (PUSH_ACTIONS, PULL_ACTIONS, ADMINISTER))
        for principal in EVERYBODY
    }
    assert seen == {
        principal: ([push] * len(PUSH_ACTIONS), [pull] * len(PULL_ACTIONS), [administer] * len(ADMINISTER))
        for principal, (push, pull, administer) in expected.items()
    }


def test_no_statement_names_a_resource() -> None:
    statements = policy(PushRoleArns=PUSHER, PullRoleArns=PULLER, PushPullRoleArns=BOTH, AdminPrincipalArns=ADMIN)[
        "Statement"
    ]
    assert [each for each in statements if "Resource" in each or "NotResource" in each] == []
    assert len({each["Sid"] for each in statements}) == len(statements) == 4


def test_probe_images_expire_after_a_day() -> None:
    text = render_property(TEMPLATE, "Repository", "LifecyclePolicy", {"RepositoryName": "x"})["LifecyclePolicyText"]
    (rule,) = json.loads(text)["rules"]
    assert rule["selection"] == {
        "tagStatus": "tagged",
        "tagPrefixList": ["probe-"],
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 1,
    }
    assert rule["action"] == {"type": "expire"}
