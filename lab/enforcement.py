# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a caller may do: its policies, gathered from moto's IAM, and the repository's, judged by our own evaluator."""

from __future__ import annotations

import datetime
import functools
import json
from typing import Any

from moto.iam.models import Group, IAMBackend, Policy, Role, User, iam_backends
from moto.utilities.utils import get_partition

from ..plugins.module_utils.iam.evaluation import Decision, PolicySet
from .callers import Caller, caller_of

__all__ = ["Caller", "Decision", "authorize", "caller_of", "identity_policies", "request_context"]


def authorize(
    caller: Caller,
    action: str,
    resource_arn: str,
    resource_account: str,
    repository_policy: str | None = None,
    resource_tags: dict[str, str] | None = None,
    source_ip: str = "127.0.0.1",
) -> Decision:
    """Judge one API action.

    :arg action: such as ``ecr:PutImage``
    :arg resource_arn: ARN of the repository, or ``*`` where the action names none
    :arg resource_account: the account that owns the resource
    :arg repository_policy: text of the policy on the resource; None where there is none
    :arg resource_tags: the resource's tags
    :raises InvalidPolicy: for a policy that the evaluator refuses; moto's IAM took it, AWS's would perhaps not
    """
    owner = _owner(caller)
    policies = _policy_set(
        tuple(identity_policies(caller)),
        repository_policy,
        _boundary(caller, owner),
        caller.session_policy,
    )
    context = request_context(caller, owner, resource_tags or {}, source_ip)
    return policies.decide(
        principal=caller.session_arn,
        action=action,
        resource=resource_arn,
        resource_account=resource_account,
        context=context,
    )


def identity_policies(caller: Caller) -> list[str]:
    """Texts of the policies attached to a caller: managed (default version), inline, and those of its groups.

    Empty for a principal that does not exist (any more).
    """
    owner = _owner(caller)
    if owner is None:
        return []
    holders: list[Role | User | Group] = [owner]
    if isinstance(owner, User):
        holders += _iam(caller).get_groups_for_user(owner.name)
    texts: list[str] = []
    for holder in holders:
        texts += [_default_version(policy) for policy in list(holder.managed_policies.values())]
        texts += list(holder.policies.values())
    return texts


def request_context(
    caller: Caller, owner: Role | User | None, resource_tags: dict[str, str], source_ip: str
) -> dict[str, Any]:
    """The condition keys that AWS would set for such a request, and their values.

    ``aws:SecureTransport`` is true although the lab's AWS APIs are plain HTTP: what they stand for is not.

    Source: IAM User Guide, "AWS global condition context keys"; Service Authorization Reference, Amazon ECR.
    """
    now = datetime.datetime.now(datetime.UTC)
    context: dict[str, Any] = {
        "aws:PrincipalArn": caller.principal_arn,
        "aws:PrincipalAccount": caller.account,
        "aws:PrincipalType": "AssumedRole" if caller.is_role else "User",
        "aws:PrincipalIsAWSService": "false",
        "aws:ViaAWSService": "false",
        "aws:userid": caller.user_id,
        "aws:SourceIp": source_ip,
        "aws:SecureTransport": "true",
        "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": str(int(now.timestamp())),
    }
    if caller.is_role:
        context["aws:MultiFactorAuthPresent"] = "false"
    else:
        context["aws:username"] = caller.name
    for key, value in _tags(owner).items():
        context[f"aws:PrincipalTag/{key}"] = value
    for key, value in resource_tags.items():
        context[f"aws:ResourceTag/{key}"] = value
        context[f"ecr:ResourceTag/{key}"] = value
    return context


def _iam(caller: Caller) -> IAMBackend:
    # IAM is global: its backend is named after the partition, which every ARN carries.
    return iam_backends[caller.account][caller.principal_arn.split(":")[1] or get_partition("us-east-1")]


def _owner(caller: Caller) -> Role | User | None:
    backend = _iam(caller)
    candidates: list[Role | User] = list(backend.roles.values() if caller.is_role else backend.users.values())
    return next((candidate for candidate in candidates if candidate.arn == caller.principal_arn), None)


def _tags(owner: Role | User | None) -> dict[str, str]:
    tags = owner.tags if owner is not None else None
    if isinstance(tags, dict):
        tags = list(tags.values())
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def _boundary(caller: Caller, owner: Role | User | None) -> str | None:
    arn = getattr(owner, "permissions_boundary_arn", None)
    policy = _iam(caller).managed_policies.get(arn) if arn else None
    return _default_version(policy) if policy else None


def _default_version(policy: Policy) -> str:
    version = next(version for version in policy.versions if version.version_id == policy.default_version_id)
    return str(version.document)


@functools.lru_cache(maxsize=256)
def _policy_set(
    identity: tuple[str, ...], resource: str | None, boundary: str | None, session: str | None
) -> PolicySet:
    """The compiled policies. Keyed by the texts themselves, so that a changed policy counts from the next request."""
    return PolicySet(
        identity=[json.loads(text) for text in identity],
        resource=_document(resource),
        permissions_boundary=_document(boundary),
        session=_document(session),
    )


def _document(text: str | None) -> dict[str, Any] | None:
    return json.loads(text) if text else None
