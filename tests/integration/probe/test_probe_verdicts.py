# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may and who may not, by every engine: the three principals of the tutorial and each half of a push."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Bench

ENGINES = ["docker", "podman", "registry"]
PUSH = [
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:BatchCheckLayerAvailability",
    "ecr:PutImage",
]
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


@pytest.mark.parametrize("engine", ENGINES)
def test_who_may_pushes_and_pulls(bench: Bench, engine: str) -> None:
    ran = bench.probe("pusher", repository=bench.repository(), engine=engine)
    push, pull = ran.returned["results"]
    assert [push["outcome"], pull["outcome"]] == ["allowed", "allowed"], ran.returned
    assert push["completed"] and pull["completed"]
    assert push["digest"] is not None
    assert push["digest"] == pull["digest"]
    assert ran.returned["changed"] is True
    assert push["engine"]["name"] == engine
    assert ran.seconds < 4
    assert bench.leftovers() == ""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("api_action", PUSH)
def test_a_push_denied_half_way_names_the_action_that_stopped_it(bench: Bench, engine: str, api_action: str) -> None:
    repository = bench.repository(deny={"pusher": [api_action]})
    push = bench.probe("pusher", repository=repository, engine=engine, actions=["push"]).only
    assert push["outcome"] == "denied", push
    assert push["denial"]["api_action"] == api_action
    assert push["denial"]["policy_type"] == "resource-based policy"
    assert push["denial"]["explicit"] is True
    assert push["duration_s"] < 3
    assert bench.leftovers() == ""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("api_action", PULL)
def test_a_pull_denied_half_way_names_the_action_that_stopped_it(bench: Bench, engine: str, api_action: str) -> None:
    repository = bench.repository(deny={"puller": [api_action]})
    pushed = bench.probe("pusher", repository=repository, engine="registry", actions=["push"]).only
    pull = bench.probe("puller", repository=repository, engine=engine, actions=["pull"], tag=pushed["tag"]).only
    assert pull["outcome"] == "denied", pull
    assert pull["denial"]["api_action"] == api_action
    assert bench.leftovers() == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pull_of_what_is_not_there_is_allowed_and_incomplete(bench: Bench, engine: str) -> None:
    pull = bench.probe("puller", repository=bench.repository(), engine=engine, actions=["pull"], tag="none").only
    assert (pull["outcome"], pull["completed"], pull["digest"]) == ("allowed", False, None)
    assert "no such image" in pull["note"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_refusal_that_the_registry_hides_from_docker_is_heard_in_a_second(bench: Bench, engine: str) -> None:
    repository = bench.repository(deny={"pusher": PUSH})
    bench.fault("hidden_refusal")
    push = bench.probe("pusher", repository=repository, engine=engine, actions=["push"]).only
    assert push["outcome"] == "denied", push
    assert push["denial"]["policy_type"] == "resource-based policy"
    # Podman is refused on HEAD, which only the ECR API can explain.
    assert push["duration_s"] < (1 if engine != "podman" else 2.5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pull_by_digest(bench: Bench, engine: str) -> None:
    repository = bench.repository()
    pushed = bench.probe("pusher", repository=repository, engine=engine, actions=["push"]).only
    pull = bench.probe("puller", repository=repository, engine=engine, actions=["pull"], tag=pushed["digest"]).only
    assert (pull["outcome"], pull["completed"], pull["digest"]) == ("allowed", True, pushed["digest"])
    assert bench.leftovers() == ""


@pytest.mark.parametrize("engine", ["docker", "podman", "registry"])
def test_skopeo_sees_what_was_pushed(bench: Bench, engine: str) -> None:
    repository = bench.repository()
    pushed = bench.probe("pusher", repository=repository, engine=engine, actions=["push"]).only
    seen = bench.shell(
        "aws ecr get-login-password | skopeo login --authfile /tmp/witness.json --username AWS --password-stdin "
        f"{repository.partition('/')[0]} >/dev/null && "
        "skopeo inspect --authfile /tmp/witness.json --format '{{.Digest}}' "
        f"docker://{repository}:{pushed['tag']}; "
        "rm -f /tmp/witness.json",
        caller="puller",
    )
    assert seen.strip() == pushed["digest"]


def test_nobody_may_have_a_token(bench: Bench) -> None:
    bench.caller("tokenless")
    iam = bench.client("iam")
    iam.put_role_policy(
        RoleName="tokenless",
        PolicyName="no-token",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"ecr:GetAuthorizationToken","Resource":"*"}]}',
    )
    for engine in ENGINES:
        ran = bench.probe("tokenless", repository=bench.repository(), engine=engine)
        for result in ran.returned["results"]:
            assert result["outcome"] == "denied", result
            assert result["denial"]["api_action"] == "ecr:GetAuthorizationToken"
            assert result["denial"]["policy_type"] == "identity-based policy"
            assert result["denial"]["explicit"] is True
