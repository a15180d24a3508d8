# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter repository_policy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.policyproof.ecr.plugins.filter.repository_policy import FilterModule

TEXT = (Path(__file__).parents[4] / "cfn" / "repository.yml").read_text(encoding="utf-8")
repository_policy = FilterModule().filters()["repository_policy"]
PARAMETERS = {"RepositoryName": "fa-085", "PushRoleArns": "arn:aws:iam::123456789012:role/pusher"}


@pytest.mark.parametrize("template", [TEXT, yaml.safe_load(TEXT)], ids=["text", "data"])
def test_a_template_is_text_or_data(template: object) -> None:
    policy = repository_policy(template, PARAMETERS)
    assert [each["Sid"] for each in policy["Statement"]] == ["PushersOnlyPush", "EverybodyElseNothing"]


@pytest.mark.parametrize(
    ("template", "parameters", "said"),
    [
        ("Resources: {Repository: {Properties: {RepositoryPolicyText: !Ref Policy}}}", {}, "short forms"),
        ("Resources: [", {}, "not YAML"),
        ("just a sentence", {}, "no resource 'Repository'"),
        (TEXT, {}, "'RepositoryName' has no default"),
        (TEXT, {"RepositoryName": "x", "PushArns": ""}, "no parameter 'PushArns'"),
        ("Resources: {Repository: {Properties: {}}}", {}, "no RepositoryPolicyText"),
    ],
)
def test_faults_are_sentences(template: str, parameters: dict[str, str], said: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        repository_policy(template, parameters)
    assert said in str(refused.value)
