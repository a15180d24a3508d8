# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr import actions


def test_a_push_needs_the_five_actions_in_the_order_clients_come_to_them() -> None:
    assert actions.needed("push") == (
        "ecr:BatchCheckLayerAvailability",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
        "ecr:PutImage",
    )


def test_a_containerd_store_reads_the_manifest_before_it_pushes() -> None:
    assert actions.needed("push", "containerd") == ("ecr:BatchGetImage",) + actions.PUSH_ACTIONS


@pytest.mark.parametrize("image_store", actions.IMAGE_STORES)
def test_a_pull_needs_the_same_of_every_store(image_store: str) -> None:
    assert actions.needed("pull", image_store) == ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def test_no_policy_that_is_the_tutorials_lets_one_action_do_the_others_work() -> None:
    assert not set(actions.PUSH_ACTIONS) & set(actions.PULL_ACTIONS)


def test_other_actions_and_stores_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'delete' is neither push nor pull"):
        actions.needed("delete")
    with pytest.raises(ValueError, match="image store 'btrfs'"):
        actions.needed("push", "btrfs")
