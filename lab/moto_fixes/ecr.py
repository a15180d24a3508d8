# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto lacks of ECR."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from moto.ecr import models

from ..settings import Settings
from .patching import after_provisioning, before_provisioning, document_text, is_true


def name_the_lab_s_registry(settings: Settings) -> None:
    """Repository URIs name a host at amazonaws.com; here the registry has a port as well."""
    original = models.Repository.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if (self.account_id, self.region_name) == (settings.account, settings.region):
            self.uri = f"{settings.registry_host}/{self.name}"

    models.Repository.__init__ = __init__


def provision_all_of_a_repository(settings: Settings) -> None:
    """CloudFormation drops RepositoryPolicyText, LifecyclePolicy and EmptyOnDelete, and keeps scanning and encryption
    under the template's names, which the API does not return, and which make every update a replacement."""
    before_provisioning(models.Repository, _spell_as_the_api_does)
    after_provisioning(models.Repository, _provision_policies)
    models.Repository.delete = _delete


def _spell_as_the_api_does(properties: dict[str, Any]) -> None:
    for name in ("ImageScanningConfiguration", "EncryptionConfiguration"):
        if name in properties:
            properties[name] = {key[0].lower() + key[1:]: value for key, value in properties[name].items()}
    scanning = properties.get("ImageScanningConfiguration", {})
    if "scanOnPush" in scanning:
        scanning["scanOnPush"] = is_true(scanning["scanOnPush"])


def _provision_policies(repository: Any, properties: dict[str, Any], account: str, region: str) -> None:
    """Set what differs, as CloudFormation does: what stays as it is needs no permission."""
    backend = models.ecr_backends[account][region]
    repository.empty_on_delete = is_true(properties.get("EmptyOnDelete", False))
    lifecycle = properties.get("LifecyclePolicy", {}).get("LifecyclePolicyText")
    if lifecycle and lifecycle != repository.lifecycle_policy:
        backend.put_lifecycle_policy(account, repository.name, lifecycle)
    elif repository.lifecycle_policy and not lifecycle:
        backend.delete_lifecycle_policy(account, repository.name)
    # Last, since it may deny all the others.
    policy = document_text(properties["RepositoryPolicyText"]) if "RepositoryPolicyText" in properties else None
    if policy and policy != repository.policy:
        backend.set_repository_policy(account, repository.name, policy)
    elif repository.policy and not policy:
        backend.delete_repository_policy(account, repository.name)


def _delete(repository: Any, account: str, region: str) -> None:
    models.ecr_backends[account][region].delete_repository(repository.name, force=repository.empty_on_delete)


def digest_manifests(settings: Settings) -> None:
    """The digest of an image is not the SHA-256 of its manifest."""

    def _create_digest(self: Any) -> None:
        self._image_digest = "sha256:" + hashlib.sha256(self.image_manifest.encode()).hexdigest()

    models.Image._create_digest = _create_digest
