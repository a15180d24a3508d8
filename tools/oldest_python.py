# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Import what runs on instances with the oldest Python there is on one: 3.8, of Amazon Linux 2.

That Python needs an ansible-core that still knows it, so the sanity tests of today's cannot look. Where there is no 3.8
on this machine, ruff (``per-file-target-version`` in pyproject.toml) still finds syntax that is too new.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from interpreters import NOT_RUN, find_interpreters

CHECKOUT = Path(__file__).resolve().parents[1]
OLDEST = "3.8"
# The last that manages a Python 3.8.
CORE = "ansible-core==2.19.*"
# Those that need nothing but Ansible itself.
MODULES = ("access_probe", "access_report", "access_simulation")
IMPORT = """
import importlib, sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

sys.path.insert(0, sys.argv[1])
collection = "ansible_collections.policyproof.ecr"
names = collection.split(".")
for length in range(1, len(names) + 1):
    spec = ModuleSpec(".".join(names[:length]), None, is_package=True)
    spec.submodule_search_locations = [sys.argv[2]] if length == len(names) else []
    sys.modules[spec.name] = module_from_spec(spec)
for name in sys.argv[3:]:
    importlib.import_module(collection + ".plugins.modules." + name)
"""


def core() -> Path:
    """Where the ansible-core of Amazon Linux 2 lies; fetched once. Its code for instances needs no other package."""
    target = CHECKOUT / "build" / "core-2.19"
    if not (target / "ansible" / "release.py").is_file():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--ignore-requires-python", "--target", target, CORE], check=True)
    return target


def main() -> int:
    """Import the modules; return 1 where one does not import, NOT_RUN without that Python."""
    interpreter = find_interpreters((OLDEST,)).get(OLDEST)
    if interpreter is None:
        print(f"Python {OLDEST} is not on this machine: only ruff looks at what runs on Amazon Linux 2")
        return NOT_RUN
    command = [interpreter, "-B", "-c", IMPORT, core(), CHECKOUT, *MODULES]
    return int(subprocess.run(command, check=False).returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
