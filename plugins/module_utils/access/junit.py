# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as JUnit XML, which CI systems read. Pure.

The format is the one of the Ant JUnit task: testsuite, testcase, failure, error. A violated cell is a failure; an
unproven one an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from .verdicts import UNPROVEN, VIOLATED, Row


def junit(rows: Sequence[Row], repository: str, generated: str) -> str:
    """One test suite, a test case for each row. ``generated`` is ISO 8601, UTC."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in (VIOLATED, UNPROVEN)}
    suite = ElementTree.Element(
        "testsuite",
        name=f"access to {repository}",
        tests=str(len(rows)),
        failures=str(counts[VIOLATED]),
        errors=str(counts[UNPROVEN]),
        skipped="0",
        time=f"{sum(row.duration_s or 0 for row in rows):.3f}",
        timestamp=generated.replace("Z", ""),
    )
    for row in rows:
        case = ElementTree.SubElement(
            suite, "testcase", classname=row.principal, name=row.action, time=f"{row.duration_s or 0:.3f}"
        )
        if row.verdict == VIOLATED:
            ElementTree.SubElement(case, "failure", type=row.verdict, message=row.sentence).text = _message(row)
        elif row.verdict == UNPROVEN:
            ElementTree.SubElement(case, "error", type=row.verdict, message=row.sentence)
        ElementTree.SubElement(case, "system-out").text = row.sentence
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _message(row: Row) -> str:
    """What the service itself said."""
    return str((row.denial or {}).get("message") or row.why)
