# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The registry's HTTP API, as clients use it and as they must not."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import LabOfEcr, RegistryClient

REPOSITORY = "fa-085"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
UNKNOWN_DIGEST = "sha256:" + "ab" * 32


def test_asks_for_credentials_as_ecr_does(lab: LabOfEcr) -> None:
    answer = lab.anonymous()("GET", "/v2/")
    host = lab.settings.registry_host
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == f'Basic realm="https://{host}/",service="ecr.amazonaws.com"'
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_takes_the_token_and_keeps_the_connection(lab: LabOfEcr) -> None:
    registry = lab.registry()
    assert [registry("GET", "/v2/").status for _turn in range(3)] == [200, 200, 200]
    assert registry.connections == 1


@pytest.mark.parametrize(
    "authorization",
    ["Basic ", "Basic !!!", "Basic QVdT", "Basic QVdTOndyb25n", "Bearer abc", "Basic dXNlcjpwYXNz", "Basic /////w=="],
)
def test_refuses_what_is_no_token(lab: LabOfEcr, authorization: str) -> None:
    assert lab.anonymous()("GET", "/v2/", Authorization=authorization).status == 401


def test_refuses_a_token_of_yesterday(lab: LabOfEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.policyproof.ecr.lab import tokens

    monkeypatch.setattr(tokens, "LIFETIME", tokens.LIFETIME * 0)
    answer = lab.registry()("GET", "/v2/")
    assert (answer.status, answer.error[0]) == (403, "DENIED")
    assert answer.error[1] == "Your authorization token has expired. Reauthenticate and try again."


def test_pushed_images_are_pulled_and_described(lab: LabOfEcr) -> None:
    registry = lab.registry()
    layer = b"some bytes of a layer" * 100
    manifest = registry.push("v1", layer)
    (described,) = lab.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]
    import hashlib

    digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
    config_size = json.loads(manifest)["config"]["size"]
    assert described["imageDigest"] == digest
    assert described["imageTags"] == ["v1"]
    assert described["imageSizeInBytes"] == len(layer) + config_size
    assert abs(described["imagePushedAt"].timestamp() - time.time()) < 60
    assert described["imageManifestMediaType"] == MANIFEST_TYPE
    for reference in ("v1", digest):
        for method in ("GET", "HEAD"):
            answer = registry(method, f"/v2/{REPOSITORY}/manifests/{reference}")
            assert answer.status == 200
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers["Content-Type"] == MANIFEST_TYPE
            assert int(answer.headers["Content-Length"]) == len(manifest)
            assert answer.content == (manifest if method == "GET" else b"")
    blob = json.loads(manifest)["layers"][0]["digest"]
    head = registry("HEAD", f"/v2/{REPOSITORY}/blobs/{blob}")
    assert (head.status, int(head.headers["Content-Length"]), head.content) == (200, len(layer), b"")
    redirect = registry("GET", f"/v2/{REPOSITORY}/blobs/{blob}")
    assert redirect.status == 307
    assert lab.anonymous()("GET", redirect.headers["Location"]).content == layer
    assert registry("GET", f"/v2/{REPOSITORY}/tags/list").content == b'{"name":"fa-085","tags":["v1"]}'


