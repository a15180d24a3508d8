# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Import an artefact as Galaxy does, and fail where that has something to say.

Called with the Python of galaxy-importer's own environment and the artefact.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

# The importer has these off too where it runs for Galaxy: lint and sanity tests are checks of their own here.
SETTINGS = "[galaxy-importer]\nRUN_ANSIBLE_LINT = false\nRUN_ANSIBLE_TEST = false\nANSIBLE_TEST_LOCAL_IMAGE = false\n"


def main() -> int:
    """Import the artefact; return 1 if there were errors or warnings."""
    python, artefact = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    settings = artefact.with_name("galaxy-importer.cfg")
    settings.write_text(SETTINGS, encoding="utf-8")
    environment = {
        **os.environ,
        "GALAXY_IMPORTER_CONFIG": str(settings),
        "PATH": f"{python.parent.resolve()}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(artefact.with_name("collections")),
    }
    command = [python.absolute(), "-m", "galaxy_importer.main", artefact]
    imported = subprocess.run(
        command,
        env=environment,
        cwd=artefact.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    said = [line for line in imported.stdout.splitlines() if re.match(r"(ERROR|WARNING|CRITICAL)|.*Traceback", line)]
    print("\n".join(said) if said or imported.returncode == 0 else imported.stdout)
    return int(bool(said) or imported.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
