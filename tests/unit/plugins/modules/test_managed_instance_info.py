# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module managed_instance_info."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.policyproof.ecr.plugins.modules.managed_instance_info import FILTER_VALUES, online_instances


class Client:
    """DescribeInstanceInformation: pages of two, of instances that are known."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self.asked: list[list[str]] = []

    def get_paginator(self, operation: str) -> Client:
        assert operation == "describe_instance_information"
        return self

    def paginate(self, Filters: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        ((key, values),) = [tuple(each.values()) for each in Filters]
        assert key == "InstanceIds"
        self.asked.append(values)
        found = [{"InstanceId": each, "PingStatus": self._known[each]} for each in values if each in self._known]
        for begin in range(0, len(found), 2):
            yield {"InstanceInformationList": found[begin : begin + 2]}


def test_those_in_touch_are_online_and_nobody_else() -> None:
    client = Client({"i-1": "Online", "i-2": "ConnectionLost", "i-3": "Online", "i-4": "Online", "i-5": "Inactive"})
    assert online_instances(client, [f"i-{number}" for number in range(1, 7)]) == {"i-1", "i-3", "i-4"}


def test_none_is_no_request() -> None:
    client = Client({})
    assert online_instances(client, []) == set()
    assert client.asked == []


def test_many_are_asked_for_in_parts() -> None:
    instances = [f"i-{number}" for number in range(FILTER_VALUES + 1)]
    client = Client(dict.fromkeys(instances, "Online"))
    assert online_instances(client, instances) == set(instances)
    assert [len(each) for each in client.asked] == [FILTER_VALUES, 1]
