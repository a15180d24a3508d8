# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refusals of the registry, in ECR's words.

Source: OCI Distribution Specification 1.1, "Error codes", for codes and statuses; the texts are those that ECR's
users quote in public issues.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

_STATUS = MappingProxyType(
    {
        "BLOB_UNKNOWN": 404,
        "BLOB_UPLOAD_INVALID": 400,
        "BLOB_UPLOAD_UNKNOWN": 404,
        "DENIED": 403,
        "DIGEST_INVALID": 400,
        "MANIFEST_BLOB_UNKNOWN": 400,
        "MANIFEST_INVALID": 400,
        "MANIFEST_UNKNOWN": 404,
        "NAME_UNKNOWN": 404,
        "SIZE_INVALID": 413,
        "TAG_INVALID": 400,
        "TOOMANYREQUESTS": 429,
        "UNKNOWN": 500,
        "UNSUPPORTED": 405,
    }
)


class Refusal(Exception):
    """A request that is answered with an error.

    :ivar code: one of the specification's codes, or ECR's own
    :ivar status: HTTP status
    :ivar headers: further headers of the answer
    """

    def __init__(
        self, code: str, message: str, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUS[code]
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """The error as JSON, as registries write it."""
        return json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()


def repository_missing(name: str, account: str) -> Refusal:
    """There is no such repository, said to somebody who may know."""
    return Refusal(
        "NAME_UNKNOWN", f"The repository with name '{name}' does not exist in the registry with id '{account}'"
    )


def tag_taken(tag: str, repository: str) -> Refusal:
    """The tag is another image's, and the repository's tags are immutable."""
    return Refusal(
        "TAG_INVALID",
        f"The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten "
        "because the repository is immutable.",
    )


def token_expired() -> Refusal:
    """The token's twelve hours are over."""
    return Refusal("DENIED", "Your authorization token has expired. Reauthenticate and try again.")
