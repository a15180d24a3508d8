# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every fault, through the real client: what it is called, and that it is never a denial. See ``docs/faults.md``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Bench

ALL = ("docker", "podman", "registry")
VERIFYING = ("podman", "registry")  # Docker Engine does not verify names that resolve into 127.0.0.0/8

# fault switched on, its arguments, action, what the probe calls it, engines
REGISTRY = [
    ("refuse", {}, "push", "connection_refused", ALL),
    ("reset", {}, "push", "connection_reset", ALL),
    ("reset_mid_upload", {}, "push", "connection_reset", ALL),
    ("drop", {}, "push", "connection_reset", ALL),
    ("too_many", {}, "push", "throttled", ALL),
    ("too_many_retry_after", {}, "push", "throttled", ALL),
    ("too_many", {}, "pull", "throttled", ALL),
    ("status_500", {}, "push", "server_failing", ALL),
    ("status_500", {}, "pull", "server_failing", ALL),
    ("html_502", {}, "push", "server_failing", ALL),
    ("html_502", {}, "pull", "server_failing", ALL),
    ("truncated_json", {}, "pull", "garbled_answer", ALL),
    ("wrong_digest", {}, "pull", "digest_mismatch", ALL),
    ("redirect_loop", {}, "pull", "redirect_loop", ALL),
    ("token_expired", {"path": "/blobs/", "after": 1}, "push", "token_expired", ALL),
    ("token_expired", {"path": "/blobs/"}, "pull", "token_expired", ALL),
    ("token_expired", {}, "pull", "token_expired", ALL),
    ("unauthorized", {}, "push", "not_logged_in", ALL),
    ("unauthorized", {"path": "/blobs/"}, "push", "not_logged_in", ALL),
    ("unauthorized", {"path": "/manifests/"}, "pull", "not_logged_in", ALL),
    ("tls_name", {}, "push", "tls_name", VERIFYING),
    ("tls_unknown_ca", {}, "push", "tls_unknown_ca", VERIFYING),
    ("bare_403", {"path": "/blobs/"}, "push", "refused_without_reason", ALL),
    ("bare_403", {"path": "/manifests/"}, "pull", "refused_without_reason", ALL),
    ("html_403", {"path": "/blobs/"}, "push", "refused_without_reason", ALL),
    ("html_403", {"path": "/manifests/"}, "pull", "refused_without_reason", ALL),
    ("scan_block", {}, "push", "refused_by_registry", ALL),
    ("scan_block", {}, "pull", "refused_by_registry", ALL),
    ("size_limit", {}, "push", "too_large", ALL),
]
CASES = [
    pytest.param(name, wish, action, fault, engine, id=f"{name}-{'-'.join(map(str, wish.values()))}-{action}-{engine}")
    for name, wish, action, fault, engines in REGISTRY
    for engine in engines
]


def attempt(bench: Bench, engine: str, action: str, **options: Any) -> dict[str, Any]:
    """Attempt as somebody who may do everything."""
    repository = bench.repository()
    tag = {}
    if action == "pull":
        tag = {"tag": bench.probe("pusher", repository=repository, engine="registry", actions=["push"]).only["tag"]}
    bench.fault(options["fault"], **options["wish"])
    return bench.probe("pusher", repository=repository, engine=engine, actions=[action], timeout=20, **tag).only


def is_fault(result: dict[str, Any], fault: str) -> None:
    """An error with its name, cause and remedy, and nothing that looks like a verdict."""
    assert (result["outcome"], result["fault"]) == ("error", fault), f"{result}"
    assert result["denial"] is None
    assert result["completed"] is False
    for sentence in (result["error"], result["remedy"]):
        assert not sentence[0].islower() and sentence.endswith(".") and not sentence.endswith("unknown."), sentence


@pytest.mark.parametrize(("name", "wish", "action", "fault", "engine"), CASES)
def test_a_fault_of_the_registry_is_an_error(
    bench: Bench, name: str, wish: dict[str, Any], action: str, fault: str, engine: str
) -> None:
    result = attempt(bench, engine, action, fault=name, wish=wish)
    is_fault(result, fault)
    # Podman waits by itself where it is told to come back later.
    assert result["duration_s"] < (9 if fault == "throttled" else 6)
    assert bench.leftovers() == ""


@pytest.mark.parametrize("engine", ALL)
@pytest.mark.parametrize(
    ("name", "wish"),
    [
        ("status_500", {"path": "/blobs/uploads/", "times": 1}),
        ("reset", {"times": 1}),
        ("too_many", {"path": "/blobs/uploads/", "times": 1}),
        ("too_many_retry_after", {"path": "/blobs/uploads/", "times": 1}),
    ],
)
def test_a_failure_in_passing_is_overcome(bench: Bench, name: str, wish: dict[str, Any], engine: str) -> None:
    result = attempt(bench, engine, "push", fault=name, wish=wish)
    assert (result["outcome"], result["completed"]) == ("allowed", True), f"{result}"


@pytest.mark.parametrize("engine", ALL)
@pytest.mark.parametrize("action", ["push", "pull"])
def test_a_registry_that_never_answers_costs_the_timeout_and_no_more(bench: Bench, engine: str, action: str) -> None:
    repository = bench.repository()
    bench.fault("hang", path="/v2/app-")
    ran = bench.probe("pusher", repository=repository, engine=engine, actions=[action], timeout=4, tag="probe-x")
    is_fault(ran.only, "timed_out")
    assert 4 <= ran.returned["duration_s"] < 5
    assert "4 seconds" in ran.only["error"]


