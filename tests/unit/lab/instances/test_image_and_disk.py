# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an instance's disk starts with, made from a machine of a few files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.lab.instances import image
from ansible_collections.policyproof.ecr.lab.instances.disk import Disk, remove_tree
from ansible_collections.policyproof.ecr.lab.instances.image import Directory, File, Hidden

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of other users")


@pytest.fixture
def host(tmp_path):
    """The root of a machine."""
    files = {
        "etc/passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nnobody:x:65534:65534::/:/x\n",
        "etc/shadow": "root:*:19000:0:99999:7:::\nalice:$6$hash:19000:0:99999:7:::\n",
        "etc/group": "root:x:0:\nalice:x:1000:\ndocker:x:999:alice\n",
        "etc/gshadow": "root:*::\nalice:!::\n",
        "etc/hosts": "127.0.0.1 localhost\n10.0.0.9 mirror.example\n",
        "etc/resolv.conf": "nameserver 10.0.0.2\n",
        "etc/ssl/certs/ca-certificates.crt": "HOST CERTIFICATES\n",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path


def content(entries, path: str) -> str:
    (found,) = [entry for entry in entries if entry.path == path]
    return found.content


def test_its_users_take_the_place_of_this_machines_people(host):
    entries = image.accounts(host)
    names = [line.split(":")[0] for line in content(entries, "/etc/passwd").splitlines()]
    assert names == ["root", "nobody", "ec2-user", "ssm-user"]
    assert "ec2-user:x:1000:1000::/home/ec2-user:/bin/bash" in content(entries, "/etc/passwd")
    assert "alice" not in content(entries, "/etc/shadow")
    assert "alice:" not in content(entries, "/etc/group")
    assert {"/home/ec2-user", "/home/ssm-user"} <= {entry.path for entry in entries}


def test_a_users_name_that_the_machine_has_already_is_not_there_twice(host):
    path = host / "etc/passwd"
    path.write_text(path.read_text() + "ec2-user:x:500:500::/x:/bin/false\n")
    assert content(image.accounts(host), "/etc/passwd").count("ec2-user:x:") == 1


def test_passwords_are_readable_by_root_alone(host):
    modes = {entry.path: entry.mode for entry in image.accounts(host)}
    assert modes["/etc/shadow"] == modes["/etc/gshadow"] == 0o640
    assert modes["/etc/sudoers.d/90-policyproof-lab"] == 0o440


def test_names(host):
    entries = image.names(host, "ip-10-0-0-5", "ip-10-0-0-5.ec2.internal", "registry.example")
    hosts = content(entries, "/etc/hosts").splitlines()
    assert hosts[:2] == ["127.0.0.1 localhost", "10.0.0.9 mirror.example"]
    assert hosts[-2:] == ["127.0.1.1 ip-10-0-0-5.ec2.internal ip-10-0-0-5", "127.0.0.1 registry.example"]
    assert content(entries, "/etc/resolv.conf") == "nameserver 10.0.0.2\n"
    assert content(entries, "/etc/hostname") == "ip-10-0-0-5\n"


def test_trust(host):
    assert image.trust(host, None) == []
    entries = image.trust(host, "LAB CERTIFICATE\n")
    assert content(entries, "/etc/ssl/certs/ca-certificates.crt") == "HOST CERTIFICATES\nLAB CERTIFICATE\n"
    assert content(entries, "/usr/local/share/ca-certificates/policyproof-lab.crt") == "LAB CERTIFICATE\n"
    assert "/etc/pki/tls/certs/ca-bundle.crt" not in {entry.path for entry in entries}


def test_privacy(tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".netrc").write_text("secret")
    hidden = image.privacy([tmp_path, tmp_path / "nobody"])
    assert hidden == [Hidden(str(tmp_path / ".aws")), Hidden(str(tmp_path / ".netrc"))]


@pytest.mark.parametrize(("capabilities", "tolerant"), [("000001ffffffffff", False), ("000001fffeffffff", True)])
def test_init_scripts_get_by_where_limits_may_not_be_raised(host, capabilities, tolerant):
    (host / "lib/lsb/init-functions.d").mkdir(parents=True)
    (host / "proc/self").mkdir(parents=True)
    (host / "proc/self/status").write_text(f"Name:\tx\nCapBnd:\t{capabilities}\n")
    paths = [entry.path for entry in image.services(host)]
    assert ("/lib/lsb/init-functions.d/60-policyproof-lab" in paths) is tolerant


def test_a_refused_limit_does_not_end_a_shell_script(host):
    functions = host / "functions"
    functions.write_text(image._TOLERANT_ULIMIT)
    # A hard limit that nobody may raise, not even root, is the kernel's own.
    script = f"set -e; . {functions}; ulimit -n 99999999999; ulimit -n 50; ulimit -n"
    output = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert output == "50\n"


def test_the_aws_command_is_there_if_the_labs_python_has_it(monkeypatch):
    monkeypatch.setattr(image.importlib.util, "find_spec", lambda name: None)
    assert image.command_line() == ([], [])
    monkeypatch.setattr(image.importlib.util, "find_spec", lambda name: name)
    entries, _tools = image.command_line()
    assert f"exec {sys.executable} -P -m awscli" in content(entries, "/usr/local/bin/aws")


def test_every_user_may_pass_to_where_the_tools_are(tmp_path):
    closed = tmp_path / "closed"
    (closed / "tools").mkdir(parents=True)
    closed.chmod(0o700)
    entries = [entry for entry in image._passable([str(closed / "tools")]) if entry.path == str(closed)]
    assert entries == [Directory(str(closed), 0o711, os.getuid(), os.getgid())]


@needs_root
def test_a_disk_has_the_entries_with_owners_and_modes(tmp_path):
    disk = Disk(tmp_path / "disk")
    before = os.umask(0o077)
    try:
        disk.create(
            [
                File("/etc/policyproof/x", "content", 0o440, 1000, 1001),
                Directory("/home/ec2-user", 0o700, 1000, 1000),
                Hidden("/etc/hosts"),
                File("/etc/hostname", "name\n"),
            ]
        )
    finally:
        os.umask(before)
    written = (disk.upper / "etc/policyproof/x").stat()
    assert (stat.S_IMODE(written.st_mode), written.st_uid, written.st_gid) == (0o440, 1000, 1001)
    assert stat.S_IMODE((disk.upper / "home/ec2-user").stat().st_mode) == 0o700
    hidden = (disk.upper / "etc/hosts").lstat()
    assert stat.S_ISCHR(hidden.st_mode)
    assert hidden.st_rdev == 0
    assert stat.S_IMODE((disk.upper / "etc").stat().st_mode) == stat.S_IMODE(Path("/etc").stat().st_mode)
    assert stat.S_IMODE(disk.upper.stat().st_mode) == 0o755
    disk.remove()
    assert not disk.directory.exists()


@needs_root
def test_this_machines_symbolic_links_stay_links(tmp_path):
    if not Path("/lib").is_symlink():
        pytest.skip("/lib is a directory here")
    disk = Disk(tmp_path / "disk")
    disk.create([File("/lib/policyproof/x", "content")])
    assert not (disk.upper / "lib").exists()
    assert (disk.upper / os.path.realpath("/lib")[1:] / "policyproof/x").read_text() == "content"


def test_removing_what_is_not_there(tmp_path):
    remove_tree(tmp_path / "nothing")


def test_removing_tries_again_while_somebody_writes(tmp_path, monkeypatch):
    from ansible_collections.policyproof.ecr.lab.instances import disk as module

    attempts = []

    def rmtree(path):
        attempts.append(path)
        if len(attempts) < 3:
            raise OSError(39, "Directory not empty")

    monkeypatch.setattr(module.shutil, "rmtree", rmtree)
    remove_tree(tmp_path)
    assert len(attempts) == 3
