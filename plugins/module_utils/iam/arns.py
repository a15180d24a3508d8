# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ARNs with wildcards: in the Resource element, and in ARN conditions.

Sources: IAM User Guide, "IAM JSON policy elements: Resource" and "Condition operators", ARN condition operators.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .templates import MANY, Matcher, Token, Tokens, expression_of

SEGMENTS = 6


def resource_expression(tokens: Tokens) -> str:
    """The regular expression of one value of Resource, without variables, for `re.Pattern.fullmatch`.

    A wildcard stays within its segment, except ``*`` as the segment's last character: that one goes on over colons.
    Whatever follows the fifth colon is one segment.
    """
    expression, segment = "", 1
    for position, token in enumerate(tokens):
        if segment == SEGMENTS:
            return expression + expression_of(tokens[position:])
        if not isinstance(token, str):
            expression += _wildcard(tokens, position)
            continue
        pieces = token.split(":", SEGMENTS - segment)
        segment += len(pieces) - 1
        if segment == SEGMENTS:
            rest = (pieces.pop(), *tokens[position + 1 :])
            expression += "".join(re.escape(piece) + ":" for piece in pieces)
            return expression + expression_of(rest)
        expression += re.escape(token)
    return expression


def _wildcard(tokens: Tokens, position: int) -> str:
    if tokens[position] != MANY:
        return "[^:]"
    after = tokens[position + 1] if position + 1 < len(tokens) else ":"
    return ".*" if isinstance(after, str) and after.startswith(":") else "[^:]*"


def arn_like(tokens: Tokens) -> Callable[[str], bool] | None:
    """Compare ARNs, each of their six segments by itself; None if the pattern has fewer, as ``*`` has."""
    parts = segments(tokens)
    if len(parts) != SEGMENTS:
        return None
    if all(isinstance(token, str) for token in tokens):
        return Matcher(tokens)
    matchers = [Matcher(part) for part in parts]

    def test(value: str) -> bool:
        values = value.split(":", SEGMENTS - 1)
        return len(values) == SEGMENTS and all(match(segment) for match, segment in zip(matchers, values))

    return test


def segments(tokens: Tokens) -> tuple[Tokens, ...]:
    """Split at colons, into at most six parts; the sixth keeps the rest."""
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if not isinstance(token, str):
            parts[-1].append(token)
            continue
        head, *rest = token.split(":", SEGMENTS - len(parts))
        if head:
            parts[-1].append(head)
        parts.extend([piece] if piece else [] for piece in rest)
    return tuple(tuple(part) for part in parts)
