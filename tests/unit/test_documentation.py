# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``ansible-doc`` shows every plugin and role without a complaint, and every playbook is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
COLLECTION = "policyproof.ecr"
NAMES = {
    "module": sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py")),
    "filter": sorted(path.stem for path in (CHECKOUT / "plugins" / "filter").glob("*.py")),
    "lookup": sorted(path.stem for path in (CHECKOUT / "plugins" / "lookup").glob("*.py")),
    "role": sorted(path.name for path in (CHECKOUT / "roles").iterdir()),
}
PLAYBOOKS = sorted(path.stem for path in (CHECKOUT / "playbooks").glob("*.yml"))


def ansible(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs as a user does, with only the checkout's collections."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        env={**kept, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def complaints(errors: str) -> list[str]:
    """What was said on stderr of this collection, and of nothing else in the environment."""
    return [line for line in errors.splitlines() if COLLECTION in line or "policyproof" in line]


@lru_cache
def documents(kind: str) -> dict[str, dict[str, Any]]:
    """What ansible-doc shows of every plugin or role of a kind, by full name. Fails the test where it complains."""
    names = [f"{COLLECTION}.{name}" for name in NAMES[kind]]
    shown = ansible("ansible-doc", "--type", kind, "--json", *names)
    assert (shown.returncode, complaints(shown.stderr)) == (0, [])
    return json.loads(shown.stdout)


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_ansible_doc_shows_every_one(kind):
    assert sorted(documents(kind)) == [f"{COLLECTION}.{name}" for name in NAMES[kind]]
    for document in documents(kind).values():
        entries = document["entry_points"].values() if kind == "role" else [document["doc"]]
        for entry in entries:
            assert entry["short_description"]
            assert entry["description"]
            assert entry["version_added"]
            assert all("description" in option for option in entry.get("options", {}).values())


@pytest.mark.parametrize("kind", sorted(set(NAMES) - {"role"}))
def test_plugins_have_examples_and_returns(kind):
    for name, document in documents(kind).items():
        assert document["examples"].strip(), name
        assert document["return"], name


def test_modules_say_their_attributes():
    for name, document in documents("module").items():
        attributes = document["doc"]["attributes"]
        assert {"check_mode", "diff_mode", "idempotent"} <= set(attributes), name
        assert all(attribute["support"] for attribute in attributes.values()), name


def test_every_playbook_goes_by_its_full_name():
    names = [f"{COLLECTION}.{name}" for name in PLAYBOOKS]
    assert {"policyproof.ecr.site", "policyproof.ecr.verify", "policyproof.ecr.destroy"} <= set(names)
    checked = ansible("ansible-playbook", "--syntax-check", "-i", "localhost,", *names)
    assert checked.returncode == 0, checked.stderr
    assert [name for name in PLAYBOOKS if f"/playbooks/{name}.yml" not in checked.stdout] == []
