#!/usr/bin/python
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every policy that bears on what principals may do with a repository, as AWS has it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_policies_info
short_description: Read the policies that bear on an Amazon ECR repository and on principals
version_added: 0.1.0
author: policyproof contributors (@policyproof)
description:
  - Reads the policies of roles and users (attached ones in their default version, inline ones, those of a user's
    groups,
    permissions boundaries), the policy of a repository, and the service and resource control policies of their
    account.
  - Says in RV(unread) which of these it could not read, and why. What could not be read is not assumed to allow or to
    deny anything.
  - What it returns is what M(policyproof.ecr.access_simulation) takes.
  - Policies of VPC endpoints and of sessions, and principals of other accounts, cannot be found by it.
options:
  principals:
    description:
      - ARNs of roles, of users, of instance profiles (then of their role), of sessions of roles (then of their role),
        or of the account's root user.
      - V(caller) is whoever runs this module.
    type: list
    elements: str
    default: []
  repository:
    description: Name of a repository, or its ARN.
    type: str
  registry_id:
    description:
      - Account of the repository, twelve digits.
      - Without it, the account in the ARN, or the account of whoever runs this module.
    type: str
  managed_policies:
    description: ARNs of managed policies, AWS's own too, to read the documents of, such as for a role that does not
      exist yet.
    type: list
    elements: str
    default: []
  organization:
    description: Whether to read service and resource control policies. Only an organization's management account, or
      a delegated one, may.
    type: bool
    default: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - policyproof.ecr._attributes
  - policyproof.ecr._attributes.action_group
  - policyproof.ecr._attributes.read_only
seealso:
  - module: policyproof.ecr.access_simulation
  - module: amazon.aws.iam_role_info
  - module: amazon.aws.iam_managed_policy
"""

EXAMPLES = r"""
- name: Read what bears on two roles and a repository
  policyproof.ecr.access_policies_info:
    principals:
      - arn:aws:iam::123456789012:role/builder
      - arn:aws:iam::123456789012:instance-profile/runner
    repository: team/app
  register: policies

- name: Show what could not be read
  ansible.builtin.debug:
    msg: "{{ policies.unread }}"

- name: Read the caller's own policies, for a look at a policy that is about to be set
  policyproof.ecr.access_policies_info:
    principals: [caller]
  register: policies_of_caller

- name: Read managed policies for a role that does not exist yet
  policyproof.ecr.access_policies_info:
    managed_policies:
      - arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess
      - arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore
  register: policies
"""

RETURN = r"""
caller:
  description: Who runs this module.
  returned: success
  type: dict
  contains:
    arn:
      description: ARN, as STS shows it.
      type: str
      sample: arn:aws:sts::123456789012:assumed-role/deployer/me
    account:
      description: Account, twelve digits.
      type: str
      sample: "123456789012"
principals:
  description: The principals that exist, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the role or the user, V(root) for the root user.
      type: str
      sample: builder
    arn:
      description: ARN of the role or the user, with its path.
      type: str
      sample: arn:aws:iam::123456789012:role/builder
    session_arn:
      description: ARN of the session, if one was asked for.
      type: str
      sample: null
    policies:
      description: Its identity-based policies, each with C(name), C(arn) (none of inline ones) and C(document).
      type: list
      elements: dict
      sample:
        - name: AmazonEC2ContainerRegistryFullAccess
          arn: arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess
          document: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["ecr:*"], Resource: "*"}]}
    permissions_boundary:
      description: Its permissions boundary, in the same form; none if it has none.
      type: dict
      sample: null
    tags:
      description: Its tags.
      type: dict
      sample: {team: red}
missing:
  description: Principals and managed policies that do not exist, as they were given.
  returned: success
  type: list
  elements: str
  sample: [arn:aws:iam::123456789012:role/not-yet]
repository:
  description: The repository; none if none was asked for.
  returned: success
  type: dict
  contains:
    name:
      description: Name.
      type: str
      sample: team/app
    arn:
      description: ARN.
      type: str
      sample: arn:aws:ecr:us-east-1:123456789012:repository/team/app
    exists:
      description: Whether it is there; none if that could not be told.
      type: bool
      sample: true
    tags:
      description: Its tags.
      type: dict
      sample: {}
