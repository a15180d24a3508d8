# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The access matrix: principals x actions, each allow or deny. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ACTIONS = ("push", "pull")
EXPECTATIONS = ("allow", "deny")

# A principal names a role and a stack as well: the narrowest of the three, CloudFormation's, decides.
PRINCIPAL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}\Z")


class MatrixFault(ValueError):
    """What is wrong with an access matrix, in one sentence that names the value and the remedy."""


@dataclass(frozen=True)
class Cell:
    """One expectation: what ``principal`` gets when it attempts ``action``."""

    principal: str
    action: str
    expected: str


def cells(matrix: object) -> list[Cell]:
    """The cells of a matrix ``{principal: {"push": "allow"|"deny", "pull": …}}``, in its order, push before pull.

    An action that is left out is an expectation that is missing, not a denial. Raises MatrixFault.
    """
    if not isinstance(matrix, Mapping) or not matrix:
        raise MatrixFault(
            "The access matrix has no principals: name at least one, "
            "such as {'instance1': {'push': 'allow', 'pull': 'deny'}}."
        )
    found = []
    for principal, expectations in matrix.items():
        _check_principal(principal)
        if not isinstance(expectations, Mapping):
            raise MatrixFault(
                f"The access matrix has {expectations!r} for principal '{principal}': "
                "write {'push': 'allow' or 'deny', 'pull': 'allow' or 'deny'}."
            )
        _check_actions(principal, expectations)
        found += [_cell(principal, action, expectations) for action in ACTIONS]
    return found


def _check_principal(principal: object) -> None:
    if not isinstance(principal, str) or not PRINCIPAL_NAME.match(principal):
        raise MatrixFault(
            f"The access matrix names a principal {principal!r}, which cannot be a stack's name: "
            "use a letter, then up to 39 letters, digits or hyphens."
        )


def _check_actions(principal: str, expectations: Mapping[object, object]) -> None:
    for action in expectations:
        if action not in ACTIONS:
            raise MatrixFault(
                f"The access matrix has an action {action!r} for principal '{principal}': "
                "the actions are push and pull."
            )


def _cell(principal: str, action: str, expectations: Mapping[object, object]) -> Cell:
    if action not in expectations:
        raise MatrixFault(
            f"The access matrix does not say whether '{principal}' may {action}: add {action}: allow or deny."
        )
    expected = expectations[action]
    if expected not in EXPECTATIONS:
        raise MatrixFault(
            f"The access matrix has {expected!r} for '{principal}' {action}: the values are allow and deny."
        )
    return Cell(principal, action, str(expected))
