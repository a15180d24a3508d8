# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests of the Registry HTTP API V2, as the ECR API actions that each of them needs.

Source: OCI Distribution Specification 1.1 for the requests. AWS publishes no table of the actions; this one follows
from the ECR API reference, AWS's example policies and the sources of the clients.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from .names import is_digest, repository_name_fault, tag_fault

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_=.-]+\Z")
_ROUTE = re.compile(
    r"/v2/(?P<repository>.+?)/"
    r"(?:manifests/(?P<manifest>[^/]+)"
    r"|blobs/uploads(?P<uploads>/?)"
    r"|blobs/uploads/(?P<upload>[^/]+)"
    r"|blobs/(?P<blob>[^/]+)"
    r"|tags/(?P<tags>list))\Z"
)

_ACTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", "manifest"): ("ecr:BatchGetImage",),
    ("HEAD", "manifest"): ("ecr:BatchGetImage",),
    ("PUT", "manifest"): ("ecr:PutImage",),
    ("DELETE", "manifest"): ("ecr:BatchDeleteImage",),
    ("HEAD", "blob"): ("ecr:BatchCheckLayerAvailability",),
    ("GET", "blob"): ("ecr:GetDownloadUrlForLayer",),
    ("POST", "uploads"): ("ecr:InitiateLayerUpload",),
    ("PATCH", "upload"): ("ecr:UploadLayerPart",),
    ("PUT", "upload"): ("ecr:CompleteLayerUpload",),
    ("GET", "tags"): ("ecr:ListImages",),
}


@dataclass(frozen=True)
class RegistryRequest:
    """What one HTTP request asks of a registry.

    :ivar kind: ``ping``, ``manifest``, ``blob``, ``uploads`` (begin one), ``upload`` (go on with one) or ``tags``
    :ivar repository: repository name; empty for a ping
    :ivar reference: tag or digest of a manifest, digest of a blob, id of an upload; else empty
    :ivar api_actions: the API actions it needs, in the order in which they are judged; empty for a ping
    """

    kind: str
    repository: str
    reference: str
    api_actions: tuple[str, ...]


def classify(method: str, target: str, has_body: bool = False) -> RegistryRequest | None:
    """Say what a request asks for.

    :arg method: HTTP method, upper case
    :arg target: path, with the query if there is one
    :arg has_body: whether content comes with it. A ``PUT`` that ends an upload may bring the whole layer along, as
        containerd's does; it is then also a part
    :returns: None if this is not a request of the Registry API V2 that ECR serves
    """
    path, _mark, query = target.partition("?")
    if path in ("/v2", "/v2/"):
        return RegistryRequest("ping", "", "", ()) if method in ("GET", "HEAD") else None
    route = _ROUTE.match(path)
    if not route:
        return None
    kind, reference = _kind_and_reference(route)
    repository = route.group("repository")
    actions = _ACTIONS.get((method, kind))
    if actions is None or repository_name_fault(repository) or not _reference_fits(kind, reference):
        return None
    return RegistryRequest(kind, repository, reference, _actions_with_query(kind, actions, query, has_body))


def _actions_with_query(kind: str, actions: tuple[str, ...], query: str, has_body: bool) -> tuple[str, ...]:
    """What mounts and uploads in one piece need beyond their route's own action."""
    asked = parse_qs(query)
    if kind == "uploads" and "mount" in asked:
        return actions + ("ecr:GetDownloadUrlForLayer",)
    if kind == "uploads" and "digest" in asked:
        return actions + ("ecr:UploadLayerPart", "ecr:CompleteLayerUpload")
    if kind == "upload" and "digest" in asked and has_body:
        return ("ecr:UploadLayerPart",) + actions
    return actions


def _kind_and_reference(route: re.Match[str]) -> tuple[str, str]:
    found = [(kind, value) for kind, value in route.groupdict().items() if kind != "repository" and value is not None]
    kind, value = found[0]
    return kind, "" if kind in ("uploads", "tags") else unquote(value)


def _reference_fits(kind: str, reference: str) -> bool:
    if kind == "manifest":
        return is_digest(reference) or tag_fault(reference) is None
    if kind == "blob":
        return is_digest(reference)
    return kind != "upload" or bool(_UPLOAD_ID.match(reference))