def test_layer_urls_are_good_for_their_layer_and_their_hour_only(
    lab: LabOfEcr, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.policyproof.ecr.lab.registry import api

    registry, anybody = lab.registry(), lab.anonymous()
    one, other = registry.upload(b"one"), registry.upload(b"other")
    url = registry("GET", f"/v2/{REPOSITORY}/blobs/{one}").headers["Location"]
    assert anybody("GET", url.replace(one, other)).status == 403
    assert anybody("GET", re.sub(r"expires=\d+", "expires=9999999999", url)).status == 403
    assert anybody("GET", url.partition("?")[0]).status == 403
    assert anybody("GET", url).content == b"one"
    monkeypatch.setattr(api, "LAYER_URL_LIFETIME", -1)
    late = registry("GET", f"/v2/{REPOSITORY}/blobs/{one}").headers["Location"]
    assert anybody("GET", late).status == 403


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        ("bytes=2-", 206, b"cdef"),
        ("bytes=1-3", 206, b"bcd"),
        ("bytes=0-99", 206, b"abcdef"),
        ("bytes=6-", 416, None),
        ("lines=1-2", 200, b"abcdef"),
    ],
)
def test_layers_are_served_from_where_a_client_left_off(
    lab: LabOfEcr, wanted: str, status: int, content: bytes | None
) -> None:
    registry = lab.registry()
    url = registry("GET", f"/v2/{REPOSITORY}/blobs/{registry.upload(b'abcdef')}").headers["Location"]
    answer = registry("GET", url, Range=wanted)
    assert answer.status == status
    if content is not None:
        assert answer.content == content


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 200_000], ids=["empty", "one", "many"])
def test_uploads_in_one_piece(lab: LabOfEcr, content: bytes) -> None:
    registry = lab.registry()
    import hashlib

    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    begun = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    assert registry("PUT", f"{begun.headers['Location']}?digest={digest}", content).status == 201
    assert registry("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}").status == 200
    assert registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}", content).status == 201
    url = registry("GET", f"/v2/{REPOSITORY}/blobs/{digest}").headers["Location"]
    assert registry("GET", url).content == content


def test_parts_come_in_order(lab: LabOfEcr) -> None:
    registry = lab.registry()
    location = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    first = registry("PATCH", location, b"abc", Content_Range="0-2")
    assert (first.status, first.headers["Range"]) == (202, "0-2")
    gap = registry("PATCH", location, b"xyz", Content_Range="9-11")
    assert (gap.status, gap.headers["Range"]) == (416, "0-2")
    assert registry("PATCH", location, b"def", Content_Range="3-5").headers["Range"] == "0-5"
    wrong = registry("PUT", f"{location}?digest={UNKNOWN_DIGEST}")
    assert (wrong.status, wrong.error[0]) == (400, "DIGEST_INVALID")
    over = registry("PATCH", location, b"more")
    assert (over.status, over.error[0]) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_refused_body_does_not_become_the_next_request(lab: LabOfEcr) -> None:
    registry = lab.registry()
    refused = registry("PATCH", f"/v2/{REPOSITORY}/blobs/uploads/no-such-upload", b"GET /v2/ HTTP/1.1\r\n\r\n")
    assert refused.status == 404
    assert registry("GET", f"/v2/{REPOSITORY}/tags/list").content == b'{"name":"fa-085","tags":[]}'
    assert registry.connections == 1


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: -5", "Content-Length: five", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked"],
)
def test_a_body_of_unknown_length_is_never_read_as_a_request(lab: LabOfEcr, framing: str) -> None:
    registry = lab.registry()
    location = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    path = location.removeprefix(f"https://{lab.settings.registry_host}")
    context = ssl.create_default_context(cafile=str(lab.ecr.ca_file))
    plain = socket.create_connection(("127.0.0.1", lab.settings.registry_port), timeout=5)
    with context.wrap_socket(plain, server_hostname=lab.settings.registry_name) as sock:
        authorization = f"Authorization: Basic {registry._authorization}"
        head = f"PATCH {path} HTTP/1.1\r\nHost: registry\r\n{authorization}\r\n{framing}\r\n\r\n"
        sock.sendall(f"{head}GET /v2/ HTTP/1.1\r\nHost: registry\r\n{authorization}\r\n\r\n".encode())
        received = b""
        with contextlib.suppress(OSError):
            while part := sock.recv(4096):
                received += part
    assert b"HTTP/1.1 2" not in received
    assert received.count(b"HTTP/1.1") <= 1