repository_policy:
  description: The repository's policy; none if it has none, or if it could not be read.
  returned: success
  type: dict
  sample: {Version: "2012-10-17", Statement: [{Effect: Deny, Principal: "*", Action: "ecr:PutImage"}]}
managed_policies:
  description: The documents of O(managed_policies), by ARN.
  returned: success
  type: dict
  sample:
    arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore: {Version: "2012-10-17", Statement: [{Effect: Allow, Action:
    ["ssm:UpdateInstanceInformation"], Resource: "*"}]}
scps:
  description: Service control policies of the caller's account, a list for each level from root to account. Empty in
    a management account.
  returned: success
  type: list
  elements: list
  sample: [[{name: FullAWSAccess, arn: "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess",
    document: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "*", Resource: "*"}]}}]]
rcps:
  description: Resource control policies of the repository's account, in the same form.
  returned: success
  type: list
  elements: list
  sample: []
unread:
  description: What could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    layer:
      description: The type of policy that is incomplete for it.
      type: str
      sample: service control policy
    of:
      description: The principal, the repository or the account that it belongs to.
      type: str
      sample: "123456789012"
    reason:
      description: Why.
      type: str
      sample: "AccessDeniedException: You don't have permissions to access this resource."
  sample:
    - layer: service control policy
      of: "123456789012"
      reason: "AccessDeniedException: You don't have permissions to access this resource."
