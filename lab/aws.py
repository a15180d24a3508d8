# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's AWS APIs: moto, served over HTTP, with the lab's own word of health beside it."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from .settings import Settings
from .state import HEALTH_PATH
from .wsgi import StartResponse, WsgiApplication

logger = logging.getLogger("lab.aws")


class _QuietHandler(MotoRequestHandler):
    """Logs calls where the rest of the lab logs, and without query strings: a presigned URL is a password."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        target = self.headers.get("X-Amz-Target", "")
        logger.info("%s %s %s %s", self.command, self.path.partition("?")[0], target, getattr(code, "value", code))

    def log(self, type: str, message: str, *args: Any) -> None:
        logger.log(logging.ERROR if type == "error" else logging.INFO, message.rstrip(), *args)


class Health:
    """WSGI middleware that answers ``HEALTH_PATH``, so that nobody mistakes another program on the port for the lab."""

    def __init__(self, application: WsgiApplication, lab: str) -> None:
        """:param lab: what tells this lab from any other"""
        self._application = application
        self._body = json.dumps({"lab": lab}).encode()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer, or pass the request on."""
        if environ.get("PATH_INFO") != HEALTH_PATH:
            return self._application(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(self._body)))])
        return [self._body]


def moto_application() -> WsgiApplication:
    """moto's WSGI application for every service."""
    application: WsgiApplication = DomainDispatcherApplication(create_backend_app)
    return application


class AwsServer:
    """Serves a WSGI application on the lab's AWS port, a thread a request."""

    def __init__(self, settings: Settings, sock: socket.socket, application: WsgiApplication) -> None:
        """:param sock: bound on 127.0.0.1 to ``settings.aws_port``"""
        sock.listen(128)
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", settings.aws_port, application, threaded=True, request_handler=_QuietHandler, fd=sock.fileno()
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="aws", daemon=True)

    def start(self) -> None:
        """Serve, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join(timeout=10)


def create_deployer(settings: Settings, name: str = "deployer") -> dict[str, str]:
    """Make the IAM user who deploys, with every permission there is; return its ARN and access key."""
    from moto.iam.models import iam_backends

    iam = iam_backends[settings.account]["aws"]
    user = iam.create_user(settings.region, name)
    iam.attach_user_policy("arn:aws:iam::aws:policy/AdministratorAccess", name)
    key = iam.create_access_key(name)
    return {"deployer": user.arn, "access_key": key.access_key_id, "secret_key": key.secret_access_key}
