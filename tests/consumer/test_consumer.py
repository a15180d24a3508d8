# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Use the collection as its users do, with the Ansible of this environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.tests.support.consumer import CHECKOUT, PROJECT, PROVEN, consumer_in
from ansible_collections.policyproof.ecr.tests.support.module_documentation import disagreements


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    with consumer_in(tmp_path_factory.mktemp("consumer"), Path(sys.executable).parent) as made:
        yield made


def test_nothing_of_the_checkout_is_there(consumer):
    names = consumer.run("ls", "-A", CHECKOUT).split()
    assert names in ([], [".venv"])
    assert str(consumer.installed) in consumer.run("ansible-doc", "--list_files", "policyproof.ecr")


def test_own_playbook_uses_module_roles_and_playbooks(consumer):
    consumer.playbook(PROJECT.name + "/prove.yml")
    assert consumer.verdicts() == PROVEN


def test_modules_returned_what_they_document(consumer):
    returned = json.loads((consumer.directory / PROJECT.name / "returned.json").read_text(encoding="utf-8"))
    assert {
        name: sum([disagreements(result, name) for result in results], []) for name, results in returned.items()
    } == {name: [] for name in returned}
    assert len(returned["access_probe"]) == 3
    assert returned["access_probe_image"][0]["removed"] == ["probe-consumer"]


def test_the_lab_is_of_the_installed_copy(consumer):
    process = json.loads((consumer.lab / "lab.json").read_text(encoding="utf-8"))["pid"]
    command = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    assert str(consumer.installed / "lab") in command


@pytest.mark.parametrize("name", ["verify", "site"])
def test_playbook_by_its_full_name(consumer, name):
    consumer.playbook(f"policyproof.ecr.{name}")
    assert consumer.verdicts() == PROVEN


def test_destroy_leaves_nothing(consumer):
    consumer.playbook("policyproof.ecr.destroy")
    assert not consumer.lab.exists()
