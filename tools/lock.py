# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resolve the requirements anew and write every version into constraints.txt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
HEADER = """\
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# The versions that 'make' installs. Written by 'make lock'.

"""


def resolved() -> list[str]:
    """Ask pip, installing nothing, what it would install: ``name==version`` lines, sorted."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    wanted = ["ansible", "--requirement", "requirements.txt", "--requirement", "requirements-dev.txt"]
    report = subprocess.run([*command, *wanted], cwd=CHECKOUT, check=True, stdout=subprocess.PIPE).stdout
    packages = [package["metadata"] for package in json.loads(report)["install"]]
    return sorted(f"{package['name'].lower()}=={package['version']}" for package in packages)


if __name__ == "__main__":
    (CHECKOUT / "constraints.txt").write_text(HEADER + "\n".join(resolved()) + "\n", encoding="utf-8")
