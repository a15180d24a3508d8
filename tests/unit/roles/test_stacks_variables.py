# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role stacks works out of what modules return: roles/stacks/vars/main.yml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).parents[3] / "roles" / "stacks"
ACCOUNT = "123456789012"
IAM = f"arn:aws:iam::{ACCOUNT}"


def variable(name: str, **variables: Any) -> Any:
    """The value of one of the role's variables, given others."""
    loader = DataLoader()
    known: dict[str, Any] = {"role_path": str(ROLE)}
    for file in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / file / "main.yml"), trusted_as_template=True)
    templar = Templar(loader=loader, variables={**known, **variables})
    return templar.template(trust_as_template("{{ " + name + " }}"))


def caller(resource: str, service: str = "iam") -> dict[str, str]:
    return {"arn": f"arn:aws:{service}::{ACCOUNT}:{resource}", "account": ACCOUNT}


def test_a_user_is_exempt_under_its_own_arn() -> None:
    assert variable("_stacks_admins", _stacks_caller=caller("user/team/me")) == [f"{IAM}:user/team/me"]


def test_a_session_is_exempt_under_the_arn_of_its_role_with_its_path() -> None:
    found = {"iam_roles": [{"arn": f"{IAM}:role/team/admin"}]}
    me = caller("assumed-role/admin/me@example.org", "sts")
    assert variable("_stacks_caller_role", _stacks_caller=me) == "admin"
    assert variable("_stacks_admins", _stacks_caller=me, _stacks_caller_roles=found) == [f"{IAM}:role/team/admin"]


@pytest.mark.parametrize("found", [{"msg": "not authorized to perform: iam:GetRole"}, {"iam_roles": []}])
def test_a_role_that_cannot_be_read_is_exempt_whatever_its_path(found: dict[str, Any]) -> None:
    me = caller("assumed-role/admin/me", "sts")
    assert variable("_stacks_admins", _stacks_caller=me, _stacks_caller_roles=found) == [
        f"{IAM}:role/*/admin",
        f"{IAM}:role/admin",
    ]


def test_the_role_of_cloudformation_is_exempt_too() -> None:
    role = f"{IAM}:role/cloudformation"
    given = {"_stacks_caller": caller("user/me"), "stacks_cloudformation_role_arn": role}
    assert variable("_stacks_admins", **given) == [role, f"{IAM}:user/me"]
    assert variable("_stacks_admins", **given, stacks_admin_arns=[]) == []


def test_the_matrix_becomes_three_lists_in_an_order_of_their_own() -> None:
    matrix = {
        "b": {"push": "allow", "pull": "deny"},
        "a": {"push": "allow", "pull": "deny"},
        "c": {"push": "deny", "pull": "allow"},
        "d": {"push": "allow", "pull": "allow"},
        "e": {"push": "deny", "pull": "deny"},
    }
    parameters = variable(
        "_stacks_repository_parameters",
        _stacks_caller=caller("user/me"),
        stacks_matrix=matrix,
        stacks_prefix="fa-085",
    )
    assert parameters == {
        "RepositoryName": "fa-085",
        "PushRoleArns": f"{IAM}:role/fa-085-a,{IAM}:role/fa-085-b",
        "PullRoleArns": f"{IAM}:role/fa-085-c",
        "PushPullRoleArns": f"{IAM}:role/fa-085-d",
        "AdminPrincipalArns": f"{IAM}:user/me",
    }


def stack(status: str, **tags: str) -> dict[str, Any]:
    return {
        "stack_description": {"stack_status": status},
        "stack_tags": tags,
        "stack_outputs": {},
        "stack_parameters": {},
    }


