# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tutorial's policy: four principals by twelve API actions, with the statement that decides."""

from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.actions import (
    PULL_ACTIONS,
    PUSH_ACTIONS,
    TOKEN_ACTION,
)
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import PolicySet

ACCOUNT = "123456789012"
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/fa-085"
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/fa-085-instance{number}" for number in (1, 2, 3)]
ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:user/admin"
MANAGEMENT = (
    "ecr:SetRepositoryPolicy",
    "ecr:DeleteRepositoryPolicy",
    "ecr:DeleteRepository",
    "ecr:GetRepositoryPolicy",
)


def deny(sid, operator, value, **actions):
    condition = {operator: {"aws:PrincipalArn": value}}
    return {"Sid": sid, "Effect": "Deny", "Principal": "*", "Condition": condition, **actions}


REPOSITORY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        deny("a", "ArnEquals", ROLES[0], NotAction=list(PUSH_ACTIONS)),
        deny("b", "ArnEquals", ROLES[1], NotAction=list(PULL_ACTIONS)),
        deny("c", "ArnNotEquals", ROLES[:2], Action="*"),
    ],
}
FULL_ACCESS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ecr:*", "cloudtrail:LookupEvents"], "Resource": "*"}],
}
ADMINISTRATORS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

# What denies roles 1, 2, 3 and the administrator; None where they are allowed.
TABLE = {
    **dict.fromkeys(PUSH_ACTIONS, (None, "b", "c", "c")),
    **dict.fromkeys(PULL_ACTIONS, ("a", None, "c", "c")),
    TOKEN_ACTION: (None, None, None, None),
    **dict.fromkeys(MANAGEMENT, ("a", "b", "c", "c")),
}


def test_the_table_is_whole():
    assert len(TABLE) == 12


@pytest.mark.parametrize("action", TABLE)
@pytest.mark.parametrize("number", range(4))
def test_cell(action, number):
    identity = FULL_ACCESS if number < 3 else ADMINISTRATORS
    arn = [*ROLES, ADMINISTRATOR][number]
    asks_as = f"arn:aws:sts::{ACCOUNT}:assumed-role/fa-085-instance{number + 1}/i-1" if number < 3 else ADMINISTRATOR
    resource = "*" if action == TOKEN_ACTION else REPOSITORY
    decision = PolicySet(identity=[identity], resource=REPOSITORY_POLICY).decide(
        asks_as, action, resource, ACCOUNT, {"aws:PrincipalArn": arn}
    )
    denied_by = TABLE[action][number]
    if denied_by:
        assert (decision.effect, decision.policy_type) == ("explicit_deny", "resource-based policy")
        assert decision.statement == denied_by
    else:
        assert (decision.effect, decision.policy_type) == ("allow", "identity-based policy")
        assert decision.statement == 0
