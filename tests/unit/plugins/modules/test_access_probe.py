# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module's options and what it says without attempting anything."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.policyproof.ecr.plugins.modules import access_probe

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085"


def run(**options: Any) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, access_probe.__file__],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": options}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    returned: dict[str, Any] = json.loads(ran.stdout)
    return returned


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"repository": "fa-085"}, "'fa-085'"),
        ({"repository": REPOSITORY + "/UPPER"}, "'fa-085/UPPER'"),
        ({"actions": []}, "no actions"),
        ({"actions": ["delete"]}, "delete"),
        ({"actions": ["pull"]}, "the option tag"),
        ({"actions": ["pull"], "tag": "-x"}, "'-x'"),
        ({"actions": ["pull"], "tag": "sha256:12"}, "'sha256:12'"),
        ({"actions": ["push"], "tag": "sha256:" + "0" * 64}, "sha256"),
        ({"timeout": 0}, "0 seconds"),
        ({"engine": "lxc"}, "lxc"),
        ({"access_key": "AKIA"}, "access_key"),
    ],
)
def test_wrong_options_are_named_before_anything_is_attempted(options: dict[str, Any], named: str) -> None:
    returned = run(**{"repository": REPOSITORY, **options})
    assert returned["failed"] is True
    assert named in returned["msg"]


@pytest.mark.parametrize(("actions", "changed"), [(["push"], True), (["push", "pull"], True), (["pull"], False)])
def test_check_mode_says_what_it_would_attempt(actions: list[str], changed: bool) -> None:
    returned = run(repository=REPOSITORY, actions=actions, tag="t", _ansible_check_mode=True)
    assert (returned["changed"], returned["results"]) == (changed, [])
    assert returned["msg"] == f"Check mode: attempted nothing. Would attempt {', '.join(actions)} at {REPOSITORY}."


def test_each_tag_is_new_and_known_by_its_prefix() -> None:
    tags = {access_probe.new_tag() for _turn in range(100)}
    assert len(tags) == 100
    assert all(tag.startswith("probe-") for tag in tags)