def test_an_upload_belongs_to_its_repository(lab: LabOfEcr) -> None:
    lab.client("ecr").create_repository(repositoryName="other")
    registry = lab.registry()
    location = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    assert registry("PATCH", location.replace(REPOSITORY, "other"), b"abc").status == 404
    digest = registry.upload(b"only here")
    assert registry("HEAD", f"/v2/other/blobs/{digest}").status == 404
    assert registry("GET", f"/v2/other/blobs/{digest}").error[0] == "BLOB_UNKNOWN"


@pytest.mark.parametrize(
    "body",
    [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"ffffff\r\nabc", b"3" * 5000, b"-3\r\nabc\r\n"],
    ids=["no number", "longer than it says", "ends early", "endless number", "negative"],
)
def test_broken_chunks_end_the_connection(lab: LabOfEcr, body: bytes) -> None:
    registry = lab.registry()
    location = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    path = location.removeprefix(f"https://{lab.settings.registry_host}")
    context = ssl.create_default_context(cafile=str(lab.ecr.ca_file))
    plain = socket.create_connection(("127.0.0.1", lab.settings.registry_port), timeout=5)
    with context.wrap_socket(plain, server_hostname=lab.settings.registry_name) as sock:
        head = f"PATCH {path} HTTP/1.1\r\nHost: registry\r\nTransfer-Encoding: chunked\r\n"
        sock.sendall(f"{head}Authorization: Basic {registry._authorization}\r\n\r\n".encode() + body)
        socket.socket.shutdown(sock, socket.SHUT_WR)
        received = b""
        with contextlib.suppress(OSError):
            received = sock.recv(4096)
        assert received == b""
    assert registry("GET", "/v2/").status == 200


def test_the_client_is_told_to_go_on_only_when_it_may(lab: LabOfEcr) -> None:
    registry = lab.registry()
    location = registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    path = location.removeprefix(f"https://{lab.settings.registry_host}")
    answers = {}
    for name, target in (("good", path), ("bad", path.rpartition("/")[0] + "/none")):
        context = ssl.create_default_context(cafile=str(lab.ecr.ca_file))
        plain = socket.create_connection(("127.0.0.1", lab.settings.registry_port), timeout=5)
        with context.wrap_socket(plain, server_hostname=lab.settings.registry_name) as sock:
            head = f"PATCH {target} HTTP/1.1\r\nHost: registry\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
            sock.sendall(f"{head}Authorization: Basic {registry._authorization}\r\n\r\n".encode())
            answers[name] = sock.recv(4096).splitlines()[0]
    assert answers == {"good": b"HTTP/1.1 100 Continue", "bad": b"HTTP/1.1 404 Not Found"}


def _put(registry: RegistryClient, reference: str, manifest: Any, media_type: str = MANIFEST_TYPE) -> tuple[int, str]:
    body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    answer = registry("PUT", f"/v2/{REPOSITORY}/manifests/{reference}", body, Content_Type=media_type)
    return answer.status, answer.error[0] if answer.status >= 400 else ""


def test_manifests_must_be_sound(lab: LabOfEcr) -> None:
    registry = lab.registry()
    sound = json.loads(registry.push("v1"))
    assert _put(registry, "v2", b"no json") == (400, "MANIFEST_INVALID")
    assert _put(registry, "v2", b"[]") == (400, "MANIFEST_INVALID")
    assert _put(registry, "v2", b'"\xff"') == (400, "MANIFEST_INVALID")
    assert _put(registry, "v2", sound, "application/json") == (400, "MANIFEST_INVALID")
    oci = "application/vnd.oci.image.manifest.v1+json"
    assert _put(registry, "v2", sound, oci) == (400, "MANIFEST_INVALID")
    assert _put(registry, UNKNOWN_DIGEST, sound) == (400, "DIGEST_INVALID")
    without = {**sound, "layers": [{**sound["layers"][0], "digest": UNKNOWN_DIGEST}]}
    assert _put(registry, "v2", without) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert _put(registry, "v2", {**sound, "layers": [{"size": 1}]}) == (400, "MANIFEST_INVALID")
    assert _put(registry, "v2", b" " * (4 * 1024 * 1024 + 1)) == (413, "SIZE_INVALID")
    assert registry("GET", f"/v2/{REPOSITORY}/tags/list").content == b'{"name":"fa-085","tags":["v1"]}'


