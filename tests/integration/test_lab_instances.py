# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Instances of a lab: what they are like inside, and that nothing of them stays."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.tests.support.conversation import eventually, run_on
from botocore.exceptions import ClientError

IMAGE = "ami-12c6146b"


class Instances:
    """A running lab with one instance for all tests that only look, and others for those that change something."""

    def __init__(self, deployment) -> None:
        deployment.lab("up")
        self.deployment = deployment
        self.ec2, self.ssm, self.iam = (deployment.client(service) for service in ("ec2", "ssm", "iam"))
        self.directory = deployment.lab_directory / "instances"
        trust = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            },
        }
        self.iam.create_role(RoleName="carried", AssumeRolePolicyDocument=json.dumps(trust))
        core = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
        self.iam.attach_role_policy(RoleName="carried", PolicyArn=core)
        self.iam.create_instance_profile(InstanceProfileName="carrier")
        self.iam.add_role_to_instance_profile(InstanceProfileName="carrier", RoleName="carried")
        self.one = self.run()

    def run(self) -> str:
        """Run an instance; its id."""
        answer = self.ec2.run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": "carrier"},
            MetadataOptions={"HttpTokens": "required"},
        )
        return answer["Instances"][0]["InstanceId"]

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance."""
        self.ec2.terminate_instances(InstanceIds=[instance_id])

    def shell(self, script: str, instance_id: str | None = None) -> str:
        """Run a script on an instance."""
        return run_on(self.ssm, instance_id or self.one, script)

    def processes(self, instance_id: str) -> list[int]:
        """The processes, seen from outside, that have this instance's file system as their root."""
        marks = [Path(f"/proc/{pid}/mountinfo") for pid in os.listdir("/proc") if pid.isdigit()]
        found = []
        for mark in marks:
            try:
                mounts = mark.read_text(encoding="utf-8")
            except OSError:
                continue
            if f"upperdir={self.directory / instance_id}/" in mounts:
                found.append(int(mark.parent.name))
        return found


@pytest.fixture(scope="module")
def instances(deployment):
    return Instances(deployment)


@pytest.fixture
def another(instances):
    instance_id = instances.run()
    yield instance_id
    instances.terminate(instance_id)


def test_it_is_named_as_ec2_names_it(instances):
    (reservation,) = instances.ec2.describe_instances(InstanceIds=[instances.one])["Reservations"]
    address = reservation["Instances"][0]["PrivateIpAddress"]
    name = "ip-" + address.replace(".", "-")
    assert instances.shell("hostname; hostname -f").split() == [name, f"{name}.ec2.internal"]


def test_the_session_is_ssm_users_and_sudo_asks_nothing(instances):
    output = instances.shell("id -un; echo $HOME; sudo -n id -u; sudo -n -u ec2-user id -u; tty <&1; umask")
    assert output.split() == ["ssm-user", "/home/ssm-user", "0", "1000", "/dev/pts/0", "0022"]


