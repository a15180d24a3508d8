# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests that most tests of the evaluator ask, in one place."""

from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import PolicySet

ACCOUNT = "123456789012"
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/team/app"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/i-1"


@pytest.fixture
def decide():
    """Decide one request of a role's session, to put an image, unless told otherwise."""

    def run(principal=SESSION, action="ecr:PutImage", resource=REPOSITORY, account=ACCOUNT, context=None, **layers):
        if "own" in layers:
            layers["resource"] = layers.pop("own")
        return PolicySet(**layers).decide(principal, action, resource, account, context or {})

    return run


@pytest.fixture
def matches(decide):
    """Whether an Allow of an identity-based policy with these elements matches."""

    def run(context=None, version="2012-10-17", action="ecr:PutImage", resource=REPOSITORY, **elements):
        statement = {"Effect": "Allow", **elements}
        if not {"Action", "NotAction"} & set(statement):
            statement["Action"] = "*"
        if not {"Resource", "NotResource"} & set(statement):
            statement["Resource"] = "*"
        policy = {"Version": version, "Statement": [statement]}
        return decide(identity=[policy], context=context, action=action, resource=resource).effect == "allow"

    return run


@pytest.fixture
def holds(matches):
    """Whether a condition holds in a context."""

    def run(operator, key, values, context, version="2012-10-17"):
        return matches(Condition={operator: {key: values}}, context=context, version=version)

    return run
