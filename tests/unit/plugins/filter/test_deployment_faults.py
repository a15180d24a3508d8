# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter deployment_faults."""

from __future__ import annotations

from ansible_collections.policyproof.ecr.plugins.filter.deployment_faults import FilterModule

deployment_faults = FilterModule().filters()["deployment_faults"]


def test_a_list_of_sentences() -> None:
    assert deployment_faults({"a1": {"push": "allow", "pull": "deny"}}, prefix="fa-085", region="us-east-1") == []
    assert len(deployment_faults({}, prefix="9", region="")) == 3


def test_a_prefix_that_yaml_made_a_number() -> None:
    (fault,) = deployment_faults({"a1": {"push": "allow", "pull": "deny"}}, prefix=85, region="us-east-1")
    assert "'85'" in fault
