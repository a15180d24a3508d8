# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a deployment can be named as asked: its prefix names stacks, roles and a repository at once. Pure.

Limits: CloudFormation ``CreateStack`` (StackName), IAM ``CreateRole`` (RoleName), ECR ``CreateRepository``
(repositoryName).
"""

from __future__ import annotations

import re

from ..ecr.names import repository_name_fault
from .matrix import MatrixFault, cells

LONGEST_ROLE_NAME = 64

# Every one of them is a host name or a group of the inventory already.
RESERVED_PRINCIPALS = ("all", "aws_ec2", "localhost", "principals", "ungrouped")

_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]+\Z")


def role_name(prefix: str, principal: str) -> str:
    """Name of the role of a principal."""
    return f"{prefix}-{principal}"


def stack_name(prefix: str, principal: str) -> str:
    """Name of the stack of a principal."""
    return f"{prefix}-principal-{principal}"


def deployment_faults(matrix: object, prefix: str, region: str) -> list[str]:
    """Sentences that say what AWS would refuse, each with the value and the remedy; empty if nothing.

    :param matrix: the access matrix, ``{principal: {"push": "allow"|"deny", "pull": …}}``
    :param prefix: name of the deployment, and of its repository
    :param region: region to deploy to
    """
    faults = [fault for fault in (_prefix_fault(prefix), _region_fault(region)) if fault]
    try:
        principals = list(dict.fromkeys(cell.principal for cell in cells(matrix)))
    except MatrixFault as fault:
        return [*faults, str(fault)]
    return faults + _principal_faults(principals, prefix)


def _prefix_fault(prefix: str) -> str | None:
    fault = repository_name_fault(prefix)
    if fault:
        return f"The prefix cannot be used, because it names the repository too. {fault}"
    if not _STACK_NAME.match(prefix):
        return (
            f"The prefix {prefix!r} cannot begin the name of a stack: begin it with a letter, "
            "and use nothing but lower-case letters, digits and hyphens."
        )
    return None


def _region_fault(region: str) -> str | None:
    if not region:
        return "No region is given: set 'region', or AWS_REGION in the environment, for example to us-east-1."
    if not _REGION.match(region):
        return f"The region {region!r} is not one of AWS: set 'region' to one such as us-east-1."
    return None


def _principal_faults(principals: list[str], prefix: str) -> list[str]:
    faults = []
    seen: dict[str, str] = {}
    for principal in principals:
        twin = seen.setdefault(principal.lower(), principal)
        if twin != principal:
            faults.append(
                f"The principals {twin!r} and {principal!r} differ in case alone, as roles may not: rename one."
            )
        if principal in RESERVED_PRINCIPALS:
            faults.append(f"The principal {principal!r} has a name that the inventory uses itself: rename it.")
        name = role_name(prefix, principal)
        if len(name) > LONGEST_ROLE_NAME:
            faults.append(
                f"The role of principal {principal!r} would be named {name!r}, which has {len(name)} characters; "
                f"IAM takes {LONGEST_ROLE_NAME}: shorten the prefix or the principal's name."
            )
    return faults
