# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto does that no API shows: ``moto_inside.py plain|fixed`` tells, by fix, whether it does as AWS does."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ansible_collections.policyproof.ecr.lab import moto_fixes
from ansible_collections.policyproof.ecr.lab.settings import Settings
from moto.cloudformation import models, parsing


def deletes_in_dependency_order() -> bool:
    """Whether resources that need each other go in the reverse of the order they came in."""
    names = [f"Queue{number}" for number in range(8)]
    resources: dict[str, Any] = {name: {"Type": "AWS::SQS::Queue"} for name in names}
    for name, needed in zip(names[1:], names, strict=False):
        resources[name]["DependsOn"] = needed
    backend = models.cloudformation_backends["123456789012"]["us-east-1"]
    backend.create_stack("chain", json.dumps({"Resources": resources}), {})
    deleted: list[str] = []
    original = parsing.ResourceMap._delete_resource

    def note(self: Any, resource: Any, declaration: Any) -> None:
        deleted.append(resource.logical_resource_id)
        original(self, resource, declaration)

    parsing.ResourceMap._delete_resource = note
    backend.delete_stack("chain")
    return deleted == list(reversed(names))


def handles_one_request_at_a_time() -> bool:
    """Whether two stacks that are asked for at once are made one after the other."""
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    lock, inside, most = threading.Lock(), [0], [0]
    original = models.Stack.create_resources

    def note(self: Any) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.5)
        original(self)
        with lock:
            inside[0] -= 1

    models.Stack.create_resources = note
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = boto3.client(
        "cloudformation",
        endpoint_url=f"http://127.0.0.1:{server.port}",
        region_name="us-east-1",
        aws_access_key_id="anybody",
        aws_secret_access_key="anything",
    )
    body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    threads = [
        threading.Thread(target=client.create_stack, kwargs={"StackName": name, "TemplateBody": body})
        for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.shutdown()
    return most[0] == 1


if __name__ == "__main__":
    if sys.argv[1] == "fixed":
        moto_fixes.apply(Settings(Path(tempfile.gettempdir()), "us-east-1", "123456789012", 1, 2, 3))
    observed = {
        "changes.delete_in_dependency_order": deletes_in_dependency_order(),
        "stacks.handle_one_request_at_a_time": handles_one_request_at_a_time(),
    }
    print(json.dumps(observed))
