# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must hold of every decision, and agreement with an evaluator that is slow and obvious."""

from __future__ import annotations

import os
import re
from datetime import datetime
from ipaddress import ip_address, ip_network

from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import PolicySet
from hypothesis import given, settings
from hypothesis import strategies as st

HERE, THERE = "123456789012", "210987654321"
ROLE, USER = f"arn:aws:iam::{HERE}:role/team/builder", f"arn:aws:iam::{HERE}:user/alice"
SESSION = f"arn:aws:sts::{HERE}:assumed-role/builder/i-1"
FOREIGN = f"arn:aws:sts::{THERE}:assumed-role/builder/i-1"
ROOT, SERVICE = f"arn:aws:iam::{HERE}:root", "codebuild.amazonaws.com"
REPOSITORY = f"arn:aws:ecr:us-east-1:{HERE}:repository/team/app"


# The obvious evaluator


def glob(pattern, text):
    if not pattern:
        return not text
    if pattern[0] == "*":
        return glob(pattern[1:], text) or bool(text) and glob(pattern, text[1:])
    return bool(text) and pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def listed(value):
    return value if isinstance(value, list) else [value]


class Unresolved(Exception):
    """A variable stands for nothing."""


def replaced(text, version, context):
    """The text with variables replaced; what they bring in is put in characters that no pattern has."""

    def value(found):
        given = context.get(found["key"].lower(), found["default"])
        if not isinstance(given, str):
            raise Unresolved
        return given.replace("*", "\ue000").replace("?", "\ue001")

    if version != "2012-10-17":
        return text
    return re.sub(r"\$\{(?P<key>[\w:/]+)(, '(?P<default>[^']*)')?\}", value, text)


def like(pattern, text):
    return glob(pattern, text.replace("*", "\ue000").replace("?", "\ue001"))


def resource_like(pattern, text, segment=1):
    """Segment by segment; a star at the end of one may go on to any later colon, or to the end."""
    if segment == 6:
        return like(pattern, text)
    part, colon, rest = pattern.partition(":")
    first, more, others = text.partition(":")
    if not like(part, first):
        return False
    if not colon:
        return not more or part.endswith("*")
    if not part.endswith("*"):
        return bool(more) and resource_like(rest, others, segment + 1)
    ends = [place for place, character in enumerate(text) if character == ":"]
    return any(resource_like(rest, text[end + 1 :], segment + 1) for end in ends)


def seconds(text):
    if re.fullmatch(r"\d{5,}", text):
        return int(text)
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def arn_like(pattern, text):
    parts, texts = pattern.split(":", 5), text.split(":", 5)
    return len(parts) == len(texts) == 6 and all(like(one, other) for one, other in zip(parts, texts, strict=True))


COMPARISONS = {
    "StringEquals": lambda policy, request: policy == request.replace("*", "\ue000").replace("?", "\ue001"),
    "StringEqualsIgnoreCase": lambda policy, request: policy.lower() == request.lower(),
    "StringLike": like,
    "ArnLike": arn_like,
    "ArnEquals": arn_like,
    "NumericEquals": lambda policy, request: float(request) == float(policy),
    "NumericLessThan": lambda policy, request: float(request) < float(policy),
    "NumericGreaterThanEquals": lambda policy, request: float(request) >= float(policy),
    "DateEquals": lambda policy, request: seconds(request) == seconds(policy),
    "DateLessThan": lambda policy, request: seconds(request) < seconds(policy),
    "Bool": lambda policy, request: policy == request,
    "IpAddress": lambda policy, request: ip_address(request) in ip_network(policy),
}
OPPOSITE_OF = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
}


def condition_holds(name, key, wanted, version, context):
    quantifier, _colon, operator = name.rpartition(":")
    given = context.get(key.lower())
    if operator == "Null":
        return str(given is None).lower() in wanted
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    negated = operator in OPPOSITE_OF
    compare = COMPARISONS[OPPOSITE_OF.get(operator, operator)]
    if given is None:
        return if_exists or quantifier == "ForAllValues" or (negated and not quantifier)

    def one(value):
        results = []
        for policy in wanted:
            try:
                if operator.startswith(("String", "Arn")):
                    policy = replaced(policy, version, context)
                results.append(compare(policy, value))
            except Unresolved:
                results.append(negated)
        return any(results) != negated

    results = [one(value) for value in listed(given)]
    if quantifier:
        return all(results) if quantifier == "ForAllValues" else any(results)
    return all(results) if negated else any(results)


