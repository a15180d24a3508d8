#!/usr/bin/python
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attempts to push to and pull from an ECR repository, from this host, as this host's principal."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_probe
short_description: Attempt to push to and pull from an Amazon ECR repository
version_added: 0.1.0
description:
  - Attempts a push, a pull or both, for real, from the managed host and with the managed host's own AWS identity,
    and says of each whether it was allowed, denied by the service, or went wrong.
  - The image that is pushed is made for the attempt. It has one layer with one small random file,
    a few hundred bytes in all, so that no registry has it already and every permission is exercised.
  - Only the service saying no makes an outcome V(denied). A time-out, a failed login, a missing repository,
    a proxy that answers 403, or an engine that does not run make it V(error), and say what to do.
  - Where a client hides the reason of a refusal, or would try again for a minute, it is stopped,
    and the registry is asked itself, with the same login and with the request that was refused.
  - Logs in under a configuration directory of its own, and removes login, image and files afterwards. What a killed run
    could not remove, the next run on the same host does.
  - The module does not fail for a denial or an error; judge RV(results), such as with M(policyproof.ecr.access_report).
author:
  - policyproof contributors (@policyproof)
extends_documentation_fragment:
  - policyproof.ecr._attributes
attributes:
  check_mode:
    support: full
    details:
      - Attempts nothing and says so in RV(msg). RV(results) is then empty.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Every push that is allowed leaves a new image in the repository.
options:
  repository:
    description:
      - URI of the repository, C(host[:port]/name), without a tag.
    type: str
    required: true
  actions:
    description:
      - What to attempt, in this order.
      - With both, the pull takes the image that was just pushed, unless O(tag) says otherwise.
    type: list
    elements: str
    choices: [push, pull]
    default: [push, pull]
  tag:
    description:
      - Tag to push, and tag or digest to pull.
      - Without it, a push takes a new tag that begins with V(probe-), and a pull takes what was pushed.
      - A pull alone needs it. Where the repository has no such image, a pull by somebody who may read is V(allowed)
        with RV(results[].completed=false).
    type: str
  engine:
    description:
      - The client that attempts.
      - V(registry) needs no engine on the host. It makes the requests of the Registry HTTP API V2 itself.
      - V(auto) is the first of the others that is installed, and V(registry) where none is.
        An engine that is installed but does not run is an error, not a reason to take another.
    type: str
    choices: [auto, docker, podman, nerdctl, registry]
    default: auto
  login:
    description:
      - Whose login the engine uses.
      - V(private) is one that the module makes for the attempt, with a token of the ECR API, and removes again.
        Neither the credential helpers nor the configuration of the host are used or changed.
      - V(host) is what the user has on the host, such as the Amazon ECR credential helper. The module then makes no
        login and changes none. It still asks the ECR API for a token when the registry has to be asked itself.
      - Without an engine the login is always V(private).
    type: str
    choices: [private, host]
    default: private
  timeout:
    description:
      - Seconds that the whole may take.
    type: float
    default: 60
  region:
    description:
      - The region of the ECR API.
      - Without it, the one that O(repository) names, else that of the environment.
    type: str
    aliases: [aws_region]
  endpoint_url:
    description:
      - URL of the ECR API, for other endpoints than AWS's own.
    type: str
    aliases: [aws_endpoint_url]
  ca_file:
    description:
      - A file of certificate authorities to trust, besides those of the host, when the module itself asks the registry.
      - Engines have their own ways to be told.
    type: path
requirements:
  - Python 3.8 or newer
  - botocore for the Python at hand, or the aws command
  - the engine, unless it is V(registry)
notes:
  - The identity is the host's own, as botocore and the aws command find it. Use C(environment) to give another.
    There are no options for credentials, so that defaults meant for other modules cannot make the attempt
    somebody else's.
  - Run it with C(become) where only root may use the engine.