def test_a_list_of_images_names_images_that_are_there(lab: LabOfEcr) -> None:
    registry = lab.registry()
    manifest = registry.push("v1")
    import hashlib

    index_type = "application/vnd.oci.image.index.v1+json"
    digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": index_type, "manifests": [{"digest": digest}]}
    assert _put(registry, "all", index, index_type) == (201, "")
    index["manifests"].append({"digest": UNKNOWN_DIGEST})
    assert _put(registry, "more", index, index_type) == (400, "MANIFEST_UNKNOWN")


def test_a_tag_that_moves_leaves_the_image_behind(lab: LabOfEcr) -> None:
    registry, ecr = lab.registry(), lab.client("ecr")
    first, second = registry.push("latest", b"first"), registry.push("latest", b"second")
    described = ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert sorted(image.get("imageTags", []) for image in described) == [[], ["latest"]]
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/latest").content == second
    import hashlib

    digest = "sha256:" + hashlib.sha256(first).hexdigest()
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/{digest}").content == first
    assert _put(registry, "old", first) == (201, "")
    assert ecr.list_images(repositoryName=REPOSITORY, filter={"tagStatus": "UNTAGGED"})["imageIds"] == []


def test_pushing_the_same_again_is_no_error(lab: LabOfEcr) -> None:
    registry = lab.registry()
    manifest = registry.push("v1")
    assert registry.push("v1") == manifest
    assert len(lab.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]) == 1


def test_immutable_tags_stay(lab: LabOfEcr) -> None:
    registry = lab.registry()
    lab.client("ecr").put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    first = registry.push("v1", b"first")
    assert _put(registry, "v1", first) == (201, "")
    layer = registry.upload(b"second")
    other = json.loads(first)
    other["layers"] = [{"size": 6, "digest": layer}]
    answer = registry("PUT", f"/v2/{REPOSITORY}/manifests/v1", json.dumps(other).encode(), Content_Type=MANIFEST_TYPE)
    assert (answer.status, answer.error) == (
        400,
        (
            "TAG_INVALID",
            "The image tag 'v1' already exists in the 'fa-085' repository and cannot be overwritten because the "
            "repository is immutable.",
        ),
    )
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/v1").content == first


def test_immutable_but_for_some_tags(lab: LabOfEcr) -> None:
    registry = lab.registry()
    lab.client("ecr").put_image_tag_mutability(
        repositoryName=REPOSITORY,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
    )
    registry.push("dev-1", b"first")
    registry.push("dev-1", b"second")
    first = json.loads(registry.push("v1", b"first"))
    first["layers"] = []
    assert _put(registry, "v1", first) == (400, "TAG_INVALID")


def test_what_is_not_there(lab: LabOfEcr) -> None:
    registry = lab.registry()
    cases = {
        f"/v2/{REPOSITORY}/manifests/none": "MANIFEST_UNKNOWN",
        f"/v2/{REPOSITORY}/manifests/{UNKNOWN_DIGEST}": "MANIFEST_UNKNOWN",
        f"/v2/{REPOSITORY}/blobs/{UNKNOWN_DIGEST}": "BLOB_UNKNOWN",
        "/v2/nobody/knows/manifests/it": "NAME_UNKNOWN",
        "/v2/_catalog": "UNSUPPORTED",
        "/": "UNSUPPORTED",
    }
    assert {path: registry("GET", path).error[0] for path in cases} == cases
    assert {registry("GET", path).status for path in cases} == {404}
    for target in (f"/v2/{REPOSITORY}/blobs/uploads/some", f"/v2/{REPOSITORY}/blobs/{UNKNOWN_DIGEST}"):
        assert registry("DELETE", target).status == 405
    head = registry("HEAD", f"/v2/{REPOSITORY}/manifests/none")
    assert (head.status, head.content) == (404, b"")
    missing = registry("POST", "/v2/nobody/blobs/uploads/").error
    assert missing == (
        "NAME_UNKNOWN",
        "The repository with name 'nobody' does not exist in the registry with id '123456789012'",
    )


