# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every combination of expected and observed has its verdict, and reasons survive the way into the report."""

from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.access.matrix import cells
from ansible_collections.policyproof.ecr.plugins.module_utils.access.verdicts import ResultFault, denial_words, rows

DENIAL = {
    "api_action": "ecr:InitiateLayerUpload",
    "policy_type": "resource-based policy",
    "explicit": True,
    "statement": None,
    "message": "User: … is not authorized …",
}


def row(expected, observation, simulation=None):
    """The row of a lone push."""
    matrix = cells({"one": {"push": expected, "pull": "deny"}})
    simulations = {} if simulation is None else {("one", "push"): simulation}
    observations = {} if observation is None else {("one", "push"): observation}
    return rows(matrix, observations, simulations)[0]


@pytest.mark.parametrize(
    ("expected", "outcome", "verdict"),
    [
        ("allow", "allowed", "proven"),
        ("allow", "denied", "violated"),
        ("allow", "error", "unproven"),
        ("deny", "allowed", "violated"),
        ("deny", "denied", "proven"),
        ("deny", "error", "unproven"),
    ],
)
def test_verdict(expected, outcome, verdict):
    assert row(expected, {"outcome": outcome}).verdict == verdict


def test_nothing_observed_is_an_error():
    one = row("deny", None)
    assert (one.observed, one.verdict) == ("error", "unproven")
    assert "no result came" in one.why


def test_an_outcome_that_is_none_is_refused():
    with pytest.raises(ResultFault, match="'refused'"):
        row("deny", {"outcome": "refused"})


def test_json_row_has_the_keys_of_schema_1():
    data = row("deny", {"outcome": "denied", "denial": DENIAL, "duration_s": 0.25}).as_dict()
    assert list(data) == ["principal", "action", "expected", "simulated", "observed", "verdict", "duration_s", "denial"]
    assert data["simulated"] is None
    assert data["denial"] == DENIAL
    assert data["duration_s"] == 0.25


def test_allowed_says_digest_and_duration():
    one = row("allow", {"outcome": "allowed", "digest": "sha256:" + "ab" * 32, "duration_s": 0.91})
    assert one.why == "sha256:abababababab… in 0.9 s"
    assert one.denial is None


def test_allowed_without_an_image_says_so():
    one = row("allow", {"action": "push", "outcome": "allowed", "completed": False, "duration_s": 0.1})
    assert one.why == "authorized in 0.1 s; there was no image to push"


def test_error_says_cause_and_remedy():
    one = row("deny", {"outcome": "error", "error": "Docker does not answer.", "remedy": "Start it."})
    assert one.sentence == "one push: expected deny, observed error (Docker does not answer. Start it)."


SIMULATED = {
    "api_action": "ecr:InitiateLayerUpload",
    "policy_type": "resource-based policy",
    "decision": "explicit_deny",
    "statement": "Pullers",
}
FIRST = {**SIMULATED, "api_action": "ecr:BatchCheckLayerAvailability", "statement": "Another"}


def test_the_statement_comes_from_the_simulation_of_the_same_api_action():
    simulation = {"effect": "deny", "api_actions": [FIRST, SIMULATED]}
    assert row("deny", {"outcome": "denied", "denial": DENIAL}, simulation).denial["statement"] == "Pullers"


@pytest.mark.parametrize(
    "other", [{"api_action": "ecr:PutImage"}, {"policy_type": "identity-based policy"}, {"decision": "allow"}]
)
def test_the_statement_does_not_come_from_one_that_disagrees(other):
    simulation = {"effect": "deny", "api_actions": [{**SIMULATED, **other}]}
    assert row("deny", {"outcome": "denied", "denial": DENIAL}, simulation).denial["statement"] is None


def test_an_implicit_denial_has_no_statement():
    simulation = {"effect": "deny", "api_actions": [SIMULATED]}
    assert (
        row("deny", {"outcome": "denied", "denial": {**DENIAL, "explicit": False}}, simulation).denial["statement"]
        is None
    )


def test_a_violated_cell_names_the_statements_that_leave_the_principal_out():
    statements = [
        {"policy_type": "resource-based policy", "statement": "Others", "effect": "Deny", "matched": False},
        {"policy_type": "permissions boundary", "statement": 2, "effect": "Deny", "matched": False},
        {"policy_type": "identity-based policy", "statement": 0, "effect": "Allow", "matched": True},
    ]
    simulation = {"effect": "allow", "sentence": "User: arn:aws:iam::1:role/r is authorized", "statements": statements}
    one = row("deny", {"outcome": "allowed"}, simulation)
    assert one.sentence.endswith(
        "Repository policy statement Others does not cover arn:aws:iam::1:role/r. "
        "Permissions boundary statement 2 does not cover arn:aws:iam::1:role/r."
    )
    assert row("allow", {"outcome": "allowed"}, simulation).explanation is None


@pytest.mark.parametrize(
    ("simulated", "observed", "differs"),
    [
        ("allow", "allowed", False),
        ("deny", "denied", False),
        ("allow", "denied", True),
        ("deny", "allowed", True),
        ("allow", "error", False),
    ],
)
def test_a_difference_from_the_simulation_is_pointed_out(simulated, observed, differs):
    one = row("deny", {"outcome": observed}, {"effect": simulated})
    assert (one.differs is not None) is differs
    assert one.simulated == simulated
    if differs:
        assert f"The simulation said {simulated}" in one.sentence


@pytest.mark.parametrize(
    ("denial", "words"),
    [
        (DENIAL, "ecr:InitiateLayerUpload: explicit deny in a resource-based policy"),
        (
            {**DENIAL, "statement": "Pullers"},
            "ecr:InitiateLayerUpload: explicit deny in a resource-based policy, statement Pullers",
        ),
        (
            {**DENIAL, "policy_type": "identity-based policy"},
            "ecr:InitiateLayerUpload: explicit deny in an identity-based policy",
        ),
        ({**DENIAL, "explicit": False}, "ecr:InitiateLayerUpload: no resource-based policy allows it"),
        ({**DENIAL, "policy_type": None}, "ecr:InitiateLayerUpload: explicit deny in an unnamed policy"),
        ({**DENIAL, "explicit": None, "policy_type": None}, "ecr:InitiateLayerUpload: the service gave no reason"),
        ({}, "an action the service did not name: the service gave no reason"),
    ],
)
def test_denial_in_words(denial, words):
    assert denial_words(denial) == words
