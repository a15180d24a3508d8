#!/usr/bin/python
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What given policies allow given principals, decided offline."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_simulation
short_description: Decide offline what policies allow on an Amazon ECR repository
version_added: 0.1.0
author: policyproof contributors (@policyproof)
description:
  - Decides, from documents alone and without any request to AWS, whether principals may push to and pull from a
    repository,
    or may perform single API actions on it, and names the statement that decides.
  - Takes what M(policyproof.ecr.access_policies_info) returns, and documents of principals and repositories that do
    not exist yet.
  - Decides as AWS documents it, with identity-based and resource-based policies, permissions boundaries, session
    policies, service and
    resource control policies and VPC endpoint policies. A layer that is not given is taken not to exist.
options:
  principals:
    description: Who asks.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What to call the principal in RV(decisions).
          - Without it, the name in O(principals[].arn).
        type: str
      arn:
        description: ARN of a role or a user, of an account's root user, or the name of an AWS service such as
          V(codebuild.amazonaws.com).
        type: str
        required: true
      session_arn:
        description:
          - ARN of the role's session, or of the federated user's session, as STS shows it.
          - Without it, statements that name a session do not name this principal.
        type: str
      policies:
        description:
          - Identity-based policies of the principal, attached, inline and of its groups.
          - Each is a document, as an object or as JSON, or an object with RV(ignore:document), and with
            RV(ignore:name) to call it by.
        type: list
        elements: raw
        default: []
      permissions_boundary:
        description: The principal's permissions boundary, in one of the forms of O(principals[].policies).
        type: raw
      session_policy:
        description: The policy that the session was started with, in one of the forms of O(principals[].policies).
        type: raw
      tags:
        description: The principal's tags, for the condition keys C(aws:PrincipalTag/…).
        type: dict
        default: {}
  repository:
    description: ARN of the repository.
    type: str
    required: true
  repository_policy:
    description: The repository's policy, as an object or as JSON. Empty or missing if it has none.
    type: raw
  repository_tags:
    description: The repository's tags, for the condition keys C(aws:ResourceTag/…) and C(ecr:ResourceTag/…).
    type: dict
    default: {}
  actions:
    description:
      - What is asked for, V(push), V(pull) or API actions such as V(ecr:DeleteRepository).
      - A push and a pull need several API actions, C(ecr:GetAuthorizationToken) among them, since without a token
        there is no login.
    type: list
    elements: str
    default: [push, pull]
  image_store:
    description:
      - The image store of the container engine that pushes.
      - With V(containerd), the default of a fresh Docker Engine 29 and later, a push needs C(ecr:BatchGetImage) too.
    type: str
    choices: [classic, containerd]
    default: classic
  scps:
    description:
      - Service control policies of the principals' account, a list for each level of the organization, from its root
        to the account.
      - Empty where none apply, as in a management account.
    type: list
    elements: list
    default: []
  rcps:
    description: Resource control policies of the repository's account, a list for each level. C(RCPFullAWSAccess)
      need not be among them.
    type: list
    elements: list
    default: []
  vpc_endpoint_policy:
    description: The policy of the VPC endpoint that requests come through, in one of the forms of
      O(principals[].policies).
    type: raw
  context:
    description:
      - Condition keys of the request, beside those that follow from the other options, which it may replace.
      - Those that follow are C(aws:PrincipalArn), C(aws:PrincipalAccount), C(aws:PrincipalType),
        C(aws:PrincipalIsAWSService),
        C(aws:PrincipalTag/…), C(aws:username), C(aws:ResourceAccount), C(aws:ResourceTag/…), C(ecr:ResourceTag/…),
        C(aws:RequestedRegion),
        C(aws:SecureTransport), C(aws:ViaAWSService), C(aws:CurrentTime) and C(aws:EpochTime).
      - A key with the value V(null) is missing from the request.
    type: dict
    default: {}
extends_documentation_fragment:
  - policyproof.ecr._attributes
  - policyproof.ecr._attributes.read_only
requirements:
  - python >= 3.8
seealso:
  - module: policyproof.ecr.access_policies_info
  - module: policyproof.ecr.access_probe
"""

EXAMPLES = r"""
- name: Read the policies that there are
  policyproof.ecr.access_policies_info:
    principals:
      - arn:aws:iam::123456789012:role/builder
    repository: team/app
  register: policies

- name: Decide who may push and pull
  policyproof.ecr.access_simulation:
    principals: "{{ policies.principals }}"
    repository: "{{ policies.repository.arn }}"
    repository_policy: "{{ policies.repository_policy }}"
    scps: "{{ policies.scps }}"
    rcps: "{{ policies.rcps }}"
  register: simulation