def statement_matches(statement, version, request):
    principal, action, resource, context = request
    names = listed(statement.get("Action", statement.get("NotAction")))
    if any(glob(name.lower(), action.lower()) for name in names) == ("NotAction" in statement):
        return False
    if "Resource" in statement or "NotResource" in statement:
        negated = "NotResource" in statement
        results = []
        for pattern in listed(statement.get("Resource", statement.get("NotResource"))):
            try:
                results.append(resource_like(replaced(pattern, version, context), resource))
            except Unresolved:
                results.append(negated)
        if any(results) == negated:
            return False
    return all(
        condition_holds(operator, key, [str(value) for value in listed(values)], version, context)
        for operator, tests in statement.get("Condition", {}).items()
        for key, values in tests.items()
    )


def named(principals, principal, context):
    """Empty if nobody is named; otherwise the ways in which the principal is."""
    account = principal.split(":")[4] if ":" in principal else None
    ways = set()
    for kind, values in ({"AWS": "*"} if principals == "*" else principals).items():
        for value in listed(values):
            if kind == "AWS" and value == "*" or value == principal:
                ways.add("directly")
            elif kind == "AWS" and account and value in (account, f"arn:aws:iam::{account}:root"):
                ways.add("directly" if principal.endswith(":root") else "by account")
            elif kind == "AWS" and ":assumed-role/" in principal and value == context.get("aws:principalarn"):
                ways.add("by role")
    return ways


def obvious(layers, principal, action, resource, context):
    """The effect, by reading every statement of every policy."""
    context = {key.lower(): value for key, value in context.items()}
    account = principal.split(":")[4] if ":" in principal else None
    is_root = principal.endswith(":root")
    has_own = bool(account) and not is_root

    def of(document, effect):
        for statement in document["Statement"]:
            request = (principal, action, resource, context)
            if statement["Effect"] == effect and statement_matches(statement, document["Version"], request):
                yield statement

    def ways(statement):
        if "NotPrincipal" in statement:
            if statement["Effect"] == "Deny" and layers["permissions_boundary"]:
                return {"directly"}
            return set() if named(statement["NotPrincipal"], principal, context) else {"directly"}
        return named(statement["Principal"], principal, context)

    def allows(documents):
        return any(True for document in documents for _statement in of(document, "Allow"))

    own, boundary, session = layers["resource"], layers["permissions_boundary"], layers["session"]
    denying = [document for level in layers["scps"] if account for document in level]
    denying += [one for one in (*layers["identity"], boundary, session) if one and has_own]
    if any(True for document in denying for _statement in of(document, "Deny")):
        return "explicit_deny"
    naming = [document for level in layers["rcps"] for document in level] + [own, layers["vpc_endpoint"]]
    if any(ways(statement) for document in naming if document for statement in of(document, "Deny")):
        return "explicit_deny"
    if account and not all(allows(level) for level in layers["scps"]):
        return "implicit_deny"
    endpoint = layers["vpc_endpoint"]
    if endpoint and not any(ways(statement) for statement in of(endpoint, "Allow")):
        return "implicit_deny"
    granted = set().union(*(ways(statement) for statement in of(own, "Allow"))) if own else set()
    within_limits = all(allows([limit]) for limit in (boundary, session) if limit and has_own)
    identity = is_root or (has_own and allows(layers["identity"]) and within_limits)
    if account is None:
        return "allow" if granted else "implicit_deny"
    if account != resource.split(":")[4]:
        return "allow" if identity and granted else "implicit_deny"
    if identity or "directly" in granted or ("by role" in granted and within_limits):
        return "allow"
    return "implicit_deny"


# Policies and requests in which much matches

VALUES = {
    "aws:PrincipalTag/team": ["red", "blue", "r*", "${aws:username}", "${aws:username, 'red'}", "Red"],
    "aws:PrincipalArn": [ROLE, USER, "arn:aws:iam::*:role/*", f"arn:aws:iam::{HERE}:role/builder"],
    "aws:MultiFactorAuthAge": ["10", "20", 15],
    "aws:CurrentTime": ["2024-01-01T00:00:00Z", "1704067200", "2025-01-01"],
    "aws:SecureTransport": ["true", "false"],
    "aws:SourceIp": ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"],
    "aws:TagKeys": ["a", "b", "*"],
}
REQUESTED = {
    "aws:PrincipalTag/team": ["red", "blue", "*", "alice"],
    "aws:username": ["alice", "red", "*"],
    "aws:MultiFactorAuthAge": ["10", "12.5", "30"],
    "aws:CurrentTime": ["2024-01-01T00:00:00Z", "1704067199", "2026-06-01T12:00:00+02:00"],
    "aws:SecureTransport": ["true", "false"],
    "aws:SourceIp": ["10.1.2.3", "192.0.2.1", "2001:db8::1"],
    "aws:TagKeys": [["a"], ["a", "b"], ["b", "c"], "a"],
}
OPERATORS = {
    "aws:PrincipalTag/team": [
        "StringEquals",
        "StringNotEquals",
        "StringLike",
        "StringNotLike",
        "StringEqualsIgnoreCase",
    ],
    "aws:PrincipalArn": ["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike", "StringLike", "StringNotEquals"],
    "aws:MultiFactorAuthAge": ["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericGreaterThanEquals"],
    "aws:CurrentTime": ["DateEquals", "DateNotEquals", "DateLessThan"],
    "aws:SecureTransport": ["Bool"],
    "aws:SourceIp": ["IpAddress", "NotIpAddress"],
    "aws:TagKeys": ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"],
}


