# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lab closes of moto's gaps. Each is one function, named after what it does; it says what moto does.

A fix goes the day moto no longer needs it: each has a test that fails then.
"""

from __future__ import annotations

from collections.abc import Callable

from ..settings import Settings
from . import changes, ec2, ecr, iam, s3, stacks, templates

FIXES: tuple[Callable[[Settings], None], ...] = (
    ecr.name_the_lab_s_registry,
    ecr.provision_all_of_a_repository,
    ecr.digest_manifests,
    iam.load_managed_policies,
    iam.provision_all_of_a_role,
    s3.provision_all_of_a_bucket,
    s3.provision_bucket_policies,
    s3.refuse_to_delete_full_buckets,
    s3.judge_conditions_of_bucket_policies,
    ec2.provision_all_of_an_instance,
    ec2.provision_dns_of_a_vpc,
    ec2.provision_egress_of_a_security_group,
    ec2.associate_route_tables,
    ec2.delete_what_a_network_is_made_of,
    templates.drop_no_value_from_lists,
    templates.find_availability_zones,
    templates.refuse_unknown_resource_types,
    changes.say_which_resource_failed,
    changes.update_by_what_changes,
    changes.delete_in_dependency_order,
    changes.tell_all_changes,
    stacks.handle_one_request_at_a_time,
    stacks.tell_events_by_request,
    stacks.list_what_exists,
    stacks.tell_parameters_as_given,
    stacks.settle_failed_creations,
    stacks.settle_failed_updates,
    stacks.settle_failed_deletions,
    stacks.refuse_updates_without_changes,
    stacks.make_change_sets_of_stacks_that_exist,
)

_applied: list[Settings] = []


def apply(settings: Settings) -> None:
    """Close moto's gaps in this process, once, before its server starts.

    :raises RuntimeError: if they were closed before
    """
    if _applied:
        raise RuntimeError("moto's gaps are closed already in this process.")
    _applied.append(settings)
    for fix in FIXES:
        fix(settings)
