# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unmodified connection plugin amazon.aws.aws_ssm on the lab: modules, files, become, Docker on three instances."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

PLAYBOOKS = {
    "modules": """
- hosts: instance1
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
    - ansible.builtin.setup:
        gather_subset: [min]
    - ansible.builtin.command: id -un
      register: plain
    - ansible.builtin.command: id -un
      become: true
      register: become
    - ansible.builtin.copy:
        src: "{{ blob }}"
        dest: /tmp/blob
        mode: "0600"
    - ansible.builtin.stat:
        path: /tmp/blob
        checksum_algorithm: sha256
      register: copied
    - ansible.builtin.fetch:
        src: /tmp/blob
        dest: "{{ blob }}.fetched"
        flat: true
    - ansible.builtin.command: seq 20000
      register: much
    - ansible.builtin.lineinfile:
        path: /etc/policyproof
        line: here
        create: true
        mode: "0644"
      become: true
    - ansible.builtin.assert:
        that:
          - plain.stdout == "ssm-user"
          - become.stdout == "root"
          - copied.stat.checksum == checksum
          - much.stdout_lines | length == 20000
          - ansible_facts.hostname is match("ip-")
""",
    "docker": """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.apt:
        name: docker.io
        install_recommends: false
        update_cache: true
        cache_valid_time: 86400
    - ansible.builtin.service:
        name: docker
        state: started
    - ansible.builtin.user:
        name: ec2-user
        groups: docker
        append: true
    - ansible.builtin.command: docker info --format {% raw %}'{{.Driver}}'{% endraw %}
      register: info
      until: info.rc == 0
      retries: 30
      delay: 1
    - ansible.builtin.shell: |
        set -e
        cd "$(mktemp -d)"
        echo hello > file
        tar cf - file | docker import - probe:1
        docker save probe:1 > image.tar
        docker rmi probe:1
        sudo -u ec2-user docker load < image.tar
      register: load
    - ansible.builtin.assert:
        that:
          - info.stdout == "overlay2"
          - "'Loaded image: probe:1' in load.stdout"
    - ansible.builtin.service:
        name: docker
        state: started
      register: again
      failed_when: again is changed
""",
}


@pytest.fixture(scope="module")
def inventory(deployment):
    """Three instances, by name, over amazon.aws.aws_ssm."""
    deployment.lab("up")
    lab = deployment.description
    deployment.client("s3").create_bucket(Bucket="transfer")
    answer = deployment.client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=3, MaxCount=3)
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    variables = {
        "ansible_connection": "amazon.aws.aws_ssm",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_aws_ssm_access_key_id": lab["access_key"],
        "ansible_aws_ssm_secret_access_key": lab["secret_key"],
        "ansible_aws_ssm_region": lab["region"],
        "ansible_aws_ssm_endpoint_url": lab["aws_endpoint"],
        "ansible_aws_ssm_bucket_endpoint_url": lab["aws_endpoint"],
        "ansible_aws_ssm_bucket_name": "transfer",
        "ansible_aws_ssm_s3_addressing_style": "path",
        "ansible_aws_ssm_plugin": lab["session_manager_plugin"],
    }
    hosts = {f"instance{number}": {"ansible_aws_ssm_instance_id": name} for number, name in enumerate(ids, start=1)}
    path = deployment.directory / "instances.json"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    return path


def play(deployment, inventory: Path, name: str, **variables: str) -> None:
    """Run one of the playbooks; it must succeed."""
    playbook = deployment.directory / f"{name}.yml"
    playbook.write_text(PLAYBOOKS[name], encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-playbook")
    finished = deployment.command(program, "-i", inventory, playbook, "-e", json.dumps(variables), timeout=600)
    assert finished.returncode == 0, f"{finished.stdout[-6000:]}\n{finished.stderr}\n{deployment.lab_log()[-3000:]}"


def test_modules_files_and_become(deployment, inventory):
    blob = deployment.directory / "blob"
    blob.write_bytes(os.urandom(200_000))
    checksum = hashlib.sha256(blob.read_bytes()).hexdigest()
    play(deployment, inventory, "modules", blob=str(blob), checksum=checksum)
    assert Path(f"{blob}.fetched").read_bytes() == blob.read_bytes()


def test_docker_on_three_instances_at_once(deployment, inventory):
    if not Path("/etc/debian_version").exists():
        pytest.skip("installs Debian's docker.io")
    links = set(os.listdir("/sys/class/net"))
    play(deployment, inventory, "docker")
    # The instances share this machine's network, and Docker must not change it.
    assert set(os.listdir("/sys/class/net")) == links