seealso:
  - module: policyproof.ecr.access_report
  - module: policyproof.ecr.access_probe_image
"""

EXAMPLES = r"""
- name: Attempt a push and a pull with whatever client the host has
  policyproof.ecr.access_probe:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
  become: true
  register: probe

- name: Attempt to pull what another host pushed, with Docker
  policyproof.ecr.access_probe:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
    actions: [pull]
    tag: probe-5f2b9c41
    engine: docker
    timeout: 30
  become: true

- name: Attempt with Podman, which needs no root
  policyproof.ecr.access_probe:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
    actions: [push]
    engine: podman

- name: Attempt with containerd, as root
  policyproof.ecr.access_probe:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
    engine: nerdctl
  become: true

- name: Attempt with the login that the host's credential helper makes
  policyproof.ecr.access_probe:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
    engine: docker
    login: host

- name: Attempt from a host without a container engine
  policyproof.ecr.access_probe:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085
    engine: registry
"""

RETURN = r"""
results:
  description: One for each of O(actions), in their order. Empty in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(push) or V(pull).
      type: str
      sample: push
    outcome:
      description: V(allowed), V(denied) by the service, or V(error).
      type: str
      sample: denied
    completed:
      description: Whether an image was pushed or pulled. V(false) beside V(allowed) means that there was none to pull.
      type: bool
      sample: false
    denial:
      description: What the service said, or V(none). What it did not say is V(none).
      type: dict
      sample:
        api_action: ecr:InitiateLayerUpload
        policy_type: resource-based policy
        explicit: true
        statement:
        message: >-
          User: arn:aws:sts::123456789012:assumed-role/fa-085-instance2/i-0123456789abcdef0 is not authorized to
          perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-east-1:123456789012:repository/fa-085
          with an explicit deny in a resource-based policy
    digest:
      description: Digest of the image that was pushed or pulled, or V(none).
      type: str
      sample: sha256:4c1d20cdee96111c8acf1858b62655a37ce81ae48648993542b7ac363ac5c0e5
    tag:
      description: The tag, or the digest, that was attempted.
      type: str
      sample: probe-5f2b9c41
    duration_s:
      description: Seconds that this attempt took.
      type: float
      sample: 0.41
    engine:
      description: What attempted. Its C(name), its C(version), its C(image_store), V(classic) or V(containerd).
      type: dict
      sample: {name: docker, version: 20.10.24, image_store: classic}
    messages:
      description: The client's own last lines.
      type: list
      elements: str
      sample: ["1e6ac1cb2e86: Retrying in 5 seconds"]
    fault:
      description: Name of what went wrong, see C(docs/faults.md), or V(none).
      type: str
      sample: connection_refused
    error:
      description: What went wrong, a sentence, or V(none).
      type: str
      sample: Nothing accepts connections at 123456789012.dkr.ecr.us-east-1.amazonaws.com.
    remedy:
      description: What to do about it, a sentence, or V(none).
      type: str
      sample: "Check host, port and the route to it: VPC endpoint or NAT, security group, proxy settings."
    note:
      description: What else is worth knowing of this attempt, or V(none).
      type: str
      sample: There is no such image in the repository; the registry let the client look for it.
    bytes_sent:
      description: Bytes of content sent; V(none) where the engine does not tell.
      type: int
      sample: 1530
    bytes_received:
      description: Bytes of content received; V(none) where the engine does not tell.
      type: int
      sample: 0
duration_s:
  description: Seconds that the whole took, login included.
  returned: success
  type: float
  sample: 0.93
msg:
  description: In check mode, what would have been attempted.
  returned: in check mode
  type: str
  sample: "Check mode: attempted nothing. Would attempt push at 123456789012.dkr.ecr.us-east-1.amazonaws.com/fa-085."
