# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""access_report writes what it returns, and fails with a sentence."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.policyproof.ecr.plugins.modules import access_report

MATRIX = {"one": {"push": "allow", "pull": "deny"}}
ALLOWED = {"action": "push", "outcome": "allowed", "digest": "sha256:" + "0" * 64, "duration_s": 0.5}
DENIED = {"action": "pull", "outcome": "denied", "denial": {"api_action": "ecr:BatchGetImage", "message": "no"}}


@pytest.fixture
def report(capsys):
    """Run the module; its result."""

    def run(check_mode=False, **arguments):
        given = {"repository": "r", "matrix": MATRIX, **arguments, "_ansible_check_mode": check_mode}
        with patch_module_args(given), pytest.raises(SystemExit):
            access_report.main()
        return json.loads(capsys.readouterr().out)

    return run


def observation(*results, **more):
    return [{"principal": "one", "results": list(results), **more}]


def test_files_hold_what_is_returned(report, tmp_path):
    directory = tmp_path / "build" / "report"
    result = report(observations=observation(ALLOWED, DENIED), directory=str(directory))
    assert result["changed"] and result["proven"]
    assert result["failures"] == result["differences"] == []
    assert result["files"] == [str(directory / name) for name in ("access.json", "access.html", "access.junit.xml")]
    assert sorted(file.name for file in directory.iterdir()) == ["access.html", "access.json", "access.junit.xml"]
    assert json.loads((directory / "access.json").read_text())["rows"] == result["rows"]
    assert len(result["table"]) == 3


def test_check_mode_writes_nothing(report, tmp_path):
    result = report(check_mode=True, observations=observation(ALLOWED, DENIED), directory=str(tmp_path / "report"))
    assert result["changed"]
    assert not (tmp_path / "report").exists()


def test_without_a_directory_nothing_is_written(report):
    result = report(observations=observation(ALLOWED, DENIED))
    assert (result["changed"], result["files"], result["proven"]) == (False, [], True)


def test_a_principal_without_results_is_unproven(report):
    result = report(observations=observation(error="one is unreachable"))
    assert [row["observed"] for row in result["rows"]] == ["error", "error"]
    assert not result["proven"]
    assert "one is unreachable" in result["failures"][0]


def test_a_result_beats_the_error_of_another(report):
    result = report(observations=observation(ALLOWED, error="the pull gave no result"))
    assert [row["observed"] for row in result["rows"]] == ["allowed", "error"]


def test_cells_come_with_their_sentences(report):
    result = report(observations=observation(ALLOWED, {**ALLOWED, "action": "pull"}))
    assert [cell["verdict"] for cell in result["cells"]] == ["proven", "violated"]
    assert result["failures"] == [result["cells"][1]["sentence"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"matrix": {}}, "no principals"),
        ({"observations": [{"principal": "other"}]}, "'other'"),
        ({"observations": observation({"action": "push", "outcome": "maybe"})}, "'maybe'"),
        ({"directory": "/proc/none", "observations": []}, "/proc/none"),
    ],
)
def test_faults_are_sentences(report, arguments, words):
    result = report(**arguments)
    assert result["failed"]
    assert words in result["msg"]
    assert "Traceback" not in result["msg"]
