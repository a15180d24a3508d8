# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Principal element against whoever makes a request.

Sources: IAM User Guide, "AWS JSON policy elements: Principal", "… NotPrincipal" and "Policy evaluation logic".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .templates import Context

NOBODY, ACCOUNT, BEHIND, DIRECT = range(4)
"""How closely an element names the caller; what an Allow of a resource-based policy is worth grows with it.

NOBODY
    Not at all.
ACCOUNT
    By the account. Within the account, that leaves the decision to identity-based policies.
BEHIND
    By the role, or by the user, whose session it is. A permissions boundary and a session policy must still allow.
DIRECT
    As the very caller, or as anyone. Nothing else needs to allow.
"""

_ARN = re.compile(r"arn:(?P<partition>[^:]*):(?P<service>iam|sts):[^:]*:(?P<account>\d{12}):(?P<rest>.+)", re.DOTALL)


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    :ivar arn: as STS shows it, or the name of a service
    :ivar kind: ``role`` (also a session of one), ``user``, ``root``, ``federated-user`` or ``other`` (a service, an
        identity provider, anonymous)
    :ivar account: twelve digits, or None for who has none
    :ivar behind: ARN of the role of a session, with its path, or of the user of a federated user session; None if not
        known
    :ivar role_name: of a role or a session of one
    :ivar provider: the identity provider that a session was federated by
    """

    arn: str
    kind: str
    account: str | None = None
    behind: str | None = None
    role_name: str | None = None
    provider: str | None = None

    @property
    def is_service_linked(self) -> bool:
        """Whether this is a service-linked role, or a session of one whose path is known."""
        return self.kind == "role" and ":role/aws-service-role/" in (self.behind or "")


def caller_of(principal: str, context: Context) -> Caller:
    """Tell who calls.

    :arg principal: ARN as STS shows it, or the name of a service
    :arg context: of the request; ``aws:PrincipalArn`` holds the ARN of a session's role, with its path
    """
    found = _ARN.fullmatch(principal)
    if not found:
        return Caller(principal, "other")
    account, rest, provider = found["account"], found["rest"], _one(context, "aws:federatedprovider")
    kind, _slash, name = rest.partition("/")
    if found["service"] == "sts" and kind == "assumed-role":
        known = _one(context, "aws:principalarn")
        return Caller(principal, "role", account, known, name.partition("/")[0], provider)
    if found["service"] == "sts" and kind == "federated-user":
        # STS does not say whose session it is; by convention it has the user's name.
        return Caller(principal, "federated-user", account, f"arn:{found['partition']}:iam::{account}:user/{name}")
    if found["service"] == "iam" and kind == "role":
        return Caller(principal, "role", account, principal, name.rpartition("/")[2], provider)
    if found["service"] == "iam" and kind in ("user", "root"):
        return Caller(principal, kind, account)
    return Caller(principal, "other")


def closeness(principals: Iterable[tuple[str, str]], caller: Caller) -> int:
    """How closely the closest of these names the caller."""
    return max((_closeness(kind, value, caller) for kind, value in principals), default=NOBODY)


def _one(context: Context, key: str) -> str | None:
    value = context.get(key)
    return value if value is None or isinstance(value, str) else value[0]


def _closeness(kind: str, value: str, caller: Caller) -> int:
    if kind == "AWS":
        return DIRECT if value == "*" else _aws(value, caller)
    if kind == "Service":
        is_service = caller.kind == "other" and not caller.arn.startswith("arn:") and "." in caller.arn
        return DIRECT if caller.arn == value or (value == "*" and is_service) else NOBODY
    if kind == "Federated":
        return DIRECT if value in (caller.arn, caller.provider) or (value == "*" and caller.provider) else NOBODY
    return DIRECT if value == caller.arn else NOBODY


def _aws(value: str, caller: Caller) -> int:
    if caller.account is None:
        return NOBODY
    if value == caller.account or value == f"arn:{caller.arn.split(':', 2)[1]}:iam::{caller.account}:root":
        return DIRECT if caller.kind == "root" else ACCOUNT
    if caller.kind == "role" and _is_role(value, caller):
        return BEHIND
    if value == caller.arn:
        return DIRECT
    return BEHIND if value == caller.behind else NOBODY


def _is_role(value: str, caller: Caller) -> bool:
    """Whether an ARN is that of the caller's role: names of roles are unique in an account, whatever their path."""
    if caller.behind:
        return value == caller.behind
    found = _ARN.fullmatch(value)
    if not found or found["service"] != "iam" or found["account"] != caller.account:
        return False
    kind, _slash, name = found["rest"].partition("/")
    return kind == "role" and name.rpartition("/")[2] == caller.role_name
