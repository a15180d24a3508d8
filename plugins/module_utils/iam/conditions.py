# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Condition element: an operator, a condition key and values, against a request's context.

Sources: IAM User Guide, "Condition operators", "Set operators for multi-valued context keys" and "Conditions with
multiple context keys or values".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .documents import InvalidPolicy
from .operators import OPERATORS, Operator
from .templates import Context, Tokens, Values, has_variables, resolve, tokens_of

_CACHED = 1024
"""How many values of the request one condition remembers the answer for."""

_SETS = {"forallvalues": "ForAllValues", "foranyvalue": "ForAnyValue"}


def context_of(given: Mapping[str, Any]) -> dict[str, Values]:
    """A request's context in the form that conditions read: keys in lower case, every value a string.

    Numbers and booleans become the strings that AWS writes for them. A key without any value (None, or an empty list)
    is a missing key.

    :raises TypeError: for a value of any other type
    """
    context: dict[str, Values] = {}
    for key, value in given.items():
        if isinstance(value, str):
            context[key.lower()] = value
        elif isinstance(value, (list, tuple, set, frozenset)):
            several = tuple(_text(key, item) for item in value if item is not None)
            if several:
                context[key.lower()] = several
        elif value is not None:
            context[key.lower()] = _text(key, value)
    return context


def _text(key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise TypeError(f"context key {key}: a value is a string, a number, a boolean or a date, not {value!r}")


class Condition:
    """One operator on one key.

    :ivar operator: as the policy writes it
    :ivar key: as the policy writes it
    :ivar values: as the policy writes them
    :ivar holds: whether it holds in a context
    """

    __slots__ = ("holds", "key", "operator", "values")

    def __init__(self, operator: str, key: str, values: Sequence[str], variables: bool, path: str) -> None:
        """Compile.

        :arg variables: whether the document is of a version that has policy variables
        :arg path: where the operator stands, for the fault
        :raises InvalidPolicy: if there is no such operator
        """
        self.operator = operator
        self.key = key
        self.values = tuple(values)
        self.holds: Callable[[Context], bool] = _compile(operator, key.lower(), self.values, variables, path)


def _compile(name: str, key: str, values: tuple[str, ...], variables: bool, path: str) -> Callable[[Context], bool]:
    prefix, colon, base = name.partition(":")
    if not colon:
        prefix, base = "", name
    quantifier = _SETS.get(prefix.lower(), "") if colon else ""
    base = base.lower()
    if_exists = base.endswith("ifexists")
    if if_exists:
        base = base[: -len("ifexists")]
    if base == "null" and not colon and not if_exists:
        return _null(key, values)
    if base not in OPERATORS or (colon and not quantifier):
        raise InvalidPolicy(path, f"{name} is no condition operator")
    operator = OPERATORS[base]
    missing = if_exists or quantifier == "ForAllValues" or (operator.negated and not quantifier)
    templates = [tokens_of(v, wildcards=operator.wildcards, variables=variables and operator.variables) for v in values]
    fixed = [template for template in templates if not has_variables(template)]
    within = [template for template in templates if has_variables(template)]
    stands = _standing(operator, fixed, within)
    evaluate = _quantified(quantifier, operator, stands)
    return _reading(key, evaluate, missing) if within else _remembering(key, evaluate, missing)


def _standing(operator: Operator, fixed: Sequence[Tokens], within: Sequence[Tokens]) -> Callable[[str, Context], bool]:
    """Whether one value of the request stands the comparison with any value of the policy.

    A value of the policy that the operator cannot compare with never helps a condition to hold: not one of another
    type, nor one with a variable that stands for nothing.

    :arg fixed: values of the policy without variables
    :arg within: values of the policy with variables
    """
    compiled = [operator.compile(template) for template in fixed]
    tests = [test for test in compiled if test is not None]
    spoilt = operator.negated and len(tests) < len(compiled)

    def stands(value: str, context: Context) -> bool:
        if spoilt:
            return True
        for test in tests:
            if test(value):
                return True
        for template in within:
            resolved = resolve(template, context)
            compared = None if resolved is None else operator.compile(resolved)
            if operator.negated if compared is None else compared(value):
                return True
        return False

    return stands


def _quantified(
    quantifier: str, operator: Operator, stands: Callable[[str, Context], bool]
) -> Callable[[Values, Context], bool]:
    negated = operator.negated

    def evaluate(values: Values, context: Context) -> bool:
        several = (values,) if isinstance(values, str) else values
        if quantifier == "ForAllValues":
            return all(stands(value, context) is not negated for value in several)
        if quantifier == "ForAnyValue":
            return any(stands(value, context) is not negated for value in several)
        return any(stands(value, context) for value in several) is not negated

    return evaluate


def _reading(key: str, evaluate: Callable[[Values, Context], bool], missing: bool) -> Callable[[Context], bool]:
    def holds(context: Context) -> bool:
        value = context.get(key)
        return missing if value is None else evaluate(value, context)

    return holds


def _remembering(key: str, evaluate: Callable[[Values, Context], bool], missing: bool) -> Callable[[Context], bool]:
    """As `_reading`, for a condition that depends on its own key only."""
    known: dict[Values, bool] = {}
    nothing: dict[str, Values] = {}

    def holds(context: Context) -> bool:
        value = context.get(key)
        if value is None:
            return missing
        try:
            return known[value]
        except KeyError:
            if len(known) >= _CACHED:
                known.clear()
            result = known[value] = evaluate(value, nothing)
            return result

    return holds


def _null(key: str, values: tuple[str, ...]) -> Callable[[Context], bool]:
    wanted = frozenset(value.lower() for value in values)

    def holds(context: Context) -> bool:
        return ("false" if key in context else "true") in wanted

    return holds
