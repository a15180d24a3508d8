# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two questions that the probe has for the ECR API, asked as this host's own principal.

By botocore if the Python at hand has it, else by the aws command. Credentials are left to them: environment, profile,
container, instance metadata, in their order.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from base64 import b64decode
from typing import Any

from ..ecr.actions import TOKEN_ACTION
from ..ecr.denials import Denial, parse_denial
from ..probe.deadline import Deadline
from ..probe.faults import Fault, Refused
from ..probe.program import run
from ..registry.client import Login

try:
    import botocore.config
    import botocore.exceptions
    import botocore.session

    HAS_BOTOCORE = True
except ImportError:
    HAS_BOTOCORE = False

_DENIED = ("AccessDenied", "AccessDeniedException")
_CLOCK = re.compile(r"RequestTimeTooSkewed|Signature (?:expired|not yet current)|RequestExpired|signature.*too old")
_BAD_CREDENTIALS = re.compile(
    r"UnrecognizedClientException|InvalidClientTokenId|InvalidSignatureException|SignatureDoesNotMatch"
    r"|ExpiredToken|security token included in the request is (?:invalid|expired)|AuthFailure"
)
_NO_CREDENTIALS = re.compile(
    r"Unable to locate credentials|Partial credentials|Error when retrieving (?:credentials|token)"
    r"|Unable to load credentials|NoCredentialProviders|config profile .* could not be found",
    re.IGNORECASE,
)
_CONNECT_SECONDS = 10.0
_COMMAND = {"AWS_PAGER": "", "AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "3"}
"""How the aws command is to behave: it shows no pager, and tries no longer than we do."""


class EcrApi:
    """The ECR API, asked within the time allowed."""

    def __init__(self, region: str | None, endpoint_url: str | None, deadline: Deadline) -> None:
        """:arg region: None leaves it to the environment
        :arg endpoint_url: None leaves it to the environment, and that to AWS
        """
        # botocore before 1.31 knows no AWS_ENDPOINT_URL, and version 1 of the aws command no AWS_REGION.
        self.region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self.endpoint_url = (
            endpoint_url or os.environ.get("AWS_ENDPOINT_URL_ECR") or os.environ.get("AWS_ENDPOINT_URL") or None
        )
        self.deadline = deadline
        self._client: Any = None

    def login(self, account: str | None) -> Login:
        """User and password for the registry.

        :arg account: whose registry, twelve digits; None is the caller's own
        :raises Refused: the service says that the caller may have none
        :raises Fault: anything else
        """
        answer = self._call("get_authorization_token", TOKEN_ACTION, {"registryIds": [account]} if account else {})
        try:
            token = answer["authorizationData"][0]["authorizationToken"]
            user, colon, password = b64decode(token).decode().partition(":")
        except (KeyError, IndexError, TypeError, ValueError):
            raise Fault("token_failed", detail="its answer holds no token") from None
        if not colon:
            raise Fault("token_failed", detail="its answer holds no token")
        return Login(user, password)

    def check_layer(self, account: str | None, repository: str, digest: str) -> None:
        """Ask for one layer, as ``HEAD`` of a blob does, to hear the reason that an answer to ``HEAD`` cannot give.

        :raises Refused: the service says that the caller may not
        :raises Fault: anything else
        """
        wanted: dict[str, object] = {"repositoryName": repository, "layerDigests": [digest]}
        if account:
            wanted["registryId"] = account
        self._call("batch_check_layer_availability", "ecr:BatchCheckLayerAvailability", wanted)

    def _call(self, operation: str, api_action: str, wanted: dict[str, object]) -> dict[str, Any]:
        if HAS_BOTOCORE:
            return self._by_botocore(operation, api_action, wanted)
        return self._by_command(operation, api_action, wanted)

    def _by_botocore(self, operation: str, api_action: str, wanted: dict[str, object]) -> dict[str, Any]:
        try:
            client = self._client = self._client or self._make_client()
            return dict(getattr(client, operation)(**wanted))
        except botocore.exceptions.ClientError as error:
            said = error.response.get("Error", {})
            raise _refusal(str(said.get("Code", "")), str(said.get("Message", "")), api_action) from None
        except botocore.exceptions.BotoCoreError as error:
            raise _fault_of_words(type(error).__name__, str(error), self.deadline) from None
        except ValueError as error:  # an endpoint_url that is none
            raise Fault("token_failed", detail=error) from None

    def _make_client(self) -> Any:
        patience = self.deadline.keep("The ECR API")
        config = botocore.config.Config(
            connect_timeout=min(patience, _CONNECT_SECONDS),
            read_timeout=patience,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        session = botocore.session.get_session()
        return session.create_client("ecr", region_name=self.region, endpoint_url=self.endpoint_url, config=config)

    def _by_command(self, operation: str, api_action: str, wanted: dict[str, object]) -> dict[str, Any]:
        program = shutil.which("aws") or shutil.which("aws", path="/usr/local/bin:/usr/bin:/snap/bin")
        if not program:
            raise Fault("no_aws_client", python=sys.executable)
        argv = [program, "ecr", operation.replace("_", "-"), "--output", "json"]
        if self.region:
            argv += ["--region", self.region]
        if self.endpoint_url:
            argv += ["--endpoint-url", self.endpoint_url]
        argv += _options(wanted)
        ran = run(argv, {**os.environ, **_COMMAND}, self.deadline)
        if ran.late:
            raise self.deadline.timed_out("The ECR API")
        if ran.code == 0:
            try:
                return dict(json.loads(ran.text))
            except ValueError:
                raise Fault("token_failed", detail="the aws command answers no JSON") from None
        found = re.search(r"An error occurred \((\w+)\) when calling the \w+ operation[^:]*: (.*)", ran.text, re.DOTALL)
        if found:
            raise _refusal(found.group(1), found.group(2).strip(), api_action)
        raise _fault_of_words("", ran.lines[-1] if ran.lines else f"exit status {ran.code}", self.deadline)


def _options(wanted: dict[str, object]) -> list[str]:
    """The same as the aws command's options; none of it is secret."""
    names = {
        "registryIds": "--registry-ids",
        "registryId": "--registry-id",
        "repositoryName": "--repository-name",
        "layerDigests": "--layer-digests",
    }
    argv = []
    for name, value in wanted.items():
        argv += [names[name]] + [str(one) for one in (value if isinstance(value, list) else [value])]
    return argv


def _refusal(code: str, message: str, api_action: str) -> Exception:
    """What the ECR API's own error means."""
    words = f"{code}: {message}"
    if _CLOCK.search(words):
        return Fault("clock_wrong")
    if code in _DENIED:
        denial = parse_denial(message)
        if denial is None:
            denial = Denial(api_action, None, None, None, message or code, None, None)
        if denial.api_action == api_action:
            return Refused(denial)
    if _BAD_CREDENTIALS.search(words):
        return Fault("credentials_refused", detail=words)
    if code == "RepositoryNotFoundException":
        return Fault("repository_missing", detail=message)
    return Fault("token_failed", detail=words)


_WORDS = (
    (
        re.compile(r"NoCredentials|CredentialRetrieval|PartialCredentials|ProfileNotFound|TokenRetrieval|SSOError"),
        "no_credentials",
    ),
    (_NO_CREDENTIALS, "no_credentials"),
    (re.compile(r"NoRegion|You must specify a region|InvalidRegion|does not match a valid region"), "no_region"),
    (re.compile(r"ReadTimeout|ConnectTimeout|timed? ?out", re.IGNORECASE), "timed_out"),
)


def _fault_of_words(kind: str, message: str, deadline: Deadline) -> Fault:
    """What kept a client from the ECR API; boto's exception names, or the aws command's words for the same."""
    for pattern, fault in _WORDS:
        if pattern.search(kind) or pattern.search(message):
            return deadline.timed_out("The ECR API") if fault == "timed_out" else Fault(fault)
    return Fault("token_failed", detail=message)
