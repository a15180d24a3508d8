# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a request was decided as it was: statements that matched, statements that nearly did, and what kept them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .conditions import Condition
from .principals import ACCOUNT, BEHIND, NOBODY, Caller
from .statements import Rule, Source
from .templates import Context


@dataclass(frozen=True)
class Miss:
    """One element that kept a statement from matching.

    :ivar element: as the statement has it, such as ``NotAction`` or ``Condition.ArnEquals.aws:PrincipalArn``
    :ivar reason: a sentence without its full stop
    """

    element: str
    reason: str


@dataclass(frozen=True)
class Finding:
    """What became of one statement.

    :ivar source: the document that it is from
    :ivar statement: its Sid, or its index in the document
    :ivar allow: True for Allow, False for Deny
    :ivar misses: what kept it from matching; empty if it matched
    :ivar worth: what an Allow of a resource-based policy is worth, where that is less than access
    """

    source: Source
    statement: str | int
    allow: bool
    misses: tuple[Miss, ...]
    worth: str | None

    @property
    def matched(self) -> bool:
        """Whether every element matched."""
        return not self.misses

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "policy_type": self.source.policy_type,
            "document": self.source.document,
            "level": self.source.level,
            "statement": self.statement,
            "effect": "Allow" if self.allow else "Deny",
            "matched": self.matched,
            "kept_by": [{"element": miss.element, "reason": miss.reason} for miss in self.misses],
            "worth": self.worth,
        }

    def __str__(self) -> str:
        name = f"statement {self.statement}" if isinstance(self.statement, int) else f"statement {self.statement!r}"
        said = f"{'Allow' if self.allow else 'Deny'}, {name} of {self.source}"
        if self.matched:
            return f"{said}: matched" + (f", but {self.worth}" if self.worth else "")
        return f"{said}: kept from matching by " + "; ".join(f"{miss.element}: {miss.reason}" for miss in self.misses)


def explain(
    rules: Iterable[Rule],
    caller: Caller,
    bounded: bool,
    action: str,
    resource: str,
    same_account: bool,
    context: Context,
) -> tuple[Finding, ...]:
    """What became of the statements that matched or nearly matched: those of which at most one element did not match.

    :arg bounded: whether the caller has a permissions boundary
    :arg same_account: whether caller and resource are of the same account
    """
    findings = []
    for rule in rules:
        closest = rule.closeness(caller, bounded)
        misses = tuple(_misses(rule, closest, caller, action, resource, context))
        if len(misses) <= 1:
            worth = _worth(rule, closest) if same_account and rule.allow else None
            findings.append(Finding(rule.source, rule.statement.name, rule.allow, misses, worth))
    return tuple(findings)


def _misses(rule: Rule, closest: int, caller: Caller, action: str, resource: str, context: Context) -> Iterable[Miss]:
    statement = rule.statement
    if not rule.concerns(action.lower()):
        element = "NotAction" if statement.negated_actions else "Action"
        yield Miss(
            element, f"{action} is {'' if statement.negated_actions else 'not '}among {_listed(statement.actions)}"
        )
    if not rule.covers(resource, context):
        element = "NotResource" if statement.negated_resources else "Resource"
        among = "" if statement.negated_resources else "not "
        yield Miss(element, f"{resource} is {among}among {_listed(statement.resources or ())}")
    if closest == NOBODY:
        element = "NotPrincipal" if statement.negated_principals else "Principal"
        among = "" if statement.negated_principals else "not "
        named = _listed([value for _kind, value in statement.principals or ()])
        yield Miss(element, f"{caller.arn} is {among}among {named}")
    for condition in rule.conditions:
        if not condition.holds(context):
            yield Miss(f"Condition.{condition.operator}.{condition.key}", _unmet(condition, context))


def _unmet(condition: Condition, context: Context) -> str:
    value = context.get(condition.key.lower())
    if value is None:
        given = f"the request has no {condition.key}"
    else:
        given = f"the request has {_listed((value,) if isinstance(value, str) else value)}"
    return f"{given}, the statement wants {condition.operator} {_listed(condition.values)}"


def _worth(rule: Rule, closest: int) -> str | None:
    if rule.statement.principals is None:
        return None
    if closest == ACCOUNT:
        return "it names the account, which leaves the decision to identity-based policies"
    if closest == BEHIND:
        return "a permissions boundary and a session policy must allow too"
    return None


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values) or "nothing"
