# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Strings of a policy with wildcards and policy variables in them.

A template is read once into tokens, so that what a variable brings in is never taken for a wildcard.
Source: IAM User Guide, "IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from functools import partial
from typing import Callable, Mapping, Sequence, Tuple, Union

Values = Union[str, Tuple[str, ...]]
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
Tokens = Tuple[Token, ...]

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


class Matcher:
    """Whether a text is one that tokens without variables describe.

    A regular expression is made only where nothing simpler does, and only once it is needed.
    """

    __slots__ = ("_expression", "_match", "_tokens")

    def __init__(self, tokens: Tokens, expression: Callable[[Tokens], str] | None = None) -> None:
        """Prepare.

        :arg expression: makes the regular expression; by default `expression_of`
        """
        self._tokens = tokens
        self._expression = expression or expression_of
        self._match: Callable[[str], object] | None = _simple(tokens)

    def __call__(self, text: str) -> bool:
        match = self._match
        if match is None:
            match = self._match = re.compile(self._expression(self._tokens), re.DOTALL).fullmatch
        return bool(match(text))


def _simple(tokens: Tokens) -> Callable[[str], object] | None:
    """How to match literal text, everything, and everything that starts with literal text."""
    if not tokens:
        return partial(operator.eq, "")
    first = tokens[0]
    if len(tokens) == 1:
        if isinstance(first, str):
            return partial(operator.eq, first)
        return (lambda text: True) if first == MANY else None
    if len(tokens) == 2 and isinstance(first, str) and tokens[1] == MANY:
        return lambda text: text.startswith(first)
    return None


def expression_of(tokens: Tokens) -> str:
    """The regular expression of tokens without variables, for `re.Pattern.fullmatch`; at most one to an expression.

    Between two stars the first place that fits is as good as any later one, so each such search is made final (a
    group within a lookahead, then repeated): matching takes time in proportion to pattern times text, never more.
    """
    pieces = [""]
    for token in tokens:
        if token == MANY:
            pieces.append("")
        else:
            pieces[-1] += re.escape(token) if isinstance(token, str) else "."
    if len(pieces) == 1:
        return pieces[0]
    searches = (f"(?=(?P<g{number}>.*?{piece}))(?P=g{number})" for number, piece in enumerate(pieces[1:-1]) if piece)
    return f"{pieces[0]}{''.join(searches)}.*{pieces[-1]}"


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
