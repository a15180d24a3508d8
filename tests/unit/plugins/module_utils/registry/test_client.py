# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The registry client against a small server of this test's own; the lab's registry is for the integration tests."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.requests import classify
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.deadline import Deadline
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import Fault, Refused, SilentlyRefused
from ansible_collections.policyproof.ecr.plugins.module_utils.registry import transport
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.client import Login, Registry
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.image import ProbeImage
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.transport import Transport

JSON = {"Content-Type": "application/json; charset=utf-8"}
Reply = tuple[int, dict[str, str], bytes]


def error(status: int, code: str, message: str) -> Reply:
    return status, JSON, json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def denied(api_action: str) -> Reply:
    return error(
        403,
        "DENIED",
        f"User: arn:aws:sts::123456789012:assumed-role/r/i-1 is not authorized to perform: {api_action} on resource: "
        "arn:aws:ecr:us-east-1:123456789012:repository/app with an explicit deny in a resource-based policy",
    )


@dataclass
class Server:
    """A registry that keeps blobs and manifests, and may refuse API actions."""

    port: int = 0
    refused: set[str] = field(default_factory=set)
    stored: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    instead: Callable[[str, str], Reply | None] = field(default=lambda method, path: None)
    upload: bytes = b""

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        path = target.partition("?")[0]
        reply = self.instead(method, path)
        if reply:
            return reply
        request = classify(method, target)
        if request is None:
            return error(404, "UNSUPPORTED", "no")
        for api_action in request.api_actions:
            if api_action in self.refused:
                return denied(api_action)
        return getattr(self, f"_{request.kind}")(method, target, body, request.reference)

    def _uploads(self, method: str, target: str, body: bytes, reference: str) -> Reply:
        self.upload = b""
        return 202, {"Location": "/v2/app/blobs/uploads/7f?state=x"}, b""

    def _upload(self, method: str, target: str, body: bytes, reference: str) -> Reply:
        if method == "PATCH":
            self.upload += body
            return 202, {"Location": target}, b""
        digest = target.rpartition("digest=")[2].replace("%3A", ":")
        if digest != "sha256:" + hashlib.sha256(self.upload).hexdigest():
            return error(400, "DIGEST_INVALID", "digest")
        self.stored[digest] = self.upload
        return 201, {"Docker-Content-Digest": digest}, b""

    def _blob(self, method: str, target: str, body: bytes, reference: str) -> Reply:
        content = self.stored.get(reference)
        return (404, {}, b"") if content is None else (200, {}, content)

    def _manifest(self, method: str, target: str, body: bytes, reference: str) -> Reply:
        if method == "PUT":
            manifest = json.loads(body)
            if not all(one["digest"] in self.stored for one in [manifest["config"], *manifest["layers"]]):
                return error(404, "MANIFEST_BLOB_UNKNOWN", "layers")
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            self.stored[reference] = self.stored[digest] = body
            return 201, {"Docker-Content-Digest": digest}, b""
        content = self.stored.get(reference)
        return error(404, "MANIFEST_UNKNOWN", "Requested image not found") if content is None else (200, JSON, content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A test need not wait as long as a registry that is not well.
    monkeypatch.setattr(transport, "_PAUSES", (0.02, 0.05))
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
            status, headers, content = state.answer(self.command, self.path, body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            if "Content-Length" in headers:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _serve

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Http(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            # A client that has read enough hangs up.
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)

    http = Http(("127.0.0.1", 0), Handler)
    state.port = http.server_address[1]
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()


def registry(server: Server, seconds: float = 10) -> Registry:
    connection = Transport(Deadline(seconds))
    return Registry(f"127.0.0.1:{server.port}", "app", Login("AWS", "pass:word"), connection, scheme="http")


def fault_of(work: Callable[[], object]) -> str:
    with pytest.raises(Fault) as raised:
        work()
    return raised.value.kind


def test_push_then_pull(server: Server) -> None:
    image, client = ProbeImage(), registry(server)
    assert client.push(image, "probe-1") == image.digest
    assert [
        f"{method} {path.partition('?')[0].rpartition('/app/')[2].partition(':')[0]}"
        for method, path, _login in server.seen
    ] == [
        "POST blobs/uploads/",
        "PATCH blobs/uploads/7f",
        "PUT blobs/uploads/7f",
        "HEAD blobs/sha256",
        "POST blobs/uploads/",
        "PATCH blobs/uploads/7f",
        "PUT blobs/uploads/7f",
        "HEAD blobs/sha256",
        "PUT manifests/probe-1",
    ]
    assert client.transport.sent == image.size < 4096
    pulled = client.pull("probe-1")
    assert (pulled.digest, pulled.completed) == (image.digest, True)
    assert client.pull(image.digest).digest == image.digest
    assert client.resolve("probe-1").digest == image.digest


def test_the_login_goes_to_the_registry_and_to_nobody_else(server: Server) -> None:
    client = registry(server)
    client.push(ProbeImage(), "t")

    def elsewhere(method: str, path: str) -> Reply | None:
        if method == "GET" and path.startswith("/v2/app/blobs/"):
            return 307, {"Location": f"http://localhost:{server.port}/layers/{path.rpartition('/')[2]}?signed=1"}, b""
        if path.startswith("/layers/"):
            return 200, {}, server.stored[path.rpartition("/")[2]]
        return None

    server.instead = elsewhere
    server.seen.clear()
    assert client.pull("t").completed
    logins = {path.startswith("/layers/"): login for _method, path, login in server.seen}
    assert logins == {False: "Basic QVdTOnBhc3M6d29yZA==", True: ""}


@pytest.mark.parametrize(
    "api_action", ["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"]
)
def test_asking_names_what_stops_a_push_and_stores_nothing(server: Server, api_action: str) -> None:
    server.refused = {api_action}
    with pytest.raises(Refused) as raised:
        registry(server).ask_push("t", ["uploads", "upload", "blob", "manifest"])
    assert raised.value.denial.api_action == api_action
    assert server.stored == {}


def test_asking_where_nothing_stops_a_push_stores_nothing(server: Server) -> None:
    registry(server).ask_push("t", ["read", "blob", "uploads", "upload", "manifest"])
    assert server.stored == {}


def test_asking_in_the_order_of_a_client_that_reads_first(server: Server) -> None:
    server.refused = {"ecr:BatchGetImage", "ecr:InitiateLayerUpload"}
    with pytest.raises(Refused) as raised:
        registry(server).ask_push("t", ["read", "blob", "uploads", "upload", "manifest"])
    assert raised.value.denial.api_action == "ecr:BatchGetImage"


def test_head_is_refused_in_silence(server: Server) -> None:
    server.refused = {"ecr:BatchCheckLayerAvailability"}
    with pytest.raises(SilentlyRefused) as raised:
        registry(server).push(ProbeImage(), "t")
    assert raised.value.api_action == "ecr:BatchCheckLayerAvailability"


def test_no_such_image_is_no_fault(server: Server) -> None:
    pulled = registry(server).pull("none")
    assert (pulled.digest, pulled.completed) == (None, False)


PAGE = {"Content-Type": "text/html"}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((403, {}, b""), "refused_without_reason"),
        ((403, PAGE, b"<h1>403 Forbidden</h1>"), "refused_without_reason"),
        ((403, PAGE, denied("ecr:BatchGetImage")[2].replace(b"errors", b"warnings")), "refused_without_reason"),
        (error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."), "token_expired"),
        (error(403, "DENIED", "Scan in progress"), "refused_by_registry"),
        ((401, {"Content-Type": "text/plain"}, b"Not Authorized\n"), "not_logged_in"),
        (error(401, "UNAUTHORIZED", "authentication required"), "not_logged_in"),
        (error(404, "NAME_UNKNOWN", "The repository with name 'app' does not exist"), "repository_missing"),
        ((404, PAGE, b"<h1>404</h1>"), "foreign_answer"),
        ((200, JSON, b'{"schemaVersion": 2, "con'), "garbled_answer"),
        ((200, {**JSON, "Content-Length": "9999"}, b"{}"), "garbled_answer"),
        ((200, JSON, b"[]"), "garbled_answer"),
        ((200, JSON, b'{"config": {"digest": "../etc"}}'), "garbled_answer"),
        ((200, {**JSON, "Docker-Content-Digest": "sha256:" + "0" * 64}, b"{}"), "digest_mismatch"),
        (error(413, "SIZE_INVALID", "too large"), "too_large"),
        ((500, JSON, b""), "server_failing"),
        ((502, PAGE, b"<h1>502</h1>"), "server_failing"),
        ((429, JSON, b""), "throttled"),
        ((429, {**JSON, "Retry-After": "3600"}, b""), "throttled"),
        ((0, {}, b""), "connection_reset"),
    ],
)
def test_what_no_policy_said_is_no_denial(server: Server, reply: Reply, kind: str) -> None:
    server.instead = lambda method, path: reply
    begin = time.monotonic()
    assert fault_of(lambda: registry(server).pull("t")) == kind
    assert time.monotonic() - begin < 3


def test_the_services_own_sentence_is_a_denial(server: Server) -> None:
    server.instead = lambda method, path: denied("ecr:BatchGetImage")
    with pytest.raises(Refused) as raised:
        registry(server).pull("t")
    assert raised.value.denial.policy_type == "resource-based policy"


@pytest.mark.parametrize("failure", [(500, {}, b""), (429, {}, b""), (429, {"Retry-After": "1"}, b""), (0, {}, b"")])
def test_one_failure_is_tried_again(server: Server, failure: Reply) -> None:
    failures = [failure]
    server.instead = lambda method, path: failures.pop() if failures else None
    assert registry(server).push(ProbeImage(), "t")


def test_a_tag_that_may_not_be_moved(server: Server) -> None:
    message = "The image tag 't' already exists and cannot be overwritten because the repository is immutable."
    server.instead = lambda method, path: error(400, "TAG_INVALID", message) if "manifests" in path else None
    assert fault_of(lambda: registry(server).push(ProbeImage(), "t")) == "tag_immutable"


def test_stored_as_something_else(server: Server) -> None:
    wrong = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    server.instead = lambda method, path: (201, wrong, b"") if method == "PUT" else None
    assert fault_of(lambda: registry(server).push(ProbeImage(), "t")) == "digest_mismatch"


def test_a_layer_with_other_bytes(server: Server) -> None:
    client, image = registry(server), ProbeImage()
    client.push(image, "t")
    server.instead = lambda method, path: (200, {}, b"other") if "/blobs/" in path else None
    assert fault_of(lambda: client.pull("t")) == "digest_mismatch"


def test_redirected_in_a_circle(server: Server) -> None:
    client = registry(server)
    client.push(ProbeImage(), "t")
    server.instead = lambda method, path: (307, {"Location": path}, b"") if "/blobs/" in path else None
    assert fault_of(lambda: client.pull("t")) == "redirect_loop"


def test_a_large_layer_is_not_fetched_whole(server: Server) -> None:
    client, image = registry(server), ProbeImage()
    client.push(image, "t")
    manifest = json.loads(image.manifest)
    large = b"x" * (5 << 20)
    digest = "sha256:" + hashlib.sha256(large).hexdigest()
    server.stored[digest] = large
    manifest["layers"] = [{"digest": digest, "size": len(large)}]
    server.stored["large"] = json.dumps(manifest).encode()
    assert client.pull("large").completed
    assert client.transport.received < 2 << 20


def test_an_index_is_followed_to_an_image(server: Server) -> None:
    client, image = registry(server), ProbeImage()
    client.push(image, "t")
    server.stored["index"] = json.dumps({"manifests": [{"digest": image.digest}]}).encode()
    assert client.pull("index").completed


def test_nobody_listens() -> None:
    connection = Transport(Deadline(5))
    client = Registry("127.0.0.1:9", "app", Login("AWS", "x"), connection, scheme="http")
    assert fault_of(lambda: client.pull("t")) == "connection_refused"


def test_never_answered(server: Server) -> None:
    released = threading.Event()

    def hang(method: str, path: str) -> Reply:
        released.wait(10)
        return 0, {}, b""

    server.instead = hang
    begin = time.monotonic()
    assert fault_of(lambda: registry(server, 0.5).pull("t")) == "timed_out"
    assert time.monotonic() - begin < 1.5
    released.set()


def test_a_login_does_not_show_itself() -> None:
    assert "secret" not in repr(Login("AWS", "secret"))
