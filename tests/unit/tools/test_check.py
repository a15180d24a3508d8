# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tools/check.sh makes of a check's end."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHECK = Path(__file__).resolve().parents[3] / "tools" / "check.sh"


def _check(stamp: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECK, stamp, "sh", "-c", script], capture_output=True, text=True, check=False)


def test_one_that_passes_is_stamped_and_says_so_in_a_line(tmp_path):
    done = _check(tmp_path / "deep" / "ruff", "echo fine; echo warned >&2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ruff: passed in ")
    assert (tmp_path / "deep" / "ruff").exists()
    assert (tmp_path / "deep" / "ruff.log").read_text(encoding="utf-8") == "fine\nwarned\n"


def test_one_that_fails_says_why_and_is_no_longer_stamped(tmp_path):
    stamp = tmp_path / "ruff"
    stamp.touch()
    done = _check(stamp, "echo line 3 is wrong; exit 7")
    assert done.returncode == 7
    assert done.stderr.startswith("line 3 is wrong\nruff: failed with exit status 7 after ")
    assert not stamp.exists()


def test_what_ansible_test_left_out_is_said_once(tmp_path):
    left_out = 'Skipping sanity test "import" on Python 3.14 because it could not be found.'
    done = _check(tmp_path / "sanity", f"echo 'WARNING: {left_out}'; echo fine; echo 'WARNING: {left_out}'")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == [f"sanity: {left_out}"]


def test_one_that_could_not_be_run_says_why_and_has_not_passed(tmp_path):
    stamp = tmp_path / "oldest"
    stamp.touch()
    done = _check(stamp, "echo looking; echo no Python 3.8 here; exit 77")
    assert (done.returncode, done.stdout) == (0, "oldest: not run: no Python 3.8 here\n")
    assert not stamp.exists()
