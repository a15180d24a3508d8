# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Pythons this machine has, on PATH or under pyenv."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# The exit status that tells tools/check.sh that a check could not be run here.
NOT_RUN = 77
EVERY_PYTHON = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def find_interpreters(versions: tuple[str, ...]) -> dict[str, str]:
    """Map each of ``versions`` that is here to the path of an interpreter that, when run, says it is that version."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = {}
    for version in versions:
        candidates = [
            shutil.which(f"python{version}"),
            *sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python3"))),
        ]
        for candidate in filter(None, candidates):
            if _says(candidate) == version:
                found[version] = candidate
                break
    return found


def _says(interpreter: str) -> str:
    """The version that ``interpreter`` says it is, as ``3.x``; empty where it does not run."""
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    command = [interpreter, "-c", question]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False).stdout.strip()
