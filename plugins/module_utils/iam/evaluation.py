# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a set of policies allows, and which statement says so.

Source: IAM User Guide, "Policy evaluation logic". What is decided and how, and the points on which AWS's documents
leave room, are in docs/evaluation.md.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple, Union

from .conditions import context_of
from .documents import (
    BOUNDARY,
    IDENTITY,
    RCP,
    RESOURCE,
    SCP,
    SESSION,
    VPC_ENDPOINT,
    InvalidPolicy,
    parse,
)
from .explanation import Finding, explain
from .principals import ACCOUNT, BEHIND, DIRECT, NOBODY, Caller, caller_of
from .statements import Index, Rule, Source, compile_document
from .templates import Context, Values

__all__ = ["ALLOW", "EXPLICIT_DENY", "IMPLICIT_DENY", "Decision", "InvalidPolicy", "PolicySet", "parse"]

ALLOW = "allow"
EXPLICIT_DENY = "explicit_deny"
IMPLICIT_DENY = "implicit_deny"

Document = Union[Mapping[str, Any], str]
"""A policy: a mapping, or JSON text."""

_REMEMBERED = 4096
"""How many answers, cases and plans one policy set remembers, each; beyond that it starts anew."""


class Decision:
    """What was decided for one request. `str` gives the sentence that AWS would print.

    :ivar effect: ``allow``, ``explicit_deny`` or ``implicit_deny``
    :ivar policy_type: the type of policy that decided; for an implicit deny, the type that should have allowed
    :ivar statement: Sid of the statement that decided, or its index in its document; None for an implicit deny
    :ivar source: the document of that statement, or None
    :ivar principal: who asked
    :ivar action: for what
    :ivar resource: on what
    """

    __slots__ = (
        "_case",
        "_context",
        "_policies",
        "_rule",
        "action",
        "effect",
        "policy_type",
        "principal",
        "resource",
    )

    def __init__(
        self,
        effect: str,
        policy_type: str,
        rule: Rule | None,
        principal: str,
        action: str,
        resource: str,
        policies: PolicySet,
        case: _Case,
        context: Context,
    ) -> None:
        self.effect = effect
        self.policy_type = policy_type
        self._rule = rule
        self.principal = principal
        self.action = action
        self.resource = resource
        self._policies = policies
        self._case = case
        self._context = context

    @property
    def allowed(self) -> bool:
        """Whether the request is allowed."""
        return self.effect == ALLOW

    @property
    def statement(self) -> str | int | None:
        """Sid or index of the statement that decided."""
        return self._rule.statement.name if self._rule else None

    @property
    def source(self) -> Source | None:
        """The document of the statement that decided."""
        return self._rule.source if self._rule else None

    def explain(self) -> tuple[Finding, ...]:
        """Statements that matched, and those that nearly did, with what kept them; in the order of `decide`."""
        return self._policies._explain(self)

    def explanation(self) -> str:
        """The decision and `explain`, as lines of text."""
        return "\n".join([str(self), *(f"  {finding}" for finding in self.explain())])

    def __str__(self) -> str:
        article = "an" if self.policy_type.startswith("identity") else "a"
        verb = "is" if self.allowed else "is not"
        said = f"User: {self.principal} {verb} authorized to perform: {self.action} on resource: {self.resource}"
        if self.allowed:
            return f"{said} by {article} {self.policy_type}"
        if self.effect == EXPLICIT_DENY:
            return f"{said} with an explicit deny in {article} {self.policy_type}"
        return f"{said} because no {self.policy_type} allows the {self.action} action"

    def __repr__(self) -> str:
        return f"<Decision {self.effect} {self.policy_type} {self.statement!r}>"


_STRINGS = frozenset((str,))
_NOTHING: Mapping[str, Any] = {}

Verdict = Tuple[str, str, Optional[Rule]]
Tests = Tuple[Any, ...]
Entry = Tuple[Tests, Rule]


