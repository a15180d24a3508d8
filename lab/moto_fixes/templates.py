# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto makes wrong of CloudFormation templates."""

from __future__ import annotations

import functools
from typing import Any

from moto.cloudformation import models, parsing
from moto.cloudformation.exceptions import ValidationError

from ..settings import Settings

ZONES = "abcd"
"""Last letters of the availability zones that moto has in a region."""


def drop_no_value_from_lists(settings: Settings) -> None:
    """AWS::NoValue as a member of a list becomes None; joined, the text "None"."""
    original = parsing.clean_json

    @functools.wraps(original)
    def clean_json(resource_json: Any, resources_map: Any) -> Any:
        cleaned = original(resource_json, resources_map)
        return [member for member in cleaned if member is not None] if isinstance(resource_json, list) else cleaned

    parsing.clean_json = clean_json


def find_availability_zones(settings: Settings) -> None:
    """Fn::GetAZs takes a literal region alone: of {"Ref": "AWS::Region"} it makes zones named after the reference."""
    original = parsing.clean_json

    @functools.wraps(original)
    def clean_json(resource_json: Any, resources_map: Any) -> Any:
        if isinstance(resource_json, dict) and "Fn::GetAZs" in resource_json:
            region = parsing.clean_json(resource_json["Fn::GetAZs"], resources_map) or resources_map["AWS::Region"]
            return [region + zone for zone in ZONES]
        return original(resource_json, resources_map)

    parsing.clean_json = clean_json


def refuse_unknown_resource_types(settings: Settings) -> None:
    """A resource of a type that moto does not know is left out, and the stack complete."""
    for model in (models.Stack, models.ChangeSet):
        model._parse_template = _refusing(model._parse_template)


def _refusing(original: Any) -> Any:
    @functools.wraps(original)
    def _parse_template(self: Any) -> None:
        original(self)
        types = {resource["Type"] for resource in self.template_dict.get("Resources", {}).values()}
        unknown = sorted(each for each in types if not _is_known(each))
        if unknown:
            raise ValidationError(message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")

    return _parse_template


def _is_known(resource_type: str) -> bool:
    return (
        resource_type.startswith("Custom::")
        or resource_type in parsing.NULL_MODELS
        or resource_type in parsing.get_model_map()
    )
