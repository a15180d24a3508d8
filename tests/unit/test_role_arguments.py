# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles document every variable they have, and refuse a wrong one by its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir())
# No value of these types, and a value of each that is none of the choices. Anything can be a string.
WRONG = {"int": "many", "float": "much", "bool": "perhaps", "dict": "text", "list": {"a": "dictionary"}}


class Wrong(NamedTuple):
    """A wrong value for one option of one entry point."""

    role: str
    entry_point: str
    option: str
    value: Any


def specification(role: str) -> dict[str, Any]:
    """The role's entry points."""
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["argument_specs"]


def defaults(role: str) -> dict[str, Any]:
    """The role's defaults."""
    return yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}


def wrong_values() -> Iterator[Wrong]:
    """One for each option that can be wrong."""
    for role in NAMES:
        for entry_point, specified in specification(role).items():
            for option, described in specified.get("options", {}).items():
                if "choices" in described:
                    yield Wrong(role, entry_point, option, "none of the choices")
                elif described.get("type", "str") in WRONG:
                    yield Wrong(role, entry_point, option, WRONG[described["type"]])


@pytest.fixture(scope="module")
def refusals(tmp_path_factory) -> dict[str, str]:
    """What one play that gives every wrong value to its role was told, by role, entry point and option."""
    directory = tmp_path_factory.mktemp("roles")
    tasks = []
    for wrong in wrong_values():
        include = {"name": f"policyproof.ecr.{wrong.role}", "tasks_from": wrong.entry_point}
        task = {"name": "Give it", "ansible.builtin.include_role": include, "vars": {wrong.option: wrong.value}}
        said = {"/".join(wrong[:3]): "{{ ansible_failed_result.msg }}"}
        keep = {"refusals": "{{ refusals | combine(said) }}"}
        tasks.append({"block": [task], "rescue": [{"ansible.builtin.set_fact": keep, "vars": {"said": said}}]})
    tasks.append({"ansible.builtin.debug": {"var": "refusals"}, "check_mode": False})
    play = {"hosts": "localhost", "gather_facts": False, "vars": {"refusals": {}, "access_matrix": {}}, "tasks": tasks}
    (directory / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ran = subprocess.run(
        # In check mode: a value that is not refused must do no harm.
        [Path(sys.executable).with_name("ansible-playbook"), "--check", "-i", "localhost,", "-c", "local", "play.yml"],
        cwd=directory,
        env={**kept, "POLICYPROOF_LAB_DIR": str(directory / "lab"), "ANSIBLE_HOME": str(directory / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    shown = ran.stdout.rpartition('"refusals": ')[2].rpartition("PLAY RECAP")[0].strip().removesuffix("}")
    assert shown, ran.stdout + ran.stderr
    return json.loads(shown)


@pytest.mark.parametrize("wrong", list(wrong_values()), ids=lambda wrong: "/".join(wrong[:3]))
def test_a_wrong_argument_is_refused_by_its_name(wrong, refusals):
    message = refusals["/".join(wrong[:3])]
    assert "Validation of arguments failed" in message
    assert wrong.option in message


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_is_documented_and_named_after_its_role(role):
    described = specification(role)["main"]["options"]
    assert set(defaults(role)) <= set(described)
    assert all(name.startswith(f"{role}_") for name in described)


@pytest.mark.parametrize("role", NAMES)
def test_a_documented_default_is_the_default(role):
    described = {
        name: option["default"]
        for name, option in specification(role)["main"]["options"].items()
        if "default" in option
    }
    assert {name: defaults(role)[name] for name in described} == described
