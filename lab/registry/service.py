# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's registry: who asks, whether it may, and then the Registry HTTP API V2."""

from __future__ import annotations

import datetime
import logging
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from moto.ecr.models import Repository, ecr_backends

from ...plugins.module_utils.ecr.requests import RegistryRequest, classify
from .. import certificates
from ..callers import Caller
from ..ecr_repositories import RepositoryResource, judge
from ..faults import Faults
from ..settings import Settings
from ..tokens import Tokens
from .api import LAYER_PATH, LayerUrls, RegistryApi, mounts
from .blobs import Blobs
from .exchange import BrokenBody, Exchange
from .listener import Listener
from .misbehaviour import Distortion, challenge, hides_refusals, misbehave
from .refusals import Refusal, repository_missing, token_expired

_log = logging.getLogger("lab.registry")
_ERROR = {"Content-Type": "application/json"}


@dataclass
class Note:
    """What the log says of one request."""

    caller: str = "-"
    actions: str = "-"
    decision: str = "-"


class Registry:
    """The registry of one lab.

    Certificates are made when this is; `start` begins to serve. ``stop`` ends it for good.

    :ivar ca_file: certificate of the lab's authority, PEM
    :ivar blobs: its blobs, for the ECR API to share
    :ivar layer_urls: its signed URLs, for the ECR API to share

    :arg sock: bound to 127.0.0.1 and ``settings.registry_port``; belongs to the registry from now on
    """

    def __init__(self, settings: Settings, sock: socket.socket, tokens: Tokens, faults: Faults) -> None:
        self._settings = settings
        self._tokens = tokens
        self._faults = faults
        self._stopping = threading.Event()
        self.blobs = Blobs(settings.state / "registry")
        self.layer_urls = LayerUrls(settings.registry_host)
        self._api = RegistryApi(settings.registry_host, self.blobs, self.layer_urls)
        directory = settings.state / "certificates"
        authority = certificates.authority(directory)
        stranger = certificates.authority(directory / "stranger", name="A CA that nobody knows")
        self.ca_file: Path = authority.certificate
        name = settings.registry_name
        self._listener = Listener(
            sock,
            self._handle,
            {
                "right": certificates.server(directory, authority, name),
                "tls_name": certificates.server(directory, authority, "elsewhere.invalid", "elsewhere"),
                "tls_unknown_ca": certificates.server(directory / "stranger", stranger, name),
            },
            self._identity,
            lambda: faults.is_on("refuse"),
        )
        faults.watch(self._listener.wake)

    def start(self) -> None:
        """Begin to serve; returns when connections are taken."""
        self._listener.start()

    def stop(self) -> None:
        """End every connection and serve no more."""
        self._stopping.set()
        self._listener.stop()
        self.blobs.close()

    def _identity(self) -> str:
        switch = self._faults.strikes(("tls_name", "tls_unknown_ca"), None)
        return switch.name if switch else "right"

    def _handle(self, exchange: Exchange) -> None:
        began = time.monotonic()
        note = Note()
        try:
            self._answer(exchange, note)
        except Refusal as refusal:
            exchange.answer(refusal.status, refusal.body, {**_ERROR, **refusal.headers})
        except (OSError, BrokenBody):  # nobody is there to be answered
            raise
        except Exception:
            _log.exception("%s %s failed", exchange.method, exchange.path)
            if exchange.status:  # too late for another answer
                raise
            exchange.answer(500, Refusal("UNKNOWN", "The lab failed; its log says how.").body, _ERROR)
        finally:
            _log.info(
                "%s %s %s %s %s %s %.0fms",
                note.caller,
                exchange.method,
                exchange.path,
                note.actions,
                note.decision,
                exchange.status or "no answer",
                (time.monotonic() - began) * 1000,
            )

    def _answer(self, exchange: Exchange, note: Note) -> None:
        """Answer one request. Raises Refusal."""
        if exchange.path.startswith(LAYER_PATH):
            note.decision = "signed"
            self._api.serve_layer(exchange)
            return
        token = self._tokens.find(exchange.header("Authorization"))
        caller = token.caller if token else None
        if caller is not None:
            note.caller = caller.session_arn
        exchange.distort = Distortion(self._faults, exchange, caller)
        if misbehave(self._faults, exchange, caller, self._settings.registry_host, self._stopping):
            note.decision = "fault"
            return
        if token is None:
            exchange.answer(401, b"Not Authorized\n", challenge(self._settings.registry_host))
            return
        if token.expired(datetime.datetime.now(datetime.UTC)):
            raise token_expired()
        request = classify(exchange.method, exchange.target, exchange.has_body)
        if request is None:
            there = exchange.path.startswith("/v2/") and exchange.method not in ("GET", "HEAD")
            raise Refusal("UNSUPPORTED", "The operation is unsupported.", 405 if there else 404)
        if request.kind == "ping":
            exchange.answer(200, b"{}", _ERROR)
            return
        self._serve(exchange, request, token.caller, note)

    def _serve(self, exchange: Exchange, request: RegistryRequest, caller: Caller, note: Note) -> None:
        """Judge a request, then answer it: who may not know hears nothing of what there is."""
        resource = self._resource(request.repository)
        # What a mount needs beyond its upload, it needs in the repository that it takes the layer from.
        mounting = request.kind == "uploads" and mounts(exchange.query)
        actions = request.api_actions[:1] if mounting else request.api_actions
        for action in actions:
            note.actions = action
            decision = judge(caller, action, resource, exchange.client)
            note.decision = decision.effect
            if decision.effect != "allow":
                if hides_refusals(self._faults, exchange, caller):
                    exchange.drop()
                    return
                raise Refusal("DENIED", str(decision))
        note.actions = ",".join(actions)
        if resource.repository is None:
            raise repository_missing(request.repository, self._settings.account)

        def may_mount(name: str) -> Repository | None:
            source = self._resource(name)
            if source.repository is None:
                return None
            allowed = judge(caller, "ecr:GetDownloadUrlForLayer", source, exchange.client).effect == "allow"
            return source.repository if allowed else None

        self._api.serve(exchange, request, resource.repository, may_mount)

    def _resource(self, name: str) -> RepositoryResource:
        backend = ecr_backends[self._settings.account][self._settings.region]
        return RepositoryResource.named(backend, name)
