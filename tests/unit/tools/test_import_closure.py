# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose digest changes with which file."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.tools.import_closure import digests

FILES = {
    "plugins/modules/probe.py": "from ansible_collections.policyproof.ecr.plugins.module_utils.engines import choice\n",
    "plugins/module_utils/engines/__init__.py": "",
    "plugins/module_utils/engines/choice.py": "from . import docker\nfrom ..ecr.names import name\n",
    "plugins/module_utils/engines/docker.py": "import ansible_collections.policyproof.ecr.plugins.module_utils.cycle\n",
    "plugins/module_utils/ecr/names.py": "name = 1\n",
    "plugins/module_utils/cycle.py": "from .engines import docker\n",
    "tools/script.py": "def late():\n    import neighbour\n",
    "tools/neighbour.py": "import json\n",
    "lab/alone.py": "import os\n",
}


def _digests(root: Path, files: dict[str, str], salt: str = "") -> dict[str, str]:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return digests(root, files, salt)


def _changed(root: Path, name: str) -> set[str]:
    """Whose digest is another once the file ``name`` says something more."""
    before = _digests(root, FILES)
    after = _digests(root, {**FILES, name: FILES[name] + "more = 1\n"})
    return {one for one in FILES if before[one] != after[one]}


MODULE = "plugins/modules/probe.py"
PACKAGE = "plugins/module_utils/engines/__init__.py"
CHOICE = "plugins/module_utils/engines/choice.py"
DOCKER = "plugins/module_utils/engines/docker.py"
CYCLE = "plugins/module_utils/cycle.py"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (MODULE, {MODULE}),
        (CHOICE, {MODULE, CHOICE}),
        ("plugins/module_utils/ecr/names.py", {MODULE, CHOICE, "plugins/module_utils/ecr/names.py"}),
        (DOCKER, {MODULE, CHOICE, DOCKER, CYCLE}),
        (CYCLE, {MODULE, CHOICE, DOCKER, CYCLE}),
        (PACKAGE, {MODULE, PACKAGE, CHOICE, DOCKER, CYCLE}),
        ("tools/neighbour.py", {"tools/script.py", "tools/neighbour.py"}),
        ("lab/alone.py", {"lab/alone.py"}),
    ],
)
def test_a_change_reaches_whoever_imports_it(tmp_path, name, expected):
    assert _changed(tmp_path, name) == expected


def test_another_tool_reaches_everything(tmp_path):
    before, after = _digests(tmp_path, FILES, "core 2.21"), _digests(tmp_path, FILES, "core 2.22")
    assert not set(before.values()) & set(after.values())


def test_what_is_gone_reaches_whoever_imported_it(tmp_path):
    before = _digests(tmp_path, FILES)
    after = _digests(tmp_path, {name: content for name, content in FILES.items() if name != DOCKER})
    assert {name for name in after if after[name] != before[name]} == {MODULE, CHOICE, CYCLE}
