#!/usr/bin/env python
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the lab from wherever the collection lies: ``python <collection>/lab up|down|status|serve``."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

PACKAGE = "policyproof_ecr"


def command_line() -> int:
    """Make the collection a package whatever its folder is called, and hand over to its command line."""
    spec = ModuleSpec(PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(Path(__file__).resolve().parents[1])]
    sys.modules[PACKAGE] = module_from_spec(spec)
    # Python put this folder first on the path: its file names would shadow other people's modules.
    del sys.path[0]
    return int(importlib.import_module(f"{PACKAGE}.lab.command").main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(command_line())
