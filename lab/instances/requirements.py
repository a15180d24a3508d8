# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this machine must have to run instances."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Programs, and the package of Debian and Ubuntu that has them.
PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "bash": "bash",
    "sudo": "sudo",
    "curl": "curl",
}

# Directories that an instance shows from this machine's root file system.
SYSTEM = ("/usr", "/etc", "/var", "/opt", "/home", "/root")


def check_requirements(state: Path | None = None) -> list[str]:
    """A sentence for each thing that keeps this machine from running instances; none where it can.

    :param state: directory for the lab's state; where None, only what does not depend on it is checked
    """
    if not sys.platform.startswith("linux"):
        return [f"The lab's instances are Linux namespaces, and this machine runs {sys.platform}: use a Linux machine."]
    if os.geteuid() != 0:
        return ["The lab's instances need root, for namespaces and mounts: run this as root."]
    missing = sorted(name for name in PROGRAMS if shutil.which(name) is None)
    if missing:
        packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
        return [f"The lab's instances need {', '.join(missing)}: apt-get install {packages}."]
    return [fault for fault in (_overlay_fault(), _namespace_fault(state)) if fault]


def _overlay_fault() -> str | None:
    with open("/proc/filesystems", encoding="utf-8") as known:
        if any(line.split()[-1] == "overlay" for line in known):
            return None
    loaded = (
        shutil.which("modprobe") is not None
        and subprocess.run(["modprobe", "overlay"], capture_output=True, check=False).returncode == 0
    )
    return None if loaded else "The lab's instances need overlayfs, and this kernel has none: use a kernel that has it."


def _namespace_fault(state: Path | None) -> str | None:
    """Try what an instance does, in namespaces that end with the attempt."""
    if state is None:
        return None
    existing = next(path for path in (state, *state.parents) if path.is_dir())
    with tempfile.TemporaryDirectory(dir=existing, prefix=".lab-check-") as directory:
        place = Path(directory)
        for name in ("upper", "work", "root"):
            (place / name).mkdir()
        script = 'mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work,volatile" "$1/root"'
        command = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "sh", "-c", script, "sh", directory]
        attempt = subprocess.run(command, capture_output=True, text=True, check=False)
        if attempt.returncode == 0:
            return None
    words = " ".join(attempt.stderr.split()) or f"exit status {attempt.returncode}"
    return (
        f"The lab's instances need namespaces and an overlay of / in {existing}, and this machine refuses: {words}. "
        "Use a machine, or a container, with CAP_SYS_ADMIN and Linux 5.10 or newer, and a directory on ext4 or xfs "
        "(POLICYPROOF_LAB_DIR)."
    )
