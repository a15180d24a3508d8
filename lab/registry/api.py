# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Registry HTTP API V2 over moto's repositories and our blobs: what each request does once it is allowed.

Sources: OCI Distribution Specification 1.1; "Amazon ECR as an OCI registry" for what ECR does of it. Deletion of
blobs, listing of repositories and referrers are not part of it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, quote

from moto.ecr.models import Repository

from ...plugins.module_utils.ecr.names import is_digest
from ...plugins.module_utils.ecr.requests import RegistryRequest
from . import images
from .blobs import Blobs, DigestMismatch, Upload, UploadOver
from .exchange import Exchange
from .misbehaviour import SPOILT
from .refusals import Refusal, tag_taken

LAYER_PATH = "/layers/"
"""Where signed layer URLs lead. ECR's lead to S3."""

LAYER_URL_LIFETIME = 3600
"""Seconds for which a signed layer URL is good."""

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?\Z")

MayMount = Callable[[str], Repository | None]
"""The repository of this name, if there is one and the caller may download its layers."""


class LayerUrls:
    """URLs that let whoever has them download one blob for an hour, as ECR's presigned ones do."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._key = secrets.token_bytes(32)

    def make(self, digest: str) -> str:
        """A URL for this blob."""
        expires = int(time.time()) + LAYER_URL_LIFETIME
        return f"https://{self._host}{LAYER_PATH}{digest}?expires={expires}&signature={self._sign(digest, expires)}"

    def check(self, digest: str, query: str) -> bool:
        """Whether this is the query of a URL of ours for this blob that has not expired."""
        parameters = parse_qs(query)
        expires = parameters.get("expires", [""])[0]
        signature = parameters.get("signature", [""])[0]
        if not (expires.isascii() and expires.isdigit()) or int(expires) < time.time():
            return False
        return hmac.compare_digest(self._sign(digest, int(expires)).encode(), signature.encode())

    def _sign(self, digest: str, expires: int) -> str:
        return hmac.new(self._key, f"{digest} {expires}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class RegistryApi:
    """The API, for callers that are known and allowed.

    :ivar host: host and port of the registry
    """

    host: str
    blobs: Blobs
    layer_urls: LayerUrls

    def serve(self, exchange: Exchange, request: RegistryRequest, repository: Repository, may_mount: MayMount) -> None:
        """Answer one request. Raises Refusal."""
        route = (exchange.method, request.kind)
        if route == ("POST", "uploads"):
            self._begin_upload(exchange, repository, may_mount)
            return
        handler = {
            ("GET", "manifest"): self._get_manifest,
            ("HEAD", "manifest"): self._get_manifest,
            ("PUT", "manifest"): self._put_manifest,
            ("DELETE", "manifest"): self._delete_manifest,
            ("HEAD", "blob"): self._head_blob,
            ("GET", "blob"): self._get_blob,
            ("PATCH", "upload"): self._append_upload,
            ("PUT", "upload"): self._complete_upload,
            ("GET", "tags"): self._list_tags,
        }.get(route)
        if handler is None:
            raise Refusal("UNSUPPORTED", "The operation is unsupported.")
        handler(exchange, request, repository)

    def serve_layer(self, exchange: Exchange) -> None:
        """Answer a signed layer URL: the blob, whole or from some byte on. Raises Refusal."""
        digest = exchange.path.removeprefix(LAYER_PATH)
        if exchange.method not in ("GET", "HEAD"):
            raise Refusal("UNSUPPORTED", "The operation is unsupported.")
        if not is_digest(digest) or not self.layer_urls.check(digest, exchange.query):
            raise Refusal("DENIED", "Request has expired")
        path = self.blobs.path(digest)
        if not path.is_file():
            raise Refusal("BLOB_UNKNOWN", "blob unknown to registry")
        size = path.stat().st_size
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": f'"{digest}"'}
        if exchange.method == "HEAD":
            exchange.answer(200, headers=headers, length=size)
            return
        first, last, status = _byte_range(exchange.header("Range"), size)
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        with path.open("rb") as file:
            if SPOILT in exchange.query:
                exchange.answer(status, _other_bytes(file.read())[first : last + 1], headers)
                return
            file.seek(first)
            exchange.answer_file(status, file, last - first + 1, headers)

    # Manifests

    def _get_manifest(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        image = images.find(repository, request.reference)
        if image is None:
            raise Refusal("MANIFEST_UNKNOWN", "Requested image not found")
        headers = {
            "Content-Type": str(image.image_manifest_media_type),
            "Docker-Content-Digest": image.get_image_digest(),
        }
        exchange.answer(200, image.image_manifest.encode(), headers)

    def _put_manifest(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        content = exchange.whole_body(images.MAXIMUM_SIZE)
        if content is None:
            raise Refusal("SIZE_INVALID", f"A manifest has at most {images.MAXIMUM_SIZE} bytes.")
        try:
            manifest = content.decode()
        except UnicodeDecodeError:
            raise Refusal("MANIFEST_INVALID", "The manifest is not UTF-8.") from None
        by_digest = is_digest(request.reference)
        digest = images.digest_of(manifest)
        if by_digest and digest != request.reference:
            raise Refusal("DIGEST_INVALID", f"The manifest's digest is {digest}, not {request.reference}.")
        media_type = exchange.header("Content-Type").partition(";")[0].strip() or None
        try:
            images.put(repository, manifest, None if by_digest else request.reference, media_type)
        except images.ImageRefused as refused:
            raise _manifest_refusal(refused, request.reference, repository.name) from refused
        location = f"https://{self.host}/v2/{repository.name}/manifests/{digest}"
        exchange.answer(201, headers={"Location": location, "Docker-Content-Digest": digest})

    def _delete_manifest(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        if not images.delete(repository, request.reference):
            raise Refusal("MANIFEST_UNKNOWN", "Requested image not found")
        exchange.answer(202)

    def _list_tags(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        query = parse_qs(exchange.query)
        last = query.get("last", [""])[0]
        rest = [tag for tag in images.tags(repository) if tag > last]
        wanted = query.get("n", ["1000"])[0]
        count = int(wanted) if wanted.isascii() and wanted.isdigit() else 1000
        headers = {"Content-Type": "application/json"}
        if len(rest) > count > 0:
            link = f"/v2/{repository.name}/tags/list?n={count}&last={quote(rest[count - 1])}"
            headers["Link"] = f'<{link}>; rel="next"'
        names = ",".join(f'"{tag}"' for tag in rest[:count])
        exchange.answer(200, f'{{"name":"{repository.name}","tags":[{names}]}}'.encode(), headers)

    # Blobs

    def _has(self, repository: Repository, digest: str) -> bool:
        return digest in repository.layers and self.blobs.has(digest)

    def _head_blob(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        if not self._has(repository, request.reference):
            raise Refusal("BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": request.reference}
        exchange.answer(200, headers=headers, length=repository.layers[request.reference])

    def _get_blob(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        if not self._has(repository, request.reference):
            raise Refusal("BLOB_UNKNOWN", "blob unknown to registry")
        exchange.answer(307, headers={"Location": self.layer_urls.make(request.reference)})

    # Uploads

    def _begin_upload(self, exchange: Exchange, repository: Repository, may_mount: MayMount) -> None:
        query = parse_qs(exchange.query)
        if mounts(exchange.query):
            mounted = query["mount"][0]
            source = may_mount(query.get("from", [""])[0]) if is_digest(mounted) else None
            if source is not None and self._has(source, mounted):
                repository.layers[mounted] = source.layers[mounted]
                exchange.answer(201, headers=self._blob_headers(repository, mounted))
                return
        upload = self.blobs.begin(repository.arn)
        digest = query.get("digest", [""])[0]
        if digest and not mounts(exchange.query):
            with upload.lock:
                upload.append(exchange.body())
                self._complete(upload, digest, repository)
            exchange.answer(201, headers=self._blob_headers(repository, digest))
            return
        exchange.answer(202, headers=self._upload_headers(repository, upload))

    def _append_upload(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        upload = self._upload(request, repository)
        with upload.lock:
            self._check_range(exchange, upload, repository)
            upload.append(exchange.body())
        exchange.answer(202, headers=self._upload_headers(repository, upload))

    def _complete_upload(self, exchange: Exchange, request: RegistryRequest, repository: Repository) -> None:
        upload = self._upload(request, repository)
        digest = parse_qs(exchange.query).get("digest", [""])[0]
        with upload.lock:
            if exchange.has_body:
                self._check_range(exchange, upload, repository)
                upload.append(exchange.body())
            self._complete(upload, digest, repository)
        exchange.answer(201, headers=self._blob_headers(repository, digest))

    def _complete(self, upload: Upload, digest: str, repository: Repository) -> None:
        if not is_digest(digest):
            raise Refusal("DIGEST_INVALID", f"{digest!r} is no SHA-256 digest.")
        try:
            self.blobs.complete(upload, digest)
        except DigestMismatch:
            raise Refusal("DIGEST_INVALID", "The uploaded layer does not have the digest that was given.") from None
        except UploadOver:
            raise Refusal("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry") from None
        repository.layers[digest] = upload.size

    def _upload(self, request: RegistryRequest, repository: Repository) -> Upload:
        upload = self.blobs.upload(request.reference, repository.arn)
        if upload is None:
            raise Refusal("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return upload

    def _check_range(self, exchange: Exchange, upload: Upload, repository: Repository) -> None:
        """Parts come in order, where the client says at all where they belong."""
        match = _CONTENT_RANGE.match(exchange.header("Content-Range"))
        if match and int(match[1]) != upload.size:
            headers = self._upload_headers(repository, upload)
            raise Refusal("BLOB_UPLOAD_INVALID", f"The next byte is {upload.size}.", 416, headers)

    def _upload_headers(self, repository: Repository, upload: Upload) -> dict[str, str]:
        return {
            "Location": f"https://{self.host}/v2/{repository.name}/blobs/uploads/{upload.id}",
            "Docker-Upload-UUID": upload.id,
            "Range": f"0-{max(upload.size - 1, 0)}",
        }

    def _blob_headers(self, repository: Repository, digest: str) -> dict[str, str]:
        location = f"https://{self.host}/v2/{repository.name}/blobs/{digest}"
        return {"Location": location, "Docker-Content-Digest": digest}


def mounts(query: str) -> bool:
    """Whether an upload is begun in the hope that another repository has the layer already."""
    return "mount" in parse_qs(query)


def _byte_range(header: str, size: int) -> tuple[int, int, int]:
    """First and last byte to send, and the status that goes with them. Raises Refusal."""
    match = _RANGE.match(header)
    if not match:
        return 0, size - 1, 200
    first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first > last:
        raise Refusal("BLOB_UNKNOWN", "The requested range is not satisfiable", 416)
    return first, last, 206


def _other_bytes(content: bytes) -> bytes:
    """As many bytes, but not the same."""
    return bytes(byte ^ 1 for byte in content[:1]) + content[1:]


def _manifest_refusal(refused: images.ImageRefused, reference: str, repository: str) -> Refusal:
    """The API's exception as the registry says it."""
    if refused.code == "ImageTagAlreadyExistsException":
        return tag_taken(reference, repository)
    code = {
        "LayersNotFoundException": "MANIFEST_BLOB_UNKNOWN",
        "ReferencedImagesNotFoundException": "MANIFEST_UNKNOWN",
    }.get(refused.code, "MANIFEST_INVALID")
    return Refusal(code, refused.message, 400)
