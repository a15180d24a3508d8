# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose login an engine uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Bench

HELPER = """#!/bin/sh
# A credential helper that asks the ECR API, as Amazon's does.
[ "$1" = get ] || exit 1
read host
printf '{"ServerURL": "%s", "Username": "AWS", "Secret": "%s"}' "$host" "$(aws ecr get-login-password)"
"""


@pytest.fixture
def helper(bench: Bench) -> Iterator[str]:
    """A host whose user has a credential helper, for Docker and for Podman; its configuration."""
    bench.shell(
        f"cd /usr/local/bin; cat > docker-credential-bench <<'END'\n{HELPER}\nEND\nchmod 755 docker-credential-bench"
    )
    own = f'{{"credHelpers": {{"{bench.lab["registry_host"]}": "bench"}}}}'
    bench.shell(f"mkdir -p /root/.docker && echo '{own}' > /root/.docker/config.json")
    yield own
    bench.shell("rm -rf /root/.docker /usr/local/bin/docker-credential-bench")


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_helper_that_is_asked_for_is_used(bench: Bench, helper: str, engine: str) -> None:
    ran = bench.probe("pusher", repository=bench.repository(), engine=engine, login="host")
    assert [result["outcome"] for result in ran.returned["results"]] == ["allowed", "allowed"], ran.returned
    assert bench.shell("cat /root/.docker/config.json").strip() == helper


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_who_is_logged_in_by_a_helper_is_denied_all_the_same(bench: Bench, helper: str, engine: str) -> None:
    repository = bench.repository(deny={"pusher": ["ecr:InitiateLayerUpload"]})
    bench.fault("hidden_refusal")
    push = bench.probe("pusher", repository=repository, engine=engine, login="host", actions=["push"]).only
    assert (push["outcome"], push["denial"]["api_action"]) == ("denied", "ecr:InitiateLayerUpload")


@pytest.mark.parametrize("engine", ["docker", "podman"])
@pytest.mark.parametrize("action", ["push", "pull"])
def test_nobody_logged_in_is_an_error_and_no_denial(bench: Bench, engine: str, action: str) -> None:
    options = {"engine": engine, "login": "host", "actions": [action], "tag": "probe-x"}
    result = bench.probe("pusher", repository=bench.repository(), **options).only
    assert (result["outcome"], result["denial"]) == ("error", None), f"{result}"
    # To a name in 127.0.0.0/8, Docker's pull goes on over plain HTTP, and drops what it heard of the login.
    heard = "refusal_unconfirmed" if (engine, action) == ("docker", "pull") else "not_logged_in"
    assert result["fault"] == heard, f"{result}"


def test_a_store_that_cannot_store(bench: Bench) -> None:
    bench.shell(
        "mkdir -p /srv/broken && printf '%s\\n' 'credential-helpers = [\"none-such\"]' > /srv/broken/registries.conf"
    )
    try:
        broken = {"CONTAINERS_REGISTRIES_CONF": "/srv/broken/registries.conf"}
        push = bench.probe("pusher", broken, repository=bench.repository(), engine="podman", actions=["push"]).only
    finally:
        bench.shell("rm -rf /srv/broken")
    assert (push["outcome"], push["fault"]) == ("error", "credential_store"), f"{push}"
