# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long an answer takes: the probe beside the plain ``docker`` commands of the tutorial, in one run on one instance.

Run it as root with ``python -m benchmarks.probe``. The registry drops the connection where it would refuse docker's
uploads, which is what the tutorial's author saw; so the plain push takes its fifty seconds.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

from ansible_collections.policyproof.ecr.tests.integration.probe.conftest import PULL, PUSH, Bench, Outcome

ROUNDS = 3
ENGINES = ("docker", "podman", "registry")


def plain(bench: Bench, caller: str, repository: str, command: str) -> tuple[float, str]:
    """Seconds that a docker command takes, logged in, and the last of its words."""
    host = repository.partition("/")[0]
    login = f"aws ecr get-login-password | docker login -u AWS --password-stdin {host} >/dev/null 2>&1"
    bench.shell(f"export DOCKER_CONFIG=/srv/plain; {login}", caller=caller)
    begin = time.monotonic()
    said = bench.shell(f"export DOCKER_CONFIG=/srv/plain; {command} 2>&1", timeout=120, check=False, caller=caller)
    return time.monotonic() - begin, said.strip().splitlines()[-1]


def quietly(bench: Bench, caller: str, **options: object) -> Outcome:
    """Run the probe; what it returns is for tests to print, not for this."""
    with contextlib.redirect_stdout(io.StringIO()):
        return bench.probe(caller, **options)


def probed(bench: Bench, caller: str, **options: object) -> tuple[float, float, str, int | None]:
    """Median seconds of attempts and of whole runs of the module, the outcome, and the content moved."""
    runs = [quietly(bench, caller, **options) for _turn in range(ROUNDS)]
    results = [run.only for run in runs]
    denial = results[0]["denial"]
    moved = results[0]["bytes_sent"]
    return (
        statistics.median(result["duration_s"] for result in results),
        statistics.median(run.seconds for run in runs),
        f"{results[0]['outcome']} {denial['api_action']}" if denial else results[0]["outcome"],
        None if moved is None else moved + results[0]["bytes_received"],
    )


def show(what: str, seconds: float, whole: float | None, outcome: str, moved: int | None = None) -> None:
    """One line of the table."""
    total = "" if whole is None else f"{whole:6.2f} s"
    print(f"{what:<34} {seconds:6.2f} s  {total:>9}  {'' if moved is None else moved:>5}  {outcome}", flush=True)


def measure(bench: Bench) -> None:
    """Print the table."""
    open_repository = bench.repository()
    closed = bench.repository(deny={"outsider": PUSH + PULL})
    image = quietly(bench, "insider", repository=closed, engine="registry", actions=["push"]).only["tag"]
    bench.fault("hidden_refusal", caller="outsider")
    print(f"{'what':<34} {'attempt':>8}  {'module':>9}  bytes  outcome")
    tar = "tar -C /etc -c hostname | docker import - " + f"{closed}:plain >/dev/null"
    bench.shell(tar)
    seconds, words = plain(bench, "outsider", closed, f"docker push {closed}:plain")
    show("docker push, denied, plain", seconds, None, words)
    seconds, words = plain(bench, "outsider", closed, f"docker pull {closed}:{image}")
    show("docker pull, denied, plain", seconds, None, words[-60:])
    bench.shell(f"docker rmi {closed}:plain; rm -rf /srv/plain")
    for engine in ENGINES:
        for action, tag in (("push", {}), ("pull", {"tag": image})):
            options = {"engine": engine, "actions": [action], **tag}
            show(f"{engine} {action}, denied, probed", *probed(bench, "outsider", repository=closed, **options))
    pushed = quietly(bench, "insider", repository=open_repository, engine="registry", actions=["push"]).only["tag"]
    for engine in ENGINES:
        for action, tag in (("push", {}), ("pull", {"tag": pushed})):
            options = {"engine": engine, "actions": [action], **tag}
            show(
                f"{engine} {action}, allowed, probed", *probed(bench, "insider", repository=open_repository, **options)
            )


def main() -> None:
    """Measure on a lab of its own."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory) / "lab")
        try:
            bench.start()
            measure(bench)
        finally:
            bench.lab_command("down")


if __name__ == "__main__":
    main()
