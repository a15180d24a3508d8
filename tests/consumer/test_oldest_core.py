# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Use the collection with the oldest ansible-core it works with, in an environment that README's commands make."""

from __future__ import annotations

import subprocess

import pytest
import yaml
from ansible_collections.policyproof.ecr.tests.support.consumer import CHECKOUT, PROVEN, consumer_in
from ansible_collections.policyproof.ecr.tools.interpreters import find_interpreters


@pytest.fixture(scope="module")
def oldest():
    """The oldest ansible-core that meta/runtime.yml admits, as ``2.19``."""
    runtime = yaml.safe_load((CHECKOUT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    return runtime["requires_ansible"].removeprefix(">=").rpartition(".")[0]


@pytest.fixture(scope="module")
def consumer(tmp_path_factory, oldest):
    found = find_interpreters(("3.12", "3.13"))
    python = found.get("3.12") or found.get("3.13")
    if python is None:
        pytest.skip(f"ansible-core {oldest} with the lab wants Python 3.12 or 3.13")
    directory = tmp_path_factory.mktemp("oldest")
    environment = directory / "environment"
    subprocess.run([python, "-m", "venv", environment], check=True)
    # Not constraints.txt, which is of another ansible-core: a user has none either.
    pip = [environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = [f"ansible-core=={oldest}.*", "--requirement", CHECKOUT / "requirements.txt"]
    subprocess.run([*pip, *wanted], check=True)
    with consumer_in(directory, environment / "bin") as made:
        yield made


def test_it_is_the_oldest(consumer, oldest):
    assert consumer.run("ansible", "--version").startswith(f"ansible [core {oldest}.")


def test_the_job_and_its_end(consumer):
    consumer.playbook("policyproof.ecr.site")
    assert consumer.verdicts() == PROVEN
    consumer.playbook("policyproof.ecr.destroy")
    assert not consumer.lab.exists()
