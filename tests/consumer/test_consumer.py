# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Use the collection as its users do: installed, from another directory, with nothing of this checkout around."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.tests.support.module_documentation import disagreements

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).resolve().parent / "project"
BIN = Path(sys.executable).parent
# In a mount namespace of its own, the checkout is an empty directory; only the environment, which may lie in it, stays.
WITHOUT_CHECKOUT = """
set -eu
mount --bind "$2" "$3"
mount -t tmpfs -o mode=755 none "$1"
case "$2" in "$1"/*) mkdir -p "$2"; mount --move "$3" "$2" ;; *) umount "$3" ;; esac
shift 3
exec "$@"
"""


class Consumer:
    """A directory with an installed collection, and commands run in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.collections = directory / "collections"
        self.installed = self.collections / "ansible_collections" / "policyproof" / "ecr"
        self.lab = directory / "lab"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "ANSIBLE_", "POLICYPROOF_"))
        }
        self.environment = {
            **kept,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PWD": str(directory),
            "ANSIBLE_HOME": str(directory / "home"),
            "ANSIBLE_COLLECTIONS_PATH": f"{self.collections}:{directory / 'dependencies'}",
            "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
            "POLICYPROOF_LAB_DIR": str(self.lab),
            "POLICYPROOF_PREFIX": "consumer",
        }

    def install(self) -> None:
        """Build the artefact and install it. amazon.aws is there already, as it would be for a user without Galaxy."""
        shutil.copytree(PROJECT, self.directory / PROJECT.name)
        dependencies = self.directory / "dependencies" / "ansible_collections"
        dependencies.mkdir(parents=True)
        purelib = Path(sysconfig.get_path("purelib"))
        (dependencies / "amazon").symlink_to(purelib / "ansible_collections" / "amazon")
        build = [BIN / "ansible-galaxy", "collection", "build", "--output-path", self.directory]
        subprocess.run(build, cwd=CHECKOUT, env=self.environment, check=True, capture_output=True)
        artefact = next(self.directory.glob("policyproof-ecr-*.tar.gz"))
        self.run("ansible-galaxy", "collection", "install", "--offline", "-p", self.collections, artefact)

    def run(self, *command: object) -> str:
        """Run a command where the checkout is not; its output. Fails the test if the command fails."""
        aside = self.directory / "aside"
        aside.mkdir(exist_ok=True)
        hide = ["unshare", "--mount", "sh", "-c", WITHOUT_CHECKOUT, "sh", CHECKOUT, BIN.parent, aside]
        finished = subprocess.run(
            [str(word) for word in [*hide, *command]],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        print(f"{command}: {finished.returncode}\n{finished.stdout[-6000:]}\n{finished.stderr[-3000:]}")
        assert finished.returncode == 0, command
        return finished.stdout

    def playbook(self, name: object) -> str:
        """Run a playbook on the inventory that the collection brings."""
        return self.run("ansible-playbook", "-i", self.installed / "inventory" / "lab", name)

    def verdicts(self) -> dict[str, str]:
        """The verdicts of the last report, by principal and action; the report is gone afterwards."""
        path = self.directory / "build" / "report" / "access.json"
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        path.unlink()
        return {f"{row['principal']} {row['action']}": row["verdict"] for row in rows}


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    """A consumer with the collection installed. Its lab is taken down afterwards; its log is shown if a test failed."""
    if os.geteuid() != 0:
        pytest.skip("the lab's instances need root")
    made = Consumer(tmp_path_factory.mktemp("consumer"))
    made.install()
    yield made
    if (made.lab / "lab.log").exists():
        print((made.lab / "lab.log").read_text(encoding="utf-8", errors="replace")[-10000:])
    if made.lab.exists():
        made.run("python", made.installed / "lab", "down")


PROVEN = {f"instance{number} {action}": "proven" for number in (1, 2, 3) for action in ("push", "pull")}


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
