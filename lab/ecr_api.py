# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ECR API in front of moto's: signatures, authorization, tokens and download URLs.

Every request to ECR and STS must be signed; every request to ECR is judged before moto sees it. What CloudFormation
does with repositories is done in the name of whoever called CloudFormation, and judged in `ecr_backend`.

Sources: ECR API reference; Service Authorization Reference, "Actions, resources, and condition keys for Amazon Elastic
Container Registry".
"""

from __future__ import annotations

import datetime
import io
import json
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from moto.ecr.models import ECRBackend, ecr_backends

from ..plugins.module_utils.iam.evaluation import InvalidPolicy
from .callers import Caller, caller_of
from .ecr_backend import acting_for
from .ecr_repositories import RepositoryResource, judge
from .faults import Faults
from .registry.api import LayerUrls
from .settings import Settings
from .signatures import Request, SignatureRefused, access_key_of, signed_service, verify
from .tokens import Tokens
from .wsgi import StartResponse, WsgiApplication

_log = logging.getLogger("lab.ecr")


TARGET = "AmazonEC2ContainerRegistry_V20150921."
LONGEST_BODY = 32 * 1024 * 1024
"""Bytes; ECR's own limit for a part of a layer is 10 MiB, and base64 makes a third more of it."""

HANG_AT_MOST = 600.0


