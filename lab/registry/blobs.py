# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The registry's blobs, on disk by their digest, and the uploads that become blobs.

Which repository has which blob is not kept here but in moto's ``Repository.layers``, so that the ECR API and the
registry tell the same story.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

UPLOAD_LIFETIME = 3600.0
"""Seconds after which an upload that nobody goes on with is given up."""


class UploadOver(Exception):
    """The upload has been completed, or given up."""


class DigestMismatch(Exception):
    """What was uploaded is not what its digest says."""


@dataclass
class Upload:
    """A layer on its way in.

    :ivar repository: ARN of the repository it is meant for
    :ivar size: bytes so far
    :ivar touched: `time.monotonic` of its last use
    """

    id: str
    repository: str
    path: Path
    size: int = 0
    touched: float = 0.0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, parts: Iterable[bytes]) -> None:
        """Add bytes as they come in."""
        with self.path.open("ab") as file:
            for part in parts:
                file.write(part)
                self.digest.update(part)
                self.size += len(part)


class Blobs:
    """A directory of blobs and uploads. For any number of threads."""

    def __init__(self, directory: Path) -> None:
        self._blobs = directory / "blobs"
        self._uploading = directory / "uploads"
        for path in (self._blobs, self._uploading):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def path(self, digest: str) -> Path:
        """Where the blob is, if it is. ``digest`` as registries write it."""
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        """Whether some repository has, or had, this blob."""
        return self.path(digest).is_file()

    def add(self, content: bytes) -> str:
        """Keep a whole blob; return its digest."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        partial = self._uploading / f"{uuid.uuid4()}"
        partial.write_bytes(content)
        os.replace(partial, self.path(digest))
        return digest

    def begin(self, repository: str) -> Upload:
        """Begin an upload, and give up those that nobody goes on with."""
        self._give_up(older_than=time.monotonic() - UPLOAD_LIFETIME)
        identifier = str(uuid.uuid4())
        upload = Upload(identifier, repository, self._uploading / identifier, touched=time.monotonic())
        upload.path.touch(mode=0o600)
        with self._lock:
            self._uploads[identifier] = upload
        return upload

    def upload(self, identifier: str, repository: str) -> Upload | None:
        """An upload that was begun for this repository and not ended."""
        with self._lock:
            upload = self._uploads.get(identifier)
        if upload is None or upload.repository != repository:
            return None
        upload.touched = time.monotonic()
        return upload

    def complete(self, upload: Upload, digest: str) -> None:
        """Make a blob of an upload. Raises DigestMismatch, and UploadOver; the upload is over in any case."""
        with self._lock:
            if self._uploads.pop(upload.id, None) is None:
                raise UploadOver(upload.id)
        if f"sha256:{upload.digest.hexdigest()}" != digest:
            upload.path.unlink()
            raise DigestMismatch(digest)
        os.replace(upload.path, self.path(digest))

    def close(self) -> None:
        """Give up every upload, and drop what an earlier lab left."""
        self._give_up(older_than=float("inf"))
        shutil.rmtree(self._uploading, ignore_errors=True)

    def _give_up(self, older_than: float) -> None:
        with self._lock:
            stale = [upload for upload in self._uploads.values() if upload.touched < older_than]
            for upload in stale:
                del self._uploads[upload.id]
        for upload in stale:
            upload.path.unlink(missing_ok=True)
