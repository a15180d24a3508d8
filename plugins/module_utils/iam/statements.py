# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statements made ready to be asked: does this one concern the action, cover the resource, name the caller, hold?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .arns import resource_expression
from .conditions import Condition
from .documents import BOUNDARY, RESOURCE, SESSION, VPC_ENDPOINT, InvalidPolicy, Statement, load
from .principals import DIRECT, NOBODY, Caller, closeness
from .templates import Context, Matcher, has_variables, resolve, tokens_of


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

    def __str__(self) -> str:
        """Such as "the resource-based policy", or "service control policy 2 of level 1", both counted from 1."""
        if self.policy_type in (RESOURCE, BOUNDARY, SESSION, VPC_ENDPOINT):
            return f"the {self.policy_type}"
        numbered = f"{self.policy_type} {self.document + 1}"
        return numbered if self.level is None else f"{numbered} of level {self.level + 1}"


class Rule:
    """One statement, compiled.

    :ivar statement: what it was compiled from
    :ivar source: the document that it is from
    :ivar conditions: all of which must hold
    :ivar place: its place among the rules that it is indexed with
    """

    __slots__ = ("_actions", "_matchers", "_templates", "allow", "conditions", "place", "source", "statement")

    def __init__(self, statement: Statement, source: Source) -> None:
        self.statement = statement
        self.source = source
        self.allow = statement.allow
        self.place = 0
        self.conditions = tuple(
            Condition(operator, key, values, statement.variables, f"{statement.path}.Condition.{operator}")
            for operator, key, values in statement.conditions
        )
        self._actions = [
            Matcher(tokens_of(action.lower(), wildcards=True, variables=False)) for action in statement.actions
        ]
        templates = [
            tokens_of(resource, wildcards=True, variables=statement.variables) for resource in statement.resources or ()
        ]
        self._matchers = [Matcher(one, resource_expression) for one in templates if not has_variables(one)]
        self._templates = [one for one in templates if has_variables(one)]

    def concerns(self, action: str) -> bool:
        """Whether its Action or NotAction takes in an API action, given in lower case."""
        return any(match(action) for match in self._actions) is not self.statement.negated_actions

    def depends_on_context(self) -> bool:
        """Whether its resources hold policy variables."""
        return bool(self._templates)

    def covers(self, resource: str, context: Context) -> bool:
        """Whether its Resource or NotResource takes in a resource; one without either belongs to its resource."""
        if self.statement.resources is None:
            return True
        negated = self.statement.negated_resources
        for match in self._matchers:
            if match(resource):
                return not negated
        for template in self._templates:
            resolved = resolve(template, context)
            # A variable that stands for nothing makes a statement invalid, also within NotResource.
            if negated if resolved is None else Matcher(resolved, resource_expression)(resource):
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


class Index:
    """Rules by what their actions start with, so that those of other services are never looked at.

    :ivar rules: all of them, in order
    """

    __slots__ = ("_anywhere", "_by_action", "_by_service", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_action: dict[str, list[Rule]] = {}
        self._by_service: dict[str, list[Rule]] = {}
        self._anywhere: list[Rule] = []
        for place, rule in enumerate(self.rules):
            rule.place = place
            for bucket in self._buckets(rule.statement):
                bucket.append(rule)

    def concerning(self, action: str) -> tuple[Rule, ...]:
        """The rules that take in an API action, given in lower case, in order."""
        service = action.partition(":")[0]
        found = {rule.place: rule for rule in self._by_action.get(action, ())}
        for rule in (*self._by_service.get(service, ()), *self._anywhere):
            if rule.place not in found and rule.concerns(action):
                found[rule.place] = rule
        return tuple(found[place] for place in sorted(found))

    def _buckets(self, statement: Statement) -> Iterable[list[Rule]]:
        if statement.negated_actions:
            return [self._anywhere]
        buckets: dict[int, list[Rule]] = {}
        for action in statement.actions:
            action = action.lower()
            service = action.partition(":")[0]
            if "*" in service:
                bucket = self._anywhere
            elif "*" in action or "?" in action:
                bucket = self._by_service.setdefault(service, [])
            else:
                bucket = self._by_action.setdefault(action, [])
            buckets[id(bucket)] = bucket
        return buckets.values()


def compile_document(document: Mapping[str, Any] | str, source: Source) -> tuple[Rule, ...]:
    """Check and compile one document.

    :raises InvalidPolicy: at the first fault
    """
    try:
        return tuple(Rule(statement, source) for statement in load(document, source.policy_type))
    except InvalidPolicy as fault:
        fault.source = source
        raise
