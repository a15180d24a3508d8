# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The main job: three principals, one repository policy, proven end to end, and nothing left in the end."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

MATRIX = {
    ("instance1", "push"): "allow",
    ("instance1", "pull"): "deny",
    ("instance2", "push"): "deny",
    ("instance2", "pull"): "allow",
    ("instance3", "push"): "deny",
    ("instance3", "pull"): "deny",
}
FIRST_ACTION = {"push": "ecr:InitiateLayerUpload", "pull": "ecr:BatchGetImage"}
REPOSITORY = "fa-085"
KINDS = ("mnt", "pid", "uts", "ipc")


@pytest.fixture(scope="module")
def proven(deployment):
    """A deployment on which site.yml has run once."""
    run = deployment.playbook("policyproof.ecr.site")
    assert run.status == 0, run.output[-8000:]
    return deployment


def cells(deployment, **wanted):
    """The cells whose row has these values."""
    return {
        cell for cell, row in deployment.access().items() if all(row[key] == value for key, value in wanted.items())
    }


def test_every_cell_is_proven(proven):
    rows = proven.access()
    assert {cell: row["expected"] for cell, row in rows.items()} == MATRIX
    for (_principal, action), row in rows.items():
        assert row["verdict"] == "proven"
        assert row["simulated"] == row["expected"]
        if row["expected"] == "allow":
            assert (row["observed"], row["denial"]) == ("allowed", None)
        else:
            assert row["observed"] == "denied"
            assert row["denial"]["api_action"] == FIRST_ACTION[action]
            assert row["denial"]["policy_type"] == "resource-based policy"
            assert row["denial"]["explicit"] is True
            assert row["denial"]["statement"]
            assert "is not authorized to perform" in row["denial"]["message"]


def test_json_is_schema_1(proven):
    report = json.loads((proven.report / "access.json").read_text(encoding="utf-8"))
    assert list(report) == ["schema", "repository", "generated", "rows"]
    assert report["schema"] == 1
    assert report["repository"].endswith("/" + REPOSITORY)


def test_the_other_reports_agree(proven):
    suite = ElementTree.parse(proven.report / "access.junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "0", "0")
    assert "6 of 6 proven" in (proven.report / "access.html").read_text(encoding="utf-8")


def test_attempts_leave_nothing_in_the_repository(proven):
    assert proven.client("ecr").list_images(repositoryName=REPOSITORY)["imageIds"] == []


def test_a_second_run_changes_nothing(proven):
    run = proven.playbook("policyproof.ecr.site")
    assert run.status == 0
    assert set(run.changed.values()) == {0}


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_policy_that_locks_the_deployer_out_is_refused(proven, check):
    run = proven.playbook("policyproof.ecr.deploy", "-e", '{"stacks_admin_arns": []}', *check)
    assert run.status != 0
    assert run.changed["localhost"] == 0
    for words in (
        "would lock out arn:aws:iam::123456789012:user/deployer",
        "EverybodyElseNothing",
        "stacks_allow_lock_out",
    ):
        assert words in run.output
    for api_action in ("ecr:SetRepositoryPolicy", "ecr:DeleteRepositoryPolicy", "ecr:DeleteRepository"):
        assert api_action in run.output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"access_matrix": {}}, "no principals"),
        ({"access_matrix": {"one": {"push": "allow", "pull": "deny", "delete": "deny"}}}, "'delete'"),
        ({"access_matrix": {"one": {"push": "maybe", "pull": "deny"}}}, "'maybe'"),
        ({"access_matrix": {"under_score": {"push": "allow", "pull": "deny"}}}, "'under_score'"),
        ({"prefix": "Upper_Case"}, "Upper_Case"),
        ({"region": ""}, "AWS_REGION"),
        ({"aws_secret_key": "wrong"}, "Check the credentials"),
    ],
)
def test_bad_input_is_refused_before_anything_is_deployed(proven, variables, words):
    run = proven.playbook("policyproof.ecr.deploy", "-e", json.dumps(variables))
    assert run.status != 0
    assert run.changed["localhost"] == 0
    assert words in run.output
    assert "Traceback" not in run.output