"""

import signal
import time
import uuid
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.names import (
    InvalidName,
    Repository,
    parse_repository,
    reference_fault,
    tag_fault,
)
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.attempt import Attempt, Attempts
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.choice import ENGINES, choose, make
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.interface import (
    Engine,
    EngineFacts,
    ProgramEngine,
)
from ansible_collections.policyproof.ecr.plugins.module_utils.login.ecr_api import EcrApi
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.deadline import Deadline, Task
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import Fault, Refused
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.private_place import PrivatePlace
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.client import Login

TAG_PREFIX = "probe-"
ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Token:
    """The registry's login: asked for once, and where it can be, while the engine is made ready."""

    def __init__(self, ask: Callable[[], Login], deadline: Deadline, keep_secret: Callable[[Login], None]) -> None:
        self._ask = ask
        self._deadline = deadline
        self._keep_secret = keep_secret
        self._task: Task[Login] | None = None

    def begin(self) -> Task[Login]:
        """Ask, without waiting for the answer."""
        self._task = self._task or Task(self._ask, "The ECR API", self._deadline)
        return self._task

    def get(self) -> Login:
        """The login.

        :raises Refused: the service says that the caller may have none
        :raises Fault: anything else
        """
        login = self.begin().result()
        self._keep_secret(login)
        return login


class Probe:
    """One run: the engine made ready, the attempts, everything taken away again."""

    def __init__(self, module: AnsibleModule, repository: Repository) -> None:
        self._module = module
        self._repository = repository
        self._options = module.params
        self._deadline = Deadline(self._options["timeout"])
        self._engines: dict[str, Engine] = {}
        self._engine_name = choose(self._options["engine"])
        self._host_login = self._options["login"] == "host" and self._engine_name != "registry"
        self._facts = EngineFacts(self._engine_name, None, "classic")

    def run(self) -> list[dict[str, Any]]:
        """Results of all attempts."""
        try:
            place = PrivatePlace()
        except Fault as fault:
            return self._all_alike(Attempt("", "", fault=fault))
        try:
            place.clean_after_the_dead(lambda entry: self._take_away(place, entry))
            return self._attempt_all(place)
        finally:
            for engine in self._engines.values():
                engine.close()
            place.remove()

    def _attempt_all(self, place: PrivatePlace) -> list[dict[str, Any]]:
        begin = time.monotonic()
        api = EcrApi(self._options["region"] or self._repository.region, self._options["endpoint_url"], self._deadline)
        token = Token(lambda: api.login(self._repository.account), self._deadline, self._keep_secret)
        if not self._host_login:
            token.begin()
        try:
            engine = self._engine(self._engine_name, place)
            if self._host_login and isinstance(engine, ProgramEngine):
                engine.use_host_login()
            self._facts = engine.start()
            if not self._host_login:
                engine.log_in(token.get())
        except Refused as refused:
            return self._all_alike(Attempt("", "", outcome="denied", denial=refused.denial), begin)
        except Fault as fault:
            fault.known(engine=self._engine_name, host=self._repository.registry)
            return self._all_alike(Attempt("", "", fault=fault), begin)
        attempts = Attempts(engine, self._repository, place, self._deadline, token.get, api, self._options["ca_file"])
        results = []
        pushed: str | None = None
        for action in self._options["actions"]:
            tag = self._options["tag"] or pushed or new_tag()
            if action == "push":
                attempt = attempts.push(tag)
                pushed = tag
            else:
                attempt = attempts.pull(tag)
            results.append(self._result(attempt))
        return results

    def _engine(self, name: str, place: PrivatePlace) -> Engine:
        """The engine of this name, one for the whole run."""
        if name not in self._engines:
            self._engines[name] = make(name, self._repository, place, self._deadline, self._options["ca_file"])
        return self._engines[name]

    def _take_away(self, place: PrivatePlace, entry: dict[str, str]) -> bool:
        """Remove from an engine what a killed run has put there."""
        name, reference = entry.get("engine"), entry.get("reference")
        if name not in ENGINES or not reference:
            return True
        try:
            return self._engine(name, place).remove(reference)
        except Fault as fault:
            return fault.kind == "engine_missing"

    def _keep_secret(self, login: Login) -> None:
        self._module.no_log_values.add(login.password)

    def _all_alike(self, attempt: Attempt, begin: float | None = None) -> list[dict[str, Any]]:
        """The same result for every action: nothing could be attempted."""
        if begin is not None:
            attempt.duration = time.monotonic() - begin
        results = []
        for action in self._options["actions"]:
            attempt.action, attempt.reference = action, self._options["tag"] or ""
            results.append(self._result(attempt))
        return results

    def _result(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "action": attempt.action,
            "outcome": attempt.outcome,
            "completed": attempt.completed,
            "denial": attempt.denial.as_dict() if attempt.denial else None,
            "digest": attempt.digest,
            "tag": attempt.reference or None,
            "duration_s": round(attempt.duration, 3),
            "engine": self._facts._asdict(),
            "messages": attempt.messages,
            "fault": attempt.fault.kind if attempt.fault else None,
            "error": attempt.fault.cause if attempt.fault else None,
            "remedy": attempt.fault.remedy if attempt.fault else None,
            "note": attempt.note,
            "bytes_sent": attempt.sent,
            "bytes_received": attempt.received,
        }


