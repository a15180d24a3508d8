#!/usr/bin/python
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of the images that attempts to push have left in a repository."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_probe_image
short_description: Remove the images that M(policyproof.ecr.access_probe) pushed
version_added: 0.1.0
description:
  - Removes images from an Amazon ECR repository by their tags, with C(ecr:BatchDeleteImage).
  - Only tags that begin with V(probe-) are accepted, so that a mistake cannot remove anybody's image.
author:
  - policyproof contributors (@policyproof)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - policyproof.ecr._attributes
  - policyproof.ecr._attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  repository:
    description:
      - The repository, by name or by URI.
    type: str
    required: true
  tags:
    description:
      - Tags of the images to remove. A tag that the repository does not have is no error.
    type: list
    elements: str
    required: true
  state:
    description:
      - Whether the images are to be there. They can only be removed.
    type: str
    choices: [absent]
    default: absent
seealso:
  - module: policyproof.ecr.access_probe
"""

EXAMPLES = r"""
- name: Remove what an attempt pushed
  policyproof.ecr.access_probe_image:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
    tags: [probe-5f2b9c41]
    region: us-east-1
"""

RETURN = r"""
removed:
  description: Tags that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [probe-5f2b9c41]
denied:
  description: Whether the module failed because ECR said no.
  returned: failure
  type: bool
  sample: true
"""

import contextlib
import typing as t

# Where it is missing, AnsibleAWSModule says so.
with contextlib.suppress(ImportError):
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

TAG_PREFIX = "probe-"
BATCH = 100  # images a call takes at most, by the ECR API reference


def repository_name(repository: str) -> str:
    """The name in a repository's URI; a name is itself. A registry's host has a dot or a port, a name neither first."""
    host, slash, name = repository.partition("/")
    return name if slash and ("." in host or ":" in host) else repository


def batches(tags: list[str]) -> t.Iterator[list[dict[str, str]]]:
    """Image ids of at most a call's worth each."""
    for start in range(0, len(tags), BATCH):
        yield [{"imageTag": tag} for tag in tags[start : start + BATCH]]


def present(client: t.Any, repository: str, tags: list[str]) -> list[str]:
    """Which of ``tags`` the repository has. Raises botocore's errors."""
    pages = client.get_paginator("list_images").paginate(repositoryName=repository, filter={"tagStatus": "TAGGED"})
    there = {image["imageTag"] for page in pages for image in page["imageIds"]}
    return [tag for tag in tags if tag in there]


def main() -> None:
    """Remove the images."""
    module = AnsibleAWSModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "tags": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
        },
        supports_check_mode=True,
    )
    repository = repository_name(module.params["repository"])
    strange = [tag for tag in module.params["tags"] if not tag.startswith(TAG_PREFIX)]
    if strange:
        module.fail_json(
            msg=f"The tag '{strange[0]}' is not one that access_probe gives: its tags begin with '{TAG_PREFIX}'."
        )
    try:
        client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
        tags = present(client, repository, module.params["tags"])
        if not module.check_mode:
            for images in batches(tags):
                client.batch_delete_image(aws_retry=True, repositoryName=repository, imageIds=images)
    except (BotoCoreError, ClientError) as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        module.fail_json_aws(
            error, msg=f"Could not remove images from {repository}", denied=code == "AccessDeniedException"
        )
    diff = {"before": {"tags": tags}, "after": {"tags": []}}
    module.exit_json(changed=bool(tags), removed=tags, diff=diff)


if __name__ == "__main__":
    main()
