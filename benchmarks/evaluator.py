# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast the evaluator decides, and how little it minds statements that do not matter.

Run it with ``python benchmarks/evaluator.py``.

One core, processor time. The tutorial's policies: four principals by eleven API actions.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.actions import PULL_ACTIONS, PUSH_ACTIONS
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import PolicySet

ACCOUNT = "123456789012"
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/fa-085"
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/fa-085-instance{number}" for number in (1, 2, 3)]
ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:user/admin"
MANAGEMENT = (
    "ecr:SetRepositoryPolicy",
    "ecr:DeleteRepositoryPolicy",
    "ecr:DeleteRepository",
    "ecr:GetRepositoryPolicy",
)
ACTIONS = PUSH_ACTIONS + PULL_ACTIONS + MANAGEMENT
GOAL = 250_000

Request = dict[str, Any]
Document = dict[str, Any]


def deny(sid: str, operator: str, value: str | list[str], **actions: Any) -> Document:
    """A statement of the repository's policy."""
    condition = {operator: {"aws:PrincipalArn": value}}
    return {"Sid": sid, "Effect": "Deny", "Principal": "*", "Condition": condition, **actions}


REPOSITORY_POLICY: Document = {
    "Version": "2012-10-17",
    "Statement": [
        deny("a", "ArnEquals", ROLES[0], NotAction=list(PUSH_ACTIONS)),
        deny("b", "ArnEquals", ROLES[1], NotAction=list(PULL_ACTIONS)),
        deny("c", "ArnNotEquals", ROLES[:2], Action="*"),
    ],
}
FULL_ACCESS: Document = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ecr:*", "cloudtrail:LookupEvents"], "Resource": "*"}],
}


def requests() -> list[Request]:
    """The forty-four requests."""
    principals = [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/fa-085-instance{i}/i-{i}", role) for i, role in enumerate(ROLES, 1)
    ]
    principals.append((ADMINISTRATOR, ADMINISTRATOR))
    return [
        {
            "principal": asks_as,
            "action": action,
            "resource": REPOSITORY,
            "resource_account": ACCOUNT,
            "context": {"aws:PrincipalArn": arn},
        }
        for asks_as, arn in principals
        for action in ACTIONS
    ]


def irrelevant(count: int) -> Document:
    """Statements that concern other services, other API actions of ECR, or other conditions of those."""
    statements: list[Document] = []
    for number in range(count):
        actions = ([f"s3:Get{number}*", "sqs:*"], f"ecr:Action{number}", [f"ecr:Tag{number}*", "ec2:Describe*"])[
            number % 3
        ]
        statements.append(
            {
                "Effect": "Allow",
                "Action": actions,
                "Resource": f"arn:aws:*:*:{ACCOUNT}:thing/{number}/*",
                "Condition": {"StringLike": {"aws:PrincipalTag/team": [f"team-{number}", f"{number}-*"]}},
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def rate(run: Callable[[], int], seconds: float) -> float:
    """Decisions a second of processor time: the best of five spells, since others only ever make it slower."""
    spells = []
    for _turn in range(5):
        count, start = 0, time.process_time()
        while (elapsed := time.process_time() - start) < seconds / 5:
            count += run()
        spells.append(count / elapsed)
    return max(spells)


def repeated(policies: PolicySet, asked: list[Request]) -> Callable[[], int]:
    """The same requests over and over."""

    def run() -> int:
        for request in asked:
            policies.decide(**request)
        return len(asked)

    return run


def never_seen(policies: PolicySet, asked: list[Request]) -> Callable[[], int]:
    """The same requests, each with an address that was never seen before, so that no answer can be remembered."""
    serial = iter(range(sys.maxsize))

    def run() -> int:
        for request in asked:
            request["context"]["aws:SourceIp"] = f"2001:db8::{next(serial):x}"
            policies.decide(**request)
        return len(asked)

    return run


def compile_time(*documents: Document) -> float:
    """Milliseconds to compile, the median of several times."""
    times = []
    for _turn in range(7):
        start = time.process_time()
        PolicySet(identity=documents, resource=REPOSITORY_POLICY)
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


def main() -> int:
    """Print figures; 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure each figure")
    seconds = parser.parse_args().seconds
    policies = PolicySet(identity=[FULL_ACCESS], resource=REPOSITORY_POLICY)
    same = rate(repeated(policies, requests()), seconds)
    new = rate(never_seen(policies, requests()), seconds)
    print(f"the tutorial's {len(requests())} decisions in a loop  {same:>12,.0f} decisions/s  (goal {GOAL:,})")
    print(f"with a new context each time         {new:>12,.0f} decisions/s")
    print("\nirrelevant statements   decisions/s   with new contexts   compile, ms   first 44 decisions, ms")
    for count in (0, 10, 100, 1000):
        more = irrelevant(count)
        policies = PolicySet(identity=[more, FULL_ACCESS], resource=REPOSITORY_POLICY)
        start = time.process_time()
        repeated(policies, requests())()
        first = (time.process_time() - start) * 1000
        figures = rate(repeated(policies, requests()), seconds), rate(never_seen(policies, requests()), seconds)
        compiled = compile_time(more, FULL_ACCESS)
        print(f"{count:>21,}  {figures[0]:>12,.0f}  {figures[1]:>18,.0f}  {compiled:>12.2f}  {first:>23.2f}")
    return 0 if same >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
