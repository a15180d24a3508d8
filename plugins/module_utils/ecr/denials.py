# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWS's sentence of denial, found in whatever words a client wraps around it.

Source: IAM User Guide, "Troubleshoot access denied error messages". The sentence is
``User: <arn> is not authorized to perform: <action> on resource: <arn> <clause>``; its resource and its clause may be
missing, the clause may be cut short, and the ARN of the policy may follow it. What is not said stays unknown (None).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

POLICY_TYPES = (
    "identity-based policy",
    "resource-based policy",
    "service control policy",
    "resource control policy",
    "VPC endpoint policy",
    "permissions boundary",
    "session policy",
)
"""The types of policy that the sentence can name."""

_TYPE = (
    r"(?:(?:identity-based|resource-based|service\s+control|resource\s+control|VPC\s+endpoint|sessions?)\s+policy"
    r"|permissions\s+boundary)"
)
_SENTENCE = re.compile(
    r"User:\s+(?P<principal>\S+)\s+is\s+not\s+authorized\s+to\s+perform:\s+(?P<action>[A-Za-z0-9-]+:[A-Za-z0-9*]+)"
    r"(?:\s+on\s+resource:\s+(?P<resource>[^\s\"'\\]+?)(?=[\s\"'\\,;]|[.:]?(?:\s|\Z)))?"
    r"(?P<clause>"
    r"\s+with\s+an\s+explicit\s+deny(?:\s+in\s+an?\s+(?P<denying>" + _TYPE + r"))?"
    r"|\s+because\s+no\s+(?P<lacking>" + _TYPE + r")\s+allows\s+the\s+[A-Za-z0-9:*-]+\s+action"
    r")?"
    r"(?::?\s+\(?(?P<policy>arn:[a-z-]+:[a-z0-9-]+:[^\s\"'\\),;]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Denial:
    """One refusal by the service; what it did not say is None.

    :ivar api_action: such as ``ecr:PutImage``
    :ivar policy_type: one of `POLICY_TYPES`
    :ivar explicit: True for an explicit deny, False for a missing allow
    :ivar statement: Sid of the statement that denies, when somebody named it
    :ivar message: the service's own sentence
    :ivar principal: ARN of the caller, as the service saw it
    :ivar resource: ARN of the repository, or ``*``
    :ivar policy_arn: ARN of the policy that denies, when the sentence names it
    """

    api_action: str | None
    policy_type: str | None
    explicit: bool | None
    statement: str | None
    message: str
    principal: str | None
    resource: str | None
    policy_arn: str | None = None

    def as_dict(self) -> dict[str, str | bool | None]:
        """The five keys that a denial has in ``access.json``."""
        return {
            "api_action": self.api_action,
            "policy_type": self.policy_type,
            "explicit": self.explicit,
            "statement": self.statement,
            "message": self.message,
        }


def parse_denial(text: str) -> Denial | None:
    """Find AWS's sentence in a client's words.

    :returns: None if the sentence is not there: a refusal in other words is not known to be the service's
    """
    found = _SENTENCE.search(text)
    if not found:
        return None
    clause = found.group("clause")
    named = found.group("denying") or found.group("lacking")
    return Denial(
        api_action=found.group("action"),
        policy_type=_policy_type(named) if named else None,
        explicit=None if clause is None else "explicit" in clause.lower(),
        statement=None,
        message=" ".join(found.group(0).split()),
        principal=found.group("principal"),
        resource=found.group("resource"),
        policy_arn=found.group("policy"),
    )


def _policy_type(named: str) -> str:
    words = " ".join(named.split()).lower().replace("sessions policy", "session policy")
    return next(policy_type for policy_type in POLICY_TYPES if policy_type.lower() == words)
