# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action and NotAction. IAM User Guide, "IAM JSON policy elements: Action" and "... NotAction"."""

from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import InvalidPolicy


@pytest.mark.parametrize(
    ("pattern", "action", "expected"),
    [
        ("ecr:PutImage", "ecr:PutImage", True),
        ("ecr:PutImage", "ecr:PutImageTagMutability", False),
        # "The prefix and the action name are case insensitive": iam:ListAccessKeys is the same as IAM:listaccesskeys.
        ("ECR:putimage", "ecr:PutImage", True),
        ("ecr:PutImage", "ECR:PUTIMAGE", True),
        ("*", "ecr:PutImage", True),
        ("*:*", "ecr:PutImage", True),
        ("ecr:*", "ecr:PutImage", True),
        ("s3:*", "ecr:PutImage", False),
        ("ecr:*Image", "ecr:BatchGetImage", True),
        ("ecr:*Image", "ecr:DescribeImages", False),
        ("ecr:*Image*", "ecr:DescribeImages", True),
        ("ecr:Put?mage", "ecr:PutImage", True),
        ("ecr:PutImag?", "ecr:PutImage", True),
        ("ecr:PutImage?", "ecr:PutImage", False),
        ("ecr:put*", "ecr:PutImage", True),
        ("ecr:*a*a*a", "ecr:BatchGetImage", False),
    ],
)
def test_a_pattern_and_its_opposite(matches, pattern, action, expected):
    assert matches(Action=pattern, action=action) is expected
    assert matches(NotAction=pattern, action=action) is not expected


def test_any_of_several(matches):
    several = ["ecr:BatchGetImage", "ecr:Put*"]
    assert matches(Action=several)
    assert not matches(NotAction=several)
    assert not matches(Action=several, action="ecr:DeleteRepository")
    assert matches(NotAction=several, action="ecr:DeleteRepository")


def test_none_at_all(matches):
    assert not matches(Action=[])
    assert matches(NotAction=[])


def test_there_are_no_variables_in_it(matches):
    with pytest.raises(InvalidPolicy, match="is no action"):
        matches(Action="ecr:${aws:username}", context={"aws:username": "PutImage"})
