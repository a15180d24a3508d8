# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policy documents: read, checked for form, and laid out as statements.

Sources: IAM User Guide, "Grammar of the IAM JSON policy language" and the pages of each element; Amazon ECR User
Guide, "Private repository policies"; Organizations User Guide, "SCP syntax" and "RCP syntax".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

IDENTITY = "identity-based policy"
RESOURCE = "resource-based policy"
SCP = "service control policy"
RCP = "resource control policy"
VPC_ENDPOINT = "VPC endpoint policy"
BOUNDARY = "permissions boundary"
SESSION = "session policy"

POLICY_TYPES = (RCP, SCP, VPC_ENDPOINT, RESOURCE, IDENTITY, BOUNDARY, SESSION)
"""Every type of policy, in the order in which they are reported when several would decide."""

LATEST = "2012-10-17"
VERSIONS = (LATEST, "2008-10-17")
MAXIMUM_RESOURCE_POLICY = 10_240
"""Characters that a repository policy may have."""

_WITH_PRINCIPAL = frozenset((RESOURCE, RCP, VPC_ENDPOINT))
_DOCUMENT_ELEMENTS = frozenset(("Version", "Id", "Statement"))
_STATEMENT_ELEMENTS = frozenset(
    (
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    )
)
_PRINCIPAL_TYPES = frozenset(("AWS", "Service", "Federated", "CanonicalUser"))
_SERVICE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


