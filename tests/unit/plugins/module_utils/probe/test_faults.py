# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import FAULTS, Fault

CHECKOUT = Path(__file__).resolve().parents[5]


def test_the_table_for_people_is_the_table_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", (CHECKOUT / "docs" / "faults.md").read_text(), re.MULTILINE)
    assert {name: (cause, remedy) for name, cause, remedy in rows} == {
        name: tuple(re.sub(r"\{(\w+)\}", r"*\1*", text) for text in kind) for name, kind in FAULTS.items()
    }


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_cause_and_remedy_are_a_sentence_each(kind: str) -> None:
    names = {name for text in FAULTS[kind] for _lead, name, _spec, _conv in string.Formatter().parse(text) if name}
    fault = Fault(kind, **{name: f"<{name}>." for name in names})
    for sentence in (fault.cause, fault.remedy):
        assert sentence.endswith(".") and ".." not in sentence, sentence
        assert not sentence[0].islower()
    assert all(f"<{name}>" in str(fault) for name in names)


def test_what_is_not_known_is_called_so_and_filled_in_later() -> None:
    fault = Fault("unreachable", detail="No route to host")
    assert fault.cause == "There is no way to the registry from here: No route to host."
    assert (
        fault.known(host="h.example", detail="other").cause
        == "There is no way to h.example from here: No route to host."
    )