def some(values):
    return st.one_of(st.sampled_from(values), st.lists(st.sampled_from(values), max_size=3))


@st.composite
def conditions(draw):
    condition = {}
    for key in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=2, unique=True)):
        operator = draw(st.sampled_from(OPERATORS[key])) + draw(st.sampled_from(["", "", "IfExists"]))
        if key == "aws:TagKeys":
            operator = draw(st.sampled_from(["", "ForAllValues:", "ForAnyValue:"])) + operator
        values = draw(some(VALUES[key]))
        if draw(st.integers(0, 9)) == 0:
            operator, values = "Null", draw(st.sampled_from(["true", "false"]))
        condition.setdefault(operator, {})[draw(st.sampled_from([key, key.upper()]))] = values
    return condition


ACTIONS = ["*", "ecr:*", "ecr:PutImage", "ECR:putimage", "ecr:*Image", "ecr:Put?mage", "ecr:BatchGetImage", "s3:*"]
RESOURCES = [
    "*",
    REPOSITORY,
    "arn:aws:ecr:*:*:repository/*",
    f"arn:aws:ecr:us-*-1:{HERE}:repository/${{aws:PrincipalTag/team}}/*",
    f"arn:aws:ecr:us-east-1:{HERE}:repository/${{aws:PrincipalTag/team, 'team'}}/app",
    "arn:aws:ecr:*:repository/team/app",
    "arn:aws:ecr:*app",
    "arn:aws:s3:::*",
]
PRINCIPALS = ["*", {"AWS": "*"}] + [{"AWS": arn} for arn in (HERE, ROOT, ROLE, SESSION, USER, THERE, FOREIGN)]
PRINCIPALS += [{"Service": SERVICE}, {"AWS": [USER, SESSION], "Service": SERVICE}]


