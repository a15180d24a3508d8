# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto's ECR does not do: take only sound policies, keep layers, describe images rightly, ask who calls.

Each fix is one function, and has a test that fails the day moto needs it no longer.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ecr.exceptions import ImageAlreadyExistsException, InvalidParameterException
from moto.ecr.models import ECRBackend, Image, Repository

from ..plugins.module_utils.iam.evaluation import InvalidPolicy, PolicySet
from .callers import Caller
from .ecr_repositories import RepositoryResource, judge
from .registry import images
from .registry.blobs import Blobs

LONGEST_POLICY = 10_240
"""Characters of a repository policy ("Amazon ECR service quotas")."""

_ACTING_FOR: ContextVar[Caller | None] = ContextVar("acting_for", default=None)


class EcrFault(ServiceException):
    """An error of the ECR API: its code, then its message."""


class AccessDenied(EcrFault):
    """An API action that another service was not allowed to do in its caller's name."""

    code = "AccessDeniedException"


# moto reads the name of the service out of that of the module.
EcrFault.__module__ = AccessDenied.__module__ = "lab.ecr.exceptions"


@contextlib.contextmanager
def acting_for(caller: Caller | None) -> Iterator[None]:
    """Judge what moto's other services do to ECR, in this thread, as done by ``caller``."""
    token = _ACTING_FOR.set(caller)
    try:
        yield
    finally:
        _ACTING_FOR.reset(token)


def close_gaps(blobs: Blobs) -> None:
    """Close the gaps in this process, once, before the server starts."""
    refuse_unsound_policies()
    keep_layers(blobs)
    tell_image_sizes()
    put_images_as_ecr_does()
    delete_images_one_request_at_a_time()
    judge_other_services()


def refuse_unsound_policies() -> None:
    """moto takes policies that ECR would not, and some that it takes nobody could judge."""
    original = ECRBackend.set_repository_policy

    @functools.wraps(original)
    def set_repository_policy(
        self: ECRBackend, registry_id: str, repository_name: str, policy_text: str
    ) -> dict[str, Any]:
        fault = policy_fault(policy_text)
        if fault:
            raise InvalidParameterException(
                "Invalid parameter at 'PolicyText' failed to satisfy constraint: "
                f"'Invalid repository policy provided': {fault}"
            )
        answer: dict[str, Any] = original(self, registry_id, repository_name, policy_text)
        return answer

    ECRBackend.set_repository_policy = set_repository_policy


def policy_fault(text: str) -> str | None:
    """What is wrong with the text of a repository policy; None if nothing is."""
    if len(text) > LONGEST_POLICY:
        return f"it has {len(text)} characters, and ECR takes {LONGEST_POLICY}"
    try:
        PolicySet(resource=text)
    except InvalidPolicy as fault:
        return str(fault)
    return None


def keep_layers(blobs: Blobs) -> None:
    """moto forgets the bytes of layers that come through the API; here the registry serves them."""
    original = ECRBackend.complete_layer_upload

    @functools.wraps(original)
    def complete_layer_upload(
        self: ECRBackend,
        repository_name: str,
        upload_id: str,
        layer_digests: list[str],
        registry_id: str | None = None,
    ) -> dict[str, Any]:
        repository = self._get_repository(repository_name, registry_id)
        upload = repository.uploads.get(upload_id)
        content = bytes(upload.layer_parts) if upload else b""
        digest = blobs.add(content)
        if upload and layer_digests and digest not in layer_digests:
            raise EcrFault(
                "InvalidLayerException",
                f"Layer digest '{layer_digests[0]}' does not match the digest of the layer, '{digest}'",
            )
        answer: dict[str, Any] = original(self, repository_name, upload_id, layer_digests, registry_id)
        return answer

    ECRBackend.complete_layer_upload = complete_layer_upload


def tell_image_sizes() -> None:
    """moto gives the size of an image's config as the image's."""

    def get_image_size_in_bytes(self: Image) -> int | None:
        return images.size_of(self.image_manifest)

    Image.get_image_size_in_bytes = get_image_size_in_bytes


