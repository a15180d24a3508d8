# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Condition operators: how one value of a request is compared with one value of a policy.

Every operator is a test of one against one. Negation, several values, set operators and missing keys are the same for
all of them, and are in `conditions`. Source: IAM User Guide, "IAM JSON policy elements: Condition operators".
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Callable

from .arns import arn_like
from .templates import Matcher, Tokens

Test = Callable[[str], bool]
"""Whether a value of the request stands the comparison."""


@dataclass(frozen=True)
class Operator:
    """One operator without its set operator and its IfExists.

    :ivar name: as the IAM User Guide writes it
    :ivar compile: makes the test for one value of the policy, given as tokens without variables; None if that value is
        not of the operator's type
    :ivar negated: whether the condition holds where none of the policy's values stands the test
    :ivar wildcards: whether ``*`` and ``?`` in the policy's value are wildcards
    :ivar variables: whether policy variables are replaced in the policy's value
    """

    name: str
    compile: Callable[[Tokens], Test | None]
    negated: bool = False
    wildcards: bool = False
    variables: bool = False


def literal(tokens: Tokens) -> str:
    """The text of tokens that hold neither wildcards nor variables."""
    return "".join(token for token in tokens if isinstance(token, str))


def _string_equals_ignoring_case(tokens: Tokens) -> Test:
    expected = literal(tokens).lower()
    return lambda value: value.lower() == expected


def number(text: str) -> Decimal | None:
    """A number as a policy or a request writes it, or None."""
    try:
        value = Decimal(text.strip()) if text.isascii() and "_" not in text else None
    except InvalidOperation:
        return None
    return value if value is not None and value.is_finite() else None


def _numeric(compare: Callable[[Decimal, Decimal], bool], tokens: Tokens) -> Test | None:
    expected = number(literal(tokens))
    if expected is None:
        return None

    def test(value: str) -> bool:
        actual = number(value)
        return actual is not None and compare(actual, expected)

    return test


_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*([Zz]|[+-]\d\d:?\d\d)?)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment(text: str) -> Decimal | None:
    """Seconds since 1970 of a date in one of ISO 8601's W3C forms, or in epoch seconds; None if it is neither.

    Four digits alone are a year. A time without an offset is taken as UTC.
    """
    text = text.strip()
    found = _DATE.fullmatch(text)
    if not found:
        return number(text)
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        # A leap second has no place in datetime: seconds are counted apart.
        day_start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=timezone.utc)
        start = day_start.replace(hour=int(hour or 0), minute=int(minute or 0))
    except ValueError:
        return None
    if int(second or 0) > 60:
        return None
    elapsed = (start - _EPOCH) - _offset(offset or "Z")
    return Decimal(elapsed.days * 86400 + elapsed.seconds + int(second or 0)) + Decimal(f"0.{fraction or 0}")


def _offset(text: str) -> timedelta:
    if text in ("Z", "z"):
        return timedelta()
    digits = text[1:].replace(":", "")
    length = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -length if text[0] == "-" else length


def _date(compare: Callable[[Decimal, Decimal], bool], tokens: Tokens) -> Test | None:
    expected = moment(literal(tokens))
    if expected is None:
        return None

    def test(value: str) -> bool:
        actual = moment(value)
        return actual is not None and compare(actual, expected)

    return test


def _bool(tokens: Tokens) -> Test | None:
    expected = literal(tokens).lower()
    if expected not in ("true", "false"):
        return None
    return lambda value: value.lower() == expected


def _binary(tokens: Tokens) -> Test | None:
    expected = _decoded(literal(tokens))
    if expected is None:
        return None
    return lambda value: _decoded(value) == expected


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _ip_address(tokens: Tokens) -> Test | None:
    try:
        network = ipaddress.ip_network(literal(tokens).strip(), strict=False)
    except ValueError:
        return None
    first, last, version = int(network.network_address), int(network.broadcast_address), network.version

    def test(value: str) -> bool:
        try:
            address = ipaddress.ip_address(value.strip())
        except ValueError:
            return False
        return address.version == version and first <= int(address) <= last

    return test


def _catalogue() -> dict[str, Operator]:
    positive = [
        Operator("StringEquals", Matcher, variables=True),
        Operator("StringEqualsIgnoreCase", _string_equals_ignoring_case, variables=True),
        Operator("StringLike", Matcher, wildcards=True, variables=True),
        Operator("NumericEquals", partial(_numeric, operator.eq)),
        Operator("NumericLessThan", partial(_numeric, operator.lt)),
        Operator("NumericLessThanEquals", partial(_numeric, operator.le)),
        Operator("NumericGreaterThan", partial(_numeric, operator.gt)),
        Operator("NumericGreaterThanEquals", partial(_numeric, operator.ge)),
        Operator("DateEquals", partial(_date, operator.eq)),
        Operator("DateLessThan", partial(_date, operator.lt)),
        Operator("DateLessThanEquals", partial(_date, operator.le)),
        Operator("DateGreaterThan", partial(_date, operator.gt)),
        Operator("DateGreaterThanEquals", partial(_date, operator.ge)),
        Operator("Bool", _bool),
        Operator("BinaryEquals", _binary),
        Operator("IpAddress", _ip_address),
        Operator("ArnEquals", arn_like, wildcards=True, variables=True),
        Operator("ArnLike", arn_like, wildcards=True, variables=True),
    ]
    opposites = {
        "StringEquals": "StringNotEquals",
        "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase",
        "StringLike": "StringNotLike",
        "NumericEquals": "NumericNotEquals",
        "DateEquals": "DateNotEquals",
        "IpAddress": "NotIpAddress",
        "ArnEquals": "ArnNotEquals",
        "ArnLike": "ArnNotLike",
    }
    negative = [
        Operator(opposites[one.name], one.compile, True, one.wildcards, one.variables)
        for one in positive
        if one.name in opposites
    ]
    return {one.name.lower(): one for one in positive + negative}


OPERATORS = _catalogue()
"""Every operator but Null, by its name in lower case."""
