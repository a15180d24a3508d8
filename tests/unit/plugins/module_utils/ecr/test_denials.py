# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.denials import POLICY_TYPES, Denial, parse_denial
from hypothesis import given
from hypothesis import strategies as st

USER = "arn:aws:sts::123456789012:assumed-role/fa-085-instance2/i-0123456789abcdef0"
REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository/fa-085"
HEAD = f"User: {USER} is not authorized to perform: ecr:PutImage on resource: {REPOSITORY}"


def found(text: str) -> Denial:
    denial = parse_denial(text)
    assert denial is not None, text
    return denial


@pytest.mark.parametrize("policy_type", POLICY_TYPES)
def test_explicit_and_implicit_of_every_policy_type(policy_type: str) -> None:
    article = "an" if policy_type[0] in "aeiou" else "a"
    explicit = found(f"{HEAD} with {'an'} explicit deny in {article} {policy_type}")
    assert (explicit.policy_type, explicit.explicit) == (policy_type, True)
    assert explicit.message == f"{HEAD} with an explicit deny in {article} {policy_type}"
    implicit = found(f"{HEAD} because no {policy_type} allows the ecr:PutImage action")
    assert (implicit.policy_type, implicit.explicit) == (policy_type, False)
    for denial in (explicit, implicit):
        assert (denial.api_action, denial.principal, denial.resource) == ("ecr:PutImage", USER, REPOSITORY)
        assert denial.statement is None and denial.policy_arn is None


def test_the_guides_own_spelling_of_session_policy() -> None:
    assert found(f"{HEAD} with an explicit deny in a sessions policy").policy_type == "session policy"


def test_clause_missing_is_unknown_not_guessed() -> None:
    denial = found(HEAD)
    assert (denial.policy_type, denial.explicit, denial.message) == (None, None, HEAD)


def test_clause_cut_short_is_explicit_of_unknown_type() -> None:
    denial = found(f"{HEAD} with an explicit deny")
    assert (denial.policy_type, denial.explicit) == (None, True)


def test_without_resource() -> None:
    denial = found(
        f"User: {USER} is not authorized to perform: ecr:InitiateLayerUpload "
        "because no identity-based policy allows the ecr:InitiateLayerUpload action"
    )
    assert (denial.resource, denial.api_action) == (None, "ecr:InitiateLayerUpload")
    assert (denial.policy_type, denial.explicit) == ("identity-based policy", False)


@pytest.mark.parametrize("joint", [": ", " ", " ("])
def test_an_appended_policy_arn_is_kept(joint: str) -> None:
    arn = "arn:aws:organizations::111122223333:policy/o-abc/service_control_policy/p-xyz"
    tail = ")" if joint == " (" else ""
    denial = found(f"{HEAD} with an explicit deny in a service control policy{joint}{arn}{tail}")
    assert (denial.policy_type, denial.policy_arn) == ("service control policy", arn)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "Error response from daemon: pull access denied for h/fa-085, repository does not exist or may require "
            "'docker login': denied: ",
            "\n",
        ),
        ("denied: ", ""),
        ('{"errors":[{"code":"DENIED","message":"', '"}]}'),
        ('time="2026-11-23T20:00:00Z" level=fatal msg="reading manifest v1 in h/fa-085: denied: ', '"'),
        ("An error occurred (AccessDeniedException) when calling the PutImage operation: ", ""),
    ],
)
def test_found_in_every_clients_words(before: str, after: str) -> None:
    sentence = f"{HEAD} with an explicit deny in a resource-based policy"
    denial = found(before + sentence + after)
    assert denial.message == sentence
    assert (denial.resource, denial.policy_type) == (REPOSITORY, "resource-based policy")
    assert found(before + HEAD + after).resource == REPOSITORY


def test_a_token_is_refused_on_every_resource() -> None:
    denial = found(
        f"User: {USER} is not authorized to perform: ecr:GetAuthorizationToken on resource: * "
        "because no identity-based policy allows the ecr:GetAuthorizationToken action"
    )
    assert (denial.api_action, denial.resource, denial.explicit) == ("ecr:GetAuthorizationToken", "*", False)


def test_wrapped_lines_are_one_sentence() -> None:
    denial = found(f"{HEAD}\n  with an explicit deny\n  in a resource-based policy")
    assert denial.message == f"{HEAD} with an explicit deny in a resource-based policy"


def test_as_dict_is_the_reports_denial() -> None:
    assert found(f"{HEAD} with an explicit deny").as_dict() == {
        "api_action": "ecr:PutImage",
        "policy_type": None,
        "explicit": True,
        "statement": None,
        "message": f"{HEAD} with an explicit deny",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "403 Forbidden",
        "denied: requested access to the resource is denied",
        "denied: Your authorization token has expired. Reauthenticate and try again.",
        "no basic auth credentials",
        "unauthorized: authentication required",
        "User: is not authorized",
        "EOF",
    ],
)
def test_refusals_in_other_words_are_not_the_services(text: str) -> None:
    assert parse_denial(text) is None


@given(st.text(max_size=200), st.text(alphabet=st.characters(exclude_characters=":("), max_size=30))
def test_whatever_stands_before_and_after_the_sentence_is_found(before: str, after: str) -> None:
    denial = found(f"{before} {HEAD} with an explicit deny in a resource-based policy\n{after}")
    assert denial.policy_type == "resource-based policy"


@given(st.text())
def test_any_text_is_read_without_fault(text: str) -> None:
    parse_denial(text)
