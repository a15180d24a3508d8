# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Python file of this checkout says depends on: itself and what it imports of this checkout, however indirectly.

A tool that reads one file and follows its imports says the same as long as none of these changed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

COLLECTION = "ansible_collections.policyproof.ecr."


def digests(root: Path, names: Iterable[str], salt: str) -> dict[str, str]:
    """Map each of ``names``, Python files below ``root``, to a digest of ``salt`` and of all that the file depends on.

    ``names`` must hold every file that another may import: what is not in it counts as somebody else's.
    """
    contents = {name: (root / name).read_bytes() for name in names}
    imports = {name: _imported(name, content, contents) for name, content in contents.items()}
    return {name: _digest(salt, sorted(_closure(name, imports)), contents) for name in contents}


def _digest(salt: str, names: list[str], contents: dict[str, bytes]) -> str:
    digest = hashlib.sha256(salt.encode())
    for name in names:
        digest.update(f"\0{name}\0{len(contents[name])}\0".encode() + contents[name])
    return digest.hexdigest()


def _closure(name: str, imports: dict[str, set[str]]) -> set[str]:
    """``name`` and all that it imports, directly or through others."""
    reached, ahead = {name}, [name]
    while ahead:
        new = imports[ahead.pop()] - reached
        reached |= new
        ahead.extend(new)
    return reached


def _imported(name: str, content: bytes, known: dict[str, bytes]) -> set[str]:
    """Which files of ``known`` the file imports; each package on the way to a module is one of them."""
    found: set[str] = set()
    for module in _modules(name, ast.parse(content)):
        parts = module.removeprefix(COLLECTION).split(".")
        # Scripts are told of their neighbours by the directory they lie in, the rest by the collection's root.
        for folder in (PurePosixPath(), PurePosixPath(name).parent):
            for length in range(1, len(parts) + 1):
                path = folder.joinpath(*parts[:length])
                found |= {str(path / "__init__.py"), f"{path}.py"} & known.keys()
    return found


def _modules(name: str, tree: ast.Module) -> set[str]:
    """The dotted names that may be modules: a name that is imported from one may be one itself."""
    package = PurePosixPath(name).parts[:-1]
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            modules |= {".".join(filter(None, [base, alias.name])) for alias in node.names}
    return modules
