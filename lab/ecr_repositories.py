# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Repositories as what policies speak of: their ARN, their policy and their tags."""

from __future__ import annotations

from dataclasses import dataclass

from moto.ecr.models import ECRBackend, Repository
from moto.utilities.utils import get_partition

from .enforcement import Caller, Decision, authorize


@dataclass(frozen=True)
class RepositoryResource:
    """What an API action is about.

    :ivar arn: of the repository, there or not; ``*`` for actions that name none
    :ivar account: the account that owns it
    :ivar repository: None if there is no such repository
    :ivar tags: the repository's
    """

    arn: str
    account: str
    repository: Repository | None
    tags: dict[str, str]

    @classmethod
    def named(cls, backend: ECRBackend, name: str) -> RepositoryResource:
        """The repository of this name, which need not exist."""
        repository = backend.repositories.get(name)
        if repository is None:
            partition = get_partition(backend.region_name)
            arn = f"arn:{partition}:ecr:{backend.region_name}:{backend.account_id}:repository/{name}"
            return cls(arn, backend.account_id, None, {})
        tags = backend.tagger.list_tags_for_resource(repository.arn).get("tags", [])
        return cls(repository.arn, backend.account_id, repository, {tag["Key"]: tag["Value"] for tag in tags})

    @classmethod
    def none(cls, backend: ECRBackend) -> RepositoryResource:
        """What actions are about that name no repository."""
        return cls("*", backend.account_id, None, {})


def judge(caller: Caller, action: str, resource: RepositoryResource, source_ip: str = "127.0.0.1") -> Decision:
    """What the caller's policies and the repository's own say. Raises InvalidPolicy as `authorize` does."""
    policy = resource.repository.policy if resource.repository is not None else None
    return authorize(caller, action, resource.arn, resource.account, policy, resource.tags, source_ip)
