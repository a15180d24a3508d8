# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that is cut short leaves a state from which the same command succeeds."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def begin_site(deployment):
    """Start site.yml in a process group of its own, as a terminal would."""
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(CHECKOUT / "inventory" / "lab"), "policyproof.ecr.site"],
        cwd=deployment.directory,
        env=deployment.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(condition, seconds=240):
    """Wait until something is so; fail if it never is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.2)


def instances(deployment):
    """How many instances the lab runs."""
    if not (deployment.lab_directory / "lab.json").exists():
        return 0
    return len(deployment.client("ec2").describe_instances()["Reservations"])


def processes_of_instances(deployment):
    """Whoever has something of the lab's directory mounted."""
    return deployment.command("sh", "-c", f"grep -l {deployment.lab_directory} /proc/[0-9]*/mountinfo || true").stdout


def test_the_same_command_succeeds_after_ansible_is_killed_and_after_the_lab_is(deployment):
    run = begin_site(deployment)
    wait_for(lambda: instances(deployment) > 0 or run.poll() is not None)
    assert run.poll() is None, "site.yml ended by itself"
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()

    assert deployment.playbook("policyproof.ecr.site").status == 0
    assert {row["verdict"] for row in deployment.access().values()} == {"proven"}

    pid = int(deployment.description["pid"])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: deployment.lab("status")["up"] is False, 10)
    # The kernel ends an instance's processes as soon as it notices; that takes it a moment.
    wait_for(lambda: not processes_of_instances(deployment), 15)

    assert deployment.playbook("policyproof.ecr.site").status == 0
    assert {row["verdict"] for row in deployment.access().values()} == {"proven"}
