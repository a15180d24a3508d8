# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long the main job takes on a lab of its own, phase by phase, and how much memory the lab needs.

Run it with ``python -m benchmarks.site``. The first run installs Docker on three instances; the second finds it there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
ENVIRONMENT = Path(sys.executable).parent


def playbook(name: str, directory: Path) -> float:
    """Run one playbook of the collection; seconds it took. Ends the benchmark where it fails."""
    environment = {
        **os.environ,
        "PATH": f"{ENVIRONMENT}:{os.environ['PATH']}",
        "PWD": str(directory),
        "POLICYPROOF_LAB_DIR": str(directory / "lab"),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    command = [ENVIRONMENT / "ansible-playbook", "-i", CHECKOUT / "inventory" / "lab", f"policyproof.ecr.{name}"]
    started = time.monotonic()
    finished = subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if finished.returncode != 0:
        sys.exit(f"policyproof.ecr.{name} failed:\n{finished.stdout[-4000:]}{finished.stderr}")
    return time.monotonic() - started


def resident_megabytes(pid: str) -> float:
    """Peak resident memory of a process (proc(5): VmHWM, in kB)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="policyproof-bench-") as name:
        directory = Path(name)
        try:
            for label, book in (
                ("site, cold: lab, stacks, Docker on three instances, attempts", "site"),
                ("site, warm: nothing to change but the attempts", "site"),
                ("verify alone: three pushes, three pulls, report", "verify"),
            ):
                print(f"{label}: {playbook(book, directory):.1f} s", flush=True)
            lab = json.loads((directory / "lab" / "lab.json").read_text(encoding="utf-8"))
            print(f"lab process, peak resident memory: {resident_megabytes(lab['pid']):.0f} MiB")
        finally:
            print(f"destroy: {playbook('destroy', directory):.1f} s")


if __name__ == "__main__":
    main()
