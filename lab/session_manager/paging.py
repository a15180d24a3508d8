# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A list in pages, as SSM hands them out."""

from __future__ import annotations

from collections.abc import Sequence

from moto.ssm.exceptions import SSMException


def page[Item](
    items: Sequence[Item], maximum: int | None, token: str | None, default: int = 50
) -> tuple[list[Item], str | None]:
    """One page of ``items`` and the token of the next, None after the last.

    :param maximum: most items of a page; ``default`` where None
    :param token: the token that came with the page before; None for the first
    :raises SSMException: InvalidNextToken
    """
    try:
        start = int(token) if token else 0
    except ValueError:
        start = -1
    if not 0 <= start <= len(items):
        raise SSMException("InvalidNextToken", "The specified token is not valid.")
    end = start + (maximum or default)
    return list(items[start:end]), str(end) if end < len(items) else None
