# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Process 1 of an instance: makes the instance's view of the machine, then waits for the end.

Run as a script, by ``unshare``, in new mount, process, host name and IPC namespaces. Standard library only, and nothing
of this package: it must start wherever a Python does, in a few milliseconds.

The only argument is JSON, see :class:`Plan`. When the instance is up, one line of JSON goes to standard output,
``{"pid": <its process id outside>}``, or else ``{"error": "<sentence>"}``. From then on:

* standard input ends (whoever started the instance closed it, or died): the instance ends at once, with all in it;
* SIGTERM: every process is asked to end, and after a moment the instance ends.

When process 1 of a process namespace exits, the kernel kills all others; the mounts go with the last process.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import stat
import sys
import time

# mount(2) and umount2(2) flags, from <linux/mount.h>.
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MNT_DETACH = 2

# prctl(2), and the capabilities that reach beyond the instance's namespaces, from <linux/capability.h>: an instance
# must not change this machine's network, kernel modules or clock, nor switch it off.
PR_CAPBSET_DROP = 24
CAP_NET_ADMIN = 12
CAP_SYS_MODULE = 16
CAP_SYS_BOOT = 22
CAP_SYS_TIME = 25
WITHHELD = (CAP_NET_ADMIN, CAP_SYS_MODULE, CAP_SYS_BOOT, CAP_SYS_TIME)

# Seconds that processes get to end by themselves after SIGTERM.
GRACE = 3.0

# Character devices (major, minor), from Linux's Documentation/admin-guide/devices.txt.
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
TTY_GROUP = 5

_libc = ctypes.CDLL(None, use_errno=True)


class Plan:
    """What the instance is to look like.

    :ivar root: directory to mount the instance's file system on
    :ivar upper: directory of the instance's own changes
    :ivar work: overlayfs's working directory, beside ``upper``
    :ivar hostname: host name
    :ivar stores: directories outside, by where each appears inside, read-write; overlayfs cannot lie on overlayfs
    :ivar tools: directories that must be visible inside, read-only, at their own path
    :ivar masked: directories that must look empty inside
    """

    def __init__(self, text: str) -> None:
        plan = json.loads(text)
        self.root: str = plan["root"]
        self.upper: str = plan["upper"]
        self.work: str = plan["work"]
        self.hostname: str = plan["hostname"]
        self.stores: dict[str, str] = plan["stores"]
        self.tools: list[str] = plan["tools"]
        self.masked: list[str] = plan["masked"]


def check(result: int, what: str) -> None:
    """Raise OSError, with a sentence, where a C function returned other than 0."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2), on a directory that is made where it is missing. Raises OSError."""
    os.makedirs(target, exist_ok=True)
    result = _libc.mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None)
    check(result, f"mount {kind or source} on {target}")


def mount_read_only(source: str, target: str) -> None:
    """Show ``source`` at ``target``, read-only. Raises OSError."""
    mount(source, target, flags=MS_BIND)
    mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def mount_file_system(plan: Plan) -> None:
    """Lay the instance's own changes over this machine's file system. Raises OSError."""
    # Nothing of the instance's disk has to survive a power cut: without "volatile", every package waits for the disk.
    # The mark that such a mount leaves would forbid the next boot on the same disk.
    mark = os.path.join(plan.work, "work", "incompat", "volatile")
    if os.path.isdir(mark):
        for name in os.listdir(mark):
            os.unlink(os.path.join(mark, name))
        os.rmdir(mark)
    options = f"lowerdir=/,upperdir={escaped(plan.upper)},workdir={escaped(plan.work)},volatile"
    mount("overlay", plan.root, "overlay", 0, options)
    for inside, outside in plan.stores.items():
        mount(outside, plan.root + inside, flags=MS_BIND)


