# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto makes wrong of CloudFormation's stacks: their states, their events, and what counts as a change."""

from __future__ import annotations

import functools
import threading
from contextvars import ContextVar
from typing import Any

from moto.cloudformation import models, responses
from moto.cloudformation.exceptions import ValidationError

from ..settings import Settings
from .changes import ResourceFault

_request_token: ContextVar[str | None] = ContextVar("request_token", default=None)
_on_failure: ContextVar[str] = ContextVar("on_failure", default="ROLLBACK")


def handle_one_request_at_a_time(settings: Settings) -> None:
    """Stacks that are deployed side by side trip over each other: moto's tables are not made for several threads."""
    lock = threading.RLock()
    original = responses.CloudFormationResponse.call_action

    @functools.wraps(original)
    def call_action(self: Any) -> Any:
        with lock:
            _request_token.set(self._get_param("ClientRequestToken"))
            return original(self)

    responses.CloudFormationResponse.call_action = call_action


def tell_events_by_request(settings: Settings) -> None:
    """Events do not carry the token of the request that caused them, by which clients pick theirs."""
    original = models.Event.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.client_request_token = _request_token.get()

    models.Event.__init__ = __init__


def list_what_exists(settings: Settings) -> None:
    """A resource whose condition is false is listed, without name and type; one that is gone is made anew for it."""

    def stack_resources(self: Any) -> list[Any]:
        parsed = self.resource_map._parsed_resources
        return [parsed[name] for name in self.resource_map.resources if parsed.get(name) is not None]

    models.Stack.stack_resources = property(stack_resources)


def tell_parameters_as_given(settings: Settings) -> None:
    """The value of a list is told as Python writes it, and that of an SSM parameter's name as what it stands for."""
    models.Stack.parameter_list = property(_parameter_list)


def _parameter_list(stack: Any) -> list[dict[str, Any]]:
    resources = stack.resource_map
    declared = stack.template_dict.get("Parameters", {})
    told = []
    for name, resolved in resources.resolved_parameters.items():
        given = str(resources.input_parameters.get(name, declared[name].get("Default")))
        hidden = name in resources.no_echo_parameter_keys
        parameter = {"ParameterKey": name, "ParameterValue": "****" if hidden else given}
        if declared[name]["Type"].startswith("AWS::SSM::Parameter::"):
            parameter["ResolvedValue"] = resolved
        told.append(parameter)
    return told


def settle_failed_creations(settings: Settings) -> None:
    """A stack that cannot be created stays CREATE_IN_PROGRESS, whatever OnFailure says. Its outputs make it anew."""
    models.Stack.outputs = property(_unless_broken(models.Stack.outputs.fget, None))
    models.Stack.exports = property(_unless_broken(models.Stack.exports.fget, []))
    original_request = responses.CloudFormationResponse.create_stack
    original = models.Stack.create_resources
    original_create = models.CloudFormationBackend.create_stack

    @functools.wraps(original_request)
    def create_stack(self: Any) -> Any:
        keep = self._get_bool_param("DisableRollback", False)
        _on_failure.set(self._get_param("OnFailure") or ("DO_NOTHING" if keep else "ROLLBACK"))
        return original_request(self)

    @functools.wraps(original)
    def create_resources(self: Any) -> None:
        try:
            original(self)
        except ResourceFault as fault:
            _record(self, fault, "CREATE_FAILED")
            _undo_creation(self)

    @functools.wraps(original_create)
    def create_in_backend(self: Any, *args: Any, **kwargs: Any) -> Any:
        stack = original_create(self, *args, **kwargs)
        if stack.status == "DELETE_COMPLETE":
            self.deleted_stacks[stack.stack_id] = self.stacks.pop(stack.stack_id)
        return stack

    responses.CloudFormationResponse.create_stack = create_stack
    models.Stack.create_resources = create_resources
    models.CloudFormationBackend.create_stack = create_in_backend


def _unless_broken(original: Any, otherwise: Any) -> Any:
    """A property of a stack that has one only while its resources exist."""

    def value(self: Any) -> Any:
        return otherwise if self.status.startswith(("CREATE_FAILED", "ROLLBACK_", "DELETE_")) else original(self)

    return value


def _undo_creation(stack: Any) -> None:
    on_failure = _on_failure.get()
    if on_failure == "DO_NOTHING":
        return _enter(stack, "CREATE_FAILED")
    kind = "DELETE" if on_failure == "DELETE" else "ROLLBACK"
    _enter(stack, f"{kind}_IN_PROGRESS")
    try:
        stack.resource_map.delete()
    except ResourceFault as fault:
        _record(stack, fault, "DELETE_FAILED")
        return _enter(stack, f"{kind}_FAILED")
    return _enter(stack, f"{kind}_COMPLETE")


