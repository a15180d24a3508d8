# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a stack becomes what its template says: resources made, updated, replaced, deleted, each after what it needs."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator
from typing import Any

from moto.cloudformation import models, parsing
from moto.ec2.models import ec2_backends
from moto.ec2.models.core import TaggedEC2Resource

from ..settings import Settings
from .patching import UPDATE, implements

_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9]+)[.}]")


class ResourceFault(Exception):
    """A resource that could not be created, updated or deleted.

    :ivar logical_id: its name in the template
    :ivar resource_type: such as ``AWS::EC2::VPC``
    :ivar reason: why, in the service's words
    """

    def __init__(self, logical_id: str, resource_type: str, fault: Exception) -> None:
        self.logical_id = logical_id
        self.resource_type = resource_type
        self.reason = str(getattr(fault, "message", None) or fault)
        super().__init__(f"{logical_id} ({resource_type}): {self.reason}")


def say_which_resource_failed(settings: Settings) -> None:
    """A fault says nothing of the resource it befell."""
    original = parsing.parse_and_create_resource

    @functools.wraps(original)
    def parse_and_create_resource(logical_id: str, resource_json: Any, *args: Any, **kwargs: Any) -> Any:
        return _guarded(logical_id, resource_json, original, logical_id, resource_json, *args, **kwargs)

    parsing.parse_and_create_resource = parse_and_create_resource