class ApiError(Exception):
    """An error of the ECR API."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    status: int
    content_type: str
    body: bytes


class EcrApi:
    """WSGI: what stands between clients and moto.

    :arg application: moto, and whatever else the lab has in front of it
    """

    def __init__(
        self,
        application: WsgiApplication,
        settings: Settings,
        tokens: Tokens,
        faults: Faults,
        layer_urls: LayerUrls,
    ) -> None:
        self._application = application
        self._settings = settings
        self._tokens = tokens
        self._faults = faults
        self._layer_urls = layer_urls
        self.stopping = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        service = signed_service(authorization)
        if target.startswith(TARGET) or service == "ecr":
            answer = self._ecr(environ, target.removeprefix(TARGET))
        elif service == "sts":
            answer = self._sts(environ)
        else:
            return self._in_the_name_of(authorization if service == "cloudformation" else "", environ, start_response)
        if answer is None:
            return self._application(environ, start_response)
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        start_response(f"{answer.status} {'OK' if answer.status == 200 else 'Error'}", headers)
        return [answer.body]

    def _in_the_name_of(
        self, authorization: str, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Let moto do what it does for whoever signed the request."""
        key = access_key_of(authorization)
        with acting_for(caller_of(key) if key else None):
            return self._application(environ, start_response)

    def _sts(self, environ: dict[str, Any]) -> Answer | None:
        """Refuse what is not signed as it must be. None: moto may answer."""
        try:
            self._verified(environ)
        except SignatureRefused as refused:
            body = (
                '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
                f"<Code>{refused.query_code}</Code><Message>{escape(refused.message)}</Message></Error>"
                "<RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
            )
            return Answer(403, "text/xml", body.encode())
        return None

    def _ecr(self, environ: dict[str, Any], operation: str) -> Answer | None:
        """Refuse, or answer what moto cannot. None: moto may answer."""
        caller: Caller | None = None
        effect = "-"
        try:
            caller, request = self._verified(environ)
            if not operation.isalpha():
                raise ApiError("UnknownOperationException", "")
            parameters = _parameters(request.body)
            self._misbehave(operation, caller)
            resource = self._authorize(caller, operation, parameters, str(environ.get("REMOTE_ADDR", "127.0.0.1")))
            effect = "allow"
            return self._answer(operation, caller, resource, parameters)
        except SignatureRefused as refused:
            effect = refused.code
            return _error(400, refused.code, refused.message)
        except InvalidPolicy as fault:
            # moto's IAM takes what nobody can judge. Whatever it may mean, it allows nothing.
            effect = "InvalidPolicy"
            name = caller.name if caller else "nobody"
            return _error(500, "ServerException", f"A policy of {name} cannot be judged: {fault}")
        except ApiError as fault:
            effect = fault.code
            return _error(fault.status, fault.code, fault.message)
        finally:
            _log.info("%s ecr:%s %s", caller.session_arn if caller else "-", operation, effect)

    def _verified(self, environ: dict[str, Any]) -> tuple[Caller, Request]:
        """Who signed the request, and the request. Raises SignatureRefused and ApiError."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > LONGEST_BODY:
            raise ApiError("RequestEntityTooLargeException", "Request is too large.", 413)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        request = Request(
            method=str(environ["REQUEST_METHOD"]),
            path=quote(str(environ.get("PATH_INFO", "/")).encode("latin-1"), safe="/-_.~"),
            query=str(environ.get("QUERY_STRING", "")),
            headers=headers,
            body=body,
        )
        return verify(request, self._now(headers.get("authorization", ""))), request

    def _now(self, authorization: str) -> datetime.datetime:
        """The lab's clock, which a fault can put ahead of a caller's."""
        now = datetime.datetime.now(datetime.UTC)
        key = access_key_of(authorization)
        switch = self._faults.strikes(["clock_skew"], caller_of(key) if key else None)
        return now + datetime.timedelta(seconds=switch.arguments.get("seconds", 1200)) if switch else now

    def _misbehave(self, operation: str, caller: Caller) -> None:
        """Do what a fault says. Raises ApiError."""
        if operation != "GetAuthorizationToken":
            return
        switch = self._faults.strikes(("token_denied", "token_api_500", "token_api_hang"), caller)
        if switch is None:
            return
        if switch.name == "token_denied":
            raise ApiError(
                "AccessDeniedException",
                f"User: {caller.session_arn} is not authorized to perform: ecr:GetAuthorizationToken on resource: * "
                "with an explicit deny in an identity-based policy",
            )
        if switch.name == "token_api_hang":
            self.stopping.wait(HANG_AT_MOST)
        raise ApiError("ServerException", "The service is unavailable.", 500)

    def _authorize(
        self, caller: Caller, operation: str, parameters: dict[str, Any], source_ip: str
    ) -> RepositoryResource:
        """The first resource that the call names, if the caller may do this to all of them. Raises ApiError."""
        backend = self._backend()
        resources = [RepositoryResource.named(backend, name) for name in _repository_names(operation, parameters)]
        for resource in resources or [RepositoryResource.none(backend)]:
            decision = judge(caller, f"ecr:{operation}", resource, source_ip)
            if decision.effect != "allow":
                raise ApiError("AccessDeniedException", str(decision))
        return resources[0] if resources else RepositoryResource.none(backend)

    def _backend(self) -> ECRBackend:
        return ecr_backends[self._settings.account][self._settings.region]

    def _answer(
        self, operation: str, caller: Caller, resource: RepositoryResource, parameters: dict[str, Any]
    ) -> Answer | None:
        if operation == "GetAuthorizationToken":
            return self._authorization_token(caller, parameters)
        if operation == "GetDownloadUrlForLayer" and resource.repository is not None:
            digest = str(parameters.get("layerDigest", ""))
            if digest not in resource.repository.layers:
                raise ApiError(
                    "LayersNotFoundException",
                    f"The layer with digest '{digest}' does not exist in the repository with name "
                    f"'{resource.repository.name}' in the registry with id '{resource.account}'",
                )
            return _json(200, {"downloadUrl": self._layer_urls.make(digest), "layerDigest": digest})
        if operation == "GetDownloadUrlForLayer":
            raise ApiError(
                "RepositoryNotFoundException",
                f"The repository with name '{parameters.get('repositoryName')}' does not exist in the registry with "
                f"id '{resource.account}'",
            )
        return None

    def _authorization_token(self, caller: Caller, parameters: dict[str, Any]) -> Answer:
        """A token for each registry asked for: one, the lab's own, unless the call names others."""
        registries = parameters.get("registryIds") or [self._settings.account]
        data = []
        for registry in registries:
            token, expires = self._tokens.issue(caller, datetime.datetime.now(datetime.UTC))
            host = self._settings.registry_host.replace(self._settings.account, str(registry), 1)
            data.append(
                {
                    "authorizationToken": token,
                    "expiresAt": int(expires.timestamp()),
                    "proxyEndpoint": f"https://{host}",
                }
            )
        return _json(200, {"authorizationData": data})


def _repository_names(operation: str, parameters: dict[str, Any]) -> list[str]:
    """Names of the repositories that a call is about."""
    if isinstance(parameters.get("repositoryName"), str):
        return [parameters["repositoryName"]]
    if isinstance(parameters.get("resourceArn"), str):
        return [parameters["resourceArn"].partition(":repository/")[2]]
    if operation in ("DescribeRepositories", "BatchGetRepositoryScanningConfiguration"):
        # Without names it is about all of them, which policies call by this name.
        return [str(name) for name in parameters.get("repositoryNames") or ["*"]]
    return []


def _parameters(body: bytes) -> dict[str, Any]:
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        parameters = None
    if not isinstance(parameters, dict):
        raise ApiError("SerializationException", "The request's body is no JSON object.")
    return parameters


def _error(status: int, code: str, message: str) -> Answer:
    return _json(status, {"__type": code, "message": message})


def _json(status: int, document: dict[str, Any]) -> Answer:
    return Answer(status, "application/x-amz-json-1.1", json.dumps(document).encode())
