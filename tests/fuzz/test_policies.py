# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hundred thousand arbitrary JSON documents give a decision or InvalidPolicy, nothing else.

``POLICYPROOF_FUZZ`` is how many, ``POLICYPROOF_FUZZ_SEED`` which.
"""

from __future__ import annotations

import json
import os
import random

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import Decision, InvalidPolicy, PolicySet

DOCUMENTS = int(os.environ.get("POLICYPROOF_FUZZ", "100000"))
SEED = int(os.environ.get("POLICYPROOF_FUZZ_SEED", "85"))
PARTS = 4

ARN = "arn:aws:ecr:us-east-1:123456789012:repository/team/app"
ROLE = "arn:aws:iam::123456789012:role/builder"
WORDS = [
    *(
        "",
        "*",
        "?",
        ":",
        "**",
        "${",
        "}",
        "${aws:username}",
        "${*}",
        "${aws:username, 'x'}",
        "\u0000",
        "\ud800",
        "é",
        "\n",
    ),
    *("ecr:*", "ecr:PutImage", "*:*", "Allow", "Deny", "2012-10-17", "2008-10-17", "true", "false", "AWS", "Service"),
    *(
        ARN,
        ROLE,
        "arn:*",
        "arn:aws:*:*",
        "123456789012",
        "10.0.0.0/8",
        "::/0",
        "0.0.0.0/0",
        "1e999",
        "-0",
        "NaN",
        "1e999999999",
    ),
    *(
        "2024-01-01",
        "2024-13-01",
        "0000-01-01",
        "9999-12-31T23:59:60+23:59",
        "99999999999999999999",
        "QQ==",
        "=",
        "\u0661",
    ),
]
OPERATORS = [
    *("StringEquals", "StringNotLike", "NumericLessThan", "NumericNotEquals", "DateGreaterThan", "DateEquals", "Bool"),
    *("BinaryEquals", "IpAddress", "NotIpAddress", "ArnLike", "ArnNotEquals", "Null", "ForAllValues:ArnEquals"),
    *("ForAnyValue:StringLikeIfExists", "BoolIfExists", "Strange", "IfExists", "ForAllValues:", ":"),
]
KEYS = ["aws:username", "aws:PrincipalArn", "aws:SourceIp", "aws:TagKeys", "aws:CurrentTime", "aws:Missing", ""]
ELEMENTS = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"]


def anything(chance: random.Random, depth: int = 3) -> object:
    """Any JSON value."""
    kind = chance.randrange(8 if depth else 6)
    if kind < 2:
        return chance.choice(WORDS)
    if kind < 6:
        return (None, chance.random() < 0.5, chance.randrange(-9, 9), chance.uniform(-1e9, 1e9))[kind - 2]
    if kind == 6:
        return [anything(chance, depth - 1) for _turn in range(chance.randrange(4))]
    names = [*WORDS, *ELEMENTS, "Version", "Statement", "Id"]
    return {chance.choice(names): anything(chance, depth - 1) for _turn in range(chance.randrange(4))}


def words(chance: random.Random) -> object:
    """A string, or several."""
    return (
        chance.choice(WORDS)
        if chance.random() < 0.6
        else [chance.choice(WORDS) for _turn in range(chance.randrange(3))]
    )


def statement(chance: random.Random, naming: bool) -> dict[str, object]:
    """A statement that is often in order."""
    result: dict[str, object] = {
        "Effect": chance.choice(["Allow", "Deny"]),
        chance.choice(["Action", "NotAction"]): chance.choice(["*", "ecr:*", ["ecr:PutImage", "ecr:Get*"]]),
        chance.choice(["Resource", "NotResource"]): chance.choice(["*", ARN, [ARN, "arn:aws:ecr:${aws:x}:*"]]),
    }
    if naming:
        element = chance.choice(["Principal", "NotPrincipal"])
        result[element] = chance.choice(["*", {"AWS": words(chance)}, {"Service": words(chance), "AWS": ROLE}])
    if chance.random() < 0.7:
        result["Condition"] = {chance.choice(OPERATORS): {chance.choice(KEYS): words(chance)}}
    if chance.random() < 0.3:
        result[chance.choice(ELEMENTS)] = anything(chance)
    return result


def document(chance: random.Random, naming: bool) -> object:
    """Anything, or a document that is often in order."""
    if chance.random() < 0.2:
        return anything(chance)
    statements = [statement(chance, naming) for _turn in range(chance.randrange(1, 3))]
    result = {"Version": chance.choice(["2012-10-17", "2008-10-17"]), "Statement": statements}
    if chance.random() < 0.1:
        result[chance.choice(["Version", "Statement", "Id", "Other"])] = anything(chance)
    return result


def context(chance: random.Random) -> dict[str, object]:
    """A request's context."""
    return {key: words(chance) for key in KEYS if chance.random() < 0.5}


@pytest.mark.parametrize("part", range(PARTS))
def test_a_decision_or_invalid_policy(part: int) -> None:
    chance = random.Random(SEED * PARTS + part)
    decided = invalid = 0
    for _turn in range(DOCUMENTS // PARTS):
        naming = chance.random() < 0.5
        given = document(chance, naming)
        if chance.random() < 0.3:
            given = json.dumps(given)
        try:
            policies = PolicySet(resource=given) if naming else PolicySet(identity=[given], scps=[[given]])
        except InvalidPolicy as fault:
            assert fault.reason and str(fault)
            invalid += 1
            continue
        decision = policies.decide(
            chance.choice(["arn:aws:sts::123456789012:assumed-role/builder/i-1", ROLE, "ecr.amazonaws.com", "", "*"]),
            chance.choice(["ecr:PutImage", "ecr:BatchGetImage", "", ":"]),
            chance.choice([ARN, "*", ""]),
            None,
            context(chance),
        )
        assert isinstance(decision, Decision)
        assert decision.effect in ("allow", "explicit_deny", "implicit_deny")
        assert decision.explanation()
        decided += 1
    # Neither kind of answer is a rarity, else this would show nothing.
    assert min(decided, invalid) > DOCUMENTS // PARTS // 10