def _guarded(logical_id: str, declaration: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call ``function``; name the resource in whatever it raises."""
    try:
        return function(*args, **kwargs)
    except ResourceFault:
        raise
    except Exception as fault:
        raise ResourceFault(logical_id, declaration["Type"], fault) from fault


def update_by_what_changes(settings: Settings) -> None:
    """An update looks at the template's text: it misses what a condition or a parameter changes indirectly. And a
    resource that it cannot update in place it loses, without deleting it."""
    parsing.ResourceMap.update = _update


def _update(resources: Any, template: dict[str, Any], parameters: dict[str, Any] | None = None) -> None:
    before = _rendered(resources)
    _install(resources, template, parameters or {})
    obsolete = []
    for logical_id in in_dependency_order(template["Resources"]):
        declaration = template["Resources"][logical_id]
        if not _is_wanted(resources, declaration):
            continue
        if logical_id not in before:
            _create(resources, logical_id)
        elif _render(declaration, resources) != before[logical_id][0]:
            old_declaration = before[logical_id][1]
            obsolete += _change(resources, logical_id, declaration, old_declaration)
    declarations = {name: declaration for name, (_rendering, declaration) in before.items()}
    for logical_id in reversed(in_dependency_order(declarations)):
        if logical_id not in template["Resources"] or not _is_wanted(resources, template["Resources"][logical_id]):
            obsolete.append((logical_id, resources._parsed_resources.pop(logical_id), before[logical_id][1]))
    for logical_id, resource, declaration in obsolete:
        _guarded(logical_id, declaration, resources._delete_resource, resource, declaration)


def _rendered(resources: Any) -> dict[str, tuple[Any, Any]]:
    """Of each resource that exists: what its declaration comes to, and the declaration."""
    declarations = resources._resource_json_map
    return {
        logical_id: (_render(declarations[logical_id], resources), declarations[logical_id])
        for logical_id in declarations
        if resources._parsed_resources.get(logical_id) is not None
    }


def _render(declaration: dict[str, Any], resources: Any) -> Any:
    return parsing.clean_json({"Properties": {}, **copy.deepcopy(declaration)}, resources)


def _install(resources: Any, template: dict[str, Any], parameters: dict[str, Any]) -> None:
    for name in resources.resolved_parameters:
        resources._parsed_resources.pop(name, None)
    resources.resolved_parameters = {}
    resources._template = template
    resources._resource_json_map = template["Resources"]
    resources.input_parameters = parameters
    resources.load()


def _is_wanted(resources: Any, declaration: dict[str, Any]) -> bool:
    condition = declaration.get("Condition")
    return not condition or bool(resources.lazy_condition_map[condition])


def _create(resources: Any, logical_id: str) -> None:
    resource = resources[logical_id]
    if isinstance(resource, TaggedEC2Resource):
        tags = {**resources.tags, "aws:cloudformation:logical-id": logical_id}
        ec2_backends[resources._account_id][resources._region_name].create_tags([resource.physical_resource_id], tags)


def _change(resources: Any, logical_id: str, declaration: Any, old_declaration: Any) -> list[tuple[str, Any, Any]]:
    """Update a resource in place, or make another; return the one it replaces, if so, with its declaration."""
    model = parsing.resource_class_from_type(declaration["Type"])
    if declaration["Type"] == old_declaration["Type"] and implements(model, UPDATE):
        resources._parsed_resources[logical_id] = _guarded(
            logical_id,
            declaration,
            parsing.parse_and_update_resource,
            logical_id,
            copy.deepcopy(declaration),
            resources,
            account_id=resources._account_id,
            region_name=resources._region_name,
        )
        return []
    old = resources._parsed_resources.pop(logical_id)
    try:
        _create(resources, logical_id)
    except Exception:
        resources._parsed_resources[logical_id] = old
        raise
    return [(logical_id, old, old_declaration)]


def delete_in_dependency_order(settings: Settings) -> None:
    """A stack's resources are deleted in any order, so a role can go before the instance that carries it."""

    def delete(self: Any) -> None:
        for logical_id in reversed(in_dependency_order(self._resource_json_map)):
            declaration = self._resource_json_map[logical_id]
            resource = self._parsed_resources.get(logical_id)
            if resource is not None and declaration.get("DeletionPolicy") != "Retain":
                _guarded(logical_id, declaration, self._delete_resource, resource, declaration)
                self._parsed_resources.pop(logical_id)

    parsing.ResourceMap.delete = delete


def in_dependency_order(declarations: dict[str, Any]) -> list[str]:
    """Logical ids of a template's resources, each after those it needs."""
    order: dict[str, None] = {}

    def visit(logical_id: str, path: tuple[str, ...]) -> None:
        if logical_id in order or logical_id in path:
            return
        for needed in _needs(declarations[logical_id]):
            if needed in declarations:
                visit(needed, (*path, logical_id))
        order[logical_id] = None

    for logical_id in declarations:
        visit(logical_id, ())
    return list(order)


def _needs(node: Any) -> Iterator[str]:
    """Names that a node of a template refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("Ref", "Fn::GetAtt", "DependsOn"):
                yield from [value] if isinstance(value, str) else [value[0]] if key == "Fn::GetAtt" else value
            elif key == "Fn::Sub":
                yield from _SUBSTITUTION.findall(value if isinstance(value, str) else value[0])
            yield from _needs(value)
    elif isinstance(node, list):
        for member in node:
            yield from _needs(member)


def tell_all_changes(settings: Settings) -> None:
    """A change set lists changes of the template's text alone, not those that parameters make."""
    models.ChangeSet.diff = _diff


def _diff(change_set: Any) -> list[Any]:
    old = change_set.stack.resource_map
    before = _rendered(old)
    new = parsing.ResourceMap(
        old.stack_id,
        change_set.stack.name,
        change_set.parameters,
        {},
        account_id=old._account_id,
        region_name=old._region_name,
        template=change_set.template_dict,
        cross_stack_resources=old.cross_stack_resources,
    )
    # What exists keeps its identity, so that references to it compare as equal. What does not must not come into being
    # by being looked at.
    new._parsed_resources.update({name: old._parsed_resources[name] for name in before})
    new.load_mapping()
    new.load_parameters()
    new.load_conditions()
    declarations = change_set.template_dict["Resources"]
    wanted = [name for name in in_dependency_order(declarations) if _is_wanted(new, declarations[name])]
    new._parsed_resources.update({name: f"{name}, not created yet" for name in wanted if name not in before})
    changes = []
    for name in wanted:
        if name not in before:
            changes.append(models.Change("Add", name, declarations[name]["Type"]))
        elif _render(declarations[name], new) != before[name][0]:
            changes.append(models.Change("Modify", name, declarations[name]["Type"]))
    changes += [models.Change("Remove", name, before[name][1]["Type"]) for name in before if name not in wanted]
    return changes