def test_tags_are_listed_page_by_page(lab: LabOfEcr) -> None:
    registry = lab.registry()
    for tag in ("c", "a", "b"):
        registry.push(tag)
    page = registry("GET", f"/v2/{REPOSITORY}/tags/list?n=2")
    assert json.loads(page.content)["tags"] == ["a", "b"]
    target = re.fullmatch(r'<(.*)>; rel="next"', page.headers["Link"])
    assert target
    last = registry("GET", target[1])
    assert (json.loads(last.content)["tags"], "Link" in last.headers) == (["c"], False)


def test_deletes_by_tag_and_by_digest(lab: LabOfEcr) -> None:
    registry = lab.registry()
    manifest = registry.push("v1")
    registry.push("v2")
    assert registry("DELETE", f"/v2/{REPOSITORY}/manifests/v1").status == 202
    assert registry("GET", f"/v2/{REPOSITORY}/manifests/v2").content == manifest
    assert registry("DELETE", f"/v2/{REPOSITORY}/manifests/v2").status == 202
    assert registry("DELETE", f"/v2/{REPOSITORY}/manifests/v2").status == 404
    assert lab.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"] == []


def test_mounts_a_layer_of_another_repository(lab: LabOfEcr) -> None:
    lab.client("ecr").create_repository(repositoryName="other")
    registry = lab.registry()
    digest = registry.upload(b"shared", "other")
    target = f"/v2/{REPOSITORY}/blobs/uploads/?mount={digest}&from="
    assert registry("POST", target + "nobody").status == 202
    assert registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/?mount={UNKNOWN_DIGEST}&from=other").status == 202
    assert registry("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}").status == 404
    mounted = registry("POST", target + "other")
    assert (mounted.status, mounted.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}").status == 200


def test_many_clients_at_once(lab: LabOfEcr) -> None:
    failures: list[BaseException] = []
    password = lab.password()

    def push(number: int) -> None:
        from .conftest import RegistryClient

        try:
            client = RegistryClient(lab, password)
            manifest = client.push(f"t{number}", f"layer {number}".encode() * 50)
            assert client("GET", f"/v2/{REPOSITORY}/manifests/t{number}").content == manifest
            client.close()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(lab.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]) == 16


def test_the_log_names_callers_and_decisions_and_never_a_token(lab: LabOfEcr, caplog: pytest.LogCaptureFixture) -> None:
    registry = lab.registry()
    registry.push("v1")
    blob = registry("GET", f"/v2/{REPOSITORY}/blobs/{registry.upload(b'x')}")
    registry("GET", blob.headers["Location"])
    text = caplog.text
    assert f"{lab.deployer_arn} PUT /v2/fa-085/manifests/v1 ecr:PutImage allow 201" in text
    assert lab.password() not in text
    assert str(registry._authorization) not in text
    assert "signature=" not in text


def test_leaves_no_upload_behind(own_lab: LabOfEcr, tmp_path: Path) -> None:
    registry = own_lab.registry()
    registry("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    assert len(list((tmp_path / "registry" / "uploads").iterdir())) == 1
    own_lab.ecr.stop()
    assert not (tmp_path / "registry" / "uploads").exists()


def test_plain_http_and_silent_clients_disturb_nobody(lab: LabOfEcr) -> None:
    with (
        socket.create_connection(("127.0.0.1", lab.settings.registry_port)) as silent,
        socket.create_connection(("127.0.0.1", lab.settings.registry_port)) as plain,
    ):
        plain.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert lab.registry()("GET", "/v2/").status == 200
        assert silent.fileno() > 0
