# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images and tags of a repository, kept in moto's ECR backend: pushed here, described there.

moto loses an image whose tag moves on, knows no digest of the manifest's bytes and no size; these functions are right
about all three, and both the registry and ``ecr:PutImage`` go through them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import threading
import time
from typing import Any

from moto.ecr.models import Image, Repository, RepoTagMutability

MEDIA_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
"""Media types of manifests that ECR takes from every client of today; Docker's schema 1 is not among them."""

MAXIMUM_SIZE = 4 * 1024 * 1024
"""Longest manifest, in bytes; what the OCI specification asks registries to take."""

changing = threading.RLock()
"""Held by whoever looks at, or changes, the images of any repository."""


class ImageRefused(Exception):
    """An image that cannot be put into the repository.

    :ivar code: name of the ECR API's exception
    :ivar message: a sentence
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def digest_of(manifest: str) -> str:
    """Digest of a manifest, which is that of its bytes exactly as pushed."""
    return "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()


def size_of(manifest: str) -> int | None:
    """Bytes of an image, its config and its layers as they are stored; None for a list of images."""
    document = json.loads(manifest)
    if "layers" not in document:
        return None
    return sum(int(part.get("size", 0)) for part in [document.get("config", {}), *document["layers"]])


def find(repository: Repository, reference: str) -> Image | None:
    """An image by its tag or its digest."""
    with changing:
        for image in repository.images:
            if reference in image.image_tags or image.get_image_digest() == reference:
                return image
    return None


def tags(repository: Repository) -> list[str]:
    """Every tag, sorted."""
    with changing:
        return sorted(tag for image in repository.images for tag in image.image_tags)


def put(repository: Repository, manifest: str, tag: str | None, media_type: str | None) -> Image:
    """Put an image into a repository, or give one that is there another tag.

    A tag that was another image's moves, unless it is immutable; the other image stays, without it.

    :raises ImageRefused: for a manifest that is none, that names what the repository has not, or a tag that is taken
    """
    document = _document(manifest)
    media_type = media_type or document.get("mediaType")
    if media_type not in MEDIA_TYPES or document.get("mediaType", media_type) != media_type:
        raise ImageRefused("InvalidParameterException", f"Manifest media type {media_type} is not supported.")
    digest = digest_of(manifest)
    with changing:
        _check_parts(repository, document)
        image = find(repository, digest)
        holder = find(repository, tag) if tag else None
        if holder is not None and holder is not image:
            if immutable(repository, str(tag)):
                raise ImageRefused(
                    "ImageTagAlreadyExistsException",
                    f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be "
                    "overwritten because the repository is immutable.",
                )
            _untag(holder, str(tag))
        if image is None:
            image = Image(repository.account_id, tag, manifest, repository.name, media_type, digest)
            repository.images.append(image)
        elif tag and tag not in image.image_tags:
            image.update_tag(tag)
            image.image_pushed_at = int(time.time())
        return image


def immutable(repository: Repository, tag: str) -> bool:
    """Whether this tag, once given, stays where it is."""
    filters = repository.image_tag_mutability_exclusion_filters or []
    excluded = any(fnmatch.fnmatchcase(tag, entry["filter"]) for entry in filters)
    if excluded:
        return bool(repository.image_tag_mutability == RepoTagMutability.MUTABLE_WITH_EXCLUSION)
    return bool(repository.is_tag_immutable())


def delete(repository: Repository, reference: str) -> bool:
    """Delete an image by its digest, or take a tag away; an image without tags goes with its last one."""
    with changing:
        image = find(repository, reference)
        if image is None:
            return False
        _untag(image, reference)
        if not image.image_tags or reference.startswith("sha256:"):
            repository.images.remove(image)
        return True


def _untag(image: Image, tag: str) -> None:
    image.remove_tag(tag)
    if not image.image_tags:
        image.image_tag = None  # which moto leaves as it was


def _document(manifest: str) -> dict[str, Any]:
    try:
        document = json.loads(manifest)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ImageRefused(
            "InvalidParameterException",
            "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'",
        )
    return document


def _check_parts(repository: Repository, document: dict[str, Any]) -> None:
    """See that all that a manifest names is there, as registries do before they take it."""
    try:
        blobs = [part["digest"] for part in _blobs(document)]
        images = [part["digest"] for part in document.get("manifests", [])]
    except (KeyError, TypeError, AttributeError):
        raise ImageRefused("InvalidParameterException", "The manifest has a part without a digest.") from None
    missing = [digest for digest in blobs if digest not in repository.layers]
    if missing:
        raise ImageRefused(
            "LayersNotFoundException",
            f"Layers with digests '{missing}' required for pushing image into repository with name "
            f"'{repository.name}' in the registry with id '{repository.registry_id}' do not exist",
        )
    unknown = [digest for digest in images if find(repository, digest) is None]
    if unknown:
        raise ImageRefused(
            "ReferencedImagesNotFoundException",
            f"Images with digests '{unknown}' required for pushing image into repository with name "
            f"'{repository.name}' in the registry with id '{repository.registry_id}' do not exist",
        )


def _blobs(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Config and layers; not layers that lie elsewhere, which their ``urls`` say."""
    if "layers" not in document and "config" not in document:
        return []
    return [document["config"], *(layer for layer in document.get("layers", []) if not layer.get("urls"))]
