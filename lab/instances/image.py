# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is on an instance's disk before its first boot, beyond what this machine's own file system holds.

Plain data: a list of entries, made from this machine's files. Writing them is :mod:`.disk`'s part.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """A file with its content; it stands in for what this machine has at ``path``."""

    path: str
    content: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Directory:
    """A directory; what this machine has in it stays visible."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Hidden:
    """Something of this machine's that the instance does not have."""

    path: str


Entry = File | Directory | Hidden


@dataclass(frozen=True)
class User:
    """A login of the instance."""

    name: str
    uid: int

    @property
    def home(self) -> str:
        """The home directory."""
        return f"/home/{self.name}"


# Amazon's images have the first; the SSM agent makes the second, for its sessions.
EC2_USER = User("ec2-user", 1000)
SSM_USER = User("ssm-user", 1001)
USERS = (EC2_USER, SSM_USER)

# Ordinary accounts are this machine's people, who have no business on an instance. From Debian's login.defs.
ORDINARY = range(1000, 60000)

# What people keep secrets in.
PRIVATE = (".aws", ".docker", ".ssh", ".gnupg", ".netrc", ".config/gh", ".config/containers", ".bash_history")

# Where distributions keep all trusted certificates in one file.
TRUST_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")

# Days since 1970 at which passwords were last changed: any, not in the future.
_PASSWORD_CHANGED = 19000

# Bit of CAP_SYS_RESOURCE in a capability set, from <linux/capability.h>.
_CAP_SYS_RESOURCE = 24


def accounts(host: Path) -> list[Entry]:
    """The users' accounts, in place of this machine's ordinary ones, with sudo that asks for no password.

    :param host: root of this machine's file system
    """
    shadow = f":!:{_PASSWORD_CHANGED}:0:99999:7:::"
    names = {line.split(":")[0] for line in _lines(host, "/etc/passwd") if _number(line, 2) in ORDINARY}
    groups = {line.split(":")[0] for line in _lines(host, "/etc/group") if _number(line, 2) in ORDINARY}
    passwd = [f"{user.name}:x:{user.uid}:{user.uid}::{user.home}:/bin/bash" for user in USERS]
    entries: list[Entry] = [
        _table(host, "/etc/passwd", names, passwd, 0o644),
        _table(host, "/etc/shadow", names, [user.name + shadow for user in USERS], 0o640),
        _table(host, "/etc/group", groups, [f"{user.name}:x:{user.uid}:" for user in USERS], 0o644),
        _table(host, "/etc/gshadow", groups, [f"{user.name}:!::" for user in USERS], 0o640),
        Directory("/etc/sudoers.d", 0o750),
        File("/etc/sudoers.d/90-policyproof-lab", _sudoers(), 0o440),
    ]
    entries += [Directory(user.home, 0o700, user.uid, user.uid) for user in USERS]
    return entries


def _table(host: Path, path: str, gone: Iterable[str], added: Sequence[str], mode: int) -> File:
    """A file of accounts without some names and with some lines added."""
    dropped = {*gone, *(line.split(":")[0] for line in added)}
    kept = [line for line in _lines(host, path) if line.split(":")[0] not in dropped]
    return File(path, "\n".join([*kept, *added]) + "\n", mode)


def _sudoers() -> str:
    return (
        "Defaults !requiretty\n"
        "Defaults lecture=never\n"
        # Where AWS is, and as which machine: real instances know by fixed addresses.
        'Defaults env_keep += "AWS_*"\n' + "".join(f"{user.name} ALL=(ALL:ALL) NOPASSWD: ALL\n" for user in USERS)
    )


def privacy(homes: Iterable[Path]) -> list[Entry]:
    """Hide what the people of this machine keep secrets in."""
    return [Hidden(str(home / name)) for home in homes for name in PRIVATE if os.path.lexists(home / name)]


def homes_of_people() -> list[Path]:
    """The home directories of root and of this machine's ordinary accounts."""
    return [Path(user.pw_dir) for user in pwd.getpwall() if user.pw_uid == 0 or user.pw_uid in ORDINARY]


def names(host: Path, hostname: str, private_dns_name: str, registry_name: str) -> list[Entry]:
    """Host names: this machine's, the instance's, the registry's. And the resolver's settings, without a symbolic link.

    systemd keeps those settings in /run, which is the instance's own.
    """
    hosts = [
        *_lines(host, "/etc/hosts"),
        "127.0.0.1 localhost",
        f"127.0.1.1 {private_dns_name} {hostname}",
        f"127.0.0.1 {registry_name}",
    ]
    resolver = "\n".join(_lines(host, "/etc/resolv.conf")) + "\n"
    return [
        File("/etc/hosts", "\n".join(hosts) + "\n"),
        File("/etc/hostname", hostname + "\n"),
        File("/etc/resolv.conf", resolver),
    ]


