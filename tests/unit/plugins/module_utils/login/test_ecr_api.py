# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ECR API, by botocore and by the aws command, against a server that answers as AWS does."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.login import ecr_api
from ansible_collections.policyproof.ecr.plugins.module_utils.login.ecr_api import EcrApi
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.deadline import Deadline
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import Fault, Refused

SENTENCE = (
    "User: arn:aws:sts::123456789012:assumed-role/r/i-1 is not authorized to perform: {} on resource: * "
    "because no identity-based policy allows the {} action"
)


class Aws:
    """What the next call is answered with."""

    def __init__(self) -> None:
        self.status, self.answer, self.port, self.seconds = 200, {}, 0, 0.0
        self.asked: list[tuple[str, dict]] = []

    def token(self, text: str = "AWS:pass:word") -> None:
        self.answer = {"authorizationData": [{"authorizationToken": b64encode(text.encode()).decode()}]}

    def error(self, code: str, message: str, status: int = 400) -> None:
        self.status, self.answer = status, {"__type": code, "message": message}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Aws]:
    state = Aws()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append((self.headers["X-Amz-Target"].rpartition(".")[2], body))
            time.sleep(state.seconds)
            content = json.dumps(state.answer).encode()
            self.send_response(state.status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.block_on_close = False
    state.port = http.server_address[1]
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    # The aws command of the environment that runs the tests.
    command = tmp_path / "bin" / "aws"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m awscli "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture(params=["botocore", "command"])
def api(request: pytest.FixtureRequest, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> EcrApi:
    if request.param == "command":
        pytest.importorskip("awscli")
    monkeypatch.setattr(ecr_api, "HAS_BOTOCORE", request.param == "botocore")
    return EcrApi("us-east-1", f"http://127.0.0.1:{aws.port}", Deadline(15))


def test_a_login(aws: Aws, api: EcrApi) -> None:
    aws.token()
    login = api.login("123456789012")
    assert (login.user, login.password) == ("AWS", "pass:word")
    assert aws.asked == [("GetAuthorizationToken", {"registryIds": ["123456789012"]})]


def test_a_layer_is_asked_for(aws: Aws, api: EcrApi) -> None:
    aws.answer = {"layers": [], "failures": []}
    digest = "sha256:" + "0" * 64
    api.check_layer("123456789012", "app", digest)
    assert aws.asked == [
        (
            "BatchCheckLayerAvailability",
            {"registryId": "123456789012", "repositoryName": "app", "layerDigests": [digest]},
        )
    ]


def test_a_refused_token_is_a_denial(aws: Aws, api: EcrApi) -> None:
    aws.error("AccessDeniedException", SENTENCE.format(*["ecr:GetAuthorizationToken"] * 2))
    with pytest.raises(Refused) as raised:
        api.login(None)
    denial = raised.value.denial
    assert (denial.api_action, denial.policy_type, denial.explicit) == (
        "ecr:GetAuthorizationToken",
        "identity-based policy",
        False,
    )


def test_a_refusal_in_other_words_is_still_the_services(aws: Aws, api: EcrApi) -> None:
    aws.error("AccessDeniedException", "no")
    with pytest.raises(Refused) as raised:
        api.login(None)
    assert (raised.value.denial.api_action, raised.value.denial.explicit) == ("ecr:GetAuthorizationToken", None)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            "credentials_refused",
        ),
        ("ExpiredTokenException", "The security token included in the request is expired", "credentials_refused"),
        (
            "InvalidSignatureException",
            "Signature expired: 20261123T2000Z is now earlier than 20261123T2020Z",
            "clock_wrong",
        ),
        ("RequestTimeTooSkewed", "too large", "clock_wrong"),
        ("AccessDeniedException", SENTENCE.format(*["sts:AssumeRole"] * 2), "token_failed"),
        ("ServerException", "oops", "token_failed"),
        ("RepositoryNotFoundException", "There is no such repository", "repository_missing"),
    ],
)
def test_everything_else_is_a_fault(aws: Aws, api: EcrApi, code: str, message: str, kind: str) -> None:
    aws.error(code, message)
    with pytest.raises(Fault) as raised:
        api.login(None)
    assert raised.value.kind == kind, raised.value


@pytest.mark.parametrize(
    "answer", [{}, {"authorizationData": []}, {"authorizationData": [{"authorizationToken": "?"}]}]
)
def test_an_answer_without_a_token(aws: Aws, api: EcrApi, answer: dict) -> None:
    aws.answer = answer
    with pytest.raises(Fault) as raised:
        api.login(None)
    assert raised.value.kind == "token_failed"


def test_no_credentials(aws: Aws, api: EcrApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Fault) as raised:
        api.login(None)
    assert raised.value.kind == "no_credentials"


def test_no_region(aws: Aws, api: EcrApi) -> None:
    api.region = None
    with pytest.raises(Fault) as raised:
        api.login(None)
    assert raised.value.kind == "no_region"


def test_nobody_there(aws: Aws, api: EcrApi) -> None:
    api.endpoint_url = "http://127.0.0.1:9"
    with pytest.raises(Fault) as raised:
        api.login(None)
    assert raised.value.kind == "token_failed"
    assert "127.0.0.1:9" in raised.value.cause


def test_an_api_that_does_not_answer(aws: Aws, api: EcrApi) -> None:
    aws.seconds = 20
    api.deadline = Deadline(2)
    begin = time.monotonic()
    with pytest.raises(Fault) as raised:
        api.login(None)
    assert raised.value.kind == "timed_out"
    assert time.monotonic() - begin < 12


def test_neither_botocore_nor_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecr_api, "HAS_BOTOCORE", False)
    monkeypatch.setattr(ecr_api.shutil, "which", lambda *_args, **_named: None)
    with pytest.raises(Fault) as raised:
        EcrApi("us-east-1", None, Deadline(5)).login(None)
    assert raised.value.kind == "no_aws_client"


def test_the_environment_says_where_aws_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert (EcrApi(None, None, Deadline(1)).endpoint_url, EcrApi(None, None, Deadline(1)).region) == (
        "http://all",
        "eu-west-1",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://ecr")
    assert EcrApi(None, None, Deadline(1)).endpoint_url == "http://ecr"
    assert EcrApi("us-east-1", "http://told", Deadline(1)).endpoint_url == "http://told"
