#!/usr/bin/python
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expected, simulated and observed: verdicts and report files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_report
short_description: Compare expected, simulated and observed access, and write the report
version_added: 0.1.0
description:
  - Gives each cell of an access matrix its verdict. V(proven) where what was observed is what was expected, V(violated)
    where it is not, and V(unproven) where the attempt failed for another reason than the service saying no.
  - Writes the report as JSON, as an HTML page and as JUnit XML.
  - A verdict that is not V(proven) does not make this module fail. Assert on RV(proven) for that.
author:
  - policyproof contributors (@policyproof)
extends_documentation_fragment:
  - policyproof.ecr._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - A report says when it was made, so each is another one.
options:
  matrix:
    description:
      - The access matrix. Principals, and for each whether it may V(push) and V(pull), each V(allow) or V(deny).
    type: dict
    required: true
  repository:
    description:
      - The repository's URI or ARN, as the report is to name it.
    type: str
    required: true
  observations:
    description:
      - What was observed. A cell of O(matrix) that is missing here becomes an error in the report.
    type: list
    elements: dict
    default: []
    suboptions:
      principal:
        description:
          - The principal that made the attempts.
        type: str
        required: true
      results:
        description:
          - The RV(policyproof.ecr.access_probe#module:results) of M(policyproof.ecr.access_probe).
        type: list
        elements: dict
        default: []
      error:
        description:
          - Why there are no results, where there are none.
        type: str
  simulations:
    description:
      - The RV(policyproof.ecr.access_simulation#module:decisions) of M(policyproof.ecr.access_simulation).
    type: list
    elements: dict
    default: []
  directory:
    description:
      - Where to write C(access.json), C(access.html) and C(access.junit.xml). It is made if it is missing.
      - Without it, nothing is written.
    type: path
requirements:
  - Jinja2 on the host that writes the report (Ansible itself needs it, so the controller has it)
seealso:
  - module: policyproof.ecr.access_probe
  - module: policyproof.ecr.access_simulation
"""

EXAMPLES = r"""
- name: Report what was observed
  policyproof.ecr.access_report:
    matrix:
      instance1: {push: allow, pull: deny}
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
    observations:
      - principal: instance1
        results:
          - {action: push, outcome: allowed, digest: "sha256:0f1e2d3c4b5a6978", duration_s: 0.9}
          - action: pull
            outcome: denied
            duration_s: 0.2
            denial:
              api_action: ecr:BatchGetImage
              policy_type: resource-based policy
              explicit: true
              statement:
              message: "User: … is not authorized to perform: ecr:BatchGetImage …"
    directory: build/report
  delegate_to: localhost
  register: access_report

- name: Every cell is proven
  ansible.builtin.assert:
    that: access_report.proven
    fail_msg: "{{ access_report.failures }}"
"""

RETURN = r"""
proven:
  description: Whether every cell is proven.
  returned: success
  type: bool
  sample: true
rows:
  description: The rows of C(access.json), in the order of the matrix, push before pull.
  returned: success
  type: list
  elements: dict
  sample:
    - principal: instance1
      action: push
      expected: allow
      simulated: allow
      observed: allowed
      verdict: proven
      duration_s: 0.9
      denial: null
table:
  description: The report as lines of text.
  returned: success
  type: list
  elements: str
  sample:
    - "principal  action  expected  observed  verdict  why"
    - "instance1  push    allow     allowed   proven   sha256:0f1e2d3c4b5a… in 0.9 s"
cells:
  description: For each row, its verdict and a sentence that says what was expected, what was observed, and why.
  returned: success
  type: list
  elements: dict
  sample:
    - principal: instance1
      action: push
      verdict: proven
      sentence: "instance1 push: expected allow, observed allowed (sha256:0f1e2d3c4b5a… in 0.9 s)."
failures:
  description: The sentences of the cells that are not proven.
  returned: success
  type: list
  elements: str
  sample:
    - "instance3 pull: expected deny, observed allowed (sha256:0f1e2d3c4b5a… in 0.4 s)."
differences:
  description: A sentence for each cell whose simulation and observation differ.
  returned: success
  type: list
  elements: str
  sample: []
files:
  description: The files that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ["build/report/access.json", "build/report/access.html", "build/report/access.junit.xml"]
"""

import json
import os
import typing as t
from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.policyproof.ecr.plugins.module_utils.access.junit import junit
from ansible_collections.policyproof.ecr.plugins.module_utils.access.matrix import MatrixFault, cells
from ansible_collections.policyproof.ecr.plugins.module_utils.access.page import page
from ansible_collections.policyproof.ecr.plugins.module_utils.access.table import table
from ansible_collections.policyproof.ecr.plugins.module_utils.access.verdicts import PROVEN, ResultFault, Row, rows

ARGUMENT_SPEC = {
    "matrix": {"type": "dict", "required": True},
    "repository": {"type": "str", "required": True},
    "observations": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "principal": {"type": "str", "required": True},
            "results": {"type": "list", "elements": "dict", "default": []},
            "error": {"type": "str"},
        },
    },
    "simulations": {"type": "list", "elements": "dict", "default": []},
    "directory": {"type": "path"},
}

Keyed = t.Dict[t.Tuple[str, str], t.Dict[str, t.Any]]


def observed(matrix: t.Iterable[str], observations: list[dict[str, t.Any]]) -> Keyed:
    """Results by (principal, action). Raises ResultFault for a principal that the matrix does not have."""
    found: Keyed = {}
    for observation in observations:
        principal = observation["principal"]
        if principal not in matrix:
            raise ResultFault(
                f"Principal '{principal}' was observed but is not in the access matrix: add it or leave it out."
            )
        if observation["error"]:
            error = {"outcome": "error", "error": observation["error"]}
            found.update({(principal, action): error for action in ("push", "pull")})
        found.update({(principal, result.get("action", "")): result for result in observation["results"]})
    return found


def report_files(report: list[Row], repository: str, generated: str) -> dict[str, str]:
    """The text of each file by its name."""
    data = {"schema": 1, "repository": repository, "generated": generated, "rows": [row.as_dict() for row in report]}
    return {
        "access.json": json.dumps(data, indent=2, ensure_ascii=False) + "\n",
        "access.html": page(report, repository, generated),
        "access.junit.xml": junit(report, repository, generated),
    }


def write(directory: str, files: dict[str, str]) -> None:
    """Write each file, whole or not at all. Raises OSError."""
    os.makedirs(directory, exist_ok=True)
    for name, text in files.items():
        path = os.path.join(directory, name)
        with open(path + ".partial", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".partial", path)


def main() -> None:
    """Judge, write, return."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    matrix, repository, directory = (module.params[name] for name in ("matrix", "repository", "directory"))
    simulations = {(one.get("principal", ""), one.get("action", "")): one for one in module.params["simulations"]}
    try:
        report = rows(cells(matrix), observed(matrix, module.params["observations"]), simulations)
        generated = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        files = report_files(report, repository, generated) if directory else {}
        if not module.check_mode and directory:
            write(directory, files)
    except (MatrixFault, ResultFault) as fault:
        module.fail_json(msg=str(fault))
    except ImportError as error:
        module.fail_json(msg=missing_required_lib("jinja2"), exception=error)
    except OSError as error:
        module.fail_json(msg=f"Could not write the report to {directory}: {error.strerror}. Choose another directory.")
    module.exit_json(
        changed=bool(files),
        proven=all(row.verdict == PROVEN for row in report),
        rows=[row.as_dict() for row in report],
        table=table(report),
        cells=[{name: getattr(row, name) for name in ("principal", "action", "verdict", "sentence")} for row in report],
        failures=[row.sentence for row in report if row.verdict != PROVEN],
        differences=[f"{row.principal} {row.action}: {row.differs}" for row in report if row.differs],
        files=[os.path.join(directory, name) for name in files],
    )


if __name__ == "__main__":
    main()
