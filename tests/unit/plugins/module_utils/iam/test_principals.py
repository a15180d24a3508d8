# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Principal and NotPrincipal. IAM User Guide, "AWS JSON policy elements: Principal", "... NotPrincipal" and "Policy
evaluation logic"."""

from __future__ import annotations

import pytest

HERE, THERE = "123456789012", "210987654321"
ROLE = f"arn:aws:iam::{HERE}:role/team/builder"
SESSION = f"arn:aws:sts::{HERE}:assumed-role/builder/i-1"
USER = f"arn:aws:iam::{HERE}:user/team/alice"
FEDERATED = f"arn:aws:sts::{HERE}:federated-user/bob"
ROOT = f"arn:aws:iam::{HERE}:root"
SERVICE = "codebuild.amazonaws.com"
CALLERS = {
    "session": (SESSION, {"aws:PrincipalArn": ROLE}),
    "role": (ROLE, {"aws:PrincipalArn": ROLE}),
    "user": (USER, {"aws:PrincipalArn": USER}),
    "federated": (FEDERATED, {"aws:PrincipalArn": FEDERATED}),
    "root": (ROOT, {"aws:PrincipalArn": ROOT}),
    "service": (SERVICE, {}),
    "foreign": (f"arn:aws:sts::{THERE}:assumed-role/builder/i-1", {}),
}