def escaped(path: str) -> str:
    """A path as overlayfs's options take it."""
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def mount_temporary(root: str) -> None:
    """The directories that are empty after a boot. Raises OSError."""
    mount("tmpfs", root + "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir(root + "/run/lock")
    os.chmod(root + "/run/lock", 0o1777)
    mount("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def mount_devices(root: str) -> None:
    """A /dev with what programs expect, and terminals of its own. Raises OSError."""
    dev = root + "/dev"
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755,size=1m")
    for name, (major, minor) in DEVICES.items():
        os.mknod(f"{dev}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        os.chmod(f"{dev}/{name}", 0o666)
    for name, target in LINKS.items():
        os.symlink(target, f"{dev}/{name}")
    options = f"newinstance,ptmxmode=0666,mode=0620,gid={TTY_GROUP}"
    mount("devpts", dev + "/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    mount("tmpfs", dev + "/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def mount_kernel(root: str) -> None:
    """/proc of the new process namespace, and this machine's /sys. Raises OSError."""
    control_groups = mounted_below("/sys/fs/cgroup")
    mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    # Most of these settings are this machine's, not the instance's.
    mount_read_only(root + "/proc/sys", root + "/proc/sys")
    # Version 2 of control groups is one mount, which comes with /sys. Version 1 is a mount a controller, in a tmpfs in
    # which init scripts make directories: the instance gets a tmpfs of its own.
    mount("/sys", root + "/sys", flags=MS_BIND if control_groups else MS_BIND | MS_REC)
    if control_groups:
        mount("tmpfs", root + "/sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=1m")
        for path in control_groups:
            mount(path, root + path, flags=MS_BIND)


def mounted_below(path: str) -> list[str]:
    """What is mounted directly in a directory; mount points with spaces are none of ours."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        points = {line.split(" ", 2)[1] for line in mounts}
    return sorted(point for point in points if os.path.dirname(point) == path)


def show_and_hide(plan: Plan) -> None:
    """Let the instance see its tools wherever they are, and nothing of what is masked. Raises OSError."""
    for path in plan.tools:
        mount_read_only(path, plan.root + path)
    for path in plan.masked:
        if os.path.isdir(plan.root + path):
            mount("tmpfs", plan.root + path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700,size=4k")


def change_root(root: str) -> None:
    """Make ``root`` the root of this mount namespace, and let go of everything mounted before. Raises OSError.

    pivot_root(".", ".") stacks the old root on the new one, from where it is detached: pivot_root(2), NOTES.
    """
    os.chdir(root)
    check(_libc.pivot_root(b".", b"."), f"make {root} the root directory")
    check(_libc.umount2(b".", MNT_DETACH), "detach this machine's file systems")
    os.chdir("/")


def withhold_capabilities() -> None:
    """Give up, for this process and all it starts, what reaches beyond the instance. Raises OSError."""
    for capability in WITHHELD:
        check(_libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), f"drop capability {capability}")


def boot(plan: Plan) -> None:
    """Make the instance's view of the machine. Raises OSError."""
    os.umask(0o022)
    mount_file_system(plan)
    mount_temporary(plan.root)
    mount_devices(plan.root)
    mount_kernel(plan.root)
    show_and_hide(plan)
    socket.sethostname(plan.hostname)
    change_root(plan.root)
    withhold_capabilities()


def reap() -> None:
    """Collect every child that has ended: orphans of the whole instance become this process's."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def others() -> list[int]:
    """The process ids of all but this process."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def shut_down() -> None:
    """Ask every process to end, and wait a moment for it."""
    end = time.monotonic() + GRACE
    if others():
        os.kill(-1, signal.SIGTERM)
    while others() and time.monotonic() < end:
        time.sleep(0.02)
        reap()


def wait_for_end() -> None:
    """Reap until standard input ends (return at once) or SIGTERM comes (shut down first)."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    while True:
        reap()
        readable, _writable, _broken = select.select([0, wake_read], [], [])
        if 0 in readable:
            return
        if signal.SIGTERM in os.read(wake_read, 4096):
            shut_down()
            return


def main() -> int:
    """Boot, report, and wait. The exit status."""
    # This /proc is still the machine's: it names the process as those outside do.
    pid = int(os.readlink("/proc/self"))
    try:
        boot(Plan(sys.argv[1]))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(json.dumps({"error": f"{error.strerror}{where}"}), flush=True)
        return 1
    print(json.dumps({"pid": pid}), flush=True)
    wait_for_end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