def settle_failed_updates(settings: Settings) -> None:
    """A stack that cannot be updated is left half way, and says that it is complete."""
    original = models.Stack.update

    @functools.wraps(original)
    def update(self: Any, template: str, role_arn: str | None = None, parameters: Any = None, tags: Any = None) -> None:
        previous = self.template, dict(self.resource_map.input_parameters)
        try:
            original(self, template, role_arn, parameters=parameters, tags=tags)
            self.parameters = parameters or {}
        except ResourceFault as fault:
            _record(self, fault, "UPDATE_FAILED")
            _enter(self, "UPDATE_ROLLBACK_IN_PROGRESS")
            try:
                _restore(self, *previous)
            except ResourceFault as further:
                _record(self, further, "UPDATE_FAILED")
                _enter(self, "UPDATE_ROLLBACK_FAILED")
            else:
                _enter(self, "UPDATE_ROLLBACK_COMPLETE")
        except Exception:
            _restore(self, *previous)
            raise

    models.Stack.update = update


def _restore(stack: Any, template: str, parameters: dict[str, Any]) -> None:
    stack.template = template
    stack._parse_template()
    stack.resource_map.update(stack.template_dict, parameters)


def settle_failed_deletions(settings: Settings) -> None:
    """A stack that cannot be deleted is forgotten, with what is left of it."""

    def delete_stack(self: Any, name_or_stack_id: str) -> None:
        found = [each for each in self.stacks.values() if name_or_stack_id in (each.name, each.stack_id)]
        for stack in found:
            exports = [export.name for export in stack.exports]
            try:
                stack.delete()
            except ResourceFault as fault:
                _record(stack, fault, "DELETE_FAILED")
                _enter(stack, "DELETE_FAILED", f"The following resource(s) failed to delete: [{fault.logical_id}].")
                return
            self.deleted_stacks[stack.stack_id] = self.stacks.pop(stack.stack_id)
            for name in exports:
                self.exports.pop(name, None)

    models.CloudFormationBackend.delete_stack = delete_stack


def _enter(stack: Any, status: str, reason: str | None = None) -> None:
    stack.status = status
    stack._add_stack_event(status, resource_status_reason=reason)


def _record(stack: Any, fault: ResourceFault, status: str) -> None:
    event = models.Event(
        stack_id=stack.stack_id,
        stack_name=stack.name,
        logical_resource_id=fault.logical_id,
        physical_resource_id="",
        resource_type=fault.resource_type,
        resource_status=status,
        resource_status_reason=fault.reason,
        resource_properties=None,
    )
    stack.events.append(event)


def refuse_updates_without_changes(settings: Settings) -> None:
    """An update that changes nothing is only noticed if it gives every parameter, and a list as a list."""

    def _validate_different_update(self: Any, incoming_params: Any, stack_body: str, old_stack: Any) -> None:
        if self._get_action() != "UpdateStack":
            # A change set without changes is made, and says so itself.
            return
        previous = old_stack.resource_map.input_parameters
        parameters = self._get_param_values(incoming_params or [], previous)
        tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags", [])} or old_stack.tags
        if old_stack.has_template(stack_body) and parameters == previous and tags == old_stack.tags:
            raise ValidationError(message="No updates are to be performed.")

    responses.CloudFormationResponse._validate_different_update = _validate_different_update


def make_change_sets_of_stacks_that_exist(settings: Settings) -> None:
    """Without a type, a change set makes a second stack of that name; and one of tags alone says it changes nothing."""
    original_request = responses.CloudFormationResponse.create_change_set
    original = models.CloudFormationBackend.create_change_set

    @functools.wraps(original_request)
    def create_change_set(self: Any) -> Any:
        self.params.setdefault("ChangeSetType", "UPDATE")
        return original_request(self)

    @functools.wraps(original)
    def create_in_backend(self: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
        change_set_id, stack_id = original(self, *args, **kwargs)
        change_set = self.change_sets[change_set_id]
        tags = change_set.tags or change_set.stack.tags
        if change_set.status == "FAILED" and tags != change_set.stack.tags:
            change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
            change_set.status_reason = None
        return change_set_id, stack_id

    responses.CloudFormationResponse.create_change_set = create_change_set
    models.CloudFormationBackend.create_change_set = create_in_backend