- name: Decide for a role that does not exist yet
  policyproof.ecr.access_simulation:
    principals:
      - name: builder
        arn: arn:aws:iam::123456789012:role/builder
        policies:
          - Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action: ecr:*
                Resource: "*"
    repository: arn:aws:ecr:us-east-1:123456789012:repository/team/app
    repository_policy: "{{ lookup('ansible.builtin.file', 'repository-policy.json') }}"
    image_store: containerd

- name: Would whoever runs this still be able to change the policy that is about to be set?
  policyproof.ecr.access_simulation:
    principals: "{{ policies_of_caller.principals }}"
    repository: arn:aws:ecr:us-east-1:123456789012:repository/team/app
    repository_policy: "{{ about_to_be_set }}"
    actions:
      - ecr:SetRepositoryPolicy
      - ecr:DeleteRepositoryPolicy
      - ecr:DeleteRepository
  register: lock_out
  failed_when: lock_out.decisions | selectattr('effect', 'eq', 'deny') | length > 0
"""

RETURN = r"""
decisions:
  description: One for each principal and action, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    principal:
      description: Name of the principal.
      type: str
      sample: builder
    action:
      description: The action, as it was given.
      type: str
      sample: push
    effect:
      description: V(allow) or V(deny).
      type: str
      sample: deny
    decision:
      description: V(allow), V(explicit_deny) or V(implicit_deny).
      type: str
      sample: explicit_deny
    api_action:
      description: The first API action that is denied; none if the action is allowed.
      type: str
      sample: ecr:InitiateLayerUpload
    policy_type:
      description: The type of policy that decides. For an implicit deny, the type that would have to allow.
      type: str
      sample: resource-based policy
    policy:
      description: Name of the policy that the statement is in, where it was given one.
      type: str
      sample: AmazonEC2ContainerRegistryFullAccess
    statement:
      description: Sid of the statement that decides, or its place, such as C(Statement[2]); none for an implicit
        deny.
      type: str
      sample: DenyEverybodyElse
    sentence:
      description: What AWS would print.
      type: str
      sample: >-
        User: arn:aws:iam::123456789012:role/builder is not authorized to perform: ecr:InitiateLayerUpload on
          resource:
        arn:aws:ecr:us-east-1:123456789012:repository/team/app with an explicit deny in a resource-based policy
    explanation:
      description: The sentence, then a line for every statement that matched or nearly did.
      type: str
      sample: |-
        User: … with an explicit deny in a resource-based policy
          Deny, statement 'DenyEverybodyElse' of the resource-based policy: matched
    statements:
      description: What O(ignore:explanation) says, as data.
      type: list
      elements: dict
      contains:
        policy_type:
          description: The type of policy that the statement is in.
          type: str
          sample: resource-based policy
        document:
          description: Index of that policy among those of its type, or of its level.
          type: int
          sample: 0
        level:
          description: Index of the level of the organization, for service and resource control policies.
          type: int
          sample: 0
        statement:
          description: Sid of the statement, or its index.
          type: raw
          sample: DenyEverybodyElse
        effect:
          description: V(Allow) or V(Deny).
          type: str
          sample: Deny
        matched:
          description: Whether every element of the statement matched.
          type: bool
          sample: true
        kept_by:
          description: The element that kept the statement from matching, and how.
          type: list
          elements: dict
          sample: []
        worth:
          description: What an Allow of a resource-based policy is worth, where it is not enough by itself.
          type: str
          sample: it names the account, which leaves the decision to identity-based policies
    api_actions:
      description: What was decided of every API action that the action needs.
      type: list
      elements: dict
      contains:
        api_action:
          description: The API action.
          type: str
          sample: ecr:InitiateLayerUpload
        decision:
          description: V(allow), V(explicit_deny) or V(implicit_deny).
          type: str
          sample: explicit_deny
        policy_type:
          description: The type of policy that decides.
          type: str
          sample: resource-based policy
        policy:
          description: Name of the policy that the statement is in, where it was given one.
          type: str
          sample: null
        statement:
          description: Sid of the statement that decides, or its place.
          type: str
          sample: DenyEverybodyElse
        sentence:
          description: What AWS would print.
          type: str
          sample: "User: … is not authorized to perform: ecr:InitiateLayerUpload on resource: …"
  sample:
    - principal: builder
      action: push
      effect: deny
      decision: explicit_deny
      api_action: ecr:InitiateLayerUpload
      policy_type: resource-based policy
      policy: null
      statement: DenyEverybodyElse