"""

import contextlib
import json

# Where it is missing, AnsibleAWSModule says so.
with contextlib.suppress(ImportError):
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import paginated_query_with_retries
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

IDENTITY = "identity-based policy"
BOUNDARY = "permissions boundary"
RESOURCE = "resource-based policy"
SCP = "service control policy"
RCP = "resource control policy"


class Policies:
    """Reads policies, and keeps account of what could not be read.

    :ivar unread: as RETURN describes it
    :ivar missing: what does not exist
    """

    def __init__(self, client_of, region):
        """Remember how to get a client.

        :arg client_of: gives a boto3 client by the name of its service, one that takes amazon.aws's aws_retry
        :arg region: of the repository
        """
        self._client_of = client_of
        self._region = region
        self._managed = {}
        self.unread = []
        self.missing = []
        identity = client_of("sts").get_caller_identity(aws_retry=True)
        self.caller = {"arn": identity["Arn"], "account": identity["Account"]}
        self._partition = identity["Arn"].split(":")[1]

    # Principals

    def principal(self, asked):
        """One principal as RETURN describes it; None, and a note of it, if it is not there or cannot be read."""
        arn = self.caller["arn"] if asked == "caller" else asked
        parts = arn.split(":", 5)
        if len(parts) != 6 or parts[2] not in ("iam", "sts"):
            raise ValueError(f"{asked!r} is no ARN of a role, a user, an instance profile, a session or a root user.")
        if parts[4] != self.caller["account"]:
            self._note(IDENTITY, arn, f"it is of account {parts[4]}, the caller is of account {self.caller['account']}")
            return None
        kind, _slash, rest = parts[5].partition("/")
        readers = {
            "role": lambda: self._role(rest.rpartition("/")[2]),
            "assumed-role": lambda: dict(self._role(rest.partition("/")[0]), session_arn=arn),
            "instance-profile": lambda: self._role(self._role_of_profile(rest.rpartition("/")[2])),
            "user": lambda: self._user(rest.rpartition("/")[2]),
            "root": lambda: self._principal("root", {"Arn": arn}, []),
        }
        if kind not in readers:
            raise ValueError(f"{asked!r} is no ARN of a role, a user, an instance profile, a session or a root user.")
        try:
            return readers[kind]()
        except ClientError as fault:
            if fault.response["Error"]["Code"] != "NoSuchEntity":
                self._note(IDENTITY, arn, _reason(fault))
                return None
            self.missing.append(asked)
            return None

    def _role_of_profile(self, name):
        profile = self._iam("get_instance_profile", InstanceProfileName=name)["InstanceProfile"]
        if not profile["Roles"]:
            raise ValueError(f"The instance profile {name} has no role.")
        return profile["Roles"][0]["RoleName"]

    def _role(self, name):
        role = self._iam("get_role", RoleName=name)["Role"]
        policies = self._attached(role["Arn"], "list_attached_role_policies", RoleName=name)
        policies += self._inline(role["Arn"], "list_role_policies", "get_role_policy", RoleName=name)
        return self._principal(name, role, policies)

    def _user(self, name):
        user = self._iam("get_user", UserName=name)["User"]
        policies = self._attached(user["Arn"], "list_attached_user_policies", UserName=name)
        policies += self._inline(user["Arn"], "list_user_policies", "get_user_policy", UserName=name)
        for group in self._listed(user["Arn"], "list_groups_for_user", "Groups", UserName=name):
            policies += self._attached(user["Arn"], "list_attached_group_policies", GroupName=group["GroupName"])
            policies += self._inline(
                user["Arn"], "list_group_policies", "get_group_policy", GroupName=group["GroupName"]
            )
        return self._principal(name, user, policies)

    def _principal(self, name, entity, policies):
        boundary = entity.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return {
            "name": name,
            "arn": entity["Arn"],
            "session_arn": None,
            "policies": policies,
            "permissions_boundary": self._boundary(entity["Arn"], boundary) if boundary else None,
            "tags": {tag["Key"]: tag["Value"] for tag in entity.get("Tags", [])},
        }

    def _boundary(self, owner, arn):
        try:
            return {"name": arn.rpartition("/")[2], "arn": arn, "document": self._managed_document(arn)}
        except (BotoCoreError, ClientError) as fault:
            self._note(BOUNDARY, owner, _reason(fault))
            return None

    def _attached(self, owner, operation, **whose):
        found = []
        for policy in self._listed(owner, operation, "AttachedPolicies", **whose):
            try:
                document = self._managed_document(policy["PolicyArn"])
            except (BotoCoreError, ClientError) as fault:
                self._note(IDENTITY, owner, f"{policy['PolicyArn']}: {_reason(fault)}")
                continue
            found.append({"name": policy["PolicyName"], "arn": policy["PolicyArn"], "document": document})
        return found

    def _inline(self, owner, listing, getting, **whose):
        found = []
        for name in self._listed(owner, listing, "PolicyNames", **whose):
            try:
                document = self._iam(getting, PolicyName=name, **whose)["PolicyDocument"]
            except (BotoCoreError, ClientError) as fault:
                self._note(IDENTITY, owner, f"{name}: {_reason(fault)}")
                continue
            found.append({"name": name, "arn": None, "document": _object(document)})
        return found

    def _listed(self, owner, operation, key, **whose):
        try:
            return paginated_query_with_retries(self._client_of("iam"), operation, **whose)[key]
        except (BotoCoreError, ClientError) as fault:
            self._note(IDENTITY, owner, _reason(fault))
            return []

    def _managed_document(self, arn):
        if arn not in self._managed:
            version = self._iam("get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
            found = self._iam("get_policy_version", PolicyArn=arn, VersionId=version)
            self._managed[arn] = _object(found["PolicyVersion"]["Document"])
        return self._managed[arn]

    def managed(self, arns):
        """Documents of managed policies by ARN; those that are not there, or not readable, are noted."""
        found = {}
        for arn in arns:
            try:
                found[arn] = self._managed_document(arn)
            except ClientError as fault:
                if fault.response["Error"]["Code"] == "NoSuchEntity":
                    self.missing.append(arn)
                else:
                    self._note(IDENTITY, arn, _reason(fault))
        return found

    def _iam(self, operation, **arguments):
        return getattr(self._client_of("iam"), operation)(aws_retry=True, **arguments)

    # The repository

    def repository(self, asked, registry_id):
        """The repository and its policy as RETURN describes them."""
        parts = asked.split(":", 5)
        region, account, name = self._region, registry_id or self.caller["account"], asked
        if len(parts) == 6:
            region, account, name = parts[3], registry_id or parts[4], parts[5].partition("/")[2]
        arn = f"arn:{self._partition}:ecr:{region}:{account}:repository/{name}"
        repository = {"name": name, "arn": arn, "exists": None, "tags": {}}
        policy = None
        try:
            answer = self._ecr("get_repository_policy", registryId=account, repositoryName=name)
            policy, repository["exists"] = json.loads(answer["policyText"]), True
        except ClientError as fault:
            code = fault.response["Error"]["Code"]
            if code == "RepositoryPolicyNotFoundException":
                repository["exists"] = True
            elif code == "RepositoryNotFoundException":
                repository["exists"] = False
            else:
                self._note(RESOURCE, arn, _reason(fault))
        if repository["exists"]:
            try:
                tags = self._ecr("list_tags_for_resource", resourceArn=arn)["tags"]
                repository["tags"] = {tag["Key"]: tag["Value"] for tag in tags}
            except ClientError as fault:
                self._note(RESOURCE, arn, f"its tags: {_reason(fault)}")
        return repository, policy

    def _ecr(self, operation, **arguments):
        return getattr(self._client_of("ecr"), operation)(aws_retry=True, **arguments)

    # The organization

    def control_policies(self, policy_type, account):
        """Service or resource control policies of an account, from the organization's root down to the account."""
        organizations = self._client_of("organizations")
        try:
            management = organizations.describe_organization(aws_retry=True)["Organization"]["MasterAccountId"]
            if management == account:
                return []
            targets = self._levels(account)
            return [self._control_level(policy_type, target) for target in targets]
        except (BotoCoreError, ClientError) as fault:
            code = fault.response["Error"]["Code"] if isinstance(fault, ClientError) else ""
            if code != "AWSOrganizationsNotInUseException":
                self._note(policy_type, account, _reason(fault))
            return []

    def _levels(self, account):
        """The account and what it is in, the root first."""
        levels = [account]
        while not levels[0].startswith("r-"):
            parents = paginated_query_with_retries(self._client_of("organizations"), "list_parents", ChildId=levels[0])
            levels.insert(0, parents["Parents"][0]["Id"])
        return levels

    def _control_level(self, policy_type, target):
        organizations = self._client_of("organizations")
        listed = paginated_query_with_retries(
            organizations,
            "list_policies_for_target",
            TargetId=target,
            Filter=policy_type.upper().replace(" ", "_"),
        )
        level = []
        for summary in listed["Policies"]:
            policy = organizations.describe_policy(PolicyId=summary["Id"], aws_retry=True)["Policy"]
            level.append({"name": summary["Name"], "arn": summary["Arn"], "document": json.loads(policy["Content"])})
        return level

    def _note(self, layer, of, reason):
        self.unread.append({"layer": layer, "of": of, "reason": reason})


