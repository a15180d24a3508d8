# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ECR API: tokens, signatures, images and layers that go through it, and stacks that act in somebody's name."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from ansible_collections.policyproof.ecr.lab.registry import images
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ReadTimeoutError

if TYPE_CHECKING:
    from .conftest import LabOfEcr

REPOSITORY = "fa-085"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_tokens_are_the_caller_s_own_and_last_twelve_hours(lab: LabOfEcr) -> None:
    one, two = (lab.client("ecr").get_authorization_token()["authorizationData"][0] for _turn in range(2))
    assert one["authorizationToken"] != two["authorizationToken"]
    assert one["proxyEndpoint"] == f"https://{lab.settings.registry_host}"
    left = one["expiresAt"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(hours=11, minutes=59) < left <= datetime.timedelta(hours=12)
    assert base64.b64decode(one["authorizationToken"]).startswith(b"AWS:")


def test_layers_and_images_go_through_the_api_too(lab: LabOfEcr) -> None:
    ecr, registry = lab.client("ecr"), lab.registry()
    layer = b"through the API"
    digest = "sha256:" + hashlib.sha256(layer).hexdigest()
    upload = ecr.initiate_layer_upload(repositoryName=REPOSITORY)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=REPOSITORY, uploadId=upload, partFirstByte=0, partLastByte=len(layer) - 1, layerPartBlob=layer
    )
    ecr.complete_layer_upload(repositoryName=REPOSITORY, uploadId=upload, layerDigests=[digest])
    assert registry("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}").status == 200
    url = ecr.get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=digest)["downloadUrl"]
    assert lab.anonymous()("GET", url).content == layer
    config = registry.upload(b"{}")
    layers = ecr.batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=[config])["layers"]
    assert layers[0]["layerAvailability"] == "AVAILABLE"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"digest": config, "size": 2},
            "layers": [{"digest": digest, "size": len(layer)}],
        }
    )
    image = ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag="api")["image"]
    assert image["imageId"]["imageDigest"] == "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/api").content == manifest.encode()
    with pytest.raises(ClientError) as again:
        ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag="api")
    assert code_of(again) == "ImageAlreadyExistsException"
    with pytest.raises(ClientError) as missing:
        ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest.replace(digest, "sha256:" + "0" * 64))
    assert code_of(missing) == "LayersNotFoundException"
    ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    with pytest.raises(ClientError) as taken:
        ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest + " ", imageTag="api")
    assert code_of(taken) == "ImageTagAlreadyExistsException"


def test_a_layer_that_is_not_what_it_says_is_refused(lab: LabOfEcr) -> None:
    ecr = lab.client("ecr")
    upload = ecr.initiate_layer_upload(repositoryName=REPOSITORY)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=REPOSITORY, uploadId=upload, partFirstByte=0, partLastByte=0, layerPartBlob=b"x"
    )
    with pytest.raises(ClientError) as refused:
        ecr.complete_layer_upload(repositoryName=REPOSITORY, uploadId=upload, layerDigests=["sha256:" + "0" * 64])
    assert code_of(refused) == "InvalidLayerException"


def test_download_urls_of_what_is_not_there(lab: LabOfEcr) -> None:
    ecr = lab.client("ecr")
    for repository, code in ((REPOSITORY, "LayersNotFoundException"), ("none", "RepositoryNotFoundException")):
        with pytest.raises(ClientError) as missing:
            ecr.get_download_url_for_layer(repositoryName=repository, layerDigest="sha256:" + "0" * 64)
        assert code_of(missing) == code


def test_images_are_deleted_through_the_api(lab: LabOfEcr) -> None:
    registry, ecr = lab.registry(), lab.client("ecr")
    registry.push("probe-1", b"one")
    registry.push("probe-2", b"two")
    gone = ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "probe-1"}])
    assert gone["failures"] == []
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/probe-1").status == 404
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/probe-2").status == 200
    ecr.delete_repository(repositoryName=REPOSITORY, force=True)
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/probe-2").error[0] == "NAME_UNKNOWN"


def test_nothing_is_deleted_while_somebody_changes_the_images(lab: LabOfEcr) -> None:
    lab.registry().push("probe-1")
    impatient = lab.client("ecr", patience=0.3)
    with images.changing, pytest.raises(ReadTimeoutError):
        impatient.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "probe-1"}])


# Signatures


def _strange(lab: LabOfEcr, service: str, **wish: str) -> Any:
    return boto3.client(service, endpoint_url=lab.settings.aws_endpoint, region_name="us-east-1", **wish)


def _call(client: Any) -> Any:
    if hasattr(client, "get_authorization_token"):
        return client.get_authorization_token()
    return client.get_caller_identity()


