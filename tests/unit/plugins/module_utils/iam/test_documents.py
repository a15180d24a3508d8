# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Malformed documents, with the path to the fault. IAM User Guide, "Grammar of the IAM JSON policy language"."""

from __future__ import annotations

import json

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import InvalidPolicy, PolicySet, parse

IDENTITY = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}
RESOURCE = {"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}


def without(statement, *elements):
    return {key: value for key, value in statement.items() if key not in elements}


def fault_of(**layers):
    with pytest.raises(InvalidPolicy) as caught:
        PolicySet(**layers)
    assert str(caught.value).endswith(caught.value.reason)
    return caught.value.path


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"Effect": None}, "Statement[1].Effect"),
        ({"Effect": "allow"}, "Statement[1].Effect"),
        ({"Effect": ["Allow"]}, "Statement[1].Effect"),
        ({"NotAction": "s3:*"}, "Statement[1]"),
        ({"Action": 5}, "Statement[1].Action"),
        ({"Action": {"a": "b"}}, "Statement[1].Action"),
        ({"Action": ["ecr:*", None]}, "Statement[1].Action[1]"),
        ({"Action": [["ecr:*"]]}, "Statement[1].Action[0]"),
        ({"Action": "ecr"}, "Statement[1].Action"),
        ({"Action": ["ecr:*", ""]}, "Statement[1].Action[1]"),
        ({"Action": "ecr:"}, "Statement[1].Action"),
        ({"Action": "e*:PutImage"}, "Statement[1].Action"),
        ({"Action": "ecr:Put:Image"}, "Statement[1].Action"),
        ({"NotResource": "*"}, "Statement[1]"),
        ({"Resource": 5}, "Statement[1].Resource"),
        ({"Resource": ["*", True]}, "Statement[1].Resource[1]"),
        ({"Resource": "repository/team/app"}, "Statement[1].Resource"),
        ({"Sid": 5}, "Statement[1].Sid"),
        ({"Sid": None}, "Statement[1].Sid"),
        ({"Statement": []}, "Statement[1].Statement"),
        ({"condition": {}}, "Statement[1].condition"),
        ({"Condition": []}, "Statement[1].Condition"),
        ({"Condition": None}, "Statement[1].Condition"),
        ({"Condition": {"ArnEquals": "x"}}, "Statement[1].Condition.ArnEquals"),
        ({"Condition": {"StringMatches": {"aws:username": "x"}}}, "Statement[1].Condition.StringMatches"),
        ({"Condition": {"IfExists": {"aws:username": "x"}}}, "Statement[1].Condition.IfExists"),
        ({"Condition": {"": {"aws:username": "x"}}}, "Statement[1].Condition."),
        ({"Condition": {"NullIfExists": {"aws:username": "true"}}}, "Statement[1].Condition.NullIfExists"),
        ({"Condition": {"ForSomeValues:Bool": {"a:b": "true"}}}, "Statement[1].Condition.ForSomeValues:Bool"),
        ({"Condition": {":Bool": {"aws:b": "true"}}}, "Statement[1].Condition.:Bool"),
        ({"Condition": {"Bool": {"aws:b": None}}}, "Statement[1].Condition.Bool.aws:b"),
        ({"Condition": {"Bool": {"aws:b": {}}}}, "Statement[1].Condition.Bool.aws:b"),
        ({"Condition": {"Bool": {"aws:b": ["true", []]}}}, "Statement[1].Condition.Bool.aws:b[1]"),
        ({"Condition": {"Bool": {"aws:b": "true", "AWS:B": "true"}}}, "Statement[1].Condition.Bool.AWS:B"),
        ({"Condition": {"Bool": {"": "true"}}}, "Statement[1].Condition.Bool."),
    ],
)
def test_a_statement(change, path):
    for layer, statement in (("identity", IDENTITY), ("resource", {**RESOURCE, "Resource": "*"})):
        document = {"Version": "2012-10-17", "Statement": [statement, {**statement, **change}]}
        assert fault_of(**{layer: [document] if layer == "identity" else document}) == path
        alone = {"Version": "2012-10-17", "Statement": {**statement, **change}}
        expected = path.replace("Statement[1]", "Statement")
        assert fault_of(**{layer: [alone] if layer == "identity" else alone}) == expected


@pytest.mark.parametrize("element", ["Effect", "Action"])
def test_a_statement_that_lacks_an_element(element):
    path = "Statement[0].Effect" if element == "Effect" else "Statement[0]"
    for layer, statement in (("permissions_boundary", IDENTITY), ("resource", RESOURCE)):
        assert fault_of(**{layer: {"Statement": [without(statement, element)]}}) == path


def test_where_there_must_be_a_resource():
    bare = {"Statement": [without(IDENTITY, "Resource")]}
    for layers in ({"identity": [bare]}, {"permissions_boundary": bare}, {"session": bare}, {"scps": [[bare]]}):
        assert fault_of(**layers) == "Statement[0]"
    named = {"Statement": [{**bare["Statement"][0], "Principal": "*"}]}
    assert fault_of(rcps=[[named]]) == "Statement[0]"
    PolicySet(resource=named)