def test_verify_alone_finds_the_hosts(proven):
    before = (proven.report / "access.json").stat().st_mtime_ns
    assert proven.playbook("policyproof.ecr.verify").status == 0
    assert (proven.report / "access.json").stat().st_mtime_ns > before


def test_no_secret_is_told_however_verbose(proven):
    run = proven.playbook("policyproof.ecr.verify", "-vvv")
    assert run.status == 0
    assert "EXEC" in run.output, "this was not verbose"
    assert proven.description["secret_key"] not in run.output
    # An authorization token is base64 of "AWS:" and a password of some 1,400 characters.
    assert "QVdTO" not in run.output
    assert re.findall(r"[A-Za-z0-9_-]{300}", run.output) == []


def test_a_policy_opened_for_one_principal_is_seen_in_its_cells_alone(proven):
    ecr = proven.client("ecr")
    true_policy = ecr.get_repository_policy(repositoryName=REPOSITORY)["policyText"]
    policy = json.loads(true_policy)
    # instance3 becomes one of those whom the last statement does not concern.
    everybody_else = policy["Statement"][-1]["Condition"]["ArnNotEquals"]
    everybody_else["aws:PrincipalArn"] = [
        *everybody_else["aws:PrincipalArn"],
        f"arn:aws:iam::123456789012:role/{REPOSITORY}-instance3",
    ]
    ecr.set_repository_policy(repositoryName=REPOSITORY, policyText=json.dumps(policy))
    try:
        run = proven.playbook("policyproof.ecr.verify")
        assert run.status != 0
        assert cells(proven, verdict="violated") == {("instance3", "push"), ("instance3", "pull")}
        assert cells(proven, verdict="proven") == set(MATRIX) - {("instance3", "push"), ("instance3", "pull")}
        assert "instance3 pull: expected deny, observed allowed" in run.output
    finally:
        ecr.set_repository_policy(repositoryName=REPOSITORY, policyText=true_policy)


def in_instance(deployment, principal, script):
    """Run a shell script as root in a principal's instance, over Session Manager."""
    inventory = ["-i", Path(__file__).parents[2] / "inventory" / "lab"]
    bucket = next(bucket["Name"] for bucket in deployment.client("s3").list_buckets()["Buckets"])
    finished = deployment.command(
        "ansible", *inventory, principal, "-b", "-m", "ansible.builtin.raw", "-a", script,
        "-e", f"ansible_aws_ssm_bucket_name={bucket}",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_a_stopped_engine_is_unproven_not_denied(proven):
    in_instance(proven, "instance2", "service docker stop")
    try:
        assert proven.playbook("policyproof.ecr.verify").status != 0
        assert cells(proven, observed="error") == {("instance2", "push"), ("instance2", "pull")}
        assert cells(proven, verdict="unproven") == {("instance2", "push"), ("instance2", "pull")}
        assert ("instance2", "push") not in cells(proven, observed="denied")
    finally:
        in_instance(proven, "instance2", "service docker start")


def test_destroy_leaves_nothing(proven):
    lab = proven.description
    instances = proven.client("ec2").describe_instances()["Reservations"]
    assert len(instances) == 3
    before = namespaces(proven.lab_directory)
    assert len(before) >= 3 * len(KINDS)
    assert proven.playbook("policyproof.ecr.destroy").status == 0
    assert not proven.lab_directory.exists()
    assert str(proven.lab_directory) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    # What remains of a process until its parent asks, its exit status, has no command line.
    process = Path(f"/proc/{lab['pid']}/cmdline")
    assert not process.exists() or process.read_bytes() == b""
    assert namespaces(proven.lab_directory) == set()
    assert before & namespaces() == set()
    assert proven.playbook("policyproof.ecr.destroy").changed.get("localhost", 0) == 0


def namespaces(directory=None):
    """The namespaces of every process; with a directory, of those that name it or have something of it mounted."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if directory and not concerns(process, str(directory)):
                continue
            found |= {os.readlink(process / "ns" / kind) for kind in KINDS}
        except OSError:
            continue
    # This machine's own are in use by whoever names the directory, this test included.
    return found - {os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}


def concerns(process, directory):
    """Whether a process names a directory or has something of it mounted."""
    return (
        directory in (process / "cmdline").read_bytes().decode(errors="replace")
        or directory in (process / "mountinfo").read_text()
    )
