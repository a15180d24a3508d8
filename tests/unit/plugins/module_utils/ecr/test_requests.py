# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.requests import RegistryRequest, classify
from hypothesis import given
from hypothesis import strategies as st

DIGEST = "sha256:" + "0f" * 32

TABLE = [
    ("GET", "/v2/", "ping", "", ()),
    ("GET", "/v2", "ping", "", ()),
    ("HEAD", "/v2/app/manifests/v1", "manifest", "v1", ("ecr:BatchGetImage",)),
    ("GET", f"/v2/app/manifests/{DIGEST}", "manifest", DIGEST, ("ecr:BatchGetImage",)),
    ("GET", f"/v2/app/manifests/{DIGEST.replace(':', '%3A')}", "manifest", DIGEST, ("ecr:BatchGetImage",)),
    ("PUT", "/v2/app/manifests/v1", "manifest", "v1", ("ecr:PutImage",)),
    ("DELETE", f"/v2/app/manifests/{DIGEST}", "manifest", DIGEST, ("ecr:BatchDeleteImage",)),
    ("HEAD", f"/v2/app/blobs/{DIGEST}", "blob", DIGEST, ("ecr:BatchCheckLayerAvailability",)),
    ("GET", f"/v2/app/blobs/{DIGEST}", "blob", DIGEST, ("ecr:GetDownloadUrlForLayer",)),
    ("POST", "/v2/app/blobs/uploads/", "uploads", "", ("ecr:InitiateLayerUpload",)),
    ("POST", "/v2/app/blobs/uploads", "uploads", "", ("ecr:InitiateLayerUpload",)),
    (
        "POST",
        f"/v2/app/blobs/uploads/?mount={DIGEST}&from=other",
        "uploads",
        "",
        ("ecr:InitiateLayerUpload", "ecr:GetDownloadUrlForLayer"),
    ),
    (
        "POST",
        f"/v2/app/blobs/uploads/?digest={DIGEST}",
        "uploads",
        "",
        ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"),
    ),
    ("PATCH", "/v2/app/blobs/uploads/6f-9=", "upload", "6f-9=", ("ecr:UploadLayerPart",)),
    ("PUT", f"/v2/app/blobs/uploads/6f?digest={DIGEST}", "upload", "6f", ("ecr:CompleteLayerUpload",)),
    ("GET", "/v2/app/tags/list?n=5", "tags", "", ("ecr:ListImages",)),
]


@pytest.mark.parametrize(("method", "target", "kind", "reference", "api_actions"), TABLE)
def test_each_request_needs_its_action(
    method: str, target: str, kind: str, reference: str, api_actions: tuple[str, ...]
) -> None:
    repository = "" if kind == "ping" else "app"
    assert classify(method, target) == RegistryRequest(kind, repository, reference, api_actions)


def test_a_layer_that_comes_with_the_closing_put_is_a_part_too() -> None:
    request = classify("PUT", f"/v2/app/blobs/uploads/6f?digest={DIGEST}", has_body=True)
    assert request is not None and request.api_actions == ("ecr:UploadLayerPart", "ecr:CompleteLayerUpload")


@pytest.mark.parametrize("name", ["a/b/c", "blobs/uploads", "manifests/x1", "v2/app", "tags/list"])
def test_repository_names_may_look_like_routes(name: str) -> None:
    for method, rest, kind in (
        ("GET", "manifests/t1", "manifest"),
        ("GET", f"blobs/{DIGEST}", "blob"),
        ("POST", "blobs/uploads/", "uploads"),
        ("GET", "tags/list", "tags"),
    ):
        request = classify(method, f"/v2/{name}/{rest}")
        assert request is not None and (request.repository, request.kind) == (name, kind)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/v1/app/manifests/x1"),
        ("POST", "/v2/"),
        ("GET", "/v2/App/manifests/v1"),
        ("GET", "/v2/../app/manifests/v1"),
        ("GET", "/v2/app/manifests/.bad"),
        ("GET", "/v2/app/manifests/a%2Fb"),
        ("GET", "/v2/app/blobs/not-a-digest"),
        ("GET", "/v2/app/blobs/uploads/"),
        ("PATCH", "/v2/app/blobs/uploads/..%2Fx"),
        ("BREW", "/v2/app/manifests/v1"),
        ("GET", f"/v2/app/manifests/{DIGEST}/x"),
    ],
)
def test_everything_else_is_no_request_of_the_registry_api(method: str, target: str) -> None:
    assert classify(method, target) is None


@given(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]),
    st.sampled_from(["/v2/", ""]),
    st.text(max_size=60),
)
def test_only_a_ping_ever_needs_nothing(method: str, start: str, tail: str) -> None:
    request = classify(method, start + tail)
    assert request is None or request.kind == "ping" or request.api_actions


@pytest.mark.parametrize("target", ["//[", "*", "http://[::1/v2/"])
def test_targets_that_are_no_path_are_judged_not_choked_on(target: str) -> None:
    assert classify("GET", target) is None
