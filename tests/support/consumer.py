# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection as its users have it: installed, used from another directory, with nothing of this checkout around."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = CHECKOUT / "tests" / "consumer" / "project"
PROVEN = {f"instance{number} {action}": "proven" for number in (1, 2, 3) for action in ("push", "pull")}
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
    """A directory with an installed collection, and commands run in it.

    :ivar programs: the directory with the programs of the consumer's Ansible
    """

    def __init__(self, directory: Path, programs: Path) -> None:
        self.directory = directory
        self.programs = programs
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
            "PATH": f"{programs}:{os.environ['PATH']}",
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
        purelib = Path(sysconfig.get_path("purelib"))
        amazon = Path("ansible_collections") / "amazon"
        shutil.copytree(purelib / amazon, self.directory / "dependencies" / amazon)
        build = [self.programs / "ansible-galaxy", "collection", "build", "--output-path", self.directory]
        subprocess.run(build, cwd=CHECKOUT, env=self.environment, check=True, capture_output=True)
        artefact = next(self.directory.glob("policyproof-ecr-*.tar.gz"))
        self.run("ansible-galaxy", "collection", "install", "--offline", "-p", self.collections, artefact)

    def run(self, *command: object) -> str:
        """Run a command where the checkout is not; its output. Fails the test if the command fails."""
        aside = self.directory / "aside"
        aside.mkdir(exist_ok=True)
        hide = ["unshare", "--mount", "sh", "-c", WITHOUT_CHECKOUT, "sh", CHECKOUT, self.programs.parent, aside]
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


@contextmanager
def consumer_in(directory: Path, programs: Path) -> Iterator[Consumer]:
    """A consumer with the collection installed. Its lab is taken down at the end; what that logged is shown before."""
    if os.geteuid() != 0:
        pytest.skip("the lab's instances need root")
    made = Consumer(directory, programs)
    made.install()
    try:
        yield made
    finally:
        if (made.lab / "lab.log").exists():
            print((made.lab / "lab.log").read_text(encoding="utf-8", errors="replace")[-10000:])
        if made.lab.exists():
            made.run("python", made.installed / "lab", "down")