def test_where_there_may_be_a_principal_and_where_there_must():
    named = {"Statement": [{**IDENTITY, "Principal": "*"}]}
    for layers in ({"identity": [named]}, {"permissions_boundary": named}, {"session": named}, {"scps": [[named]]}):
        assert fault_of(**layers) == "Statement[0].Principal"
    unnamed = {"Statement": [IDENTITY]}
    for layers in ({"resource": unnamed}, {"rcps": [[unnamed]]}, {"vpc_endpoint": unnamed}):
        assert fault_of(**layers) == "Statement[0]"
    assert fault_of(identity=[{"Statement": [{**IDENTITY, "NotPrincipal": "*"}]}]) == "Statement[0].NotPrincipal"


@pytest.mark.parametrize(
    ("principal", "path"),
    [
        ("everybody", "Statement[0].Principal"),
        ("arn:aws:iam::123456789012:root", "Statement[0].Principal"),
        (None, "Statement[0].Principal"),
        (["*"], "Statement[0].Principal"),
        ({"aws": "*"}, "Statement[0].Principal.aws"),
        ({"AWS": 123456789012}, "Statement[0].Principal.AWS"),
        ({"AWS": ["*", 5]}, "Statement[0].Principal.AWS[1]"),
        ({"Service": None}, "Statement[0].Principal.Service"),
    ],
)
def test_a_principal(principal, path):
    assert fault_of(resource={"Statement": [{**RESOURCE, "Principal": principal}]}) == path
    negated = {**without(RESOURCE, "Principal"), "NotPrincipal": principal}
    assert fault_of(resource={"Statement": [negated]}) == path.replace("Principal", "NotPrincipal", 1)
    assert fault_of(resource={"Statement": [{**RESOURCE, "NotPrincipal": "*"}]}) == "Statement[0]"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ("", ""),
        (5, ""),
        ({}, "Statement"),
        ({"Version": "2012-10-17"}, "Statement"),
        ({"Version": "2012-10-17", "Statement": None}, "Statement"),
        ({"Version": "2012-10-17", "Statement": "x"}, "Statement"),
        ({"Version": "2012-10-17", "Statement": [None]}, "Statement[0]"),
        ({"Version": "2012-10-18", "Statement": [IDENTITY]}, "Version"),
        ({"Version": 20121017, "Statement": [IDENTITY]}, "Version"),
        ({"Version": None, "Statement": [IDENTITY]}, "Version"),
        ({"Version": [], "Statement": [IDENTITY]}, "Version"),
        ({"Id": 5, "Statement": [IDENTITY]}, "Id"),
        ({"statement": [IDENTITY]}, "statement"),
        ({"Statement": [IDENTITY], "Comment": "x"}, "Comment"),
        ({5: [IDENTITY]}, "5"),
    ],
)
def test_a_document(document, path):
    assert fault_of(identity=[document]) == path


def test_the_document_at_fault_is_told():
    with pytest.raises(InvalidPolicy) as caught:
        PolicySet(identity=[{"Statement": [IDENTITY]}, {"Statement": 5}])
    assert str(caught.value.source) == "identity-based policy 2"


def test_what_aws_takes_though_it_has_no_effect():
    PolicySet(identity=[{"Statement": []}, {"Statement": [{**IDENTITY, "Action": [], "Condition": {}}]}])
    PolicySet(resource={"Id": "x", "Statement": [{**RESOURCE, "Principal": {"AWS": []}}]})


def test_text():
    document = {"Version": "2012-10-17", "Statement": [IDENTITY]}
    assert parse(json.dumps(document)) == document
    policies = PolicySet(identity=[json.dumps(document)])
    assert policies.decide("arn:aws:iam::123456789012:user/a", "ecr:PutImage", "*").allowed


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("[]", ""),
        ("null", ""),
        ('"x"', ""),
        ('{"Statement": [', ""),
        ('{"Statement": [], "Statement": []}', "Statement"),
        ('{"Statement": [{}, {"Effect": "Allow", "Effect": "Deny"}]}', "Statement[1].Effect"),
        (
            '{"Statement": {"Condition": {"Bool": {"aws:a": "true", "aws:a": "false"}}}}',
            "Statement.Condition.Bool.aws:a",
        ),
        ('{"Statement": NaN}', ""),
        ('{"Statement": -Infinity}', ""),
        ("[" * 100_000, ""),
        ('{"Statement": ' + "[" * 2_000 + "]" * 2_000 + "}", ""),
    ],
)
def test_malformed_text(text, path):
    assert fault_of(identity=[text]) == path
    assert fault_of(resource=text) == path


def test_a_repository_policy_over_10240_characters():
    """Amazon ECR API Reference, "SetRepositoryPolicy": the length of policyText is at most 10240."""
    document = {"Version": "2012-10-17", "Statement": [{**RESOURCE, "Sid": ""}]}
    room = 10_240 - len(json.dumps(document, separators=(",", ":")))
    document["Statement"][0]["Sid"] = "x" * room
    compact = json.dumps(document, separators=(",", ":"))
    assert len(compact) == 10_240
    PolicySet(resource=document)
    PolicySet(resource=compact)
    assert fault_of(resource=compact + " ") == ""
    document["Statement"][0]["Sid"] += "x"
    assert fault_of(resource=document) == ""
    PolicySet(permissions_boundary={"Statement": [{**IDENTITY, "Sid": "x" * 20_000}]})


def test_a_value_that_is_no_json():
    assert fault_of(resource={"Statement": [{**RESOURCE, "Sid": {1, 2}}]}) == ""
    assert fault_of(identity=[{"Statement": [{**IDENTITY, "Action": {1, 2}}]}]) == "Statement[0].Action"
