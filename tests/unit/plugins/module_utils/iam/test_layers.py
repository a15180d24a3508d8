# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Types of policy together. IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic"."""

from __future__ import annotations

import pytest

HERE, THERE = "123456789012", "210987654321"
FOREIGN = f"arn:aws:sts::{THERE}:assumed-role/builder/i-1"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Sid": "Yes", "Effect": "Allow", "Action": "*", "Resource": "*"}]}
DENY = {"Version": "2012-10-17", "Statement": [{"Sid": "No", "Effect": "Deny", "Action": "ecr:Put*", "Resource": "*"}]}
OTHER = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


def for_all(document, principal="*"):
    statements = [{**statement, "Principal": principal} for statement in document["Statement"]]
    return {**document, "Statement": statements}


LAYERS = {
    "resource control policy": lambda document: {"rcps": [[for_all(document)]]},
    "service control policy": lambda document: {"scps": [[ALLOW], [ALLOW, document]]},
    "VPC endpoint policy": lambda document: {"vpc_endpoint": for_all(document)},
    "resource-based policy": lambda document: {"own": for_all(document)},
    "identity-based policy": lambda document: {"identity": [ALLOW, document]},
    "permissions boundary": lambda document: {"permissions_boundary": document},
    "session policy": lambda document: {"session": document},
}


@pytest.mark.parametrize("policy_type", LAYERS)
def test_an_explicit_deny_in_any_policy_wins(decide, policy_type):
    layers = {"identity": [ALLOW], "own": for_all(ALLOW), **LAYERS[policy_type](DENY)}
    decision = decide(**layers)
    assert (decision.effect, decision.policy_type, decision.statement) == ("explicit_deny", policy_type, "No")
    # A VPC endpoint's policy must allow as well, and this one only denies.
    expected = "implicit_deny" if policy_type == "VPC endpoint policy" else "allow"
    assert decide(**layers, action="ecr:BatchGetImage").effect == expected


def test_of_several_denies_the_first_type_in_the_documented_order_is_told(decide):
    everything = {}
    for policy_type in reversed(LAYERS):
        everything.update(LAYERS[policy_type](DENY))
        assert decide(**everything).policy_type == policy_type


LINKED = f"arn:aws:iam::{HERE}:role/aws-service-role/ecr.amazonaws.com/AWSServiceRoleForECR"
LINKED_SESSION = f"arn:aws:sts::{HERE}:assumed-role/AWSServiceRoleForECR/session"


@pytest.mark.parametrize("layers", [{"scps": [[ALLOW, DENY]]}, {"scps": [[]]}, {"rcps": [[for_all(DENY)]]}])
@pytest.mark.parametrize("principal", [LINKED, LINKED_SESSION])
def test_organization_policies_do_not_affect_service_linked_roles(decide, layers, principal):
    context = {"aws:PrincipalArn": LINKED}
    assert decide(identity=[ALLOW], principal=principal, context=context, **layers).effect == "allow"
    assert decide(identity=[ALLOW], **layers).effect != "allow"
    assert decide(identity=[ALLOW, DENY], principal=principal, context=context, **layers).effect == "explicit_deny"


@pytest.mark.parametrize(
    ("layers", "policy_type"),
    [
        ({}, "identity-based policy"),
        ({"identity": [OTHER]}, "identity-based policy"),
        ({"identity": [OTHER], "permissions_boundary": OTHER}, "identity-based policy"),
        ({"identity": [ALLOW], "permissions_boundary": OTHER}, "permissions boundary"),
        ({"identity": [ALLOW], "session": OTHER}, "session policy"),
        ({"identity": [ALLOW], "permissions_boundary": OTHER, "session": OTHER}, "permissions boundary"),
        ({"identity": [ALLOW], "scps": [[OTHER]]}, "service control policy"),
        ({"identity": [ALLOW], "scps": [[]]}, "service control policy"),
        # "An action must be allowed at every level."
        ({"identity": [ALLOW], "scps": [[ALLOW], [OTHER], [ALLOW]]}, "service control policy"),
        ({"identity": [ALLOW], "vpc_endpoint": for_all(OTHER)}, "VPC endpoint policy"),
        ({"identity": [], "vpc_endpoint": for_all(OTHER)}, "VPC endpoint policy"),
        ({"own": for_all(ALLOW), "scps": [[OTHER]]}, "service control policy"),
        ({"own": for_all(ALLOW, {"AWS": f"arn:aws:iam::{HERE}:role/builder"}), "session": OTHER}, "session policy"),
    ],
)
def test_an_implicit_deny_names_who_should_have_allowed(decide, layers, policy_type):
    decision = decide(**layers)
    assert (decision.effect, decision.policy_type, decision.statement) == ("implicit_deny", policy_type, None)


@pytest.mark.parametrize(
    "layers",
    [
        {"identity": [ALLOW]},
        {"identity": [OTHER, ALLOW]},
        {"identity": [ALLOW], "permissions_boundary": ALLOW, "session": ALLOW, "scps": [[ALLOW], [OTHER, ALLOW]]},
        {"identity": [ALLOW], "vpc_endpoint": for_all(ALLOW), "rcps": [[for_all(ALLOW)]]},
        # RCPFullAWSAccess is attached everywhere and cannot be detached.
        {
            "identity": [ALLOW],
            "rcps": [[], [for_all({**DENY, "Statement": [{**DENY["Statement"][0], "Action": "s3:*"}]})]],
        },
        {"identity": [ALLOW], "scps": []},
    ],
)
def test_an_allow_in_every_layer_that_there_is(decide, layers):
    decision = decide(**layers)
    assert (decision.effect, decision.policy_type, decision.statement) == ("allow", "identity-based policy", "Yes")