def _object(document):
    """A document as an object; botocore decodes those of IAM, unless they come from something that is not quite IAM."""
    return json.loads(document) if isinstance(document, str) else document


def _reason(fault):
    if isinstance(fault, ClientError):
        error = fault.response["Error"]
        return f"{error['Code']}: {error.get('Message', '')}".strip(": ")
    return str(fault)


def read(policies, params):
    """Read everything that the options ask for; a dictionary as RETURN describes."""
    principals = [policies.principal(asked) for asked in params["principals"]]
    repository = repository_policy = None
    if params["repository"]:
        repository, repository_policy = policies.repository(params["repository"], params["registry_id"])
    managed = policies.managed(params["managed_policies"])
    scps, rcps = [], []
    if params["organization"]:
        if params["principals"]:
            scps = policies.control_policies(SCP, policies.caller["account"])
        if repository:
            rcps = policies.control_policies(RCP, repository["arn"].split(":")[4])
    return {
        "caller": policies.caller,
        "principals": [principal for principal in principals if principal],
        "missing": policies.missing,
        "repository": repository,
        "repository_policy": repository_policy,
        "managed_policies": managed,
        "scps": scps,
        "rcps": rcps,
        "unread": policies.unread,
    }


def main():
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "principals": {"type": "list", "elements": "str", "default": []},
            "repository": {"type": "str"},
            "registry_id": {"type": "str"},
            "managed_policies": {"type": "list", "elements": "str", "default": []},
            "organization": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    clients = {}

    def client_of(service):
        if service not in clients:
            clients[service] = module.client(service, retry_decorator=AWSRetry.jittered_backoff())
        return clients[service]

    try:
        result = read(Policies(client_of, module.region), module.params)
    except ValueError as fault:
        module.fail_json(msg=str(fault))
    except (BotoCoreError, ClientError) as fault:
        module.fail_json_aws(fault, msg="Failed to read policies")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