def new_tag() -> str:
    """A tag that nobody has."""
    return TAG_PREFIX + uuid.uuid4().hex[:16]


def check_options(options: dict[str, Any]) -> Repository:
    """Say what is wrong with the options before anything is attempted.

    :raises InvalidName: with a sentence for the user
    """
    repository = parse_repository(options["repository"])
    if not options["actions"]:
        raise InvalidName("There are no actions: give push, pull or both.")
    if options["timeout"] <= 0:
        raise InvalidName(f"A timeout of {options['timeout']:g} seconds leaves no time: give more than 0.")
    tag = options["tag"]
    if tag is None and options["actions"][0] == "pull":
        raise InvalidName("A pull that follows no push needs the option tag: the tag or digest of an image.")
    fault = None if tag is None else (tag_fault(tag) if "push" in options["actions"] else reference_fault(tag))
    if fault:
        raise InvalidName(fault)
    return repository


class ToldToEnd(BaseException):
    """A signal asks the module to end: it does so when it has taken everything away."""


def leave(_signal: int, _frame: Any) -> None:
    """Being told to end is no reason to leave things lying about."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise ToldToEnd


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "actions": {"type": "list", "elements": "str", "choices": ["push", "pull"], "default": ["push", "pull"]},
            "tag": {"type": "str"},
            "engine": {"type": "str", "choices": ["auto", *ENGINES], "default": "auto"},
            "login": {"type": "str", "choices": ["private", "host"], "default": "private"},
            "timeout": {"type": "float", "default": 60},
            "region": {"type": "str", "aliases": ["aws_region"]},
            "endpoint_url": {"type": "str", "aliases": ["aws_endpoint_url"]},
            "ca_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    begin = time.monotonic()
    try:
        repository = check_options(module.params)
    except InvalidName as fault:
        module.fail_json(msg=str(fault))
    actions = module.params["actions"]
    if module.check_mode:
        would = f"Check mode: attempted nothing. Would attempt {', '.join(actions)} at {repository}."
        module.exit_json(changed="push" in actions, results=[], duration_s=0.0, msg=would)
    for ending in ENDINGS:
        signal.signal(ending, leave)
    try:
        results = Probe(module, repository).run()
    except ToldToEnd:
        module.fail_json(msg="The attempt was told to end before it was over. What it had put on this host is removed.")
    changed = any(result["action"] == "push" and result["outcome"] == "allowed" for result in results)
    module.exit_json(changed=changed, results=results, duration_s=round(time.monotonic() - begin, 3))


if __name__ == "__main__":
    main()
