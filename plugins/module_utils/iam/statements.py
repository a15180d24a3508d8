# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statements made ready to be asked: does this one concern the action, cover the resource, name the caller, hold?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from re import Pattern
from typing import Any

from .arns import resource_pattern
from .conditions import Condition
from .documents import InvalidPolicy, Statement, load
from .principals import DIRECT, NOBODY, Caller, closeness
from .templates import Context, has_variables, pattern_of, resolve, tokens_of


@dataclass(frozen=True)
class Source:
    """Where a statement comes from.

    :ivar policy_type: one of `documents.POLICY_TYPES`
    :ivar document: index of its document among those of the type (of the level, for SCPs and RCPs)
    :ivar level: index of the level of the organisation, for SCPs and RCPs; otherwise None
    """

    policy_type: str
    document: int = 0
    level: int | None = None


class Rule:
    """One statement, compiled.

    :ivar statement: what it was compiled from
    :ivar source: the document that it is from
    :ivar conditions: all of which must hold
    """

    __slots__ = ("_actions", "_resources", "allow", "conditions", "source", "statement")

    def __init__(self, statement: Statement, source: Source) -> None:
        self.statement = statement
        self.source = source
        self.allow = statement.allow
        self.conditions = tuple(
            Condition(operator, key, values, statement.variables, f"{statement.path}.Condition.{operator}")
            for operator, key, values in statement.conditions
        )
        self._actions: list[Pattern[str] | str] = [_action(action.lower()) for action in statement.actions]
        self._resources = [
            tokens_of(resource, wildcards=True, variables=statement.variables) for resource in statement.resources or ()
        ]

    def concerns(self, action: str) -> bool:
        """Whether its Action or NotAction takes in an API action, given in lower case."""
        matched = any(
            action == one if isinstance(one, str) else one.fullmatch(action) is not None for one in self._actions
        )
        return matched is not self.statement.negated_actions

    def depends_on_context(self) -> bool:
        """Whether its resources hold policy variables."""
        return any(has_variables(tokens) for tokens in self._resources)

    def covers(self, resource: str, context: Context) -> bool:
        """Whether its Resource or NotResource takes in a resource; one without either belongs to its resource."""
        if self.statement.resources is None:
            return True
        negated = self.statement.negated_resources
        for tokens in self._resources:
            resolved = resolve(tokens, context)
            # A variable that stands for nothing makes a statement invalid, also within NotResource.
            if negated if resolved is None else resource_pattern(resolved).fullmatch(resource):
                return not negated
        return negated

    def closeness(self, caller: Caller, bounded: bool) -> int:
        """How closely it names the caller, on the scale of `principals`; policies that name nobody are the caller's.

        :arg bounded: whether the caller has a permissions boundary
        """
        statement = self.statement
        if statement.principals is None:
            return DIRECT
        if not statement.negated_principals:
            return closeness(statement.principals, caller)
        if bounded and not statement.allow:
            # "always denies any IAM principal that has a permissions boundary policy attached, regardless of the
            # values specified in the NotPrincipal element" (IAM User Guide, "Permissions boundaries for IAM entities")
            return DIRECT
        return NOBODY if closeness(statement.principals, caller) else DIRECT


def compile_document(document: Mapping[str, Any] | str, source: Source) -> tuple[Rule, ...]:
    """Check and compile one document.

    :raises InvalidPolicy: at the first fault
    """
    try:
        return tuple(Rule(statement, source) for statement in load(document, source.policy_type))
    except InvalidPolicy as fault:
        fault.source = source
        raise


def _action(action: str) -> Pattern[str] | str:
    tokens = tokens_of(action, wildcards=True, variables=False)
    return action if tokens == (action,) else pattern_of(tokens)
