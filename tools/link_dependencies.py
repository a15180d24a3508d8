# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give another environment, named by its Python, the amazon.aws of this one.

The documentation of our modules builds on its fragments.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path


def main() -> None:
    """Make the link, if it is not there."""
    command = [sys.argv[1], "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    purelib = Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    link = purelib / "ansible_collections" / "amazon"
    if not link.is_symlink():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(Path(sysconfig.get_path("purelib")) / "ansible_collections" / "amazon")


if __name__ == "__main__":
    main()