def policy(effect, **elements):
    return {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": "ecr:*", **elements}]}


EVERYBODY = set(CALLERS)
OWN = EVERYBODY - {"service", "foreign"}


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        ("*", EVERYBODY),
        ({"AWS": "*"}, EVERYBODY),
        ({"AWS": HERE}, OWN),
        ({"AWS": ROOT}, OWN),
        ({"AWS": [THERE, HERE]}, OWN | {"foreign"}),
        ({"AWS": ROLE}, {"session", "role"}),
        ({"AWS": SESSION}, {"session"}),
        ({"AWS": SESSION + "2"}, set()),
        ({"AWS": USER}, {"user"}),
        ({"AWS": FEDERATED}, {"federated"}),
        ({"AWS": f"arn:aws:iam::{HERE}:user/bob"}, {"federated"}),
        ({"Service": SERVICE}, {"service"}),
        ({"Service": ["ec2.amazonaws.com", SERVICE]}, {"service"}),
        ({"Service": "*"}, {"service"}),
        ({"Service": "ec2.amazonaws.com"}, set()),
        ({"Federated": "cognito-identity.amazonaws.com"}, set()),
        ({"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}, set()),
        ({"AWS": USER, "Service": SERVICE}, {"user", "service"}),
        # "You cannot use a wildcard to match part of a principal name or ARN."
        ({"AWS": f"arn:aws:iam::{HERE}:role/*"}, set()),
        # Names are case sensitive, and a role's path is part of its ARN.
        ({"AWS": ROLE.replace("builder", "Builder")}, set()),
        ({"AWS": f"arn:aws:iam::{HERE}:role/builder"}, set()),
        ({"AWS": f"arn:aws-cn:iam::{HERE}:root"}, set()),
        ({"AWS": []}, set()),
        ({}, set()),
    ],
)
def test_whom_it_names(decide, principal, named):
    """A Deny reaches whom it names, however closely; NotPrincipal everybody else."""
    for name, (caller, context) in CALLERS.items():
        arguments = {"principal": caller, "context": context}
        denied = decide(own=policy("Deny", Principal=principal), **arguments).effect == "explicit_deny"
        assert denied is (name in named), name
        spared = decide(own=policy("Deny", NotPrincipal=principal), **arguments).effect != "explicit_deny"
        assert spared is (name in named), name


def test_without_the_roles_arn_in_the_context_a_session_is_known_by_the_roles_name(decide):
    assert decide(own=policy("Deny", Principal={"AWS": ROLE})).effect == "explicit_deny"
    assert decide(own=policy("Deny", Principal={"AWS": USER})).effect == "implicit_deny"
    other = f"arn:aws:iam::{THERE}:role/team/builder"
    assert decide(own=policy("Deny", Principal={"AWS": other})).effect == "implicit_deny"


def test_a_session_names_its_identity_provider(decide):
    context = {"aws:PrincipalArn": ROLE, "aws:FederatedProvider": "cognito-identity.amazonaws.com"}
    for provider in ("cognito-identity.amazonaws.com", "*"):
        allowed = decide(own=policy("Allow", Principal={"Federated": provider}), context=context)
        assert (allowed.effect, allowed.policy_type) == ("allow", "resource-based policy")
    assert not decide(own=policy("Allow", Principal={"Federated": "graph.facebook.com"}), context=context).allowed


NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.mark.parametrize(
    ("caller", "principal", "alone", "beyond_boundary", "beyond_session"),
    [
        # "Resource-based policies that grant permissions to an IAM role ARN are limited by an implicit deny in a
        # permissions boundary or session policy."
        ("session", {"AWS": ROLE}, True, False, False),
        # "... to an IAM role session ARN ... are not limited by an implicit deny in ..."
        ("session", {"AWS": SESSION}, True, True, True),
        # "Permissions boundaries or session policies do not limit permissions granted using the aws:PrincipalArn
        # condition key with a wildcard (*) in the Principal element."
        ("session", "*", True, True, True),
        ("session", {"AWS": "*"}, True, True, True),
        # The account delegates: identity-based policies decide.
        ("session", {"AWS": ROOT}, False, False, False),
        ("session", {"AWS": HERE}, False, False, False),
        ("session", {"AWS": [HERE, SESSION]}, True, True, True),
        ("user", {"AWS": USER}, True, True, None),
        ("user", "*", True, True, None),
        ("user", {"AWS": HERE}, False, False, None),
        ("federated", {"AWS": f"arn:aws:iam::{HERE}:user/bob"}, True, False, False),
        ("federated", {"AWS": FEDERATED}, True, True, True),
        ("federated", {"AWS": HERE}, False, False, False),
        ("service", {"Service": SERVICE}, True, None, None),
        ("service", "*", True, None, None),
        ("foreign", "*", False, None, None),
    ],
)
def test_what_a_grant_escapes(decide, caller, principal, alone, beyond_boundary, beyond_session):
    arn, context = CALLERS[caller]
    arguments = {"principal": arn, "context": context, "own": policy("Allow", Principal=principal)}
    assert decide(**arguments).allowed is alone
    if beyond_boundary is not None:
        assert decide(permissions_boundary=NOTHING, **arguments).allowed is beyond_boundary
        assert decide(permissions_boundary=EVERYTHING, **arguments).allowed is alone
    if beyond_session is not None:
        assert decide(session=NOTHING, **arguments).allowed is beyond_session
        assert decide(session=EVERYTHING, **arguments).allowed is alone


def test_an_explicit_deny_limits_every_grant(decide):
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    for layer in ("permissions_boundary", "session"):
        decision = decide(own=policy("Allow", Principal={"AWS": SESSION}), **{layer: nothing})
        assert decision.effect == "explicit_deny"
    assert decide(own=policy("Allow", Principal="*"), identity=[nothing]).effect == "explicit_deny"


def test_a_deny_with_not_principal_denies_whoever_has_a_permissions_boundary(decide):
    """IAM User Guide, "Permissions boundaries for IAM entities": "will always deny any IAM principal that has a
    permissions boundary policy attached, regardless of the values specified in the NotPrincipal element"."""
    spared = policy("Deny", NotPrincipal={"AWS": [USER, HERE]})
    arn, context = CALLERS["user"]
    assert decide(principal=arn, context=context, identity=[EVERYTHING], own=spared).allowed
    bounded = decide(principal=arn, context=context, identity=[EVERYTHING], own=spared, permissions_boundary=EVERYTHING)
    assert bounded.effect == "explicit_deny"


def test_not_principal_with_allow(decide):
    arn, context = CALLERS["user"]
    assert decide(principal=arn, context=context, own=policy("Allow", NotPrincipal={"AWS": ROLE})).allowed
    assert not decide(principal=arn, context=context, own=policy("Allow", NotPrincipal={"AWS": USER})).allowed


def test_the_root_user_may_do_all_that_nothing_denies(decide):
    arn, context = CALLERS["root"]
    arguments = {"principal": arn, "context": context}
    assert decide(**arguments).allowed
    assert decide(own=policy("Deny", Principal="*"), **arguments).effect == "explicit_deny"
    assert decide(scps=[[NOTHING]], **arguments).effect == "implicit_deny"


def test_an_organizations_members(decide):
    condition = {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
    members = policy("Allow", Principal="*", Condition=condition)
    assert decide(own=members, context={"aws:PrincipalOrgID": "o-a1b2c3d4e5"}).allowed
    assert not decide(own=members, context={"aws:PrincipalOrgID": "o-another"}).allowed
    assert not decide(own=members).allowed
    paths = {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*"}}
    unit = policy("Allow", Principal="*", Condition=paths)
    assert decide(own=unit, context={"aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"]}).allowed
    assert not decide(own=unit, context={"aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/r-ab12/"]}).allowed
