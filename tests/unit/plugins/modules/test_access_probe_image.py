# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""access_probe_image removes the images of attempts and nobody else's."""

from __future__ import annotations

import json

import boto3
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.policyproof.ecr.plugins.modules import access_probe_image
from moto import mock_aws

REPOSITORY = "fa-085"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def ecr(monkeypatch):
    """A repository with two images of attempts and one of somebody else."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with mock_aws():
        client = boto3.client("ecr", "us-east-1")
        client.create_repository(repositoryName=REPOSITORY)
        for tag in ("probe-1", "probe-2", "release"):
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": f"sha256:{tag}"}, "layers": []}
            client.put_image(repositoryName=REPOSITORY, imageManifest=json.dumps(manifest), imageTag=tag)
        yield client


@pytest.fixture
def module(ecr, capsys):
    """Run the module; its result."""

    def run(check_mode=False, **arguments):
        given = {"repository": REPOSITORY, "region": "us-east-1", **arguments, "_ansible_check_mode": check_mode}
        with patch_module_args(given), pytest.raises(SystemExit):
            access_probe_image.main()
        return json.loads(capsys.readouterr().out)

    return run


def tags(ecr):
    return {image["imageTag"] for image in ecr.list_images(repositoryName=REPOSITORY)["imageIds"]}


@pytest.mark.parametrize("repository", [REPOSITORY, f"123456789012.dkr.ecr.us-east-1.amazonaws.com:4443/{REPOSITORY}"])
def test_removes_and_then_changes_nothing(module, ecr, repository):
    result = module(repository=repository, tags=["probe-1", "probe-9"])
    assert (result["changed"], result["removed"]) == (True, ["probe-1"])
    assert result["diff"] == {"before": {"tags": ["probe-1"]}, "after": {"tags": []}}
    assert tags(ecr) == {"probe-2", "release"}
    assert module(repository=repository, tags=["probe-1"])["changed"] is False


def test_check_mode_says_and_does_not(module, ecr):
    assert module(check_mode=True, tags=["probe-1", "probe-2"])["removed"] == ["probe-1", "probe-2"]
    assert tags(ecr) == {"probe-1", "probe-2", "release"}


def test_other_peoples_tags_are_refused(module, ecr):
    result = module(tags=["probe-1", "release"])
    assert result["failed"]
    assert "'release'" in result["msg"]
    assert tags(ecr) == {"probe-1", "probe-2", "release"}


def test_a_missing_repository_is_a_failure_but_no_denial(module):
    result = module(repository="missing", tags=["probe-1"])
    assert result["failed"]
    assert result["denied"] is False
    assert "missing" in result["msg"]


@pytest.mark.parametrize(
    ("given", "name"), [("a/b", "a/b"), ("host.example/a/b", "a/b"), ("localhost:5000/a", "a"), ("a", "a")]
)
def test_repository_name(given, name):
    assert access_probe_image.repository_name(given) == name


def test_batches_are_of_a_calls_size():
    assert [len(batch) for batch in access_probe_image.batches([f"probe-{number}" for number in range(205)])] == [
        100,
        100,
        5,
    ]