def put_images_as_ecr_does() -> None:
    """moto loses an image whose tag moves on, and takes manifests whose layers are not there."""

    def put_image(
        self: ECRBackend,
        repository_name: str,
        image_manifest: str,
        image_tag: str | None,
        image_manifest_mediatype: str | None = None,
        digest: str | None = None,
    ) -> Image:
        repository = self._get_repository(repository_name)
        if digest and digest != images.digest_of(image_manifest):
            raise EcrFault(
                "ImageDigestDoesNotMatchException",
                f"The specified digest '{digest}' does not match the digest of the image, "
                f"'{images.digest_of(image_manifest)}'",
            )
        known = images.find(repository, images.digest_of(image_manifest))
        if known is not None and (image_tag is None or image_tag in known.image_tags):
            raise ImageAlreadyExistsException(
                repository_name, repository.registry_id, known.get_image_digest(), str(image_tag or "null")
            )
        try:
            return images.put(repository, image_manifest, image_tag, image_manifest_mediatype)
        except images.ImageRefused as refused:
            raise EcrFault(refused.code, refused.message) from refused

    ECRBackend.put_image = put_image


def delete_images_one_request_at_a_time() -> None:
    """moto deletes by position in a list that other threads are changing: perhaps somebody else's image."""
    original = ECRBackend.batch_delete_image

    @functools.wraps(original)
    def batch_delete_image(self: ECRBackend, *arguments: Any, **named: Any) -> dict[str, Any]:
        with images.changing:
            answer: dict[str, Any] = original(self, *arguments, **named)
            return answer

    ECRBackend.batch_delete_image = batch_delete_image


def judge_other_services() -> None:
    """moto's CloudFormation may do everything; AWS's may do what its caller may."""
    for name in (
        "create_repository",
        "delete_lifecycle_policy",
        "delete_repository",
        "delete_repository_policy",
        "put_image_scanning_configuration",
        "put_image_tag_mutability",
        "put_lifecycle_policy",
        "set_repository_policy",
    ):
        setattr(ECRBackend, name, _judged(name, getattr(ECRBackend, name)))
    Repository.update = _judged_update(Repository.update)


def _judged(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    action = "ecr:" + "".join(word.title() for word in name.split("_"))

    @functools.wraps(original)
    def method(self: ECRBackend, *arguments: Any, **named: Any) -> Any:
        repository = _repository_name(original, arguments, named)
        _check(self, action, repository)
        return original(self, *arguments, **named)

    return method


def _judged_update(original: Callable[..., None]) -> Callable[..., None]:
    """A stack's update goes straight to the repository, even where it changes nothing, which AWS's does not."""
    from moto.ecr.models import RepositoryUpdateProperty, ecr_backends

    scanning = RepositoryUpdateProperty.IMAGE_SCANNING_CONFIGURATION

    @functools.wraps(original)
    def update(self: Repository, property_type: str, **values: Any) -> None:
        before = (self.image_scanning_configuration, self.image_tag_mutability)
        original(self, property_type, **values)
        if before == (self.image_scanning_configuration, self.image_tag_mutability):
            return
        action = "ecr:PutImageScanningConfiguration" if property_type == scanning else "ecr:PutImageTagMutability"
        try:
            _check(ecr_backends[self.account_id][self.region_name], action, self.name)
        except AccessDenied:
            self.image_scanning_configuration, self.image_tag_mutability = before
            raise

    return update


def _check(backend: ECRBackend, action: str, repository: str) -> None:
    """Raises AccessDenied with AWS's sentence."""
    caller = _ACTING_FOR.get()
    if caller is None:
        return
    decision = judge(caller, action, RepositoryResource.named(backend, repository))
    if decision.effect != "allow":
        raise AccessDenied(str(decision))


def _repository_name(original: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
    if "repository_name" in named:
        return str(named["repository_name"])
    parameters = original.__code__.co_varnames[1 : original.__code__.co_argcount]
    return str(arguments[parameters.index("repository_name")])
