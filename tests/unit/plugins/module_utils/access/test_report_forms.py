# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as text, JUnit XML and HTML says of each cell what the row says."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.access.junit import junit
from ansible_collections.policyproof.ecr.plugins.module_utils.access.matrix import cells
from ansible_collections.policyproof.ecr.plugins.module_utils.access.page import headline, page
from ansible_collections.policyproof.ecr.plugins.module_utils.access.table import table
from ansible_collections.policyproof.ecr.plugins.module_utils.access.verdicts import rows

MESSAGE = "User: <b>arn</b> is not authorized"
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085"


@pytest.fixture
def report():
    """A proven, a violated and an unproven cell, and one more proven."""
    matrix = {"one": {"push": "allow", "pull": "deny"}, "two": {"push": "deny", "pull": "allow"}}
    observations = {
        ("one", "push"): {"outcome": "allowed", "digest": "sha256:" + "ab" * 32, "duration_s": 0.5},
        ("one", "pull"): {"outcome": "allowed", "digest": "sha256:" + "ab" * 32, "duration_s": 0.25},
        ("two", "push"): {
            "outcome": "denied",
            "denial": {"api_action": "ecr:PutImage", "message": MESSAGE},
            "duration_s": 0.1,
        },
        ("two", "pull"): {"outcome": "error", "error": "Docker does not answer"},
    }
    return rows(cells(matrix), observations, {})


def test_table_is_aligned_and_leaves_simulated_out(report):
    lines = table(report)
    assert lines[0].split() == ["principal", "action", "expected", "observed", "verdict", "why"]
    assert (
        len(
            {
                line.index(word)
                for line, word in zip(lines[1:], ["proven", "violated", "proven", "unproven"], strict=True)
            }
        )
        == 1
    )


def test_table_has_simulated_where_something_was():
    simulated = rows(cells({"one": {"push": "allow", "pull": "deny"}}), {}, {("one", "push"): {"effect": "allow"}})
    assert table(simulated)[0].split()[3] == "simulated"
    assert table(simulated)[2].split()[3] == "-"


def test_junit_counts_and_places(report):
    suite = ElementTree.fromstring(junit(report, REPOSITORY, "2026-11-23T00:00:00Z")).find("testsuite")
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
    }
    assert suite.get("time") == "0.850"
    marks = {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in suite}
    assert marks == {
        ("one", "push"): ["system-out"],
        ("one", "pull"): ["failure", "system-out"],
        ("two", "push"): ["system-out"],
        ("two", "pull"): ["error", "system-out"],
    }


class Text(HTMLParser):
    """Collects text and tags."""

    def __init__(self):
        super().__init__()
        self.text, self.tags = "", []

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


def test_page_tells_everything_and_escapes_it(report):
    reader = Text()
    html = page(report, REPOSITORY, "2026-11-23T00:00:00Z")
    reader.feed(html)
    assert "2 of 4 proven, 1 violated, 1 unproven" in reader.text
    assert MESSAGE in reader.text
    assert "b" not in reader.tags
    assert reader.tags.count("tr") == 5
    assert "one pull: expected deny, observed allowed" in reader.text
    assert not {"script", "link", "img"} & set(reader.tags)


def test_headline_of_a_good_day(report):
    assert headline([row for row in report if row.verdict == "proven"]) == "2 of 2 proven"
