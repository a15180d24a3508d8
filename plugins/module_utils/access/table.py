# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as a table of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .verdicts import Row

COLUMNS = ("principal", "action", "expected", "simulated", "observed", "verdict", "why")


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of text: a heading, then one a row, columns aligned. ``simulated`` is left out where nothing was."""
    columns = [name for name in COLUMNS if name != "simulated" or any(row.simulated for row in rows)]
    cells = [columns] + [[str(getattr(row, name) or "-") for name in columns] for row in rows]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells]
