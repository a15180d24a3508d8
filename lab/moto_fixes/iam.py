# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto lacks of IAM."""

from __future__ import annotations

import os
from typing import Any

from moto.iam import models
from moto.utilities.utils import get_partition

from ..settings import Settings
from .patching import after_provisioning, document_text


def load_managed_policies(settings: Settings) -> None:
    """AWS's own managed policies are missing unless the environment asks for them, when an account is first used."""
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"


def provision_all_of_a_role(settings: Settings) -> None:
    """CloudFormation drops ManagedPolicyArns, and updates neither a role's policies nor who may assume it."""
    after_provisioning(models.Role, _provision_policies)
    original = models.Role.delete_from_cloudformation_json.__func__

    def delete_from_cloudformation_json(
        cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        backend = models.iam_backends[account_id][get_partition(region_name)]
        for arn in list(backend.get_role(resource_name).managed_policies):
            backend.detach_role_policy(arn, resource_name)
        original(cls, resource_name, cloudformation_json, account_id, region_name)

    models.Role.delete_from_cloudformation_json = classmethod(delete_from_cloudformation_json)


def _provision_policies(role: Any, properties: dict[str, Any], account: str, region: str) -> None:
    backend = models.iam_backends[account][get_partition(region)]
    backend.update_assume_role_policy(role.name, document_text(properties["AssumeRolePolicyDocument"]))
    wanted = properties.get("ManagedPolicyArns", [])
    for arn in set(role.managed_policies) - set(wanted):
        backend.detach_role_policy(arn, role.name)
    for arn in wanted:
        if arn not in role.managed_policies:
            backend.attach_role_policy(arn, role.name)
    inline = {each["PolicyName"]: document_text(each["PolicyDocument"]) for each in properties.get("Policies", [])}
    for name in set(role.policies) - set(inline):
        role.delete_policy(name)
    for name, document in inline.items():
        role.put_policy(name, document)
