# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy that a repository template sets, before it is deployed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: repository_policy
author: policyproof contributors (@policyproof)
short_description: Render the repository policy of a CloudFormation template
version_added: 0.1.0
description:
  - Says which repository policy CloudFormation would set for given parameters, without CloudFormation.
  - So the policy is written in one place, C(cfn/repository.yml), and can be judged before it is deployed.
  - Intrinsic functions that depend on more than parameters are refused.
positional: parameters
options:
  _input:
    description: The template, as YAML or JSON text or as a dictionary, with intrinsic functions in their long form.
    type: raw
    required: true
  parameters:
    description: Values of the template's parameters, lists comma-separated, as CloudFormation takes them.
    type: dict
    default: {}
  resource:
    description: Logical id of the C(AWS::ECR::Repository).
    type: str
    default: Repository
"""

EXAMPLES = r"""
- name: Show the policy under which one role may push
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', 'cfn/repository.yml') | policyproof.ecr.repository_policy(parameters) }}"
  vars:
    parameters:
      RepositoryName: fa-085
      PushRoleArns: arn:aws:iam::123456789012:role/fa-085-instance1
"""

RETURN = r"""
_value:
  description: The policy document.
  type: dict
"""

from collections.abc import Mapping

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.policyproof.ecr.plugins.module_utils.cloudformation.rendering import (
    UnrenderableTemplate,
    render_property,
)


def repository_policy(template, parameters=None, resource="Repository"):
    """The policy document, a dict, that the template sets. Raises AnsibleFilterError."""
    if not isinstance(template, Mapping):
        try:
            template = yaml.safe_load(template)
        except yaml.YAMLError as fault:
            raise AnsibleFilterError(f"The template is not YAML, or has short forms of functions: {fault}") from fault
    try:
        policy = render_property(template, resource, "RepositoryPolicyText", parameters)
    except UnrenderableTemplate as fault:
        raise AnsibleFilterError(str(fault)) from fault
    if policy is None:
        raise AnsibleFilterError(f"The template gives {resource} no RepositoryPolicyText.")
    return policy


class FilterModule:
    """The filter, for Ansible."""

    def filters(self):
        """Name and function."""
        return {"repository_policy": repository_policy}
