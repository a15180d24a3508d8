# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The access matrix is read in its order, and every fault names the value and the remedy."""

from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.access.matrix import Cell, MatrixFault, cells


def test_cells_come_in_the_matrix_order_push_before_pull():
    matrix = {"writer": {"pull": "deny", "push": "allow"}, "reader": {"push": "deny", "pull": "allow"}}
    assert cells(matrix) == [
        Cell("writer", "push", "allow"),
        Cell("writer", "pull", "deny"),
        Cell("reader", "push", "deny"),
        Cell("reader", "pull", "allow"),
    ]


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ({}, ["no principals", "name at least one"]),
        (None, ["no principals"]),
        (["instance1"], ["no principals"]),
        ({"9lives": {"push": "allow", "pull": "deny"}}, ["'9lives'", "use a letter"]),
        ({"under_score": {"push": "allow", "pull": "deny"}}, ["'under_score'"]),
        ({"a" * 41: {"push": "allow", "pull": "deny"}}, ["up to 39"]),
        ({7: {"push": "allow", "pull": "deny"}}, ["7"]),
        ({"one": "push"}, ["'push'", "'one'"]),
        ({"one": {"push": "allow", "pull": "deny", "delete": "deny"}}, ["'delete'", "'one'", "push and pull"]),
        ({"one": {"push": "allow"}}, ["'one'", "pull", "add"]),
        ({"one": {"push": "allowed", "pull": "deny"}}, ["'allowed'", "allow and deny"]),
        ({"one": {"push": True, "pull": "deny"}}, ["True", "allow and deny"]),
        ({"one\n": {"push": "allow", "pull": "deny"}}, ["one"]),
    ],
)
def test_a_fault_names_the_value_and_the_remedy(matrix, words):
    with pytest.raises(MatrixFault) as fault:
        cells(matrix)
    for word in words:
        assert word in str(fault.value)
