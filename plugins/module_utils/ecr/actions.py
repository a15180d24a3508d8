# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Push and pull, as the ECR API actions that each of them needs.

Sources: "Amazon ECR repository policies" and "Actions, resources, and condition keys for Amazon Elastic Container
Registry" (AWS), and the requests that Docker Engine, containerd and podman send.
"""

from __future__ import annotations

TOKEN_ACTION = "ecr:GetAuthorizationToken"
"""Granted by identity policies only; a repository policy cannot name it."""

PUSH_ACTIONS = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
"""What a push needs, in the order in which a client comes to need them."""

PULL_ACTIONS = (
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)
"""What a pull needs, in the order in which a client comes to need them."""

IMAGE_STORES = ("classic", "containerd")
"""The two kinds of image store of container engines; podman counts as classic: it never reads a manifest to push."""


def needed(action: str, image_store: str = "classic") -> tuple[str, ...]:
    """The API actions that one action needs.

    A containerd image store asks for the manifest before it pushes, and gives up on anything but 200 and 404, so it
    needs ``ecr:BatchGetImage`` first.

    :arg action: ``push`` or ``pull``
    :arg image_store: one of `IMAGE_STORES`
    :raises ValueError: for any other action or image store
    """
    if image_store not in IMAGE_STORES:
        raise ValueError(f"image store {image_store!r} is none of {', '.join(IMAGE_STORES)}")
    if action == "pull":
        return PULL_ACTIONS
    if action == "push":
        return ("ecr:BatchGetImage",) + PUSH_ACTIONS if image_store == "containerd" else PUSH_ACTIONS
    raise ValueError(f"action {action!r} is neither push nor pull")