@pytest.mark.parametrize("engine", ALL)
def test_a_name_that_nobody_resolves(bench: Bench, engine: str) -> None:
    result = bench.probe("pusher", repository="registry.invalid:5000/app", engine=engine, actions=["push"]).only
    is_fault(result, "dns_failure")


@pytest.mark.parametrize("engine", ALL)
@pytest.mark.parametrize("action", ["push", "pull"])
def test_a_missing_repository(bench: Bench, engine: str, action: str) -> None:
    repository = f"{bench.lab['registry_host']}/not-there"
    is_fault(
        bench.probe("pusher", repository=repository, engine=engine, actions=[action], tag="probe-x").only,
        "repository_missing",
    )


@pytest.mark.parametrize("engine", ALL)
def test_a_tag_that_may_not_be_moved(bench: Bench, engine: str) -> None:
    repository = bench.repository(imageTagMutability="IMMUTABLE")
    first, second = (
        bench.probe("pusher", repository=repository, engine=engine, actions=["push"], tag="probe-same").only
        for _turn in range(2)
    )
    assert first["outcome"] == "allowed"
    is_fault(second, "tag_immutable")


def test_the_token_that_the_api_refuses_is_a_denial(bench: Bench) -> None:
    bench.fault("token_denied")
    for result in bench.probe("pusher", repository=bench.repository(), engine="registry").returned["results"]:
        assert (result["outcome"], result["fault"]) == ("denied", None), result
        assert result["denial"]["api_action"] == "ecr:GetAuthorizationToken"


def test_the_ecr_api_fails(bench: Bench) -> None:
    bench.fault("token_api_500")
    is_fault(
        bench.probe("pusher", repository=bench.repository(), engine="registry", actions=["push"]).only, "token_failed"
    )


def test_the_ecr_api_never_answers(bench: Bench) -> None:
    bench.fault("token_api_hang")
    ran = bench.probe("pusher", repository=bench.repository(), engine="docker", actions=["push"], timeout=3)
    is_fault(ran.only, "timed_out")
    assert ran.returned["duration_s"] < 4


def test_no_credentials(bench: Bench) -> None:
    is_fault(
        bench.probe(None, repository=bench.repository(), engine="registry", actions=["push"]).only, "no_credentials"
    )


def test_the_metadata_service_is_off(bench: Bench) -> None:
    off = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"}
    result = bench.probe(None, off, repository=bench.repository(), engine="registry", actions=["push"]).only
    is_fault(result, "no_credentials")


def test_credentials_that_aws_does_not_know(bench: Bench) -> None:
    strange = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    result = bench.probe(None, strange, repository=bench.repository(), engine="registry", actions=["push"]).only
    is_fault(result, "credentials_refused")


def test_a_clock_that_is_twenty_minutes_wrong(bench: Bench) -> None:
    repository = bench.repository()
    bench.caller("pusher")
    bench.fault("clock_skew", seconds=1200)
    result = bench.probe("pusher", repository=repository, engine="registry", actions=["push"]).only
    is_fault(result, "clock_wrong")


def test_an_engine_that_is_not_installed(bench: Bench) -> None:
    result = bench.probe("pusher", repository=bench.repository(), engine="nerdctl", actions=["push"]).only
    is_fault(result, "engine_missing")


def test_an_engine_that_the_user_may_not_use(bench: Bench) -> None:
    result = bench.probe(
        "pusher", user="ec2-user", repository=bench.repository(), engine="docker", actions=["push"]
    ).only
    is_fault(result, "engine_not_permitted")
    assert bench.leftovers() == ""


def test_an_engine_that_does_not_run_is_no_reason_to_take_another(bench: Bench) -> None:
    bench.stop_docker()
    try:
        result = bench.probe("pusher", repository=bench.repository(), engine="auto", actions=["push"]).only
    finally:
        bench.start_docker()
    is_fault(result, "engine_not_running")
    assert result["engine"]["name"] == "docker"


def test_an_engine_that_is_killed_during_the_push(bench: Bench) -> None:
    repository = bench.repository()
    bench.fault("hang", path="/blobs/uploads/")
    begin = time.monotonic()
    process = bench.start_probe("pusher", repository=repository, engine="docker", actions=["push"], timeout=30)
    time.sleep(3)
    try:
        bench.shell("kill -9 $(cat /var/run/docker.pid)")
        result = bench.finish(process, begin).only
    finally:
        bench.no_faults()
        bench.shell("rm -f /var/run/docker.pid; kill -9 $(cat /run/docker/containerd/containerd.pid)", check=False)
        bench.start_docker()
    is_fault(result, "engine_died")
    # What the dead daemon could not remove, the next run does.
    bench.probe("pusher", repository=repository, engine="docker", actions=["push"])
    assert bench.leftovers() == ""


def test_a_disk_that_is_full(bench: Bench) -> None:
    bench.shell(
        "mkdir -p /srv/small && mount -t tmpfs -o size=24m tmpfs /srv/small && "
        "(setsid dockerd -H unix:///srv/small.sock --data-root /srv/small --exec-root /srv/exec -p /srv/small.pid "
        ">/srv/small.log 2>&1 </dev/null &) ; "
        "for i in $(seq 100); do docker -H unix:///srv/small.sock info >/dev/null 2>&1 && break; sleep .2; done;"
        "dd if=/dev/zero of=/srv/small/fill bs=4k 2>/dev/null; true"
    )
    try:
        result = bench.probe(
            "pusher", {"DOCKER_HOST": "unix:///srv/small.sock"}, repository=bench.repository(), engine="docker",
            actions=["push"],
        ).only  # fmt: skip
    finally:
        bench.shell("kill -9 $(cat /srv/small.pid); sleep .5; umount -l /srv/small", check=False)
    is_fault(result, "disk_full")
