# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every condition operator. IAM User Guide, "IAM JSON policy elements: Condition operators"."""

from __future__ import annotations

import pytest

KEY = "aws:PrincipalTag/value"
ROLE = "arn:aws:iam::123456789012:role/team/builder"

# operator, value of the policy, value of the request, whether it holds
STRING = [
    ("StringEquals", "red", "red", True),
    ("StringEquals", "red", "Red", False),
    ("StringEquals", "r*", "red", False),
    ("StringEquals", "r*", "r*", True),
    ("StringEquals", "", "", True),
    ("StringEqualsIgnoreCase", "red", "RED", True),
    ("StringEqualsIgnoreCase", "red", "blue", False),
    ("StringLike", "r*", "red", True),
    ("StringLike", "r?d", "red", True),
    ("StringLike", "r?d", "rd", False),
    ("StringLike", "R*", "red", False),
    ("StringLike", "*", "", True),
    ("StringLike", "*e*", "red", True),
    ("StringLike", "r.d", "red", False),
    ("StringLike", "a*b*c", "a-c-b", False),
    ("StringLike", "line*", "line\none", True),
]
NUMERIC = [
    ("NumericEquals", "10", "10", True),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", 10, "10", True),
    ("NumericEquals", "0.1", "0.10", True),
    ("NumericEquals", "10", "11", False),
    ("NumericLessThan", "10", "9", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThan", "10", "-11", True),
    ("NumericLessThan", "9", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericLessThanEquals", "10", "10.5", False),
    ("NumericGreaterThan", "10", "10", False),
    ("NumericGreaterThan", "9", "10", True),
    ("NumericGreaterThanEquals", "10", "10", True),
    ("NumericGreaterThanEquals", "10", "9.9", False),
    ("NumericEquals", "10", "ten", False),
    ("NumericLessThan", "10", "", False),
    ("NumericLessThan", "ten", "1", False),
    ("NumericEquals", "1_0", "10", False),
    ("NumericLessThan", "NaN", "1", False),
    ("NumericLessThan", "Infinity", "1", False),
]
DATE = [
    ("DateEquals", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", True),
    ("DateEquals", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", True),
    ("DateEquals", "2024-01-01T00:00:00Z", "2023-12-31T19:00:00-05:00", True),
    ("DateEquals", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000Z", True),
    ("DateEquals", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", False),
    ("DateEquals", "2024-01-01", "2024-01-01T00:00Z", True),
    ("DateEquals", "2024-01", "2024-01-01", True),
    ("DateEquals", "2024", "2024-01-01", True),
    # Epoch seconds, never milliseconds.
    ("DateEquals", "1704067200", "2024-01-01T00:00:00Z", True),
    ("DateEquals", "2024-01-01T00:00:00Z", "1704067200", True),
    ("DateEquals", "1704067200000", "2024-01-01T00:00:00Z", False),
    ("DateLessThan", "1704067200", "1704067199", True),
    ("DateLessThan", "2024-01-01T00:00:00Z", "2023-12-31T23:59:59Z", True),
    ("DateLessThan", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", False),
    ("DateLessThanEquals", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", True),
    ("DateGreaterThan", "2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z", True),
    ("DateGreaterThan", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", False),
    ("DateGreaterThanEquals", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", True),
    ("DateEquals", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", True),
    ("DateLessThan", "2024-02-30", "1", False),
    ("DateLessThan", "2024-01-01T25:00:00Z", "1", False),
    ("DateLessThan", "2024-01-01T00:00:61Z", "1", False),
    ("DateLessThan", "2024-01-01T00:00:00Z", "yesterday", False),
]
BOOL = [
    ("Bool", "true", "true", True),
    ("Bool", "true", "false", False),
    ("Bool", "false", "false", True),
    ("Bool", True, "true", True),
    ("Bool", "True", "TRUE", True),
    ("Bool", "true", "1", False),
    ("Bool", "yes", "yes", False),
]
BINARY = [
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ6", False),
    ("BinaryEquals", "not base64", "not base64", False),
]
ADDRESS = [
    ("IpAddress", "203.0.113.0/24", "203.0.113.77", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.1", False),
    ("IpAddress", "203.0.113.9/24", "203.0.113.77", True),
    ("IpAddress", "203.0.113.5", "203.0.113.5", True),
    ("IpAddress", "203.0.113.5", "203.0.113.6", False),
    ("IpAddress", "203.0.113.5/32", "203.0.113.5", True),
    ("IpAddress", "0.0.0.0/0", "203.0.113.5", True),
    ("IpAddress", "0.0.0.0/0", "2001:db8::1", False),
    ("IpAddress", "::/0", "2001:db8::1", True),
    ("IpAddress", "::/0", "203.0.113.5", False),
    ("IpAddress", "2001:DB8:1234:5678::/64", "2001:db8:1234:5678:0:0:0:1", True),
    ("IpAddress", "2001:db8:1234:5678::/64", "2001:db8:1234:5679::1", False),
    ("IpAddress", "2001:DB8::1", "2001:db8:0::1", True),
    ("IpAddress", "203.0.113.0/33", "203.0.113.1", False),
    ("IpAddress", "203.0.113.0/24", "here", False),
]
ARN = [
    ("ArnEquals", ROLE, ROLE, True),
    ("ArnEquals", "arn:aws:iam::123456789012:role/builder", ROLE, False),
    ("ArnEquals", "arn:aws:iam::123456789012:role/*", ROLE, True),
    ("ArnEquals", "arn:aws:iam::*:role/team/b*r", ROLE, True),
    ("ArnEquals", "arn:aws:iam::12345678901?:role/team/builder", ROLE, True),
    ("ArnEquals", "arn:aws:iam::123456789012:role/team/Builder", ROLE, False),
    # "Each of the six colon-delimited components of the ARN is checked separately".
    ("ArnEquals", "arn:aws:iam:*:role/team/builder", ROLE, False),
    ("ArnEquals", "arn:aws:*:*:*:*", ROLE, True),
    ("ArnEquals", "arn:aws:iam::*", ROLE, False),
    ("ArnEquals", "*", ROLE, False),
    ("ArnEquals", "arn:aws:iam::123456789012:role/*", "builder", False),
]
OPPOSITES = {
    "StringEquals": "StringNotEquals",
    "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase",
    "StringLike": "StringNotLike",
    "NumericEquals": "NumericNotEquals",
    "DateEquals": "DateNotEquals",
    "IpAddress": "NotIpAddress",
    "ArnEquals": "ArnNotEquals",
    "ArnLike": "ArnNotLike",
}
ALL = STRING + NUMERIC + DATE + BOOL + BINARY + ADDRESS + ARN
ALL += [("ArnLike", *case[1:]) for case in ARN]

# Values of a policy that the operator cannot compare with: then neither it nor its opposite holds.
SENSELESS = {"1_0", "203.0.113.0/33", "arn:aws:iam:*:role/team/builder", "arn:aws:iam::*", "*"}


@pytest.mark.parametrize(("operator", "value", "given", "expected"), ALL)
def test_operator(holds, operator, value, given, expected):
    assert holds(operator, KEY, value, {KEY: given}) is expected
    assert holds(f"{operator}IfExists", KEY, value, {KEY: given}) is expected
    assert holds(operator.swapcase(), KEY.upper(), value, {KEY.swapcase(): given}) is expected


@pytest.mark.parametrize(("operator", "value", "given", "expected"), [case for case in ALL if case[0] in OPPOSITES])
def test_its_opposite(holds, operator, value, given, expected):
    senseless = value in SENSELESS and not operator.startswith("String")
    assert holds(OPPOSITES[operator], KEY, value, {KEY: given}) is (not expected and not senseless)


POSITIVE = sorted({case[0] for case in ALL})
SOME_VALUE = {case[0]: case[1] for case in reversed(ALL)}


@pytest.mark.parametrize("operator", POSITIVE)
def test_of_a_missing_key(holds, operator):
    value = SOME_VALUE[operator]
    assert not holds(operator, KEY, value, {})
    assert holds(f"{operator}IfExists", KEY, value, {})
    assert holds(f"ForAllValues:{operator}", KEY, value, {})
    assert not holds(f"ForAnyValue:{operator}", KEY, value, {})
    if operator in OPPOSITES:
        # "...if the key is not present in the request context, the result is true"
        assert holds(OPPOSITES[operator], KEY, value, {})
        assert holds(f"{OPPOSITES[operator]}IfExists", KEY, value, {})
        assert holds(f"ForAllValues:{OPPOSITES[operator]}", KEY, value, {})
        assert not holds(f"ForAnyValue:{OPPOSITES[operator]}", KEY, value, {})


def test_null(holds):
    for value in ("true", True, "TRUE"):
        assert holds("Null", "aws:TokenIssueTime", value, {})
        assert not holds("Null", "aws:TokenIssueTime", value, {"aws:TokenIssueTime": "2024-01-01T00:00:00Z"})
    for value in ("false", False):
        assert not holds("Null", "aws:TokenIssueTime", value, {})
        assert holds("Null", "aws:TokenIssueTime", value, {"aws:TOKENISSUETIME": "2024-01-01T00:00:00Z"})
    assert holds("Null", KEY, ["true", "false"], {})
    assert not holds("Null", KEY, [], {})
    assert not holds("Null", KEY, "maybe", {})
    for nothing in (None, []):
        assert holds("Null", "aws:TagKeys", "true", {"aws:TagKeys": nothing})


def test_several_values_of_the_policy(holds):
    """Any of them for an operator; for its opposite, none of them."""
    assert holds("ArnEquals", KEY, [ROLE, f"{ROLE}s"], {KEY: ROLE})
    assert not holds("ArnNotEquals", KEY, [ROLE, f"{ROLE}s"], {KEY: ROLE})
    assert holds("ArnNotEquals", KEY, [f"{ROLE}s", f"{ROLE}t"], {KEY: ROLE})
    assert holds("NumericNotEquals", KEY, ["1", "2"], {KEY: "3"})
    assert not holds("NumericNotEquals", KEY, ["1", "2"], {KEY: "2"})
    assert not holds("StringEquals", KEY, [], {KEY: "x"})
    assert holds("StringNotEquals", KEY, [], {KEY: "x"})


def test_several_conditions_must_all_hold(matches):
    condition = {"StringEquals": {"aws:a": "1", "aws:b": ["2", "3"]}, "StringLike": {"aws:a": "*"}}
    assert matches(Condition=condition, context={"aws:a": "1", "aws:b": "3"})
    assert not matches(Condition=condition, context={"aws:a": "1", "aws:b": "4"})
    assert not matches(Condition=condition, context={"aws:b": "2"})
    assert matches(Condition={}, context={})
    assert matches(Condition={"StringEquals": {}}, context={})


@pytest.mark.parametrize(
    ("operator", "request_values", "expected"),
    [
        # IAM User Guide, "Set operators for multivalued context keys"
        ("ForAllValues:StringEquals", ["a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAllValues:StringEquals", [], True),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["a", "c"], True),
        ("ForAnyValue:StringEquals", ["c", "d"], False),
        ("ForAnyValue:StringEquals", [], False),
        ("ForAnyValue:StringNotEquals", ["a", "c"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], False),
        ("ForAnyValue:StringLike", ["a"], True),
        ("foranyvalue:stringlike", ["a"], True),
        ("ForAllValues:StringEqualsIfExists", [], True),
        ("ForAnyValue:StringEqualsIfExists", [], True),
        ("ForAnyValue:StringEqualsIfExists", ["c"], False),
        ("StringEquals", ["c", "a"], True),
        ("StringEquals", ["c", "d"], False),
        ("StringNotEquals", ["c", "a"], False),
        ("StringNotEquals", ["c", "d"], True),
    ],
)
def test_several_values_of_the_request(holds, operator, request_values, expected):
    assert holds(operator, "aws:TagKeys", ["a", "b"], {"aws:TagKeys": request_values}) is expected


def test_values_of_the_request_that_are_no_strings(holds):
    import datetime

    assert holds("Bool", KEY, "true", {KEY: True})
    assert not holds("Bool", KEY, "true", {KEY: 1})
    assert holds("NumericLessThan", KEY, "10", {KEY: 9})
    assert holds("NumericLessThan", KEY, "10", {KEY: 9.5})
    assert holds("ForAnyValue:StringEquals", KEY, "5", {KEY: ("4", 5)})
    moment = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    assert holds("DateEquals", KEY, "2024-01-01T00:00:00Z", {KEY: moment})
    with pytest.raises(TypeError, match="context key aws:PrincipalTag/value"):
        holds("StringEquals", KEY, "5", {KEY: {"a": "b"}})


def test_true_and_one_are_not_taken_for_each_other():
    from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import PolicySet

    condition = {"Bool": {KEY: "true"}}
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    policies = PolicySet(identity=[{"Version": "2012-10-17", "Statement": [statement]}])
    asked = ("arn:aws:iam::123456789012:user/alice", "ecr:PutImage", "*", "123456789012")
    for _turn in range(2):
        assert [policies.decide(*asked, {KEY: value}).effect for value in (True, 1, 1.0, "true", "1")] == [
            "allow",
            "implicit_deny",
            "implicit_deny",
            "allow",
            "implicit_deny",
        ]


def test_a_set_of_policies_forgets_before_it_grows_without_bounds():
    from ansible_collections.policyproof.ecr.plugins.module_utils.iam import conditions, evaluation

    condition = {"StringEquals": {KEY: "x5"}}
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    policies = evaluation.PolicySet(identity=[{"Version": "2012-10-17", "Statement": [statement]}])
    for number in range(2 * evaluation._REMEMBERED):
        name = f"x{number}"
        decision = policies.decide(f"arn:aws:iam::123456789012:user/{name}", f"ecr:{name}", "*", None, {KEY: name})
        assert decision.allowed is (number == 5)
    for remembered in (policies._plans, policies._cases, policies._answers):
        assert len(remembered) <= evaluation._REMEMBERED
    assert conditions._CACHED <= evaluation._REMEMBERED
