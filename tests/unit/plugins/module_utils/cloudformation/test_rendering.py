# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rendering a property of a template without CloudFormation."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.cloudformation.rendering import (
    UnrenderableTemplate,
    render_property,
)

PARAMETERS = {
    "Name": {"Type": "String", "Default": "fa-085"},
    "Roles": {"Type": "CommaDelimitedList", "Default": ""},
    "Image": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": "/image"},
}
CONDITIONS = {
    "IsTrue": {"Fn::Equals": ["a", "a"]},
    "IsFalse": {"Fn::Equals": ["a", {"Ref": "Name"}]},
    "Both": {"Fn::And": [{"Condition": "IsTrue"}, {"Condition": "IsFalse"}]},
    "Either": {"Fn::Or": [{"Condition": "IsFalse"}, {"Condition": "IsTrue"}]},
    "NotFalse": {"Fn::Not": [{"Condition": "IsFalse"}]},
    "Odd": {"Fn::Xor": ["a", "b"]},
}
NO_VALUE = {"Ref": "AWS::NoValue"}


def render(value: Any, **parameters: str) -> Any:
    template = {
        "Parameters": PARAMETERS,
        "Conditions": CONDITIONS,
        "Resources": {"Thing": {"Type": "AWS::ECR::Repository", "Properties": {"It": value}}},
    }
    return render_property(template, "Thing", "It", parameters)


@pytest.mark.parametrize("value", ["text", 3, True, None, ["a", {"b": ["c"]}], {"Condition": {"Bool": {"a": "true"}}}])
def test_data_stays_as_it_is(value: Any) -> None:
    assert render(value) == value


def test_a_property_that_is_not_there_is_none() -> None:
    template = {"Resources": {"Thing": {"Type": "AWS::ECR::Repository"}}}
    assert render_property(template, "Thing", "It") is None


def test_parameters_by_default_and_by_value() -> None:
    assert render({"Ref": "Name"}) == "fa-085"
    assert render({"Ref": "Name"}, Name="other") == "other"


@pytest.mark.parametrize(
    ("given", "members"), [("", [""]), ("a", ["a"]), ("a,b", ["a", "b"]), ("a, b ,c", ["a", "b", "c"])]
)
def test_lists_are_comma_separated(given: str, members: list[str]) -> None:
    assert render({"Ref": "Roles"}, Roles=given) == members


@pytest.mark.parametrize(
    ("condition", "holds"),
    [("IsTrue", True), ("IsFalse", False), ("Both", False), ("Either", True), ("NotFalse", True)],
)
def test_conditions(condition: str, holds: bool) -> None:
    assert render({"Fn::If": [condition, "yes", "no"]}) == ("yes" if holds else "no")


def test_no_value_takes_away_members_properties_and_the_whole() -> None:
    absent = {"Fn::If": ["IsFalse", "x", NO_VALUE]}
    assert render(["a", absent, "b"]) == ["a", "b"]
    assert render({"a": 1, "b": absent}) == {"a": 1}
    assert render(absent) is None


def test_join_and_split() -> None:
    joined = {"Fn::Join": [",", ["a", {"Fn::If": ["IsFalse", "x", NO_VALUE]}, {"Ref": "Name"}]]}
    assert render(joined) == "a,fa-085"
    assert render({"Fn::Split": [",", joined]}) == ["a", "fa-085"]
    assert render({"Fn::Join": ["", {"Ref": "Roles"}]}) == ""


def test_a_condition_element_of_a_policy_is_data() -> None:
    assert render({"Condition": "IsTrue"}) == {"Condition": "IsTrue"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Fn::Sub": "${AWS::Region}"}, "Thing.It uses Fn::Sub"),
        ({"Fn::GetAtt": ["Other", "Arn"]}, "Thing.It uses Fn::GetAtt"),
        ({"a": [{"Ref": "AWS::Region"}]}, "Thing.It.a[0].Ref refers to 'AWS::Region'"),
        ({"Ref": "Image"}, "refers to 'Image'"),
        ({"Fn::If": ["Unknown", "a", "b"]}, "names the condition 'Unknown'"),
        ({"Fn::If": ["Odd", "a", "b"]}, "Conditions.Odd is not a condition"),
        ({"Fn::If": ["IsTrue", "a"]}, "wants a list of 3 arguments"),
        ({"Fn::If": "IsTrue"}, "wants a list of 3 arguments"),
        ({"Fn::Join": [",", "text"]}, "joins what is not a list of strings"),
        ({"Fn::Join": [",", [1]]}, "joins what is not a list of strings"),
        ({"Fn::Split": [",", ["a"]]}, "splits what is not a string"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(UnrenderableTemplate) as refused:
        render(value)
    assert said in str(refused.value)


def test_parameters_that_do_not_suit_are_refused() -> None:
    with pytest.raises(UnrenderableTemplate, match="no parameter 'Nmae'; it has Image, Name, Roles"):
        render("x", Nmae="x")
    template = {"Parameters": {"Must": {"Type": "String"}}, "Resources": {"Thing": {}}}
    with pytest.raises(UnrenderableTemplate, match="parameter 'Must' has no default"):
        render_property(template, "Thing", "It")


@pytest.mark.parametrize("template", [{}, {"Resources": {}}, {"Resources": {"Thing": None}}, {"Resources": None}])
def test_a_resource_that_is_not_there_is_refused(template: dict[str, Any]) -> None:
    with pytest.raises(UnrenderableTemplate, match="no resource 'Thing'"):
        render_property(template, "Thing", "It")
