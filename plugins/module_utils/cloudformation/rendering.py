# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a CloudFormation template makes of its parameters, without CloudFormation.

So that a policy is written once, in the template that deploys it, and can still be judged before it is deployed.
Only what depends on nothing but parameters can be rendered. Whatever else is met is refused, never guessed.

Source: AWS CloudFormation Template Reference Guide, "Intrinsic function reference", "Condition functions" and
"Pseudo parameters"; User Guide, "CloudFormation template Parameters syntax".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_NO_VALUE = object()
"""What ``Ref: AWS::NoValue`` stands for: the property or list member is as if it had not been written."""

_TEXT_PARAMETERS = ("String",)
_LIST_PARAMETERS = ("CommaDelimitedList",)


class UnrenderableTemplate(ValueError):
    """A template, or parameters, of which the outcome cannot be told; its text is a sentence that says where."""


def render_property(
    template: Mapping[str, Any], resource: str, name: str, parameters: Mapping[str, str] | None = None
) -> Any:
    """The value of one property of one resource, as CloudFormation would hand it to the service.

    :param template: the template, as a dict, with the long form of intrinsic functions (``{"Fn::If": […]}``)
    :param resource: logical id of the resource
    :param name: name of the property
    :param parameters: values of the template's parameters, as CloudFormation takes them: strings, lists comma-separated
    :returns: the value, or None where the template leaves the property out
    :raises UnrenderableTemplate: if the template has no such resource, the parameters do not suit it, or the property
        depends on anything but parameters
    """
    try:
        properties = template["Resources"][resource].get("Properties", {})
    except (AttributeError, KeyError, TypeError):
        raise UnrenderableTemplate(f"The template has no resource {resource!r}.") from None
    value = _Rendering(template, parameters or {}).value(properties.get(name), f"{resource}.{name}")
    return None if value is _NO_VALUE else value


class _Rendering:
    """One template with one set of parameters."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._conditions: Mapping[str, Any] = template.get("Conditions", {})
        self._parameters = _parameter_values(template.get("Parameters", {}), parameters)
        self._functions: dict[str, Callable[[Any, str], Any]] = {
            "Ref": self._ref,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
        }
        self._condition_functions: dict[str, Callable[[Any, str], bool]] = {
            "Condition": self._condition,
            "Fn::And": lambda arguments, where: all(self._holds(each, where) for each in arguments),
            "Fn::Equals": self._equals,
            "Fn::Not": lambda arguments, where: not self._holds(arguments[0], where),
            "Fn::Or": lambda arguments, where: any(self._holds(each, where) for each in arguments),
        }

    def value(self, node: Any, where: str) -> Any:
        """What a node of the template stands for; ``where`` is its path, for messages."""
        if isinstance(node, Mapping):
            function = _function_of(node)
            if function is None:
                rendered = {key: self.value(each, f"{where}.{key}") for key, each in node.items()}
                return {key: each for key, each in rendered.items() if each is not _NO_VALUE}
            if function not in self._functions:
                raise UnrenderableTemplate(f"{where} uses {function}, which depends on more than parameters.")
            return self._functions[function](node[function], f"{where}.{function}")
        if isinstance(node, Sequence) and not isinstance(node, str):
            members = [self.value(each, f"{where}[{index}]") for index, each in enumerate(node)]
            return [each for each in members if each is not _NO_VALUE]
        return node

    def _ref(self, name: str, where: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name not in self._parameters:
            raise UnrenderableTemplate(f"{where} refers to {name!r}, which is not a parameter.")
        return self._parameters[name]

    def _if(self, arguments: Any, where: str) -> Any:
        condition, then, otherwise = _arguments(arguments, 3, where)
        return self.value(then if self._condition(condition, where) else otherwise, where)

    def _join(self, arguments: Any, where: str) -> str:
        delimiter, parts = _arguments(arguments, 2, where)
        parts = self.value(parts, where)
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise UnrenderableTemplate(f"{where} joins what is not a list of strings.")
        return str(delimiter).join(parts)

    def _split(self, arguments: Any, where: str) -> list[str]:
        delimiter, text = _arguments(arguments, 2, where)
        text = self.value(text, where)
        if not isinstance(text, str):
            raise UnrenderableTemplate(f"{where} splits what is not a string.")
        return text.split(delimiter)

    def _condition(self, name: str, where: str) -> bool:
        if name not in self._conditions:
            raise UnrenderableTemplate(f"{where} names the condition {name!r}, which the template does not define.")
        return self._holds(self._conditions[name], f"Conditions.{name}")

    def _equals(self, arguments: Any, where: str) -> bool:
        left, right = _arguments(arguments, 2, where)
        return bool(self.value(left, where) == self.value(right, where))

    def _holds(self, node: Any, where: str) -> bool:
        function = next(iter(node)) if isinstance(node, Mapping) and len(node) == 1 else None
        if function not in self._condition_functions:
            raise UnrenderableTemplate(f"{where} is not a condition: {node!r}.")
        return self._condition_functions[function](node[function], where)


def _function_of(node: Mapping[str, Any]) -> str | None:
    """The intrinsic function that a mapping is a call of, or None where it is plain data.

    A mapping with the only key ``Condition`` is data here: outside of conditions it is an element of a statement.
    """
    if len(node) != 1:
        return None
    key = str(next(iter(node)))
    return key if key == "Ref" or key.startswith("Fn::") else None


def _arguments(arguments: Any, count: int, where: str) -> list[Any]:
    if not isinstance(arguments, Sequence) or isinstance(arguments, str) or len(arguments) != count:
        raise UnrenderableTemplate(f"{where} wants a list of {count} arguments, not {arguments!r}.")
    return list(arguments)


def _parameter_values(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Value of each parameter that the template declares as a string or a list. Others cannot be referred to."""
    for name in given:
        if name not in declared:
            raise UnrenderableTemplate(f"The template has no parameter {name!r}; it has {', '.join(sorted(declared))}.")
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        if name not in given and "Default" not in declaration:
            raise UnrenderableTemplate(f"The template's parameter {name!r} has no default: give it a value.")
        text = str(given.get(name, declaration.get("Default")))
        if declaration["Type"] in _TEXT_PARAMETERS:
            values[name] = text
        elif declaration["Type"] in _LIST_PARAMETERS:
            # An empty list is one empty string, and blanks around members are dropped.
            values[name] = [member.strip() for member in text.split(",")]
    return values