def test_within_an_account_either_side_allows(decide):
    assert decide(identity=[ALLOW], own=for_all(OTHER)).policy_type == "identity-based policy"
    assert decide(identity=[OTHER], own=for_all(ALLOW)).policy_type == "resource-based policy"
    assert decide(identity=[OTHER], own=for_all(ALLOW)).effect == "allow"


@pytest.mark.parametrize(
    ("layers", "effect", "policy_type"),
    [
        ({"identity": [ALLOW], "own": for_all(ALLOW)}, "allow", "resource-based policy"),
        ({"identity": [ALLOW], "own": for_all(ALLOW, {"AWS": THERE})}, "allow", "resource-based policy"),
        ({"identity": [ALLOW], "own": for_all(ALLOW, {"AWS": FOREIGN})}, "allow", "resource-based policy"),
        ({"identity": [ALLOW], "own": for_all(ALLOW, {"AWS": HERE})}, "implicit_deny", "resource-based policy"),
        ({"identity": [ALLOW]}, "implicit_deny", "resource-based policy"),
        ({"own": for_all(ALLOW)}, "implicit_deny", "identity-based policy"),
        ({"own": for_all(ALLOW, {"AWS": FOREIGN})}, "implicit_deny", "identity-based policy"),
        (
            {"identity": [ALLOW], "own": for_all(ALLOW, {"AWS": FOREIGN}), "permissions_boundary": OTHER},
            "implicit_deny",
            "permissions boundary",
        ),
        (
            {"identity": [ALLOW], "own": for_all(ALLOW, {"AWS": FOREIGN}), "session": OTHER},
            "implicit_deny",
            "session policy",
        ),
        ({"identity": [ALLOW], "own": for_all(DENY)}, "explicit_deny", "resource-based policy"),
    ],
)
def test_across_accounts_both_sides_must_allow(decide, layers, effect, policy_type):
    decision = decide(principal=FOREIGN, **layers)
    assert (decision.effect, decision.policy_type) == (effect, policy_type)


def test_the_root_user_of_another_account_needs_the_resources_policy(decide):
    root = f"arn:aws:iam::{THERE}:root"
    assert decide(principal=root).policy_type == "resource-based policy"
    assert decide(principal=root, own=for_all(ALLOW, {"AWS": THERE})).allowed


def test_the_account_of_a_resource_is_in_its_arn_if_it_is_not_given(decide):
    assert decide(identity=[ALLOW], account=None).allowed
    assert not decide(principal=FOREIGN, identity=[ALLOW], account=None).allowed
    assert decide(principal=FOREIGN, identity=[ALLOW], account=None, resource="*").allowed
    assert decide(identity=[ALLOW], account=None, resource="arn:aws:s3:::bucket").allowed


def test_service_control_policies_bind_no_service(decide):
    arguments = {"principal": "codebuild.amazonaws.com", "scps": [[DENY]]}
    assert decide(own=for_all(ALLOW, {"Service": "codebuild.amazonaws.com"}), **arguments).allowed
    assert decide(**arguments).policy_type == "resource-based policy"


def test_resource_control_policies_bind_services_too(decide):
    decision = decide(
        principal="codebuild.amazonaws.com",
        own=for_all(ALLOW, {"Service": "codebuild.amazonaws.com"}),
        rcps=[[for_all(DENY)]],
    )
    assert (decision.effect, decision.policy_type) == ("explicit_deny", "resource control policy")


def test_a_decision_tells_the_document_too(decide):
    source = decide(identity=[OTHER, ALLOW]).source
    assert (source.policy_type, source.document, source.level) == ("identity-based policy", 1, None)
    source = decide(identity=[ALLOW], scps=[[ALLOW], [ALLOW, DENY]]).source
    assert (source.policy_type, source.document, source.level) == ("service control policy", 1, 1)
    assert str(source) == "service control policy 2 of level 2"
    assert decide().source is None


def test_a_statement_without_a_sid_is_told_by_its_index(decide):
    unnamed = {"Effect": "Deny", "Action": "ecr:PutImage", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [{**unnamed, "Action": "s3:*"}, unnamed]}
    assert decide(identity=[policy]).statement == 1
    policy["Statement"][1] = {**unnamed, "Sid": ""}
    assert decide(identity=[policy]).statement == 1


def test_the_sentences_of_aws(decide):
    """IAM User Guide, "Troubleshoot access denied error messages"."""
    who = "arn:aws:sts::123456789012:assumed-role/builder/i-1"
    start = f"User: {who} is not authorized to perform: ecr:PutImage on resource: "
    start += "arn:aws:ecr:us-east-1:123456789012:repository/team/app "
    articles = {"identity-based policy": "an"}
    for policy_type, layer in LAYERS.items():
        expected = f"with an explicit deny in {articles.get(policy_type, 'a')} {policy_type}"
        assert str(decide(**layer(DENY))) == start + expected
    assert str(decide()) == start + "because no identity-based policy allows the ecr:PutImage action"
    assert str(decide(identity=[ALLOW], permissions_boundary=OTHER)) == (
        start + "because no permissions boundary allows the ecr:PutImage action"
    )
    assert str(decide(identity=[ALLOW])) == start.replace("is not", "is") + "by an identity-based policy"


def test_the_sentences_are_those_that_clients_words_are_searched_for(decide):
    from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.denials import parse_denial

    for policy_type, layer in LAYERS.items():
        decision = decide(**layer(DENY))
        denial = parse_denial(str(decision))
        assert (denial.policy_type, denial.explicit) == (policy_type, True)
        assert (denial.api_action, denial.resource) == (decision.action, decision.resource)
    assert parse_denial(str(decide())).explicit is False
