# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The registry's blobs and uploads on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.lab.registry import blobs
from ansible_collections.policyproof.ecr.lab.registry.blobs import Blobs, DigestMismatch, UploadOver

DIGEST = "sha256:" + hashlib.sha256(b"abcdef").hexdigest()


def test_an_upload_becomes_a_blob_once(tmp_path: Path) -> None:
    store = Blobs(tmp_path)
    upload = store.begin("repository")
    upload.append([b"abc", b"def"])
    assert not store.has(DIGEST)
    store.complete(upload, DIGEST)
    assert store.path(DIGEST).read_bytes() == b"abcdef"
    assert store.upload(upload.id, "repository") is None
    with pytest.raises(UploadOver):
        store.complete(upload, DIGEST)
    assert store.has(DIGEST)


def test_other_bytes_are_thrown_away(tmp_path: Path) -> None:
    store = Blobs(tmp_path)
    upload = store.begin("repository")
    upload.append([b"abc"])
    with pytest.raises(DigestMismatch):
        store.complete(upload, DIGEST)
    assert not upload.path.exists()
    assert not store.has(DIGEST)


def test_an_upload_is_its_repository_s(tmp_path: Path) -> None:
    store = Blobs(tmp_path)
    upload = store.begin("one")
    assert store.upload(upload.id, "other") is None
    assert store.upload(upload.id, "one") is upload


def test_what_nobody_goes_on_with_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Blobs(tmp_path)
    stale = store.begin("repository")
    monkeypatch.setattr(blobs, "UPLOAD_LIFETIME", -1)
    fresh = store.begin("repository")
    assert store.upload(stale.id, "repository") is None
    assert store.upload(fresh.id, "repository") is fresh
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [fresh.id]


def test_blobs_outlive_the_store_and_uploads_do_not(tmp_path: Path) -> None:
    store = Blobs(tmp_path)
    assert store.add(b"abcdef") == DIGEST
    store.begin("repository")
    store.close()
    assert Blobs(tmp_path).has(DIGEST)
    assert list((tmp_path / "uploads").iterdir()) == []