fault:
  description: Where and why a document is malformed.
  returned: if a document is malformed
  type: dict
  contains:
    policy:
      description: Which document it is.
      type: str
      sample: the resource-based policy
    path:
      description: Where in the document the fault is.
      type: str
      sample: Statement[2].Condition.ArnEquals
    reason:
      description: What the fault is.
      type: str
      sample: must be an object, not a string
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.actions import TOKEN_ACTION, needed
from ansible_collections.policyproof.ecr.plugins.module_utils.iam.evaluation import (
    Decision,
    InvalidPolicy,
    PolicySet,
)

REGISTRY_ACTIONS = frozenset(
    name.lower()
    for name in (
        TOKEN_ACTION,
        "ecr:CreatePullThroughCacheRule",
        "ecr:DeletePullThroughCacheRule",
        "ecr:DeleteRegistryPolicy",
        "ecr:DescribePullThroughCacheRules",
        "ecr:DescribeRegistry",
        "ecr:GetRegistryPolicy",
        "ecr:GetRegistryScanningConfiguration",
        "ecr:PutRegistryPolicy",
        "ecr:PutRegistryScanningConfiguration",
        "ecr:PutReplicationConfiguration",
        "ecr:UpdatePullThroughCacheRule",
        "ecr:ValidatePullThroughCacheRule",
    )
)
"""API actions that name no repository, in lower case; source: Service Authorization Reference, Amazon ECR."""


class WrongOption(Exception):
    """An option that makes no sense; the message is a sentence for the user."""


class Principal:
    """One principal with its policies compiled.

    :ivar name: what decisions call it
    :ivar asks_as: its ARN as STS shows it, as far as that is known
    """

    def __init__(self, given, layers):
        """Compile.

        :arg given: one element of the option principals
        :arg layers: the options that are the same for all principals
        :raises InvalidPolicy: with `policy` set to the words for the malformed document
        """
        arn = given["arn"]
        self.name = given["name"] or arn.rpartition("/")[2].rpartition(":")[2]
        self.asks_as = given["session_arn"] or arn
        self._names = [_name(policy) for policy in given["policies"]]
        self._context = dict(_of_principal(arn), **_tagged("aws:PrincipalTag", given["tags"]))
        self._policies = PolicySet(
            identity=[_document(policy) for policy in given["policies"]],
            permissions_boundary=_document(given["permissions_boundary"]),
            session=_document(given["session_policy"]),
            resource=_document(layers["repository_policy"]),
            scps=[[_document(policy) for policy in level] for level in layers["scps"]],
            rcps=[[_document(policy) for policy in level] for level in layers["rcps"]],
            vpc_endpoint=_document(layers["vpc_endpoint_policy"]),
        )

    def decide(self, api_action, repository, context):
        """Decide one API action on a repository, or on nothing in particular if it is the registry's."""
        resource = "*" if api_action.lower() in REGISTRY_ACTIONS else repository
        merged = {key.lower(): value for key, value in self._context.items()}
        merged.update((key.lower(), value) for key, value in context.items())
        account = repository.split(":")[4] if resource != "*" else None
        return self._policies.decide(self.asks_as, api_action, resource, account, merged)

    def policy_name(self, decision: Decision):
        """Name of the policy that the deciding statement is in, if it was given one."""
        source = decision.source
        return self._names[source.document] if source and source.policy_type == "identity-based policy" else None


def _document(policy):
    if not policy and policy != []:
        return None
    if isinstance(policy, dict) and "document" in policy and "Statement" not in policy:
        return policy["document"]
    return policy


def _name(policy):
    return policy.get("name") if isinstance(policy, dict) and "document" in policy else None


def _of_principal(arn):
    """The condition keys that follow from who asks."""
    parts = arn.split(":", 5)
    if len(parts) != 6:
        return {"aws:PrincipalIsAWSService": "true"}
    kind, _slash, name = parts[5].partition("/")
    kinds = {"role": "AssumedRole", "user": "User", "root": "Account", "federated-user": "FederatedUser"}
    if kind not in kinds:
        raise WrongOption(
            f"{arn} is no role, no user and no root user. "
            "Give the ARN of the role as arn, and that of its session as session_arn."
        )
    context = {
        "aws:PrincipalArn": arn,
        "aws:PrincipalAccount": parts[4],
        "aws:PrincipalType": kinds[kind],
        "aws:PrincipalIsAWSService": "false",
    }
    if kind == "user":
        context["aws:username"] = name.rpartition("/")[2]
    return context


