#!/usr/bin/python
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instances Session Manager sees."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_instance_info
short_description: Tell which instances Session Manager sees
version_added: 0.1.0
author: policyproof contributors (@policyproof)
description:
  - Tells of given instances whether their SSM agent is in touch with Session Manager, so that a session can be started.
options:
  instance_ids:
    description: Ids of the instances.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - policyproof.ecr._attributes
  - policyproof.ecr._attributes.action_group
  - policyproof.ecr._attributes.read_only
seealso:
  - name: DescribeInstanceInformation
    description: The API action behind it.
    link: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeInstanceInformation.html
"""

EXAMPLES = r"""
- name: Wait until sessions can be started on two instances
  policyproof.ecr.managed_instance_info:
    instance_ids:
      - i-0123456789abcdef0
      - i-0fedcba9876543210
  register: managed
  until: managed.offline | length == 0
  retries: 60
  delay: 5
"""

RETURN = r"""
online:
  description: Ids of the instances that Session Manager is in touch with, in the order given.
  returned: success
  type: list
  elements: str
  sample: [i-0123456789abcdef0]
offline:
  description: Ids of the others, known to Session Manager or not.
  returned: success
  type: list
  elements: str
  sample: [i-0fedcba9876543210]
"""

import contextlib

# Where it is missing, AnsibleAWSModule says so.
with contextlib.suppress(ImportError):
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

FILTER_VALUES = 100
"""How many values DescribeInstanceInformation takes in one filter."""


def online_instances(client, instance_ids):
    """Those of the instances, a set of ids, whose agent is in touch."""
    online = set()
    paginator = client.get_paginator("describe_instance_information")
    for begin in range(0, len(instance_ids), FILTER_VALUES):
        pages = paginator.paginate(
            Filters=[{"Key": "InstanceIds", "Values": instance_ids[begin : begin + FILTER_VALUES]}]
        )
        for page in pages:
            online.update(
                each["InstanceId"] for each in page["InstanceInformationList"] if each["PingStatus"] == "Online"
            )
    return online


def main():
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={"instance_ids": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    instance_ids = module.params["instance_ids"]
    client = module.client("ssm")
    try:
        online = AWSRetry.jittered_backoff()(online_instances)(client, instance_ids)
    except (BotoCoreError, ClientError) as fault:
        module.fail_json_aws(fault, msg="Session Manager does not tell which instances it sees")
    module.exit_json(
        changed=False,
        online=[each for each in instance_ids if each in online],
        offline=[each for each in instance_ids if each not in online],
    )


if __name__ == "__main__":
    main()
