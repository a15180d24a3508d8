# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module's documentation promises, set beside what the module does."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

COLLECTION = "policyproof.ecr"
MODULES = Path(__file__).resolve().parents[2] / "plugins" / "modules"
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "raw": (object,),
}
# What Ansible adds to any result.
EVERYWHERE = {
    "ansible_facts",
    "changed",
    "deprecations",
    "diff",
    "exception",
    "failed",
    "invocation",
    "msg",
    "warnings",
}


def module_names() -> list[str]:
    """Every module of the collection, without the collection's name."""
    return sorted(path.stem for path in MODULES.glob("*.py"))


def load(name: str) -> ModuleType:
    """A module of the collection, imported."""
    return importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{name}")


def documented_returns(name: str) -> dict[str, Any]:
    """What RETURN says, by key."""
    return yaml.safe_load(load(name).RETURN)


def samples(name: str) -> dict[str, Any]:
    """A result as RETURN's samples make it."""
    return {key: sample(entry) for key, entry in documented_returns(name).items()}


def sample(entry: dict[str, Any]) -> Any:
    """One entry's sample; where it has none of its own, made of those of what it contains."""
    if "sample" in entry or "contains" not in entry:
        return entry.get("sample")
    inner = {key: sample(value) for key, value in entry["contains"].items()}
    return [inner] if entry["type"] == "list" else inner


def disagreements(result: dict[str, Any], name: str) -> list[str]:
    """Where a real result of a module is not what its RETURN says; none if it is. None is a value of any type."""
    shown = {key: value for key, value in result.items() if key not in EVERYWHERE}
    return _disagreements(shown, documented_returns(name), "")


def _disagreements(values: dict[str, Any], entries: dict[str, Any], where: str) -> list[str]:
    found = [f"{where}{key} is not documented" for key in values if key not in entries]
    for key, entry in entries.items():
        value = values.get(key)
        if value is None:
            continue
        if not _is(value, entry["type"]):
            found.append(f"{where}{key} is a {type(value).__name__}, documented is {entry['type']}")
            continue
        elements = value if isinstance(value, list) else [value]
        if isinstance(value, list):
            wrong = [element for element in elements if not _is(element, entry["elements"])]
            found += [f"{where}{key} has {element!r}, documented are elements {entry['elements']}" for element in wrong]
        for element in elements:
            if "contains" in entry and isinstance(element, dict):
                found += _disagreements(element, entry["contains"], f"{where}{key}.")
    return found


def _is(value: Any, documented: str) -> bool:
    if isinstance(value, bool):
        return documented in ("bool", "raw")
    return isinstance(value, TYPES[documented])
