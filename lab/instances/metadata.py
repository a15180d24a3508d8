# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The instance metadata service (IMDSv2) of one instance, at an address of its own.

EC2's is at 169.254.169.254 on every instance; here the instances share this machine's network, so each is told its own
address, in ``AWS_EC2_METADATA_SERVICE_ENDPOINT``. Behaviour after the EC2 User Guide, "Use the Instance Metadata
Service".
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from .credentials import RoleCredentials
from .identity import Identity

# Seconds a token may live.
MAXIMUM_LIFETIME = 21600

# How many tokens are remembered; the oldest go first.
_MAXIMUM_TOKENS = 10000

# A leaf of the tree of metadata gives its text when asked; None where it is not there at the moment.
Leaf = Callable[[], str | None]
Tree = Mapping[str, "Leaf | Tree"]

logger = logging.getLogger("lab.instances")


class Tokens:
    """Session tokens (IMDSv2). Safe to call from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def issue(self, lifetime: int) -> str:
        """A new token that is good for ``lifetime`` seconds."""
        token = secrets.token_urlsafe(42)
        with self._lock:
            if len(self._ends) >= _MAXIMUM_TOKENS:
                del self._ends[next(iter(self._ends))]
            self._ends[token] = self._clock() + lifetime
        return token

    def accepts(self, token: str) -> bool:
        """Whether the token was issued and is still good."""
        with self._lock:
            return self._ends.get(token, 0.0) > self._clock()


class Metadata:
    """What one instance's metadata service knows."""

    def __init__(self, identity: Identity, credentials: RoleCredentials) -> None:
        self._identity = identity
        self._credentials = credentials

    def read(self, path: str) -> bytes | None:
        """What is at a path below the version, ``meta-data/instance-id`` for one; None where nothing is.

        A directory's content is the names in it, a line each, those of directories with a slash.
        """
        if path == "user-data":
            return self._identity.user_data
        node: Leaf | Tree | None = self._tree()
        for part in [part for part in path.split("/") if part]:
            node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping):
            return "\n".join(
                name + ("/" if isinstance(below, Mapping) else "") for name, below in node.items()
            ).encode()
        text = node() if node is not None else None
        return None if text is None else text.encode()

    def _tree(self) -> Tree:
        identity = self._identity
        meta_data: dict[str, Leaf | Tree] = {
            "ami-id": lambda: identity.image_id,
            "hostname": lambda: identity.private_dns_name,
            "instance-id": lambda: identity.id,
            "instance-type": lambda: identity.instance_type,
            "local-hostname": lambda: identity.private_dns_name,
            "local-ipv4": lambda: identity.private_ip,
            "placement": {
                "availability-zone": lambda: identity.availability_zone,
                "region": lambda: identity.region,
            },
            "security-groups": lambda: "\n".join(identity.security_groups),
            "services": {"domain": lambda: "amazonaws.com", "partition": lambda: "aws"},
        }
        role = identity.role
        if role is not None:
            meta_data["iam"] = {
                "info": self._iam_info,
                "security-credentials": {role.name: self._security_credentials},
            }
        if identity.options.instance_metadata_tags == "enabled":
            meta_data["tags"] = {"instance": {key: _constant(value) for key, value in identity.tags.items()}}
        document: Tree = {"instance-identity": {"document": self._identity_document}}
        return {"dynamic": document, "meta-data": meta_data}

    def _iam_info(self) -> str | None:
        role = self._identity.role
        if role is None:
            return None
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": _timestamp(self._credentials.current(role).issued),
                "InstanceProfileArn": role.profile_arn,
                "InstanceProfileId": role.profile_id,
            }
        )

    def _security_credentials(self) -> str | None:
        role = self._identity.role
        if role is None:
            return None
        credentials = self._credentials.current(role)
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": _timestamp(credentials.issued),
                "Type": "AWS-HMAC",
                "AccessKeyId": credentials.access_key,
                "SecretAccessKey": credentials.secret_key,
                "Token": credentials.token,
                "Expiration": _timestamp(credentials.expires),
            }
        )

    def _identity_document(self) -> str:
        identity = self._identity
        return json.dumps(
            {
                "accountId": identity.account,
                "architecture": identity.architecture,
                "availabilityZone": identity.availability_zone,
                "imageId": identity.image_id,
                "instanceId": identity.id,
                "instanceType": identity.instance_type,
                "pendingTime": identity.launched,
                "privateIp": identity.private_ip,
                "region": identity.region,
                "version": "2017-09-30",
            },
            indent=2,
        )


class MetadataServer:
    """Serves one instance's metadata on 127.0.0.1, in threads of its own."""

    def __init__(self, identity: Identity) -> None:
        handler = type(
            "Handler",
            (_Handler,),
            {"identity": identity, "metadata": Metadata(identity, RoleCredentials(identity)), "tokens": Tokens()},
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        # How often the server looks whether it is to stop, in seconds: terminating an instance waits for it.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name=f"metadata-{identity.id}", daemon=True
        )

    @property
    def endpoint(self) -> str:
        """The URL that goes before ``/latest/…``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    """One request. The class is derived once a server, with that server's own values."""

    identity: ClassVar[Identity]
    metadata: ClassVar[Metadata]
    tokens: ClassVar[Tokens]

    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    timeout = 10

    def do_PUT(self) -> None:
        """Issue a token."""
        lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self._refused():
            return
        if self.path != "/latest/api/token":
            self._answer(404 if self.path.startswith("/latest/") else 405)
        elif "X-Forwarded-For" in self.headers:
            # A proxy in between is how tokens are stolen.
            self._answer(403)
        elif not re.fullmatch(r"[0-9]{1,5}", lifetime) or not 1 <= int(lifetime) <= MAXIMUM_LIFETIME:
            self._answer(400)
        else:
            token = self.tokens.issue(int(lifetime))
            self._answer(200, token.encode(), {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": lifetime})

    def do_GET(self) -> None:
        """Give metadata to whoever has a token, or to anybody where the instance does not require one."""
        if self._refused():
            return
        token = self.headers.get("X-aws-ec2-metadata-token")
        required = self.identity.options.http_tokens == "required"
        if required if token is None else not self.tokens.accepts(token):
            self._answer(401)
        else:
            path = self.path.partition("?")[0]
            match = re.fullmatch(r"/(?:latest|\d{4}-\d\d-\d\d)/(.*)", path)
            content = self.metadata.read(match[1]) if match else None
            self._answer(404 if content is None else 200, content or b"")

    do_HEAD = do_GET

    def _refused(self) -> bool:
        """Refuse everything while the instance's metadata endpoint is switched off."""
        if self.identity.options.http_endpoint != "disabled":
            return False
        self._answer(403)
        return True

    def _answer(self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        if status >= 400:
            content = f"{status} - {self.responses[status][0]}\n".encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        if status == 405 or int(self.headers.get("Content-Length") or 0):
            # A body that nobody reads would be taken for the next request.
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests go to the lab's log, at a level that is usually off."""
        logger.debug("metadata of %s: %s", self.identity.id, format % arguments)


def _constant(text: str) -> Leaf:
    return lambda: text


def _timestamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
