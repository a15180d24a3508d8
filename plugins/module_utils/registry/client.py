# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A push and a pull over the Registry HTTP API V2, and what a registry's answers mean.

Sources: OCI Distribution Specification 1.1; the order of the requests is that of Docker Engine's classic image store.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from dataclasses import dataclass
from typing import Mapping, Sequence
from urllib.parse import quote, urljoin, urlsplit

from ..ecr.denials import parse_denial
from ..ecr.names import is_digest
from ..ecr.requests import classify
from ..probe.faults import Fault, Refused, SilentlyRefused
from .image import MANIFEST_TYPE, ProbeImage, digest_of
from .transport import Answer, Transport

_MANIFEST_TYPES = (
    MANIFEST_TYPE,
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_REDIRECTS = 5
_LAYER_LIMIT = 1 << 20
"""Bytes of a layer that are read to prove that it may be: the probe is not there to fetch somebody's large image."""

_TOO_LARGE = ("SIZE_INVALID", "BLOB_UPLOAD_INVALID_SIZE", "LAYER_TOO_LARGE")


@dataclass(frozen=True)
class Login:
    """User and password of a registry; never shown."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Login(…)"

    @property
    def header(self) -> str:
        """Value of the header ``Authorization``."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Pulled:
    """What a pull brought.

    :ivar digest: digest of the manifest, or None when there is no such image
    :ivar completed: False when there is no such image: the caller may read manifests, and no more is known
    """

    digest: str | None
    completed: bool


class Registry:
    """One repository in one registry, as one caller.

    Every method raises `Refused` when the service says no, `SilentlyRefused` when it says so without a reason to a
    request whose answers have none, and `Fault` for everything else.
    """

    def __init__(self, registry: str, name: str, login: Login, transport: Transport, scheme: str = "https") -> None:
        """:arg registry: host, with port if it is not the scheme's own
        :arg name: repository name
        """
        self.host = registry
        self.transport = transport
        self._name = name
        self._login = login
        self._base = f"{scheme}://{registry}/v2/"
        self._here = f"{self._base}{name}/"

    def push(self, image: ProbeImage, tag: str) -> str:
        """Push an image whole.

        :returns: digest of the manifest
        """
        for content in (image.layer, image.config):
            digest = digest_of(content)
            upload = self._go_on(self._begin(), content)
            answer = self._ask("PUT", _with_digest(upload, digest), expected=(201,))
            self._same_digest(answer, digest)
            self._ask("HEAD", f"{self._here}blobs/{digest}", expected=(200,))
        answer = self._ask(
            "PUT", self._manifest_url(tag), image.manifest, {"Content-Type": MANIFEST_TYPE}, expected=(201,)
        )
        self._same_digest(answer, image.digest)
        return image.digest

    def pull(self, reference: str) -> Pulled:
        """Pull the manifest, the configuration, and the smallest layer as far as it is small.

        :arg reference: tag or digest
        """
        answer = self._manifest(reference)
        if answer is None:
            return Pulled(None, False)
        digest = digest_of(answer.body)
        manifest = self._json(answer)
        if "manifests" in manifest:
            chosen = self._manifest(_first_digest(manifest["manifests"], self.host))
            if chosen is None:
                raise Fault("garbled_answer", host=self.host)
            manifest = self._json(chosen)
        layers = manifest.get("layers")
        smallest = sorted(layers, key=_size)[:1] if isinstance(layers, list) else []
        for blob in [manifest.get("config"), *smallest]:
            self._read_blob(_first_digest([blob], self.host))
        return Pulled(digest, True)

    def ping(self) -> None:
        """See whether the registry takes the login."""
        self._ask("GET", self._base, expected=(200,))

    def resolve(self, reference: str) -> Pulled:
        """The digest of an image, nothing of it downloaded but its manifest."""
        answer = self._manifest(reference)
        return Pulled(digest_of(answer.body) if answer else None, False)

    def ask_push(self, tag: str, order: Sequence[str]) -> None:
        """Find out what stops a push: make each kind of its requests in turn, so that nothing can come of it.

        The service judges a request before it looks at what is in it. So an upload is begun but ended with a wrong
        digest, the layer asked for is none, and the manifest names what is not there.

        :arg order: kinds of requests in the client's order: ``read`` (of the manifest), ``blob``, ``uploads``,
            ``upload``, ``manifest``
        """
        nothing = digest_of(os.urandom(16))
        upload = ""
        for kind in order:
            if kind == "read":
                self._manifest(tag)
            elif kind == "blob":
                self._ask("HEAD", f"{self._here}blobs/{nothing}", expected=(404,))
            elif kind == "uploads":
                upload = self._begin()
            elif kind == "upload":
                upload = self._go_on(upload, os.urandom(16))
                self._ask("PUT", _with_digest(upload, nothing), expected=(400, 404, 405))
            else:
                manifest = ProbeImage().manifest
                headers = {"Content-Type": MANIFEST_TYPE}
                self._ask("PUT", self._manifest_url(tag), manifest, headers, expected=(400, 404))

    def _begin(self) -> str:
        answer = self._ask("POST", f"{self._here}blobs/uploads/", expected=(202,))
        return self._location(answer, f"{self._here}blobs/uploads/")

    def _go_on(self, upload: str, content: bytes) -> str:
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"0-{len(content) - 1}"}
        return self._location(self._ask("PATCH", upload, content, headers, expected=(202,)), upload)

    def _location(self, answer: Answer, asked: str) -> str:
        location = answer.headers.get("location")
        if not location:
            raise Fault("garbled_answer", host=answer.host)
        return urljoin(asked, location)

    def _manifest_url(self, reference: str) -> str:
        return f"{self._here}manifests/{quote(reference, safe=':')}"

    def _manifest(self, reference: str) -> Answer | None:
        headers = {"Accept": ", ".join(_MANIFEST_TYPES)}
        answer = self._ask("GET", self._manifest_url(reference), headers=headers, expected=(200, 404))
        if answer.status == 404:
            return None
        expected = reference if is_digest(reference) else answer.headers.get("docker-content-digest")
        if expected and digest_of(answer.body) != expected:
            self._json(answer)  # what is not even JSON was cut short
            raise Fault("digest_mismatch", host=self.host)
        return answer

    def _read_blob(self, digest: str) -> None:
        url = f"{self._here}blobs/{digest}"
        seen: set[str] = set()
        while len(seen) < _REDIRECTS and url not in seen:
            seen.add(url)
            answer = self._ask("GET", url, expected=(200, 301, 302, 303, 307, 308), limit=_LAYER_LIMIT)
            if answer.status == 200:
                if answer.whole and digest_of(answer.body) != digest:
                    raise Fault("digest_mismatch", host=answer.host)
                return
            url = self._location(answer, url)
        raise Fault("redirect_loop", host=self.host)

    def _ask(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (),
        limit: int = 1 << 22,
    ) -> Answer:
        """One request; the login goes to the registry and to nobody else."""
        ours = urlsplit(url).netloc == self.host and url.startswith(self._base)
        login = {"Authorization": self._login.header} if ours else {}
        answer = self.transport.exchange(method, url, {**login, **(headers or {})}, body, limit)
        path = urlsplit(url).path
        judge(answer, method, path, expected, bool(body))
        return answer

    def _same_digest(self, answer: Answer, digest: str) -> None:
        if answer.headers.get("docker-content-digest", digest) != digest:
            raise Fault("digest_mismatch", host=self.host)

    def _json(self, answer: Answer) -> dict[str, object]:
        try:
            value = json.loads(answer.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Fault("garbled_answer", host=self.host)
        return value


def judge(answer: Answer, method: str, path: str, expected: tuple[int, ...], has_body: bool = False) -> None:
    """Say what an answer means unless it is one of those expected.

    :raises Refused: it holds ECR's own refusal
    :raises SilentlyRefused: 403 to a request whose answers have no body
    :raises Fault: anything else
    """
    errors = _errors(answer)
    if answer.status in expected and not (answer.status >= 400 and errors and errors[0][0] == "NAME_UNKNOWN"):
        if answer.status == 404 and method != "HEAD" and not errors:
            raise Fault("foreign_answer", host=answer.host, status=404, detail="no message of a registry")
        return
    step = f"{method} {path}"
    if answer.status == 403 and method == "HEAD":
        request = classify(method, path, has_body)
        raise SilentlyRefused(request.api_actions[0] if request and request.api_actions else step)
    if not errors:
        raise _fault_without_errors(answer, step)
    code, message = errors[0]
    denial = parse_denial(message) if answer.status == 403 else None
    if denial:
        raise Refused(denial)
    raise _fault_of_code(answer, code, message, step)


def _fault_without_errors(answer: Answer, step: str) -> Fault:
    """An answer that is not in the registry's own form."""
    kind = answer.headers.get("content-type", "")
    if "json" in kind and answer.body:
        return Fault("garbled_answer", host=answer.host)
    if answer.status == 403:
        return Fault("refused_without_reason", host=answer.host, status=403, step=step)
    if answer.status == 401:
        return Fault("not_logged_in", host=answer.host, detail="HTTP 401")
    if answer.status == 413:
        return Fault("too_large", host=answer.host, detail="HTTP 413")
    return Fault(
        "foreign_answer", host=answer.host, status=answer.status, detail=f"content of type {kind or 'unknown'}"
    )


def _fault_of_code(answer: Answer, code: str, message: str, step: str) -> Fault:
    """An error of the registry's that is no denial."""
    said = message or code
    if "token has expired" in message:
        return Fault("token_expired", host=answer.host)
    if answer.status == 401 or code == "UNAUTHORIZED":
        return Fault("not_logged_in", host=answer.host, detail=said)
    if code == "NAME_UNKNOWN":
        return Fault("repository_missing", host=answer.host, detail=said)
    if "immutable" in message:
        return Fault("tag_immutable", host=answer.host)
    if answer.status == 413 or code in _TOO_LARGE:
        return Fault("too_large", host=answer.host, detail=said)
    if code == "DIGEST_INVALID":
        return Fault("digest_mismatch", host=answer.host)
    return Fault("refused_by_registry", host=answer.host, step=step, detail=f"{code}: {message}" if message else code)


def _errors(answer: Answer) -> list[tuple[str, str]]:
    """Codes and messages of an error body as the Registry API has it; empty if it is none."""
    if answer.status < 400:
        return []
    try:
        found = json.loads(answer.body)["errors"]
        return [(str(error["code"]), str(error.get("message") or "")) for error in found]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _with_digest(upload: str, digest: str) -> str:
    return f"{upload}{'&' if '?' in upload else '?'}digest={quote(digest)}"


def _size(descriptor: object) -> int:
    size = descriptor.get("size") if isinstance(descriptor, dict) else None
    return size if isinstance(size, int) else 1 << 62


def _first_digest(descriptors: object, host: str) -> str:
    first = descriptors[0] if isinstance(descriptors, list) and descriptors else None
    digest = first.get("digest") if isinstance(first, dict) else None
    if not isinstance(digest, str) or not is_digest(digest):
        raise Fault("garbled_answer", host=host)
    return digest
