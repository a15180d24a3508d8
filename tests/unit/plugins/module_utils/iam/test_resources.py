# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resource and NotResource. IAM User Guide, "IAM JSON policy elements: Resource" and "... NotResource"."""

from __future__ import annotations

import pytest

REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository/team/app"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        (REPOSITORY, True),
        ("arn:aws:ecr:us-east-1:123456789012:repository/team", False),
        ("arn:aws:ecr:us-east-1:123456789012:repository/*", True),
        ("arn:aws:ecr:us-east-1:123456789012:repository/*/app", True),
        ("arn:aws:ecr:us-east-1:123456789012:repository/team/a?p", True),
        ("arn:aws:ecr:us-east-1:123456789012:repository/team/app?", False),
        ("arn:aws:ecr:us-*-1:123456789012:repository/team/app", True),
        ("arn:aws:ecr:us-east-?:12345678901?:repository/team/app", True),
        ("arn:aws:ecr:*:*:repository/team/app", True),
        ("arn:aws:ecr:*:210987654321:repository/team/app", False),
        ("arn:*:ecr:*:*:*", True),
        ("arn:aws:s3:::*", False),
        # Names are case sensitive.
        ("arn:aws:ecr:us-east-1:123456789012:repository/Team/app", False),
        ("arn:aws:ecr:us-east-1:123456789012:Repository/team/app", False),
        # A * that ends its segment "can expand to match beyond the colon boundaries"; one that does not, cannot.
        ("arn:aws:ecr:*", True),
        ("arn:*", True),
        ("arn:aws:ecr:*:repository/team/app", True),
        ("arn:aws:ecr:us-*", True),
        ("arn:aws:ecr:*/app", False),
        ("arn:aws:ecr:us*app", False),
        ("arn:aws:ecr:us-east-1?123456789012:repository/team/app", False),
        # An empty segment is not a wildcard.
        ("arn:aws:ecr:us-east-1::repository/team/app", False),
        ("arn:aws:ecr", False),
    ],
)
def test_a_pattern_and_its_opposite(matches, pattern, expected):
    assert matches(Resource=pattern) is expected
    assert matches(NotResource=pattern) is not expected


def test_any_of_several(matches):
    several = ["arn:aws:s3:::*", REPOSITORY]
    assert matches(Resource=several)
    assert not matches(NotResource=several)
    assert not matches(Resource=[])
    assert matches(NotResource=[])


def test_after_the_fifth_colon_a_colon_is_like_any_other_character(matches):
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:one:two"
    assert matches(Resource="arn:aws:secretsmanager:us-east-1:123456789012:secret:*two", resource=secret)
    assert matches(Resource="arn:aws:secretsmanager:us-east-1:123456789012:secret?one?two", resource=secret)


def test_a_request_that_names_no_resource(matches):
    assert matches(Resource="*", resource="*", action="ecr:GetAuthorizationToken")
    assert not matches(Resource=REPOSITORY, resource="*", action="ecr:GetAuthorizationToken")


def test_a_policy_of_a_repository_without_resource_is_about_this_repository(decide):
    statement = {"Effect": "Deny", "Principal": "*", "Action": "ecr:*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    assert decide(own=policy).effect == "explicit_deny"
    elsewhere = {**statement, "Resource": "arn:aws:ecr:us-east-1:123456789012:repository/other"}
    assert decide(own={"Version": "2012-10-17", "Statement": [elsewhere]}).effect == "implicit_deny"


def test_a_policy_of_a_repository_is_not_asked_about_the_registry(decide):
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*"}]}
    token = decide(identity=[everything], own=nothing, action="ecr:GetAuthorizationToken", resource="*")
    assert token.effect == "allow"


def test_patterns_take_no_more_time_than_their_length_and_that_of_the_text(matches):
    stars = "arn:aws:ecr:us-east-1:123456789012:repository/" + "*a" * 200 + "b"
    assert not matches(Resource=stars, resource="arn:aws:ecr:us-east-1:123456789012:repository/" + "a" * 2000)
