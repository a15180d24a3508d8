# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names as ECR takes them: repositories, tags, digests, registries.

Sources: ECR API reference, ``CreateRepository`` (repositoryName) and ``PutImage`` (imageTag); OCI Distribution
Specification 1.1 (reference grammar); "Amazon ECR endpoints and quotas" (registry host names).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPOSITORY = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_ECR_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]+)\."
    r"(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn|[a-z0-9.-]+\.gov|[a-z0-9.-]+\.eu)\Z"
)

REPOSITORY_NAME_LENGTH = (2, 256)
"""Shortest and longest repository name, in characters."""


class InvalidName(ValueError):
    """A name that ECR would refuse; its text is a sentence that names the value and the remedy."""


@dataclass(frozen=True)
class Repository:
    """A repository as image names write it.

    :ivar registry: host, with port if one was given
    :ivar name: repository name, which may contain slashes
    :ivar account: twelve digits, or None when the host is not ECR's
    :ivar region: the region, or None when the host is not ECR's
    """

    registry: str
    name: str
    account: str | None
    region: str | None

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"

    @property
    def host(self) -> str:
        """The registry's host name without port."""
        return self.registry.partition(":")[0]

    @property
    def port(self) -> int:
        """The registry's TCP port."""
        return int(self.registry.partition(":")[2] or 443)


def repository_name_fault(name: str) -> str | None:
    """A sentence that says why ECR would refuse this repository name, or None if it would not."""
    shortest, longest = REPOSITORY_NAME_LENGTH
    if not shortest <= len(name) <= longest:
        return (
            f"Repository name {name!r} has {len(name)} characters; ECR takes {shortest} to {longest}: "
            "choose a name of that length."
        )
    if not _REPOSITORY.match(name):
        return (
            f"Repository name {name!r} is not one that ECR takes: use lower-case letters and digits, "
            "separated by single '.', '_', '-' or '/'."
        )
    return None


def tag_fault(tag: str) -> str | None:
    """A sentence that says why a registry would refuse this tag, or None if it would not."""
    if _TAG.match(tag):
        return None
    return (
        f"Tag {tag!r} is not one that a registry takes: use up to 128 letters, digits, '_', '.' and '-', "
        "not beginning with '.' or '-'."
    )


def is_digest(reference: str) -> bool:
    """Whether this is a SHA-256 digest as registries write it, ``sha256:`` and 64 lower-case hexadecimal digits."""
    return bool(_DIGEST.match(reference))


def reference_fault(reference: str) -> str | None:
    """A sentence that says why this is neither a tag nor a digest, or None if it is one."""
    if is_digest(reference):
        return None
    if reference.startswith("sha256:"):
        return f"Digest {reference!r} is not sha256: and 64 lower-case hexadecimal digits: copy it whole."
    return tag_fault(reference)


def parse_repository(uri: str) -> Repository:
    """Take a repository URI, ``host[:port]/name``, apart.

    :raises InvalidName: if it is no such URI, or its name is one that ECR would refuse
    """
    registry, slash, name = uri.partition("/")
    host, colon, port = registry.partition(":")
    looks_like_host = "." in host or bool(colon) or host == "localhost"
    if not slash or not looks_like_host or not _HOST.match(host) or (colon and not _is_port(port)):
        raise InvalidName(
            f"Repository {uri!r} is not a repository URI: give host[:port]/name, "
            "such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/app."
        )
    fault = repository_name_fault(name)
    if fault:
        raise InvalidName(fault)
    ecr = _ECR_HOST.match(host)
    return Repository(registry, name, ecr.group("account") if ecr else None, ecr.group("region") if ecr else None)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536
