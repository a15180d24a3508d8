# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Python ``make`` takes for its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FINDER = Path(__file__).resolve().parents[2] / "tools" / "find_python.sh"
SHIM = '#!/bin/sh\necho "pyenv: $(basename $0): command not found" >&2\nexit 127\n'
NEW = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
# An old one runs, answers, and fails what it is asked.
OLD = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def machine(tmp_path: Path):
    """Put scripts where Pythons would be, and ask the finder."""
    path = tmp_path / "bin"
    path.mkdir()

    def find(on_path: dict[str, str], pyenv: dict[str, str]) -> subprocess.CompletedProcess[str]:
        for name, text in on_path.items():
            _program(path / name, text)
        for version, text in pyenv.items():
            _program(tmp_path / "pyenv" / "versions" / version / "bin" / "python3", text)
        environment = {"PATH": str(path), "PYENV_ROOT": str(tmp_path / "pyenv"), "HOME": str(tmp_path)}
        return subprocess.run(["/bin/sh", FINDER], env=environment, capture_output=True, text=True, check=False)

    return find


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def test_takes_the_newest_on_path(machine, tmp_path):
    found = machine({"python3.13": NEW, "python3.12": NEW, "python3": OLD}, {})
    assert found.stdout.strip() == str(tmp_path / "bin" / "python3.13")


def test_runs_a_candidate_before_it_believes_it(machine, tmp_path):
    found = machine({"python3.13": SHIM, "python3.12": SHIM, "python3": NEW}, {})
    assert found.stdout.strip() == str(tmp_path / "bin" / "python3")
    assert found.stderr == ""


def test_looks_under_pyenv_after_the_path(machine, tmp_path):
    found = machine({"python3.12": SHIM, "python3": OLD}, {"3.11.7": OLD, "3.12.1": NEW})
    assert found.stdout.strip() == str(tmp_path / "pyenv" / "versions" / "3.12.1" / "bin" / "python3")


def test_without_one_says_in_one_sentence_what_to_install(machine):
    found = machine({"python3": OLD}, {"3.11.7": OLD})
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.count("\n") == 1
    assert found.stderr.startswith("No Python 3.12 or newer")
    assert "install one" in found.stderr


@pytest.mark.parametrize(("version", "fits"), [((3, 11), False), ((3, 12), True), ((3, 14), True), ((4, 0), True)])
def test_asks_for_at_least_3_12(version, fits):
    """The question that the finder asks, put to an interpreter that claims to be another version."""
    question = FINDER.read_text(encoding="utf-8").split("-c '")[1].split("'")[0]
    asked = question.replace("import sys,", f"import sys; sys.version_info = {version!r}; import")
    finished = subprocess.run([sys.executable, "-c", asked], env=dict(os.environ), capture_output=True, check=False)
    assert (finished.returncode == 0) is fits