def test_the_environment_is_the_instances(instances):
    lines = dict(line.split("=", 1) for line in instances.shell("env").splitlines() if "=" in line)
    assert lines["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert lines["AWS_ENDPOINT_URL"] == instances.deployment.description["aws_endpoint"]
    assert lines["AWS_EC2_METADATA_SERVICE_ENDPOINT"].startswith("http://127.0.0.1:")
    assert lines["AWS_REGION"] == lines["AWS_DEFAULT_REGION"] == "us-east-1"
    assert set(lines) <= {
        *("AWS_DEFAULT_REGION", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_REGION", "HOME", "LANG"),
        *("LOGNAME", "OLDPWD", "PATH", "PS1", "PWD", "SHELL", "SHLVL", "TERM", "USER", "_"),
    }


def test_sudo_keeps_where_aws_is(instances):
    names = {line.split("=")[0] for line in instances.shell("sudo -n env").splitlines()}
    assert {"AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_REGION"} <= names


def test_the_aws_cli_acts_as_the_instances_role(instances):
    expected = f"arn:aws:sts::123456789012:assumed-role/carried/{instances.one}"
    for become in ("", "sudo -n "):
        identity = json.loads(instances.shell(f"{become}aws sts get-caller-identity --output json"))
        assert identity["Arn"] == expected


def test_metadata_needs_a_token(instances):
    at = "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest"
    status = instances.shell(f"curl -s -o /dev/null -w '%{{http_code}}' {at}/meta-data/instance-id")
    assert status == "401"
    token = f"$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {at}/api/token)"
    answer = instances.shell(f'curl -s -H "X-aws-ec2-metadata-token: {token}" {at}/meta-data/instance-id')
    assert answer == instances.one


def test_it_sees_its_own_processes_only(instances):
    assert instances.shell("ps -eo pid=,comm= | sort -n | head -1").split()[0] == "1"
    assert instances.shell("ps -eo comm=").split().count("bash") == 1
    assert str(os.getpid()) not in instances.shell("ps -eo pid=").split()


def test_it_trusts_the_labs_authority_and_knows_the_registry(instances):
    host = instances.deployment.description["registry_host"]
    assert instances.shell(f"getent hosts {host.partition(':')[0]}").split()[0] == "127.0.0.1"
    assert (
        instances.shell(f"curl -s -o /dev/null -w '%{{http_code}} %{{ssl_verify_result}}' https://{host}/v2/")
        == "401 0"
    )


def test_it_reads_no_secret_of_the_lab(instances):
    state = instances.deployment.lab_directory
    assert (state / "lab.json").exists()
    assert instances.shell(f"sudo -n ls -A {state} 2>/dev/null | wc -l").strip() == "0"
    assert instances.shell("sudo -n sh -c 'ls -d /root/.aws /root/.ssh /root/.docker /home/*/.ssh' 2>/dev/null") == ""


def test_what_it_writes_stays_its_own(instances, another):
    instances.shell("sudo -n touch /usr/bin/policyproof-was-here /etc/policyproof-was-here", another)
    assert instances.shell("ls /usr/bin/policyproof-was-here", another).strip() == "/usr/bin/policyproof-was-here"
    assert not Path("/usr/bin/policyproof-was-here").exists()
    assert not Path("/etc/policyproof-was-here").exists()
    assert "No such file" in instances.shell("ls /etc/policyproof-was-here 2>&1")


def test_it_does_not_reach_beyond_itself(instances):
    before = Path("/proc/sys/kernel/panic").read_text(encoding="ascii")
    output = instances.shell(
        "sudo -n sh -c 'echo 7 > /proc/sys/kernel/panic' 2>&1; sudo -n ip link add policyproof0 type dummy 2>&1;"
        " sudo -n date -s 2001-01-01 2>&1 >/dev/null; sudo -n hostname still-mine; hostname"
    )
    assert Path("/proc/sys/kernel/panic").read_text(encoding="ascii") == before
    assert not Path("/sys/class/net/policyproof0").exists()
    assert "still-mine" in output
    assert os.uname().nodename != "still-mine"
    instances.shell('sudo -n hostname "$(cat /etc/hostname)"')


def test_packages_start_no_service_and_limits_do_not_stop_init_scripts(instances):
    assert instances.shell("/usr/sbin/policy-rc.d docker start; echo $?").strip() == "101"
    script = "sudo -n sh -c '. /lib/lsb/init-functions; set -e; ulimit -n 1048576; ulimit -p unlimited; echo went on'"
    assert "went on" in instances.shell(script)


def test_devices_and_system_directories(instances):
    output = instances.shell(
        "ls /run/systemd/system 2>&1; head -c 3 /dev/zero | wc -c; echo x > /dev/null; "
        "stat -c %a /tmp / /dev/shm /run/lock; sudo -n sh -c 'ls /sys/fs/cgroup | head -1'; grep -c cgroup /proc/mounts"
    )
    assert "No such file" in output
    assert output.split("\n")[1:6] == ["3", "1777", "755", "1777", "1777"]


def test_a_daemon_outlives_its_session_but_not_its_instance(instances, another):
    instances.shell("setsid --fork sleep 300 > /dev/null 2>&1", another)
    assert instances.shell("pgrep -c sleep", another).strip() == "1"
    assert len(instances.processes(another)) >= 2
    instances.ec2.stop_instances(InstanceIds=[another])
    assert instances.processes(another) == []


def test_stopping_keeps_the_disk_and_starting_boots_anew(instances, another):
    instances.shell("echo kept | sudo -n tee /etc/kept; echo lost > /tmp/lost; echo $HOME > ~/kept", another)
    instances.ec2.stop_instances(InstanceIds=[another])
    with pytest.raises(ClientError, match="TargetNotConnected"):
        instances.ssm.start_session(Target=another)
    instances.ec2.start_instances(InstanceIds=[another])
    # An environment below /tmp is shown there, so it is not always empty.
    assert instances.shell("cat /etc/kept ~/kept; ls -d /tmp/l* 2>/dev/null", another).split() == [
        "kept",
        "/home/ssm-user",
    ]


def test_rebooting_boots_anew_on_the_same_disk(instances, another):
    instances.shell("setsid --fork sleep 300; touch ~/kept /tmp/lost", another)
    instances.ec2.reboot_instances(InstanceIds=[another])
    assert instances.shell("ls ~; ls -d /tmp/l* 2>/dev/null; pgrep -c sleep", another).split() == ["kept", "0"]


def test_stopping_asks_processes_first(instances, another):
    instances.shell(
        "setsid --fork sh -c 'trap \"echo asked > ~/asked; exit\" TERM; while :; do sleep 0.1; done'", another
    )
    instances.ec2.stop_instances(InstanceIds=[another])
    instances.ec2.start_instances(InstanceIds=[another])
    assert instances.shell("cat ~/asked", another).strip() == "asked"


def test_stopping_does_not_wait_for_ever(instances, another):
    instances.shell("setsid --fork sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'", another)
    instances.ec2.stop_instances(InstanceIds=[another])
    assert instances.processes(another) == []


def test_terminating_leaves_nothing(instances):
    instance_id = instances.run()
    instances.shell("setsid --fork sleep 300; sudo -n mkdir /var/lib/docker/x", instance_id)
    assert (instances.directory / instance_id).exists()
    instances.terminate(instance_id)
    assert instances.processes(instance_id) == []
    assert not (instances.directory / instance_id).exists()
    assert str(instances.directory) not in Path("/proc/mounts").read_text(encoding="utf-8")
    with pytest.raises(ClientError, match="TargetNotConnected"):
        instances.ssm.start_session(Target=instance_id)


def test_several_run_side_by_side(instances):
    answer = instances.ec2.run_instances(ImageId=IMAGE, MinCount=3, MaxCount=3)
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    try:
        assert len({instances.shell("hostname", instance_id) for instance_id in ids}) == 3
    finally:
        instances.ec2.terminate_instances(InstanceIds=ids)


def test_a_killed_lab_leaves_no_process_and_the_next_removes_its_files(instances):
    """Last: it replaces the lab that the other tests use."""
    instances.shell("setsid --fork sleep 300")
    assert instances.processes(instances.one)
    os.kill(int(instances.deployment.description["pid"]), 9)
    assert eventually(lambda: not instances.processes(instances.one))
    assert (instances.directory / instances.one).exists()
    instances.deployment.lab("up")
    assert not (instances.directory / instances.one).exists()


def test_the_host_has_what_instances_need():
    assert shutil.which("sudo")
    assert shutil.which("curl")
