# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto lacks of S3."""

from __future__ import annotations

import json
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.iam.access_control import PermissionResult
from moto.s3 import models
from moto.s3.exceptions import BucketNotEmpty
from moto.utilities.utils import get_partition

from ...plugins.module_utils.iam.evaluation import PolicySet
from ..settings import Settings
from .patching import after_provisioning, document_text


def provision_all_of_a_bucket(settings: Settings) -> None:
    """CloudFormation drops PublicAccessBlockConfiguration, OwnershipControls and LifecycleConfiguration."""
    after_provisioning(models.FakeBucket, _provision_bucket)


def _provision_bucket(bucket: Any, properties: dict[str, Any], account: str, region: str) -> None:
    backend = _backend(account, region)
    block = properties.get("PublicAccessBlockConfiguration")
    if block:
        backend.put_public_access_block(bucket.name, {name: str(value).lower() for name, value in block.items()})
    ownership = properties.get("OwnershipControls")
    if ownership:
        backend.put_bucket_ownership_controls(bucket.name, ownership["Rules"][0]["ObjectOwnership"])
    lifecycle = properties.get("LifecycleConfiguration")
    if lifecycle:
        backend.put_bucket_lifecycle_configuration(bucket.name, [_lifecycle_rule(rule) for rule in lifecycle["Rules"]])


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule of a template as S3's API takes it."""
    taken = {"ID": rule.get("Id"), "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        taken["Expiration"] = {"Days": str(rule["ExpirationInDays"])}
    if "AbortIncompleteMultipartUpload" in rule:
        days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        taken["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": str(days)}
    return taken


def provision_bucket_policies(settings: Settings) -> None:
    """CloudFormation does not know AWS::S3::BucketPolicy."""

    class BucketPolicy(CloudFormationModel):
        """The policy of one bucket."""

        def __init__(self, bucket: str) -> None:
            self.bucket = bucket

        @property
        def physical_resource_id(self) -> str:
            return self.bucket

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @staticmethod
        def cloudformation_type() -> str:
            return "AWS::S3::BucketPolicy"

        @classmethod
        def create_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
        ) -> CloudFormationModel:
            properties = cloudformation_json["Properties"]
            document = document_text(properties["PolicyDocument"])
            _backend(account_id, region_name).put_bucket_policy(properties["Bucket"], document.encode())
            return cls(properties["Bucket"])

        def delete(self, account_id: str, region_name: str) -> None:
            backend = _backend(account_id, region_name)
            if self.bucket in backend.buckets:
                backend.delete_bucket_policy(self.bucket)

    # moto finds resource types among subclasses, which Python holds weakly.
    models.BucketPolicy = BucketPolicy


def refuse_to_delete_full_buckets(settings: Settings) -> None:
    """A bucket that is not empty is left behind by its stack, in silence."""
    models.FakeBucket.delete = _delete_bucket


def _delete_bucket(bucket: Any, account: str, region: str) -> None:
    backend = _backend(account, region)
    if bucket.name not in backend.buckets:
        return
    if not backend.delete_bucket(bucket.name):
        raise BucketNotEmpty(bucket_name=bucket.name)


_PERMISSIONS = {
    "allow": PermissionResult.PERMITTED,
    "explicit_deny": PermissionResult.DENIED,
    "implicit_deny": PermissionResult.NEUTRAL,
}


def judge_conditions_of_bucket_policies(settings: Settings) -> None:
    """S3 takes a statement with a condition for one without: a bucket that wants TLS denies everything.

    The lab's plain HTTP plays S3's TLS endpoint, so requests count as secure. moto does not say who asks, so the
    policy is judged for the account as a whole.
    """

    def get_permission(self: Any, action: str, resource: str) -> PermissionResult:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        decision = PolicySet(resource=json.loads(self.policy)).decide(
            principal=f"arn:{self.partition}:iam::{self.account_id}:root",
            action=action,
            resource=resource,
            resource_account=self.account_id,
            context={"aws:SecureTransport": "true"},
        )
        return _PERMISSIONS[decision.effect]

    models.FakeBucket.get_permission = get_permission


def _backend(account: str, region: str) -> Any:
    return models.s3_backends[account][get_partition(region)]
