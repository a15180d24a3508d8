# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ``ansible-galaxy collection build`` puts into the artefact."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
GALAXY = Path(sys.executable).with_name("ansible-galaxy")
# What a user needs, and nothing of what only this checkout does.
AT_THE_TOP = {
    "CHANGELOG.rst", "COPYING", "FILES.json", "MANIFEST.json", "README.md", "cfn", "changelogs", "docs", "inventory",
    "lab", "meta", "playbooks", "plugins", "requirements.txt", "requirements.yml", "roles",
}  # fmt: skip


@pytest.fixture(scope="module")
def artefact(tmp_path_factory) -> tarfile.TarFile:
    """The artefact, built of this checkout and opened."""
    directory = tmp_path_factory.mktemp("artefact")
    command = [GALAXY, "collection", "build", "--output-path", directory]
    environment = {**os.environ, "ANSIBLE_HOME": str(directory / "home")}
    built = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    [archive] = directory.glob("policyproof-ecr-*.tar.gz")
    with tarfile.open(archive) as opened:
        yield opened


def _files(artefact: tarfile.TarFile) -> set[str]:
    return {member.name for member in artefact.getmembers() if member.isfile()}


def _of_the_checkout() -> set[str]:
    """Everything that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (CHECKOUT / name).is_file()}


def test_holds_what_a_user_needs_and_no_more(artefact):
    assert {PurePosixPath(name).parts[0] for name in _files(artefact)} == AT_THE_TOP


def test_holds_no_file_that_git_does_not_know(artefact):
    assert _files(artefact) - {"FILES.json", "MANIFEST.json"} - _of_the_checkout() == set()


def test_leaves_out_nothing_of_what_it_ships(artefact):
    shipped = {name for name in _of_the_checkout() if PurePosixPath(name).parts[0] in AT_THE_TOP - {"changelogs"}}
    assert shipped - _files(artefact) == set()
    assert {name for name in _files(artefact) if name.startswith("changelogs/")} == {"changelogs/changelog.yaml"}


def test_depends_on_the_amazon_aws_that_requirements_yml_names(artefact):
    import yaml

    manifest = json.load(artefact.extractfile("MANIFEST.json"))["collection_info"]
    wanted = yaml.safe_load((CHECKOUT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    assert manifest["dependencies"] == {collection["name"]: collection["version"] for collection in wanted}


def test_ships_the_python_requirements_of_the_lab_with_moto_pinned(artefact):
    lines = artefact.extractfile("requirements.txt").read().decode().splitlines()
    moto = [line for line in lines if line.startswith("moto")]
    assert len(moto) == 1
    assert "==" in moto[0]
