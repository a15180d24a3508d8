# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A list in pages, as SSM hands it out."""

from __future__ import annotations

from moto.ssm.exceptions import SSMException


def page(length: int, maximum: int | None, token: str | None, default: int = 50) -> tuple[slice, str | None]:
    """Which items of a list of ``length`` are one page, and the token of the next page, None after the last.

    :param maximum: most items of a page; ``default`` where None
    :param token: the token that came with the page before; None for the first
    :raises SSMException: InvalidNextToken
    """
    try:
        start = int(token) if token else 0
    except ValueError:
        start = -1
    if not 0 <= start <= length:
        raise SSMException("InvalidNextToken", "The specified token is not valid.")
    end = start + (maximum or default)
    return slice(start, end), str(end) if end < length else None
