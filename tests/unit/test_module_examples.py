# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EXAMPLES are tasks that the modules take, and what RETURN shows is what they give."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.policyproof.ecr.tests.support.module_documentation import (
    COLLECTION,
    disagreements,
    documented_returns,
    load,
    module_names,
    sample,
    samples,
)

# What examples take from elsewhere, each with a value that fits.
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage"}]}
ELSEWHERE = {"about_to_be_set": POLICY}
FILES = {"{{ lookup('ansible.builtin.file', 'repository-policy.json') }}": json.dumps(POLICY)}
# Those that need neither AWS nor a registry.
OFFLINE = ("access_report", "access_simulation")


class Accepted(Exception):
    """The module has taken its arguments."""


def own_tasks(name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The tasks of a module's EXAMPLES that call this collection: task name, module, arguments as written."""
    tasks = yaml.safe_load(load(name).EXAMPLES)
    calls = [(task["name"], key, task[key]) for task in tasks for key in task if key.startswith(f"{COLLECTION}.")]
    return [(task, key.removeprefix(f"{COLLECTION}."), arguments) for task, key, arguments in calls]


def arguments_of(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as the module gets them: templated with the samples that RETURN shows of what was registered before."""
    tasks = yaml.safe_load(load(name).EXAMPLES)
    variables = dict(ELSEWHERE)
    for task in tasks:
        module = next((key for key in task if key.startswith(f"{COLLECTION}.")), None)
        if module and "register" in task:
            variables[task["register"]] = samples(module.removeprefix(f"{COLLECTION}."))
    # A result that another example registers.
    variables.setdefault("policies_of_caller", samples("access_policies_info"))
    templar = Templar(DataLoader(), variables=variables)
    return {key: templar.template(_trusted(value)) for key, value in arguments.items()}


def _trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _trusted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_trusted(inner) for inner in value]
    return trust_as_template(value) if isinstance(value, str) and value not in FILES else FILES.get(str(value), value)


EXAMPLES = [
    pytest.param(name, module, arguments, id=f"{name}: {task}")
    for name in module_names()
    for task, module, arguments in own_tasks(name)
]


@pytest.mark.parametrize("name", module_names())
def test_there_are_examples_and_all_is_called_by_its_full_name(name):
    tasks = yaml.safe_load(load(name).EXAMPLES)
    assert f"{COLLECTION}.{name}" in [key for task in tasks for key in task]
    for task in tasks:
        assert [key for key in task if key.count(".") >= 2], f"{task['name']} names nothing in full"


@pytest.mark.parametrize(("name", "module", "arguments"), EXAMPLES)
def test_an_example_is_taken(name, module, arguments, monkeypatch):
    taken = AnsibleModule.__init__

    def take(self, *positional, **named):
        taken(self, *positional, **named)
        raise Accepted

    monkeypatch.setattr(AnsibleModule, "__init__", take)
    with patch_module_args(arguments_of(name, arguments)), pytest.raises(Accepted):
        importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{module}").main()


@pytest.mark.parametrize(("name", "module", "arguments"), [e for e in EXAMPLES if e.values[1] in OFFLINE])
def test_an_example_that_needs_no_aws_runs_and_returns_what_is_documented(
    name, module, arguments, tmp_path, monkeypatch, capsys
):
    given = arguments_of(name, arguments)
    monkeypatch.chdir(tmp_path)
    with patch_module_args(given), pytest.raises(SystemExit) as ended:
        load(module).main()
    result = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0, result
    assert disagreements(result, module) == []


@pytest.mark.parametrize("name", module_names())
def test_samples_are_of_the_documented_type(name):
    assert disagreements(samples(name), name) == []


@pytest.mark.parametrize("name", module_names())
def test_everything_that_is_returned_has_a_sample(name):
    def without(entries: dict[str, Any], where: str) -> list[str]:
        missing = [where + key for key, entry in entries.items() if "sample" not in entry and "contains" not in entry]
        inner = [without(entry["contains"], f"{where}{key}.") for key, entry in entries.items() if "contains" in entry]
        return missing + sum(inner, [])

    assert without(documented_returns(name), "") == []
    assert all(sample(entry) is not None for key, entry in documented_returns(name).items())