class PolicySet:
    """Every policy that bears on the requests of one principal on one resource, compiled.

    Deciding remembers what it worked out, within bounds; a set is otherwise immutable and may be shared by threads.
    """

    def __init__(
        self,
        identity: Iterable[Document] = (),
        resource: Document | None = None,
        permissions_boundary: Document | None = None,
        session: Document | None = None,
        scps: Sequence[Sequence[Document]] = (),
        rcps: Sequence[Sequence[Document]] = (),
        vpc_endpoint: Document | None = None,
    ) -> None:
        """Compile.

        :arg identity: identity-based policies of the principal: attached, inline, of its groups
        :arg resource: the resource's own policy
        :arg permissions_boundary: of the principal
        :arg session: the policy that the session was started with
        :arg scps: of the principal's account: a list for each level of its organisation, from root to account. Empty if
            none apply, as in a management account
        :arg rcps: of the resource's account, likewise. ``RCPFullAWSAccess`` is part of every level
        :arg vpc_endpoint: of the endpoint that requests come through, if any
        :raises InvalidPolicy: if a document is malformed
        """
        self._identity = Index(_all(identity, IDENTITY))
        self._resource = _one(resource, RESOURCE)
        self._boundary = _one(permissions_boundary, BOUNDARY)
        self._session = _one(session, SESSION)
        self._vpc_endpoint = _one(vpc_endpoint, VPC_ENDPOINT)
        self._scps = [Index(_all(level, SCP, number)) for number, level in enumerate(scps)]
        self._rcps = [Index(_all(level, RCP, number)) for number, level in enumerate(rcps)]
        self._plans: dict[str, _Plan] = {}
        self._cases: dict[tuple[Any, ...], _Case] = {}
        self._answers: dict[tuple[Any, ...], Decision] = {}

    def decide(
        self,
        principal: str,
        action: str,
        resource: str,
        resource_account: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Decision:
        """Decide one request.

        :arg principal: who asks: the ARN as STS shows it (of a role: the session's ARN), or the name of a service
        :arg action: an API action, such as ``ecr:PutImage``
        :arg resource: ARN, or ``*`` for an action that names none; then no resource-based policy applies
        :arg resource_account: the account that owns the resource; by default the one in its ARN, or the principal's
        :arg context: condition keys, of any case, with their values: a string or a list of strings; numbers, booleans
            and dates are taken too. Nothing is added to it: ``aws:PrincipalArn`` is for the caller to give
        """
        given = context or _NOTHING
        request = (principal, action, resource, resource_account, tuple(given.items()))
        try:
            known = self._answers.get(request)
        except TypeError:  # A value is a list.
            return self._decide(principal, action, resource, resource_account, given)
        if known is not None:
            return known
        decision = self._decide(principal, action, resource, resource_account, given)
        # Python takes True, 1 and 1.0 for the same key, AWS does not: only strings are remembered.
        if _STRINGS.issuperset(map(type, given.values())):
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[request] = decision
        return decision

    def _decide(
        self, principal: str, action: str, resource: str, resource_account: str | None, given: Mapping[str, Any]
    ) -> Decision:
        context = context_of(given)
        case = self._case(principal, action, resource, resource_account, context)
        effect, policy_type, rule = case.verdict(context)
        return Decision(effect, policy_type, rule, principal, action, resource, self, case, context)

    def _explain(self, decision: Decision) -> tuple[Finding, ...]:
        case, context = decision._case, decision._context
        rules = (rule for index in self._in_order() for rule in index.rules if case.applies(rule))
        return explain(
            rules,
            case.caller,
            self._boundary is not None,
            decision.action,
            decision.resource,
            case.same_account,
            context,
        )

    def _in_order(self) -> Iterable[Index]:
        """Every layer, in the order in which decisions are reported."""
        own = (self._vpc_endpoint, self._resource, self._identity, self._boundary, self._session)
        return [*self._rcps, *self._scps, *(index for index in own if index is not None)]

    def _case(
        self, principal: str, action: str, resource: str, resource_account: str | None, context: Context
    ) -> _Case:
        # What the context says of the caller is part of who calls.
        said = context.get("aws:principalarn"), context.get("aws:federatedprovider")
        key = (principal, said, action, resource, resource_account)
        case = self._cases.get(key)
        if case is None:
            if len(self._cases) >= _REMEMBERED:
                self._cases.clear()
            caller = caller_of(principal, context)
            case = self._cases[key] = _Case(self._plan(action), caller, resource, resource_account)
        return case

    def _plan(self, action: str) -> _Plan:
        plan = self._plans.get(action)
        if plan is None:
            if len(self._plans) >= _REMEMBERED:
                self._plans.clear()
            plan = self._plans[action] = _Plan(self, action.lower())
        return plan


class _Plan:
    """The statements of a policy set that concern one API action."""

    __slots__ = ("boundary", "identity", "rcps", "resource", "scps", "session", "vpc_endpoint")

    def __init__(self, policies: PolicySet, action: str) -> None:
        def concerning(index: Index | None) -> tuple[Rule, ...] | None:
            return None if index is None else index.concerning(action)

        self.identity = policies._identity.concerning(action)
        self.resource = concerning(policies._resource)
        self.boundary = concerning(policies._boundary)
        self.session = concerning(policies._session)
        self.vpc_endpoint = concerning(policies._vpc_endpoint)
        self.scps = [level.concerning(action) for level in policies._scps]
        self.rcps = [level.concerning(action) for level in policies._rcps]


class _Case:
    """What is left to be decided of the requests of one caller for one action on one resource: the conditions."""

    __slots__ = (
        "_applying",
        "_boundary",
        "_denies",
        "_gates",
        "_grants",
        "_identity",
        "_session",
        "caller",
        "same_account",
    )

    def __init__(self, plan: _Plan, caller: Caller, resource: str, resource_account: str | None) -> None:
        self.caller = caller
        account = resource_account or _account_in(resource) or caller.account
        self.same_account = caller.account is not None and caller.account == account
        self._applying = _applying(caller, resource)
        reach = _Reach(caller, resource, plan.boundary is not None)
        scps = plan.scps if SCP in self._applying else []
        rcps = plan.rcps if RCP in self._applying else []
        identity = plan.identity if IDENTITY in self._applying else ()
        boundary = plan.boundary if BOUNDARY in self._applying else None
        session = plan.session if SESSION in self._applying else None
        own = plan.resource or () if RESOURCE in self._applying else ()
        layers = [*rcps, *scps, plan.vpc_endpoint or (), own, identity, boundary or (), session or ()]
        self._denies = _until_certain(entry for layer in layers for entry in reach.entries(layer, allow=False))
        gates = [(SCP, level) for level in scps]
        if plan.vpc_endpoint is not None:
            gates.append((VPC_ENDPOINT, plan.vpc_endpoint))
        self._gates = [(name, _until_certain(reach.entries(rules, allow=True))) for name, rules in gates]
        self._identity = _until_certain(reach.entries(identity, allow=True))
        self._boundary = None if boundary is None else _until_certain(reach.entries(boundary, allow=True))
        self._session = None if session is None else _until_certain(reach.entries(session, allow=True))
        self._grants = reach.grants(own)

    def applies(self, rule: Rule) -> bool:
        """Whether policies of a rule's type apply to the caller and the resource at all."""
        return rule.source.policy_type in self._applying

    def verdict(self, context: Context) -> Verdict:
        """Decide in a context."""
        for tests, rule in self._denies:
            for test in tests:
                if not test(context):
                    break
            else:
                return EXPLICIT_DENY, rule.source.policy_type, rule
        for policy_type, entries in self._gates:
            if _first(entries, context) is None:
                return IMPLICIT_DENY, policy_type, None
        if self.same_account:
            return self._within_account(context)
        if self.caller.account is None:
            return self._without_account(context)
        return self._across_accounts(context)

    def _within_account(self, context: Context) -> Verdict:
        if self.caller.kind == "root":
            return ALLOW, IDENTITY, None
        identity = _first(self._identity, context)
        limit = self._limit(context)
        if identity is not None and limit is None:
            return ALLOW, IDENTITY, identity
        closest, grant = self._grant(context)
        if closest == DIRECT or (closest == BEHIND and limit is None):
            return ALLOW, RESOURCE, grant
        if limit is not None and (identity is not None or closest == BEHIND):
            return IMPLICIT_DENY, limit, None
        return IMPLICIT_DENY, IDENTITY, None

    def _across_accounts(self, context: Context) -> Verdict:
        identity = None
        if self.caller.kind != "root":
            identity = _first(self._identity, context)
            if identity is None:
                return IMPLICIT_DENY, IDENTITY, None
            limit = self._limit(context)
            if limit is not None:
                return IMPLICIT_DENY, limit, None
        closest, grant = self._grant(context)
        if closest >= ACCOUNT:
            return ALLOW, RESOURCE, grant
        return IMPLICIT_DENY, RESOURCE, None

    def _without_account(self, context: Context) -> Verdict:
        closest, grant = self._grant(context)
        if closest >= ACCOUNT:
            return ALLOW, RESOURCE, grant
        return IMPLICIT_DENY, RESOURCE, None

    def _limit(self, context: Context) -> str | None:
        """The type of policy that limits the principal's permissions and does not allow, if there is one."""
        if self._boundary is not None and _first(self._boundary, context) is None:
            return BOUNDARY
        if self._session is not None and _first(self._session, context) is None:
            return SESSION
        return None

    def _grant(self, context: Context) -> tuple[int, Rule | None]:
        """The closest Allow of the resource's policy; of several as close, the first."""
        for closest, entries in self._grants:
            rule = _first(entries, context)
            if rule is not None:
                return closest, rule
        return NOBODY, None


class _Reach:
    """Which statements reach one caller on one resource."""

    def __init__(self, caller: Caller, resource: str, bounded: bool) -> None:
        self._caller = caller
        self._resource = resource
        self._bounded = bounded

    def entries(self, rules: Iterable[Rule], allow: bool) -> Iterable[Entry]:
        """Statements of one effect that reach, each with what its context must still satisfy."""
        return [(tests, rule) for closest, tests, rule in self._reaching(rules, allow) if closest]

    def grants(self, rules: Iterable[Rule]) -> list[tuple[int, list[Entry]]]:
        """Allows that reach, by how closely they name the caller, the closest first."""
        reaching = list(self._reaching(rules, allow=True))
        return [
            (level, _until_certain((tests, rule) for closest, tests, rule in reaching if closest == level))
            for level in sorted({closest for closest, _tests, _rule in reaching} - {NOBODY}, reverse=True)
        ]

    def _reaching(self, rules: Iterable[Rule], allow: bool) -> Iterable[tuple[int, Tests, Rule]]:
        nothing: dict[str, Values] = {}
        for rule in rules:
            if rule.allow is not allow:
                continue
            tests: list[Any] = []
            if rule.depends_on_context():
                tests.append(_covering(rule, self._resource))
            elif not rule.covers(self._resource, nothing):
                continue
            closest = rule.closeness(self._caller, self._bounded)
            if closest:
                tests.extend(condition.holds for condition in rule.conditions)
                yield closest, tuple(tests), rule


def _covering(rule: Rule, resource: str) -> Any:
    return lambda context: rule.covers(resource, context)


def _first(entries: list[Entry], context: Context) -> Rule | None:
    """The first statement that the context satisfies."""
    for tests, rule in entries:
        for test in tests:
            if not test(context):
                break
        else:
            return rule
    return None


def _until_certain(entries: Iterable[Entry]) -> list[Entry]:
    """Entries up to the first that needs nothing of the context: those after it are never asked."""
    kept: list[Entry] = []
    for entry in entries:
        kept.append(entry)
        if not entry[0]:
            break
    return kept


def _applying(caller: Caller, resource: str) -> frozenset[str]:
    """The types of policy that apply to a caller and a resource.

    Root users, services and the like have no identity-based policies. Who has no account is under no SCP. SCPs and RCPs
    do not affect service-linked roles (AWS Organizations User Guide, "Service control policies" and "Resource control
    policies"). A request that names no resource meets no resource-based policy.
    """
    types = {VPC_ENDPOINT}
    if not caller.is_service_linked:
        types.add(RCP)
        if caller.account is not None:
            types.add(SCP)
    if caller.kind in ("role", "user", "federated-user"):
        types.update((IDENTITY, BOUNDARY, SESSION))
    if resource != "*":
        types.add(RESOURCE)
    return frozenset(types)


def _account_in(resource: str) -> str | None:
    parts = resource.split(":", 5)
    return parts[4] or None if len(parts) == 6 else None


def _one(document: Document | None, policy_type: str) -> Index | None:
    return None if document is None else Index(compile_document(document, Source(policy_type)))


def _all(documents: Iterable[Document], policy_type: str, level: int | None = None) -> tuple[Rule, ...]:
    return tuple(
        rule
        for index, document in enumerate(documents)
        for rule in compile_document(document, Source(policy_type, index, level))
    )