@st.composite
def statements(draw, principals, resources):
    statement = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    statement[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(some(ACTIONS))
    if resources or draw(st.booleans()):
        statement[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(some(RESOURCES))
    if principals:
        statement[draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"]))] = draw(st.sampled_from(PRINCIPALS))
    statement["Condition"] = draw(conditions())
    return statement


def documents(principals=False, resources=True):
    return st.fixed_dictionaries(
        {
            "Version": st.sampled_from(["2012-10-17", "2012-10-17", "2008-10-17"]),
            "Statement": st.lists(statements(principals, resources), max_size=4),
        }
    )


def seldom(strategy):
    return st.one_of(st.none(), st.none(), strategy)


LAYERS = st.fixed_dictionaries(
    {
        "identity": st.lists(documents(), max_size=2),
        "resource": st.one_of(st.none(), documents(principals=True, resources=False)),
        "permissions_boundary": seldom(documents()),
        "session": seldom(documents()),
        "scps": st.one_of(st.just([]), st.just([]), st.lists(st.lists(documents(), max_size=2), max_size=2)),
        "rcps": st.one_of(
            st.just([]), st.just([]), st.lists(st.lists(documents(principals=True), max_size=1), max_size=1)
        ),
        "vpc_endpoint": seldom(documents(principals=True)),
    }
)


@st.composite
def requests(draw):
    principal = draw(st.sampled_from([SESSION, SESSION, USER, FOREIGN, ROOT, SERVICE]))
    context = {
        key: draw(st.sampled_from(REQUESTED[key]))
        for key in draw(st.lists(st.sampled_from(sorted(REQUESTED)), unique=True))
    }
    if principal != SERVICE:
        context["aws:PrincipalArn"] = {SESSION: ROLE, FOREIGN: ROLE.replace(HERE, THERE)}.get(principal, principal)
    return principal, draw(st.sampled_from(["ecr:PutImage", "ecr:BatchGetImage"])), REPOSITORY, context


def effect(layers, request):
    principal, action, resource, context = request
    return PolicySet(**layers).decide(principal, action, resource, HERE, context).effect


EXAMPLES = int(os.environ.get("POLICYPROOF_EXAMPLES", "45"))
"""How many examples to try; more of them take longer than a quick test may."""

thorough = settings(max_examples=EXAMPLES, deadline=None)
quick = settings(max_examples=EXAMPLES // 3, deadline=None)


@thorough
@given(LAYERS, st.lists(requests(), min_size=1, max_size=3))
def test_it_agrees_with_the_obvious_evaluator(layers, several):
    policies = PolicySet(**layers)
    for principal, action, resource, context in several * 2:
        decision = policies.decide(principal, action, resource, HERE, context)
        assert decision.effect == obvious(layers, principal, action, resource, context)
        matching = [finding for finding in decision.explain() if finding.matched]
        if decision.statement is not None:
            assert decision.statement in [finding.statement for finding in matching]
        if decision.effect == "explicit_deny":
            assert matching[0].source == decision.source or not all(finding.allow for finding in matching)
        else:
            assert all(finding.allow for finding in matching)


def places(layers):
    """Every list of statements in the layers."""
    several = [*layers["identity"], *(one for level in layers["scps"] + layers["rcps"] for one in level)]
    single = [layers[name] for name in ("resource", "permissions_boundary", "session", "vpc_endpoint")]
    return [document["Statement"] for document in several + single if document]


def with_statement(data, layers, wanted):
    """Add a statement of an effect somewhere; None if there is nowhere."""
    found = places(layers)
    if not found:
        return
    chosen = data.draw(st.sampled_from(range(len(found))))
    naming = any(found[chosen] is (layers[name] or {}).get("Statement") for name in ("resource", "vpc_endpoint"))
    naming = naming or any(found[chosen] is one["Statement"] for level in layers["rcps"] for one in level)
    statement = {**data.draw(statements(naming, True)), "Effect": wanted}
    found[chosen].insert(data.draw(st.integers(0, len(found[chosen]))), statement)


@quick
@given(st.data(), LAYERS, requests())
def test_another_deny_never_turns_a_denial_into_an_allow(data, layers, request):
    before = effect(layers, request)
    with_statement(data, layers, "Deny")
    after = effect(layers, request)
    assert after == before or after == "explicit_deny"


@quick
@given(st.data(), LAYERS, requests())
def test_another_allow_never_turns_an_allow_into_a_denial(data, layers, request):
    before = effect(layers, request)
    with_statement(data, layers, "Allow")
    after = effect(layers, request)
    assert after == before or (before, after) == ("implicit_deny", "allow")


@quick
@given(st.data(), LAYERS, requests())
def test_the_order_of_statements_never_matters(data, layers, request):
    before = effect(layers, request)
    for place in places(layers):
        place[:] = data.draw(st.permutations(place))
    layers["identity"] = data.draw(st.permutations(layers["identity"]))
    assert effect(layers, request) == before


@quick
@given(
    some(ACTIONS), st.sampled_from(["ecr:PutImage", "ecr:BatchGetImage", "s3:GetObject", "ecr:getauthorizationtoken"])
)
def test_action_and_not_action_part_all_actions_between_them(actions, asked):
    def allowed(element):
        statement = {"Effect": "Allow", element: actions, "Resource": "*"}
        layers = {"identity": [{"Version": "2012-10-17", "Statement": [statement]}]}
        return effect(layers, (USER, asked, REPOSITORY, {})) == "allow"

    assert allowed("Action") is not allowed("NotAction")


@quick
@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_patterns_match_as_the_obvious_way_does(pattern, text):
    condition = {"StringLike": {"aws:username": pattern}}
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    layers = {"identity": [{"Version": "2012-10-17", "Statement": [statement]}]}
    assert (effect(layers, (USER, "ecr:PutImage", REPOSITORY, {"aws:username": text})) == "allow") is glob(
        pattern, text
    )


@quick
@given(st.text("ab*?:", max_size=14), st.text("ab:", max_size=14))
def test_resources_match_as_the_obvious_way_does(pattern, text):
    statement = {"Effect": "Allow", "Action": "*", "Resource": "arn:" + pattern}
    layers = {"identity": [{"Version": "2012-10-17", "Statement": [statement]}]}
    decided = effect(layers, (USER, "ecr:PutImage", "arn:" + text, {})) == "allow"
    assert decided is resource_like("arn:" + pattern, "arn:" + text)
