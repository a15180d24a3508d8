# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The smallest image there is: a configuration and one layer with a random file, a few hundred bytes in all.

The layer is new each time, so that no registry has it already and a push exercises every permission.
Sources: Docker Image Specification 1.2 (``docker save`` archives); Docker Image Manifest Version 2, Schema 2, which is
what Docker pushes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"

LABEL = "io.policyproof.access-probe"
"""Label of every probe image, so that people who find one know what it is."""

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def digest_of(content: bytes) -> str:
    """The digest of content as registries write it."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class ProbeImage:
    """One image.

    :ivar layer: the layer as it is uploaded, a gzipped tar archive
    :ivar config: the configuration, JSON
    :ivar manifest: the manifest, JSON
    """

    def __init__(self, seed: bytes | None = None) -> None:
        """:arg seed: content of the one file; random unless given"""
        self._tar = _tar([("policyproof-access-probe", seed if seed is not None else os.urandom(24))])
        self.layer = gzip.compress(self._tar, mtime=0)
        self.config = _json(
            {
                "architecture": _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower()),
                "os": "linux",
                "created": "1970-01-01T00:00:00Z",
                "config": {"Labels": {LABEL: "1"}},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(self._tar)]},
                "history": [{"created": "1970-01-01T00:00:00Z", "created_by": LABEL}],
            }
        )
        self.manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": _descriptor(CONFIG_TYPE, self.config),
                "layers": [_descriptor(LAYER_TYPE, self.layer)],
            }
        )

    @property
    def digest(self) -> str:
        """Digest of the manifest."""
        return digest_of(self.manifest)

    @property
    def size(self) -> int:
        """Bytes of layer, configuration and manifest together."""
        return len(self.layer) + len(self.config) + len(self.manifest)

    def archive(self, reference: str) -> bytes:
        """A ``docker save`` archive, for ``docker load`` and its like.

        :arg reference: name that the image gets, ``host/repository:tag``
        """
        config = digest_of(self.config).partition(":")[2]
        layer = digest_of(self._tar).partition(":")[2]
        index = [{"Config": f"{config}.json", "RepoTags": [reference], "Layers": [f"{layer}/layer.tar"]}]
        return _tar(
            [("manifest.json", _json(index)), (f"{config}.json", self.config), (f"{layer}/layer.tar", self._tar)]
        )


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "size": len(content), "digest": digest_of(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _tar(files: list[tuple[str, bytes]]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o444
            archive.addfile(entry, io.BytesIO(content))
    return held.getvalue()
