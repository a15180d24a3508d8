# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No trace, no leak, and many at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Bench

SPY = """#!/bin/bash
# The aws command, and a copy of what it says for the test to search for.
PATH=${PATH#*:}
aws "$@" | tee -a /srv/spy/said
"""


def secrets(bench: Bench) -> set[str]:
    """The token and the password that the probe has got, in each form in which it could leak."""
    said = bench.shell("cat /srv/spy/said")
    found = set()
    decoder, rest = json.JSONDecoder(), said.strip()
    while rest:
        answer, end = decoder.raw_decode(rest)
        rest = rest[end:].strip()
        for data in answer.get("authorizationData", []):
            found.add(data["authorizationToken"])
    assert found
    return found


def password_of(token: str) -> str:
    """The password in a token."""
    import base64

    return base64.b64decode(token).decode().partition(":")[2]


class Watch:
    """Every command line of this machine, sampled until it is told to stop."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(process.read_bytes())
                except OSError:
                    continue

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("engine", ["docker", "podman", "registry"])
def test_the_token_shows_nowhere(bench: Bench, tmp_path: Path, engine: str) -> None:
    bench.shell(
        "mkdir -p /srv/spy/bin /srv/spy/nobotocore && chmod 700 /srv/spy && rm -f /srv/spy/said && "
        "echo 'raise ImportError' > /srv/spy/nobotocore/botocore.py"
    )
    script = tmp_path / "aws"
    script.write_text(SPY)
    bench.shell(f"cat > /srv/spy/bin/aws <<'END'\n{SPY}\nEND\nchmod 755 /srv/spy/bin/aws")
    repository = bench.repository(deny={"pusher": ["ecr:GetDownloadUrlForLayer"]})
    with Watch() as watch:
        ran = bench.probe(
            "pusher",
            {
                "PATH": "/srv/spy/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": f"/srv/spy/nobotocore:{bench.packages}",
            },
            repository=repository,
            engine=engine,
        )
    push, pull = ran.returned["results"]
    assert (push["outcome"], pull["outcome"]) == ("allowed", "denied")
    tokens = secrets(bench)
    forms = {form for token in tokens for form in (token[:60], password_of(token)[:60])}
    forms |= {b64encode(b"AWS:" + password_of(token).encode()).decode()[:60] for token in tokens}
    assert any(engine.encode() in line for line in watch.seen), "the watch saw nothing of the run"
    for form in forms:
        assert form not in ran.raw
        assert not [line for line in watch.seen if form.encode() in line]
        for log in bench.directory.glob("*.log"):
            assert form not in log.read_text(errors="replace")
    patterns = bench.directory.parent / f"forms-{engine}"
    patterns.write_text("\n".join(sorted(forms)) + "\n")
    found = subprocess.run(
        bench.inside(
            [
                "grep", "-rlF", "-f", "/dev/stdin", "--exclude-dir=spy", "--exclude-dir=overlay2",
                "/run", "/tmp", "/root", "/home", "/srv",
                "/var/log", "/var/tmp", "/var/lib/docker", "/var/lib/containers",
            ]
        ),
        stdin=patterns.open(),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    patterns.unlink()
    assert found.stdout == ""
    bench.shell("rm -rf /srv/spy")
    assert bench.leftovers() == ""


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_what_a_killed_run_left_the_next_run_removes(bench: Bench, engine: str) -> None:
    repository = bench.repository()
    bench.fault("hang", path="/blobs/uploads/")
    process = bench.start_probe("pusher", repository=repository, engine=engine, actions=["push"], timeout=60)
    until = time.monotonic() + 20
    while engine + " push" not in bench.shell("ps -eo args | sed 's,/usr/bin/,,; s, --[^ ]*,,g'"):
        assert time.monotonic() < until
        time.sleep(0.1)
    (module,) = [
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/cmdline")
        if b"access_probe.py" in _read(status)
        and b"nsenter" not in _read(status)
        and _read(status).startswith(b"/usr/bin")
    ]
    os.kill(module, signal.SIGKILL)
    process.communicate()
    assert "run-" in bench.shell("ls /run/policyproof-probe")
    time.sleep(0.3)
    assert engine + " push" not in bench.shell("ps -eo args | sed 's,/usr/bin/,,; s, --[^ ]*,,g'")
    bench.no_faults()
    following = bench.probe("pusher", repository=repository, engine=engine, actions=["push"]).only
    assert following["outcome"] == "allowed"
    assert bench.leftovers() == ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_cleans_up_itself(bench: Bench, ending: signal.Signals) -> None:
    repository = bench.repository()
    bench.fault("hang", path="/blobs/uploads/")
    process = bench.start_probe("pusher", repository=repository, engine="docker", actions=["push"], timeout=60)
    until = time.monotonic() + 20
    while "docker push" not in bench.shell("ps -eo args | sed 's,/usr/bin/,,'"):
        assert time.monotonic() < until
        time.sleep(0.1)
    bench.shell(f"kill -{int(ending)} $(ps -eo pid,args | awk '/[a]ccess_probe.py/ {{print $1}}')")
    out, _err = process.communicate(timeout=10)
    assert json.loads(out)["failed"] is True
    assert bench.leftovers() == ""


@pytest.mark.parametrize("engine", ["docker", "registry"])
def test_ten_at_once(bench: Bench, engine: str) -> None:
    repository = bench.repository()
    begin = time.monotonic()
    processes = [bench.start_probe("pusher", repository=repository, engine=engine) for _turn in range(10)]
    ran = [bench.finish(process, begin) for process in processes]
    outcomes = [result["outcome"] for one in ran for result in one.returned["results"]]
    assert outcomes == ["allowed"] * 20
    assert len({one.returned["results"][0]["digest"] for one in ran}) == 10
    assert bench.leftovers() == ""


def test_ten_pulls_of_one_image_at_once(bench: Bench) -> None:
    repository = bench.repository()
    pushed = bench.probe("pusher", repository=repository, engine="docker", actions=["push"]).only
    options = {"repository": repository, "engine": "docker", "actions": ["pull"], "tag": pushed["tag"]}
    begin = time.monotonic()
    processes = [bench.start_probe("puller", **options) for _turn in range(10)]
    for process in processes:
        pull = bench.finish(process, begin).only
        assert (pull["outcome"], pull["completed"], pull["digest"]) == ("allowed", True, pushed["digest"])
    assert bench.leftovers() == ""


def test_an_image_that_was_there_before_stays(bench: Bench) -> None:
    repository = bench.repository(deny={"half": ["ecr:GetDownloadUrlForLayer"]})
    host = repository.partition("/")[0]
    pushed = bench.probe("pusher", repository=repository, engine="registry", actions=["push"]).only
    image = f"{repository}:{pushed['tag']}"
    bench.shell(
        f"export DOCKER_CONFIG=/srv/login; aws ecr get-login-password | docker login -u AWS --password-stdin {host} "
        f"&& docker pull {image}; rm -rf /srv/login",
        caller="puller",
    )
    before = bench.shell("docker images --digests --no-trunc")
    try:
        options = {"repository": repository, "engine": "docker", "actions": ["pull"], "tag": pushed["tag"]}
        pull = bench.probe("puller", **options).only
        assert (pull["outcome"], pull["completed"]) == ("allowed", True)
        assert "had the layers already" in pull["note"]
        # The layers are there, so Docker is content; the registry is not.
        denied = bench.probe("half", **options).only
        assert (denied["outcome"], denied["denial"]["api_action"]) == ("denied", "ecr:GetDownloadUrlForLayer")
        assert bench.shell("docker images --digests --no-trunc") == before
    finally:
        bench.shell(f"docker rmi {image}")
    assert bench.leftovers() == ""


def test_the_hosts_own_configuration_is_neither_used_nor_changed(bench: Bench) -> None:
    own = '{"credsStore": "none-such", "auths": {}, "HttpHeaders": {"X-Mine": "yes"}}'
    bench.shell(
        f"mkdir -p /root/.docker && cd /root/.docker && echo '{own}' > config.json && touch -d 2020-01-01 config.json"
    )
    try:
        for engine in ("docker", "podman"):
            push = bench.probe("pusher", repository=bench.repository(), engine=engine, actions=["push"]).only
            assert push["outcome"] == "allowed", push
        assert bench.shell("cat /root/.docker/config.json; stat -c %y /root/.docker/config.json").startswith(
            own + "\n2020-01-01"
        )
    finally:
        bench.shell("rm -rf /root/.docker")


def test_check_mode_attempts_nothing(bench: Bench) -> None:
    repository = bench.repository()
    ran = bench.probe("pusher", repository=repository, engine="docker", actions=["push"], _ansible_check_mode=True)
    assert ran.returned["changed"] is True
    assert ran.returned["results"] == []
    assert "attempted nothing" in ran.returned["msg"]
    name = repository.partition("/")[2]
    assert bench.client("ecr").list_images(repositoryName=name)["imageIds"] == []