SURVEY = {
    "cloudformation": {
        "fa-085-network": stack("UPDATE_COMPLETE", Deployment="fa-085"),
        "fa-085-transfer": stack("REVIEW_IN_PROGRESS", Deployment="fa-085"),
        "fa-085-principal-a": stack("DELETE_IN_PROGRESS", Deployment="fa-085", Principal="a"),
        "fa-085-principal-b": stack("ROLLBACK_COMPLETE", Deployment="fa-085", Principal="b"),
        "fa-085-repository": stack("UPDATE_ROLLBACK_COMPLETE", Deployment="fa-085"),
        "shop-network": stack("CREATE_IN_PROGRESS", Deployment="shop"),
        "somebody-s": stack("CREATE_IN_PROGRESS"),
    }
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_stacks_unsettled", ["fa-085-principal-a"]),
        ("_stacks_broken", ["fa-085-transfer", "fa-085-principal-b"]),
        ("_stacks_of_principals", ["fa-085-principal-a", "fa-085-principal-b"]),
    ],
)
def test_stacks_under_way_broken_and_of_principals(name: str, expected: list[str]) -> None:
    assert variable(name, _stacks_survey=SURVEY, stacks_prefix="fa-085") == expected


def failure(name: str, **result: Any) -> dict[str, Any]:
    return {"failed": True, "_stacks_job": {"_stacks_stack": {"name": name}}, **result}


def event(name: str, reason: str | None, status: str = "DELETE_FAILED") -> dict[str, Any]:
    return {"stack_name": name, "resource_status": status, **({"resource_status_reason": reason} if reason else {})}


DENIED = (
    f"User: {IAM}:user/me is not authorized to perform: ecr:DeleteRepository on resource: "
    f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/fa-085 with an explicit deny in a resource-based policy"
)


def explained(failures: list[dict[str, Any]], events: list[dict[str, Any]], admins: str = "") -> list[str]:
    repository = {**stack("DELETE_FAILED", Deployment="fa-085"), "stack_parameters": {"AdminPrincipalArns": admins}}
    found = [{"cloudformation": {each["stack_name"]: {"stack_events": [each]}}} for each in events]
    sentences: list[str] = variable(
        "_stacks_failures + _stacks_advice",
        _stacks_done={"results": [{"failed": False}, *failures]},
        _stacks_events={"results": found or [{"cloudformation": {}}]},
        _stacks_survey={"cloudformation": {"fa-085-repository": repository}},
        stacks_prefix="fa-085",
    )
    return sentences


def test_the_module_s_own_log_says_why() -> None:
    log = ["AWS::IAM::Role Role CREATE_FAILED: Role with name\nx already exists."]
    assert explained([failure("fa-085-a", output="Stack create failed. Delete complete.", log=log)], []) == [
        "Stack fa-085-a: Stack create failed. Delete complete; "
        "AWS::IAM::Role Role CREATE_FAILED: Role with name x already exists."
    ]


def test_else_the_stack_s_events_do() -> None:
    events = [event("fa-085-a", "It is in use."), event("fa-085-a", None), event("fa-085-a", "fine", "DELETE_COMPLETE")]
    events += [event("fa-085-b", "Another's.")]
    assert explained([failure("fa-085-a", output="Stack DELETE failed", log=[])], events) == [
        "Stack fa-085-a: Stack DELETE failed; It is in use."
    ]


def test_a_refusal_of_the_api_is_the_message() -> None:
    message = "Task failed: Module failed: Failed to create stack fa-085-a: Access Denied"
    assert explained([failure("fa-085-a", msg=message)], []) == [
        "Stack fa-085-a: Failed to create stack fa-085-a: Access Denied."
    ]


def test_whoever_is_locked_out_is_told_who_is_not() -> None:
    failed = [failure("fa-085-repository", output="Stack DELETE failed", log=[])]
    advice = explained(failed, [event("fa-085-repository", DENIED)], f"{IAM}:user/admin")[-1]
    assert advice.endswith(f"Run this as one of those that it exempts: {IAM}:user/admin.")
    advice = explained(failed, [event("fa-085-repository", DENIED)])[-1]
    assert advice == "The repository policy exempts nobody: it can be changed and deleted by AWS Support alone."
