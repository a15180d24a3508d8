# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this machine lacks is one sentence that says what and what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.policyproof.ecr.lab.instances import requirements as module
from ansible_collections.policyproof.ecr.lab.instances.init import escaped
from ansible_collections.policyproof.ecr.lab.instances.requirements import check_requirements


@pytest.fixture
def machine(monkeypatch):
    """A machine that has everything, for a test to take something from."""
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    finished = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: finished)
    return monkeypatch, finished


def test_a_machine_that_has_everything(machine, tmp_path):
    assert check_requirements(tmp_path / "lab") == []
    assert list(tmp_path.iterdir()) == []


def test_not_linux(machine):
    machine[0].setattr(module.sys, "platform", "darwin")
    (sentence,) = check_requirements()
    assert "this machine runs darwin" in sentence


def test_not_root(machine):
    machine[0].setattr(module.os, "geteuid", lambda: 1000)
    (sentence,) = check_requirements()
    assert sentence.endswith("run this as root.")


def test_missing_programs_name_their_packages(machine):
    machine[0].setattr(module.shutil, "which", lambda name: None if name in ("sudo", "nsenter") else f"/usr/bin/{name}")
    (sentence,) = check_requirements()
    assert sentence == "The lab's instances need nsenter, sudo: apt-get install sudo util-linux."


def test_no_namespaces_or_overlay(machine, tmp_path):
    machine[1].returncode, machine[1].stderr = 1, "unshare: unshare failed: Operation not permitted\n"
    (sentence,) = check_requirements(tmp_path)
    assert "unshare failed: Operation not permitted" in sentence
    assert "\n" not in sentence


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tries the real thing")
def test_this_machine_is_told_the_truth(tmp_path):
    for sentence in check_requirements(tmp_path):
        assert sentence.startswith("The lab's instances ")
        assert sentence.count("\n") == 0
    assert list(tmp_path.iterdir()) == []


def test_paths_are_escaped_for_overlayfs():
    assert escaped("/a,b:c\\d") == "/a\\,b\\:c\\\\d"
