# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Managed instances, as DescribeInstanceInformation lists and filters them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ssm.exceptions import SSMException

AGENT_VERSION = "3.3.0.0"

# Filter keys that name a field of the answer.
_FIELDS = {
    "InstanceIds": "InstanceId",
    "AgentVersion": "AgentVersion",
    "PingStatus": "PingStatus",
    "PlatformTypes": "PlatformType",
    "IamRole": "IamRole",
    "ResourceType": "ResourceType",
}
# Filter keys of what no instance of the lab has: hybrid activations and State Manager associations.
_ABSENT = frozenset({"ActivationIds", "AssociationStatus"})


def managed_instances(account: str, region: str, connected: Callable[[str], bool]) -> list[dict[str, Any]]:
    """What SSM knows of each instance whose agent has registered, in order of instance id.

    A running instance is ``Online``; one that is stopped stays known, as ``ConnectionLost``.
    """
    now = datetime.datetime.now(datetime.UTC)
    return [
        {
            "InstanceId": instance.id,
            "PingStatus": "Online" if connected(instance.id) else "ConnectionLost",
            "LastPingDateTime": now,
            "AgentVersion": AGENT_VERSION,
            "IsLatestVersion": True,
            "PlatformType": "Linux",
            "PlatformName": "Linux",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.private_ip,
            "ComputerName": instance.private_dns_name,
            "SourceId": instance.id,
            "SourceType": "AWS::EC2::Instance",
        }
        for instance in sorted(ec2_backends[account][region].all_instances(), key=lambda instance: str(instance.id))
        if instance.state in ("running", "stopped", "stopping")
    ]


def instance_tags(account: str, region: str, instance_id: str) -> dict[str, str]:
    """The tags of one instance."""
    instance = ec2_backends[account][region].get_instance(instance_id)
    return {tag["key"]: tag["value"] for tag in instance.get_tags()}


def matching(
    instances: Iterable[dict[str, Any]],
    filters: Iterable[tuple[str, list[str]]],
    tags: Callable[[str], Mapping[str, str]],
) -> list[dict[str, Any]]:
    """The instances that every filter admits; a filter admits an instance that has any of its values.

    :param filters: pairs of key and values, of either of DescribeInstanceInformation's two filter lists
    :param tags: an instance id's tags
    :raises SSMException: InvalidFilterKey, InvalidInstanceInformationFilterValue
    """
    chosen = list(instances)
    for key, values in filters:
        if not values:
            raise SSMException("InvalidInstanceInformationFilterValue", f"The filter {key} has no value.")
        chosen = [instance for instance in chosen if _admits(key, values, instance, tags)]
    return chosen


def _admits(key: str, values: list[str], instance: Mapping[str, Any], tags: Callable[[str], Mapping[str, str]]) -> bool:
    if key in _FIELDS:
        return instance.get(_FIELDS[key]) in values
    if key in _ABSENT:
        return False
    if key == "tag-key":
        return any(value in tags(instance["InstanceId"]) for value in values)
    if key.startswith("tag:"):
        return tags(instance["InstanceId"]).get(key.removeprefix("tag:")) in values
    raise SSMException("InvalidFilterKey", f"The filter key {key} is not valid.")
