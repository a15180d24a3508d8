# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every fault, switched on over HTTP and met by a client, for one caller while another sees nothing of it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.policyproof.ecr.lab.faults import KINDS
from botocore.exceptions import ClientError, ReadTimeoutError

if TYPE_CHECKING:
    from .conftest import Answer, LabOfEcr, RegistryClient

REPOSITORY = "fa-085"
BEGIN = ("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
PULL = ("GET", f"/v2/{REPOSITORY}/manifests/v1")


@pytest.fixture
def clients(lab: LabOfEcr) -> tuple[RegistryClient, RegistryClient]:
    """Somebody whom faults will strike, ``i-0struck``, and somebody else. There is an image, v1."""
    struck = lab.registry(lab.session(lab.role("struck"), "i-0struck"))
    spared = lab.registry(lab.session(lab.role("spared"), "i-0spared"))
    spared.push("v1")
    return struck, spared


def answered(client: RegistryClient, method: str, target: str) -> tuple[int, str]:
    """Status, and what the content is: an error's code, a web page, or the content's first words."""
    answer = client(method, target)
    text = answer.content.decode()
    if text.startswith("{") and "errors" in text:
        return answer.status, answer.error[0]
    return answer.status, "page" if "<html>" in text else text[:20]


@pytest.mark.parametrize(
    ("fault", "request_", "expected"),
    [
        ("too_many", BEGIN, (429, "TOOMANYREQUESTS")),
        ("too_many_retry_after", BEGIN, (429, "TOOMANYREQUESTS")),
        ("status_500", BEGIN, (500, "UNKNOWN")),
        ("html_502", BEGIN, (502, "page")),
        ("bare_403", BEGIN, (403, "")),
        ("html_403", BEGIN, (403, "page")),
        ("token_expired", PULL, (403, "DENIED")),
        ("unauthorized", PULL, (401, "Not Authorized\n")),
        ("scan_block", PULL, (403, "DENIED")),
        ("size_limit", ("PUT", f"/v2/{REPOSITORY}/manifests/v2"), (413, "SIZE_INVALID")),
    ],
)
def test_answers_in_place_of_the_right_one(
    lab: LabOfEcr,
    clients: tuple[RegistryClient, RegistryClient],
    fault: str,
    request_: tuple[str, str],
    expected: tuple[int, str],
) -> None:
    struck, spared = clients
    lab.fault(fault, caller="i-0struck")
    assert answered(struck, *request_) == expected
    assert answered(spared, *request_) != expected
    lab.control("DELETE", f"/{fault}")
    assert answered(struck, *request_) == answered(spared, *request_) != expected


def test_says_when_to_come_again(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, _spared = clients
    lab.fault("too_many_retry_after", times=1)
    assert struck(*BEGIN).headers["Retry-After"] == "1"
    lab.fault("too_many", times=1)
    assert "Retry-After" not in struck(*BEGIN).headers
    assert struck(*BEGIN).status == 202


def test_once_and_half_way(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, _spared = clients
    lab.fault("status_500", times=1)
    assert [struck(*PULL).status for _turn in range(3)] == [500, 200, 200]
    lab.fault("token_expired", after=2)
    assert [struck(*PULL).status for _turn in range(4)] == [200, 200, 403, 403]
    assert struck(*PULL).error[1] == "Your authorization token has expired. Reauthenticate and try again."
    assert [switch["fault"] for switch in lab.control("GET")["on"]] == ["token_expired"]


def test_only_the_requests_that_were_meant(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, _spared = clients
    lab.fault("status_500", method="GET", path="/manifests/")
    assert (struck(*PULL).status, struck("HEAD", PULL[1]).status, struck(*BEGIN).status) == (500, 200, 202)


@pytest.mark.parametrize("fault", ["reset", "drop"])
def test_ends_of_connections(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient], fault: str) -> None:
    struck, spared = clients
    lab.fault(fault, caller="struck")
    assert struck(*PULL).status == 200
    with pytest.raises(ConnectionResetError if fault == "reset" else (http.client.RemoteDisconnected, ssl.SSLError)):
        struck(*BEGIN)
    assert spared(*BEGIN).status == 202


def test_reset_while_a_layer_is_sent(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, _spared = clients
    lab.fault("reset_mid_upload", caller="struck")
    location = struck(*BEGIN).headers["Location"]
    with pytest.raises(OSError):
        struck("PATCH", location, iter([b"x" * 100_000] * 200))
    assert struck("GET", "/v2/").status == 200


def test_hangs_until_the_client_gives_up(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, spared = clients
    lab.fault("hang", caller="struck", path="/manifests/")
    assert struck(*BEGIN).status == 202
    struck._connected().sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        struck(*PULL)
    assert spared(*PULL).status == 200


def test_hanging_does_not_keep_the_lab_from_ending(own_lab: LabOfEcr) -> None:
    registry = own_lab.registry()
    own_lab.fault("hang")
    outcome: list[BaseException] = []

    def ask() -> None:
        try:
            registry("GET", "/v2/")
        except (OSError, http.client.HTTPException) as fault:
            outcome.append(fault)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    own_lab.ecr.stop()
    thread.join(3)
    assert not thread.is_alive()
    assert len(outcome) == 1
    assert not isinstance(outcome[0], TimeoutError)


def test_json_that_ends_in_the_middle(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, spared = clients
    lab.fault("truncated_json", caller="struck")
    for target in (PULL[1], f"/v2/{REPOSITORY}/manifests/none"):
        answer = struck("GET", target)
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        with pytest.raises(ValueError, match="Unterminated|Expecting"):
            json.loads(answer.content)
    assert json.loads(spared(*PULL).content)
    assert struck(*BEGIN).status == 202


def test_wrong_digests(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, spared = clients
    digest = spared.upload(b"right bytes")
    lab.fault("wrong_digest", caller="struck")

    def layer(client: RegistryClient) -> Answer:
        return client("GET", client("GET", f"/v2/{REPOSITORY}/blobs/{digest}").headers["Location"])

    assert layer(struck).content == b"sight bytes"
    assert layer(spared).content == b"right bytes"
    with pytest.raises(AssertionError):
        struck.upload(b"other")


def test_redirects_in_a_circle(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, spared = clients
    digest = spared.upload(b"right bytes")
    lab.fault("redirect_loop", caller="struck")
    target = f"/v2/{REPOSITORY}/blobs/{digest}"
    for _turn in range(3):
        answer = struck("GET", target)
        assert answer.status == 307
        assert answer.headers["Location"] == f"https://{lab.settings.registry_host}{target}"


def test_hides_refusals_from_docker_alone(lab: LabOfEcr, clients: tuple[RegistryClient, RegistryClient]) -> None:
    struck, spared = clients
    docker = {"User-Agent": "docker/20.10.24 go/go1.19.8"}
    lab.set_policy(
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "ecr:InitiateLayerUpload",
            "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/struck"}},
        }
    )
    assert struck(*BEGIN, None, **docker).status == 403
    lab.fault("hidden_refusal")
    with pytest.raises((http.client.RemoteDisconnected, ssl.SSLError)):
        struck(*BEGIN, None, **docker)
    assert struck(*BEGIN).status == 403
    assert spared(*BEGIN, None, **docker).status == 202


def test_refused_connections(lab: LabOfEcr) -> None:
    for _turn in range(2):
        lab.fault("refuse")
        # The listener turns in a thread of its own.
        assert _eventually(lambda: isinstance(_connected(lab), ConnectionRefusedError))
        lab.control("DELETE", "/refuse")
        assert _eventually(lambda: _connected(lab) is None)
    assert lab.registry()("GET", "/v2/").status == 200


def _connected(lab: LabOfEcr) -> OSError | None:
    try:
        socket.create_connection(("127.0.0.1", lab.settings.registry_port), timeout=2).close()
    except OSError as fault:
        return fault
    return None


def _eventually(condition: Any) -> bool:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("fault", "words"), [("tls_name", "Hostname mismatch"), ("tls_unknown_ca", "unable to get local issuer")]
)
def test_certificates_that_are_not_right(lab: LabOfEcr, fault: str, words: str) -> None:
    lab.fault(fault)
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        lab.anonymous()("GET", "/v2/")
    lab.control("DELETE")
    assert lab.anonymous()("GET", "/v2/").status == 401


def test_the_token_api(lab: LabOfEcr) -> None:
    credentials = lab.session(lab.role("struck"), "i-0struck")
    struck, spared = lab.client("ecr", credentials), lab.client("ecr")
    lab.fault("token_denied", caller="i-0struck")
    with pytest.raises(ClientError, match="AccessDeniedException.*ecr:GetAuthorizationToken on resource: \\* with an"):
        struck.get_authorization_token()
    assert struck.describe_repositories()["repositories"]
    lab.control("DELETE")
    lab.fault("token_api_500", caller="i-0struck")
    with pytest.raises(ClientError, match="ServerException"):
        struck.get_authorization_token()
    assert spared.get_authorization_token()
    lab.control("DELETE")
    lab.fault("token_api_hang", caller="i-0struck")
    with pytest.raises(ReadTimeoutError):
        lab.client("ecr", credentials, patience=0.3).get_authorization_token()
    assert spared.get_authorization_token()


@pytest.mark.parametrize("service", ["ecr", "sts"])
def test_a_clock_twenty_minutes_wrong(lab: LabOfEcr, service: str) -> None:
    struck = lab.client(service, lab.session(lab.role("struck"), "i-0struck"))
    call = struck.get_authorization_token if service == "ecr" else struck.get_caller_identity
    lab.fault("clock_skew", caller="i-0struck")
    with pytest.raises(ClientError, match="Signature expired: .* is now earlier than "):
        call()
    lab.fault("clock_skew", caller="i-0struck", seconds=-1200)
    with pytest.raises(ClientError, match="Signature not yet current: "):
        call()
    lab.fault("clock_skew", caller="i-0struck", seconds=200)
    assert call()


@pytest.mark.parametrize(
    ("name", "wish", "words"),
    [
        ("no_such", {}, "none of"),
        ("refuse", {"caller": "x"}, "without a caller"),
        ("reset", {"times": "1"}, "whole numbers"),
        ("reset", {"caller": 1}, "texts"),
        ("reset", {"colour": "blue"}, "colour"),
        ("reset", [], "object"),
    ],
)
def test_wishes_that_cannot_be_fulfilled(lab: LabOfEcr, name: str, wish: Any, words: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        lab.control("PUT", f"/{name}", wish)
    with refused.value as answer:
        assert answer.code == 400
        assert words in json.load(answer)["message"]
    assert lab.control("GET")["on"] == []


def test_faults_are_listed_and_replaced_and_switched_off_by_caller(lab: LabOfEcr) -> None:
    assert set(lab.control("GET")["known"]) == set(KINDS)
    lab.fault("reset", caller="one")
    lab.fault("reset", caller="two")
    lab.fault("reset", caller="one", times=3)
    lab.fault("hang", caller="one")
    on = lab.control("GET")["on"]
    assert [(switch["fault"], switch["caller"], switch["times"]) for switch in on] == [
        ("reset", "two", None),
        ("reset", "one", 3),
        ("hang", "one", None),
    ]
    assert [switch["fault"] for switch in lab.control("DELETE", "?caller=one")["on"]] == ["reset"]
    assert lab.control("DELETE")["on"] == []


def test_the_documentation_names_every_fault() -> None:
    text = (Path(__file__).parents[4] / "docs" / "lab-faults.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z_0-9]+)` \| .* \| .*\|$", text, re.MULTILINE) == list(KINDS)
