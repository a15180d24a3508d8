# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Act on the repository with other people's programs alone: boto3 for the ECR API, skopeo for the registry.

Nothing of the collection has a part in this, so it agrees with the collection's report only if both are right.
Credentials come from the environment, as boto3 reads them. What came of it is printed as one JSON object.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3


def sha256(data: bytes) -> str:
    """The digest of data, as registries write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_image(directory: Path) -> None:
    """Write an OCI image layout whose only layer nobody has had before."""
    layer = BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo("random")
        entry.size = 64
        archive.addfile(entry, BytesIO(os.urandom(64)))
    rootfs = {"type": "layers", "diff_ids": [sha256(layer.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(directory, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_blob(directory, layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")],
    }
    described = _blob(directory, json.dumps(manifest).encode(), str(manifest["mediaType"]))
    index = {"schemaVersion": 2, "manifests": [described]}
    (directory / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")


def _blob(directory: Path, data: bytes, media_type: str) -> dict[str, Any]:
    path = directory / "blobs" / sha256(data).replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def credentials(ecr: Any) -> str:
    """``user:password`` for the registry."""
    return base64.b64decode(ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]).decode()


def copy(ecr: Any, ca_file: Path | None, side: str, source: str, destination: str) -> dict[str, Any]:
    """Copy an image with skopeo; ``side`` (src or dest) is the registry's."""
    command = ["skopeo", "--insecure-policy", "copy", "--quiet", f"--{side}-creds={credentials(ecr)}"]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if ca_file:
            shutil.copy(ca_file, directory / "ca.crt")
            registry = (source if side == "src" else destination).removeprefix("docker://").partition(":")[0]
            command = [*at_home(directory, registry), *command, f"--{side}-cert-dir={directory}"]
        finished = subprocess.run(
            [*command, source, destination], capture_output=True, text=True, timeout=60, check=False
        )
    return {"allowed": finished.returncode == 0, "said": finished.stderr.strip()[-1000:]}


def at_home(directory: Path, registry: str) -> list[str]:
    """What to put before a command so that, for it alone, the lab's registry has its name on this machine."""
    hosts = directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {registry}\n", encoding="utf-8")
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]


def push(ecr: Any, ca_file: Path | None, image: str) -> dict[str, Any]:
    """Push a new image."""
    with tempfile.TemporaryDirectory() as directory:
        write_image(Path(directory))
        return copy(ecr, ca_file, "dest", f"oci:{directory}", f"docker://{image}")


def pull(ecr: Any, ca_file: Path | None, image: str) -> dict[str, Any]:
    """Pull the image."""
    with tempfile.TemporaryDirectory() as directory:
        return copy(ecr, ca_file, "src", f"docker://{image}", f"dir:{directory}")


def policy(ecr: Any, _ca_file: Path | None, image: str) -> dict[str, Any]:
    """The repository's policy and tags, as ECR returns them."""
    name = image.rpartition(":")[0].rpartition("/")[2]
    text = ecr.get_repository_policy(repositoryName=name)["policyText"]
    images = ecr.describe_images(repositoryName=name)["imageDetails"]
    return {"policy": json.loads(text), "tags": [tag for found in images for tag in found.get("imageTags", [])]}


def main() -> None:
    """Do one thing and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", help="host:port/repository:tag")
    parser.add_argument("--ca-file", type=Path, help="the lab's authority; without it the registry is AWS's")
    parser.add_argument("action", choices=("push", "pull", "policy"))
    arguments = parser.parse_args()
    act = {"push": push, "pull": pull, "policy": policy}[arguments.action]
    print(json.dumps(act(boto3.client("ecr"), arguments.ca_file, arguments.image)))


if __name__ == "__main__":
    main()
