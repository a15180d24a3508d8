# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Strings of a policy with wildcards and policy variables in them.

A template is read once into tokens, so that what a variable brings in is never taken for a wildcard, nor for the colon
between two segments of an ARN. Source: IAM User Guide, "IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import Pattern
from typing import Union

Values = Union[str, tuple[str, ...]]
"""What a context key holds: one value, or several."""

Context = Mapping[str, Values]
"""A request's context; its keys are in lower case."""

_VARIABLE = re.compile(r"\$\{(?:(?P<special>[*?$])|(?P<key>[^{},'\s]+)(?:\s*,\s*'(?P<default>[^']*)')?\s*)\}")


@dataclass(frozen=True)
class Wildcard:
    """``*`` or ``?``, where it stands for other characters."""

    many: bool


@dataclass(frozen=True)
class Variable:
    """A policy variable, such as ``${aws:PrincipalTag/team, 'none'}``.

    :ivar key: the context key, in lower case
    :ivar default: what stands in for a missing key, or None
    """

    key: str
    default: str | None


Token = Union[str, Wildcard, Variable]
Tokens = tuple[Token, ...]

MANY = Wildcard(many=True)
ONE = Wildcard(many=False)


def tokens_of(text: str, *, wildcards: bool, variables: bool) -> Tokens:
    """Read a template.

    :arg wildcards: whether ``*`` and ``?`` are wildcards here
    :arg variables: whether ``${…}`` is replaced here
    """
    tokens: list[Token] = []
    position = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        _literal(tokens, text[position : found.start()], wildcards)
        position = found.end()
        if found["special"]:
            _add(tokens, found["special"])
        else:
            tokens.append(Variable(found["key"].lower(), found["default"]))
    _literal(tokens, text[position:], wildcards)
    return tuple(tokens)


def has_variables(tokens: Sequence[Token]) -> bool:
    """Whether these tokens mean something only within a request's context."""
    return any(isinstance(token, Variable) for token in tokens)


def resolve(tokens: Tokens, context: Context) -> Tokens | None:
    """Put the context's values in the place of variables.

    :returns: tokens without variables; None if a variable has neither value nor default, or has several values, so
        that the template stands for nothing at all
    """
    result: list[Token] = []
    for token in tokens:
        if isinstance(token, Variable):
            value = context.get(token.key)
            if value is None:
                value = token.default
            elif not isinstance(value, str):
                value = value[0] if len(value) == 1 else None
            if value is None:
                return None
            _add(result, value)
        elif isinstance(token, str):
            _add(result, token)
        else:
            result.append(token)
    return tuple(result)


@lru_cache(maxsize=4096)
def pattern_of(tokens: Tokens, ignore_case: bool = False) -> Pattern[str]:
    """The regular expression of tokens without variables, for `re.Pattern.fullmatch`.

    Between two stars the first place that fits is as good as any later one, so each such search is made final (a
    group within a lookahead, then repeated): matching takes time in proportion to pattern times text, never more.
    """
    pieces: list[list[str]] = [[]]
    for token in tokens:
        if token == MANY:
            pieces.append([])
        else:
            pieces[-1].append(re.escape(token) if isinstance(token, str) else ".")
    first, middle, last = "".join(pieces[0]), ["".join(piece) for piece in pieces[1:-1]], "".join(pieces[-1])
    expression = first
    for number, piece in enumerate(filter(None, middle)):
        expression += f"(?=(?P<g{number}>.*?{piece}))(?P=g{number})"
    if len(pieces) > 1:
        expression += f".*{last}"
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def segments(tokens: Tokens, count: int) -> tuple[Tokens, ...]:
    """Split at colons that the policy's author wrote, into at most `count` parts; the last keeps the rest."""
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if not isinstance(token, str):
            parts[-1].append(token)
            continue
        head, *rest = token.split(":", count - len(parts))
        if head:
            parts[-1].append(head)
        parts.extend([piece] if piece else [] for piece in rest)
    return tuple(tuple(part) for part in parts)


def _literal(tokens: list[Token], text: str, wildcards: bool) -> None:
    if not wildcards:
        _add(tokens, text)
        return
    for piece in re.split(r"([*?])", text):
        if piece == "*":
            if not tokens or tokens[-1] != MANY:
                tokens.append(MANY)
        elif piece == "?":
            tokens.append(ONE)
        else:
            _add(tokens, piece)


def _add(tokens: list[Token], text: str) -> None:
    """Append literal text, joined to literal text before it."""
    if text:
        if tokens and isinstance(tokens[-1], str):
            tokens[-1] += text
        else:
            tokens.append(text)
