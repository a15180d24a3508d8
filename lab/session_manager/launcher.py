# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An executable ``session-manager-plugin`` for those who start it by its path."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def write_launcher(directory: Path) -> Path:
    """Write the program that runs the client under this very Python; its path. Raises OSError.

    Not left to ``env python3``: a version manager's shim takes a quarter of a second, and the client starts once for
    every task of a play. Without site packages (``-I -S``), which it does not use, it starts in a third of the time.
    """
    launcher = directory / "session-manager-plugin"
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("plugin.py"))]
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    return launcher
