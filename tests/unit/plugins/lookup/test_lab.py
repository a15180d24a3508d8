# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory of the lab finds it, and finds nothing where it is not up."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from subprocess import PIPE

import boto3
import pytest


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A description of a lab that listens; call what is returned to end it."""
    monkeypatch.setenv("POLICYPROOF_LAB_DIR", str(tmp_path))
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (tmp_path / "lab.json").write_text(json.dumps({"aws_endpoint": endpoint, "region": "eu-west-1"}))
    yield listener.close
    listener.close()


# Ansible's finder of collections has to come before the first import from one: hence a process of its own.
PROGRAM = """
import json, sys
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import init_plugin_loader, lookup_loader
init_plugin_loader()
terms, options = json.loads(sys.stdin.readline())
try:
    found = lookup_loader.get("policyproof.ecr.lab").run(terms, variables={}, **options)
except AnsibleLookupError as error:
    sys.exit(str(error))
print(json.dumps(found), flush=True)
input()
"""


@pytest.fixture
def lookup():
    """What the lookup plugin returns, from a process that lives as long as the test."""
    started = []

    def ask(*terms, **options):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
        started.append(process)
        process.stdin.write(json.dumps([terms, options]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise LookupError(process.communicate()[1])
        return json.loads(answer)

    yield ask
    for process in started:
        process.kill()
        process.communicate()


def test_a_running_lab_is_described(lab, lookup):
    assert lookup("region") == ["eu-west-1"]
    assert lookup("aws_endpoint", vacant=True)[0].startswith("http://127.0.0.1:")


def test_an_unknown_term_is_refused(lab, lookup):
    with pytest.raises(LookupError, match="'colour'; it knows aws_endpoint, region"):
        lookup("colour")


def test_a_lab_that_is_down_says_how_to_start_it(lab, lookup):
    lab()
    with pytest.raises(LookupError, match="make lab"):
        lookup("region")
    assert lookup("region", default="none") == ["none"]


def test_the_state_directory_is_known_either_way(lab, tmp_path, lookup):
    assert lookup("state") == [str(tmp_path)]
    lab()
    assert lookup("state", "state") == [str(tmp_path), str(tmp_path)]


def test_the_vacant_endpoint_has_no_instances(lab, lookup):
    lab()
    (endpoint,) = lookup("aws_endpoint", vacant=True)
    ec2 = boto3.client("ec2", "us-east-1", endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b")
    assert ec2.describe_instances()["Reservations"] == []
