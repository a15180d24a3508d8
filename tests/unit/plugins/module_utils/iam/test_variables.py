# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policy variables. IAM User Guide, "IAM policy elements: Variables and tags"."""

from __future__ import annotations

import pytest

KEY = "aws:PrincipalTag/team"
TEAM = "arn:aws:ecr:us-east-1:123456789012:repository/${aws:PrincipalTag/team}/app"
DEFAULT = "arn:aws:ecr:us-east-1:123456789012:repository/${aws:PrincipalTag/team, 'team'}/app"


@pytest.mark.parametrize(
    ("pattern", "context", "resource", "not_resource"),
    [
        (TEAM, {KEY: "team"}, True, False),
        (TEAM, {KEY.upper(): "team"}, True, False),
        (TEAM, {KEY: "other"}, False, True),
        # "If AWS cannot resolve a variable this might cause the entire statement to be invalid."
        (TEAM, {}, False, False),
        # "You cannot use a multivalued context key as a policy variable."
        (TEAM, {KEY: ["team", "other"]}, False, False),
        (DEFAULT, {}, True, False),
        (DEFAULT, {KEY: "other"}, False, True),
        # What a variable brings in is no wildcard.
        (TEAM, {KEY: "*"}, False, True),
        (TEAM, {KEY: "t?am"}, False, True),
    ],
)
def test_in_resource(matches, pattern, context, resource, not_resource):
    assert matches(Resource=pattern, context=context) is resource
    assert matches(NotResource=pattern, context=context) is not_resource


@pytest.mark.parametrize("version", ["2008-10-17", None])
def test_not_before_2012(decide, version):
    statement = {"Effect": "Allow", "Action": "*", "Resource": TEAM}
    policy = {"Version": version, "Statement": [statement]} if version else {"Statement": [statement]}
    assert decide(identity=[policy], context={KEY: "team"}).effect == "implicit_deny"
    literally = TEAM.replace("*", "x")
    assert decide(identity=[policy], context={KEY: "team"}, resource=literally).effect == "allow"


@pytest.mark.parametrize(
    ("operator", "value", "given", "expected"),
    [
        ("StringEquals", "${aws:username}", "alice", True),
        ("StringEquals", "x-${aws:username}-y", "x-alice-y", True),
        ("StringEquals", "${aws:username}${aws:username}", "alicealice", True),
        ("StringEquals", "${AWS:UserName}", "alice", True),
        ("StringEquals", "${aws:missing, 'none'}", "none", True),
        ("StringEquals", "${aws:missing,'none'}", "none", True),
        ("StringEquals", "${aws:missing, ''}", "", True),
        ("StringEquals", "${aws:username, 'none'}", "none", False),
        ("StringLike", "${aws:username}*", "alice-1", True),
        # "${*} - use where you need an * (asterisk) character."
        ("StringLike", "a${*}", "a*", True),
        ("StringLike", "a${*}", "ab", False),
        ("StringLike", "a${?}*", "a?b", True),
        ("StringLike", "a${?}*", "abb", False),
        ("StringEquals", "${$}{aws:username}", "${aws:username}", True),
        ("StringEquals", "${*}", "*", True),
        # What is no variable stands as it is.
        ("StringEquals", "${aws:username", "${aws:username", True),
        ("StringEquals", "${}", "${}", True),
        ("ArnLike", "arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::123456789012:user/alice", True),
        ("ArnLike", "arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::123456789012:user/bob", False),
        # Neither numbers, nor dates, nor addresses, nor booleans have variables.
        ("NumericEquals", "${aws:five}", "5", False),
        ("DateEquals", "${aws:day}", "2020-01-01T00:00:00Z", False),
        ("IpAddress", "${aws:address}", "10.0.0.1", False),
        ("Bool", "${aws:yes}", "true", False),
    ],
)
def test_in_conditions(holds, operator, value, given, expected):
    context = {
        KEY: given,
        "aws:username": "alice",
        "aws:five": "5",
        "aws:day": "2020-01-01T00:00:00Z",
        "aws:address": "10.0.0.1",
        "aws:yes": "true",
    }
    assert holds(operator, KEY, value, context) is expected


def test_one_that_stands_for_nothing_never_helps_a_condition_to_hold(holds):
    for operator in ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringNotEqualsIfExists"):
        assert not holds(operator, KEY, "${aws:username}", {KEY: "red"})
    assert holds("StringEquals", KEY, ["red", "${aws:username}"], {KEY: "red"})
    assert not holds("StringNotEquals", KEY, ["blue", "${aws:username}"], {KEY: "red"})
    assert holds("StringNotEquals", KEY, "${aws:username}", {})


def test_the_same_condition_with_another_value_of_the_variable(holds, decide):
    from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import PolicySet

    condition = {"StringEquals": {KEY: "${aws:username}"}}
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    policies = PolicySet(identity=[{"Version": "2012-10-17", "Statement": [statement]}])
    asked = ("arn:aws:iam::123456789012:user/alice", "ecr:PutImage", "*", "123456789012")
    assert policies.decide(*asked, {KEY: "a", "aws:username": "a"}).effect == "allow"
    assert policies.decide(*asked, {KEY: "a", "aws:username": "b"}).effect == "implicit_deny"
