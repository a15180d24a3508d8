# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why the lab replaces parts of moto's ECR. The day moto does one of these right, its test fails and our fix can go."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto.core.base_backend import BackendDict
from moto.ecr.models import ECRBackend, ecr_backends

ACCOUNT = "123456789012"
LAYER = "sha256:" + "ab" * 32


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[ECRBackend]:
    """moto's ECR as it comes, with one repository."""
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    BackendDict.reset()
    backend = ecr_backends[ACCOUNT]["us-east-1"]
    backend.create_repository("plain", None, {}, None, "MUTABLE", [])
    yield backend
    BackendDict.reset()


def manifest(number: int) -> str:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": LAYER, "size": number},
            "layers": [{"digest": LAYER, "size": 1000}],
        }
    )


def test_takes_policies_that_ecr_would_not(plain: ECRBackend) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "no"}},
    }
    statement["Sid"] = "x" * 10_240
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    assert plain.set_repository_policy(ACCOUNT, "plain", text)["policyText"] == text


def test_forgets_the_bytes_of_layers(plain: ECRBackend) -> None:
    upload = plain.initiate_layer_upload("plain")["uploadId"]
    plain.upload_layer_part("plain", upload, 0, 2, b"abc")
    plain.complete_layer_upload("plain", upload, ["sha256:" + "0" * 64])
    repository = plain.repositories["plain"]
    assert list(repository.layers.values()) == [3]
    assert "abc" not in str(vars(repository))


def test_calls_the_config_s_size_the_image_s(plain: ECRBackend) -> None:
    assert plain.put_image("plain", manifest(7), "v1").image_size_in_bytes == 7


def test_loses_an_image_whose_tag_moves_on_and_takes_images_without_layers(plain: ECRBackend) -> None:
    plain.put_image("plain", manifest(1), "latest")
    plain.put_image("plain", manifest(2), "latest")
    assert [image.image_manifest for image in plain.repositories["plain"].images] == [manifest(2)]