def trust(host: Path, certificate: str | None) -> list[Entry]:
    """Trust the lab's own certificate authority, if it has one.

    :param certificate: PEM
    """
    if certificate is None:
        return []
    entries: list[Entry] = [File("/usr/local/share/ca-certificates/policyproof-lab.crt", certificate)]
    for path in TRUST_STORES:
        if (host / path[1:]).is_file():
            entries.append(File(path, "\n".join([*_lines(host, path), certificate])))
    return entries


def services(host: Path) -> list[Entry]:
    """What lets packages and their init scripts work on a machine that is no machine of its own."""
    entries: list[Entry] = [
        # As in a container image: installing a package does not start its service. Roles start services.
        File("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755),
        # The network is this machine's: Docker must not change it. A role may change all else in this file.
        File("/etc/docker/daemon.json", json.dumps(DOCKER_NETWORK, indent=2) + "\n"),
        # The instance's disk is thrown away: no package has to be on the platter before the next.
        File("/etc/dpkg/dpkg.cfg.d/policyproof-lab", "force-unsafe-io\n"),
    ]
    if (host / "var/lib/man-db/auto-update").exists():
        # An index of all manuals, made anew after every package, is most of the time that a package takes.
        entries.append(Hidden("/var/lib/man-db/auto-update"))
    if (host / "lib/lsb/init-functions.d").is_dir() and not _may_raise_limits(host):
        entries.append(File("/lib/lsb/init-functions.d/60-policyproof-lab", _TOLERANT_ULIMIT))
    return entries


# dockerd's settings on a host whose network it shares and may not change.
DOCKER_NETWORK = {"bridge": "none", "iptables": False, "ip-forward": False, "ip-masq": False}

# Debian's /etc/init.d/docker raises limits, and ends where it is refused. It reads these functions first.
_TOLERANT_ULIMIT = """\
# This machine's processes may not raise their limits (no CAP_SYS_RESOURCE), where a real instance's may.
# An init script that wants to is to go on with the limits there are.
ulimit() {
    command ulimit "$@" 2> /dev/null || true
}
"""


def _may_raise_limits(host: Path) -> bool:
    """Whether root may raise resource limits here, by this process's capabilities."""
    for line in _lines(host, "/proc/self/status"):
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return True


def command_line() -> tuple[list[Entry], list[str]]:
    """The ``aws`` command, as Amazon's images have it, if the lab's Python has the AWS CLI.

    Returns the entries, and the directories that it needs to see.
    """
    if importlib.util.find_spec("awscli") is None:
        return [], []
    # -P: what lies in the working directory is not the AWS CLI's.
    script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m awscli "$@"\n'
    needed = sorted({os.path.realpath(path) for path in (sys.prefix, sys.base_prefix)} | {os.path.abspath(sys.prefix)})
    entries: list[Entry] = [File("/usr/local/bin/aws", script, 0o755)]
    return [*_passable(needed), *entries], [path for path in needed if _out_of_sight(path)]


def _passable(paths: Iterable[str]) -> list[Entry]:
    """Let every user of the instance pass through the directories above ``paths``: /root, for one, is closed."""
    closed: dict[str, Entry] = {}
    for parent in (str(parent) for path in paths for parent in Path(path).parents):
        status = os.stat(parent)
        if not status.st_mode & 0o001:
            closed[parent] = Directory(parent, status.st_mode & 0o7777 | 0o011, status.st_uid, status.st_gid)
    return list(closed.values())


def _out_of_sight(path: str) -> bool:
    """Whether an overlay on / would not show a directory: it is on another file system, or in what a boot empties."""
    return (
        os.stat(path).st_dev != os.stat("/").st_dev
        or Path(path).is_relative_to("/tmp")
        or Path(path).is_relative_to("/run")
    )


def _lines(host: Path, path: str) -> list[str]:
    """The lines of one of this machine's files; none where there is no such file."""
    try:
        return (host / path[1:]).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _number(line: str, field: int) -> int:
    """A numeric field of a line of accounts; -1 where there is none."""
    fields = line.split(":")
    return int(fields[field]) if len(fields) > field and fields[field].isdigit() else -1
