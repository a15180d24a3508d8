# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS would refuse of a deployment."""

from __future__ import annotations

DOCUMENTATION = r"""
name: deployment_faults
author: policyproof contributors (@policyproof)
short_description: Say what is wrong with an access matrix and the names it leads to
version_added: 0.1.0
description:
  - Finds what AWS, Ansible or this collection would refuse, before anything is deployed.
  - Looks at the names of principals, at actions and their values, at the prefix, which names stacks, roles and the
    repository, and at the region.
options:
  _input:
    description: The access matrix.
    type: raw
    required: true
  prefix:
    description: Name of the deployment and of its repository.
    type: str
    required: true
  region:
    description: Region to deploy to.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a matrix that cannot be deployed
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join(' ') }}"
  vars:
    faults: "{{ access_matrix | policyproof.ecr.deployment_faults(prefix='fa-085', region='us-east-1') }}"
"""

RETURN = r"""
_value:
  description: Sentences, each of which names a value and the remedy. Empty if there is nothing to say.
  type: list
  elements: str
"""

from ansible_collections.policyproof.ecr.plugins.module_utils.access.deployment import deployment_faults


def faults(matrix, prefix, region):
    """Sentences about what cannot be deployed."""
    return deployment_faults(matrix, str(prefix), str(region))


class FilterModule:
    """The filter, for Ansible."""

    def filters(self):
        """Name and function."""
        return {"deployment_faults": faults}