def _of_request(repository, tags):
    """The condition keys that follow from the repository, and from the time."""
    parts = repository.split(":", 5)
    if len(parts) != 6 or parts[2] != "ecr" or not parts[5].startswith("repository/"):
        raise WrongOption(f"{repository} is no repository's ARN: arn:aws:ecr:<region>:<account>:repository/<name>.")
    now = datetime.datetime.now(datetime.timezone.utc)
    return dict(
        {
            "aws:ResourceAccount": parts[4],
            "aws:RequestedRegion": parts[3],
            "aws:SecureTransport": "true",
            "aws:ViaAWSService": "false",
            "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:EpochTime": str(int(now.timestamp())),
        },
        **_tagged("aws:ResourceTag", tags),
        **_tagged("ecr:ResourceTag", tags),
    )


def _tagged(key, tags):
    return {f"{key}/{tag}": str(value) for tag, value in tags.items()}


def api_actions(action, image_store):
    """The API actions that an action needs, in the order in which a client comes to need them."""
    if action in ("push", "pull"):
        return (TOKEN_ACTION,) + needed(action, image_store)
    if ":" not in action or "*" in action or "?" in action:
        raise WrongOption(f"{action!r} is neither push nor pull nor an API action such as ecr:PutImage.")
    return (action,)


def _statement(decision):
    return f"Statement[{decision.statement}]" if isinstance(decision.statement, int) else decision.statement


def _summary(principal, decision):
    return {
        "decision": decision.effect,
        "policy_type": decision.policy_type,
        "policy": principal.policy_name(decision),
        "statement": _statement(decision),
        "sentence": str(decision),
    }


def simulate(principal, action, image_store, repository, context):
    """Decide one cell; a dictionary as RETURN describes."""
    decided = [
        (api_action, principal.decide(api_action, repository, context))
        for api_action in api_actions(action, image_store)
    ]
    # What is allowed is told of the last API action: the first may be that for a token, which is not the repository's.
    stopping = next((one for one in decided if not one[1].allowed), None)
    api_action, decision = stopping or decided[-1]
    return dict(
        _summary(principal, decision),
        principal=principal.name,
        action=action,
        effect="deny" if stopping else "allow",
        api_action=api_action if stopping else None,
        explanation=decision.explanation(),
        statements=[finding.as_dict() for finding in decision.explain()],
        api_actions=[dict(_summary(principal, one), api_action=name) for name, one in decided],
    )


def decisions(params):
    """Decide everything that the options ask for.

    :raises InvalidPolicy: if a document is malformed
    :raises WrongOption: if an option makes no sense
    """
    context = _of_request(params["repository"], params["repository_tags"])
    replaced = {key.lower() for key in params["context"]}
    context = {key: value for key, value in context.items() if key.lower() not in replaced}
    context.update(params["context"])
    principals = [Principal(given, params) for given in params["principals"]]
    return [
        simulate(principal, action, params["image_store"], params["repository"], context)
        for principal in principals
        for action in params["actions"]
    ]


def main():
    """Entry point."""
    raw_document = {"type": "raw"}
    module = AnsibleModule(
        argument_spec={
            "principals": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str"},
                    "arn": {"type": "str", "required": True},
                    "session_arn": {"type": "str"},
                    "policies": {"type": "list", "elements": "raw", "default": []},
                    "permissions_boundary": raw_document,
                    "session_policy": raw_document,
                    "tags": {"type": "dict", "default": {}},
                },
            },
            "repository": {"type": "str", "required": True},
            "repository_policy": raw_document,
            "repository_tags": {"type": "dict", "default": {}},
            "actions": {"type": "list", "elements": "str", "default": ["push", "pull"]},
            "image_store": {"type": "str", "choices": ["classic", "containerd"], "default": "classic"},
            "scps": {"type": "list", "elements": "list", "default": []},
            "rcps": {"type": "list", "elements": "list", "default": []},
            "vpc_endpoint_policy": raw_document,
            "context": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        result = decisions(module.params)
    except WrongOption as fault:
        module.fail_json(msg=str(fault))
    except InvalidPolicy as fault:
        policy = str(fault.source)
        module.fail_json(
            msg=f"{policy} is malformed. {fault}.",
            fault={"policy": policy, "path": fault.path, "reason": fault.reason},
        )
    module.exit_json(changed=False, decisions=result)


if __name__ == "__main__":
    main()
