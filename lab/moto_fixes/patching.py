# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a fix takes hold of a moto class."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

Provisioned = Callable[[Any, dict[str, Any], str, str], None]
"""Called with a resource, its template's properties, account and region."""

CREATE = "create_from_cloudformation_json"
UPDATE = "update_from_cloudformation_json"


def implements(model: Any, method: str) -> bool:
    """Whether a CloudFormationModel class has this method itself, rather than the abstract one."""
    return not getattr(getattr(model, method), "__isabstractmethod__", False)


def after_provisioning(model: Any, then: Provisioned) -> None:
    """Call ``then`` whenever CloudFormation has created or updated a resource of this class."""
    for method in (CREATE, UPDATE):
        if implements(model, method):
            _wrap(model, method, before=None, after=then)


def before_provisioning(model: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Let ``change`` alter the properties before CloudFormation creates or updates a resource of this class."""
    for method in (CREATE, UPDATE):
        if implements(model, method):
            _wrap(model, method, before=change, after=None)


def document_text(document: Any) -> str:
    """A policy document as JSON text, whether the template has text or data."""
    return document if isinstance(document, str) else json.dumps(document)


def is_true(value: Any) -> bool:
    """A boolean of a template, which may be one or be spelled."""
    return str(value).lower() == "true"


def _wrap(model: Any, method: str, before: Callable[[dict[str, Any]], None] | None, after: Provisioned | None) -> None:
    original = getattr(model, method).__func__
    signature = inspect.signature(original)

    @functools.wraps(original)
    def wrapper(cls: Any, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(cls, *args, **kwargs).arguments
        properties = given["cloudformation_json"].setdefault("Properties", {})
        if before:
            before(properties)
        resource = original(cls, *args, **kwargs)
        if after:
            after(resource, properties, given["account_id"], given["region_name"])
        return resource

    setattr(model, method, classmethod(wrapper))