class InvalidPolicy(ValueError):
    """A document that AWS would not take as a policy.

    :ivar path: where the fault is, such as ``Statement[2].Condition.ArnEquals``; empty for the document as a whole
    :ivar reason: what is wrong there, a sentence without its full stop
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.source: object = None
        self.reason = reason
        super().__init__(f"{path}: {reason}" if path else reason)


@dataclass(frozen=True)
class Statement:
    """One statement of a valid document, every element as a tuple of strings.

    :ivar sid: its Sid, or None
    :ivar index: its place in the document, from 0
    :ivar allow: True for Allow, False for Deny
    :ivar negated_actions: True if `actions` come from NotAction
    :ivar resources: None if the statement names neither Resource nor NotResource
    :ivar negated_resources: True if `resources` come from NotResource
    :ivar principals: pairs of principal type (``AWS``, ``Service``, ``Federated``, ``CanonicalUser``) and value;
        ``"*"`` without a type is ``("AWS", "*")``. None in types of policy that name no principal
    :ivar negated_principals: True if `principals` come from NotPrincipal
    :ivar conditions: operator, condition key, values; all must hold
    :ivar variables: True if policy variables are replaced, that is from version 2012-10-17 on
    :ivar path: of the statement in its document, such as ``Statement[2]``
    """

    sid: str | None
    index: int
    allow: bool
    actions: tuple[str, ...]
    negated_actions: bool
    resources: tuple[str, ...] | None
    negated_resources: bool
    principals: tuple[tuple[str, str], ...] | None
    negated_principals: bool
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]
    variables: bool
    path: str

    @property
    def name(self) -> str | int:
        """The Sid, or else the index."""
        return self.index if self.sid is None else self.sid


def parse(text: str) -> dict[str, Any]:
    """Read a document from JSON text, without losing anything in silence.

    :raises InvalidPolicy: if it is not JSON, is not an object, or an object in it has one key twice
    """
    try:
        document = _unique(json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_constant), "")
    except RecursionError:
        raise InvalidPolicy("", "the document is nested too deeply") from None
    except InvalidPolicy:
        raise
    except ValueError as fault:
        raise InvalidPolicy("", f"the document is not JSON: {fault}") from None
    if not isinstance(document, dict):
        raise InvalidPolicy("", f"a policy is an object, not {_kind(document)}")
    return document


def load(document: Mapping[str, Any] | str, policy_type: str) -> tuple[Statement, ...]:
    """Check a document and lay out its statements.

    :arg document: the policy as a mapping, or as JSON text
    :arg policy_type: one of `POLICY_TYPES`: it says which elements there must and may be
    :raises InvalidPolicy: at the first fault
    """
    if policy_type == RESOURCE:
        _check_size(document)
    if isinstance(document, str):
        document = parse(document)
    if not isinstance(document, Mapping):
        raise InvalidPolicy("", f"a policy is an object, not {_kind(document)}")
    _only(document, _DOCUMENT_ELEMENTS, "")
    version = document.get("Version", "2008-10-17")
    if not isinstance(version, str) or version not in VERSIONS:
        raise InvalidPolicy("Version", f"{_shown(version)} is none of {', '.join(VERSIONS)}")
    if not isinstance(document.get("Id", ""), str):
        raise InvalidPolicy("Id", f"must be a string, not {_kind(document['Id'])}")
    if "Statement" not in document:
        raise InvalidPolicy("Statement", "is missing")
    statements = document["Statement"]
    if isinstance(statements, Mapping):
        return (_statement(statements, 0, "Statement", policy_type, version == LATEST),)
    if not isinstance(statements, (list, tuple)):
        raise InvalidPolicy("Statement", f"must be an object or a list of objects, not {_kind(statements)}")
    return tuple(
        _statement(statement, index, f"Statement[{index}]", policy_type, version == LATEST)
        for index, statement in enumerate(statements)
    )


class _Pairs(list):  # type: ignore[type-arg]
    """A JSON object as its pairs, in order, as the JSON reader gives them."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _unique(value: Any, path: str) -> Any:
    if isinstance(value, _Pairs):
        result: dict[str, Any] = {}
        for key, item in value:
            where = _below(path, key)
            if key in result:
                raise InvalidPolicy(where, "is there twice")
            result[key] = _unique(item, where)
        return result
    if isinstance(value, list):
        return [_unique(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return value


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else _kind(value)


def _check_size(document: object) -> None:
    if isinstance(document, str):
        length = len(document)
    else:
        try:
            length = len(json.dumps(document, separators=(",", ":"), ensure_ascii=False))
        except (TypeError, ValueError, RecursionError):
            raise InvalidPolicy("", "the document cannot be written as JSON") from None
    if length > MAXIMUM_RESOURCE_POLICY:
        raise InvalidPolicy("", f"the policy has {length} characters, more than {MAXIMUM_RESOURCE_POLICY}")


def _only(element: Mapping[str, Any], known: Iterable[str], path: str) -> None:
    for key in element:
        if key not in known:
            raise InvalidPolicy(_below(path, key), "is no element of the policy language")


def _statement(element: object, index: int, path: str, policy_type: str, variables: bool) -> Statement:
    if not isinstance(element, Mapping):
        raise InvalidPolicy(path, f"must be an object, not {_kind(element)}")
    _only(element, _STATEMENT_ELEMENTS, path)
    sid = element.get("Sid")
    if "Sid" in element and not isinstance(sid, str):
        raise InvalidPolicy(f"{path}.Sid", f"must be a string, not {_kind(sid)}")
    effect = element.get("Effect")
    if "Effect" not in element:
        raise InvalidPolicy(f"{path}.Effect", "is missing")
    if not isinstance(effect, str) or effect not in ("Allow", "Deny"):
        raise InvalidPolicy(f"{path}.Effect", f"must be Allow or Deny, not {_shown(effect)}")
    principals, negated_principals = _principals(element, path, policy_type)
    action_name = _either(element, "Action", path)
    if action_name is None:
        raise InvalidPolicy(path, "has neither Action nor NotAction")
    resource_name = _either(element, "Resource", path)
    if resource_name is None and policy_type not in (RESOURCE, VPC_ENDPOINT):
        raise InvalidPolicy(path, "has neither Resource nor NotResource")
    return Statement(
        sid=sid or None,
        index=index,
        allow=effect == "Allow",
        actions=_actions(element[action_name], f"{path}.{action_name}"),
        negated_actions=action_name == "NotAction",
        resources=None
        if resource_name is None
        else _resources(element[resource_name], f"{path}.{resource_name}", variables),
        negated_resources=resource_name == "NotResource",
        principals=principals,
        negated_principals=negated_principals,
        conditions=_conditions(element["Condition"], f"{path}.Condition") if "Condition" in element else (),
        variables=variables,
        path=path,
    )


def _either(element: Mapping[str, Any], name: str, path: str) -> str | None:
    negated = f"Not{name}"
    if name in element and negated in element:
        raise InvalidPolicy(path, f"has both {name} and {negated}")
    return name if name in element else negated if negated in element else None


def _strings(value: object, path: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, (list, tuple)):
        raise InvalidPolicy(path, f"must be a string or a list of strings, not {_kind(value)}")
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise InvalidPolicy(f"{path}[{index}]", f"must be a string, not {_kind(item)}")
    return tuple(value)


def _each(value: object, path: str) -> Iterable[tuple[str, str]]:
    """The strings of an element with the path to each."""
    values = _strings(value, path)
    return [(item, path if isinstance(value, str) else f"{path}[{index}]") for index, item in enumerate(values)]


def _actions(value: object, path: str) -> tuple[str, ...]:
    for action, where in _each(value, path):
        service, colon, name = action.partition(":")
        if action == "*" or (colon and service == "*" and name):
            continue
        if not colon or not service or not name or not _SERVICE_CHARACTERS.issuperset(service) or ":" in name:
            raise InvalidPolicy(where, f"{action!r} is no action: it must be * or a service, a colon and a name")
    return _strings(value, path)


def _resources(value: object, path: str, variables: bool) -> tuple[str, ...]:
    for resource, where in _each(value, path):
        if resource.startswith(("arn:", "*", "?")):
            continue
        if variables and resource.startswith("${"):
            continue
        raise InvalidPolicy(where, f"{resource!r} is no resource: it must be * or an ARN")
    return _strings(value, path)


def _principals(
    element: Mapping[str, Any], path: str, policy_type: str
) -> tuple[tuple[tuple[str, str], ...] | None, bool]:
    name = _either(element, "Principal", path)
    if policy_type not in _WITH_PRINCIPAL:
        if name is not None:
            raise InvalidPolicy(f"{path}.{name}", f"a {policy_type} names no principal")
        return None, False
    if name is None:
        raise InvalidPolicy(path, "has neither Principal nor NotPrincipal")
    value, where = element[name], f"{path}.{name}"
    negated = name == "NotPrincipal"
    if isinstance(value, str):
        if value != "*":
            raise InvalidPolicy(where, f"{value!r} must be * or an object such as {{'AWS': …}}")
        return (("AWS", "*"),), negated
    if not isinstance(value, Mapping):
        raise InvalidPolicy(where, f"must be * or an object, not {_kind(value)}")
    pairs: list[tuple[str, str]] = []
    for kind, names in value.items():
        if kind not in _PRINCIPAL_TYPES:
            raise InvalidPolicy(_below(where, kind), f"is none of {', '.join(sorted(_PRINCIPAL_TYPES))}")
        pairs.extend((kind, item) for item in _strings(names, f"{where}.{kind}"))
    return tuple(pairs), negated


def _conditions(value: object, path: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    if not isinstance(value, Mapping):
        raise InvalidPolicy(path, f"must be an object, not {_kind(value)}")
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for operator, tests in value.items():
        where = _below(path, operator)
        if not isinstance(operator, str):
            raise InvalidPolicy(where, "is no condition operator")
        if not isinstance(tests, Mapping):
            raise InvalidPolicy(where, f"must be an object, not {_kind(tests)}")
        seen: set[str] = set()
        for key, values in tests.items():
            if not isinstance(key, str) or not key:
                raise InvalidPolicy(_below(where, key), "is no condition key")
            if key.lower() in seen:
                raise InvalidPolicy(_below(where, key), "is there twice: condition keys ignore case")
            seen.add(key.lower())
            found.append((operator, key, _condition_values(values, _below(where, key))))
    return tuple(found)


def _condition_values(value: object, path: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        return (_scalar(value, path),)
    return tuple(_scalar(item, f"{path}[{index}]") for index, item in enumerate(value))


def _scalar(value: object, path: str) -> str:
    """A string, or a number or boolean as the string that AWS takes it for."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise InvalidPolicy(path, f"must be a string, a number or a boolean, not {_kind(value)}")
