# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What AWS, Ansible or this collection would refuse of a deployment."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.access.deployment import (
    RESERVED_PRINCIPALS,
    deployment_faults,
)

CELL = {"push": "allow", "pull": "deny"}


def faults(matrix: Any = None, prefix: str = "fa-085", region: str = "us-east-1") -> list[str]:
    return deployment_faults({"instance1": CELL} if matrix is None else matrix, prefix, region)


@pytest.mark.parametrize("region", ["us-east-1", "ap-northeast-1", "us-gov-west-1", "cn-north-1", "me-central-1"])
def test_nothing_to_say(region: str) -> None:
    assert faults(region=region) == []


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("", "''"),
        ("x", "'x'"),
        ("Fa-085", "'Fa-085'"),
        ("fa--085", "'fa--085'"),
        ("fa-", "'fa-'"),
        ("9a", "'9a' cannot begin the name of a stack"),
        ("team/app", "'team/app' cannot begin the name of a stack"),
        ("team_app", "'team_app' cannot begin the name of a stack"),
        ("team.app", "'team.app' cannot begin the name of a stack"),
    ],
)
def test_prefixes(prefix: str, said: str) -> None:
    (fault,) = faults(prefix=prefix)
    assert "prefix" in fault
    assert said in fault


def test_no_region() -> None:
    assert faults(region="") == [
        "No region is given: set 'region', or AWS_REGION in the environment, for example to us-east-1."
    ]


@pytest.mark.parametrize("region", ["us-east", "us_east_1", "US-EAST-1", "us-east-1a", "virginia"])
def test_regions_that_are_none(region: str) -> None:
    (fault,) = faults(region=region)
    assert repr(region) in fault


@pytest.mark.parametrize("matrix", [{}, [], None, "instance1", {"instance1": None}, {"instance1": {"push": "allow"}}])
def test_a_matrix_that_is_none_is_one_fault(matrix: Any) -> None:
    assert len(deployment_faults(matrix, "fa-085", "us-east-1")) == 1


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"push": "allow", "pull": "deny", "scan": "allow"}, "'scan'"),
        ({"push": "yes", "pull": "deny"}, "'yes'"),
        ({"push": True, "pull": "deny"}, "True"),
        ({"push": "allow"}, "pull"),
    ],
)
def test_actions_and_values(cell: dict[str, Any], said: str) -> None:
    (fault,) = faults({"instance1": cell})
    assert said in fault
    assert "instance1" in fault


@pytest.mark.parametrize("name", RESERVED_PRINCIPALS)
def test_names_that_the_inventory_has_itself(name: str) -> None:
    if name == "aws_ec2":
        # No name of a principal anyway.
        assert len(faults({name: CELL})) == 1
        return
    (fault,) = faults({name: CELL})
    assert f"The principal {name!r} has a name that the inventory uses itself" in fault


def test_names_that_differ_in_case_alone() -> None:
    (fault,) = faults({"web": CELL, "Web": CELL, "db": CELL})
    assert "'web' and 'Web'" in fault


def test_role_names_that_are_too_long() -> None:
    assert faults({"a" * 32: CELL}, prefix="b" * 31) == []
    (fault,) = faults({"a" * 32: CELL}, prefix="b" * 32)
    assert "65 characters; IAM takes 64" in fault


def test_all_is_said_at_once() -> None:
    assert len(deployment_faults({"all": CELL, "All": CELL}, "9a", "")) == 4