@pytest.mark.parametrize(
    ("service", "unknown", "mismatch"),
    [
        ("ecr", "UnrecognizedClientException", "InvalidSignatureException"),
        ("sts", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ],
)
def test_only_the_lab_s_own_keys_sign(lab: LabOfEcr, service: str, unknown: str, mismatch: str) -> None:
    credentials = lab.session(lab.role("some"))
    keys = {name: credentials[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    cases = [
        ({"aws_access_key_id": "test", "aws_secret_access_key": "test"}, unknown),
        ({**credentials, "aws_secret_access_key": "forged"}, mismatch),
        ({**credentials, "aws_session_token": "forged"}, unknown),
        (keys, unknown),
    ]
    for wish, code in cases:
        with pytest.raises(ClientError) as refused:
            _call(_strange(lab, service, **wish))
        assert code_of(refused) == code
    assert _call(lab.client(service, credentials))


def test_a_deactivated_key_is_nobody_s(lab: LabOfEcr) -> None:
    iam = lab.client("iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    assert lab.client("sts", ann).get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:user/ann"
    iam.update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError) as refused:
        lab.client("sts", ann).get_caller_identity()
    assert code_of(refused) == "InvalidClientTokenId"


def test_a_session_ends(lab: LabOfEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.sts import models

    credentials = lab.session(lab.role("some"), DurationSeconds=900)
    backend = models.sts_backends["123456789012"]["aws"]
    session = backend.get_assumed_role_from_access_key(credentials["aws_access_key_id"])
    monkeypatch.setattr(session, "expiration", session.expiration - datetime.timedelta(hours=2))
    for service, code in (("ecr", "ExpiredTokenException"), ("sts", "ExpiredToken")):
        with pytest.raises(ClientError) as refused:
            _call(lab.client(service, credentials))
        assert code_of(refused) == code


@pytest.mark.parametrize("header", [None, "Bearer x", "AWS4-HMAC-SHA256 Credential=x"])
def test_unsigned_requests_are_refused(lab: LabOfEcr, header: str | None) -> None:
    request = urllib.request.Request(
        lab.settings.aws_endpoint,
        data=b"{}",
        headers={
            "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            **({"Authorization": header} if header else {}),
        },
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    with refused.value as answer:
        expected = "IncompleteSignatureException" if header else "MissingAuthenticationTokenException"
        assert json.load(answer)["__type"] == expected


def _signed(lab: LabOfEcr, ago: datetime.timedelta, change: bytes = b"") -> tuple[int, dict[str, str]]:
    """Send a request that was signed some time ago, with its body changed after that."""
    keys = lab.session(lab.role("some"))
    request = AWSRequest(
        "POST",
        lab.settings.aws_endpoint + "/",
        {
            "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            "X-Amz-Date": (datetime.datetime.now(datetime.UTC) - ago).strftime("%Y%m%dT%H%M%SZ"),
            "X-Amz-Security-Token": keys["aws_session_token"],
            "Content-Type": "application/x-amz-json-1.1",
        },
        b"{}",
    )
    request.context["timestamp"] = request.headers["X-Amz-Date"]
    credentials = Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"], keys["aws_session_token"])
    auth = SigV4Auth(credentials, "ecr", "us-east-1")
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    auth._inject_signature_to_request(request, signature)
    sent = urllib.request.Request(request.url, b"{}" + change, dict(request.headers.items()))
    try:
        with urllib.request.urlopen(sent, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, None), (4, None), (-4, None), (6, "Signature expired: "), (-6, "Signature not yet current: ")],
)
def test_signatures_are_good_for_five_minutes(lab: LabOfEcr, minutes: int, words: str | None) -> None:
    status, answer = _signed(lab, datetime.timedelta(minutes=minutes))
    if words is None:
        assert status == 200
    else:
        assert status == 400
        assert answer["__type"] == "InvalidSignatureException"
        assert answer["message"].startswith(words)


def test_the_body_is_signed(lab: LabOfEcr) -> None:
    status, answer = _signed(lab, datetime.timedelta(0), b" ")
    assert (status, answer["__type"]) == (400, "InvalidSignatureException")


# Stacks

TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Repository": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": "of-a-stack"}},
    }
}


def _locked_out(lab: LabOfEcr, *exempt: str) -> str:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "*",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [*exempt, "arn:aws:iam::123456789012:role/nobody"]}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_what_a_stack_does_is_judged_as_done_by_its_caller(lab: LabOfEcr) -> None:
    from ansible_collections.policyproof.ecr.lab.ecr_backend import AccessDenied, acting_for
    from ansible_collections.policyproof.ecr.lab.enforcement import Caller
    from moto.ecr.models import ecr_backends

    backend = ecr_backends["123456789012"]["us-east-1"]
    deployer = Caller("123456789012", lab.deployer_arn, lab.deployer_arn)
    backend.set_repository_policy("123456789012", REPOSITORY, _locked_out(lab))
    with acting_for(deployer):
        for call in (
            lambda: backend.set_repository_policy("123456789012", REPOSITORY, _locked_out(lab, lab.deployer_arn)),
            lambda: backend.delete_repository_policy("123456789012", REPOSITORY),
            lambda: backend.delete_repository(REPOSITORY, force=True),
            lambda: backend.repositories[REPOSITORY].update(
                "ImageScanningConfiguration", image_scanning_configuration={"scanOnPush": True}
            ),
        ):
            with pytest.raises(AccessDenied, match="explicit deny in a resource-based policy"):
                call()
        assert backend.repositories[REPOSITORY].image_scanning_configuration == {"scanOnPush": False}
        backend.create_repository("another", None, {}, None, "MUTABLE", [])
    # Outside of a stack moto is asked by nobody but the lab itself.
    backend.delete_repository(REPOSITORY)


def test_a_stack_of_a_caller_without_rights_fails(lab: LabOfEcr) -> None:
    arn = lab.role(
        "stacks-only",
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": ["cloudformation:*"], "Resource": "*"}],
        },
    )
    cloudformation = lab.client("cloudformation", lab.session(arn))
    with pytest.raises(ClientError):
        cloudformation.create_stack(StackName="refused", TemplateBody=json.dumps(TEMPLATE))
    names = [entry["repositoryName"] for entry in lab.client("ecr").describe_repositories()["repositories"]]
    assert names == [REPOSITORY]
    lab.client("cloudformation").create_stack(StackName="allowed", TemplateBody=json.dumps(TEMPLATE))
    names = [entry["repositoryName"] for entry in lab.client("ecr").describe_repositories()["repositories"]]
    assert "of-a-stack" in names
